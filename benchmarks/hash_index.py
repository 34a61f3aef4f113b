"""Exact radius search over millions of 256-bit hashes on one core: speed, memory, and whether the answers are right.

    python benchmarks/hash_index.py [--sizes 1000000 10000000] [--queries 1000] [--seed 4]

Hashes are drawn by a seeded generator that mimics PDQ of photographs: bits are balanced and follow their neighbour a little, so
that distances of unrelated hashes spread as between photographs (printed too, where the set photos_cid22 is there); one hash in
ten is an edit of an earlier one, 0 to 40 bits away. Half of the queries are unrelated to all hashes, the others 0 to 40 bits
away from one.

Each part runs in a process of its own, on one thread. Processor time is what one core spends on a query; elapsed time includes
waiting for the processor on a busy machine. Memory is that of a process that mapped the saved index and answered all queries.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RADII = (0, 16, 31, 48, 64)
CHECKED = 25
"""Queries a radius whose answers are compared with those of a linear scan by numpy."""
EDITS = 41
BLOCK = 1 << 18


# --- hashes and queries ----------------------------------------------------------------------------------------------


def drawn(draw: np.random.Generator, size: int) -> np.ndarray[Any, Any]:
    """Unrelated hashes as words: in one place of eight, a bit is that of its neighbour."""
    codes = draw.integers(0, 1 << 64, (size, 4), np.uint64)
    follows = draw.integers(0, 1 << 64, (size, 4), np.uint64)
    for _ in range(2):
        follows &= draw.integers(0, 1 << 64, (size, 4), np.uint64)
    return (codes & ~follows) | ((codes << np.uint64(1)) & follows)


def edited(draw: np.random.Generator, codes: np.ndarray[Any, Any], distances: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Each hash with that many of its bits flipped."""
    bits = np.unpackbits(codes.view(np.uint8), axis=1)
    ranks = draw.random(bits.shape, np.float32).argsort(axis=1).argsort(axis=1)
    return np.packbits(bits ^ (ranks < distances[:, None]), axis=1).view(np.uint64)


