"""Files of works that others write and read: our JSON Lines, CSV, and the lists of hashes that ThreatExchange's tools use.

CSV is read with a header whose columns are known by name, in any order (`COLUMNS`): our own, that of `threatexchange dataset
--csv` (`collab,signal_type,signal_str,category,tags`), that of PDQ's test data (`FilePath,Hash`); or without one when its
first cell is a hash, as PDQ's hasher prints it (`hash,quality,file`) and Hasher-Matcher-Actioner's sample data has it
(`hash,indicator id,time,tags`). Hashes of other algorithms than PDQ, pHash and dHash cannot be compared and are refused.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from guard.errors import InputError
from guard.matching.records import (
    HASHED,
    RIGHTS,
    day_from,
    facts,
    hash_from,
    header,
    header_from,
    modality_from,
    record,
    territory_from,
    work_from,
)
from guard.matching.works import Fingerprint, Work

FORMATS = ("jsonl", "csv", "threatexchange")
MAX_LINE = 64_000_000
"""Characters of one line that are read."""
LOWEST_QUALITY = 50
"""PDQ's own advice: hashes of a lower quality match too much to be exchanged."""
COLUMNS: Mapping[str, str] = {
    **{name: name for name in ("id", "title", "modality", "file", *RIGHTS)},
    "license": "licence", "filepath": "file", "filename": "file", "path": "file",
    "hash": "hash", "signal_str": "hash", "indicator": "hash", "signal": "hash", "value": "hash",
    "method": "method", "signal_type": "method", "type": "method", "hash_type": "method",
    "view": "view", "quality": "quality", "category": "category", "tags": "tags", "collab": "collab",
    "indicator_id": "id", "time": "time", "timestamp": "time", "creation_time": "time",
    **{f"{method}{tail}": f"{method}{tail}" for method in HASHED for tail in ("", "_trimmed")},
}  # fmt: skip
"""What a column's name, in small letters, means."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_ROWS = -1
"""Stands for the version of a file that has no first line of a bank's file."""
_METHODS = {**dict(zip(HASHED, HASHED, strict=True)), "hash_pdq": "pdq", "pdq_hash": "pdq"}
_EXPORTED = ("id", "title", "modality", *RIGHTS, "method", "view", "hash")
_SIGNALS = ("collab", "signal_type", "signal_str", "category", "tags")
_CATEGORIES = {"protected": "POSITIVE_CLASS", "cleared": "NEGATIVE_CLASS"}
"""How ThreatExchange calls what a signal says of a content."""


@dataclass(frozen=True, slots=True)
class Item:
    """One work of a file, or why there is none."""

    line: int
    work: Work | None
    """Without fingerprints when `file` names what to take them from."""
    error: str = ""
    """What was found and what was expected."""
    file: str = ""
    id: str = ""
    """The id that an unusable work would have had, as far as it is known."""


def read_jsonl(stream: Iterable[str]) -> Iterator[Item]:
    """Works of a bank's file, one a line; without its first line, objects with the columns of a CSV file.

    Raises InputError for a first line of another format.
    """
    version = 0
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if not version:
                header_from(None)
            yield Item(number, None, "found a line that is no JSON, expected one object a line")
            continue
        if not version and isinstance(value, dict) and "format" not in value:
            version = _ROWS
        if not version:
            version, _ = header_from(value)
            continue
        if version == _ROWS:
            yield item_from(number, value)
            continue
        try:
            yield Item(number, work_from(value, version))
        except InputError as error:
            named = value.get("id") if isinstance(value, dict) else ""
            yield Item(number, None, error.diagnostics(), id=named if isinstance(named, str) else "")
    if not version:
        header_from(None)


def item_from(line: int, value: Any) -> Item:
    """A work from an object that has the columns of a CSV file."""
    texts = isinstance(value, dict) and all(
        isinstance(cell, (str, int)) or (name == "territory" and isinstance(cell, list)) for name, cell in value.items()
    )
    if not texts:
        return Item(line, None, "found an entry that is no object of texts")
    row = {name: " ".join(map(str, cell)) if isinstance(cell, list) else str(cell) for name, cell in value.items()}
    try:
        columns = _columns(list(row))
    except InputError as error:
        return Item(line, None, error.diagnostics())
    return _from_row(line, dict(zip(columns, row.values(), strict=True)), 0)


