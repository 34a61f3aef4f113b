"""Looks entries up, read-only: by filters, one by one, and the policy documents that decisions were made under."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, or_, select

from audit.body import ACTIVATION, BANK_CHANGE, DECISION, POLICY_ROLLOUT, bank_change_from, decision_from, rollout_from
from audit.canonical import loads
from audit.conditions import condition
from audit.events import ERASURE, KINDS, Event, event_from
from audit.grammar import Filter, QueryError, filters_from, parse
from audit.keyring import vault_in_force
from audit.models import tables
from audit.search import Search
from audit.stores import open_store, store_of
from audit.vault import SealError, Vault, open_payload
from guard.errors import LedgerError
from guard.types import BankChange, Decision, Receipt, Rollout

MAX_LIMIT = 1000

_ENTRY, _TERM, _HEAD, _LEDGER, _PAYLOAD, _KEY = tables()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list of entries; what a kind of entry does not have is empty."""

    idx: int
    kind: str
    time: str
    decision: str
    request: str
    tenant: str
    actor: str
    subject: str
    stage: str
    modality: str
    generator: str
    model: str
    action: str
    policy: str
    version: int
    revision: str
    parent: str
    rules: tuple[str, ...]
    categories: tuple[str, ...]
    banks: tuple[str, ...] = ()
    """Of a change of a bank: which."""
    step: str = ""
    """Of a policy's rollout: what was done."""
    shadows: tuple[str, ...] = ()
    """What policies in shadow would have done."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and where to go on. `older` goes into `before`, `newer` into `after`; None at the end."""

    rows: tuple[Row, ...]
    older: int | None
    newer: int | None
    size: int
    """Entries in the ledger."""
    partial: str = ""
    """Why there may be more entries on this page's stretch than it shows; empty when there are none. Going on finds them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored payload: `data` when it could be opened, else `why` not."""

    part: str
    media_type: str
    size: int
    """Bytes."""
    data: bytes | None = field(repr=False)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry in full."""

    idx: int
    leaf: bytes
    tree_size: int
    """Size of the tree now; the receipt's may be smaller."""
    body: Mapping[str, Any]
    decision: Decision | None
    """None for other kinds of entry. Its contents are None: they are in `payloads`."""
    document: str
    """The policy document of the decision's revision; empty when the ledger has none."""
    payloads: tuple[Stored, ...]
    bank_change: BankChange | None = None
    """None for other kinds of entry."""
    rollout: Rollout | None = None
    """None for other kinds of entry."""
    event: Event | None = None
    """None for other kinds of entry."""
    shadow_documents: Mapping[str, str] = field(default_factory=dict)
    """The policy documents of the decision's shadows, by revision."""

    @property
    def receipt(self) -> Receipt | None:
        """Proof data of a decision, for the tree as it is now."""
        return None if self.decision is None else Receipt(self.decision.id, self.idx, self.leaf, self.tree_size)


