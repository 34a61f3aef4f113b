"""What it costs to guard a text while it is made: time to the first character, overhead, delay, and work a token.

    python -m benchmarks.stream [--policy PACK] [--tokens-per-second N] [--texts N] [--each] [--following]

First table: unguarded, streamed (`window`) and buffered, over the same answers made at the pace of a model. Answers are a
service desk's, composed from sentences of this file with a seed, every fourth with an address or a number to cut; tokens are
words with the space before them. The delay is how much of what was made has not left whenever a token comes, in sentences (of
the answer's mean length). Work a token is the processor's time of this process beyond what the unguarded stream takes: all
threads, without the waiting for the model, and with all that a request costs once: the prompt's checks, two decisions, three
commits.

Second table (`--following`, in place of the first): what following a text costs for each of its tokens, all threads'
processor time, without the request and at full speed: the window with a check that does nothing, checks that need no model,
each check, and the pack. The least of some rounds, each over all answers: others who use the processor only add to it. Beside
it what of that the models' passes take by themselves (ONNX Runtime's `run`, in the same round): nobody who asks the models
so often can take less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any, Self

from audit.ledger import open_ledger
from guard.admission import Limits
from guard.bench import Seat
from guard.chain import Chain
from guard.following import Progress
from guard.pipeline import Guard
from guard.protocols import Piece
from guard.rules import Policy
from guard.streaming import window
from guard.streaming.events import Delta
from guard.streaming.window import Window
from guard.types import Content, Examples, Making, Modality, Operator, Origin, Request, Scan, Span, Stage
from policies import from_document, load, loads
from policies.document import canonical

SENTENCES = (
    "Thank you for writing to us about your order, and for the pictures of the box that you sent along with it.",
    "Your parcel left the warehouse this morning and will be with you between nine and eleven tomorrow.",
    "Please keep the receipt until then, because the driver asks for it before the old machine is taken away.",
    "If nobody is at home, we leave it with a neighbour or at the nearest shop, and a card in your letter box says where.",
    "You can change the day of the delivery in your account, as long as you do so before six in the evening.",
    "The refund takes three to five working days after the parcel has come back to us and was looked at.",
    "We are sorry that this took longer than it should have; the new scanner in the hall was out of order for a day.",
    "The size chart stands on the page of each product, right below the pictures and above the opinions of others.",
    "A colleague of ours will look at the invoice today and answer you before the end of the week.",
    "Nothing else has to be done from your side, and the old label may stay on the box.",
    "Is there anything else about this order, or about another one, that we can help you with?",
)
PERSONAL = (
    "Please write to returns.desk@example.com and put the number of the order into the first line of your message.",
    "You reach the people at the depot on +1 415 555 0134 until five in the afternoon, and on Saturdays until noon.",
)
_TOKEN = re.compile(r"\s*\S+|\s+")


def answers(count: int, seed: int = 1) -> list[str]:
    """Texts of 8 to 16 sentences; every fourth has something to cut."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        lines = [draw.choice(SENTENCES) for _ in range(draw.randint(8, 16))]
        if number % 4 == 3:
            lines.insert(draw.randint(2, 6), draw.choice(PERSONAL))
        made.append(" ".join(lines))
    return made


class Paced:
    """A generator that makes its texts at the pace of a model."""

    name, modality = "paced", Modality.TEXT

    def __init__(self, text: str, seconds: float, seen: Callable[[int], None]) -> None:
        """`seen`: told how many characters were made, after each token."""
        self.text, self.seconds, self.seen = text, seconds, seen
        self.tokens = _TOKEN.findall(text)

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, _prompts: Sequence[Content], _parameters: Mapping[str, Any], /) -> Any:
        raise TypeError("it makes pieces alone, expected a call of `stream`")

    async def stream(
        self, prompts: Sequence[Content], _parameters: Mapping[str, Any], _marks: Any = (), /
    ) -> AsyncGenerator[tuple[int, Piece]]:
        (prompt,) = prompts
        content = Content(Modality.TEXT, self.text, "text/plain", Stage.OUTPUT, Origin(self.name), prompt.request, Making())
        made = 0
        for number, token in enumerate(self.tokens):
            await asyncio.sleep(self.seconds)
            made += len(token)
            self.seen(made)
            yield 0, Piece(0, token, content if number == len(self.tokens) - 1 else None)


