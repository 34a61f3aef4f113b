"""Judges many contents: some at a time, in order, and none twice however often the run is cut off."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from audit.grammar import QueryError
from audit.query import Shown, query, show
from bulk.results import RELEASED, Result, Results
from bulk.sources import Contents, Item
from guard.errors import InputError
from guard.pipeline import Guard
from guard.types import Content, Modality, Origin, Receipt, Release, Request, Stage, Verdict

REFUSED = "refused"
"""What became of a content that could not be read as one."""
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What holds for all contents of a run."""

    run: str
    """Names the run, and so the requests of its contents."""
    request: Request
    stage: Stage = Stage.OUTPUT
    origin: Origin = field(default_factory=lambda: Origin("caller"))
    batch: int = 64
    """Contents that are judged together."""
    ahead: int = 2
    """Batches under way."""

    def request_of(self, number: int) -> Request:
        """The request of one content: by its id the decision is found again after a run was cut off."""
        return replace(self.request, id=f"bulk-{self.run}-{number}")

    def content_of(self, item: Item, modality: Modality) -> Content:
        """What there is to judge."""
        media = "text/plain" if modality is Modality.TEXT else ""
        return Content(modality, item.data or "", media, self.stage, self.origin, self.request_of(item.number))


@dataclass(slots=True)
class Summary:
    """What became of them, counted."""

    count: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)

    def add(self, results: Sequence[Result]) -> None:
        """Count these, too."""
        self.count += len(results)
        for one in results:
            self.actions[one.action] += 1
            self.rules.update(set(one.rules))


async def run(
    guard: Guard, source: Contents, results: Results, asked: Asked, ledger_url: str, told: Callable[[int], None], **keys: Any
) -> Summary:
    """Judge what has no result yet. `told`: called with how many results were added. `keys`: `key_file` of the ledger.

    Contents whose decisions were committed before the last run was cut off are not judged again. Raises InputError and
    LedgerError.
    """
    summary = Summary()
    for one in _several(results.read(), asked.batch):
        summary.add(one)
    items = source.items(results.done)
    if results.done or await asyncio.to_thread(_begun, ledger_url, asked):
        for _ in range(asked.ahead):
            part = await asyncio.to_thread(list, islice(items, asked.batch))
            await _settle(results, summary, told, await _resumed(guard, part, source, results, asked, ledger_url, keys))
    async for found in _ahead(guard, items, source, results, asked):
        await _settle(results, summary, told, found)
    return summary


async def _settle(results: Results, summary: Summary, told: Callable[[int], None], found: list[Result]) -> None:
    await asyncio.to_thread(results.add, found)
    summary.add(found)
    told(len(found))


async def _ahead(
    guard: Guard, items: Iterator[Item], source: Contents, results: Results, asked: Asked
) -> AsyncIterator[list[Result]]:
    """Results batch by batch, in order, while the next batches are judged."""
    under_way: deque[asyncio.Task[list[Result]]] = deque()
    try:
        while True:
            while len(under_way) < asked.ahead and (part := await asyncio.to_thread(list, islice(items, asked.batch))):
                under_way.append(asyncio.create_task(_judged(guard, part, source, results, asked)))
            if not under_way:
                return
            yield await under_way[0]
            under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _judged(guard: Guard, part: list[Item], source: Contents, results: Results, asked: Asked) -> list[Result]:
    readable = [item for item in part if item.data is not None]
    contents = [asked.content_of(item, source.modality) for item in readable]
    releases = dict(zip((item.number for item in readable), await guard.check_many(contents, stage=asked.stage), strict=True))
    for item in part:
        if item.data is None:
            error = InputError(f"row {item.number + 1}: found no text, expected one")
            releases[item.number] = await guard.refuse(
                error,
                asked.request_of(item.number),
                stage=asked.stage,
                modality=source.modality,
                generator=asked.origin.generator,
            )
    return [await _result(item, releases[item.number], results) for item in part]


async def _result(item: Item, release: Release, results: Results) -> Result:
    content = release.content
    data = None if content is None else content.payload()
    media = "" if content is None else content.media_type
    return await _told(item, results, release.verdict, release.receipt, data, media, refused=release.refused)


async def _told(
    item: Item, results: Results, verdict: Verdict, receipt: Receipt, data: bytes | None, media: str, *, refused: bool
) -> Result:
    name = None
    if data is not None and results.folder:
        name = f"{RELEASED}/{item.number:08}{_SUFFIXES.get(media, '.bin')}"
        await asyncio.to_thread((results.out / name).write_bytes, data)
    return Result(
        item.number,
        item.key,
        REFUSED if refused else verdict.action.value,
        str(receipt.decision),
        f"{receipt.index}:{receipt.leaf_hash.hex()}",
        tuple(fired.rule for fired in verdict.fired),
        None if data is None or results.folder else data.decode("utf-8", "replace"),
        name,
    )


# --- what a run that was cut off had decided -----------------------------------------------------------------------------


def _begun(ledger_url: str, asked: Asked) -> bool:
    """Whether the first content was decided already, though nothing says what became of it."""
    return _decided(ledger_url, asked.request_of(0).id) is not None


async def _resumed(
    guard: Guard, part: list[Item], source: Contents, results: Results, asked: Asked, ledger_url: str, keys: dict[str, Any]
) -> list[Result]:
    """Results of contents of which some may have been decided."""
    found: dict[int, Shown] = {}
    for item in part:
        shown = await asyncio.to_thread(_decided, ledger_url, asked.request_of(item.number).id, **keys)
        if shown is not None:
            found[item.number] = shown
    rest = [item for item in part if item.number not in found]
    fresh = {one.row: one for one in await _judged(guard, rest, source, results, asked)} if rest else {}
    return [fresh.get(item.number) or await _again(item, found[item.number], results) for item in part]


def _decided(ledger_url: str, request: str, **keys: Any) -> Shown | None:
    """The decision of a request, with what it released; None when there is none."""
    page = query(ledger_url, f"request:{request}", limit=1)
    if not page.rows:
        return None
    with suppress(QueryError):
        return show(ledger_url, page.rows[0].idx, reveal=True, **keys)
    return None


async def _again(item: Item, shown: Shown, results: Results) -> Result:
    decision, receipt = shown.decision, shown.receipt
    if decision is None or receipt is None:
        raise InputError(f"entry {shown.idx} is no decision", advice="Begin anew with --restart.")
    stored = next((one for one in shown.payloads if one.part == "released"), None)
    if stored is not None and stored.data is None:
        raise InputError(
            f"what decision {decision.id} released cannot be read: {stored.why}", advice="Begin anew with --restart."
        )
    data, media = (None, "") if stored is None else (stored.data, stored.media_type)
    return await _told(item, results, decision.verdict, receipt, data, media, refused="content" not in shown.body)


def _several(results: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(islice(results, size)):
        yield part
