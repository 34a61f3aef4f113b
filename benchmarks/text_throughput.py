"""Texts a second through toxicity, pii and secrets, together in a chain and each alone, and each check's share of the time.

    python benchmarks/text_throughput.py --count 10000

A seeded mixture of the corpora that GENGUARD_DATA names: service dialogues and questions, social comments, prose, sentences
with personal data, Chinese posts and sentences. Together, the checks of a batch run side by side on threads, as in production;
alone, one after the other, so that shares add up. Without the corpora there is nothing to measure, and the script says so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from guard.chain import Chain
from guard.rules import CheckSpec, Policy
from guard.types import CALLER, Content, Modality, Request, Stage, Status

DATA = Path(os.environ.get("GENGUARD_DATA", Path(__file__).resolve().parents[2] / "shared/data"))
CHECKS = {"toxicity": {}, "pii": {"languages": ("en", "zh")}, "secrets": {}}
BATCH, RUNS, SEED, MOST_WORDS = 64, 3, 11, 400
MIXTURE = (
    ("sgd_dialogues/data.parquet", "text", 0.25),
    ("banking77_benign/data.parquet", "text", 0.15),
    ("civil_toxic_spans/posts.parquet", "text", 0.1),
    ("cat_wiki_context/data.parquet", "text", 0.1),
    ("presidio_synth/data.parquet", "text", 0.15),
    ("cold_zh/data.parquet", "text", 0.08),
    ("ner_zh_uner/train.parquet", "text", 0.07),
    ("books", "", 0.1),
)


def column(path: Path, name: str) -> list[str]:
    import pyarrow.parquet as pq

    return [str(value) for value in pq.read_table(path, columns=[name])[name].to_pylist()]


def paragraphs(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as books:
        whole = "\n\n".join(books.read(name).decode("utf-8").replace("\r", "") for name in sorted(books.namelist()))
    return [" ".join(part.split()) for part in whole.split("\n\n") if 20 <= len(part.split()) <= 200]


def mixture(count: int) -> list[str]:
    """`count` texts, the same each time."""
    draw, texts = random.Random(SEED), []
    for file, name, share in MIXTURE:
        pool = paragraphs(DATA / "books_public_domain/books.zip") if file == "books" else column(DATA / file, name)
        texts += [" ".join(text.split(" ")[:MOST_WORDS]) for text in draw.choices(pool, k=round(count * share))]
    draw.shuffle(texts)
    return texts[:count]


def chain(names: Sequence[str]) -> Chain:
    specs = tuple(CheckSpec(name, name, CHECKS[name], deadline_ms=60_000) for name in names)
    return Chain(Policy("bench", 1, "draft", "", "", specs, ()))


async def once(of: Chain, texts: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds for all texts, in batches."""
    wall, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(texts), BATCH):
        batch = [
            Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("bench"))
            for text in texts[first : first + BATCH]
        ]
        for results in await of.run(batch):
            if bad := [result.error for result in results if result.status is not Status.OK]:
                raise SystemExit(f"a check did not answer: {bad[0]}")
    return time.perf_counter() - wall, time.process_time() - cpu


async def measured(names: Sequence[str], texts: Sequence[str], runs: int) -> tuple[float, float]:
    of = chain(names)
    if trouble := await of.load():
        raise SystemExit(f"could not be loaded: {trouble}")
    await once(of, texts[:BATCH])
    found = [await once(of, texts) for _ in range(runs)]
    return statistics.median(wall for wall, _ in found), statistics.median(cpu for _, cpu in found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of the checks of text.")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    if not DATA.is_dir():
        print(f"no corpora at {DATA}: nothing measured. Set GENGUARD_DATA.")
        return
    texts = mixture(given.count)
    words = statistics.mean(len(text.split()) for text in texts)
    cores = len(os.sched_getaffinity(0))
    print(
        f"{platform.machine()}, {cores} cores, Python {platform.python_version()}: {len(texts)} texts, {words:.0f} words and "
        f"{statistics.mean(map(len, texts)):.0f} characters on average, batches of {BATCH}, medians of {given.runs}"
    )
    wall, cpu = asyncio.run(measured(list(CHECKS), texts, given.runs))
    each = 1000 / len(texts)
    print(f"together: {len(texts) / wall:.0f} texts/s, {wall * each:.2f} ms and {cpu * each:.2f} ms cpu a text")
    alone = {name: asyncio.run(measured([name], texts, given.runs)) for name in CHECKS}
    total = sum(cpu for _, cpu in alone.values())
    print(f"{'alone':>10} {'texts/s':>9} {'ms cpu a text':>14} {'share of cpu':>13}")
    for name, (wall, cpu) in alone.items():
        print(f"{name:>10} {len(texts) / wall:>9.0f} {cpu / len(texts) * 1000:>14.2f} {cpu / total:>13.0%}")


if __name__ == "__main__":
    main()
