"""Changes databases as somebody would who can write to the file: triggers are out of the way, and back afterwards."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from every_kind import Made

from audit import merkle
from audit.anchor import FileAnchor
from audit.models import metadata
from audit.verify import Report, verify

OTHERS = {"tile", "api_key", "session"}
"""So few entries fill no tiles: test_tile_rows.py changes those. Keys and sessions of the service are no part of the log."""
TABLES = sorted(set(metadata.tables) - OTHERS)
UNNAMED = {"head", "ledger", "schema_version", "subject_key"}
"""Tables whose rows are of no entry."""
NAMES_ITS_ENTRY = ("entry", "fingerprint", "payload", "term")


@dataclass(frozen=True)
class Cell:
    """One value of one row, as bytes or a number."""

    table: str
    key: tuple[tuple[str, Any], ...]
    """Primary key of its row."""
    column: str
    value: bytes | int | None
    is_text: bool
    pruned: bool
    """Whether retention dropped the entry that it is of."""

    @property
    def idx(self) -> int | None:
        """Of its entry."""
        found = dict(self.key).get("idx")
        return found if self.table in NAMES_ITS_ENTRY and isinstance(found, int) else None

    @property
    def places(self) -> int:
        """How many bytes can be flipped; of a number its eight."""
        return 8 if isinstance(self.value, int) else 1 if self.value is None else len(self.value)

    def flipped(self, place: int, chance: random.Random) -> bytes | int:
        """With one byte changed; where nothing was, something."""
        if self.value is None:
            return b"x%d" % (self.idx or 0)
        if isinstance(self.value, int):
            bits = 7 if place == 7 else 8  # the sign of an index stays: SQLite knows no other place for it
            return self.value ^ (1 << (8 * place + chance.randrange(bits)))
        data = bytearray(self.value)
        data[place] ^= chance.randrange(1, 256)
        return bytes(data)


@dataclass
class Scene:
    """A copy of a ledger that is changed, verified and restored again and again."""

    made: Made
    path: Path
    pristine: bytes = b""
    cells: list[Cell] = field(default_factory=list)

    @classmethod
    def of(cls, made: Made, folder: Path) -> Scene:
        """With the keys and the anchor."""
        for file in made.path.parent.glob("ledger.db.*key"):
            shutil.copy(file, folder / file.name)
        shutil.copy(made.anchor.path, folder / "anchor.txt")
        scene = cls(made, folder / "ledger.db", made.path.read_bytes())
        scene.restore()
        scene.cells = list(_cells(scene.path))
        return scene

    @property
    def anchor(self) -> FileAnchor:
        """The copy of the anchor."""
        return FileAnchor(self.path.with_name("anchor.txt"))

    def restore(self, data: bytes | None = None) -> None:
        """The file as it was, or as it is given."""
        self.path.write_bytes(self.pristine if data is None else data)
        for leftover in ("-wal", "-shm"):
            self.path.with_name(self.path.name + leftover).unlink(missing_ok=True)

    def check(self, *, anchored: bool = False, **options: Any) -> Report:
        """Verify it."""
        if anchored:
            options |= {"anchors": [self.anchor], "log_keys": [self.made.key]}
        return verify(f"sqlite:///{self.path}", **options)

    def flip(self, flips: Sequence[tuple[Cell, bytes | int]]) -> None:
        """Put other values into some cells. Raises IntegrityError where a unique key refuses it."""
        with self.opened() as connection:
            for cell, value in flips:
                new = "CAST(? AS TEXT)" if cell.is_text else "?"
                where = " AND ".join(
                    f"{name} = CAST(? AS TEXT)" if isinstance(one, bytes) else f"{name} = ?" for name, one in cell.key
                )
                statement = f"UPDATE {cell.table} SET {cell.column} = {new} WHERE {where}"
                done = connection.execute(statement, (value, *(one for _, one in cell.key)))
                assert done.rowcount == 1, cell

    def run(self, *statements: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> None:
        """Execute statements."""
        with self.opened() as connection:
            for statement in statements:
                connection.execute(statement, parameters)

    def opened(self) -> _Opened:
        """A transaction without triggers and checks."""
        return _Opened(self.path)

    def adjust_head(self) -> None:
        """Make the head fit whatever entries there are."""
        with self.opened() as connection:
            leaves = [leaf for (leaf,) in connection.execute("SELECT leaf FROM entry ORDER BY idx")]
            peaks, size = merkle.extend((), 0, leaves)
            connection.execute("UPDATE head SET size = ?, frontier = ?", (size, merkle.pack(peaks)))


@dataclass
class _Opened:
    path: Path

    def __enter__(self) -> sqlite3.Connection:
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.execute("PRAGMA synchronous=OFF")
        self.connection.execute("PRAGMA ignore_check_constraints=ON")
        self.triggers = self.connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        self.connection.execute("BEGIN")
        for name, _ in self.triggers:
            self.connection.execute(f"DROP TRIGGER {name}")
        return self.connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for _, sql in self.triggers:
                self.connection.execute(sql)
        self.connection.execute("ROLLBACK" if kind else "COMMIT")
        self.connection.close()


def _cells(path: Path) -> Iterator[Cell]:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        gone = {idx for (idx,) in connection.execute("SELECT idx FROM entry WHERE body IS NULL")}
        for table in TABLES:
            known = metadata.tables[table]
            names = [column.name for column in known.columns]
            keys = [column.name for column in known.primary_key.columns]
            types = [f"typeof({name})" for name in names]
            for row in connection.execute(f"SELECT {', '.join(names + types)} FROM {table}").fetchall():
                values = dict(zip(names, row, strict=False))
                key = tuple((name, values[name]) for name in keys)
                for name, kind in zip(names, row[len(names) :], strict=True):
                    pruned = table == "entry" and values["idx"] in gone
                    yield Cell(table, key, name, values[name], kind == b"text", pruned)


def batches(cells: Sequence[Cell]) -> Iterator[tuple[int, list[Cell]]]:
    """Each byte of each cell once, as (place, cells); of an entry one cell at a time, so that each is named for itself."""
    ranks: dict[int, list[Cell]] = defaultdict(list)
    seen: dict[int | None, int] = defaultdict(int)
    for cell in cells:
        ranks[seen[cell.idx]].append(cell)
        seen[cell.idx] += 1
    for ranked in ranks.values():
        for place in range(max(cell.places for cell in ranked)):
            yield place, [cell for cell in ranked if place < cell.places]
