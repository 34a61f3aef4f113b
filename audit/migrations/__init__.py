"""How the tables of ledgers of before become those of now: Alembic's scripts, in `versions`, run by `audit.migrate`."""
