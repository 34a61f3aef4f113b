"""Changes databases as somebody would who can write to them: triggers are out of the way, and back afterwards.

A `Scene` is a copy in a file, a `ServerScene` one in a PostgreSQL schema, changed by its superuser. Both take the same
statements.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psycopg
from every_kind import Made, copy, schema

from audit import merkle
from audit.anchor import FileAnchor
from audit.models import Findable, metadata
from audit.query import reading
from audit.verify import Report, verify

OTHERS = {"tile", "moment", "session", "bank_batch"}
"""So few entries fill no tiles and spans: test_tile_rows.py, test_moments.py change those, and test_shared_banks.py
batches of banks. Sessions are no part of the log."""
TABLES = sorted(set(metadata.tables) - OTHERS)
UNNAMED = {"api_key", "head", "ledger", "schema_version", "subject_key"}
"""Tables whose rows are of no entry alone."""
BEYOND = {("api_key", "used")}
"""Of which the log says nothing: only what it cannot be is noticed."""
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
    """Of the database."""
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
        scene.cells = list(_cells(scene.url))
        return scene

    refused = (sqlite3.IntegrityError,)
    """What a change ends with that the database does not take."""
    on_server = False

    @property
    def url(self) -> str:
        """Of the copy."""
        return f"sqlite:///{self.path}"

    @property
    def anchor(self) -> FileAnchor:
        """The copy of the anchor."""
        return FileAnchor(self.path.with_name("anchor.txt"))

    def few(self, count: int) -> int:
        """How many of so many changes are made: all of them here."""
        return count

    def flipped(self, cell: Cell, place: int, chance: random.Random) -> bytes | int:
        """Another value for a cell."""
        return cell.flipped(place, chance)

    def restore_half(self) -> None:
        """Bring back the backup of when it was half as large."""
        self.restore(Path(self.made.half.removeprefix("sqlite:///")).read_bytes())

    def restore(self, data: bytes | None = None) -> None:
        """The file as it was, or as it is given."""
        self.path.write_bytes(self.pristine if data is None else data)
        for leftover in ("-wal", "-shm"):
            self.path.with_name(self.path.name + leftover).unlink(missing_ok=True)

    def check(self, *, anchored: bool = False, **options: Any) -> Report:
        """Verify it."""
        if anchored:
            options |= {"anchors": [self.anchor], "log_keys": [self.made.key]}
        return verify(self.url, **options)

    def flip(self, flips: Sequence[tuple[Cell, bytes | int]]) -> None:
        """Put other values into some cells. Raises IntegrityError where a unique key refuses it."""
        with self.opened() as connection:
            for cell, value in flips:
                new = "CAST(? AS TEXT)" if cell.is_text else "?"
                statement = f"UPDATE {cell.table} SET {cell.column} = {new} WHERE {_where(cell.key)}"
                done = connection.execute(statement, (value, *(one for _, one in cell.key)))
                assert done.rowcount == 1, cell

    def delete(self, table: str, key: tuple[tuple[str, Any], ...]) -> None:
        """Drop the row of a key."""
        with self.opened() as connection:
            assert connection.execute(f"DELETE FROM {table} WHERE {_where(key)}", [one for _, one in key]).rowcount == 1

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


class ServerScene(Scene):
    """One in a schema of a PostgreSQL server."""

    refused = (psycopg.IntegrityError, psycopg.DataError)
    on_server = True

    @classmethod
    def at(cls, made: Made, folder: Path, url: str) -> ServerScene:
        """At an empty schema; keys stay where they are."""
        shutil.copy(made.anchor.path, folder / "anchor.txt")
        scene = cls(made, folder / "none")
        scene.place, scene.changed = url, set()
        copy(made.url, url)
        texts = {
            (table.name, one.name) for table in metadata.sorted_tables for one in table.c if isinstance(one.type, Findable)
        }
        scene.cells = [replace(cell, is_text=(cell.table, cell.column) in texts) for cell in _cells(url)]
        return scene

    @property
    def url(self) -> str:
        """See `Scene`."""
        return self.place

    def few(self, count: int) -> int:
        """Fewer: a server takes ten times as long."""
        return min(25, max(1, count // 4))

    def flipped(self, cell: Cell, place: int, chance: random.Random) -> bytes | int:
        """One of its type: a server takes no other."""
        if cell.column == "version" and cell.value is None:
            return 7
        for _ in range(100):
            new = cell.flipped(place, chance)
            with suppress(UnicodeDecodeError):
                if not cell.is_text or not isinstance(new, bytes) or "\0" not in new.decode():
                    return new
        whole = cell.value.decode()
        return (whole[1:] + "x").encode()

    def restore(self, data: bytes | None = None) -> None:
        """Only the tables that were changed."""
        assert data is None
        self._fill(schema(self.made.url))

    def restore_half(self) -> None:
        """See `Scene`."""
        self.changed = set(TABLES)
        self._fill(schema(self.made.half))

    def _fill(self, source: str) -> None:
        with self.opened(*self.changed) as connection:
            for table in sorted(self.changed):
                connection.execute(f"DELETE FROM {table}")
                connection.execute(f"INSERT INTO {table} SELECT * FROM {source}.{table}")
        self.changed = set()

    def check(self, *, anchored: bool = False, **options: Any) -> Report:
        """See `Scene`."""
        return super().check(anchored=anchored, jobs=1, **options)

    def flip(self, flips: Sequence[tuple[Cell, bytes | int]]) -> None:
        """See `Scene`."""
        kept = self.changed | {cell.table for cell, _ in flips}
        super().flip(flips)
        self.changed = kept

    def opened(self, *tables: str) -> _OpenedOnServer:
        """See `Scene`."""
        self.changed |= set(tables or TABLES)
        return _OpenedOnServer(self.place)


class _OpenedOnServer:
    """A transaction for which no trigger fires; it takes a file's statements."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)

    def __enter__(self) -> Self:
        self.connection.execute("SET session_replication_role = replica")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.connection.commit()
        self.connection.close()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor:
        """Run one; bytes that are meant as text are text here."""
        parts = re.split(r"(CAST\(\? AS TEXT\)|\?)", statement)
        kinds = [part for part in parts if part.endswith(("?", "? AS TEXT)"))]
        told = [
            one.decode() if "TEXT" in kind and isinstance(one, bytes) else one
            for kind, one in zip(kinds, parameters, strict=True)
        ]
        return self.connection.execute("".join("%s" if part in kinds else part for part in parts), told, binary=True)


def _where(key: tuple[tuple[str, Any], ...]) -> str:
    return " AND ".join(f"{name} = CAST(? AS TEXT)" if isinstance(one, bytes) else f"{name} = ?" for name, one in key)


def _cells(url: str) -> Iterator[Cell]:
    with reading(url) as connection:
        gone = set(connection.exec_driver_sql("SELECT idx FROM entry WHERE body IS NULL").scalars())
        for table in TABLES:
            known = metadata.tables[table]
            keys = [column.name for column in known.primary_key.columns]
            names = [column.name for column in known.columns]
            for row in connection.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table}").mappings().all():
                values = {name: one.encode() if isinstance(one, str) else one for name, one in row.items()}
                key = tuple((name, values[name]) for name in keys)
                for name, value in row.items():
                    pruned = table == "entry" and values["idx"] in gone
                    yield Cell(table, key, name, values[name], isinstance(value, str), pruned)


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
