"""Copied passages found and wrongly found, megabytes a second, size of the index; beside plain shingles in Python.

    taskset -c 0 python benchmarks/passages.py

On the corpora that GENGUARD_DATA names. Registered: the 30 books, 14 million characters. Texts: dialogues, comments, posts and
mails, cut to about 1,500 characters; into each a seeded script puts a run of a book, as it is or set otherwise. Chinese:
posts, half of them registered. Books by the same authors: each book in turn as a text against the others. Without the
corpora there is nothing to measure, and the script says so.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import statistics
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from guard.matching.passages import Kind, PassageMatcher, fingerprints
from guard.matching.snapshot import Snapshot, snapshot_of
from guard.matching.works import Work
from guard.types import Modality

DATA = Path(os.environ.get("GENGUARD_DATA", Path(__file__).resolve().parents[2] / "shared/data"))
SEED = 17
OTHERS = (
    ("sgd_dialogues/data.parquet", "text"),
    ("cat_wiki_context/data.parquet", "text"),
    ("civil_toxic_spans/posts.parquet", "text"),
    ("presidio_synth/data.parquet", "text"),
    ("bipia/contexts_email.parquet", "text"),
)
LENGTHS, SHARES = (100, 120, 150, 200), (0.05, 0.1, 0.2, 0.3, 0.4)
DOCUMENT = 1500


def column(path: Path, name: str) -> list[str]:
    import pyarrow.parquet as pq

    return [str(value) for value in pq.read_table(path, columns=[name])[name].to_pylist()]


def books(name: str = "books.zip") -> dict[str, str]:
    with zipfile.ZipFile(DATA / "books_public_domain" / name) as archive:
        found = {entry.rpartition(".")[0]: archive.read(entry).decode("utf-8") for entry in sorted(archive.namelist())}
    return {title: text.replace("\r\n", "\n") for title, text in found.items()}


def documents(count: int) -> list[str]:
    """`count` texts of about DOCUMENT characters, as many of each corpus; small corpora are gone through again."""
    draw, made = random.Random(SEED), []
    for file, name in OTHERS:
        pool = column(DATA / file, name)
        draw.shuffle(pool)
        pieces, mine = cycle(pool), []
        while len(mine) < count // len(OTHERS):
            text = ""
            while len(text) < DOCUMENT:
                text += next(pieces)[:DOCUMENT] + "\n"
            mine.append(text)
        made += mine
    draw.shuffle(made)
    return made


def bank(texts: dict[str, str], *, keep_text: bool = True) -> Snapshot:
    works = [
        Work(title, title, Modality.TEXT, fingerprints=fingerprints(text, keep_text=keep_text)) for title, text in texts.items()
    ]
    return snapshot_of("books", works)


def run_of(text: str, length: int, draw: random.Random) -> str:
    """A run of so many characters, white space counted as one."""
    start = draw.randrange(len(text) - 4 * length)
    return " ".join(text[start : start + 4 * length].split())[:length]


def set_otherwise(text: str, draw: random.Random) -> str:
    """Other case, quotation marks, dashes and line breaks, and marks of markup."""
    text = draw.choice((str.upper, str.lower, str))(text).replace("--", "—").replace('"', "“").replace("'", "’")
    return "".join(
        draw.choice(("\n", "\n> ", "  ", " *")) if letter == " " and draw.random() < 0.2 else letter for letter in text
    )


def reword(text: str, share: float, others: Sequence[str], draw: random.Random) -> str:
    return " ".join(draw.choice(others) if draw.random() < share else word for word in text.split())


def planted(texts: Sequence[str], passages: Sequence[str], draw: random.Random) -> list[str]:
    """Each passage between two lines of a text."""
    made = []
    for text, passage in zip(texts, passages, strict=True):
        at = draw.randrange(len(text))
        at = text.find(" ", at) if text.find(" ", at) >= 0 else at
        made.append(f"{text[:at]} {passage} {text[at:]}")
    return made


def verbatim(
    matcher: PassageMatcher, registered: dict[str, str], texts: list[str], change: Callable[[str, random.Random], str]
) -> str:
    """Shares of planted runs found, by length, each in as many texts."""
    cells = []
    titles = list(registered)
    for length in LENGTHS:
        draw = random.Random(SEED + length)
        chosen = [draw.randrange(len(titles)) for _ in texts]
        passages = [change(run_of(registered[titles[one]], length, draw), draw) for one in chosen]
        hits = [
            any(passage.number == one + 1 and passage.kind is Kind.VERBATIM for passage in matcher.match(text))
            for text, one in zip(planted(texts, passages, draw), chosen, strict=True)
        ]
        cells.append(f"{sum(hits)} of {len(hits)}")
    return " | ".join(cells)


def rewordings(snapshot: Snapshot, registered: dict[str, str], texts: list[str]) -> None:
    for words in (60, 120):
        reworded(snapshot, registered, texts, words)


def reworded(snapshot: Snapshot, registered: dict[str, str], texts: list[str], words: int) -> None:
    print(f"\nReworded passages of {words} words, by the share of words changed (similarity | {' | '.join(map(str, SHARES))}):")
    others = [word for text in list(registered.values())[::7] for word in text.split()]
    split = [text.split() for text in registered.values()]
    for similarity in (0.2, 0.25, 0.3, 0.4):
        matcher, cells = PassageMatcher(snapshot, 150, similarity), []
        for share in SHARES:
            draw = random.Random(SEED + round(100 * share))
            chosen, passages = [draw.randrange(len(split)) for _ in texts], []
            for one in chosen:
                tokens = split[one]
                start = draw.randrange(len(tokens) - words)
                passages.append(reword(" ".join(tokens[start : start + words]), share, others, draw))
            made = planted(texts, passages, draw)
            hits = [
                any(found.number == one + 1 for found in matcher.match(text)) for text, one in zip(made, chosen, strict=True)
            ]
            cells.append(f"{100 * sum(hits) / len(hits):.0f} %")
        print(f"| {similarity} | {' | '.join(cells)} |")


def wrongly(snapshot: Snapshot, registered: dict[str, str], texts: list[str]) -> None:
    print("\nFound where nothing was copied (verbatim / reworded):")
    for similarity in (0.2, 0.25):
        matcher = PassageMatcher(snapshot, 150, similarity)
        kinds = Counter(found.kind for text in texts for found in matcher.match(text))
        plays = books("shakespeare_8plays.zip")
        quoted = []
        for title, text in plays.items():
            quoted += [(one.kind, title, snapshot.works[one.number].title) for one in matcher.match(text)]
        same: list[tuple[str, str, str]] = []
        for number, (title, text) in enumerate(registered.items(), 1):
            less = replace(snapshot, indexes={name: index.without([number]) for name, index in snapshot.indexes.items()})
            found = PassageMatcher(less, 150, similarity).match(text)
            same += [(one.kind, title, snapshot.works[one.number].title) for one in found]
        counted = Counter(kind for kind, _, _ in same)
        print(
            f"similarity {similarity}: {len(texts)} texts {kinds[Kind.VERBATIM]} / {kinds[Kind.NEAR]}; each book against the "
            f"others {counted[Kind.VERBATIM]} / {counted[Kind.NEAR]}; 8 plays {len(quoted)}"
        )
        for kind, title, other in [*same, *quoted]:
            print(f"    {kind}: {title} <- {other}")


def speed(snapshot: Snapshot, texts: list[str], registered: dict[str, str]) -> None:
    print("\nMB/s on one core, processor time (median of 5):")
    mixed, copied = "\n".join(texts)[:4_000_000], registered["Jane Austen - Emma"]
    for name, text in (("other texts", mixed), ("a registered book", copied)):
        cells = []
        for similarity in (0.0, 0.25):
            matcher, taken = PassageMatcher(snapshot, 150, similarity), []
            for _ in range(5):
                start = time.process_time()
                matcher.match(text)
                taken.append(time.process_time() - start)
            cells.append(f"{len(text.encode()) / statistics.median(taken) / 1e6:.1f}")
        print(f"| {name} | verbatim {cells[0]} | with reworded {cells[1]} |")


def shingles(registered: dict[str, str], texts: list[str], size: int = 50) -> None:
    """The bare comparison: every 50 characters of the books in a set, each 50 characters of a text looked up."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    known = {hash(text[at : at + size]) for text in registered.values() for at in range(len(text) - size)}
    built, memory = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    titles, cells = list(registered), []
    for change in (lambda text, _: text, set_otherwise):
        draw = random.Random(SEED)
        passages = [change(run_of(registered[titles[draw.randrange(len(titles))]], 200, draw), draw) for _ in texts]
        made = planted(texts, passages, draw)
        start = time.process_time()
        hits = sum(any(hash(text[at : at + size]) in known for at in range(len(text) - size)) for text in made)
        taken = time.process_time() - start
        cells.append(f"{hits} of {len(made)}, {sum(map(len, made)) / taken / 1e6:.2f} MB/s")
    print(f"\nSet of all {size}-character shingles: {built:.0f} s, {memory / 1024:.0f} MB; runs of 200: {' | '.join(cells)}")


