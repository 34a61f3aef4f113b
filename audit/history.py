"""What a ledger remembers of policies: their documents, by revision or by name."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select

from audit.body import ACTIVATION, DECISION
from audit.canonical import loads
from audit.grammar import QueryError
from audit.models import tables
from audit.query import reading

_ENTRY = tables()[0]


def document(source: str | Engine, prefix: str) -> str:
    """The policy document whose revision begins like this, byte for byte.

    Raises QueryError when the ledger has none or more than one, LedgerError when it cannot be read.
    """
    with reading(source) as connection:
        statement = select(_ENTRY.c.revision).where(
            _ENTRY.c.kind == ACTIVATION, _ENTRY.c.revision.startswith(prefix.lower(), autoescape=True)
        )
        found = list(connection.execute(statement.limit(3)).scalars())
        if len(found) > 1:
            raise QueryError(f"{prefix!r} begins several revisions, among them {found[0]} and {found[1]}")
        if not found:
            raise QueryError(
                f"no policy of revision {prefix!r} in this ledger", advice="`audit query` shows revisions with --json."
            )
        return _document(connection, found[0])


def latest_document(source: str | Engine, policy: str) -> str:
    """The document of a policy that judged last or, when it is the younger one, that was activated last.

    Raises QueryError when the ledger has none, LedgerError when it cannot be read.
    """
    with reading(source) as connection:
        statement = select(_ENTRY.c.revision).where(
            _ENTRY.c.policy == policy, _ENTRY.c.kind.in_((ACTIVATION, DECISION)), _ENTRY.c.revision != ""
        )
        found = connection.execute(statement.order_by(_ENTRY.c.idx.desc()).limit(1)).scalar_one_or_none()
        if found is None:
            raise QueryError(
                f"this ledger has no policy {policy!r}", advice="Name two policies to compare, or another ledger with --ledger."
            )
        return _document(connection, found)


def documents(source: str | Engine) -> dict[str, str]:
    """Every policy document of a ledger, by revision. Raises LedgerError when it cannot be read."""
    with reading(source) as connection:
        found = connection.execute(select(_ENTRY.c.body).where(_ENTRY.c.kind == ACTIVATION, _ENTRY.c.body.is_not(None)))
        return {body["revision"]: body["document"] for body in map(loads, found.scalars())}


def _document(connection: Connection, revision: str) -> str:
    body = connection.execute(
        select(_ENTRY.c.body).where(_ENTRY.c.kind == ACTIVATION, _ENTRY.c.revision == revision)
    ).scalar_one()
    return str(loads(body)["document"])
