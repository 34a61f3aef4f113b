"""What happens around decisions, as entries of their own: reviews, appeals, reveals, exports, erasures, rotations of keys.

All have one form; `KINDS` says which fields each kind has. An entry about a decision names it, so that what followed a decision
is found with `parent:ID`. Nothing here quotes a content: reasons are what people write on purpose, and codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from audit.body import BODY_VERSION, time_from, time_string
from guard.errors import LedgerError
from guard.types import Opening

Value = str | int | bool | tuple[str, ...]
"""What a field may hold."""

MAX_TEXT = 10_000
"""Characters of one text."""
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event."""

    title: str
    fields: Mapping[str, type]
    """Every field it may have: `str`, `int`, `bool`, or `tuple` for a list of texts. Empty ones are left out."""
    terms: tuple[str, ...] = ()
    """Fields that it is found by."""
    about: bool = False
    """Whether it is about a decision, and has to name it."""
    reason: bool = False
    """Whether a reason has to be given."""


REVIEW, APPEAL, OVERRIDE, FEEDBACK = "review", "appeal", "override", "feedback"
ACCESS, EXPORT, ERASURE, HOLD = "access", "export", "erasure", "hold"
RETENTION_PRUNE, KEY_ROTATION = "retention_prune", "key_rotation"
STREAM = "stream"
API_KEY, LOGIN = "api_key", "login"

_REVIEW_FIELDS = {
    "step": str,
    "code": str,
    "outcome": str,
    "lease": str,
    "queue": str,
    "round": int,
    "rounds": int,
    "opens": int,
    "closes": int,
    "due": str,
    "released": str,
}
_EXPORT_FIELDS = {"format": str, "query": str, "first": int, "last": int, "count": int, "digest": str}
_ERASURE_FIELDS = {"what": str, "keys": int, "payloads": int, "fingerprints": int, "basis": str}
_PRUNE_FIELDS = {
    "what": str,
    "below": int,
    "days": int,
    "bodies": int,
    "payloads": int,
    "keys": int,
    "fingerprints": int,
    "held": int,
    "policy": str,
}
_ROTATION_FIELDS = {"what": str, "before": str, "after": str, "keys": int, "tags": tuple}
_KEY_FIELDS = {
    "step": str,
    "key": str,
    "name": str,
    "roles": tuple,
    "expires": str,
    "digest": str,
    "replaces": str,
    "ends": str,
}
_LOGIN_FIELDS = {"step": str, "by": str, "key": str, "roles": tuple, "count": int}
_TURNS = {"queue": str, "opens": int, "closes": int}
"""Of steps after which a decision waits for a person, or no longer: its index. What waits is found by them alone."""
_OUTCOMES = {"step": str, "code": str, "outcome": str, "round": int, "rounds": int, **_TURNS}
_FOUND_BY = ("step", "outcome", *_TURNS)

OPENED = "output"
"""The field and term of a stream's entry that names the decision to come."""
SUBJECT, AGE, MASTER, LOG = "subject", "age", "master", "log"
"""What the field and term `what` says of an erasure, of what retention dropped, and of rotations of the master key and of that
which signs checkpoints."""

KINDS: dict[str, Kind] = {
    REVIEW: Kind("a step of a review", _REVIEW_FIELDS, _FOUND_BY, about=True),
    APPEAL: Kind("an appeal against a decision", _OUTCOMES, _FOUND_BY, about=True, reason=True),
    OVERRIDE: Kind(
        "a decision set aside, or that undone",
        {"outcome": str, "undoes": int, **_TURNS},
        ("outcome", *_TURNS),
        about=True,
        reason=True,
    ),
    FEEDBACK: Kind("what a caller says of a decision", {"code": str, **_TURNS}, ("code", *_TURNS), about=True),
    ACCESS: Kind(
        "content that was revealed", {"parts": tuple, "break_glass": bool, "query": str, "count": int}, ("break_glass",)
    ),
    EXPORT: Kind("entries that were exported", _EXPORT_FIELDS, ("format",)),
    ERASURE: Kind("a subject's content that was made unreadable", _ERASURE_FIELDS, ("what",), reason=True),
    HOLD: Kind("a legal hold, set or lifted", {"step": str, "hold": str, "query": str}, ("step", "hold"), reason=True),
    RETENTION_PRUNE: Kind("bodies and content that were dropped at their age", _PRUNE_FIELDS, ("what",)),
    STREAM: Kind(
        "an output that began to leave before its decision",
        {OPENED: str, "choice": int, "generator": str, "policy": str, "revision": str, "request": str},
        (OPENED,),
        about=True,
    ),
    API_KEY: Kind("a key of the service that was made, replaced or withdrawn", _KEY_FIELDS, ("step", "key", "replaces")),
    LOGIN: Kind("a browser that logged in or out, or was not let in", _LOGIN_FIELDS, ("step", "key")),
    KEY_ROTATION: Kind("a key that took the place of another", _ROTATION_FIELDS, ("what",)),
}
"""Every kind of event by the name that its entries bear."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Raises LedgerError when it is made of what its kind cannot have."""

    kind: str
    actor: str
    """Who did it."""
    fields: Mapping[str, Value] = field(default_factory=dict)
    about: str = ""
    """Id of the decision that it is about."""
    reason: str = ""
    tenant: str = ""
    """Whose it is; empty: the ledger's as a whole."""
    subject: str = ""
    """Whose data it concerns."""
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        """Check it against its kind."""
        if fault := _fault(self):
            raise LedgerError(f"found an event of kind {self.kind!r} that cannot be: {fault}")


