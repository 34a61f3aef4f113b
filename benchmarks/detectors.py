"""Runs `genguard eval` over every held-out file of the bundled detectors and prints the table of docs/quality/detectors.md.

    python training/toxicity/heldout.py && python training/toxicity_zh/heldout.py && python benchmarks/detectors.py

Each line is one command, printed beneath the tables, and each can be run by itself. `$DATA` is GENGUARD_DATA, `build/heldout`
is written by the `heldout.py` scripts of the training folders. A file that is not there is named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = os.environ.get("GENGUARD_DATA", str(ROOT / "../shared/data"))
CLASSES = ("n", "positives", "roc_auc", "average_precision", "precision", "recall", "f2", "fp_per_1000", "ece", "texts_per_s")


@dataclass(frozen=True)
class Line:
    """One measurement: what it is called in the table, and the words after `genguard eval`."""

    title: str
    words: str


TEXTS = "--text text --label label"
TOXICITY = [
    Line(f"{name}, held out", f"toxicity build/heldout/{name}.parquet {TEXTS}")
    for name in (
        "jigsaw_wiki_binary",
        "toxigen_human",
        "hatexplain",
        "convabuse",
        "davidson_hso",
        "surge_toxicity",
        "cat_wiki_context",
    )
] + [
    Line("edos_sexism, held out", f"toxicity build/heldout/edos_sexism.parquet {TEXTS}"),
    Line("edos_sexism, held out, label `sexism`", f"toxicity build/heldout/edos_sexism.parquet {TEXTS} --finding sexism"),
    Line("banking77, dialogues and books, held out, all harmless", f"toxicity build/heldout/harmless.parquet {TEXTS}"),
    Line("stormfront_hate, never seen", f"toxicity $DATA/stormfront_hate/data.parquet {TEXTS} --positive hate"),
    Line("cold_zh, development part", f"toxicity build/heldout/cold_zh.parquet {TEXTS}"),
    Line("ner_zh_uner, development part, all harmless", f"toxicity build/heldout/ner_zh_uner.parquet {TEXTS}"),
    Line("swsr_zh_sexism, held out", f"toxicity build/heldout/swsr_zh_sexism.parquet {TEXTS}"),
]
PII = [
    Line(
        "pii_nano_en, read while the patterns were written",
        "pii $DATA/pii_nano_en/data.parquet --text text --label spans"
        " --map EMAIL=EMAIL_ADDRESS --map SSN=US_SSN --map PHONE=PHONE_NUMBER --map IBAN=IBAN_CODE --map PAN=IN_PAN"
        " --map AADHAR=IN_AADHAAR --map PASSPORT=US_PASSPORT --map PASSPORT_NUM=US_PASSPORT"
        " --map ORG= --map ORGANIZATION= --map SYSTEM= --map TITLE= --map EVENT= --map BANK= --map PASSWORD=",
    ),
]


def measured(line: Line) -> dict[str, object] | None:
    """What the command says; None, with a word on standard error, when it cannot be run."""
    words = [word.replace("$DATA", DATA) for word in shlex.split(line.words)]
    command = [sys.executable, "-m", "cli", "eval", *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{line.title}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    print(f"{line.title}: done", file=sys.stderr)
    return dict(json.loads(done.stdout))


def shown(value: object) -> str:
    if value is None:
        return ""
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:.3f}"
        if isinstance(value, float) and value < 10
        else f"{value:.0f}"
    )


def of_classes(lines: list[Line]) -> None:
    print(f"| file | digest | {' | '.join(CLASSES)} |\n|{'---|' * (len(CLASSES) + 2)}")
    for line in lines:
        if found := measured(line):
            print(
                f"| {line.title} | {str(found['digest'])[:8]} | {' | '.join(shown(found[key]) for key in CLASSES)} |",
                flush=True,
            )


def of_spans(lines: list[Line]) -> None:
    print("| file | digest | texts | precision | recall | F2 | exact F2 | false positives per 1,000 | texts_per_s |")
    print(f"|{'---|' * 9}")
    for line in lines:
        if found := measured(line):
            overlap, exact = found["spans"]["overlap"], found["spans"]["exact"]  # type: ignore[index]
            figures = [found["n"], overlap["precision"], overlap["recall"], overlap["f2"], exact["f2"]]
            figures += [found["fp_per_1000"], found["texts_per_s"]]
            print(f"| {line.title} | {str(found['digest'])[:8]} | {' | '.join(map(shown, figures))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure all bundled detectors with genguard eval.")
    parser.parse_args()
    for title, lines, table in (
        ("Toxicity", TOXICITY, of_classes),
        ("Personal data", PII, of_spans),
    ):
        print(f"\n## {title}\n")
        table(lines)
        print("\n```sh")
        for line in lines:
            print(f"genguard eval {line.words}")
        print("```")


if __name__ == "__main__":
    main()
