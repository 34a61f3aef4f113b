"""Imports works into a bank, many at once: from a folder of pictures and texts, from CSV, from JSON Lines.

Works are registered in batches, each durable when the next begins. An import that was interrupted is run again: what is there
already is passed over without being fingerprinted anew. A row that cannot be used is named, and the others go on.

A folder may have a list beside its files, `works.csv`, `works.json` or `works.jsonl`, with a column `file` and whatever is
known of each work (`guard.matching.exchange.COLUMNS`). A file that no list names has its path as id and its name as title.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from guard.errors import InputError
from guard.matching import exchange
from guard.matching.bank import Bank
from guard.matching.exchange import Item
from guard.matching.fingerprinting import fingerprints_of, is_image, thumbnail_of
from guard.matching.records import canonical, check_work, facts
from guard.matching.works import Work

LISTS = ("works.csv", "works.json", "works.jsonl")
BATCH = 1000
"""Works that are registered at once."""
WEIGHT = 32_000_000
"""Bytes of fingerprints that wait at most."""
SHARED_WEIGHT = 2_000_000
"""The same of a bank that several machines have: so long the ledger they share takes nothing else."""
PATIENCE_S = 5.0
"""How long works may wait for a batch to be full: what an interruption costs."""
TIDY_EVERY = 100_000
MAX_FILE = 64_000_000
"""Bytes of one file."""
MAX_REJECTS = 1000
"""Refused works that are kept in memory; all are counted, and written to the rejects file."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A work that was not imported."""

    place: str
    """File and line, or the path of a picture or text in its folder."""
    id: str
    error: str
    """What was found and what was expected."""


