"""What each pack does with replies of ordinary service, with prose, and with comments that people called toxic or not.

    python training/toxicity/heldout.py --out build/heldout
    python benchmarks/packs.py build/heldout --rows 300

The texts were held out of the training of the bundled models; a seeded sample of each kind is judged as an output under every
pack. Prints a Markdown table: the shares of each kind that are withheld (blocked or held) and edited.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

from guard.chain import Chain, context_of
from guard.decide import decide
from guard.types import CALLER, Action, Content, Modality, Request, Stage
from policies import load, packs

BATCH, SEED = 64, 5


def kinds(folder: Path, rows: int) -> dict[str, list[str]]:
    """Texts by kind, at most `rows` of each."""
    import pandas as pd

    harmless = pd.read_parquet(folder / "harmless.parquet")
    comments = pd.read_parquet(folder / "jigsaw_wiki_binary.parquet")
    found = {
        "service questions and dialogues": harmless[harmless["source"].isin(["banking77_benign", "sgd_dialogues"])],
        "paragraphs of books": harmless[harmless["source"] == "books_public_domain"],
        "comments, not toxic": comments[comments["label"] == 0],
        "comments, toxic": comments[comments["label"] == 1],
    }
    return {kind: list(table.sample(min(rows, len(table)), random_state=SEED)["text"]) for kind, table in found.items()}


async def actions(pack: str, texts: list[str]) -> Counter[Action]:
    """How often a pack takes each action."""
    whole = load(pack)
    patient = tuple(replace(spec, deadline_ms=60_000) for spec in whole.checks)  # a busy machine is no reason to withhold
    policy = replace(whole, checks=patient)
    chain = Chain(policy)
    contents = [Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("1")) for text in texts]
    counts: Counter[Action] = Counter()
    for start in range(0, len(contents), BATCH):
        batch = contents[start : start + BATCH]
        for content, results in zip(batch, await chain.run(batch), strict=True):
            failed = [result for result in results if result.error]
            if failed:
                raise SystemExit(f"{pack}: check {failed[0].check} failed: {failed[0].error}")
            counts[decide(policy, results, context_of(content)).action] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description="What each pack does with held-out texts.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=300)
    given = parser.parse_args()
    texts = kinds(given.folder, given.rows)
    print("| pack | " + " | ".join(f"{kind} ({len(some)})" for kind, some in texts.items()) + " |")
    print("|---" * (len(texts) + 1) + "|")
    for pack in packs():
        cells = []
        for some in texts.values():
            counts = asyncio.run(actions(pack, some))
            withheld = counts[Action.BLOCK] + counts[Action.REVIEW]
            cells.append(f"{withheld / len(some):.1%}, {counts[Action.REDACT] / len(some):.1%} edited")
        print(f"| `{pack}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