def hashes(size: int, seed: int) -> np.ndarray[Any, Any]:
    draw = np.random.default_rng(seed)
    codes = np.empty((size, 4), np.uint64)
    for start in range(0, size, BLOCK):
        codes[start : start + BLOCK] = drawn(draw, len(codes[start : start + BLOCK]))
    for start in range(BLOCK // 4, size, BLOCK):
        rows = codes[start : start + BLOCK // 10]
        rows[:] = edited(draw, codes[draw.integers(0, start, len(rows))], draw.integers(0, EDITS, len(rows)))
    return codes


def questions(codes: np.ndarray[Any, Any], count: int, seed: int) -> list[list[bytes]]:
    """Eight queries each, as for the orientations of a picture: seven are unrelated, the first is so in half of the cases."""
    draw = np.random.default_rng(seed + 1)
    first = drawn(draw, count)
    near = np.arange(0, count, 2)
    first[near] = edited(draw, codes[draw.integers(0, len(codes), len(near))], np.arange(len(near)) % EDITS)
    others = drawn(draw, count * 7).reshape(count, 7, 4)
    return [[one.tobytes(), *(other.tobytes() for other in rest)] for one, rest in zip(first, others, strict=True)]


# --- measuring -------------------------------------------------------------------------------------------------------


def status(field: str) -> int:
    """A field of this process's memory, in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines[field].split()[0]) // 1000


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and elapsed seconds."""
    started, spent = time.perf_counter(), time.thread_time()
    work()
    return time.thread_time() - spent, time.perf_counter() - started


def row(name: str, times: list[tuple[float, float]]) -> str:
    spent, elapsed = 1000 * np.array(times).T
    figures = (np.median(spent), np.quantile(spent, 0.99), np.median(elapsed), np.quantile(elapsed, 0.99))
    return f"| {name} | {' | '.join(f'{one:.3f}' for one in figures)} | {1000 / spent.mean():,.0f} |"


HEAD = """| | p50, processor ms | p99, processor ms | p50, elapsed ms | p99, elapsed ms | queries a second of processor |
|---|---|---|---|---|---|"""


def build(size: int, folder: Path, seed: int) -> None:
    """Build and save, from an array in memory."""
    from guard.matching.hamming import HammingIndex

    codes = hashes(size, seed)
    codes.tofile(folder / "codes.bin")
    few = codes[: 1 << 15]
    HammingIndex.from_arrays("pdq", few, np.arange(1, len(few) + 1))  # Compiles, or loads what was compiled.
    made: list[HammingIndex] = []
    spent, elapsed = timed(lambda: made.append(HammingIndex.from_arrays("pdq", codes, np.arange(1, size + 1))))
    writing, written = timed(lambda: made[0].save(folder / "index"))
    files = sum(file.stat().st_size for file in (folder / "index").rglob("*") if file.is_file())
    print(
        f"Build: {spent:.1f} s of processor, {elapsed:.1f} s elapsed; peak memory with its input {status('VmHWM')} MB. "
        f"Save: {writing:.1f} s, {written:.1f} s elapsed; {files / 1e6:,.0f} MB of files."
    )


def oracle(codes: np.ndarray[Any, Any], queries: list[bytes], radius: int) -> list[tuple[int, int]]:
    """(distance, number) of all hashes within the radius, by comparing every one."""
    found = []
    words = np.frombuffer(b"".join(queries), np.uint64).reshape(-1, 4)
    for start in range(0, len(codes), BLOCK):
        rows = codes[start : start + BLOCK]
        nearest = np.full(len(rows), 256, np.int64)
        for query in words:
            np.minimum(nearest, np.bitwise_count(rows ^ query).sum(axis=1, dtype=np.int64), out=nearest)
        found += [(int(nearest[place]), start + int(place) + 1) for place in np.flatnonzero(nearest <= radius)]
    return sorted(found)


def search(size: int, folder: Path, seed: int, count: int) -> None:
    """Map the saved index and search it."""
    from guard.matching.hamming import HammingIndex

    codes = np.memmap(folder / "codes.bin", np.uint64, "r").reshape(-1, 4)
    asked = questions(codes, count, seed)
    del codes
    opened: list[HammingIndex] = []
    _, elapsed = timed(lambda: opened.append(HammingIndex.open("pdq", folder / "index")))
    index = opened[0]
    for queries in asked[:200]:
        index.search(queries, 31)
    print(f"Opened in {1000 * elapsed:.1f} ms.\n\n{HEAD}")
    for radius in RADII:
        some = asked[: count if radius <= 31 else count // 10]
        print(row(f"radius {radius}", [timed(lambda q=one[:1], r=radius: index.search(q, r)) for one in some]))
        if radius == 31:
            print(row("radius 31, eight orientations", [timed(lambda q=one: index.search(q, 31)) for one in some]))
    memory = f"Memory {status('VmRSS')} MB, at its peak {status('VmHWM')} MB"
    batch = [(size + place, one[1]) for place, one in enumerate(asked[:10], 1)]
    changed: list[HammingIndex] = []
    adding, _ = timed(lambda: changed.append(index.extended(batch)))
    retiring, _ = timed(lambda: changed.append(changed[0].without([1, 2, 3])))
    found = changed[1].search([batch[0][1]], 0)
    assert [hit.number for hit in found] == [size + 1]
    print(f"\n{memory}. Adding 10 entries: {1000 * adding:.1f} ms of processor; retiring 3 works: {1000 * retiring:.1f} ms.")
    check(index, np.memmap(folder / "codes.bin", np.uint64, "r").reshape(-1, 4), asked)


def check(index: Any, codes: np.ndarray[Any, Any], asked: list[list[bytes]]) -> None:
    """Compare answers with the oracle's. Raises AssertionError where they differ."""
    compared = hits = 0
    for radius in RADII:
        for queries in (one[: 8 if place % 5 == 0 else 1] for place, one in enumerate(asked[:CHECKED])):
            found = [(hit.distance, hit.number) for hit in index.search(queries, radius)]
            assert found == oracle(codes, queries, radius), f"other answers than the oracle's at radius {radius}"
            compared, hits = compared + 1, hits + len(found)
    print(f"Answers equal those of the linear scan for {compared} searches ({hits} works found).")


def others(folder: Path, seed: int, count: int) -> None:
    """The same queries, compared with every hash: numpy, and FAISS on one thread."""
    import faiss

    faiss.omp_set_num_threads(1)
    codes = np.fromfile(folder / "codes.bin", np.uint64).reshape(-1, 4)
    asked = questions(codes, count, seed)
    print(row("linear scan by numpy, radius 31", [timed(lambda q=one[:1]: oracle(codes, q, 31)) for one in asked[:10]]))
    flat = faiss.IndexBinaryFlat(256)
    flat.add(codes.view(np.uint8))
    arrays = [np.frombuffer(b"".join(one), np.uint8).reshape(8, 32) for one in asked[:20]]
    print(row("faiss.IndexBinaryFlat, radius 31", [timed(lambda q=one[:1]: flat.range_search(q, 32)) for one in arrays]))
    print(row("faiss.IndexBinaryFlat, radius 31, eight", [timed(lambda q=one: flat.range_search(q, 32)) for one in arrays]))


def spread(seed: int) -> str:
    """Mean and deviation of the distances of unrelated hashes."""
    codes = drawn(np.random.default_rng(seed), 2000)
    distances = np.bitwise_count(codes[:1000] ^ codes[1000:]).sum(axis=1)
    return f"{distances.mean():.1f} +- {distances.std():.1f}"


def photographs() -> None:
    """Mean and deviation of the distances of PDQ between photographs, where they are there."""
    archive = Path(os.environ.get("GENGUARD_DATA", "../shared/data")) / "photos_cid22" / "cid22_training.zip"
    if not archive.is_file():
        return
    from guard.imaging import open_picture
    from guard.matching.hashes import PDQ

    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if name.endswith((".png", ".jpg"))]
        codes = [PDQ()(open_picture(files.read(name)).convert("RGB")).orientations[0] for name in names]
    words = np.frombuffer(b"".join(codes), np.uint64).reshape(-1, 4)
    distances = np.bitwise_count(words[:, None] ^ words).sum(axis=2)[np.triu_indices(len(words), 1)]
    print(f"Distances of PDQ between {len(words)} photographs {distances.mean():.1f} +- {distances.std():.1f}.", flush=True)


def skewed(seed: int, size: int = 1_000_000) -> None:
    """Hashes as an adversary would choose them, at radius 31."""
    from guard.matching.hamming import HammingIndex

    draw = np.random.default_rng(seed)
    shared = drawn(draw, size)
    shared[:, 0] = 12345
    far = draw.random((size, 256), np.float32) < 0.2
    around = np.packbits(far, axis=1).view(np.uint64)
    sets = {
        "all share 64 bits with each other and the query": (
            shared,
            shared[:50] ^ np.array([0, *drawn(draw, 1)[0, 1:]], np.uint64),
        ),
        "all lie about 51 bits from the query": (around, np.zeros((10, 4), np.uint64)),
        "all lie about 51 bits from one centre, a member is asked for": (around, around[:50]),
        "all are the query": (np.zeros((size, 4), np.uint64), np.zeros((5, 4), np.uint64)),
    }
    print(f"\n## {size:,} skewed hashes\n\n{HEAD}")
    for name, (codes, queries) in sets.items():
        index = HammingIndex.from_arrays("pdq", codes, np.arange(1, size + 1))
        index.near([queries[0].tobytes()], 31)
        print(row(name, [timed(lambda q=one, i=index: i.near([q.tobytes()], 31)) for one in queries]))


def machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--part", choices=["build", "search", "others", "photographs", "skewed"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "build":
        build(args.sizes[0], args.folder, args.seed)
    elif args.part == "search":
        search(args.sizes[0], args.folder, args.seed, args.queries)
    elif args.part == "photographs":
        photographs()
    elif args.part == "skewed":
        skewed(args.seed)
    elif args.part == "others":
        others(args.folder, args.seed, args.queries)
    else:
        whole(args)


def whole(args: argparse.Namespace) -> None:
    """Every part for every size, one after the other."""
    print(f"{machine()}. Distances of unrelated hashes {spread(args.seed)}. Seed {args.seed}.", flush=True)
    part("photographs", args, 0, "")
    for size in args.sizes:
        print(f"\n## {size:,} hashes\n", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for name in ("build", "search", "others"):
                part(name, args, size, folder)
    part("skewed", args, 0, "")


def part(name: str, args: argparse.Namespace, size: int, folder: str) -> None:
    """In a process of its own."""
    single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, __file__, "--part", name, "--folder", folder, "--sizes", str(size)]
    command += ["--queries", str(args.queries), "--seed", str(args.seed)]
    subprocess.run(command, env=single, check=True)


if __name__ == "__main__":
    main()