@dataclass
class Figures:
    """Of one way to stream."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    """In sentences."""
    characters: list[int] = field(default_factory=list)
    """The same in characters."""
    processor: float = 0.0
    tokens: int = 0


async def answer(guard: Guard | None, text: str, seconds: float, figures: Figures) -> None:
    """One answer, through a guard or as it comes."""
    sent = 0
    sentence = len(text) / _sentences(text)

    def seen(made: int) -> None:
        figures.delays.append((made - sent) / sentence)
        figures.characters.append(made - sent)

    generator = Paced(text, seconds, seen)
    processor, begun, first = time.process_time(), time.perf_counter(), 0.0
    if guard is None:
        prompt = Content(Modality.TEXT, "?", "text/plain", Stage.PROMPT, Origin("paced"), Request("r"))
        async for _, piece in generator.stream([prompt], {}):
            first = first or time.perf_counter() - begun
            sent += len(piece.text)
    else:
        async with aclosing(guard.stream(generator, "Where is my parcel?")) as events:
            async for event in events:
                if isinstance(event, Delta):
                    first = first or time.perf_counter() - begun
                    sent += len(event.text)
    figures.first.append(first)
    figures.whole.append(time.perf_counter() - begun)
    figures.processor += time.process_time() - processor
    figures.tokens += len(generator.tokens)


async def measure(policies: Mapping[str, Policy | None], texts: Sequence[str], pace: float) -> dict[str, Figures]:
    """All ways over all texts. None: no guard."""
    found = {name: Figures() for name in policies}
    with TemporaryDirectory() as folder:
        for name, policy in policies.items():
            guard: Guard | None = None
            if policy is not None:
                ledger = open_ledger(f"sqlite:///{Path(folder) / name.replace(' ', '-')}.db")
                guard = Guard(policy, ledger, operator=Operator(watermark_key=bytes(32)))
                await guard.load()
            await answer(guard, texts[0], 0.0, Figures())  # compiles patterns and fills caches
            for text in texts:
                await answer(guard, text, 1 / pace, found[name])
    return found


class Nothing:
    """A check that finds nothing and waits for nothing."""

    version, digest, whole = "1", "", ""
    modalities = frozenset({Modality.TEXT})
    labels: Mapping[str, str] = {"nothing": "input"}
    examples = Examples((), ())
    blocking = quick = True

    def load(self) -> None:
        """Nothing to load."""

    def follow(self) -> Nothing:
        """It remembers nothing."""
        return self

    def __call__(self, given: Any, /, **_: bool) -> Any:
        """As a check for contents, and as a follower for a text."""
        if isinstance(given, str):
            return Progress(Scan((), Span(0, len(given))), len(given))
        return [Scan((), Span(0, content.length)) for content in given]


def nothing() -> Seat:
    """Judges with a check that does nothing."""
    policy = loads(_ALONE.format(use="secrets", when="one: any"))
    return Seat.build(policy, Operator(), chain=Chain(policy, {"one": Nothing()}))


class Passes:
    """Adds up the processor time of all passes of models, seconds, while it is entered."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self._run: Any = None

    def __enter__(self) -> Self:
        from onnxruntime import InferenceSession

        self._run = run = InferenceSession.run

        def timed(session: Any, *given: Any) -> Any:
            begun = time.thread_time()
            try:
                return run(session, *given)
            finally:
                self.took.append(time.thread_time() - begun)

        InferenceSession.run = timed
        return self

    def __exit__(self, *_: object) -> None:
        from onnxruntime import InferenceSession

        InferenceSession.run = self._run


async def following(seat: Seat, texts: Sequence[str], rounds: int = 20) -> tuple[float, float, float]:
    """Processor time a token and that of the models' passes in it, microseconds, and how often checks are asked a sentence."""
    await seat.chain.load()
    least, steps = (math.inf, math.inf), 0
    for _ in range(rounds):
        with Passes() as passes:
            took, tokens, steps = await _followed(seat, texts)
        least = min(least, (took / tokens * 1e6, sum(passes.took) / tokens * 1e6))
    return *least, steps / sum(map(_sentences, texts))


async def _followed(seat: Seat, texts: Sequence[str]) -> tuple[float, int, int]:
    """One round: processor time in seconds, tokens, and steps."""
    begun, tokens, steps = time.process_time(), 0, 0
    for text in texts:
        empty = Content(Modality.TEXT, "", "text/plain", Stage.OUTPUT, Origin("paced"), Request("r"))
        one = Window(seat, empty, datetime.now(UTC), None, Limits())
        for token in _TOKEN.findall(text):
            one.add(token)
            tokens += 1
            if one.due:
                await one.step()
                one.leaving()
        await one.step(ending=True)
        steps += one.steps
    return time.process_time() - begun, tokens, steps


