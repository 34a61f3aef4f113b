"""A decision as the object that is hashed, and back.

The body holds all that `guard.decide` read and all that it answered, so that anyone can derive the verdict again and explain
it; of the content itself it holds sizes and salted commitments (`audit.vault`), never the content and never a bare hash of
it. Values are strings, integers, booleans, lists and objects; keys are fixed by this file, and what is absent is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from guard.errors import LedgerError
from guard.types import (
    NONE,
    Action,
    BankChange,
    CheckResult,
    Content,
    Context,
    Decision,
    Edit,
    Ending,
    Finding,
    FiredRule,
    Mark,
    Match,
    Modality,
    Origin,
    Place,
    Region,
    Request,
    Reviewed,
    Rollout,
    Shadow,
    Span,
    Stage,
    Status,
    Step,
    Streamed,
    StreamMode,
    Verdict,
)

BODY_VERSION = 1
"""Changes whenever a field's meaning does; a reader keeps reading the older ones."""

_DIGEST = re.compile("[0-9a-f]{64}")

DECISION = "decision"
ACTIVATION = "policy_activate"
CONFIG = "config"
BANK_CHANGE = "bank_change"
POLICY_ROLLOUT = "policy_rollout"


def decision_body(
    decision: Decision, payloads: Mapping[str, Mapping[str, Any]], copies: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Body of a decision. `payloads`: for `original` and `released`, the fields of `audit.vault.Sealed.commitment`.

    `copies`: what copies of the released output are found by (`audit.copies`); bodies of before have none.
    """
    body: dict[str, Any] = {
        "schema": BODY_VERSION,
        "kind": DECISION,
        "id": str(decision.id),
        "time": time_string(decision.time),
        "request": _request(decision.request),
        "context": _context(decision.context),
        "results": [result_record(result) for result in decision.results],
        "verdict": _verdict(decision.verdict),
        "marks": [_fields(mark, ("kind", "method", "payload", "verified", "error")) for mark in decision.marks],
    }
    if decision.content is not None:
        origin = decision.content.origin
        body["origin"] = _fields(origin, ("generator", "model", "digest")) | {"parameters": _pairs(origin.parameters)}
        body["content"] = _content(decision.content, payloads["original"])
    if decision.released is not None:
        body["released"] = _content(decision.released, payloads["released"])
    if copies:
        body["copies"] = dict(copies)
    if decision.parent is not None:
        body["parent"] = str(decision.parent)
    if decision.reviewed is not None:
        body["reviewed"] = _reviewed(decision.reviewed)
    if decision.stream is not None:
        body["stream"] = _streamed(decision.stream)
    if decision.shadows:
        body["shadows"] = [
            {"verdict": _verdict(one.verdict), "results": [result_record(result) for result in one.results]}
            for one in decision.shadows
        ]
    return body


def activation_body(
    policy: str, version: int, revision: str, document: str, time: datetime, source: str = ""
) -> dict[str, Any]:
    """Body of the entry that keeps a policy document, byte for byte, and, if it is given, the text that it came from."""
    return {
        "schema": BODY_VERSION,
        "kind": ACTIVATION,
        "time": time_string(time),
        "policy": policy,
        "version": version,
        "revision": revision,
        "document": document,
        **({"source": source} if source else {}),
    }


def bank_change_body(change: BankChange, time: datetime) -> dict[str, Any]:
    """Body of the entry that says how a bank of works changed. `time`: of the record; the bank may have changed before."""
    return {
        "schema": BODY_VERSION,
        "kind": BANK_CHANGE,
        "time": time_string(time),
        "changed": time_string(change.changed),
        "bank": change.bank,
        "bank_kind": change.kind,
        "from": change.before,
        "to": change.after,
        "added": change.added,
        "retired": change.retired,
        "works": list(change.works),
        "actor": change.actor,
        "source": change.source,
        **({"rows": change.rows} if change.rows else {}),
    }


def bank_change_from(body: Mapping[str, Any]) -> BankChange:
    """The change that a body records. Raises LedgerError when it is not such a body, or one that cannot be."""
    try:
        change = BankChange(
            bank=body["bank"],
            kind=body["bank_kind"],
            before=body["from"],
            after=body["to"],
            added=body["added"],
            retired=body["retired"],
            works=tuple(body["works"]),
            actor=body["actor"],
            source=body["source"],
            changed=time_from(body["changed"]),
            rows=body.get("rows", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"found a bank's change that cannot be read ({type(error).__name__}), expected schema 1") from None
    texts = (change.bank, change.kind, change.actor, change.source, *change.works)
    stated = (change.before, change.after, *([change.rows] if "rows" in body else []))
    digests = all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in stated)
    counts = all(type(one) is int and one >= 0 for one in (change.added, change.retired))
    known = (body.get("kind"), body.get("schema")) == (BANK_CHANGE, BODY_VERSION)
    if not (known and digests and counts and all(isinstance(one, str) for one in texts)):
        raise LedgerError("found a bank's change of impossible values, expected texts, digests and counts")
    return change


def rollout_body(rollout: Rollout) -> dict[str, Any]:
    """Body of the entry that keeps one step of a policy's rollout. What a step does not have is left out."""
    optional = ("share", "by", "approver", "previous", "signature")
    return {
        "schema": BODY_VERSION,
        "kind": POLICY_ROLLOUT,
        "time": time_string(rollout.time),
        "step": rollout.step.value,
        **_fields(rollout, ("policy", "version", "revision", "author", "reason")),
        **{name: value for name, value in _fields(rollout, optional).items() if value},
    }


def rollout_from(body: Mapping[str, Any]) -> Rollout:
    """The step that a body records. Raises LedgerError when it is not such a body, or one that cannot be."""
    given = {name: value for name, value in body.items() if name not in {"schema", "kind"}}
    try:
        rollout = Rollout(**{**given, "step": Step(body["step"]), "time": time_from(body["time"])})
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"found a rollout that cannot be read ({type(error).__name__}), expected schema 1") from None
    known = (body.get("kind"), body.get("schema")) == (POLICY_ROLLOUT, BODY_VERSION)
    if not known or (fault := rollout_fault(rollout)):
        raise LedgerError(f"found a rollout of impossible values: {fault if known else 'another kind of body'}")
    return rollout


