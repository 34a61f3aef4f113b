"""A built check with the thread it runs on and its loading: what the chains of several policies share.

Two policies that measure the same thing with the same parameters need one model in memory, and one thread that enters it.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from time import monotonic
from typing import cast

from guard.batching import Asks, Batcher
from guard.errors import describe
from guard.protocols import Check
from guard.registry import checks as registry
from guard.rules import CheckSpec
from guard.traits import traits_of
from guard.types import Content, Scan
from guard.workers import Worker

RETRY_S = 30.0
"""How long after a failed load the next one is tried."""


class Instrument:
    """One check. Its thread ends when no chain holds it any more."""

    def __init__(self, spec: CheckSpec, check: Check | None = None) -> None:
        """`check`: a built one; built from the registry when left out. Raises RegistryError for one that cannot be built."""
        self._measures = _key(spec)
        self.check: Check = registry.make(spec.use, spec.parameters) if check is None else check
        self.worker = Worker(f"genguard-{spec.name}")
        self.batcher: Asks = Batcher(self._blocking, self.worker, together=traits_of(self.check).together)
        self._future: Future[None] | None = None
        self._retry_at = math.inf
        self.loaded = False
        """Whether it is ready."""
        self._lock = threading.Lock()
        weakref.finalize(self, self.worker.close).atexit = False

    def measures(self, spec: CheckSpec) -> bool:
        """Whether a line of a policy's checks asks for just this."""
        return self._measures == _key(spec)

    def _blocking(self, batch: Sequence[Content]) -> Sequence[Scan]:
        return cast("Sequence[Scan]", self.check(batch))

    async def load(self) -> str:
        """Load the check, once; a load that failed is tried again when RETRY_S have passed. Return what went wrong."""
        with self._lock:
            future = self._future
            if future is None or monotonic() >= self._retry_at:
                self._retry_at = math.inf
                future = self._future = self.worker.submit(self.check.load)
        try:
            if not future.done():
                await asyncio.shield(asyncio.wrap_future(future))
            future.result()
        except (Exception, asyncio.CancelledError) as error:
            if cancelled(error):
                raise
            with self._lock:
                self._retry_at = min(self._retry_at, monotonic() + RETRY_S)
            return describe(error)
        self.loaded = True
        return ""


def _key(spec: CheckSpec) -> tuple[str, str]:
    """As text, because 1, 1.0 and true are equal and may still mean different things."""
    return spec.use, json.dumps(spec.parameters, sort_keys=True, default=repr)


def cancelled(error: BaseException) -> bool:
    """Whether our own task is being cancelled, as against a cancellation that leaked out of a check."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
