"""What became of each content, written as it is decided: a file that is whole at its end, and goes on where it was cut off.

Results are appended to OUT.part as JSON lines, in order, and are on disk before more are asked for. The last step makes the
format that OUT's name asks for, and gives it its name.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from audit.export.tables import cell
from evaluation.tables import NEEDS_EXTRA, kind_of
from guard.errors import InputError

FORM = 1
OWN = frozenset({"run", "batch"})
"""What of a head is the run's own, and goes on as it was begun."""
RESULTS, RELEASED = "results.jsonl", "released"
"""In the folder that images are judged into: what became of each, and those that may leave."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one content."""

    row: int
    id: str
    action: str
    """As of a verdict; `refused` for what could not be read as a content at all."""
    decision: str
    receipt: str
    """Index and leaf hash of its entry."""
    rules: tuple[str, ...] = ()
    text: str | None = field(default=None, repr=False)
    """Of a text: what may leave."""
    file: str | None = None
    """Of an image: the file that may leave, in OUT."""


class Results:
    """The results of one run, open for more."""

    def __init__(self, out: Path, head: dict[str, Any], *, restart: bool = False) -> None:
        """`head`: what a run is about; one that was cut off goes on only when it was about the same.

        Raises InputError when OUT exists, its format is unknown, or a run about something else was cut off here.
        """
        self.out, self.folder = out, head["modality"] == "image"
        self.kind = "jsonl" if self.folder else kind_of(out)
        self.file = out / RESULTS if self.folder else out
        self.part = self.file.with_name(self.file.name + ".part")
        if self.file.exists():
            raise InputError(f"{self.file} exists already, expected a new name", advice="Move it away, or choose another OUT.")
        if self.folder:
            (out / RELEASED).mkdir(parents=True, exist_ok=True)
        elif not out.absolute().parent.is_dir():
            raise InputError(f"cannot write {out}: there is no folder {out.parent}")
        if restart:
            self.part.unlink(missing_ok=True)
        self.head, self.done = self._resume(head)
        self._stream = self.part.open("a", encoding="utf-8")
        if not self.part.stat().st_size:
            self._stream.write(json.dumps(self.head) + "\n")
            self._sync()

    def _resume(self, head: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """The head of the run that goes on, and how many results it has. A line that was cut off is dropped."""
        if not self.part.exists():
            return head, 0
        data = self.part.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            with self.part.open("r+b") as stream:
                stream.truncate(len(whole))
        lines = whole.split(b"\n")[:-1]
        if not lines:
            return head, 0
        old = json.loads(lines[0])
        if changed := ", ".join(sorted(name for name in head if name not in OWN and old.get(name) != head[name])):
            raise InputError(
                f"{self.part} is of another run ({changed} changed since), expected the same",
                advice="Finish it as it was begun, or begin anew with --restart.",
            )
        return old, len(lines) - 1

    def add(self, results: list[Result]) -> None:
        """Append results; on disk when it returns."""
        for one in results:
            self._stream.write(json.dumps(_fields(one), ensure_ascii=True) + "\n")
        self._sync()
        self.done += len(results)

    def read(self) -> Iterator[Result]:
        """All results so far."""
        with self.part.open(encoding="utf-8") as stream:
            next(stream, None)
            for line in stream:
                fields = json.loads(line)
                yield Result(**{**fields, "rules": tuple(fields["rules"])})

    def finish(self) -> Path:
        """Make OUT of them; return its path."""
        self._stream.close()
        ready = self.file.with_name(self.file.name + ".tmp")
        {"jsonl": self._jsonl, "csv": self._csv, "tsv": self._csv, "parquet": self._parquet}[self.kind](ready)
        with ready.open("rb") as stream:
            os.fsync(stream.fileno())
        ready.replace(self.file)
        self.part.unlink()
        return self.file

    def _jsonl(self, ready: Path) -> None:
        with ready.open("w", encoding="utf-8") as stream:
            for one in self.read():
                stream.write(json.dumps(_fields(one), ensure_ascii=False) + "\n")

    def _csv(self, ready: Path) -> None:
        names = [name for name in Result.__dataclass_fields__ if name != "file"]
        with ready.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter="\t" if self.kind == "tsv" else ",")
            writer.writerow(names)
            for one in self.read():
                fields = asdict(one) | {"rules": " ".join(one.rules)}
                writer.writerow([cell("" if fields[name] is None else fields[name]) for name in names])

    def _parquet(self, ready: Path) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise InputError(f"{self.out}: writing Parquet needs pyarrow, found none", advice=NEEDS_EXTRA) from None
        texts = [(name, pa.string()) for name in ("id", "action", "decision", "receipt", "text")]
        schema = pa.schema([("row", pa.int64()), *texts, ("rules", pa.list_(pa.string()))])
        with parquet.ParquetWriter(ready, schema) as writer:
            waiting: list[dict[str, Any]] = []
            for one in self.read():
                waiting.append({name: value for name, value in asdict(one).items() if name != "file"})
                if len(waiting) == 4096:
                    writer.write_table(pa.Table.from_pylist(waiting, schema))
                    waiting = []
            writer.write_table(pa.Table.from_pylist(waiting, schema))

    def _sync(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()


def _fields(result: Result) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if value is not None}
