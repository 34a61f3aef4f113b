"""Moves the packed model's bias so that it flags as large a share of COLD as a reader may call offensive.

    python training/toxicity_zh/calibrate.py

A model that learnt from shares rather than from yes and no gives few texts more than a half. `reread_spare.csv` holds second
labels (see `relabel`) of training rows, labels that `refine.py` did not see. They are weighed so that COLD's own two labels
count as in its training part; the bias moves by the logit above which as large a share scores as is offensive or between the
two.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from corpora import DATA
from evaluate import through
from refine import COMMAND, LICENCE
from relabel import digest, second_labels
from train import OUT

from guard.models import write_manifest
from guard.registry import checks

_SPARE = Path(__file__).parent / "reread_spare.csv"
_ROWS = 700


def shift(scores: np.ndarray, offensive: np.ndarray, weights: np.ndarray) -> float:
    """The logit above which the weighted share of scores is that of the offensive."""
    order = np.argsort(-scores)
    above = np.cumsum(weights[order]) / weights.sum()
    score = scores[order][int(np.searchsorted(above, np.average(offensive, weights=weights)))]
    return math.log(score / (1 - score))


def main() -> None:
    parser = argparse.ArgumentParser(description="Set the bias of the refined Chinese toxicity model.")
    parser.add_argument("--model", type=Path, default=OUT)
    parser.add_argument("--version", default="2")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cold = pd.read_parquet(DATA / "cold_zh/data.parquet")
    cold = cold[cold["split"] == "train"]
    cold["again"] = cold["text"].map(digest).map(second_labels(_SPARE))
    rows = cold.dropna(subset="again").sample(_ROWS, random_state=1)
    share = cold["label"].mean() / rows["label"].mean()
    rest = (1 - cold["label"].mean()) / (1 - rows["label"].mean())
    weights = np.where(rows["label"] == 1, share, rest)
    check = checks.make("toxicity", {"model": str(given.model), "report_from": 0, "device": "cpu"})
    check.load()
    scores = np.clip(through(check)(rows["text"].tolist()), 0.0005, 0.9995)
    moved = shift(scores, (rows["again"] > 0).to_numpy(), weights)
    saved = torch.load(given.model / "checkpoint.pt", weights_only=True)
    saved["state_dict"]["classifier.bias"] -= moved
    torch.save(saved, given.model / "checkpoint.pt")
    print(f"{len(rows)} rows, bias moved by {-moved:+.3f}")
    print(write_manifest(given.model, name="toxicity-zh", version=given.version, licence=LICENCE, training=COMMAND))


if __name__ == "__main__":
    main()
