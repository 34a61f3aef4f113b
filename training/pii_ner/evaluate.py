"""Measures the bundled English name finder on what was held out: `python training/pii_ner/evaluate.py [FOLDER]`.

Prints one table for the pipeline alone (precision, recall and F of exact spans, by set and label), one for the whole `pii`
check on the held-out sentences with spans of all kinds (a gold span counts as found when a finding of its type overlaps it),
and the time that a text of 100 words takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
import spacy
from corpora import DATA, LABELS, held_out_sets, is_held_out
from train import TARGET, example

from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

SAME = {"ORG": "ORGANIZATION"}


def names(folder: Path, seed: int) -> None:
    """The pipeline alone."""
    nlp = spacy.load(folder)
    print("| held-out set | label | spans | precision | recall | F |\n|---|---|---|---|---|---|")
    for name, marked in held_out_sets(seed).items():
        gold = [example(nlp, one) for one in marked]
        scores = nlp.evaluate(gold)
        spans = Counter(label for one in marked for *_, label in one.entities)
        for label, score in sorted((scores["ents_per_type"] or {}).items()):
            print(f"| {name} | {label} | {spans[label]} | {score['p']:.3f} | {score['r']:.3f} | {score['f']:.3f} |")


def whole_check(folder: Path) -> None:
    """The check, by entity type, on the held-out Presidio sentences."""
    check = checks.make("pii", {"model": str(folder)})
    check.load()
    table = pd.read_parquet(DATA / "presidio_synth" / "data.parquet")
    keys = {key: rank for rank, key in enumerate(sorted(table.template_key.unique()))}
    table = table[[is_held_out(keys[key]) for key in table.template_key]]
    contents = [Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("evaluation")) for text in table.text]
    gold, found, right, covered = Counter(), Counter(), Counter(), Counter()
    for spans, scan in zip(table.spans, check(contents), strict=True):
        expected = [
            (
                one["start_position"],
                one["end_position"],
                SAME.get(kind := LABELS.get(one["entity_type"], one["entity_type"]), kind),
            )
            for one in json.loads(spans)
        ]
        for start, end, label in expected:
            gold[label] += 1
            covered[label] += any(
                one.label == label and one.where.start < end and start < one.where.end for one in scan.findings
            )
        for one in scan.findings:
            found[one.label] += 1
            right[one.label] += any(
                one.label == label and one.where.start < end and start < one.where.end for start, end, label in expected
            )
    print("\n| entity | spans | found | precision | recall |\n|---|---|---|---|---|")
    for label in sorted(check.labels):
        if gold[label] or found[label]:
            precision = right[label] / found[label] if found[label] else 0
            recall = covered[label] / gold[label] if gold[label] else 0
            print(f"| {label} | {gold[label]} | {found[label]} | {precision:.3f} | {recall:.3f} |")
    words = (
        "Sure, the account of Maria Gonzalez, maria.gonzalez@example.com, card 4539 1488 0343 6467, is open again. " * 8
    ).split()
    text = Content(Modality.TEXT, " ".join(words[:100]), "text/plain", Stage.OUTPUT, CALLER, Request("evaluation"))
    times = []
    for _ in range(60):
        started = time.process_time()
        check([text])
        times.append(1000 * (time.process_time() - started))
    print(f"\n100 words: median {statistics.median(times):.1f} ms of processor time, on one thread")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=TARGET)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message=r"\[W030\]")  # names that end inside a token count as missed
    names(args.folder, args.seed)
    whole_check(args.folder)
