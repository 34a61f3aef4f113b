"""Measures the prompt injection model on styles of attack that its training has not seen; prints the card's tables.

    python training/injection/evaluate.py

For each of the parts of `corpora.py` a model is trained without it, as train.py trains, and scores what is in it: no attack of
a style, in either language, no harmless row and no family of composed look-alikes is measured by a model that learnt from it.
The shift of the log odds that flags `WANTED` of the harmless texts that people wrote is found on the same scores; train.py
takes it as `SHIFT`. The concepts are those of the packed model: they are made without labels.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from corpora import FOLDS, ROOT, Row, load
from train import OUT, featured, fit, logits, prepare, read_concepts

sys.path.insert(0, str(ROOT))
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

WANTED = 0.005
_LETTER = (
    "Thank you for your letter. The parcel left our store on Monday and should arrive tomorrow in the afternoon, we hope. "
)
_BRIEF = "感谢您的来信。我们查看了订单，包裹已于星期一从仓库发出，预计明天下午送到。"


def out_of_fold(rows: Sequence[Row], concepts: dict[str, int], folds: Sequence[int]) -> np.ndarray:
    """Log odds of each row's worst window, by the model trained without its part; NaN for parts that are not asked for."""
    found = np.full(len(rows), np.nan)
    texts, keys = prepare(rows, featured(rows, concepts))
    for fold in folds:
        print(f"part {fold + 1} of {FOLDS} held out", flush=True)
        weights, bias, _ = fit([one for one in texts if one.row.fold != fold and one.row.weight > 0], len(keys))
        for number, one in enumerate(texts):
            if one.row.fold == fold:
                found[number] = logits(one, weights).max(initial=-20.0) + bias
    return found


def roc_auc(attacks: np.ndarray, harmless: np.ndarray) -> float:
    """Share of pairs in which the attack scores higher; ties count half."""
    ordered = np.sort(harmless)
    below, upto = np.searchsorted(ordered, attacks, "left"), np.searchsorted(ordered, attacks, "right")
    return float(((below + upto) / 2 / len(ordered)).mean())


def report(rows: Sequence[Row], found: np.ndarray) -> None:
    """The tables, and the shift."""
    measured = ~np.isnan(found)
    safe = np.array([not row.label for row in rows]) & measured
    people = safe & np.array([not row.source.startswith(("composed", "jailbench_seeds")) for row in rows])
    by_fold = [found[safe & np.array([row.fold == fold for row in rows])] for fold in range(FOLDS)]
    shift = float(np.quantile(found[people], 1 - WANTED))
    print(f"\n--shift {shift:.2f}: flags {WANTED:.1%} of the harmless texts that people wrote\n")
    print("| attacks left out | texts | ROC AUC | flagged |\n|---|---|---|---|")
    groups = defaultdict(list)
    for number, row in enumerate(rows):
        if row.label and measured[number]:
            groups[row.source if row.source != "composed" else row.family].append(number)
    pooled, weight, part = [], [], np.array([row.fold for row in rows])
    for name, numbers in sorted(groups.items()):
        chosen = found[numbers]
        auc = roc_auc(chosen, by_fold[rows[numbers[0]].fold])
        pooled.append(auc)
        weight.append(len(numbers))
        print(f"| {name} | {len(numbers)} | {auc:.3f} | {(chosen >= shift).mean():.1%} |")
    attacks = np.array([bool(row.label) for row in rows]) & measured
    aucs = [roc_auc(found[attacks & (part == fold)], by_fold[fold]) for fold in sorted(set(part[attacks]))]
    print(f"| mean of these rows | {sum(weight)} | {np.mean(pooled):.3f} | |")
    print(f"| mean of the parts, all attacks of a part at once | {attacks.sum()} | {np.mean(aucs):.3f} | |")
    print("\n| harmless, unseen | texts | flagged per 1,000 |\n|---|---|---|")
    corpora = defaultdict(list)
    for number in np.flatnonzero(safe):
        corpora[rows[number].source].append(number)
    for name, numbers in sorted(corpora.items()):
        print(f"| {name} | {len(numbers)} | {1000 * (found[numbers] >= shift).mean():.1f} |")


def latency() -> None:
    """CPU time of the check on a text of 100 words, in milliseconds: the median, on one core."""
    check = checks.make("prompt_injection")
    check.load()
    for name, text in (("English", " ".join((_LETTER * 5).split()[:100])), ("Chinese, 160 characters", (_BRIEF * 5)[:160])):
        content = Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request("1"))
        times = []
        for _ in range(300):
            start = time.process_time()
            check([content])
            times.append(time.process_time() - start)
        print(f"100 words of {name}: {1000 * statistics.median(times):.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the prompt injection model on unseen styles.")
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(FOLDS)))
    parser.add_argument("--save", type=Path, help="write the log odds of all rows to this .npy file")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="report such files, rather than measure")
    given = parser.parse_args()
    rows = load()
    if given.scores:
        report(rows, np.fmax.reduce([np.load(file) for file in given.scores]))
        latency()
        return
    found = out_of_fold(rows, read_concepts(OUT), given.folds)
    if given.save:
        np.save(given.save, found)
    report(rows, found)
    latency()


if __name__ == "__main__":
    main()
