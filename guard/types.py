"""Every value type of genguard: the file to read first; `guard.protocols` is the second. Standard library only.

One output takes one way through the house, and each step makes a new frozen value:

    Content -> CheckResult (one a check) -> Verdict -> Decision -> Receipt -> Release

Units, everywhere: scores are integers per mille (0 to 1000), text positions are Unicode code points, image positions are
pixels from the top left corner, audio positions are bytes of its file, ranges are half-open, durations are microseconds, times
are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from guard.changes import BankChange as BankChange  # noqa: PLC0414 - what users of this module import from here
from guard.changes import Rollout as Rollout  # noqa: PLC0414
from guard.changes import Step as Step  # noqa: PLC0414


class Modality(StrEnum):
    """What a content is made of."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"


class Stage(StrEnum):
    """Where on its way a content is: asked for, made, or a piece of a stream being made."""

    PROMPT = "prompt"
    OUTPUT = "output"
    CHUNK = "chunk"


class Status(StrEnum):
    """What became of one check. Only `ok` says that the content was looked at."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMEOUT = "timeout"


class Action(StrEnum):
    """What follows from a verdict, weakest first: the strictest action that fires wins."""

    ALLOW = "allow"
    LABEL = "label"
    REDACT = "redact"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def strength(self) -> int:
        """Rank from 0 (`allow`) to 4 (`block`)."""
        return _STRENGTH[self]

    @property
    def releases(self) -> bool:
        """Whether a content may leave, edited or not, under this action."""
        return self.strength < Action.REVIEW.strength


_STRENGTH = {action: rank for rank, action in enumerate(Action)}


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of code points of one text, or of bytes of one audio file."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Region:
    """A half-open box of pixels of one image."""

    left: int
    top: int
    right: int
    bottom: int


Place = Span | Region


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, and under which id all that follows is found again."""

    id: str
    tenant: str = "default"
    actor: str = "anonymous"
    """Who made the call: the name of an API key, a user of the terminal."""
    subject: str = ""
    """Whose data it is, as an opaque id: erasure works by subject. Empty: nobody in particular."""
    language: str = "und"
    """BCP 47 tag of the text's language, `und` when unknown."""
    conversation: str = ""
    """Which texts belong together, as an opaque id: within one, a person gets one stand-in. Empty: the caller did not say."""
    purpose: str = ""
    """What it is asked for, in the caller's own terms. Empty: the caller did not say."""
    consent: str = ""
    """Where the consent that it rests on is on record, as an opaque reference. Empty: the caller named none."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What made a content."""

    generator: str
    model: str = ""
    digest: str = ""
    """SHA-256 of the model's weights, hexadecimal; empty where there are none to digest."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Sampling parameters as sorted (name, value) pairs, seed included."""


CALLER = Origin("caller")
"""The origin of a prompt, and of content that was made elsewhere."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asks for. Its arguments, as JSON, are the text of the content that has it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a conversation: a part of the one text that is judged."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    where: Span
    call: ToolCall | None = None
    """Of an assistant: the call it asked for, whose arguments are the part. Of a tool: the call it answers."""


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token of an output, and how likely the model found it."""

    token: str = field(repr=False)
    logprob: float
    """Natural logarithm of its probability."""
    top: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """The likeliest tokens in its place with theirs, likeliest first."""