async def costs(policy: Policy, texts: Sequence[str]) -> str:
    """The second table."""
    documents = {**_RULES, **{f"`{use.split(',')[0]}`": _ALONE.format(use=use, when=when) for use, when in _EACH.items()}}
    seats = {"the window alone, with a check that does nothing": nothing()}
    seats |= {name: Seat.build(loads(document), Operator()) for name, document in documents.items()}
    seats[f"policy {policy.id}"] = Seat.build(policy, Operator(watermark_key=bytes(32)))
    lines = ["| | following a token, us | of that the models' passes | steps a sentence |", "|---|---|---|---|"]
    for name, seat in seats.items():
        cost, passes, steps = await following(seat, texts)
        lines.append(f"| {name} | {cost:.0f} | {passes:.0f} | {steps:.1f} |")
    return "\n".join(lines)


async def held(policy: Policy, texts: Sequence[str]) -> float:
    """The delay that the policy's window makes by itself: no time passes while checks are asked. Median, in sentences."""
    seat = Seat.build(policy, Operator(watermark_key=bytes(32)))
    await seat.chain.load()
    delays: list[float] = []
    for text in texts:
        empty = Content(Modality.TEXT, "", "text/plain", Stage.OUTPUT, Origin("paced"), Request("r"))
        one, made, sentence = Window(seat, empty, datetime.now(UTC), None, Limits()), 0, len(text) / _sentences(text)
        for token in _TOKEN.findall(text):
            one.add(token)
            made += len(token)
            if one.due:
                await one.step()
            delays.append((made - len(one.edited)) / sentence)
    return median(delays)


def _sentences(text: str) -> int:
    return len(re.findall(r"[.?!](?:\s|$)", text))


def table(found: Mapping[str, Figures]) -> str:
    """In Markdown; times in milliseconds, work in microseconds, delays are medians over all tokens."""
    head = (
        "",
        "first character, ms",
        "whole text, ms",
        "overhead, ms",
        "delay, characters",
        "delay, sentences",
        "work a token, us",
    )
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    base = found["unguarded"]
    for name, one in found.items():
        overhead = (mean(one.whole) - mean(base.whole)) * 1e3
        work = (one.processor - base.processor) / one.tokens * 1e6
        times = f"{median(one.first) * 1e3:.0f} | {mean(one.whole) * 1e3:.0f} | {overhead:.0f}"
        delay = f"{median(one.characters):.0f} | {median(one.delays):.2f}"
        lines.append(f"| {name} | {times} | {delay} | {work:.0f} |")
    return "\n".join(lines)


_ALONE = """
policy: alone
version: 1
status: live
checks: {{one: {{use: {use}, deadline_ms: 10000}}}}
rules:
  - {{id: one, when: {{{when}}}, action: block, category: operation}}
"""
_RULES = {
    "checks that need no model: `secrets`, `invisible_characters`, `text_match`, `pii` without names": """
policy: rules
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 10000}
  unseen: {use: invisible_characters, deadline_ms: 10000}
  passages: {use: text_match, deadline_ms: 10000}
  pii:
    use: pii
    languages: [en, zh]
    entities: [EMAIL_ADDRESS, PHONE_NUMBER, CREDIT_CARD, IBAN_CODE, US_SSN, CN_ID_CARD, IP_ADDRESS, DATE_OF_BIRTH]
    deadline_ms: 10000
rules:
  - id: one
    when: {any: [{secrets: any}, {unseen: any}, {pii: any}]}
    action: redact
    with: {operator: remove}
    category: operation
  - {id: two, when: {passages.verbatim: 0.5}, action: block, category: operation}
""",
}
_EACH = {
    "invisible_characters": "one: any",
    "secrets": "one: any",
    "text_match": "one.verbatim: 0.5",
    "toxicity": "one.toxicity: 0.8",
    "pii, languages: [en, zh]": "one: any",
}
"""The checks of the enterprise pack that read outputs, each alone."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="enterprise", help="a pack or a file")
    parser.add_argument("--tokens-per-second", type=float, default=50.0)
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--each", action="store_true", help="also each check of the enterprise pack alone")
    parser.add_argument("--following", action="store_true", help="the second table alone")
    given = parser.parse_args()
    policy = load(given.policy)
    if given.following:
        print(asyncio.run(costs(policy, answers(given.texts))))
        return
    document = json.loads(policy.document) | {"stream": "buffer"}
    ways: dict[str, Policy | None] = {"unguarded": None, "streamed": policy, "buffered": from_document(canonical(document))}
    for use, when in _EACH.items() if given.each else ():
        ways[f"streamed, {use.split(',')[0]} alone"] = loads(_ALONE.format(use=use, when=when))
    found = asyncio.run(measure(ways, answers(given.texts), given.tokens_per_second))
    print(f"policy {policy.id} version {policy.version}, {given.texts} answers, {given.tokens_per_second:g} tokens a second\n")
    print(table(found))
    window.SLOW_S = 60.0  # what a fast machine does
    print(f"\ndelay of the window alone: {asyncio.run(held(policy, answers(given.texts))):.2f} sentences (median)")


if __name__ == "__main__":
    main()