def rollout_fault(rollout: Rollout) -> str:
    """What cannot be about a step; empty when it can."""
    one, partial = rollout, rollout.step is Step.CANARY or (rollout.step in {Step.PROPOSE, Step.APPROVE} and rollout.share != 0)
    texts = (one.policy, one.author, one.reason, one.approver, one.by, one.signature, one.revision, one.previous)
    if not all(isinstance(text, str) for text in texts):
        return "expected texts"
    expected = (
        (bool(one.policy and one.author), "a policy and an author"),
        (type(one.version) is int and one.version >= 0, "a version that counts"),
        (
            all(_DIGEST.fullmatch(revision) for revision in (one.revision, one.previous or one.revision)),
            "revisions of 64 hexadecimal digits",
        ),
        ((one.step is Step.APPROVE) == bool(one.approver), "an approver with `approve`, and only there"),
        (one.approver.strip().casefold() != one.author.strip().casefold(), "an approver who is not the author"),
        (
            type(one.share) is int and (1 <= one.share <= 99 if partial else one.share == 0),
            "a share of 1 to 99 per cent with a canary, and only there",
        ),
        (
            one.by in ({"requests", "tenants"} if partial else {""}),
            "a share of `requests` or of `tenants` with a canary, and only there",
        ),
    )
    return next((f"expected {what}" for holds, what in expected if not holds), "")


def config_body(ledger: str, database_schema: int, key_id: str, time: datetime) -> dict[str, Any]:
    """Body of entry 0: which ledger this is, and which master key it began with."""
    return {
        "schema": BODY_VERSION,
        "kind": CONFIG,
        "time": time_string(time),
        "ledger": ledger,
        "database_schema": database_schema,
        "key_id": key_id,
    }