@dataclass(slots=True)
class Summary:
    """What an import came to."""

    added: int = 0
    same: int = 0
    """There already."""
    retired: int = 0
    """Retired before, and so not added again."""
    rejected: int = 0
    rejects: list[Reject] = field(default_factory=list)
    """The first thousand."""
    seconds: float = 0.0

    @property
    def seen(self) -> int:
        """Works that were looked at."""
        return self.added + self.same + self.retired + self.rejected

    def fields(self) -> dict[str, Any]:
        """What it came to, as plain fields."""
        return {
            "added": self.added,
            "same": self.same,
            "retired_before": self.retired,
            "rejected": self.rejected,
            "rejects": [{"place": one.place, "id": one.id, "error": one.error} for one in self.rejects],
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Options:
    """How works are imported."""

    actor: str = ""
    again: bool = False
    """Register works anew that were retired before."""
    thumbnails: bool = False
    """Keep a small picture of each picture, to be shown beside an output that matches it."""
    keep_text: bool = False
    """Keep texts, so that a match can show the passage."""
    rejects: Path | None = None
    """A CSV file that lists every refused work."""


Progress = Callable[[int, int], None]
"""Called with (works looked at, works there are, as far as that is known)."""


def import_works(bank: Bank, source: Path, options: Options | None = None, *, progress: Progress | None = None) -> Summary:
    """Import a folder, a CSV file or a JSON Lines file.

    Raises InputError for a source that is missing, unreadable as a whole or of unknown columns, ModelError when the bank
    cannot be written.
    """
    total = _total(source)
    with _Import(bank, source.name, options or Options()) as run:
        for count, (place, item, folder) in enumerate(_items(source), 1):
            run.take(place, item, folder)
            if progress is not None and not count % 20:
                progress(count, max(total, count))
    if progress is not None:
        progress(run.summary.seen, max(total, run.summary.seen))
    return run.summary


def check_source(source: Path) -> None:
    """Look at the beginning of what is to be imported, before a bank is begun for it. Raises InputError as `import_works`."""
    next(_items(source), None)


def import_items(bank: Bank, source: str, items: Iterable[Item], options: Options | None = None) -> Summary:
    """Import works that somebody sent, from `source` as they call it: hashes alone, no files. Raises as `import_works`."""
    with _Import(bank, source, options or Options()) as run:
        for item in items:
            run.take(f"{source}:{item.line}", item, None)
    return run.summary


class _Import:
    """One import in progress."""

    def __init__(self, bank: Bank, source: str, options: Options) -> None:
        self.summary = Summary()
        self._bank = bank
        self._source = source
        self._options = options
        self._batch: list[tuple[str, Work, bytes]] = []
        self._since = self._started = time.monotonic()
        self._untidy = self._weight = 0
        self._rejects = options.rejects.open("w", encoding="utf-8", newline="") if options.rejects else None
        if self._rejects:
            csv.writer(self._rejects).writerow(("place", "id", "error"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, (InputError, KeyboardInterrupt)):
                self.flush()
                self._bank.tidy()
        finally:
            if self._rejects:
                self._rejects.close()
            self.summary.seconds = time.monotonic() - self._started

    def take(self, place: str, item: Item, folder: Path | None) -> None:
        """Register one work, soon."""
        if item.work is None:
            self._reject(place, item.id, item.error)
            return
        try:
            made_from, work = self._from_file(item.work, folder, item.file) if item.file else (b"", item.work)
            if work is not None:
                self._batch.append((place, check_work(work), made_from))
                self._weight += len(work.thumbnail) + sum(len(one.data) for one in work.fingerprints)
        except InputError as error:
            self._reject(place, item.id, error.diagnostics())
        most = WEIGHT if self._bank.shares is None else SHARED_WEIGHT
        if len(self._batch) >= BATCH or self._weight >= most or time.monotonic() - self._since > PATIENCE_S:
            self.flush()

    def flush(self) -> None:
        """Register what waits."""
        batch, self._batch, self._weight, self._since = self._batch, [], 0, time.monotonic()
        if not batch:
            return
        works = [(work, made_from) for _, work, made_from in batch]
        outcome = self._bank.add(works, actor=self._options.actor, source=self._source, again=self._options.again)
        self.summary.added += outcome.added
        self.summary.same += outcome.same
        self.summary.retired += outcome.retired
        for place in outcome.taken:
            where, work, _ = batch[place]
            self._reject(where, work.id, f"found id {work.id!r}, which another work of the bank has: retire that one first")
        self._untidy += outcome.added
        if self._untidy >= TIDY_EVERY:
            self._untidy = 0
            self._bank.tidy()

    def _from_file(self, work: Work, folder: Path | None, file: str) -> tuple[bytes, Work | None]:
        """What the work is made from, and the work; None when it is known to be there."""
        if folder is None:
            raise InputError("found a file's name, expected hashes: files are imported where they are")
        data = _data(folder, file)
        flags = [self._options.thumbnails, self._options.keep_text]
        made_from = hashlib.sha256(canonical([facts(work), flags]) + data).digest()
        live, gone = self._bank.catalogue.known([work.id]).get(work.id, ([], []))
        if any(source == made_from for _, source in live):
            self.summary.same += 1
            return made_from, None
        if not live and not self._options.again and any(source == made_from for _, source in gone):
            self.summary.retired += 1
            return made_from, None
        if live:
            raise InputError(f"found id {work.id!r}, which another work of the bank has: retire that one first")
        modality, prints = fingerprints_of(data, keep_text=self._options.keep_text)
        thumbnail = thumbnail_of(data) if self._options.thumbnails and is_image(data) else b""
        return made_from, replace(work, modality=modality, fingerprints=prints, thumbnail=thumbnail)

    def _reject(self, place: str, id_: str, error: str) -> None:
        self.summary.rejected += 1
        found = Reject(place, id_, " ".join(error.split()))
        if len(self.summary.rejects) < MAX_REJECTS:
            self.summary.rejects.append(found)
        if self._rejects:
            csv.writer(self._rejects).writerow(map(exchange.cell, (found.place, found.id, found.error)))


def _items(source: Path) -> Iterator[tuple[str, Item, Path]]:
    """(place, work or why there is none, the folder that its file is in)."""
    if not source.is_dir():
        for item in exchange.read(source):
            yield f"{source.name}:{item.line}", item, source.parent
        return
    named: set[Path] = set()
    for name in LISTS:
        if (source / name).is_file():
            for item in _listed(source / name):
                if item.file:
                    named.add(Path(os.path.normpath(source / item.file)))
                yield f"{name}:{item.line}", item, source
    for path in _files(source):
        if Path(os.path.normpath(path)) not in named:
            file = path.relative_to(source).as_posix()
            yield file, Item(0, Work(file, path.stem), file=file, id=file), source


def _listed(path: Path) -> Iterable[Item]:
    """The entries of a folder's list."""
    if path.suffix != ".json":
        return exchange.read(path)
    try:
        with exchange.opened(path) as stream:
            entries = json.load(stream)
    except ValueError:
        raise InputError(f"{path.name}: found a file that is no JSON, expected a list of objects") from None
    if not isinstance(entries, list):
        raise InputError(f"{path.name}: found a JSON {type(entries).__name__}, expected a list of objects")
    return (exchange.item_from(number, entry) for number, entry in enumerate(entries, 1))


def _files(folder: Path) -> list[Path]:
    """All files of a folder, but hidden ones and its list."""
    found = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return sorted(path for path in found if not (path.parent == folder and path.name in LISTS))


def _data(folder: Path, file: str) -> bytes:
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise InputError(f"found file {file[:200]!r}, which is not in the folder {folder.name}")
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise InputError(f"found a file of {size} bytes, expected at most {MAX_FILE}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file[:200]}: {error.strerror}") from None


def _total(source: Path) -> int:
    """About how many works there are. Raises InputError for a source that is not there."""
    if source.is_dir():
        return len(_files(source))
    try:
        with source.open("rb") as stream:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
