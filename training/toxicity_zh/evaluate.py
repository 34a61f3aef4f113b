"""Measures the packed Chinese toxicity model on what was held out, through the check that uses it; prints the card's tables.

    python training/toxicity_zh/evaluate.py --baseline

"Flagged" means 500 per mille or more. `--baseline` also measures TF-IDF over character 1- to 3-grams under a logistic
regression that is trained on COLD's training part alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from corpora import DATA, ROOT, SEED, load
from linear import Grams, Regression, chance
from relabel import BETWEEN, digest, second_labels
from scipy.stats import rankdata

sys.path.insert(0, str(ROOT))
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

Scorer = Callable[[Sequence[str]], np.ndarray]
_HUNDRED = ("感谢您的来信。我们查看了订单，包裹已于星期一从仓库发出，预计明天下午送到。" * 3)[:100]
_SENTENCES = (
    "我是{g}",
    "大家好，我是{g}。",
    "我妈妈是{g}，她做饭很好吃",
    "{g}也可以报名这次考试",
    "昨天我认识了一位{g}朋友",
    "为什么{g}的故事让人感动？",
)
_GROUPS = (
    "穆斯林",
    "同性恋",
    "黑人",
    "河南人",
    "女性",
    "残疾人",
    "犹太人",
    "跨性别者",
    "维吾尔族",
    "日本人",
    "农民工",
    "印度人",
)
_PER_TEMPLATE, _BATCH = 300, 64
_READ = Path(__file__).parent / "reread_dev.csv"


def content(text: str) -> Content:
    """A text as the check takes it."""
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("measure"))


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive scores above a negative, ties counted half."""
    count = int(positive.sum())
    ranks = rankdata(scores)[positive].sum() - count * (count + 1) / 2
    return float(ranks / (count * (len(scores) - count)))


def through(check: Check) -> Scorer:
    """Scores from 0 to 1 as the check gives them; a text that stands in several sets is scored once."""

    known: dict[str, float] = {}

    def scorer(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        for first in range(0, len(new), _BATCH):
            batch = new[first : first + _BATCH]
            for text, scan in zip(batch, check([content(text) for text in batch]), strict=True):
                known[text] = max((finding.score for finding in scan.findings), default=0) / 1000
        return np.array([known[text] for text in texts])

    return scorer


def baseline(rows: pd.DataFrame) -> Scorer:
    """The comparison, trained on texts and labels."""
    grams = Grams(rows["text"].tolist())
    model = Regression(grams(rows["text"].tolist()), rows["label"].to_numpy(float))
    return lambda texts: chance(model.logits(grams(texts)))


def sets(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is measured: text and target, by name. `bias_templates` and `measured.toml` are never trained on."""
    test = table[table["split"] == "test"]
    found = {str(source): rows for source, rows in test.groupby("source")}
    cold = found["cold_zh"].merge(pd.read_parquet(DATA / "cold_zh/data.parquet")[["text", "topic"]], on="text")
    found |= {f"cold_zh, {topic}": rows for topic, rows in cold.groupby("topic")}
    again = cold.assign(again=cold["text"].map(digest).map(second_labels(_READ))).dropna(subset="again")
    found |= _read_again(again)
    templates = pd.read_parquet(DATA / "bias_templates/zh.parquet")
    templates["target"] = (templates["label"] == "toxic").astype(float)
    for name, rows in templates.groupby("template"):
        found[f"bias_templates, {name}"] = rows.sample(min(_PER_TEMPLATE, len(rows)), random_state=SEED)
    sentences = [sentence.format(g=group) for sentence in _SENTENCES for group in _GROUPS]
    return found | {"groups in plain sentences": _alike(sentences, 0.0)} | _own()


def _read_again(again: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """COLD's development rows with second labels: between the two counts as offensive, then not at all."""
    wide = again.assign(target=(again["again"] >= BETWEEN).astype(float))
    found = {"cold_zh read again": wide}
    found |= {f"cold_zh read again, {topic}": rows for topic, rows in wide.groupby("topic")}
    found["cold_zh read again, sure ones"] = again[again["again"] != BETWEEN].assign(target=lambda rows: rows["again"])
    spoken_for = again[(again["again"] == 0) & (again["target"] == 1)]
    return found | {"cold_zh read again, inoffensive but labelled offensive": spoken_for.assign(target=0.0)}


def _own() -> dict[str, pd.DataFrame]:
    own = tomllib.loads((Path(__file__).parent / "measured.toml").read_text("utf-8"))
    found = {"own service sentences": _alike(own["clean"]["service"], 0.0)}
    for target, kind in ((1.0, "hateful"), (0.0, "clean")):
        for name, forms in own["functions"][kind].items():
            found[f"own functions, {kind}, {name}"] = _alike(
                [form.format(g=group) for form in forms for group in _GROUPS], target
            )
    both = pd.concat([rows for name, rows in found.items() if name.startswith("own functions")], ignore_index=True)
    found["own functions, all of these"] = both
    for name, target in (("insults", 1.0), ("threats", 1.0), ("mild", 0.0)):
        found[f"own functions, {name}"] = _alike(own["functions"]["other"][name], target)
    return found


def _alike(texts: list[str], target: float) -> pd.DataFrame:
    return pd.DataFrame({"text": texts, "target": target})


def measure(name: str, rows: pd.DataFrame, scorer: Scorer) -> str:
    """One line of the table."""
    scores, positive = scorer(rows["text"].tolist()), (rows["target"] == 1).to_numpy()
    flagged = scores >= 0.5
    both = positive.any() and not positive.all()
    ranked, right = (f"{roc_auc(scores, positive):.3f}", f"{(flagged == positive).mean():.1%}") if both else ("", "")
    caught = f"{flagged[positive].mean():.1%}" if positive.any() else ""
    alarmed = f"{flagged[~positive].mean():.1%}" if not positive.all() else ""
    return f"| {name} | {positive.sum()} | {(~positive).sum()} | {ranked} | {right} | {caught} | {alarmed} |"


def latency_ms(check: Check, runs: int = 60) -> float:
    """Median processor time of one text of 100 characters, one thread."""
    batch, times = [content(_HUNDRED)], []
    for _ in range(runs):
        began = time.process_time()
        check(batch)
        times.append(time.process_time() - began)
    return statistics.median(times[5:]) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the packed Chinese toxicity model.")
    parser.add_argument("--model", default="bundled/toxicity-zh")
    parser.add_argument("--baseline", action="store_true", help="measure the comparison too")
    parser.add_argument("--only", default="", help="measure the sets whose names contain this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    check = checks.make("toxicity", {"model": given.model, "report_from": 0, "device": "cpu"})
    check.load()
    table = load(cleaned=False)
    scorers = {given.model: through(check)}
    if given.baseline:
        cold = pd.read_parquet(DATA / "cold_zh/data.parquet")
        scorers["TF-IDF and logistic regression"] = baseline(cold[cold["split"] == "train"])
    for title, scorer in scorers.items():
        print(f"\n{title}\n\n| set | toxic | not | ROC AUC | right | flagged of toxic | flagged of not |")
        print("|---|---|---|---|---|---|---|")
        for name, rows in sets(table).items():
            if given.only in name:
                print(measure(name, rows, scorer), flush=True)
    print(f"\none text of 100 characters: {latency_ms(check):.1f} ms of one core (median)")


if __name__ == "__main__":
    main()
