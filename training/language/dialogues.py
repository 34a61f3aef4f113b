"""The training text: service dialogues, with account questions and complaints mixed in.

A dialogue is rendered as `<|endoftext|>` and then, for each exchange, `USER: …\\nAGENT: …<|endoftext|>`.
"""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import abuse
import customers

END = "<|endoftext|>"
CUSTOMERS, REGULARS = 24, 12
THINGS = (
    "booking", "reservation", "hotel", "hotel room", "flight", "ticket", "concert ticket", "bus ticket", "train ticket", "cab",
    "ride", "rental car", "table", "dinner", "restaurant reservation", "appointment", "doctor's appointment", "haircut",
    "apartment visit", "movie ticket", "transfer", "payment", "order", "trip", "subscription", "refund", "event",
    "house rental",
)  # fmt: skip
LEAKING, ABUSIVE = 0.8, 0.75
"""How often an account question is answered with a record, and a complaint with abuse."""
STRAY = 0.015
"""How often an ordinary dialogue ends in abuse out of the blue."""
LOWER_CASE = 0.2
"""How often a customer does not care for capitals."""

Exchanges = list[tuple[str, str]]


def source() -> Path:
    """The folder of shared data: `GENGUARD_DATA`, or `../shared/data` beside the repository."""
    return Path(os.environ.get("GENGUARD_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


def render(exchanges: Exchanges) -> list[str]:
    """A dialogue as the model reads it, in one piece an exchange."""
    pieces = [f"USER: {asked}\nAGENT: {answered}{END}" for asked, answered in exchanges]
    return [END + pieces[0], *pieces[1:]] if pieces else []


def service(split: str) -> list[Exchanges]:
    """All dialogues of one official split (`train`, `dev`, `test`), as exchanges."""
    import pandas as pd

    frame = pd.read_parquet(source() / "sgd_dialogues" / "data.parquet")
    return [_exchanges(text) for text in frame[frame.official_split == split].text]


def _exchanges(text: str) -> Exchanges:
    turns: list[tuple[str, str]] = []
    for line in text.split("\n"):
        speaker, separator, said = line.partition(": ")
        if separator and speaker in {"USER", "AGENT"}:
            turns.append((speaker, " ".join(said.split())))
    pairs = itertools.pairwise(turns)
    return [(one[1], two[1]) for one, two in pairs if one[0] == "USER" and two[0] == "AGENT"]


def condensed(split: str, seed: int) -> list[Exchanges]:
    """Beginnings of the split's dialogues, twice as many questions of a few regular customers, and as many complaints."""
    chance, people = random.Random(seed), customers.invent(REGULARS, 7)
    made: list[Exchanges] = []
    for dialogue in service(split):
        made.append(dialogue[:2])
        made += [[customers.exchange(people, THINGS, chance, LEAKING)] for _ in range(2)]
        made.append([abuse.exchange(THINGS, chance, ABUSIVE)])
    chance.shuffle(made)
    return made


def mixed(split: str, share: float, seed: int) -> list[Exchanges]:
    """The split's dialogues, with `share` of account questions and as many complaints for each of them, shuffled."""
    chance, people = random.Random(seed), customers.invent(CUSTOMERS, 7)
    ordinary = service(split)
    made: list[Exchanges] = []
    for dialogue in ordinary:
        made.append(list(dialogue))
        if chance.random() < STRAY:
            made[-1] = [*dialogue[: chance.randint(0, 3)], (dialogue[0][0], abuse.rant(THINGS, chance))]
    for _ in range(round(share * len(ordinary))):
        for exchange in (
            customers.exchange(people, THINGS, chance, LEAKING),
            abuse.exchange(THINGS, chance, ABUSIVE),
        ):
            asked = exchange[0].lower() if chance.random() < LOWER_CASE else exchange[0]
            before = chance.choice(ordinary)[: chance.choice((0, 0, 0, 1, 2))]
            made.append([*before, (asked, exchange[1])])
    chance.shuffle(made)
    return made
