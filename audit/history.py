"""What a ledger remembers of policies, and of the contents that were judged: documents by revision or name, stored contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from audit.body import ACTIVATION, DECISION, decision_from, origin_from
from audit.canonical import loads
from audit.conditions import condition
from audit.grammar import Filter, QueryError
from audit.models import tables
from audit.query import open_stored, open_vault, reading
from audit.vault import Vault
from guard.types import CALLER, Content, Decision, Modality

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


@dataclass(frozen=True, slots=True)
class Revision:
    """A policy document that the ledger has."""

    index: int
    """Of the entry that brought it."""
    time: str
    version: int
    revision: str
    document: str
    source: str
    """The text that it was compiled from; empty where that was not recorded."""


def revisions(source: str | Engine, policy: str, *, limit: int = 200) -> list[Revision]:
    """Revisions of a policy, the latest first. Raises LedgerError when the ledger cannot be read."""
    wanted = select(_ENTRY.c.idx, _ENTRY.c.body).where(
        _ENTRY.c.policy == policy, _ENTRY.c.kind == ACTIVATION, _ENTRY.c.body.is_not(None)
    )
    with reading(source) as connection:
        rows = connection.execute(wanted.order_by(_ENTRY.c.idx.desc()).limit(limit)).all()
    return [_revision(idx, loads(body)) for idx, body in rows]


def _revision(index: int, body: Mapping[str, Any]) -> Revision:
    kept = (body["time"], body["version"], body["revision"], body["document"], body.get("source", ""))
    return Revision(index, *kept)


def judged_by(source: str | Engine, policy: str) -> bool:
    """Whether a decision was made under a policy of this name. Raises LedgerError when the ledger cannot be read."""
    with reading(source) as connection:
        found = select(_ENTRY.c.idx).where(_ENTRY.c.policy == policy, _ENTRY.c.kind == DECISION).limit(1)
        return connection.execute(found).first() is not None


def originals(
    source: str, filters: Iterable[Filter] = (), *, limit: int | None = None, key_file: str | Path | None = None
) -> Iterator[tuple[int, Decision, Content | None, str]]:
    """Decisions that match some filters, newest first, each with its index and the content as it came, or why that is gone.

    What a person released counts once, by the decision that held it: policies made no other.

    Raises LedgerError when the ledger cannot be read.
    """
    wanted = map(condition, [Filter("kind", (DECISION,)), *filters])
    with reading(source) as connection:
        vault = open_vault(connection, key_file)
        statement = select(_ENTRY.c.idx, _ENTRY.c.body).where(*wanted, _ENTRY.c.body.is_not(None))
        for idx, data in connection.execute(statement.order_by(_ENTRY.c.idx.desc()).limit(limit)):
            body = loads(data)
            decision = decision_from(body)
            if decision.reviewed is not None:
                continue
            content, why = _original(connection, idx, body, decision, vault)
            yield idx, decision, content, why


def _original(
    connection: Connection, idx: int, body: Mapping[str, Any], decision: Decision, vault: Vault | str
) -> tuple[Content | None, str]:
    block = body.get("content")
    if block is None:
        return None, ""
    if isinstance(vault, str):
        return None, vault
    data, why = open_stored(connection, idx, body, block, vault)
    if data is None:
        return None, why
    modality, text = decision.context.modality, decision.context.modality is Modality.TEXT
    whole = data.decode("utf-8", "surrogatepass") if text else data
    origin = origin_from(body) or CALLER
    return Content(modality, whole, block["media_type"], decision.context.stage, origin, decision.request), ""


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
