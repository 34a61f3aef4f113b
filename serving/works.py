"""What terminal and service do with banks of works: change them so that the ledger knows, match against them, tell of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from audit.ledger import SqlLedger
from guard.admission import Limits, admit
from guard.errors import InputError, ModelError
from guard.matching import bank as banks
from guard.matching.bank import Bank
from guard.matching.catalogue import Registered
from guard.matching.changing import State
from guard.matching.fingerprinting import fingerprints_of, is_image, thumbnail_of
from guard.matching.methods import METHODS
from guard.matching.outbox import record
from guard.matching.records import check_work, facts
from guard.matching.works import Work
from guard.registry import checks
from guard.types import CALLER, Content, Finding, Match, Modality, Region, Request, Scan, Span, Stage
from serving.shared_banks import is_shared, shared_banks

CHECKS = {Modality.IMAGE: "image_match", Modality.TEXT: "text_match"}
"""Which check matches what, so that a terminal and a policy agree."""
BATCHES = 10
"""The latest changes that are told of a bank."""


@dataclass(frozen=True, slots=True)
class Matched:
    """What a bank says of one content."""

    bank: Bank
    digest: str
    """Of the bank as it was compared."""
    size: int
    findings: tuple[Finding, ...]
    unread: bool = False
    """Whether there was nothing in the content to compare."""
    note: str = ""
    """Why nothing was compared, in words."""


@contextmanager
def changing(name: str, ledger: SqlLedger, *, kind: str = "") -> Iterator[tuple[Bank, str]]:
    """A bank to be changed, and what was done to make it so. What changes, or was left unrecorded, is recorded.

    On a ledger of several machines each change of a bank of the banks folder is made at all of them, or is not made.
    Raises InputError for a bank that cannot be used, ModelError when it cannot be written, LedgerError when its changes cannot
    be recorded: then they are the next time.
    """
    shared = shared_banks(ledger) if is_shared(name) else None
    if shared is not None:
        shared.prepare(banks.folder_of(name).name)
    bank, said = banks.for_change(name, kind=kind)
    bank.shares = shared
    if shared is None:
        record(bank, ledger.register_sync)
    try:
        yield bank, said
    finally:
        if shared is None:
            record(bank, ledger.register_sync)
        bank.tidy()


def shown_by(work: Work, data: bytes, *, thumbnail: bool = False, keep_text: bool = False) -> Work:
    """The work with the fingerprints of what shows it: a picture's file or a text. Raises InputError."""
    modality, prints = fingerprints_of(data, keep_text=keep_text)
    small = thumbnail_of(data) if thumbnail and is_image(data) else work.thumbnail
    return check_work(replace(work, modality=modality, fingerprints=prints, thumbnail=small))


def add(bank: Bank, work: Work, *, actor: str, source: str) -> bool:
    """Register a work. False when it is there already, just so. Raises InputError when another work has its id."""
    outcome = bank.add([work], actor=actor, source=source, again=True)
    if outcome.taken:
        raise InputError(f"found id {work.id!r}, which another work of bank {bank.name!r} has", advice="Retire that one first.")
    return bool(outcome.added)


def match(name: str, data: str | bytes, *, limits: Limits | None = None) -> Matched:
    """Compare a text, or a picture's file, with a bank, as a check of a policy would.

    Raises InputError for a content that is not what it says, ModelError when there is no such bank.
    """
    content = admit(
        data, request=Request("match"), stage=Stage.OUTPUT, origin=CALLER, media_type="", limits=limits or Limits(10**9, 10**9)
    )
    bank = banks.load(name, empty=True)
    snapshot = bank.snapshot()
    if not any(METHODS[method].modality is content.modality for method in snapshot.indexes):
        return Matched(bank, snapshot.digest, snapshot.size, (), note=f"the bank has no work of {content.modality.value}")
    scan = _scan(name, content)
    return Matched(
        bank,
        scan.digest or snapshot.digest,
        snapshot.size,
        tuple(one for one in scan.findings if one.match),
        scan.scanned is None,
    )


def _scan(name: str, content: Content) -> Scan:
    use = CHECKS[content.modality]
    if use not in checks.names():
        raise InputError(f"found a {content.modality.value}: this version has no check {use}")
    check = checks.make(use, {"bank": name})
    check.load()
    answer = check([content])
    assert not hasattr(answer, "__await__"), "checks of works are blocking ones"
    return answer[0]


