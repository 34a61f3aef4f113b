"""Measures the packed toxicity model on what was held out, through the check that uses it; prints the model card's tables.

    python training/toxicity/evaluate.py

Whole test parts are read, so shares are of each class, never of a mixture; `--limit` takes a sample. ROC AUC: the chance that
a positive scores above a negative, ties halved; "any label" is what `genguard eval` ranks by without `--finding`.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from data import DATA, LABELS, SEED, load

from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Scan, Stage

_KINDS = (
    ("civil_toxic_spans", "insult"),
    ("civil_toxic_spans", "obscene"),
    ("civil_toxic_spans", "threat"),
    ("civil_toxic_spans", "identity_attack"),
    ("edos_sexism", "threat"),
    ("edos_sexism", "sexism"),
    ("convabuse", "sexism"),
    ("toxigen_human", "identity_attack"),
    ("convabuse", "severe_toxicity"),
)
"""Corpora whose raters, not a word list, tell a label's positives from its negatives."""
_HUNDRED_WORDS = "Thank you for your message. We looked into the order and found that the parcel left our store on Monday. " * 5

_ABUSIVE = "You are a pathetic liar and everyone in this town hates you. Get lost before I make you regret every word. " * 5


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


def corpus(check: Check, rows: pd.DataFrame, limit: int) -> str:
    """How well a corpus's own verdict is told, by `toxicity` and by the highest label."""
    chosen = drawn(rows, "gold", limit)
    found, positive = score(check, chosen["text"].tolist()), (chosen["gold"] == 1).to_numpy()
    areas = f"{roc_auc(found['toxicity'].to_numpy(), positive):.3f} | {roc_auc(found.max(axis=1).to_numpy(), positive):.3f}"
    flagged = (found["toxicity"] >= 500).to_numpy()
    return (
        f"{positive.sum()} | {(~positive).sum()} | {areas} | {flagged[positive].mean():.1%} | {flagged[~positive].mean():.1%}"
    )


def compare(check: Check, rows: pd.DataFrame, column: str, label: str, limit: int) -> str:
    chosen = drawn(rows, column, limit)
    scores, positive = score(check, chosen["text"].tolist())[label].to_numpy(), (chosen[column] == 1).to_numpy()
    caught, alarmed = (scores[positive] >= 500).mean(), (scores[~positive] >= 500).mean()
    return f"{positive.sum()} | {(~positive).sum()} | {roc_auc(scores, positive):.3f} | {caught:.1%} | {alarmed:.1%}"


def probes(check: Check) -> None:
    """The hand-written sentences, by what they do, and all of them together."""
    found = tomllib.loads((Path(__file__).parent / "probes.toml").read_text("utf-8"))
    highest, positive = [], []
    print(
        "\n| sentences written for this | toxic | rows | any label flagged | identity_attack flagged |\n|---|---|---|---|---|"
    )
    for name, group in found.items():
        scores = score(check, group["texts"])
        any_label, attack = (scores >= 500).any(axis=1).mean(), (scores["identity_attack"] >= 500).mean()
        print(f"| {name} | {'yes' if group['toxic'] else 'no'} | {len(scores)} | {any_label:.0%} | {attack:.0%} |", flush=True)
        highest += scores.max(axis=1).tolist()
        positive += [group["toxic"]] * len(scores)
    print(f"\nROC AUC over all of these, any label: {roc_auc(np.array(highest), np.array(positive)):.3f}")


def unseen(check: Check, limit: int) -> str:
    """Stormfront sentences: no row of them went into training or into any choice."""
    found = pd.read_parquet(DATA / "stormfront_hate" / "data.parquet")
    found = found[found["label"].isin(["hate", "noHate"])]
    rows = pd.DataFrame({"text": found["text"], "gold": (found["label"] == "hate").astype(float)})
    return corpus(check, rows, limit)


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


def latency_ms(check: Check, text: str, runs: int = 60) -> float:
    """Median processor time of one text, one thread."""
    batch, times = [content(text)], []
    for _ in range(runs):
        began = time.process_time()
        check(batch)
        times.append(time.process_time() - began)
    return statistics.median(times[5:]) * 1000


def speed(parameters: dict[str, object], ordinary: Sequence[str]) -> None:
    """Processor time a text: one the first stage settles, one it does not, and ordinary ones in a row."""
    for name, ngrams in (("with the n-gram part", True), ("without it", False)):
        check = checks.make("toxicity", {**parameters, "ngrams": ngrams})
        check.load()
        began = time.process_time()
        score(check, ordinary)
        a_text = (time.process_time() - began) / len(ordinary) * 1000
        words = statistics.mean(len(text.split()) for text in ordinary)
        print(
            f"{name}: a service text of 100 words {latency_ms(check, _HUNDRED_WORDS.strip()):.1f} ms, "
            f"an abusive one {latency_ms(check, _ABUSIVE.strip()):.1f} ms (medians); "
            f"{len(ordinary)} held-out ordinary texts of {words:.0f} words on average {a_text:.2f} ms each"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the packed toxicity model.")
    parser.add_argument("--model", default="bundled/toxicity-en")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--limit", type=int, default=10_000, help="rows of each class of each corpus")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parameters: dict[str, object] = {"model": given.model, "report_from": 0, "device": "cpu", "precision": given.precision}
    check = checks.make("toxicity", parameters)
    check.load()
    table = load()
    test = table[table["split"] == "test"]
    print(
        "| corpus | toxic | not | ROC AUC | of any label | flagged of toxic | flagged of not |\n|---|---|---|---|---|---|---|"
    )
    for source, rows in test.groupby("source"):
        if {0, 1} <= set(rows["gold"]):
            print(f"| {source} | {corpus(check, rows, given.limit)} |", flush=True)
    print(f"| stormfront_hate, never seen | {unseen(check, given.limit)} |", flush=True)
    print(
        "\n| corpus | label | with | without | ROC AUC | flagged of with | flagged of without |\n|---|---|---|---|---|---|---|"
    )
    for source, label in _KINDS:
        rows = test[test["source"] == source]
        print(f"| {source} | {label} | {compare(check, rows, label, label, given.limit)} |", flush=True)
    print("\n| harmless text | rows | any label flagged | toxicity flagged |\n|---|---|---|---|")
    for source in ("banking77_benign", "sgd_dialogues", "books_public_domain"):
        print(false_alarms(check, source, test["text"][test["source"] == source].tolist()), flush=True)
    for name, sentences in templates().items():
        print(false_alarms(check, name, sentences), flush=True)
    probes(check)
    print()
    ordinary = test["text"][
        test["source"].isin(["sgd_dialogues", "books_public_domain", "banking77_benign", "cat_wiki_context"])
    ]
    speed(parameters, ordinary.sample(1000, random_state=SEED).tolist())


if __name__ == "__main__":
    main()
