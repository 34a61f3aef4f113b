"""What is asked while costs are measured and the model is checked: short messages of customers, no two alike."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from guard.rules import CheckSpec, Found, Policy, Rule
from guard.types import CALLER, Action, Content, Modality, Request, Stage

SEED = 11
_OPENINGS = (
    "Good morning.",
    "Hello, I have a question.",
    "Thanks for the quick answer last week.",
    "Sorry to bother you again.",
    "I am not sure whether this is the right place.",
    "My colleague told me to write here.",
    "This is about the visit on Tuesday.",
    "We are planning a small party in the garden.",
)
_MIDDLES = (
    "The parcel with the lamp came with a broken shade, and I would like another one",
    "I cannot find the invoice of the repair in my account",
    "Could you tell me how long the battery of the radio lasts",
    "The train was two hours late and we missed the ferry",
    "We would like to move our booking to the second week of the month",
    "The recipe says two spoons of salt, which seems far too much",
    "My daughter wants to know why leaves turn yellow before they fall",
    "The screen stays dark after the update, and the button does nothing",
    "Please explain the difference between the two contracts in plain words",
    "The room was clean, but the street below was loud all night",
)
_ENDS = (
    "Thank you for your help",
    "I look forward to your answer",
    "There is no hurry",
    "Please write to me when you know more",
    "A short answer is enough",
)

NOTHING = """\
policy: nothing
version: 1
status: live
checks:
  hidden: {use: invisible_characters, deadline_ms: 60000}
rules:
  - {id: hidden, when: {hidden: any}, action: block, category: input}
"""
"""A policy of one check that takes next to nothing: what is left of a request is the gateway's and the ledger's."""


def texts(seed: int = SEED, file: Path | None = None) -> Iterator[str]:
    """Messages without end. `file`: one a line to be used in place of ours; each is numbered, so that none comes twice."""
    draw = random.Random(seed)
    given = [line for line in file.read_text("utf-8").splitlines() if line.strip()] if file else []
    number = draw.randrange(10_000, 99_999)
    while True:
        number += 1
        told = draw.choice(given) if given else f"{draw.choice(_OPENINGS)} {draw.choice(_MIDDLES)}. {draw.choice(_ENDS)}"
        yield f"{told}, ticket {number}."


def contents(messages: Sequence[str], stage: Stage) -> list[Content]:
    """The messages as contents."""
    return [Content(Modality.TEXT, one, "text/plain", stage, CALLER, Request(f"r{at}")) for at, one in enumerate(messages)]


def bodies(messages: Iterator[str], model: str, limit: int = 0) -> Iterator[bytes]:
    """Bodies of requests for `/v1/chat/completions`. `limit`: tokens of an answer, where the generator takes any."""
    more = {"max_tokens": limit} if limit else {}
    for one in messages:
        yield json.dumps({"model": model, "messages": [{"role": "user", "content": one}], **more}).encode()


def empty(checks: int) -> Policy:
    """A policy of checks that do nothing."""
    names = [f"check{number}" for number in range(checks)]
    return Policy(
        id="bench",
        version=1,
        status="live",
        revision="",
        document="",
        checks=tuple(CheckSpec(name, "nothing", deadline_ms=60_000) for name in names),
        rules=(Rule("found", Found(names[0]), Action.BLOCK, "harassment"),),
    )