def match_fields(matched: Matched) -> dict[str, Any]:
    """A comparison as plain fields: each match with whose work it is, and how sure that is."""
    return {
        "matched": bool(matched.findings),
        "bank": matched.bank.name,
        "kind": matched.bank.kind,
        "digest": matched.digest,
        "works": matched.size,
        "matches": [one_match(matched.bank, finding) for finding in matched.findings],
        **({"note": matched.note or "there is nothing in it to compare"} if matched.note or matched.unread else {}),
    }


def one_match(bank: Bank, finding: Finding) -> dict[str, Any]:
    """One match as plain fields."""
    assert finding.match is not None
    one = finding.match
    found = bank.find(one.work)
    rights = (
        {name: value for name, value in facts(found.work).items() if name not in {"id", "title", "modality"}} if found else {}
    )
    return {
        **match_values(one),
        **rights,
        "modality": METHODS[one.method].modality.value,
        "thumbnail": bool(found and found.work.thumbnail),
        "score": finding.score / 1000,
        **place_fields("where", finding.where),
        "reason": finding.reason,
    }


def match_values(one: Match) -> dict[str, Any]:
    """The registered work, how near it is, and what is known of how it is shown."""
    values = {name: value for name, value in asdict(one).items() if name not in {"source", "chance", "transform"}}
    values |= {name: value for name, value in (("chance", one.chance), ("transform", one.transform)) if value}
    return values | place_fields("source", one.source)


def place_fields(name: str, place: Span | Region | None) -> dict[str, Any]:
    """A place as a list: two numbers for a span, four for a region; nothing where there is none."""
    match place:
        case Span(start, end):
            return {name: [start, end]}
        case Region(left, top, right, bottom):
            return {name: [left, top, right, bottom]}
    return {}


def all_banks() -> list[dict[str, Any]]:
    """Every bank that a name finds; one that cannot be read says why, and hides no other."""
    found: list[dict[str, Any]] = []
    for name, where in banks.names().items():
        try:
            fields = bank_fields(banks.load(name, empty=True))
        except ModelError as error:
            fields = {"bank": name, "where": where, "trouble": str(error)}
        found.append({key: value for key, value in fields.items() if key != "changes"})
    return found


def history_trouble(bank: Bank) -> str:
    """Hash a bank's whole history again; what is wrong with it, empty when nothing is."""
    try:
        bank.catalogue.rehash()
    except ModelError as error:
        return str(error)
    return ""


def bank_fields(bank: Bank, *, at: str = "") -> dict[str, Any]:
    """What a bank is, now or at one of its digests. Raises InputError for a digest that it never had."""
    catalogue = bank.catalogue
    state = bank.state(at)
    latest = [one for one in catalogue.batches(0) if one.seq <= state.seq][-BATCHES:]
    return {
        "bank": bank.name,
        "kind": bank.kind,
        "where": "live" if bank.folder else "bundled",
        "works": state.size,
        "digest": state.head.hex(),
        "methods": list(catalogue.methods()),
        "changes": [_batch(one) for one in reversed(latest)],
    }


def _batch(state: State) -> dict[str, Any]:
    return {
        "digest": state.head.hex(), "time": state.time, "actor": state.actor, "source": state.source, "works": state.size
    }  # fmt: skip


def work_fields(found: Registered, *, state: State | None = None, whole: bool = False) -> dict[str, Any]:
    """A registered work as plain fields. `whole`: also its fingerprints; a thumbnail is told by its size alone."""
    retired = found.retired is not None and (state is None or found.retired <= state.seq)
    fields: dict[str, Any] = {"number": found.number, **facts(found.work), "retired": retired}
    if whole:
        fields["thumbnail_bytes"] = len(found.work.thumbnail)
        fields["fingerprints"] = [
            {"method": one.method, "view": one.view, "data": base64.b64encode(one.data).decode()}
            for one in found.work.fingerprints
        ]
    return fields


def page(bank: Bank, *, at: str = "", after: int = 0, limit: int = 50, query: str = "") -> tuple[list[Registered], int | None]:
    """Works by number, and the number to go on after; None at the end. Raises InputError for an unknown digest."""
    found = list(bank.works(at=at, after=after, limit=limit + 1, query=query))
    return found[:limit], found[limit - 1].number if len(found) > limit else None
