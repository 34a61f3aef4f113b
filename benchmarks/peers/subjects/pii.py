"""Personal data by patterns: genguard's check beside plain Presidio with the same recognizers, and equal findings of both."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.places import PRESIDIO
from benchmarks.peers.subject import Findings, Player, Subject, same, timed

TEXTS, WORDS, SEED = 40, 100, 9
CASES = ("with", "without", "numbers")
LANGUAGES = ("en", "zh")
OWN = "Presidio's own patterns"


def make(folder: Path) -> None:
    """Texts of 100 words: with three values of the equality test's, without any, and with the numbers of an order."""
    from benchmarks.pii_patterns import generator

    made, draw = generator(), random.Random(SEED)
    values = [value for value in made.VALUES if value.isascii()]
    for case in CASES:
        texts = []
        for _ in range(TEXTS):
            words = draw.choices(made.WORDS, k=WORDS)
            for _ in range({"with": 3, "without": 0, "numbers": 0}[case]):
                words[draw.randrange(WORDS)] = draw.choice(values)
            first = f"Order {draw.randrange(10_000, 99_999)} shipped on 2024-01-15, v3.18.0; " if case == "numbers" else ""
            texts.append(f"{first}{' '.join(words)}.")
        (folder / f"{case}.json").write_text(json.dumps(texts), "utf-8")


def compare(found: Findings) -> Sequence[str]:
    """Those with the same recognizers found the same."""
    alike = [name for name in found if name != OWN]
    same(found, alike, CASES)
    counts = {name: sum(map(len, one.get("with", ()))) for name, one in found.items()}
    told = [f"genguard and Presidio with genguard's recognizers found the same {counts[alike[0]]} pieces"] if alike else []
    return [f"In {TEXTS} texts with three values each: " + "; ".join([*told, f"{OWN} {counts.get(OWN, 0)}"])]


SUBJECT = Subject(
    "pii",
    CASES,
    (
        Player("genguard", "pii_genguard", notes="the check `pii` in English and Chinese with all types that patterns find"),
        Player(
            "Presidio",
            "pii_presidio",
            PRESIDIO,
            "`AnalyzerEngine.analyze` with genguard's recognizers, all types asked for, once a language; merging is left out",
        ),
        Player(
            OWN,
            "pii_presidio_own",
            PRESIDIO,
            "English, the recognizers that it comes with, on a blank pipeline without a model",
        ),
    ),
    (
        timed("with", "100 words with personal data, ms CPU (wall)", "ms", 2),
        timed("without", "without", "ms", 2),
        timed("numbers", "with other numbers", "ms", 2),
    ),
    "milliseconds a text",
    make,
    compare,
    enough_us=600_000,
)