def kind_of(path: Path) -> str | None:
    """The kind of bank that a file is of; None where its format does not say. Raises InputError for an unreadable file."""
    if path.suffix.lower() != ".jsonl":
        return None
    with opened(path) as stream:
        first = next((line for line in stream if line.strip()), "")
    try:
        value = json.loads(first)
    except ValueError:
        return None
    return header_from(value)[1] if isinstance(value, dict) and value.get("version") == 2 else None


def read_csv(stream: Iterable[str]) -> Iterator[Item]:
    """Works of a CSV file; rows of one id that follow one another are one work. Raises InputError for unknown columns."""
    rows = csv.reader(stream)
    first = next(_chain([], rows), [])
    columns = _columns(first)
    pending: Item | None = None
    for cells in _chain([] if _is_header(first) else [first], rows):
        if not any(cells):
            continue
        item = _from_row(rows.line_num, dict(zip(columns, cells, strict=False)), len(cells) - len(columns))
        joined = _joined(pending, item)
        if joined is None and pending is not None:
            yield pending
        pending = joined or item
    if pending is not None:
        yield pending


def _chain(first: list[list[str]], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield from first
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(f"found CSV that cannot be read: {error}") from None


def _is_header(cells: list[str]) -> bool:
    return not cells or not _is_hash(cells[0])


def _is_hash(text: str) -> bool:
    try:
        return bool(hash_from(text.strip()))
    except InputError:
        return False


def _columns(first: list[str]) -> list[str]:
    """What each column means."""
    if first and not _is_header(first):
        # "hash,quality,file" of PDQ's hasher, or "hash,indicator id,time,tags" of a dump; one column is hashes alone.
        dumped = len(first) > 3 or (len(first) > 1 and len(first[1].strip()) > 3)
        return ["hash", "id", "time", "tags"][: len(first)] if dumped else ["hash", "quality", "file_name"][: len(first)]
    names = [name.strip().lstrip("\ufeff").lower().replace(" ", "_") for name in first]
    unknown = [name for name in names if name not in COLUMNS]
    columns = [COLUMNS.get(name, "") for name in names]
    if unknown or len(set(columns)) < len(columns) or not {"hash", "file", *HASHED} & set(columns):
        listed, strange = (", ".join(name[:40] or "(empty)" for name in some) or "none" for some in (names, unknown))
        raise InputError(
            f"found columns {listed}, expected hash or file, or one a method" + (f"; unknown: {strange}" if unknown else ""),
            advice=f"Columns are: {', '.join(sorted(set(COLUMNS.values())))}.",
        )
    if "hash" in columns and "file" in columns:  # the file is where the hash was taken from, and need not be here
        columns[columns.index("file")] = "file_name"
    return columns


def _from_row(line: int, row: Mapping[str, str], surplus: int) -> Item:
    row = {name: _plain(cell.strip()) for name, cell in row.items()}
    file = row.get("file", "")
    try:
        work = _work_from_row(row, surplus)
    except InputError as error:
        return Item(line, None, error.diagnostics(), file=file, id=row.get("id", ""))
    return Item(line, work, file=file, id=work.id)


def _work_from_row(row: Mapping[str, str], surplus: int) -> Work:
    if surplus > 0:
        raise InputError(f"found {surplus} cells more than columns")
    prints = _hashes(row)
    file = row.get("file", "")
    if not prints and not file:
        raise InputError("found a row without a hash or a file")
    id_ = row.get("id") or (f"{prints[0].method}:{prints[0].data.hex()}" if prints else file)
    return Work(
        id_,
        row.get("title") or Path(row.get("file_name", "")).name or id_,
        modality_from(row.get("modality") or "image"),
        owner=row.get("owner", ""),
        licence=row.get("licence", ""),
        terms=row.get("terms", ""),
        contact=row.get("contact", ""),
        valid_from=day_from("valid_from", row.get("valid_from", "")),
        valid_until=day_from("valid_until", row.get("valid_until", "")),
        territory=territory_from(row.get("territory", "")),
        fingerprints=prints,
    )


def _hashes(row: Mapping[str, str]) -> tuple[Fingerprint, ...]:
    found = [
        Fingerprint(method, hash_from(cell), view)
        for method in HASHED
        for column, view in ((method, "whole"), (f"{method}_trimmed", "trimmed"))
        if (cell := row.get(column, ""))
    ]
    if text := row.get("hash", ""):
        said = row.get("method", "") or "pdq"
        method = _METHODS.get(said.lower())
        if method is None:
            raise InputError(
                f"found a hash of type {said[:40]!r}, expected one of: {', '.join(_METHODS)}",
                advice="Hashes of other algorithms cannot be compared with those of an output.",
            )
        quality = row.get("quality", "")
        if quality and (not quality.isdigit() or int(quality) > 100):
            raise InputError(f"found quality {quality[:20]!r}, expected 0 to 100")
        if quality and int(quality) < LOWEST_QUALITY:
            raise InputError(
                f"found a hash of quality {quality}, expected {LOWEST_QUALITY} to 100",
                advice="Of a picture with so little detail, a hash matches a great many others.",
            )
        found.append(Fingerprint(method, hash_from(text), row.get("view", "") or "whole"))
    return tuple(found)


def _joined(before: Item | None, item: Item) -> Item | None:
    """Two rows as one work, when they are of the same and say the same about it."""
    if before is None or before.work is None or item.work is None or before.file or item.file:
        return None
    if facts(before.work) != facts(item.work) or before.work.fingerprints == item.work.fingerprints:
        return None
    return replace(before, work=replace(before.work, fingerprints=before.work.fingerprints + item.work.fingerprints))


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """A text file whose lines end with line feeds alone: JSON leaves other breaks inside strings. Raises InputError."""
    try:
        stream = path.open(encoding="utf-8-sig", newline="\n")
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}") from None
    with stream:
        try:
            yield stream
        except UnicodeDecodeError:
            raise InputError(f"{path.name}: found bytes that are not UTF-8, expected a text file") from None