def query(
    source: str | Engine,
    text: str = "",
    *,
    limit: int = 50,
    before: int | None = None,
    after: int | None = None,
    **filters: str | Iterable[str],
) -> Page:
    """Entries, newest first; decisions unless a filter asks for entries of another kind (`audit.grammar.about`).

    `source`: a ledger URL, or an engine of `Store.reader`. `text`: filters in their short form (`audit.grammar`), which hold
    together with `filters`. `before`, `after`: only entries of a smaller or larger index (with `after` alone: the nearest
    ones). `limit`: 1 to 1000. Raises QueryError, or LedgerError when the ledger cannot be read.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"limit is {limit}, expected 1 to {MAX_LIMIT}")
    for name, index in (("before", before), ("after", after)):
        if index is not None and not -(2**62) <= index <= 2**62:
            raise QueryError(f"{name} is beyond 2**62, expected an index of the ledger")
    wanted = (*parse(text), *filters_from(filters))
    with reading(source) as connection:
        search = Search.open(connection, wanted, before=before, after=after)
        indices = search.find(limit + 1)
        more, indices = len(indices) > limit, sorted(indices[:limit], reverse=True)
        statement = select(*[_ENTRY.c[name] for name in _ROW_COLUMNS]).where(_ENTRY.c.idx.in_(indices))
        found = connection.execute(statement.order_by(_ENTRY.c.idx.desc())).mappings().all()
        facts = _facts(connection, indices)
    upwards = search.upwards
    rows = tuple(_row(dict(row), facts) for row in found)
    older = rows[-1].idx if rows and (more or upwards) else None
    newer = rows[0].idx if rows and (before is not None or (upwards and more)) else None
    if search.stopped and not more:
        older, newer = (older, search.place - 1) if upwards else (search.place, newer)
        return Page(rows, older, newer, search.size, _partial(search))
    return Page(rows, older, newer, search.size)


def show(
    source: str | Engine, reference: str | int | UUID, *, reveal: bool = False, key_file: str | Path | None = None
) -> Shown:
    """One entry by decision id, by the beginning of one, or by index.

    `reveal`: also decrypt the payloads, with the key that `open_ledger` would use (an engine needs `key_file`). Raises
    QueryError when there is none or more than one, LedgerError when the ledger cannot be read or its body is damaged.
    """
    with reading(source) as connection:
        row = find_row(connection, reference)
        if row["body"] is None:
            if row["kind"] == "pruned":
                raise QueryError(f"entry {row['idx']} was dropped at its age; only its hash is left")
            raise LedgerError(f"entry {row['idx']} has no body", advice="Run `genguard audit verify`.")
        body = loads(row["body"])
        vault = open_vault(connection, key_file) if reveal else None
        return Shown(
            idx=row["idx"],
            leaf=row["leaf"],
            tree_size=connection.execute(select(_HEAD.c.size)).scalar_one(),
            body=body,
            decision=decision_from(body) if body["kind"] == DECISION else None,
            document=_document(connection, row["revision"]) or "",
            payloads=tuple(_stored(connection, row["idx"], body, vault)),
            bank_change=bank_change_from(body) if body["kind"] == BANK_CHANGE else None,
            rollout=rollout_from(body) if body["kind"] == POLICY_ROLLOUT else None,
            event=event_from(body) if body["kind"] in KINDS else None,
            shadow_documents=_shadow_documents(connection, body),
        )


def identity(source: str | Engine) -> str:
    """What tells this ledger from all others. Raises LedgerError when it cannot be read."""
    with reading(source) as connection:
        return str(connection.execute(select(_LEDGER.c.ledger)).scalar_one())


def policy_document(source: str | Engine, revision: str) -> str:
    """The policy document of a revision, byte for byte. Raises QueryError when the ledger has none."""
    with reading(source) as connection:
        document = _document(connection, revision)
    if document is None:
        raise QueryError(f"no policy document of revision {revision!r} in this ledger")
    return document


@contextmanager
def reading(source: str | Engine) -> Iterator[Connection]:
    """One transaction on the ledger, which sees one state of it."""
    if isinstance(source, Engine):
        engine, store = source, store_of(source)
    else:
        store = open_store(source)
        store.need()
        engine = store.reader()
    with store.clear_errors("read the ledger"), engine.connect() as connection, connection.begin():
        yield connection


def find_row(connection: Connection, reference: str | int | UUID) -> Mapping[str, Any]:
    """The columns of one entry by decision id, by the beginning of one, or by index. Raises QueryError unless there is one."""
    row = connection.execute(_find(connection, reference)).mappings().one_or_none()
    if row is None:
        raise not_there(str(reference))
    return dict(row)


def not_there(reference: str) -> QueryError:
    """What is said of an entry that there is none of."""
    return QueryError(f"no entry {reference!r}", advice="Give a decision id, at least its beginning, or an index.")


def _find(connection: Connection, reference: str | int | UUID) -> Select[Any]:
    statement: Select[Any] = select(_ENTRY)
    text = str(reference).strip().lower()
    if isinstance(reference, int) or (text.isdecimal() and len(text) < 8):
        return statement.where(_ENTRY.c.idx == int(text))
    near = condition(Filter("id", (text,)))
    found = connection.execute(select(_ENTRY.c.idx, _ENTRY.c.decision).where(near).limit(3)).all()
    if len(found) > 1:
        raise QueryError(f"{text!r} begins several decision ids, among them {found[0].decision} and {found[1].decision}")
    return statement.where(_ENTRY.c.idx == (found[0].idx if found else -1))


def _partial(search: Search) -> str:
    """What was searched, of a search that a bound ended."""
    first, last = (search.low, search.place - 1) if search.upwards else (search.place, search.high - 1)
    return f"{search.stopped}: entries {first} to {last} were searched; go on, or ask for less"


def _facts(connection: Connection, indices: list[int]) -> dict[tuple[int, str], tuple[str, ...]]:
    facts: dict[tuple[int, str], tuple[str, ...]] = {}
    found = select(_TERM).where(_TERM.c.idx.in_(indices)).order_by(_TERM.c.idx, _TERM.c.name, _TERM.c.value)
    for idx, name, value in connection.execute(found):
        facts[idx, name] = (*facts.get((idx, name), ()), value)
    return facts


def _row(row: Mapping[str, Any], facts: Mapping[tuple[int, str], tuple[str, ...]]) -> Row:
    idx = row["idx"]
    columns: dict[str, Any] = {
        name: (0 if name == "version" else "") if row[name] is None else row[name] for name in _ROW_COLUMNS
    }
    return Row(
        **columns,
        rules=facts.get((idx, "rule"), ()),
        categories=facts.get((idx, "category"), ()),
        banks=facts.get((idx, "bank"), ()),
        step=next(iter(facts.get((idx, "step"), ())), ""),
        shadows=facts.get((idx, "shadow"), ()),
    )


def _shadow_documents(connection: Connection, body: Mapping[str, Any]) -> dict[str, str]:
    revisions = {shadow["verdict"]["revision"] for shadow in body.get("shadows", ())}
    return {one: document for one in revisions if (document := _document(connection, one)) is not None}


def _document(connection: Connection, revision: str | None) -> str | None:
    found = select(_ENTRY.c.body).where(_ENTRY.c.kind == ACTIVATION, _ENTRY.c.revision == revision)
    body = connection.execute(found).scalar_one_or_none()
    return None if body is None else str(loads(body)["document"])


def open_vault(connection: Connection, key_file: str | Path | None) -> Vault | str:
    """The vault, or why there is none."""
    return vault_in_force(connection, store_of(connection), Path(key_file) if key_file else None)


def _stored(connection: Connection, idx: int, body: Mapping[str, Any], vault: Vault | str | None) -> Iterator[Stored]:
    parts = {"original": body.get("content"), "released": body.get("released")}
    for part, block in parts.items():
        if block is None:
            continue
        data, why = None, "not asked for"
        if isinstance(vault, str):
            why = vault
        elif vault is not None:
            data, why = open_stored(connection, idx, body, block, vault)
        yield Stored(part, block["media_type"], block["bytes"], data, why)


def open_stored(
    connection: Connection, idx: int, body: Mapping[str, Any], block: Mapping[str, Any], vault: Vault
) -> tuple[bytes | None, str]:
    """A stored payload of an entry (`block`: what its body says of it), or None and why it cannot be read."""
    found = select(_PAYLOAD).where(_PAYLOAD.c.idx == idx, _PAYLOAD.c.part == block["part"])
    payload = connection.execute(found).one_or_none()
    if payload is None:
        return None, _gone(connection, idx, body["request"])
    key = connection.execute(select(_KEY).where(_KEY.c.id == payload.key)).one_or_none()
    if key is None:
        return None, "its subject's key was destroyed"
    try:
        cipher = vault.open_key(key.id, key.tenant, key.subject, key.wrapped)
        decision = UUID(body["id"]).bytes
        data, commit = open_payload(cipher, decision, block["part"], payload.wrapped, payload.nonce, payload.ciphertext)
    except SealError as error:
        return None, str(error)
    return (data, "") if commit.hex() == block["commit"] else (None, "it is not the one that was committed to")


def _gone(connection: Connection, idx: int, request: Mapping[str, Any]) -> str:
    """Why a payload is not there: the first erasure of its subject since says so."""
    whose = or_(_ENTRY.c.tenant == request["tenant"], _ENTRY.c.tenant.is_(None))
    found = select(_ENTRY.c.idx).where(whose, _ENTRY.c.subject == request["subject"], _ENTRY.c.idx > idx)
    by = connection.execute(found.where(_ENTRY.c.kind == ERASURE).order_by(_ENTRY.c.idx).limit(1)).scalar_one_or_none()
    return "it is no longer stored" if by is None else f"it was erased, as entry {by} says"


_ROW_COLUMNS = tuple(name for name in Row.__slots__ if name not in {"rules", "categories", "banks", "step", "shadows"})
