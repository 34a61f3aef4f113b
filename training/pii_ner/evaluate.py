"""Measures the bundled name finders on what was held out: `python training/pii_ner/evaluate.py en` (or `zh`).

Prints, for the whole `pii` check: precision, recall and F2 by set and type (a span counts when it shares at least half of the
union with one of its type, as `genguard eval` does), findings per 1,000 texts where there should be hardly any, and the time
that a text takes. `--model FOLDER` measures another model, `--errors N` prints N mistakes of each set, `--show N` N findings
of each clean one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from corpora import DATA, chinese_posts, held_out_sets, paragraphs, questions
from marked import Marked
from train import ROOT

from evaluation.labels import Labelled
from evaluation.spans import Agreement, agreement, by_type
from guard.checks.name_tagger import NameTagger
from guard.checks.pii_names import MODEL_LABELS, read
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

TYPES = ("PERSON", "STREET_ADDRESS", "LOCATION", "ORGANIZATION")
ENGLISH = (
    "Sure, the account of Maria Gonzalez, 12 High Street, London, was closed by our office on Monday because nobody had paid. "
    * 6
)
CHINESE = "好的，客户张伟住在北京市海淀区中关村大街27号，他昨天来电说订单还没有送到，请尽快处理。" * 6


def find(check: Check, texts: Sequence[str]) -> list[list[Labelled]]:
    """What the check finds in each text."""
    contents = [Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("evaluation")) for text in texts]
    return [[Labelled(one.label, one.where.start, one.where.end) for one in scan.findings] for scan in check(contents)]


def expected(marked: Sequence[Marked]) -> list[list[Labelled]]:
    """The marked names under Presidio's types."""
    return [[Labelled(MODEL_LABELS[label], start, end) for start, end, label in one.entities] for one in marked]


def known(found: Sequence[Labelled], marked: Marked) -> list[Labelled]:
    """Findings outside the ranges about which nothing is known."""
    return [one for one in found if not any(start < one.end and one.start < end for start, end in marked.unknown)]


def table(check: Check, sets: dict[str, list[Marked]], errors: int) -> None:
    """One row a set and type, and one for persons and addresses together."""
    print("| held-out set | type | spans | precision | recall | F2 | exact F2 |\n|---|---|---|---|---|---|---|")
    for name, marked in sets.items():
        found = [known(one, two) for one, two in zip(find(check, [one.text for one in marked]), marked, strict=True)]
        gold = expected(marked)
        for label, figures in by_type(found, gold).items():
            print(row(name, label, figures))
        print(
            row(
                name,
                "PERSON + STREET_ADDRESS",
                agreement(*([[one for one in spans if one.type in TYPES[:2]] for spans in texts] for texts in (found, gold))),
            )
        )
        print(row(name, "all four", agreement(found, gold)))
        wrong = [(one, a, b) for one, a, b in zip(marked, found, gold, strict=True) if set(a) != set(b)]
        for one, a, b in random.Random(1).sample(wrong, min(errors, len(wrong))):
            shown = [
                [(label.type[:3], one.text[label.start : label.end]) for label in sorted(x, key=lambda y: y.start)]
                for x in (set(a) - set(b), set(b) - set(a))
            ]
            print(f"    {one.text[:200]!r}\n        found {shown[0]}\n        missed {shown[1]}")


def row(name: str, label: str, figures: Agreement) -> str:
    """One row of the table."""
    both = figures.overlap
    numbers = (both.precision, both.recall, both.f2, figures.exact.f2)
    return (
        f"| {name} | {label} | {both.true_positives + both.false_negatives} | "
        + " | ".join("–" if x is None else f"{x:.3f}" for x in numbers)
        + " |"
    )


def alarms(check: Check, sets: dict[str, list[str]], show: int) -> None:
    """Findings per 1,000 texts in which there should be hardly any."""
    print("\n| texts | number | " + " | ".join(f"{label} per 1,000" for label in TYPES) + " |\n|---|---|---|---|---|---|")
    for name, texts in sets.items():
        found = find(check, texts)
        counts = Counter(one.type for spans in found for one in spans)
        print(f"| {name} | {len(texts)} | " + " | ".join(f"{1000 * counts[label] / len(texts):.1f}" for label in TYPES) + " |")
        for label in TYPES if show else ():
            shown = [
                text[one.start : one.end]
                for text, spans in zip(texts, found, strict=True)
                for one in spans
                if one.type == label
            ]
            print(f"    {label}:", random.Random(1).sample(shown, min(show, len(shown))))


def clean_sets(language: str) -> dict[str, list[str]]:
    """Held-out texts with few or no names."""
    rng = random.Random(5)
    if language == "zh":
        return {"COLD, SWSR, JailBench (persons and places do occur)": rng.sample(chinese_posts(held_out=True), 1000)}
    dialogues = pd.read_parquet(DATA / "sgd_dialogues" / "data.parquet")
    turns = [
        line.split(": ", 1)[-1] for text in dialogues.text[dialogues.official_split == "test"] for line in text.split("\n")
    ]
    return {
        "banking77 (no names)": questions(held_out=True)[:1000],
        "Schema-Guided Dialogue turns (places and businesses do occur)": rng.sample(turns, 2000),
        "book paragraphs (many names are right)": rng.sample(paragraphs(held_out=True), 500),
    }


def duration(run: Callable[[], object]) -> float:
    """Median processor time of a call, in ms."""
    times = []
    for _ in range(60):
        started = time.process_time()
        run()
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("language", choices=("en", "zh"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--errors", type=int, default=0)
    parser.add_argument("--show", type=int, default=0)
    args = parser.parse_args()
    folder = args.model or ROOT / f"guard/models/bundled/pii-ner-{args.language}"
    check = checks.make("pii", {"languages": (args.language,), "model": str(folder), "entities": TYPES})
    check.load()
    table(check, held_out_sets(args.language, args.seed), args.errors)
    alarms(check, clean_sets(args.language), args.show)
    tagger = NameTagger.load(folder)
    text = " ".join(ENGLISH.split()[:100]) if args.language == "en" else CHINESE[:200]
    size = "100 words" if args.language == "en" else "200 characters"
    alone, whole = duration(lambda: read(tagger, text)), duration(lambda: find(check, [text]))
    print(f"\nA text of {size}: model {alone:.1f} ms, whole check {whole:.1f} ms of processor time, one thread")


if __name__ == "__main__":
    main()
