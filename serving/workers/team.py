"""What a worker knows of the others: whether they are ready, what they count, and who does what is done once for all.

Each worker answers the others at a socket in the team's folder. Work that one process does alone, such as signing checkpoints,
is done by the worker that has the lock of the folder's `duty.lock`; when it ends, another has it within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from serving.workers.orders import DUTY, RESTARTS, STARTED
from serving.workers.table import Memory, Store, Table

ASK_S = 5.0
"""How long another worker may take to answer."""
RETRY_S = 0.25
"""Between two looks whether the periodic work is free."""
STANDING, METRICS = "standing", "metrics"
"""What a worker may be asked."""
_LIMIT = 1 << 26

Answers = Mapping[str, Callable[[], Awaitable[Any]]]


@dataclass(slots=True)
class Team:
    """The workers of one service, as one of them sees them. A service of one process is a team of one, without a folder."""

    index: int = 0
    count: int = 1
    folder: Path | None = None
    _duty: int = -1
    _door: asyncio.Server | None = field(default=None, repr=False)
    _answers: Answers = field(default_factory=dict, repr=False)

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.folder is None

    # --- work for one -----------------------------------------------------------------------------------------------------

    @property
    def on_duty(self) -> bool:
        """Whether this one does what is done once for all."""
        return self.folder is None or self._duty >= 0

    async def duty(self) -> None:
        """Return when this one has the periodic work; it has it until it ends. Raises OSError."""
        while not self._take():  # noqa: ASYNC110 - another process lets go of it
            await asyncio.sleep(RETRY_S)

    def _take(self) -> bool:
        if self.folder is None or self._duty >= 0:
            return True
        descriptor = os.open(self.folder / DUTY, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._duty = descriptor
        return True

    def store(self, name: str) -> Store:
        """Where buckets of tokens lie that all workers draw from. Raises OSError."""
        return Memory() if self.folder is None else Table(self.folder / f"{name}.rates")

    # --- the others -------------------------------------------------------------------------------------------------------

    async def open(self, answers: Answers) -> None:
        """Answer the others from now on."""
        self._answers = answers
        if self.folder is not None:
            place = self._place(self.index)
            new = place.with_name(f"{place.name}.{os.getpid()}")
            self._door = await asyncio.start_unix_server(self._answer, new)
            new.replace(place)

    async def close(self) -> None:
        """Answer nobody any more, and leave the periodic work to another."""
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._duty >= 0:
            os.close(self._duty)
            self._duty = -1

    async def ask(self, what: str) -> dict[int, Any]:
        """What all others answer, by their index; None for one that does not."""
        others = [one for one in range(self.count) if one != self.index]
        found = await asyncio.gather(*(self._ask(one, what) for one in others))
        return dict(zip(others, found, strict=True))

    async def _ask(self, index: int, what: str) -> Any:
        try:
            async with asyncio.timeout(ASK_S):
                reader, writer = await asyncio.open_unix_connection(self._place(index), limit=_LIMIT)
                try:
                    writer.write(f"{what}\n".encode())
                    return msgspec.msgpack.decode(await reader.read())
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.DecodeError):
            return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            asked = (await reader.readline()).decode("ascii", "replace").strip()
            if asked in self._answers:
                writer.write(msgspec.msgpack.encode(await self._answers[asked]()))
                await writer.drain()
        writer.close()

    def _place(self, index: int) -> Path:
        assert self.folder is not None
        return self.folder / f"worker-{index}.sock"

    # --- what the supervisor notes ----------------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether all were ready once."""
        return self.folder is None or (self.folder / STARTED).exists()

    def restarts(self) -> dict[str, int]:
        """How often a worker, and who commits, had to be started again."""
        try:
            return dict(msgspec.json.decode((self.folder / RESTARTS).read_bytes())) if self.folder else {}
        except (OSError, msgspec.DecodeError, ValueError):
            return {}