def read(path: Path) -> Iterator[Item]:
    """Works of a file, by its ending: .jsonl or .csv. Raises InputError for another one, or an unreadable file."""
    readers = {".jsonl": read_jsonl, ".csv": read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path.name}: found ending {path.suffix or '(none)'}, expected {' or '.join(readers)}")
    with opened(path) as stream:
        try:
            yield from reader(stream)
        except InputError as error:
            raise InputError(f"{path.name}: {error}", advice=error.advice) from None


def write(works: Iterable[Work], kind: str, bank: str, format_: str, stream: IO[str]) -> int:
    """Write works in a format; return how many a reader of it will have. Those without a hash are left out of CSV."""
    writers: dict[str, Callable[[Iterable[Work], str, str, IO[str]], int]] = {
        "jsonl": _write_jsonl, "csv": _write_csv, "threatexchange": _write_signals
    }  # fmt: skip
    if format_ not in writers:
        raise InputError(f"found format {format_!r}, expected one of: {', '.join(FORMATS)}")
    return writers[format_](works, kind, bank, stream)


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """A file that appears whole, or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_jsonl(works: Iterable[Work], kind: str, _bank: str, stream: IO[str]) -> int:
    stream.write(json.dumps(header(kind)) + "\n")
    count = 0
    for count, work in enumerate(works, 1):  # noqa: B007 - how many there were
        stream.write(json.dumps(record(work), ensure_ascii=False) + "\n")
    return count


def _write_csv(works: Iterable[Work], _kind: str, _bank: str, stream: IO[str]) -> int:
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(_EXPORTED)
    count = 0
    for work in works:
        hashes = [one for one in work.fingerprints if one.method in HASHED]
        known: dict[str, Any] = facts(work) | {"territory": " ".join(work.territory)}
        for one in hashes:
            row = known | {"method": one.method, "view": one.view, "hash": one.data.hex()}
            lines.writerow([cell(str(row.get(name, ""))) for name in _EXPORTED])
        count += bool(hashes)
    return count


def _write_signals(works: Iterable[Work], kind: str, bank: str, stream: IO[str]) -> int:
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(_SIGNALS)
    count = 0
    for work in works:
        pdq = dict.fromkeys(one.data.hex() for one in work.fingerprints if one.method == "pdq")
        for text in pdq:
            lines.writerow([bank, "pdq", text, _CATEGORIES[kind], "media_type_photo"])
        count += bool(pdq)
    return count


def cell(text: str) -> str:
    """A cell that a spreadsheet shows and does not compute."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(cell: str) -> str:
    """What `cell` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def as_stream(data: bytes) -> IO[str]:
    """The text of an uploaded file. Raises InputError when it is not UTF-8."""
    try:
        return io.StringIO(data.decode("utf-8-sig"), newline="\n")
    except UnicodeDecodeError:
        raise InputError("found bytes that are not UTF-8, expected a text file") from None


def first_error(items: Iterable[Item]) -> Iterator[Work]:
    """The works of a file that must be whole. Raises InputError, naming the line, at the first that is not."""
    for item in items:
        if item.work is None:
            raise InputError(f"{item.line}: {item.error}")
        yield item.work
