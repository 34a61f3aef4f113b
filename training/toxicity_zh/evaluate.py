"""Measures the packed Chinese toxicity model on what was held out, through the check that uses it; prints the card's tables.

    pip install scikit-learn        # only for the comparison
    python training/toxicity_zh/evaluate.py --baseline

"Flagged" means 500 per mille or more. `--baseline` also measures TF-IDF over character 1- to 3-grams under a logistic
regression that is trained on COLD's training part alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from corpora import DATA, ROOT, SEED, load

sys.path.insert(0, str(ROOT / "training/toxicity"))
from evaluate import content, roc_auc, score  # of the English model

from guard.registry import checks
from guard.types import Check

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
_PER_TEMPLATE = 600


def through(check: Check) -> Scorer:
    """Scores from 0 to 1 as the check gives them."""
    return lambda texts: score(check, texts)["toxicity"].to_numpy() / 1000


def baseline(rows: pd.DataFrame) -> Scorer:
    """The comparison, trained on `rows`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    features = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=3, sublinear_tf=True)
    model = LogisticRegression(C=2, solver="liblinear").fit(features.fit_transform(rows["text"]), rows["target"])
    return lambda texts: model.predict_proba(features.transform(texts))[:, 1]


def sets(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is measured: text and target, by name. `bias_templates` is never trained on."""
    test = table[table["split"] == "test"]
    found = {str(source): rows for source, rows in test.groupby("source")}
    topics = pd.read_parquet(DATA / "cold_zh/data.parquet").set_index("text")["topic"]
    cold = found["cold_zh"]
    found |= {f"cold_zh, {topic}": rows for topic, rows in cold.groupby(cold["text"].map(topics))}
    templates = pd.read_parquet(DATA / "bias_templates/zh.parquet")
    templates["target"] = (templates["label"] == "toxic").astype(float)
    for name, rows in templates.groupby("template"):
        found[f"bias_templates, {name}"] = rows.sample(min(_PER_TEMPLATE, len(rows)), random_state=SEED)
    sentences = [sentence.format(g=group) for sentence in _SENTENCES for group in _GROUPS]
    return found | {"groups in plain sentences": pd.DataFrame({"text": sentences, "target": 0.0})}


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
    given = parser.parse_args()
    torch.set_num_threads(1)
    check = checks.make("toxicity", {"model": given.model, "report_from": 0, "device": "cpu"})
    check.load()
    table = load()
    scorers = {given.model: through(check)}
    if given.baseline:
        scorers["TF-IDF and logistic regression"] = baseline(
            table[(table["source"] == "cold_zh") & (table["split"] == "train")]
        )
    for title, scorer in scorers.items():
        print(f"\n{title}\n\n| set | toxic | not | ROC AUC | right | flagged of toxic | flagged of not |")
        print("|---|---|---|---|---|---|---|")
        for name, rows in sets(table).items():
            print(measure(name, rows, scorer), flush=True)
    print(f"\none text of 100 characters: {latency_ms(check):.1f} ms of one core (median)")


if __name__ == "__main__":
    main()
