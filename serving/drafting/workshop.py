"""Where drafts are read and their checks are built: beside the running work, and with its models where they are the same.

Long work runs in a thread of its own, one at a time, and tells how far it is. Who asked for it stops it by going away.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from fastapi.responses import JSONResponse, Response, StreamingResponse

from guard.bench import Deployment
from guard.chain import Chain
from guard.errors import InputError
from guard.pipeline import Guard
from guard.rules import Policy
from policies.compile import compile_policy
from policies.load import PACKS, open_policy, packs
from policies.loaded import LoadedPolicy
from policies.mistake import Mistakes
from policies.source import read
from policies.testing import Pool
from serving.drafting.reach import Reach
from serving.gate import busy_response, failure_response

FILE = "policy"
"""What a draft's file is called in findings."""
EVERY_S = 0.25
"""Seconds between two lines on how far it is."""
MOST_RULES = 300
"""Rules of a draft: lints compare each with each other, 300 in some seconds."""
BUSY_S = 5
"""When somebody who came during another's work may ask again."""

Fields = dict[str, Any]
Tell = Callable[[Fields], None]
"""Says how far the work is. Raises StoppedError when nobody waits for it any more."""


class StoppedError(Exception):
    """Nobody waits for this work any more."""


class Workshop:
    """The drafts of one service. For one event loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._reading = asyncio.Lock()
        self._turn = threading.Lock()
        self._last: Chain | None = None

    @property
    def deployments(self) -> dict[str, Deployment]:
        """The policies that are in use, by id."""
        return {one.revisions[0].id: one for one in self._guard.deployments}

    async def read(self, source: str) -> LoadedPolicy:
        """Load a draft from its text. Raises PolicyError for mistakes, and for what it may not have this service do."""
        async with self._reading:  # a large text takes seconds: not several at once
            return await asyncio.to_thread(self._read, source)

    async def look(self, work: Callable[[], Fields]) -> Fields:
        """Look a draft over: what takes as long as reading one, and waits for it."""
        async with self._reading:
            return await asyncio.to_thread(work)

    def _read(self, source: str) -> LoadedPolicy:
        mistakes = Mistakes(FILE)
        root = read(source, mistakes)
        if root is not None:
            rules = root.entries["rules"].node if "rules" in root.entries else None
            if rules is not None and isinstance(rules.value, list) and len(rules.value) > MOST_RULES:
                mistakes.add(rules.at, f"{len(rules.value)} rules", f"at most {MOST_RULES} in a draft over HTTP")
            Reach(one for used in self._guard.deployments for one in used.revisions).look(root, mistakes)
        mistakes.raise_if_any()
        assert root is not None
        return compile_policy(root, mistakes)

    async def chain(self, policy: Policy) -> Chain:
        """A chain for it, with the instruments that are there already; those of the latest draft stay for the next.

        Raises GenguardError for a check that cannot be built.
        """
        known = (*self._guard.instruments, *(self._last.instruments.values() if self._last is not None else ()))
        self._last = await asyncio.to_thread(partial(Chain, policy, shared=known))
        return self._last

    def pool(self) -> Pool:
        """Checks for tests: those that judge here, where they are the same."""
        return Pool(self._guard.instruments)

    async def run(self, work: Callable[[Tell], Fields], *, stream: bool) -> Response:
        """Do long work: its answer, or lines of how far it is and then the answer. 429 while another's is being done."""
        if not self._turn.acquire(blocking=False):
            return busy_response("another draft is being tested or replayed", BUSY_S)
        job = _Job(work, self._turn)
        if stream:
            return StreamingResponse(job.lines(), media_type="application/x-ndjson", headers={"cache-control": "no-store"})
        return JSONResponse(await job.result())


class _Job:
    """Work in a thread, which has begun, and is stopped when nobody waits for it."""

    def __init__(self, work: Callable[[Tell], Fields], turn: threading.Lock) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Queue[Fields | None]()
        self._gone, self._at = threading.Event(), 0.0
        self._future = self._loop.run_in_executor(None, self._work, work, turn)

    def _work(self, work: Callable[[Tell], Fields], turn: threading.Lock) -> Fields:
        try:
            return work(self._tell)
        finally:
            turn.release()
            self._loop.call_soon_threadsafe(self._told.put_nowait, None)

    def _tell(self, fields: Fields) -> None:
        if self._gone.is_set():
            raise StoppedError
        if monotonic() - self._at >= EVERY_S:
            self._at = monotonic()
            self._loop.call_soon_threadsafe(self._told.put_nowait, fields)

    async def result(self) -> Fields:
        try:
            return await asyncio.shield(self._future)
        finally:
            self._leave()

    async def lines(self) -> AsyncIterator[bytes]:
        """How far it is, then what came of it: a JSON object a line."""
        try:
            while (fields := await self._told.get()) is not None:
                yield _line({"progress": fields})
            try:
                yield _line({"result": await self._future})
            except Exception as error:  # noqa: BLE001 - the answer has begun, so it is told in it
                yield bytes(failure_response(error).body) + b"\n"
        finally:
            self._leave()

    def _leave(self) -> None:
        self._gone.set()
        self._future.add_done_callback(lambda done: done.cancelled() or done.exception())


def _line(fields: Fields) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def pack(name: str) -> LoadedPolicy:
    """A pack by its name. Raises InputError where there is none of that name."""
    if name not in packs():
        raise InputError(f"found no pack of this name, expected one of: {', '.join(packs())}")
    return open_policy(PACKS / f"{name}.yaml")


def lines_of(loaded: LoadedPolicy, source: str, files: set[str]) -> dict[str, list[str]]:
    """The lines of a draft's text and of the packs that it extends, by file. `files`: all that it stands in."""
    inherited = {file: Path(file).read_text("utf-8-sig").splitlines() for file in files - {loaded.file}}
    return {**inherited, loaded.file: source.removeprefix("\ufeff").splitlines()}
