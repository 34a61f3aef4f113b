"""Starts the workers of a service, and who commits for them; starts again what ends; ends them in order.

    SIGTERM ─> "leave" to all workers ─> each answers what it took on ─> "leave" to the committer ─> end

The first worker begins by itself, up to where policies and ledger are there: what cannot work is told once, and nothing begins.
Afterwards whatever ends is started again, at once the first time and then after growing pauses. Nobody else holds the listening
socket's queue: connections that wait there are taken by another worker. When the supervisor is gone, workers end as at SIGINT.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from guard.errors import SettingsError
from serving.server import listening
from serving.settings import Settings
from serving.watching import logs
from serving.workers.orders import LEAVE, READY, RESTARTS, STARTED, WIRED, Orders, values_of

FIRST_S, LONGEST_S = 0.5, 30.0
"""Pauses before what ended early once more is started again, each twice the one before."""
STEADY_S = 60.0
"""How long something has to have run to be started again at once."""
SLACK_S = 30.0
"""Seconds that workers get to end besides those of the settings, and the committer in all, before they are killed."""
MOST_PATH = 76
"""Bytes of a team folder's name: a socket's may have 107, and what it is called in the meantime takes some."""
_TICK_S = 0.5
_WORKER, _COMMITTER = "worker", "committer"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Part:
    """One process, or the place of one."""

    name: str
    index: int
    command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    told: int = -1
    """Where it says how far it is."""
    wired: bool = False
    ready: bool = False
    began: float = 0.0
    due: float = 0.0
    """When it is started again, by the monotonic clock."""
    pause: float = 0.0
    status: int = 0
    """With which it ended last, as shells tell it."""

    @property
    def title(self) -> str:
        """What it is called in the log."""
        return f"{_WORKER} {self.index}" if self.name == _WORKER else self.name

    def order(self, line: bytes) -> None:
        """Give it an order, if it is there."""
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.write(line)
                self.process.stdin.flush()


@dataclass(slots=True)
class Supervisor:
    """Of one service."""

    settings: Settings
    sockets: list[socket.socket]
    folder: Path
    workers: list[Part] = field(init=False)
    committer: Part | None = field(init=False)
    restarts: Counter[str] = field(default_factory=Counter)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector, repr=False)
    _asked: list[int] = field(default_factory=list)
    """Signals that came."""
    _started: bool = False
    """Whether all were ready once."""

    def __post_init__(self) -> None:
        python = (sys.executable, "-P", "-m")
        self.workers = [Part(_WORKER, one, (*python, "serving.workers.part")) for one in range(self.settings.workers)]
        apart = self.settings.ledger.startswith("sqlite")
        self.committer = Part(_COMMITTER, 0, (*python, "serving.workers.committer")) if apart else None

    @property
    def parts(self) -> list[Part]:
        """All processes, who commits first."""
        return [*([self.committer] if self.committer else []), *self.workers]

    def run(self) -> int:
        """Run until a signal comes; return the exit status."""
        with self._signals():
            try:
                if (failed := self._begin()) is not None:
                    return failed
                while not self._asked:
                    self._watch()
                    self._renew()
                return self._end()
            finally:
                self._kill()
                self._selector.close()

    # --- beginning ------------------------------------------------------------------------------------------------------

    def _begin(self) -> int | None:
        """Start all; the exit status of what ended instead of beginning, None when all is under way."""
        first = self.workers[0]
        for part, done in ((self.committer, "ready"), (first, "wired")):
            if part is None:
                continue
            self._start(part)
            while not getattr(part, done):
                self._watch()
                if self._asked:
                    return 128 + self._asked[0]
                if part.process is None:
                    return part.status
        for part in self.workers[1:]:
            self._start(part)
        return None

    def _start(self, part: Part) -> None:
        reading, writing = os.pipe()
        shared = [one.fileno() for one in self.sockets] if part.name == _WORKER else []
        orders = Orders(
            part.index,
            len(self.workers),
            str(self.folder),
            values_of(self.settings),
            tuple(shared),
            writing,
            relayed=self.committer is not None,
        )
        try:
            part.process = subprocess.Popen(  # noqa: S603 - our own
                part.command,
                stdin=subprocess.PIPE,
                pass_fds=(writing, *shared),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # signals of a terminal come to the supervisor alone
            )
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        part.told, part.wired, part.ready, part.began = reading, False, False, time.monotonic()
        self._selector.register(reading, selectors.EVENT_READ, part)
        part.order(orders.line())

    # --- watching ---------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Wait a while for what parts say; note which have ended."""
        for key, _ in self._selector.select(_TICK_S):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
            else:
                self._hear(key.data)
        for part in self.parts:
            if part.process is not None and part.process.poll() is not None:
                self._gone(part, part.process.returncode)
        if not self._started and all(one.ready for one in self.parts):
            self._started = True
            (self.folder / STARTED).touch()
            _log.info("all %d workers are ready", len(self.workers))

    def _hear(self, part: Part) -> None:
        try:
            said = os.read(part.told, 64)
        except BlockingIOError:
            return
        if not said:  # it has ended, or is about to
            self._deafen(part)
        part.wired |= WIRED in said
        part.ready |= READY in said

    def _deafen(self, part: Part) -> None:
        if part.told >= 0:
            self._selector.unregister(part.told)
            os.close(part.told)
            part.told = -1

    def _gone(self, part: Part, status: int) -> None:
        if part.told >= 0:
            self._hear(part)
        self._deafen(part)
        assert part.process is not None
        if part.process.stdin is not None:
            with suppress(OSError):
                part.process.stdin.close()
        lived = time.monotonic() - part.began
        part.pause = 0.0 if lived >= STEADY_S else min(LONGEST_S, max(FIRST_S, 2 * part.pause)) if part.due else 0.0
        part.process, part.ready, part.wired, part.due = None, False, False, time.monotonic() + part.pause
        part.status = status if status >= 0 else 128 - status
        if not self._asked:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            _log.error("%s ended with %s after %.0f s", part.title, how, lived)

    def _renew(self) -> None:
        """Start again what ended, when it is due."""
        for part in self.parts:
            if part.process is None and time.monotonic() >= part.due:
                self.restarts[part.name] += 1
                self._note()
                _log.warning("%s is started again", part.title)
                self._start(part)

    def _note(self) -> None:
        new = self.folder / f".{RESTARTS}"
        new.write_text(json.dumps(self.restarts), "utf-8")
        new.replace(self.folder / RESTARTS)

    # --- ending -------------------------------------------------------------------------------------------------------------

    def _end(self) -> int:
        """End the workers, then who commits for them. A second signal ends them where they stand."""
        wait = self.settings.lame_duck_s if self._asked[0] == signal.SIGTERM else 0.0
        _log.info("stopping %d workers", len(self.workers))
        statuses: list[int] = []
        for parts, seconds in (
            (self.workers, wait + self.settings.grace_s + SLACK_S),
            (self.parts[: -len(self.workers)], SLACK_S),
        ):
            serving = [one.index for one in parts if one.ready]  # what had not begun yet ends by a signal
            for part in parts:
                part.order(f"{LEAVE} {wait}\n".encode())
            until = time.monotonic() + seconds
            running = [one for one in parts if one.process is not None]
            while running:
                self._watch()
                statuses += [one.status for one in running if one.process is None and one.index in serving]
                running = [one for one in running if one.process is not None]
                if len(self._asked) > 1:
                    return 128 + self._asked[1]
                if time.monotonic() >= until:
                    _log.error("%s did not end in time", ", ".join(one.title for one in running))
                    return 70
        return max(statuses, default=0)

    def _kill(self) -> None:
        for part in self.parts:
            if part.process is not None:
                part.process.kill()
        for part in self.parts:
            if part.process is not None:
                part.process.wait()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Note signals, and wake up for them and for children that end."""
        reading, writing = os.pipe()
        for one in (reading, writing):
            os.set_blocking(one, False)
        self._selector.register(reading, selectors.EVENT_READ, None)

        def came(number: int, _frame: FrameType | None) -> None:
            if number != signal.SIGCHLD:
                self._asked.append(number)

        before = {one: signal.signal(one, came) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
        waking = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(waking)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)


def supervise(settings: Settings) -> int:
    """Run `settings.workers` processes that serve, until a signal comes; the exit status.

    Raises SettingsError where it cannot listen, or a setting cannot be used.
    """
    if settings.engine == "ray":
        raise SettingsError(
            f"found {settings.workers} workers with the engine ray, expected one",
            advice="Each would deploy and withdraw the same checks: start several gateways that join one cluster instead.",
        )
    logs.configure(settings.log_format, settings.log_level, part="supervisor")
    with ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in listening(settings)]
        folder = stack.enter_context(_folder())
        return Supervisor(settings, sockets, folder).run()


@contextmanager
def _folder() -> Iterator[Path]:
    """A team's folder, which nobody else may enter, until the end. Raises SettingsError where sockets in it have no room."""
    folder = Path(tempfile.mkdtemp(prefix="genguard-"))  # mode 0700
    try:
        if len(os.fsencode(folder)) > MOST_PATH:
            raise SettingsError(
                f"found {folder.parent} as the folder of temporary files, expected a name of at most {MOST_PATH - 20} bytes",
                advice="The names of sockets in it would be too long: set TMPDIR=/tmp, or to another short one.",
            )
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_SH)  # systemd-tmpfiles leaves what is locked alone
            yield folder
        finally:
            os.close(held)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
