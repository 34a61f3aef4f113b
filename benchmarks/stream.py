"""What it costs to guard a text while it is made: time to the first character, overhead, delay, and work a token.

    python -m benchmarks.stream [--policy PACK] [--tokens-per-second N] [--texts N]

One table: unguarded, streamed (`window`) and buffered, over the same answers made at the pace of a model. Answers are those of
a service desk, composed from sentences of this file with a seed, every fourth with an address or a number to cut; tokens are
words with the space before them. The delay is how much of what was made has not left whenever a token comes, in sentences (of
the answer's mean length). Work a token is the processor's time of this process beyond what the unguarded stream takes: all
threads, without the waiting for the model. Threads of BLAS that wait for work count as well: set OMP_NUM_THREADS=1 for the
work that is really done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
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
from typing import Any

from audit.ledger import open_ledger
from guard.admission import Limits
from guard.bench import Seat
from guard.pipeline import Guard
from guard.protocols import Piece
from guard.rules import Policy
from guard.streaming import window
from guard.streaming.events import Delta
from guard.streaming.window import Window
from guard.types import Content, Making, Modality, Operator, Origin, Request, Stage
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
    processor: float = 0.0
    tokens: int = 0


async def answer(guard: Guard | None, text: str, seconds: float, figures: Figures) -> None:
    """One answer, through a guard or as it comes."""
    sent = 0
    sentence = len(text) / _sentences(text)
    generator = Paced(text, seconds, lambda made: figures.delays.append((made - sent) / sentence))
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
    """In Markdown; times in milliseconds, work in microseconds."""
    head = ("", "first character, ms", "whole text, ms", "overhead, ms", "delay, sentences (median)", "work a token, us")
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|---|"]
    base = found["unguarded"]
    for name, one in found.items():
        overhead = (mean(one.whole) - mean(base.whole)) * 1e3
        work = (one.processor - base.processor) / one.tokens * 1e6
        times = f"{median(one.first) * 1e3:.0f} | {mean(one.whole) * 1e3:.0f} | {overhead:.0f}"
        lines.append(f"| {name} | {times} | {median(one.delays):.2f} | {work:.0f} |")
    return "\n".join(lines)


_ALONE = """
policy: alone
version: 1
status: live
checks: {{one: {{use: {use}, deadline_ms: 10000}}}}
rules:
  - {{id: one, when: {{{when}}}, action: block, category: operation}}
"""
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
    given = parser.parse_args()
    policy = load(given.policy)
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
