"""Small real parts for tests of the core: a ledger in memory, a generator of given outputs, checks that do one thing each."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from guard.errors import LedgerError, ModelError
from guard.rules import CheckSpec, Condition, Found, MarkSpec, Policy, Rule
from guard.types import (
    CALLER,
    Action,
    BankChange,
    CheckResult,
    Content,
    Context,
    Decision,
    Examples,
    Finding,
    Marking,
    Modality,
    Opening,
    Origin,
    Receipt,
    Region,
    Request,
    Rollout,
    Scan,
    Span,
    Stage,
    Status,
)

TEXT, IMAGE = frozenset({Modality.TEXT}), frozenset({Modality.IMAGE})
TEN = Span(0, 10)


# --- contents --------------------------------------------------------------------------------------------------------


def text(data: str, *, stage: Stage = Stage.OUTPUT, request: Request | None = None, generator: str = "") -> Content:
    """A text content; made by `generator`, or by the caller when left out."""
    origin = Origin(generator) if generator else CALLER
    return Content(Modality.TEXT, data, "text/plain", stage, origin, request or Request("r"))


def png(width: int = 32, height: int = 32, colour: tuple[int, ...] = (255, 255, 255)) -> bytes:
    """An image file of one colour: RGB, or RGBA for a colour of four parts."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def image(data: bytes | None = None, *, stage: Stage = Stage.OUTPUT) -> Content:
    """An image content."""
    return Content(Modality.IMAGE, png() if data is None else data, "image/png", stage, CALLER, Request("r"))


def marking(decision: UUID, content: Content | None = None, **fields: Any) -> Marking:
    """What a marker is told of a decision; `content` is what the output was before edits."""
    known: dict[str, Any] = {"policy": "house", "version": 3, "revision": "ab" * 32, "ledger": "memory", **fields}
    return Marking(decision, datetime(2026, 11, 27, 8, 30, tzinfo=UTC), source=content or image(), **known)


def damaged_png() -> bytes:
    """A file whose header can be read and whose pixels cannot."""
    whole = png(64, 64, (10, 20, 30))
    return whole[: whole.index(b"IDAT") + 8]


# --- policies --------------------------------------------------------------------------------------------------------


def spec(name: str, check: Any = None, **fields: Any) -> CheckSpec:
    """A line of `checks`, with the modalities of the check itself, or text; a busy machine has time enough for it."""
    modalities = check.modalities if check is not None else TEXT
    return CheckSpec(name, name, modalities=modalities, **{"deadline_ms": 60_000, **fields})


def rule(action: Action, when: Condition, rule_id: str = "", **fields: Any) -> Rule:
    """A rule; `redact` masks when no operator is given."""
    operator = fields.pop("operator", "mask" if action is Action.REDACT else "")
    return Rule(rule_id or action.value, when, action, fields.pop("category", "privacy"), operator=operator, **fields)


def policy(checks: Sequence[CheckSpec], rules: Sequence[Rule] = (), marks: Sequence[MarkSpec] = (), **fields: Any) -> Policy:
    """A live policy; its revision is the digest of what it says."""
    document = json.dumps([repr(checks), repr(rules), repr(marks), repr(fields)])
    revision = hashlib.sha256(document.encode()).hexdigest()
    known = {"id": "house", "version": 1, "status": "live", **fields}
    return Policy(revision=revision, document=document, checks=tuple(checks), rules=tuple(rules), marks=tuple(marks), **known)


def word_policy(*words: str, action: Action = Action.BLOCK, **fields: Any) -> tuple[Policy, dict[str, WordCheck]]:
    """A policy with one check, `words`, and one rule on whatever it finds; with the built check."""
    check = WordCheck(*words)
    return policy([spec("words", check)], [rule(action, Found("words"))], **fields), {"words": check}


# --- check results ---------------------------------------------------------------------------------------------------


def finding(label: str = "word", score: int = 900, where: Any = None, category: str = "privacy") -> Finding:
    """A finding."""
    return Finding(category, label, score, where)