def opening_event(opening: Opening) -> Event:
    """The event of an output that begins to leave. Its decision will have the id that it names."""
    request = opening.request
    texts = {OPENED: str(opening.decision), "generator": opening.generator, "policy": opening.policy}
    fields: dict[str, Value] = {**texts, "revision": opening.revision, "request": request.id, "choice": opening.choice}
    return Event(STREAM, request.actor, fields, str(opening.prompt), tenant=request.tenant, subject=request.subject)


def event_body(event: Event) -> dict[str, Any]:
    """Body of an event's entry. What is empty is left out."""
    texts = {name: getattr(event, name) for name in ("about", "reason", "tenant", "subject")}
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in event.fields.items() if value}
    return {
        "schema": BODY_VERSION,
        "kind": event.kind,
        "time": time_string(event.time),
        "actor": event.actor,
        **{name: text for name, text in texts.items() if text},
        **({"fields": fields} if fields else {}),
    }


def event_from(body: Mapping[str, Any]) -> Event:
    """The event that a body records. Raises LedgerError when it is not such a body, or one that cannot be."""
    try:
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in body.get("fields", {}).items()}
        texts = {name: body[name] for name in ("about", "reason", "tenant", "subject") if name in body}
        event = Event(body["kind"], body["actor"], fields, time=time_from(body["time"]), **texts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerError(f"found an event that cannot be read ({type(error).__name__}), expected schema 1") from None
    if body.get("schema") != BODY_VERSION or event_body(event) != body:
        raise LedgerError("found an event with parts that no event has, expected schema 1")
    return event


def event_columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of `entry` that follow from an event's body; the decision it is about stands in `parent`."""
    columns = {"actor": body["actor"], "tenant": body.get("tenant"), "subject": body.get("subject")}
    return columns | {"parent": body.get("about")}


def event_terms(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Terms that an event is found by."""
    fields = body.get("fields", {})
    return {(name, str(fields[name])) for name in KINDS[body["kind"]].terms if name in fields}


def _fault(event: Event) -> str:
    """What cannot be about an event; empty when it can."""
    kind = KINDS.get(event.kind)
    if kind is None:
        return f"expected one of {', '.join(KINDS)}"
    texts = (event.actor, event.about, event.reason, event.tenant, event.subject)
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts):
        return f"expected texts of at most {MAX_TEXT} characters"
    if not event.actor.strip():
        return "expected an actor"
    if (kind.about and not event.about) or (event.about and not _ID.fullmatch(event.about)):
        return "expected the id of the decision that it is about"
    if kind.reason and not event.reason.strip():
        return "expected a reason"
    return next((fault for name, value in event.fields.items() if (fault := _field_fault(kind, name, value))), "")


def _field_fault(kind: Kind, name: str, value: object) -> str:
    wanted = kind.fields.get(name)
    if wanted is None:
        return f"unknown field {name!r}, expected one of {', '.join(kind.fields)}"
    if type(value) is not wanted:
        return f"field {name!r} is a {type(value).__name__}, expected {wanted.__name__}"
    parts = value if isinstance(value, tuple) else (value,)
    if wanted is tuple and not all(isinstance(part, str) for part in parts):
        return f"field {name!r} holds what is no text"
    if any(isinstance(part, str) and len(part) > MAX_TEXT for part in parts):
        return f"field {name!r} is longer than {MAX_TEXT} characters"
    return ""