def decision_from(body: Mapping[str, Any]) -> Decision:
    """The decision that a body records, without its contents. Raises LedgerError when it is not a decision's body."""
    if body.get("kind") != DECISION or body.get("schema") != BODY_VERSION:
        found = f"kind {body.get('kind')!r}, schema {body.get('schema')!r}"
        raise LedgerError(f"found a body of {found}, expected {DECISION!r}, {BODY_VERSION}")
    try:
        context = body["context"]
        reviewed = _reviewed_from(body["reviewed"]) if "reviewed" in body else None
        return Decision(
            id=UUID(body["id"]),
            time=time_from(body["time"]),
            content=None,
            context=Context(
                **{**context, "stage": Stage(context["stage"]), "modality": Modality(context["modality"])},
                time=reviewed.judged if reviewed else time_from(body["time"]),
            ),
            request=Request(**body["request"]),
            results=tuple(result_from(result) for result in body["results"]),
            verdict=_verdict_from(body["verdict"]),
            released=None,
            marks=tuple(Mark(**mark) for mark in body["marks"]),
            parent=UUID(body["parent"]) if "parent" in body else None,
            shadows=tuple(_shadow_from(shadow) for shadow in body.get("shadows", ())),
            reviewed=reviewed,
            stream=_streamed_from(body["stream"]) if "stream" in body else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"found a decision's body that cannot be read ({type(error).__name__}), expected schema 1") from None