def result(check: str, *findings: Finding, status: Status = Status.OK, scanned: Any = TEN, error: str = "") -> CheckResult:
    """What a check answered for a text of ten code points, all of which it read."""
    return CheckResult(check, check, "1", "", status, findings, scanned if status is Status.OK else None, 5, error)


def context(**fields: Any) -> Context:
    """The context of an output text of ten code points."""
    return Context(**{"stage": Stage.OUTPUT, "modality": Modality.TEXT, "generator": "list", "length": 10, **fields})


# --- checks ----------------------------------------------------------------------------------------------------------


def whole(content: Content) -> Span | Region:
    """The range of a check that read all of it."""
    return Span(0, content.length) if content.modality is Modality.TEXT else Region(0, 0, 32, 32)


class FakeCheck:
    """Finds nothing, and reads all of it."""

    version = "1"
    digest = ""
    modalities = TEXT
    labels: Mapping[str, str] = {"word": "privacy", "dark": "violence"}
    blocking = True

    def __init__(self) -> None:
        self.loads = 0
        self.batches: list[list[str | bytes]] = []
        self.threads: set[int] = set()

    @property
    def examples(self) -> Examples:
        return Examples((), (text("clean"),))

    def load(self) -> None:
        self.loads += 1

    def __call__(self, batch: Sequence[Content], /) -> Any:
        self.threads.add(threading.get_ident())
        self.batches.append([content.data for content in batch])
        return [self.scan(content) for content in batch]

    def scan(self, content: Content) -> Any:
        return Scan((), whole(content))


class WordCheck(FakeCheck):
    """Finds whole words in texts, whatever their case."""

    def __init__(self, *words: str) -> None:
        super().__init__()
        self.pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + r")\b", re.IGNORECASE)

    def scan(self, content: Content) -> Scan:
        hits = self.pattern.finditer(content.text)
        return Scan(tuple(finding(where=Span(*hit.span())) for hit in hits), whole(content))


class ImageCheck(FakeCheck):
    """Finds the smallest box around the black pixels of an image."""

    modalities = IMAGE

    def scan(self, content: Content) -> Scan:
        from guard.imaging import decode, flatten

        pixels = flatten(decode(content)).convert("L")
        box = pixels.point(lambda value: 255 if value < 16 else 0).getbbox()
        found = (finding("dark", where=Region(*box), category="violence"),) if box else ()
        return Scan(found, Region(0, 0, *pixels.size))


class CrashingCheck(FakeCheck):
    """Fails on every content that holds `trigger`, quoting it, as careless code does."""

    def __init__(self, trigger: str = "", error: Callable[[str], BaseException] = ValueError) -> None:
        super().__init__()
        self.trigger, self.error = trigger, error

    def scan(self, content: Content) -> Scan:
        if self.trigger in content.text:
            raise self.error(f"cannot read {content.text!r}")
        return Scan((), whole(content))


class HangingCheck(FakeCheck):
    """Blocks its thread on every content that holds `trigger`, until `freed`."""

    def __init__(self, trigger: str = "") -> None:
        super().__init__()
        self.trigger, self.freed = trigger, threading.Event()

    def scan(self, content: Content) -> Scan:
        if self.trigger in content.text:
            self.freed.wait(30)
        return Scan((), whole(content))


class AsyncCheck(FakeCheck):
    """Awaits for some seconds, as a check behind a network does."""

    blocking = False

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    async def __call__(self, batch: Sequence[Content], /) -> Any:
        await asyncio.sleep(self.seconds)
        return super().__call__(batch)


class ClaimingCheck(FakeCheck):
    """Answers whatever it was given, true or not: a Scan, or what `claim` makes of a batch."""

    def __init__(self, claim: Scan | Callable[[Sequence[Content]], Any], modalities: frozenset[Modality] = TEXT) -> None:
        super().__init__()
        self.claim, self.modalities = claim, modalities

    def __call__(self, batch: Sequence[Content], /) -> Any:
        return [self.claim for _ in batch] if isinstance(self.claim, Scan) else self.claim(batch)


