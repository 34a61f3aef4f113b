"""What there is to judge: the texts of a table, or the images of a folder, in an order that is the same each time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from evaluation.tables import kind_of, records
from guard.errors import InputError
from guard.types import Modality

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True, slots=True)
class Item:
    """One content to judge."""

    number: int
    """Its place, from 0."""
    key: str
    """What the caller knows it by: the field of the id column, the row's number from 1, or the file's path in the folder."""
    data: str | bytes | None = field(repr=False)
    """None for a field that holds no text."""


@dataclass(frozen=True, slots=True)
class Source:
    """All of them."""

    path: Path
    modality: Modality
    count: int
    digest: str
    """Of what decides which contents these are, and in which order: for files without reading all of them."""
    read: Callable[[], Iterator[Item]] = field(repr=False)

    def items(self, start: int = 0) -> Iterator[Item]:
        """The contents from a place on. Raises InputError for what cannot be read."""
        return islice(self.read(), start, None)


def open_source(path: Path, text: str = "text", key: str = "") -> Source:
    """A table (CSV, TSV, JSONL, Parquet) whose column `text` holds the contents, or a folder of images.

    `key`: column that says what each is known by; empty: its number. Raises InputError for what is neither, or holds nothing.
    """
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise InputError(f"cannot read {path}: there is no such file or folder")
    kind_of(path)
    return _table(path, text, key)


def _table(path: Path, text: str, key: str) -> Source:
    columns = (text, key) if key else (text,)

    def read() -> Iterator[Item]:
        for number, row in enumerate(records(path, columns)):
            data = row[0] if isinstance(row[0], str) else None
            yield Item(number, str(row[1]) if key else str(number + 1), data)

    count = sum(1 for _ in records(path, columns))
    if not count:
        raise InputError(f"{path}: found no rows, expected at least one")
    found = path.stat()
    return Source(path, Modality.TEXT, count, _digest(found.st_size, found.st_mtime_ns, *columns), read)


def _folder(path: Path) -> Source:
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES and file.is_file())
    if not files:
        raise InputError(f"{path}: found no image, expected files ending in {', '.join(sorted(IMAGES))}")
    names = [file.relative_to(path).as_posix() for file in files]

    def read() -> Iterator[Item]:
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            try:
                yield Item(number, name, file.read_bytes())
            except OSError as error:
                raise InputError(f"cannot read {file}: {error.strerror}") from None

    found = [file.stat() for file in files]
    facts = [(name, one.st_size, one.st_mtime_ns) for name, one in zip(names, found, strict=True)]
    return Source(path, Modality.IMAGE, len(files), _digest(*facts), read)


def _digest(*facts: Any) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
