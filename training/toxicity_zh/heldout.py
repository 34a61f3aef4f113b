"""Writes what was held out of training as labelled Parquet files, one a corpus, for `genguard eval`.

    python training/toxicity_zh/heldout.py --out build/heldout

`label` is the corpus's own verdict: 1 offensive (COLD) or sexist (SWSR), 0 not. COLD's is its development part.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from corpora import load


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the held-out parts of the Chinese toxicity corpora.")
    parser.add_argument("--out", type=Path, default=Path("build/heldout"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    test = load(cleaned=False)
    test = test[test["split"] == "test"]
    for source, rows in test.groupby("source"):
        labelled = rows.assign(label=rows["target"].astype(int))[["text", "label"]]
        labelled.to_parquet(given.out / f"{source}.parquet", index=False)
        print(f"{source}: {len(labelled)} rows, {labelled['label'].sum()} of them 1")


if __name__ == "__main__":
    main()
