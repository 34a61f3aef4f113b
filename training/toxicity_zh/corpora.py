"""Reads the Chinese corpora into one table: text, target (1 toxic, 0 not), weight, source, split.

COLD's official development part is the test here; its labels, like those of its training part, were made with a model in the
loop, so agreement with them flatters every model that learns from the same source; training rows get cleaner ones (`relabel`).
Training rows that open or end as a test row does are left out. SWSR is divided by the post under which a comment stands; its
raters judged sexism, not toxicity, so its rows weigh less. UNER's Wikipedia sentences are the clean ones, and its development
part is kept for the test.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from composed import compose
from relabel import clean

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GENGUARD_DATA", ROOT / "../shared/data"))
SEED = 23
_EDGE, _SWSR_WEIGHT, _TEST_SHARE, _READ_WEIGHT = 12, 0.4, 10, 2.5
_SWSR_TARGETS = {0: 0.1, 1: 0.8}


def load(*, cleaned: bool = True) -> pd.DataFrame:
    """All rows; split is `train` or `test`, and `read` says of which rows of COLD the label was given a second time.

    `cleaned`: whether COLD's training labels are cleaned, which takes half a minute and only training needs.
    """
    table = pd.concat(
        [_cold(cleaned=cleaned), *(part.assign(read=False) for part in (_swsr(), _uner(), _composed()))], ignore_index=True
    )
    table["text"] = table["text"].str.strip()
    table = table[table["text"].str.len() > 0].drop_duplicates("text", keep="last")
    test = table[(table["split"] == "test") & (table["source"] == "cold_zh")]["text"]
    heads, tails = set(test.str[:_EDGE]), set(test.str[-_EDGE:])
    same = table["text"].str[:_EDGE].isin(heads) | table["text"].str[-_EDGE:].isin(tails)
    return table[(table["split"] == "test") | ~same].reset_index(drop=True)


def _cold(*, cleaned: bool) -> pd.DataFrame:
    found = pd.read_parquet(DATA / "cold_zh/data.parquet")
    found["target"], found["weight"], taught = found["label"].astype(float), 1.0, found["split"] == "train"
    found["read"] = False
    if cleaned:
        targets, read = clean(found["text"][taught].tolist(), found["label"][taught].to_numpy(float), SEED)
        found.loc[taught, "target"], found.loc[taught, "weight"] = targets, np.where(read, _READ_WEIGHT, 1.0)
        found.loc[taught, "read"] = read
    found["split"] = found["split"].map({"train": "train", "dev": "test"})
    return found.assign(source="cold_zh")[["text", "target", "weight", "source", "split", "read"]]


def _swsr() -> pd.DataFrame:
    found = pd.read_parquet(DATA / "swsr_zh_sexism/data.parquet")
    held = found["weibo_id"].map(lambda post: zlib.crc32(str(post).encode()) % _TEST_SHARE == 0)
    split = held.map({True: "test", False: "train"})
    target = found["label"].where(held.to_numpy(), found["label"].map(_SWSR_TARGETS)).astype(float)
    return pd.DataFrame(
        {"text": found["text"], "target": target, "weight": _SWSR_WEIGHT, "source": "swsr_zh_sexism", "split": split}
    )


def _uner() -> pd.DataFrame:
    parts = [
        pd.DataFrame({"text": pd.read_parquet(DATA / f"ner_zh_uner/{file}.parquet")["text"], "split": split})
        for file, split in (("train", "train"), ("dev", "test"))
    ]
    return pd.concat(parts).assign(target=0, weight=0.6, source="ner_zh_uner")


def _composed() -> pd.DataFrame:
    texts, targets = zip(*compose(SEED), strict=True)
    return pd.DataFrame({"text": texts, "target": targets, "weight": 1.0, "source": "composed", "split": "train"})