@dataclass(frozen=True, slots=True)
class Making:
    """What a generator tells of how an output came to be, besides its origin.

    It is neither judged nor recorded: `scores` spell the output, so they may only leave beside one that no rule edited.
    """

    choice: int = 0
    """Which of the outputs of its prompt: a text and the tool calls beside it are one choice."""
    finish: str = "stop"
    """Why it ended: `stop`, `length`, `tool_calls`, or `content_filter` where the service that made it cut it itself; `stopped`
    for an image that was not made to its end."""
    prompt_tokens: int | None = None
    """None where the generator does not count them."""
    output_tokens: int | None = None
    call: ToolCall | None = None
    """For a tool call; None for what is said or shown."""
    scores: tuple[TokenScore, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Content:
    """One text (`data` is a str), or one image or audio (`data` is its encoded file), compared by identity."""

    modality: Modality
    data: str | bytes = field(repr=False)
    media_type: str
    stage: Stage
    origin: Origin
    request: Request
    making: Making | None = None
    """What its generator tells of how it was made; None for everything else."""
    turns: tuple[Turn, ...] = ()
    """For a prompt that is a conversation: which part of its text is whose. A generator is sent these parts of
    what was judged, and nothing else."""
    transcript: str = field(default="", repr=False)
    """For an audio: the words of the judged prompt that its generator was made to say; the prompt's decision records them.
    Empty: nobody knows any, as of music, or of a file that was made elsewhere."""

    @property
    def length(self) -> int:
        """Code points of a text, bytes of a file."""
        return len(self.data)

    @property
    def text(self) -> str:
        """The text; raises TypeError for a file."""
        if not isinstance(self.data, str):
            raise TypeError(f"expected a text content, found {self.modality.value}")
        return self.data

    @property
    def file(self) -> bytes:
        """The encoded image or audio file; raises TypeError for a text."""
        if not isinstance(self.data, bytes):
            raise TypeError(f"expected a file as content, found {self.modality.value}")
        return self.data

    def text_of(self, turn: Turn) -> str:
        """What a turn says; raises TypeError for a file."""
        return self.text[turn.where.start : turn.where.end]

    def payload(self) -> bytes:
        """The bytes that are committed to and kept: the file, or the text as UTF-8."""
        return self.data if isinstance(self.data, bytes) else self.data.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Match:
    """A registered work that a content reproduces."""

    bank: str
    work: str
    """Id of the work inside its bank."""
    title: str
    method: str
    """Which fingerprint matched: `pdq`, `phash`, …"""
    distance: int
    """In the method's own unit: differing bits for a hash."""
    limit: int
    """The largest distance that still counts as a match."""
    chance: str = ""
    """How many works of this bank would match this closely by chance, such as `3e-09`; empty where nobody can say."""
    transform: str = ""
    """How the output shows the work, in words: `mirrored, turned by 90 degrees, cropped`; empty for as it is."""
    source: Place | None = None
    """Where in the registered work; None: all of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found. `reason` is safe to log: it never quotes the content."""

    category: str
    """One of `guard.taxonomy.CATEGORIES`."""
    label: str
    """The check's own name for it: `threat`, `CREDIT_CARD`, `matched`."""
    score: int
    """Per mille."""
    where: Place | None = None
    match: Match | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a check answers for one content: what it found, and the range it really read (None: nothing)."""

    findings: tuple[Finding, ...]
    scanned: Place | None
    digest: str = ""
    """Digest of what it was compared with, where that changes while the check is in use; empty: the check's own."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's part in a decision, as it is recorded."""

    check: str
    """The name the policy gives it."""
    use: str
    """The name it is registered under."""
    version: str
    digest: str
    """Digest of its model or bank; empty for code alone."""
    status: Status
    findings: tuple[Finding, ...] = ()
    scanned: Place | None = None
    latency_us: int = 0
    error: str = ""
    """Why it is not `ok`, without any of the content."""


NONE = "none"
"""What conditions see of a purpose or a consent that the caller did not name."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a policy's conditions may ask about a content, besides the findings."""

    stage: Stage
    modality: Modality
    generator: str
    tenant: str = "default"
    language: str = "und"
    length: int = 0
    time: datetime | None = None
    """When it was judged; recorded as the decision's time. None: nobody said, and conditions on time are unknown."""
    purpose: str = NONE
    consent: str = NONE


@dataclass(frozen=True, slots=True)
class Edit:
    """One place to change, on the original content. Edits are merged once and never edit each other's result."""

    where: Place
    operator: str
    """`mask`, `encrypt`, `hash`, `pseudonymise`, `replace`, `remove` for text; `fill`, `blur`, `pixelate` for images."""
    label: str
    rule: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FiredRule:
    """A rule that fired, with all that an officer needs to explain it."""

    rule: str
    title: str
    action: Action
    category: str
    basis: str
    because: str
    """What made it fire, in words, without any of the content."""
    basis_kind: str = ""
    """What `basis` is: `law`, `contract`, `house`, or nothing said."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of a content. Derived by `guard.decide` alone, and derivable again from what is recorded."""

    action: Action
    fired: tuple[FiredRule, ...]
    explanation: str
    policy: str
    version: int
    revision: str
    edits: tuple[Edit, ...] = ()
    message: tuple[tuple[str, str], ...] = ()
    """What the person is told, by language."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that was put on an output, or that could not be (`verified` is false and `error` says why)."""

    kind: str
    method: str
    payload: str
    """Hexadecimal; what a reader gets back."""
    verified: bool
    """Whether it was read back from the very file that is released."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a policy in shadow would have said: recorded with the decision, never enforced."""

    verdict: Verdict
    results: tuple[CheckResult, ...]
    """All that it was derived from, as in `Decision.results`."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """By whose decision an output leaves that was held: recorded with the decision that releases it."""

    held: UUID
    """The decision that held it; what was measured then counts on."""
    judged: datetime
    """When that was."""
    rules: tuple[str, ...]
    """Ids of the rules with the action `review` that the person set aside."""
    actor: str
    code: str
    """Why, by the ledger's list of codes."""
    entry: int
    """Index of the entry in which the person decided."""


class Ending(StrEnum):
    """How a stream ended."""

    COMPLETE = "complete"
    BLOCKED = "blocked"
    HELD = "held"
    """A person decides on the whole text."""
    FAILED = "failed"
    """Whatever made it failed."""
    CANCELLED = "cancelled"
    """Nobody was there to read on."""


class StreamMode(StrEnum):
    """How an output that is made piece by piece leaves."""

    WINDOW = "window"
    """What cannot change any more leaves."""
    BUFFER = "buffer"
    """All of it at the end."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """How an output left piece by piece: recorded with its decision."""

    mode: StreamMode
    ending: Ending
    judged: int
    """Code points of the text, from its beginning, that were judged; more never left."""
    sent: int
    """Characters that left: of the text after edits."""
    steps: int
    """How often the checks were asked."""


@dataclass(frozen=True, slots=True)
class Opening:
    """An output begins to leave before its decision can be made."""

    decision: UUID
    """The id that the decision will have."""
    prompt: UUID
    """The decision on the prompt it answers."""
    request: Request
    generator: str
    choice: int
    policy: str
    revision: str


@dataclass(frozen=True, slots=True)
class Decision:
    """All that is recorded of one content: its inputs, the verdict, and what became of it."""

    id: UUID
    """UUIDv7."""
    time: datetime
    content: Content | None
    """None when the input could not be read as a content at all: `verdict` says why."""
    context: Context
    request: Request
    results: tuple[CheckResult, ...]
    verdict: Verdict
    released: Content | None
    marks: tuple[Mark, ...] = ()
    parent: UUID | None = None
    """The decision on the prompt this output answers."""
    shadows: tuple[Shadow, ...] = ()
    fingerprint: bytes = field(default=b"", repr=False)
    """What changed copies of a released image are recognised by; empty for everything else. It is a coarse picture of the
    content: a ledger keeps it as it keeps the content, and never in what is hashed."""
    reviewed: Reviewed | None = None
    """By whose decision it leaves after it was held; None for one that rules alone made."""
    stream: Streamed | None = None
    """How it left piece by piece; None for what left as a whole."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of a durable commit. Only a ledger makes one, and only after the commit."""

    decision: UUID
    index: int
    leaf_hash: bytes
    tree_size: int


@dataclass(frozen=True, slots=True)
class Marking:
    """What a mark may tell of the output it is put on. Of `source` it may tell nothing about who asked."""

    decision: UUID
    time: datetime
    policy: str
    version: int
    revision: str
    source: Content
    """The output as it came, before any edit or mark."""
    edited: bool = False
    """Whether something was redacted: then nothing of `source` may go into the marked file."""
    ledger: str = ""
    """Which ledger the decision will be in."""
    prompt: Receipt | None = None
    """Receipt of the decision on the prompt. The output's own cannot be known: it proves the commit of these very bytes."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs this guard, as marks name and sign for them."""

    content_producer: str = ""
    """Name, or 27-character code, of the provider; empty: none was set, and no mark may invent one."""
    certificate: Path | None = None
    """PEM file with the certificate that C2PA manifests are signed with, leaf first."""
    key: Path | None = None
    """PEM file (PKCS #8) with its private key."""
    watermark_key: bytes = field(default=b"", repr=False)
    """32 secret bytes: without them nobody reads, makes or forges a keyed watermark; empty: none was set."""


@dataclass(frozen=True, slots=True)
class Release:
    """What the caller gets: the content that may leave (None: nothing leaves), why, and the receipt."""

    content: Content | None
    verdict: Verdict
    receipt: Receipt
    decision: Decision

    def __post_init__(self) -> None:
        """Raise ValueError unless receipt, verdict and content are this decision's, and the verdict lets a content leave."""
        if self.receipt.decision != self.decision.id:
            raise ValueError(f"receipt is for decision {self.receipt.decision}, expected {self.decision.id}")
        if self.verdict is not self.decision.verdict or self.content is not self.decision.released:
            raise ValueError(f"verdict or content is not the one recorded in decision {self.decision.id}")
        if self.content is not None and not self.verdict.action.releases:
            raise ValueError(f"decision {self.decision.id} is {self.verdict.action.value!r}, expected no content")

    @property
    def refused(self) -> bool:
        """Whether the input could not be read as a content at all."""
        return self.decision.content is None


@dataclass(frozen=True, slots=True)
class Examples:
    """Contents that a check must flag and must pass: its documentation, and its contract test."""

    flagged: tuple[Content, ...]
    clean: tuple[Content, ...]
