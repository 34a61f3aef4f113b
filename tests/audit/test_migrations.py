"""Ledgers of before become ledgers of now: the same tables, once, whoever opens them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from ledger_examples import DOCUMENT, REVISION, decision
from sqlalchemy import text

from audit import migrate
from audit.ledger import open_ledger
from audit.models import SCHEMA, metadata
from audit.query import query
from audit.stores import open_store
from audit.verify import verify
from guard.errors import LedgerError


def run(url, *statements):
    """Run statements as the ledger's writer would."""
    with open_store(url).writer(5000).connect() as connection, connection.begin():
        return [connection.execute(text(one)) for one in statements]


def back(url, *statements):
    """Make a ledger that of an older version, which noted no revision."""
    run(url, *statements, "DROP TABLE schema_version")


OLDEST = (
    *(f"DROP TABLE {name}" for name in ("fingerprint", "tile", "moment", "api_key", "session", "bank_batch")),
    *(f"DROP INDEX ix_entry_{name}" for name in ("tenant_action", "kind", "actor", "version")),
    *("DROP INDEX ix_term_fact", "DROP INDEX ix_term_tag", "CREATE INDEX ix_term_value ON term (name, value, idx)"),
)


def objects(url):
    """What is there."""
    store = open_store(url)
    with store.reader().connect() as connection:
        return store.objects(connection)


@pytest.fixture
def old(url):
    """A ledger of three decisions."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(3):
            opened.append_sync(decision(number=number))
    return url


def test_a_new_ledger_has_what_the_models_say(old):
    """In the database's own words."""
    assert objects(old) == open_store(old).expected()


@pytest.mark.parametrize("undone", [OLDEST, OLDEST[:1], OLDEST[1:], ()])
def test_an_older_ledger_becomes_the_same(old, undone):
    """Whichever of the later tables and indexes it has."""
    back(old, *undone)
    with open_ledger(old) as opened:
        opened.append_sync(decision(number=3))
    assert objects(old) == open_store(old).expected()
    assert verify(old).ok
    assert len(query(old).rows) == 4
    assert migrate.check(old)[0].pending == ()


def test_a_ledger_of_before_verifies_as_it_is(old):
    """With the index that terms had then; without any, it is told."""
    back(old, *OLDEST)
    assert verify(old).ok
    run(old, "DROP INDEX ix_term_value")
    assert [(one.what, one.found) for one in verify(old).problems] == [("schema", "index ix_term_value missing")]


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # which the catalogue compares
def test_the_first_script_makes_the_oldest_ledger(url):
    """From nothing to now, by the scripts alone: Alembic finds no difference to the models, nor does the catalogue."""
    store = open_store(url)
    with store.writer(5000).connect() as connection, connection.begin():
        metadata.create_all(connection, [SCHEMA])
        migrate._run(connection, None)
    with store.reader().connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": SCHEMA.name,
                "compare_type": True,
                "include_object": lambda _object, name, kind, *_: kind != "table" or name != SCHEMA.name,
            },
        )
        assert compare_metadata(context, metadata) == []
        assert store.objects(connection) == store.expected()
        assert migrate.schema_of(connection) == migrate.Schema(migrate.LATEST, ())


def test_the_scripts_are_those_that_are_known():
    """In one line, and none else."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(one.revision for one in scripts.walk_revisions())[::-1] == migrate.REVISIONS


def test_a_newer_ledger_is_refused(old):
    """Nothing is written to it."""
    run(old, "UPDATE schema_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="tables of revision 9999, expected 0010 or older"):
        open_ledger(old)
    with pytest.raises(LedgerError, match="tables of revision 9999"):
        migrate.check(old)


def test_what_is_due_is_told_and_changes_nothing(old):
    """The SQL, for who wants to run it himself."""
    back(old, *OLDEST)
    before = objects(old)
    schema, statements = migrate.check(old)
    assert schema == migrate.Schema("0001", ("0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010"))
    assert "CREATE TABLE fingerprint" in statements
    assert "CREATE TRIGGER fingerprint_no_update" in statements
    assert "CREATE INDEX ix_entry_kind" in statements
    assert objects(old) == before
    assert migrate.migrate(old) == schema
    assert migrate.migrate(old).pending == ()
    assert objects(old) == open_store(old).expected()


def test_processes_that_open_it_at_once_migrate_it_once(old):
    """Each finds it done, or does it."""
    back(old, *OLDEST)
    program = f"from audit.ledger import open_ledger; open_ledger({old!r}, busy_timeout_ms=60_000).close()"
    root = Path(migrate.__file__).parents[1]
    started = [subprocess.Popen([sys.executable, "-c", program], cwd=root) for _ in range(4)]
    assert [one.wait(100) for one in started] == [0] * 4
    assert objects(old) == open_store(old).expected()


def test_nothing_is_migrated_where_no_ledger_is(url):
    """It says so."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        migrate.migrate(url)