def commitments(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a body says of each stored payload, by `part`. Raises LedgerError when it is not said well."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in ("content", "released"):
        block = body.get(name)
        if block is None:
            continue
        strings = isinstance(block, dict) and all(isinstance(block.get(field), str) for field in ("part", "commit", "sealed"))
        if not strings or not isinstance(block.get("bytes"), int):
            raise LedgerError(f"found a body whose {name} has no commitment, expected part, bytes, commit and sealed")
        found[block["part"]] = block
    return found


def origin_from(body: Mapping[str, Any]) -> Origin | None:
    """What made the content of a decision's body; None when there was no content."""
    origin = body.get("origin")
    return None if origin is None else Origin(**{**origin, "parameters": _pairs_from(origin["parameters"])})


def time_string(time: datetime) -> str:
    """RFC 3339 in UTC with microseconds. Raises LedgerError for a time without a zone."""
    if time.tzinfo is None:
        raise LedgerError("found a time without a zone, expected UTC")
    moment = time if time.tzinfo is UTC else time.astimezone(UTC)
    if moment.microsecond and type(moment) is datetime:  # orjson is quicker, but leaves out microseconds that are none
        return orjson.dumps(moment, option=orjson.OPT_UTC_Z)[1:-1].decode()
    return moment.isoformat("T", "microseconds")[:-6] + "Z"


def time_from(text: str) -> datetime:
    """The time that `time_string` wrote."""
    return datetime.fromisoformat(text)


def _fields(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _request(request: Request) -> dict[str, Any]:
    record = _fields(request, ("id", "tenant", "actor", "subject", "language"))
    given = (("conversation", request.conversation), ("purpose", request.purpose), ("consent", request.consent))
    return record | {name: value for name, value in given if value}


def _context(context: Context) -> dict[str, Any]:
    return {
        "stage": context.stage.value,
        "modality": context.modality.value,
        "generator": context.generator,
        "tenant": context.tenant,
        "language": context.language,
        "length": context.length,
        **{name: value for name in ("purpose", "consent") if (value := getattr(context, name)) != NONE},
    }


def _content(content: Content, commitment: Mapping[str, Any]) -> dict[str, Any]:
    return {"media_type": content.media_type, "length": content.length, **commitment}


def result_record(result: CheckResult) -> dict[str, Any]:
    """A check's result as plain values."""
    record: dict[str, Any] = {
        "check": result.check,
        "use": result.use,
        "version": result.version,
        "digest": result.digest,
        "status": result.status.value,
        "findings": [_finding(finding) for finding in result.findings],
        "latency_us": result.latency_us,
        "error": result.error,
    }
    if result.scanned is not None:
        record["scanned"] = _place(result.scanned)
    return record


def _finding(finding: Finding) -> dict[str, Any]:
    record: dict[str, Any] = {
        "category": finding.category,
        "label": finding.label,
        "score": finding.score,
        "reason": finding.reason,
    }
    if finding.where is not None:
        record["where"] = _place(finding.where)
    if finding.match is not None:
        record["match"] = _match(finding.match)
    return record


def _match(match: Match) -> dict[str, Any]:
    """What is not known of a match is left out, as in bodies that were written before it could be known."""
    record = _fields(match, ("bank", "work", "title", "method", "distance", "limit"))
    record |= {name: value for name, value in _fields(match, ("chance", "transform")).items() if value}
    return record | ({"source": _place(match.source)} if match.source is not None else {})


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "action": verdict.action.value,
        "fired": [
            {
                **_fields(fired, ("rule", "title", "category", "basis", "because")),
                **({"basis_kind": fired.basis_kind} if fired.basis_kind else {}),
                "action": fired.action.value,
            }
            for fired in verdict.fired
        ],
        "explanation": verdict.explanation,
        "policy": verdict.policy,
        "version": verdict.version,
        "revision": verdict.revision,
        "edits": [
            {
                "where": _place(edit.where),
                "operator": edit.operator,
                "label": edit.label,
                "rule": edit.rule,
                "parameters": _pairs(edit.parameters),
            }
            for edit in verdict.edits
        ],
        "message": _pairs(verdict.message),
    }


def _reviewed(reviewed: Reviewed) -> dict[str, Any]:
    known = _fields(reviewed, ("actor", "code", "entry"))
    return {"held": str(reviewed.held), "judged": time_string(reviewed.judged), "rules": list(reviewed.rules), **known}


def _streamed(stream: Streamed) -> dict[str, Any]:
    counts = _fields(stream, ("judged", "sent", "steps"))
    return {"mode": stream.mode.value, "ending": stream.ending.value, **counts}


def _streamed_from(record: Mapping[str, Any]) -> Streamed:
    return Streamed(**{**record, "mode": StreamMode(record["mode"]), "ending": Ending(record["ending"])})


def _reviewed_from(record: Mapping[str, Any]) -> Reviewed:
    times = {"held": UUID(record["held"]), "judged": time_from(record["judged"])}
    return Reviewed(**{**record, **times, "rules": tuple(record["rules"])})


def _place(place: Place) -> list[int]:
    """Two numbers for a span, four for a region."""
    if isinstance(place, Span):
        return [place.start, place.end]
    return [place.left, place.top, place.right, place.bottom]


def _pairs(pairs: tuple[tuple[str, str], ...]) -> list[list[str]]:
    """A list and not an object: names come from outside and keep their order."""
    return [list(pair) for pair in pairs]


def _pairs_from(pairs: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in pairs)


def _place_from(numbers: list[int]) -> Place:
    return Span(*numbers) if len(numbers) == 2 else Region(*numbers)


def result_from(record: Mapping[str, Any]) -> CheckResult:
    """The result of such a record."""
    return CheckResult(
        **{
            **record,
            "status": Status(record["status"]),
            "findings": tuple(_finding_from(finding) for finding in record["findings"]),
            "scanned": _place_from(record["scanned"]) if "scanned" in record else None,
        }
    )


def _shadow_from(record: Mapping[str, Any]) -> Shadow:
    results = tuple(result_from(result) for result in record["results"])
    return Shadow(_verdict_from(record["verdict"]), results)


def _finding_from(record: Mapping[str, Any]) -> Finding:
    where = _place_from(record["where"]) if "where" in record else None
    match = _match_from(record["match"]) if "match" in record else None
    return Finding(**{**record, "where": where, "match": match})


def _match_from(record: Mapping[str, Any]) -> Match:
    source = _place_from(record["source"]) if "source" in record else None
    return Match(**{**record, "source": source})


def _verdict_from(record: Mapping[str, Any]) -> Verdict:
    edits = [
        Edit(**{**edit, "where": _place_from(edit["where"]), "parameters": _pairs_from(edit["parameters"])})
        for edit in record["edits"]
    ]
    return Verdict(
        **{
            **record,
            "action": Action(record["action"]),
            "fired": tuple(FiredRule(**{**fired, "action": Action(fired["action"])}) for fired in record["fired"]),
            "edits": tuple(edits),
            "message": _pairs_from(record["message"]),
        }
    )
