"""Measures the packed toxicity model on what was held out, through the check that uses it; prints the model card's tables.

    python training/toxicity/evaluate.py

Up to `--limit` positives and as many negatives are drawn from each corpus's test part, so that rare positives count; shares are
therefore of each class, never of a mixture. ROC AUC: the chance that a positive scores above a negative, ties halved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from data import DATA, LABELS, SEED, load

from guard.registry import checks
from guard.types import CALLER, Check, Content, Modality, Request, Scan, Stage

_KINDS = (
    ("civil_toxic_spans", "insult"),
    ("civil_toxic_spans", "obscene"),
    ("civil_toxic_spans", "threat"),
    ("civil_toxic_spans", "identity_attack"),
    ("edos_sexism", "threat"),
    ("toxigen_human", "identity_attack"),
    ("convabuse", "severe_toxicity"),
)
"""Corpora whose raters, not a word list, tell a label's positives from its negatives."""
_HUNDRED_WORDS = "Thank you for your message. We looked into the order and found that the parcel left our store on Monday. " * 5


def score(check: Check, texts: Sequence[str]) -> pd.DataFrame:
    """Per mille, one row a text, one column a label."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    rows: list[dict[str, int]] = [{} for _ in texts]
    for first in range(0, len(order), 64):
        part = order[first : first + 64]
        scans: Sequence[Scan] = check([content(texts[index]) for index in part])  # type: ignore[assignment]
        for index, scan in zip(part, scans, strict=True):
            rows[index] = {finding.label: finding.score for finding in scan.findings}
    return pd.DataFrame(rows, columns=list(LABELS)).fillna(0)


def content(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("evaluation"))


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """From the rank sum of the positives (Mann-Whitney U)."""
    ranks, count = pd.Series(scores).rank().to_numpy(), int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


def drawn(rows: pd.DataFrame, column: str, limit: int) -> pd.DataFrame:
    """Up to `limit` rows of each class of a column."""
    parts = [rows[rows[column] == value] for value in (1, 0)]
    return pd.concat([part.sample(min(limit, len(part)), random_state=SEED) for part in parts])


def compare(check: Check, rows: pd.DataFrame, column: str, label: str, limit: int) -> str:
    chosen = drawn(rows, column, limit)
    scores, positive = score(check, chosen["text"].tolist())[label].to_numpy(), (chosen[column] == 1).to_numpy()
    caught, alarmed = (scores[positive] >= 500).mean(), (scores[~positive] >= 500).mean()
    return f"{positive.sum()} | {(~positive).sum()} | {roc_auc(scores, positive):.3f} | {caught:.1%} | {alarmed:.1%}"


def false_alarms(check: Check, name: str, texts: Sequence[str]) -> str:
    scores = score(check, texts)
    return f"| {name} | {len(texts)} | {(scores >= 500).any(axis=1).mean():.2%} | {(scores['toxicity'] >= 500).mean():.2%} |"


def templates() -> dict[str, list[str]]:
    """Sentences that name a group without harm, from `bias_templates`, which training never reads."""
    found = pd.read_parquet(DATA / "bias_templates" / "en.parquet")
    found = found[found["label"] == "nontoxic"]
    return {
        f"bias_templates, {name}": rows["text"].sample(min(400, len(rows)), random_state=SEED).tolist()
        for name, rows in found.groupby("template")
        if name in {"name_adj", "you_are_adj", "being_adj", "am_hate_adj", "you_occupation"}
    }


def latency_ms(check: Check, runs: int = 60) -> float:
    """Median processor time of one text of 100 words, one thread."""
    batch, times = [content(_HUNDRED_WORDS.strip())], []
    for _ in range(runs):
        began = time.process_time()
        check(batch)
        times.append(time.process_time() - began)
    return statistics.median(times[5:]) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the packed toxicity model.")
    parser.add_argument("--model", default="bundled/toxicity-en")
    parser.add_argument("--limit", type=int, default=300, help="rows of each class of each corpus")
    given = parser.parse_args()
    torch.set_num_threads(1)
    check = checks.make("toxicity", {"model": given.model, "report_from": 0, "device": "cpu"})
    check.load()
    table = load()
    test = table[table["split"] == "test"]
    print("| corpus | toxic | not | ROC AUC | flagged of toxic | flagged of not |\n|---|---|---|---|---|---|")
    for source, rows in test.groupby("source"):
        if {0, 1} <= set(rows["gold"]):
            print(f"| {source} | {compare(check, rows, 'gold', 'toxicity', given.limit)} |", flush=True)
    print(
        "\n| corpus | label | with | without | ROC AUC | flagged of with | flagged of without |\n|---|---|---|---|---|---|---|"
    )
    for source, label in _KINDS:
        rows = test[test["source"] == source]
        print(f"| {source} | {label} | {compare(check, rows, label, label, given.limit)} |", flush=True)
    print("\n| harmless text | rows | any label flagged | toxicity flagged |\n|---|---|---|---|")
    for source in ("banking77_benign", "sgd_dialogues", "books_public_domain"):
        texts = test["text"][test["source"] == source]
        print(false_alarms(check, source, texts.sample(min(1000, len(texts)), random_state=SEED).tolist()), flush=True)
    for name, sentences in templates().items():
        print(false_alarms(check, name, sentences), flush=True)
    print(f"\none text of 100 words: {latency_ms(check):.1f} ms of one core (median)")


if __name__ == "__main__":
    main()
