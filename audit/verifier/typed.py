"""Bodies of decisions as the types that they have, read strictly and written again: the same bytes need no closer look.

A body that this reads is one that `audit.body.decision_from` reads, and its bytes are the canonical ones (RFC 8785): keys stand
here in the order of their names, integers stay within 2**53, and msgspec writes strings as JCS does. The contrary does not
hold: what this does not read, such as a body of a later version, is looked at by `audit.verifier.careful`, which also has words
for what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from audit.canonical import MAX_INTEGER
from audit.findable import SAFE
from audit.projected import REVIEWED

Integer = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Short = Annotated[str, Meta(max_length=SAFE)]
"""A text that columns hold as it is, unless there is a NUL in it (`audit.findable`)."""
Span = tuple[Integer, Integer]
Region = tuple[Integer, Integer, Integer, Integer]
Pairs = list[tuple[str, str]]
Action = Literal["allow", "label", "redact", "review", "block"]
Place = TypeVar("Place")
"""`Span` in bodies about texts, `Region` in those about images."""

_NUL = b"\\u0000"
"""As bodies have it."""
_NIL = b"00000000-0000-0000-0000-000000000000"
_SHAPE = bytes(ord("0") if byte in b"0123456789abcdef" else byte for byte in range(256))


class _Part(Struct, gc=False, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An object of a body. Its fields are in the order of their names; those with a default may be absent."""


class Stored(_Part, kw_only=True):
    """A content that was stored."""

    bytes: Integer
    commit: str
    length: Integer
    media_type: str
    part: str
    sealed: str


class Context(_Part, kw_only=True):
    """What was judged."""

    consent: str | UnsetType = UNSET
    generator: Short
    language: str
    length: Integer
    modality: Literal["text", "image", "audio"]
    purpose: str | UnsetType = UNSET
    stage: Literal["prompt", "output", "chunk"]
    tenant: str


class Copies(_Part, kw_only=True):
    """What copies are found by."""

    exact: Short | UnsetType = UNSET
    folded: Short | UnsetType = UNSET


class Mark(_Part, kw_only=True):
    """A mark."""

    error: str
    kind: str
    method: str
    payload: Short
    verified: bool


class Origin(_Part, kw_only=True):
    """What made it."""

    digest: str
    generator: str
    model: Short
    parameters: Pairs


class Request(_Part, kw_only=True):
    """Who asked."""

    actor: Short
    consent: Short | UnsetType = UNSET
    conversation: str | UnsetType = UNSET
    id: Short
    language: str
    purpose: Short | UnsetType = UNSET
    subject: Short
    tenant: Short


class Match(_Part, Generic[Place], kw_only=True):
    """A work that is reproduced."""

    bank: str
    chance: str | UnsetType = UNSET
    distance: Integer
    limit: Integer
    method: str
    source: Place | UnsetType = UNSET
    title: str
    transform: str | UnsetType = UNSET
    work: str


class Finding(_Part, Generic[Place], kw_only=True):
    """What a check found."""

    category: str
    label: str
    match: Match[Place] | UnsetType = UNSET
    reason: str
    score: Integer
    where: Place | UnsetType = UNSET


class Result(_Part, Generic[Place], kw_only=True):
    """What a check answered."""

    check: str
    digest: str
    error: str
    findings: list[Finding[Place]]
    latency_us: Integer
    scanned: Place | UnsetType = UNSET
    status: Literal["ok", "skipped", "failed", "timeout"]
    use: str
    version: str


class Edit(_Part, Generic[Place], kw_only=True):
    """A place that was changed."""

    label: str
    operator: str
    parameters: Pairs
    rule: str
    where: Place


class Fired(_Part, kw_only=True):
    """A rule that fired."""

    action: Action
    basis: str
    basis_kind: str | UnsetType = UNSET
    because: str
    category: Short
    rule: Short
    title: str


class Verdict(_Part, Generic[Place], kw_only=True):
    """What a policy said."""

    action: Action
    edits: list[Edit[Place]]
    explanation: str
    fired: list[Fired]
    message: Pairs
    policy: Short
    revision: Short
    version: Integer


class Shadow(_Part, Generic[Place], kw_only=True):
    """What a policy in shadow would have said."""

    results: list[Result[Place]]
    verdict: Verdict[Place]


class Reviewed(_Part, kw_only=True):
    """Who let it go."""

    actor: str
    code: str
    entry: Integer
    held: str
    judged: str
    rules: list[str]


