"""What there is to judge: the texts of a table, or of a folder of Parquet files, or the images of a folder.

The order is the same each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from evaluation.tables import kind_of, records
from guard.errors import InputError
from guard.types import Modality

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
TABLES = frozenset({".parquet", ".pq"})
"""Of a folder that is a table in parts."""


@dataclass(frozen=True, slots=True)
class Item:
    """One content to judge."""

    number: int
    """Its place, from 0."""
    key: str
    """What the caller knows it by: the field of the id column, the row's number from 1, or the file's path in the folder."""
    data: str | bytes | None = field(repr=False)
    """None for a field that holds no text."""


class Contents(Protocol):
    """Contents in their order, wherever they come from."""

    @property
    def modality(self) -> Modality:
        """Of all of them."""

    def items(self, start: int = 0) -> Iterator[Item]:
        """The contents from a place on. Raises InputError for what cannot be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """All of them."""

    path: Path
    modality: Modality
    count: int
    digest: str
    """Of what decides which contents these are, and in which order: for files without reading all of them."""
    read: Callable[[], Iterator[Item]] = field(repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    """Of which all of them are read, in this order."""
    columns: tuple[str, ...] = ()
    """Of a table: those that are read, the text first."""

    def items(self, start: int = 0) -> Iterator[Item]:
        """The contents from a place on. Raises InputError for what cannot be read."""
        return islice(self.read(), start, None)


def open_source(path: Path, text: str = "text", key: str = "") -> Source:
    """A table (CSV, TSV, JSONL, Parquet) whose column `text` holds the contents, a folder of Parquet files, or one of images.

    `key`: column that says what each is known by; empty: its number. Raises InputError for what is neither, or holds nothing.
    """
    columns = (text, key) if key else (text,)
    if path.is_dir():
        tables = _within(path, TABLES)
        return _table(path, tables, columns) if tables else _folder(path)
    if not path.exists():
        raise InputError(f"cannot read {path}: there is no such file or folder")
    kind_of(path)
    return _table(path, (path,), columns)


def _within(path: Path, endings: frozenset[str]) -> tuple[Path, ...]:
    """Files of a folder and of those in it, but for those that writers keep for themselves (`_temporary`, `.part`)."""
    files = [file for file in path.rglob("*") if file.suffix.lower() in endings and file.is_file()]
    if endings is TABLES:
        files = [file for file in files if not any(part[0] in "_." for part in file.relative_to(path).parts)]
    return tuple(sorted(files))


def _table(path: Path, files: tuple[Path, ...], columns: tuple[str, ...]) -> Source:
    def read() -> Iterator[Item]:
        return as_items(chain.from_iterable(records(file, columns) for file in files))

    count = sum(1 for file in files for _ in records(file, columns))
    if not count:
        raise InputError(f"{path}: found no rows, expected at least one")
    found = [file.stat() for file in files]
    facts: list[Any] = [found[0].st_size, found[0].st_mtime_ns]
    if files != (path,):
        names = [file.relative_to(path).as_posix() for file in files]
        facts = [(name, one.st_size, one.st_mtime_ns) for name, one in zip(names, found, strict=True)]
    return Source(path, Modality.TEXT, count, _digest(*facts, *columns), read, files, columns)


def as_items(rows: Iterable[Sequence[Any]], start: int = 0) -> Iterator[Item]:
    """Rows of a table, of which the first has the place `start`."""
    for number, row in enumerate(rows, start):
        data = row[0] if isinstance(row[0], str) else None
        yield Item(number, str(row[1]) if len(row) > 1 else str(number + 1), data)


def _folder(path: Path) -> Source:
    files = _within(path, IMAGES)
    if not files:
        expected = ", ".join(sorted(IMAGES))
        raise InputError(f"{path}: found no image, expected files ending in {expected}, or a table in parts (.parquet)")
    names = [file.relative_to(path).as_posix() for file in files]

    def read() -> Iterator[Item]:
        return as_pictures(zip(files, names, strict=True))

    found = [file.stat() for file in files]
    facts = [(name, one.st_size, one.st_mtime_ns) for name, one in zip(names, found, strict=True)]
    return Source(path, Modality.IMAGE, len(files), _digest(*facts), read, files)


def as_pictures(files: Iterable[tuple[Path, str]], start: int = 0) -> Iterator[Item]:
    """Image files with what each is known by, of which the first has the place `start`."""
    for number, (file, name) in enumerate(files, start):
        try:
            yield Item(number, name, file.read_bytes())
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}") from None


def _digest(*facts: Any) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
