"""Gives COLD's training part labels that agree better with a reader than its own, which were made with a model in the loop.

`relabelled.csv` holds second labels for a part of the rows, by the start of the SHA-256 of the text: 0 inoffensive, 2
offensive, 1 between the two (a reader could say either). A language model gave them, reading each text under COLD's own
definition, without its label: offensive is what insults, attacks or disparages a person or a group by race, region, sex or
otherwise, stereotypes and sarcasm included; speech against discrimination, reports of it, and plain statements about groups are
not. `reread_dev.csv` is the same for 600 rows of the development part, drawn at random; they only measure.

What was not read again gets its target from a regression that learnt from what was: on the text, on COLD's label, and on the
logit of a model of COLD's labels that never saw the row.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from linear import Grams, Regression, chance
from scipy import sparse

_FILE = Path(__file__).parent / "relabelled.csv"
_DIGITS, _PARTS, _STRENGTH, _LABEL_SCALE = 12, 4, 10.0, 3.0
BETWEEN = 0.75
"""The target of a text that a reader could call either. Were all such texts offensive, 35 % of COLD's development part
would be; its makers report that people found 40 % of its test part offensive."""


def digest(text: str) -> str:
    """The key of a text in the table."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def second_labels(path: Path = _FILE) -> dict[str, float]:
    """Target by key."""
    targets = {"0": 0.0, "1": BETWEEN, "2": 1.0}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["text_sha256"]: targets[row["label"]] for row in csv.DictReader(file)}


def clean(texts: Sequence[str], labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets from 0 to 1 for COLD's training texts, and which of them were read again."""
    second = second_labels()
    read = np.array([second.get(digest(text), np.nan) for text in texts])
    again = ~np.isnan(read)
    grams = Grams(texts)(texts)
    part = np.random.default_rng(seed).integers(0, _PARTS, len(texts))
    unseen = np.zeros(len(texts))
    for number in range(_PARTS):
        unseen[part == number] = Regression(grams[part != number], labels[part != number]).logits(grams[part == number])
    beside = sparse.csr_matrix(np.stack([unseen, (labels - 0.5) * _LABEL_SCALE], 1).astype(np.float32))
    facts = sparse.hstack([grams, beside]).tocsr().astype(np.float32)
    learnt = chance(Regression(facts[again], read[again], _STRENGTH).logits(facts))
    return np.where(again, np.nan_to_num(read), learnt), again
