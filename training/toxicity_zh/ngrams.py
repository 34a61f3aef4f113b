"""Learns the n-gram part of the packed Chinese toxicity model, and how it and the encoder are weighed.

    python training/toxicity_zh/ngrams.py

A logistic regression with a ridge over hashed runs of one to three pieces (`guard/models/ngrams.py`). Its target for a text of
COLD is half COLD's own label and half the cleaned one (`relabel`): people's labels are expected between the two. The rows of
`reread_spare.csv` are left out: on them the weight of each part is chosen, by the mean of the ROC AUC on either label; the
bias follows from the development part's texts, without their labels.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
from corpora import SEED, load
from evaluate import roc_auc
from linear import Regression
from refine import COMMAND, LICENCE
from relabel import digest, second_labels
from safetensors.numpy import save_file
from scipy import sparse
from train import OUT

from guard.models import int8, write_manifest
from guard.models.detoxify import load_folder
from guard.models.ngrams import BLEND_LONGEST, FILE, features, logit

BUCKETS, STRENGTH, TOKENS = 1 << 18, 2.0, 64
FLAGGED = 0.41
"""Share of COLD's development part that is to reach one half: its makers report that people found 40 % of its test so."""
SHARE = {"cold_zh": 1.0, "swsr_zh_sexism": 0.4, "ner_zh_uner": 1.0, "composed": 1.0}
"""How many of a corpus's rows are learnt from."""
_SPARE = Path(__file__).parent / "reread_spare.csv"
_MIXTURES = np.linspace(0, 1, 21)


def matrix(rows: list[list[int]], rarity: np.ndarray) -> sparse.csr_matrix:
    """One row a text: its features, scaled by the root of their number and by their rarity."""
    found = [features(row[1:-1], BUCKETS, BLEND_LONGEST) for row in rows]
    columns = np.concatenate(found)
    scale = np.concatenate([np.full(len(one), 1 / math.sqrt(max(1, len(one)))) for one in found])
    ends = np.cumsum([0, *map(len, found)])
    values = (scale * rarity[columns]).astype(np.float32)
    return sparse.csr_matrix((values, columns, ends), shape=(len(rows), BUCKETS))


def rarity_of(rows: list[list[int]]) -> np.ndarray:
    held = np.zeros(BUCKETS)
    for row in rows:
        held[features(row[1:-1], BUCKETS, BLEND_LONGEST)] += 1
    return np.log((1 + len(rows)) / (1 + held)) + 1


def table_of(spare: dict[str, float]) -> pd.DataFrame:
    """Training rows with the mean of both targets, without the spare ones, in the shares told."""
    table, given = load(), load(cleaned=False)
    table = table.assign(target=(table["target"] + given["target"]) / 2)
    rows = table[(table["split"] == "train") & ~table["text"].map(digest).isin(spare.keys())]
    kept = np.random.default_rng(SEED).random(len(rows)) < rows["source"].map(SHARE).to_numpy()
    return rows[kept]


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the n-gram part of the Chinese toxicity model.")
    parser.add_argument("--folder", type=Path, default=OUT)
    parser.add_argument("--version", default="3")
    given = parser.parse_args()
    spare = second_labels(_SPARE)
    detoxify, _ = load_folder(str(given.folder), "cpu")
    rows = table_of(spare)
    ids = detoxify.tokenizer(rows["text"].tolist(), truncation=True, max_length=TOKENS)["input_ids"]
    rarity = rarity_of(ids)
    print(f"{len(rows)} rows, {np.bincount(rows['source'].astype('category').cat.codes)}", flush=True)
    learnt = Regression(matrix(ids, rarity), rows["target"].to_numpy(float), STRENGTH)
    weights = (learnt.weights * rarity).astype(np.float16)
    cold = load(cleaned=False)
    cold = cold[(cold["source"] == "cold_zh") & cold["text"].map(digest).isin(spare.keys())]
    second, first = cold["text"].map(digest).map(spare).to_numpy(), cold["target"].to_numpy()
    tokens = detoxify.tokenizer(cold["text"].tolist(), truncation=True, max_length=TOKENS)["input_ids"]
    encoder = int8.quantized(detoxify.model)
    deep = np.array([encoder(row)[0] for row in tokens])
    wide = np.array([logit(weights.astype(np.float32), row, BLEND_LONGEST) for row in tokens])
    sure = second != 0.75

    def worth(share: float) -> float:
        both = (1 - share) * deep + share * wide
        return (roc_auc(both, first == 1) + roc_auc(both[sure], second[sure] == 1)) / 2

    share = float(max(_MIXTURES, key=worth))
    print({round(float(one), 2): round(worth(float(one)), 4) for one in _MIXTURES[::4]}, "chosen", round(share, 2))
    test = load(cleaned=False)
    texts = test["text"][(test["source"] == "cold_zh") & (test["split"] == "test")].tolist()
    unlabelled = detoxify.tokenizer(texts, truncation=True, max_length=TOKENS)["input_ids"]
    both = np.array(
        [(1 - share) * encoder(row)[0] + share * logit(weights.astype(np.float32), row, BLEND_LONGEST) for row in unlabelled]
    )
    bias = -float(np.quantile(both, 1 - FLAGGED))
    scale = 1.5  # two unsure parts added are surer than their mean
    mixture = np.array([scale * (1 - share), scale * share, scale * bias], np.float32)
    print(f"share of the n-gram part {share:.2f}, mixture {mixture}")
    save_file({"blend": weights, "mixture": mixture}, given.folder / FILE)
    print(
        write_manifest(
            given.folder, name="toxicity-zh", version=given.version, licence=LICENCE, training=f"{COMMAND}, then ngrams.py"
        )
    )


if __name__ == "__main__":
    main()
