"""Writes what was held out of training as labelled Parquet files, one a corpus, for `genguard eval`.

    python training/toxicity/heldout.py --out build/heldout

`label` is the corpus's own verdict: 1 toxic (EDOS: sexist), 0 not. Harmless text, all of it 0, is in `harmless.parquet`, by
its `source`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data import load

HARMLESS = ("banking77_benign", "sgd_dialogues", "books_public_domain")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the held-out parts of the toxicity corpora.")
    parser.add_argument("--out", type=Path, default=Path("build/heldout"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    table = load()
    test = table[(table["split"] == "test") & table["gold"].notna()]
    test = test.assign(label=test["gold"].astype(int))[["text", "label", "source"]]
    for source, rows in test[~test["source"].isin(HARMLESS)].groupby("source"):
        rows.to_parquet(given.out / f"{source}.parquet", index=False)
        print(f"{source}: {len(rows)} rows, {rows['label'].sum()} of them 1")
    harmless = test[test["source"].isin(HARMLESS)]
    harmless.to_parquet(given.out / "harmless.parquet", index=False)
    print(f"harmless: {len(harmless)} rows")


if __name__ == "__main__":
    main()