class PartialCheck(FakeCheck):
    """Reads the first few code points alone."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def scan(self, content: Content) -> Scan:
        return Scan((), Span(0, min(self.most, content.length)))


class UnloadableCheck(FakeCheck):
    """Has no model, and so no digest either."""

    def load(self) -> None:
        super().load()
        raise ModelError("no model folder for 'bundled/none'")

    @property
    def digest(self) -> str:  # type: ignore[override]
        raise AttributeError("no model was loaded")


# --- generator, marker, ledger ---------------------------------------------------------------------------------------


class ListGenerator:
    """Yields given outputs for every prompt; remembers what it was asked."""

    name = "list"
    modality = Modality.TEXT

    def __init__(self, *outputs: str | bytes | BaseException, pause: float = 0.0) -> None:
        self.outputs, self.pause = outputs, pause
        self.prompts: list[str] = []
        self.parameters: list[dict[str, Any]] = []
        self.loads = self.made = 0
        self.stopped = False

    def load(self) -> None:
        time.sleep(0.01)  # long enough for a second caller to come in between
        self.loads += 1

    async def __call__(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], /
    ) -> AsyncIterator[tuple[int, Content]]:
        self.prompts += [prompt.text for prompt in prompts]
        self.parameters.append(dict(parameters))
        try:
            for index, prompt in enumerate(prompts):
                for output in self.outputs:
                    if self.pause:
                        await asyncio.sleep(self.pause)
                    if isinstance(output, BaseException):
                        raise output
                    self.made += 1
                    yield index, self.content(output, prompt)
        finally:
            self.stopped = True

    def content(self, output: str | bytes, prompt: Content) -> Content:
        modality = Modality.TEXT if isinstance(output, str) else Modality.IMAGE
        media_type = "text/plain" if isinstance(output, str) else "image/png"
        return Content(modality, output, media_type, Stage.OUTPUT, Origin(self.name), prompt.request)


class EchoGenerator(ListGenerator):
    """Answers each prompt with the prompt."""

    def __init__(self) -> None:
        super().__init__("")

    def content(self, output: str | bytes, prompt: Content) -> Content:
        return super().content(prompt.text, prompt)


@dataclass
class MemoryLedger:
    """Keeps decisions in a list; `broken` makes every append, `unrecordable` every activation fail."""

    broken: bool = False
    unrecordable: bool = False
    pause: float = 0.0
    identity: str = "memory"

    def __post_init__(self) -> None:
        self.decisions: list[Decision] = []
        self.policies: dict[str, str] = {}
        self.changes: dict[str, BankChange] = {}
        self.rollouts: list[Rollout] = []
        self.openings: list[Opening] = []

    async def append(self, decision: Decision, /) -> Receipt:
        await asyncio.sleep(self.pause)
        if self.broken:
            raise LedgerError("the disk is full")
        self.decisions.append(decision)
        return Receipt(decision.id, len(self.decisions) - 1, b"\0" * 32, len(self.decisions))

    async def begin_stream(self, opening: Opening, /) -> int:
        if self.unrecordable:
            raise LedgerError("the disk is full")
        self.openings.append(opening)
        return len(self.openings) - 1

    async def activate(self, policy_id: str, version: int, revision: str, document: str, /) -> None:
        if self.unrecordable:
            raise LedgerError("the disk is full")
        self.policies[revision] = document

    async def register(self, change: BankChange, /) -> None:
        if self.unrecordable:
            raise LedgerError("the disk is full")
        self.changes.setdefault(change.after, change)

    async def roll_out(self, rollout: Rollout, /) -> int:
        if self.unrecordable:
            raise LedgerError("the disk is full")
        self.rollouts.append(rollout)
        return len(self.rollouts) - 1
