"""Builds the bundled bank `protected-texts` from the project's own texts.

    python training/banks/texts.py

Reads training/banks/texts/ (written for this project; titles and owners are invented, so that nobody's quotation is blocked),
writes guard/matching/banks/protected-texts.jsonl. The same texts give the same bank, byte for byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXTS = Path(__file__).parent / "texts"
LICENCE = "Apache-2.0; written for this project, title and owner are invented"


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from guard.matching import bank
    from guard.matching.passages import fingerprints
    from guard.matching.works import Work
    from guard.types import Modality

    built = bank.Bank.memory("protected-texts")
    for entry in json.loads((TEXTS / "texts.json").read_text("utf-8")):
        prints = fingerprints((TEXTS / entry["file"]).read_text("utf-8"), keep_text=True, part=entry.get("part", ""))
        work = Work(entry["id"], entry["title"], Modality.TEXT, entry["owner"], LICENCE, fingerprints=prints)
        built.add([work])
    target = bank.BUNDLED / "protected-texts.jsonl"
    built.write(target)
    print(f"{len(built)} works, digest {built.digest}: {target.relative_to(ROOT)}, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
