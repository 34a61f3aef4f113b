"""Measures contents on a Ray cluster, in order: how `genguard bulk check --engine ray` spreads its rows.

IN is cut into pieces, and a pool of actors measures them (Ray Data). What comes back is the content that was measured with its
results; deciding, marking and recording are done where they always are (`bulk.run`, `guard.pipeline`), so nothing but the place
of the work differs. Measuring has no effects: a piece whose worker died is measured again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from audit.body import result_from, result_record
from bulk.run import Asked
from bulk.sources import Item, Source, as_items, as_pictures
from evaluation.tables import groups, kind_of, records
from guard.admission import Limits, admit
from guard.chain import Chain
from guard.errors import GenguardError, InputError, ModelError
from guard.rules import Policy, choose
from guard.sync import run_sync
from guard.types import CheckResult, Content, Modality, Stage, Status
from policies import from_document

ROWS, FILES = 1024, 64
"""Most texts and images of one piece."""
UNMEASURED = "no result came from the cluster"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some contents that stand together."""

    start: int
    """Place of the first."""
    count: int
    files: tuple[tuple[str, str], ...]
    """Path, and for an image what it is known by; one file of a table."""
    group: int = 0
    """Row group of a Parquet file."""
    skip: int = 0
    """Rows of it that belong to pieces before."""


def pieces(source: Source, done: int = 0) -> list[Piece]:
    """What is measured at a time, from the content with the place `done` on.

    Raises InputError for a table that is no Parquet: other formats cannot be read from the middle.
    """
    found = _of_images(source) if source.modality is Modality.IMAGE else _of_tables(source)
    return [_from(piece, done) for piece in found if piece.start + piece.count > done]


def _of_images(source: Source) -> Iterator[Piece]:
    names = [(os.fspath(file.absolute()), file.relative_to(source.path).as_posix()) for file in source.files]
    for start in range(0, len(names), FILES):
        some = tuple(names[start : start + FILES])
        yield Piece(start, len(some), some)


def _of_tables(source: Source) -> Iterator[Piece]:
    start = 0
    for file in source.files:
        if kind_of(file) != "parquet":
            raise InputError(
                f"{file}: found a table that is read from its beginning, expected Parquet",
                advice="Convert it, or measure in one process: --engine process.",
            )
        for group, count in enumerate(groups(file)):
            for skip in range(0, count, ROWS):
                some = min(ROWS, count - skip)
                yield Piece(start, some, ((os.fspath(file.absolute()), ""),), group, skip)
                start += some


def _from(piece: Piece, done: int) -> Piece:
    """The rest of a piece of which some were done."""
    over = max(0, done - piece.start)
    files = piece.files[over:] if piece.files[0][1] else piece.files
    return Piece(piece.start + over, piece.count - over, files, piece.group, piece.skip + over)


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker has to know of a run; Ray carries it there."""

    document: str
    """Of the policy that judges; empty: none does, and nothing is measured."""
    modality: Modality
    columns: tuple[str, ...]
    asked: Asked
    limits: Limits
    around: tuple[tuple[str, str], ...]
    """Variables that checks look for."""


class Measurer:
    """What a worker runs: the chain of a policy, over pieces."""

    def __init__(self, task: Task) -> None:
        """Build the checks. Models load with the first piece."""
        os.environ.update(dict(task.around))
        self._task = task
        self._chain = Chain(from_document(task.document)) if task.document else None

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Contents of a piece with their results, in order. Raises InputError for a file that cannot be read."""
        piece = Piece(**{**row, "files": tuple((path, name) for path, name in json.loads(row["files"]))})
        items = list(self._read(piece))
        if len(items) != piece.count:
            raise InputError(f"found {len(items)} contents at {piece.start}, expected {piece.count}: IN was changed")
        found: list[str] = []
        for first in range(0, len(items), self._task.asked.batch):
            found += run_sync(self._measured(items[first : first + self._task.asked.batch]))
        return [_row(item, results) for item, results in zip(items, found, strict=True)]

    def _read(self, piece: Piece) -> Iterator[Item]:
        if self._task.modality is Modality.IMAGE:
            return as_pictures([(Path(path), name) for path, name in piece.files], piece.start)
        rows = records(Path(piece.files[0][0]), self._task.columns, piece.group)
        return as_items(islice(rows, piece.skip, piece.skip + piece.count), piece.start)

    async def _measured(self, items: Sequence[Item]) -> list[str]:
        """Results of each as JSON; empty for what is no content, which is refused where it is recorded."""
        contents = [self._content(item) for item in items]
        ready = [one for one in contents if one is not None]
        if self._chain is None or not ready:
            return [""] * len(items)
        results = iter(await self._chain.run(ready))
        return ["" if one is None else json.dumps([result_record(each) for each in next(results)]) for one in contents]

    def _content(self, item: Item) -> Content | None:
        if item.data is None:
            return None
        asked = self._task.asked
        content = asked.content_of(item, self._task.modality)
        try:
            return admit(
                content,
                request=content.request,
                stage=asked.stage,
                origin=asked.origin,
                media_type="",
                limits=self._task.limits,
            )
        except InputError:
            return None