def chinese() -> None:
    """Runs of Chinese posts: half registered as works of 3,000 characters, half as the texts around."""
    posts = column(DATA / "cold_zh/data.parquet", "text")
    random.Random(SEED).shuffle(posts)
    half = len(posts) // 2
    whole = "\n".join(posts[:half])
    works = {f"posts {at}": whole[at : at + 3000] for at in range(0, len(whole) - 3000, 3000)}
    around = ["\n".join(posts[half + 10 * at : half + 10 * at + 10]) for at in range(len(posts[half:]) // 10)][:1000]
    snapshot = bank(works)
    matcher = PassageMatcher(snapshot, 100)
    wrong = Counter(found.kind for text in around for found in matcher.match(text))
    print(
        f"\nChinese, min_run 100: {len(works)} works, {len(around)} texts; nothing copied: {dict(wrong)}; runs of 120:", end=" "
    )
    for change in (lambda text, _: text, lambda text, draw: "".join(letter + draw.choice(("", "", "\n")) for letter in text)):
        draw = random.Random(SEED)
        titles = list(works)
        chosen = [draw.randrange(len(titles)) for _ in around]
        passages = [change(run_of(works[titles[one]], 120, draw), draw) for one in chosen]
        made = planted(around, passages, draw)
        hits = sum(
            any(found.number == one + 1 for found in matcher.match(text)) for text, one in zip(made, chosen, strict=True)
        )
        print(f"{hits} of {len(made)}", end=" | ")
    text = "\n".join(around)
    start = time.process_time()
    matcher.match(text)
    taken = 1e6 * (time.process_time() - start)
    print(f"{len(text.encode()) / taken:.1f} MB/s, {len(text) / taken:.1f} million characters/s")


def runs(snapshot: Snapshot, registered: dict[str, str], texts: list[str]) -> None:
    print(f"\nVerbatim runs found, in {len(texts)} texts each ({' | '.join(map(str, LENGTHS))} characters):")
    for name, minimum in (("min_run 150", 150), ("min_run 100", 100)):
        matcher = PassageMatcher(snapshot, minimum, 0)
        print(f"| {name}, as it is | {verbatim(matcher, registered, texts, lambda text, _: text)} |")
        print(f"| {name}, set otherwise | {verbatim(matcher, registered, texts, set_otherwise)} |", flush=True)
    hashed = PassageMatcher(bank(registered, keep_text=False), 150, 0)
    print(f"| min_run 150, hashes alone | {verbatim(hashed, registered, texts, lambda text, _: text)} |")


def sizes(snapshot: Snapshot, registered: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, index in snapshot.indexes.items():
            index.save(Path(folder) / name)
            held = sum(path.stat().st_size for path in (Path(folder) / name).iterdir())
            start = time.perf_counter()
            type(index).open(name, Path(folder) / name)
            print(f"index {name}: {held / 1e6:.1f} MB, opened in {1000 * (time.perf_counter() - start):.0f} ms")
    for keep in (True, False):
        size = Counter()
        for text in registered.values():
            for one in fingerprints(text, keep_text=keep):
                size[one.method] += len(one.data)
        print(f"fingerprints with keep_text={keep}: {dict(size)} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description="Copied passages: found, wrongly found, speed.")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--reworded", type=int, default=300)
    parser.add_argument("--only", nargs="*", help="sizes speed wrong chinese reworded shingles verbatim; by default all")
    given = parser.parse_args()
    if not DATA.is_dir():
        print(f"no corpora at {DATA}: nothing measured. Set GENGUARD_DATA.")
        return
    registered, texts = books(), documents(given.count)
    characters = sum(map(len, registered.values()))
    start = time.process_time()
    snapshot = bank(registered)
    print(
        f"{platform.machine()}, Python {platform.python_version()}: {len(registered)} books, {characters / 1e6:.1f} million "
        f"characters, registered and indexed in {time.process_time() - start:.1f} s; {len(texts)} texts of "
        f"{statistics.mean(map(len, texts)):.0f} characters"
    )
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB with all texts")
    parts: dict[str, Callable[[], None]] = {
        "sizes": lambda: sizes(snapshot, registered),
        "speed": lambda: speed(snapshot, texts, registered),
        "wrong": lambda: wrongly(snapshot, registered, texts),
        "chinese": chinese,
        "reworded": lambda: rewordings(snapshot, registered, texts[: given.reworded]),
        "shingles": lambda: shingles(registered, texts[:500]),
        "verbatim": lambda: runs(snapshot, registered, texts),
    }
    for name in given.only or parts:
        parts[name]()


if __name__ == "__main__":
    main()
