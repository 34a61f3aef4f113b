"""Banks of protected works: who owns what, and how to recognise it. A bank holds hashes alone, never the works.

A bank is a JSON Lines file. Its first line names the format, each further line one work:

    {"format": "genguard-bank", "version": 1}
    {"id": "…", "title": "…", "owner": "…", "licence": "…", "hashes": {"pdq": {"whole": "64 hex digits", "trimmed": "…"}}}

Hashes that others exchange are entered with the view `whole` alone.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.errors import InputError, ModelError
from guard.matching.hashes import BITS, HASHES, ImageHash, views

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

BUNDLED = Path(__file__).parent / "banks"
FORMAT = {"format": "genguard-bank", "version": 1}
VIEWS = ("whole", "trimmed")
_CHUNK = 1 << 18
"""Rows compared at once, so that a scan of millions needs little memory."""


@dataclass(frozen=True, slots=True)
class Work:
    """One registered work. `hashes`: method, then view, then the hash in hexadecimal."""

    id: str
    title: str
    owner: str = ""
    licence: str = ""
    hashes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Near:
    """A work within the limit of a query."""

    work: Work
    distance: int
    """Differing bits."""
    view: str


class Bank:
    """Works by name, with an exact linear index: every hash is compared (about 3 ms for 100,000)."""

    def __init__(self, name: str, works: Iterable[Work] = ()) -> None:
        """Raises ModelError for two works of one id, or hashes that are none."""
        self.name = name
        self._works: dict[str, Work] = {}
        self._tables: dict[tuple[str, str], tuple[np.ndarray[Any, Any], list[Work]]] = {}
        for work in works:
            self.add(work)

    @property
    def works(self) -> tuple[Work, ...]:
        """All works, by id."""
        return tuple(self._works[key] for key in sorted(self._works))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical file, hexadecimal: the same for the same works in whatever order they came."""
        return hashlib.sha256(self.to_jsonl().encode()).hexdigest()

    def add(self, work: Work) -> None:
        """Enter a work. Raises ModelError when its id is taken or a hash is malformed."""
        if work.id in self._works:
            raise ModelError(f"bank {self.name!r} names work {work.id!r} twice, expected each id once")
        for method, by_view in work.hashes.items():
            if method not in HASHES or not by_view or not set(by_view) <= set(VIEWS):
                raise ModelError(
                    f"work {work.id!r} of bank {self.name!r} has a hash {method!r} of views {sorted(by_view)}",
                    advice=f"Methods are {', '.join(HASHES)}; views are {' and '.join(VIEWS)}.",
                )
            for text in by_view.values():
                _parse(text, work.id)
        if not work.hashes:
            raise ModelError(f"work {work.id!r} of bank {self.name!r} has no hash, expected one by any of {', '.join(HASHES)}")
        self._works[work.id] = work
        self._tables = {}

    def add_image(
        self,
        image: Image,
        *,
        id: str,  # noqa: A002
        title: str,
        owner: str = "",
        licence: str = "",
        methods: Sequence[str] = tuple(HASHES),
    ) -> Work:
        """Hash a picture and enter it. Raises InputError for a picture too plain to be recognised again."""
        pictures = views(image)
        if not pictures:
            raise InputError(
                f"the picture of work {id!r} is flat, expected something to recognise",
                advice="Register the work as it is published, not an empty area of it.",
            )
        hashes = {
            method: {view: HASHES[method](picture).orientations[0].hex() for view, picture in pictures.items()}
            for method in methods
        }
        work = Work(id, title, owner, licence, hashes)
        self.add(work)
        return work

    def search(self, method: str, view: str, queries: Sequence[bytes], limit: int) -> list[Near]:
        """Works whose hash of that view is within `limit` bits of any of the queries, nearest first.

        `queries` are a picture's orientations; the distance is that of the nearest one.
        """
        import numpy as np

        table, works = self._table(method, view)
        wanted = [np.frombuffer(query, dtype=np.uint64) for query in queries]
        found: list[tuple[int, int]] = []
        for start in range(0, len(works), _CHUNK):
            rows = table[start : start + _CHUNK]
            distances = np.full(len(rows), BITS, dtype=np.int64)
            for query in wanted:
                np.minimum(distances, np.bitwise_count(rows ^ query).sum(axis=1, dtype=np.int64), out=distances)
            found += [(int(distances[row]), start + int(row)) for row in np.flatnonzero(distances <= limit)]
        return [Near(works[row], distance, view) for distance, row in sorted(found)]

    def _table(self, method: str, view: str) -> tuple[np.ndarray[Any, Any], list[Work]]:
        """Hashes as rows of four 64-bit words, and the work of each row; built when first asked for."""
        import numpy as np

        key = (method, view)
        if key not in self._tables:
            held = [work for work in self.works if view in work.hashes.get(method, {})]
            raw = b"".join(bytes.fromhex(work.hashes[method][view]) for work in held)
            self._tables[key] = (np.frombuffer(raw, dtype=np.uint64).reshape(-1, BITS // 64), held)
        return self._tables[key]

    def to_jsonl(self) -> str:
        """The canonical file: works by id, keys sorted."""
        lines = [FORMAT, *(asdict(work) for work in self.works)]
        return "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)

    def write(self, path: Path) -> None:
        """Write the file; a reader sees the old bank or the new one, never a part."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.write_text(self.to_jsonl(), "utf-8")
        partial.replace(path)


def load(name: str) -> Bank:
    """Load a bundled bank by name, or any bank by the path of its file.

    Raises ModelError for a bank that is not there, holds nothing, or has a malformed line (named by file and line).
    """
    path = BUNDLED / f"{name}.jsonl" if name.replace("-", "").replace("_", "").isalnum() else Path(name)
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in BUNDLED.glob("*.jsonl")))
        raise ModelError(f"no bank {name!r}", advice=f"Bundled banks are: {known or 'none'}; otherwise give a file's path.")
    bank = Bank(path.stem)
    # Only line feeds end a line: JSON leaves others, such as U+2028, inside strings.
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        place = f"{path.name}:{number}"
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            raise ModelError(f"{place}: found a line that is no JSON, expected one object a line") from None
        if number == 1:
            if record != FORMAT:
                raise ModelError(
                    f"{place}: found another format, expected {json.dumps(FORMAT)}",
                    advice="Hashes of other versions cannot be compared: build the bank again.",
                )
            continue
        try:
            bank.add(_work(record))
        except ModelError as error:
            raise ModelError(f"{place}: {error}", advice=error.advice) from None
    if not bank.works:
        raise ModelError(
            f"bank {name!r} holds no works, so nothing would ever match it", advice="Add works, or drop the check."
        )
    return bank


def build(name: str, folder: Path, titles: Path, *, methods: Sequence[str] = tuple(HASHES)) -> Bank:
    """Build a bank from a folder of pictures and a CSV or JSON list with the fields id, title, owner, licence and file.

    Raises InputError for a list without those fields, or a file that is missing, damaged or flat.
    """
    from guard.imaging import open_picture

    with titles.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream)) if titles.suffix.lower() == ".csv" else json.load(stream)
    bank = Bank(name)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not all(row.get(key) for key in ("id", "title", "file")):
            raise InputError(
                f"{titles.name}: entry {number} lacks id, title or file",
                advice="owner and licence may be left empty, these not.",
            )
        path = folder / row["file"]
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise InputError(f"{titles.name}: entry {number} names a file that is not in the folder {folder.name}")
        given = {key: str(row.get(key) or "") for key in ("id", "title", "owner", "licence")}
        bank.add_image(open_picture(path.read_bytes()), methods=methods, **given)
    return bank


def hash_of(name: str) -> ImageHash:
    """A perceptual hash by name. Raises ModelError for an unknown one."""
    try:
        return HASHES[name]
    except KeyError:
        raise ModelError(f"unknown perceptual hash {name!r}, expected one of: {', '.join(HASHES)}") from None


def _work(record: Any) -> Work:
    """A work from its line. Raises ModelError."""
    strings = ("id", "title", "owner", "licence")
    if not isinstance(record, dict) or not {"id", "title", "hashes"} <= set(record) <= {*strings, "hashes"}:
        raise ModelError(
            "found other fields than expected",
            advice=f"A work has id, title and hashes, and may have {' and '.join(strings[2:])}.",
        )
    hashes = record["hashes"]
    proper = isinstance(hashes, dict) and all(
        isinstance(by_view, dict) and all(isinstance(text, str) for text in by_view.values()) for by_view in hashes.values()
    )
    if not proper or not all(isinstance(record.get(key, ""), str) for key in strings) or not record["id"]:
        raise ModelError("found a field of another type, expected texts, and hashes by method and view")
    return Work(**record)


def _parse(text: str, work: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != BITS // 8 or len(text) != BITS // 4:
        raise ModelError(
            f"work {work!r} has a malformed hash of {len(text)} characters, expected {BITS // 4} hexadecimal digits"
        )
    return value