class Streamed(_Part, kw_only=True):
    """How it left piece by piece."""

    ending: Literal["complete", "blocked", "held", "failed", "cancelled"]
    judged: Integer
    mode: Literal["window", "buffer"]
    sent: Integer
    steps: Integer


class Body(_Part, Generic[Place], kw_only=True):
    """A decision."""

    content: Stored | UnsetType = UNSET
    context: Context
    copies: Copies | UnsetType = UNSET
    id: str
    kind: Literal["decision"]
    marks: list[Mark]
    origin: Origin | UnsetType = UNSET
    parent: str | UnsetType = UNSET
    released: Stored | UnsetType = UNSET
    request: Request
    results: list[Result[Place]]
    reviewed: Reviewed | UnsetType = UNSET
    schema: Literal[1]
    shadows: list[Shadow[Place]] | UnsetType = UNSET
    stream: Streamed | UnsetType = UNSET
    time: Short
    verdict: Verdict[Place]


_text: Callable[[bytes], Body[Any]] = msgspec.json.Decoder(Body[Span]).decode
_image: Callable[[bytes], Body[Any]] = msgspec.json.Decoder(Body[Region]).decode
_encode_into = msgspec.json.Encoder().encode_into


def is_id(text: str) -> bool:
    """Whether it is an id as bodies have them: 32 lower-case hexadecimal digits in five groups."""
    return text.encode().translate(_SHAPE) == _NIL


class Reader:
    """Reads bodies, one at a time."""

    __slots__ = ("_written",)

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._written = bytearray(4096)

    def read(self, data: bytes, modality: object) -> Body[Any] | None:
        """The decision of a body in canonical form; None for anything else, and for whatever takes a closer look.

        `modality`: what the entry's column says, which the body has to say as well.
        """
        try:
            body = _image(data) if modality == "image" else _text(data)
            _encode_into(body, self._written)
            if self._written != data or (b"\\" in data and _NUL in data):
                return None
            if body.context.modality != modality or not is_id(body.id):
                return None
            datetime.fromisoformat(body.time)
            if body.parent is not UNSET and not is_id(body.parent):
                return None
            if body.reviewed is not UNSET:
                if not is_id(body.reviewed.held):
                    return None
                datetime.fromisoformat(body.reviewed.judged)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # a text that is no Unicode is a ValueError, too
            return None
        return body


def columns(body: Body[Any]) -> tuple[Any, ...]:
    """The columns of `entry` from `time` on, as `audit.projected.project` derives them."""
    request, context, verdict = body.request, body.context, body.verdict
    return (
        body.time,
        body.id,
        request.id,
        request.tenant,
        request.actor,
        request.subject,
        context.stage,
        context.modality,
        context.generator,
        "" if body.origin is UNSET else body.origin.model,
        verdict.action,
        verdict.policy,
        verdict.version,
        verdict.revision,
        None if body.parent is UNSET else body.parent,
    )


def terms(idx: int, body: Body[Any]) -> list[tuple[int, str, str]]:
    """The rows of `term`, in their order, as `audit.projected.terms` derives them."""
    fired, copies, request = body.verdict.fired, body.copies, body.request
    if len(fired) == 1:
        found = [(idx, "category", fired[0].category)]
    else:
        found = [(idx, "category", one) for one in sorted({one.category for one in fired})]
    if request.consent is not UNSET:
        found.append((idx, "consent", request.consent))
    if copies is not UNSET:
        if copies.exact is not UNSET:
            found.append((idx, "exact", copies.exact))
        if copies.folded is not UNSET:
            found.append((idx, "folded", copies.folded))
    if body.marks or request.purpose is not UNSET or body.reviewed is not UNSET:
        found += _rare(idx, body)
    if len(fired) == 1:
        found.append((idx, "rule", fired[0].rule))
    else:
        found += [(idx, "rule", one) for one in sorted({one.rule for one in fired})]
    if body.shadows is not UNSET:
        found += [(idx, "shadow", one) for one in sorted({shadow.verdict.action for shadow in body.shadows})]
    return found


def _rare(idx: int, body: Body[Any]) -> list[tuple[int, str, str]]:
    """Terms from `mark` to `reviewed`."""
    found = [(idx, "mark", one) for one in sorted({mark.payload for mark in body.marks if mark.payload})]
    if body.request.purpose is not UNSET:
        found.append((idx, "purpose", body.request.purpose))
    if body.reviewed is not UNSET:
        found.append((idx, REVIEWED, body.reviewed.held))
    return found