def _row(item: Item, results: str) -> dict[str, Any]:
    data = item.data.encode("utf-8", "surrogatepass") if isinstance(item.data, str) else item.data
    return {"number": item.number, "key": item.key, "held": data is not None, "data": data or b"", "results": results}


class Measured(Chain):
    """A chain that measures nothing: it has what was measured elsewhere, by the ids of requests."""

    def __init__(self, policy: Policy) -> None:
        """See `Chain`."""
        super().__init__(policy)
        self._kept: dict[str, tuple[CheckResult, ...]] = {}

    def keep(self, request: str, results: tuple[CheckResult, ...]) -> None:
        """Have the results of a request's content until they are asked for."""
        self._kept[request] = results

    async def load(self) -> dict[str, str]:
        """Nothing to load."""
        return {}

    async def run(self, contents: Sequence[Content], time: datetime | None = None) -> list[tuple[CheckResult, ...]]:
        """What was measured of each, once; checks of a content about which nothing is known have failed."""
        del time
        return [self._kept.pop(one.request.id, ()) or self._missing(one.stage, one.modality) for one in contents]

    def _missing(self, stage: Stage, modality: Modality) -> tuple[CheckResult, ...]:
        specs = [spec for spec in self.policy.checks if spec.applies(stage, modality)]
        return tuple([CheckResult(one.name, one.use, "", "", Status.FAILED, error=UNMEASURED) for one in specs])


class Spread:
    """The contents of a source as they come from a cluster, measured: their results are kept by the chain of the policy."""

    def __init__(
        self,
        source: Source,
        asked: Asked,
        limits: Limits,
        chains: Mapping[str, Measured],
        *,
        around: Mapping[str, str],
        measure: Callable[[Task, list[dict[str, Any]]], Iterator[dict[str, Any]]],
    ) -> None:
        """`chains`: by policy id, of all policies; one of them judges. `around`: variables of the workers.

        `measure`: gives the rows that a `Measurer` of the task makes of pieces, in order. Raises InputError for a source that
        cannot be cut into pieces.
        """
        self.modality = source.modality
        self._source, self._asked, self._measure = source, asked, measure
        policies = [one.policy for one in chains.values()]
        judge = choose(policies, asked.origin.generator, asked.request.tenant)
        self._chain = chains[judge.id] if judge else None
        document = judge.document if judge else ""
        variables = tuple(sorted(around.items()))
        self._task = Task(document, source.modality, source.columns, asked, limits, variables)
        pieces(source)

    def items(self, start: int = 0) -> Iterator[Item]:
        """The contents from a place on, measured. Raises InputError, and ModelError when the cluster gives up."""
        found = pieces(self._source, start)
        if not found:
            return
        rows = [{**asdict(piece), "files": json.dumps(piece.files)} for piece in found]
        for number, row in enumerate(self._measure(self._task, rows), start):
            if row["number"] != number:
                raise ModelError(f"found content {row['number']} of the cluster, expected {number}")
            yield self._item(row)

    def _item(self, row: dict[str, Any]) -> Item:
        number, data = row["number"], row["data"]
        if self._chain is not None and row["results"]:
            results = tuple([result_from(one) for one in json.loads(row["results"])])
            self._chain.keep(self._asked.request_of(number).id, results)
        if not row["held"]:
            return Item(number, row["key"], None)
        text = self.modality is Modality.TEXT
        return Item(number, row["key"], data.decode("utf-8", "surrogatepass") if text else data)


def on_ray(task: Task, rows: list[dict[str, Any]], *, workers: int | None = None) -> Iterator[dict[str, Any]]:
    """Measure pieces on the cluster that is joined. `workers`: of the pool, at most; one a processor when left out.

    Raises ModelError when the cluster gives up, and what a worker raised where it is an error of ours.
    """
    import ray
    from ray import data
    from ray.exceptions import RayError

    context = data.DataContext.get_current()
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    pool = data.ActorPoolStrategy(min_size=1, max_size=min(most, len(rows)))
    whole = data.from_items(rows, override_num_blocks=len(rows))
    try:
        yield from whole.flat_map(Measurer, fn_constructor_args=(task,), compute=pool).iter_rows()
    except RayError as error:
        raise _told(error) from None


def _told(error: BaseException) -> GenguardError:
    """What went wrong on a worker: our own words, or the kind of what was raised there."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GenguardError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return ModelError(
        f"the cluster gave up measuring ({type(error).__name__})",
        advice="Its logs say why. The same command goes on where this one ended.",
    )
