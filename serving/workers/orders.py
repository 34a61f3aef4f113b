"""What a process of a team is told when it begins: one line of JSON on its standard input, which only its supervisor can write.

The input stays open as long as the supervisor lives; further lines are orders. What a process has to say it writes to a pipe.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from guard.errors import GenguardError, InputError, PolicyError, SettingsError, SignatureError
from serving.settings import Settings

LEAVE = "leave"
"""Order to end, once what is in work is done; after it, the seconds in which to listen on."""
USAGE, FAILURE = 64, 70
"""Exit statuses: something was given that cannot be used; a failure of ours."""
WIRED, READY = b"w", b"r"
"""Said when policies and ledger are there, and when it listens with all that it could load."""
COMMITTER, DUTY, STARTED, RESTARTS = "commit.sock", "duty.lock", "started", "restarts"
"""Names in a team's folder: where to hand over, who has the periodic work, whether all were ready once, what began again."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Which process it is, and what it works with."""

    index: int
    """From 0; of the committer it says nothing."""
    count: int
    """Workers of the team."""
    folder: str
    """Of the team's sockets and notes: nobody else may enter it."""
    settings: dict[str, Any]
    sockets: tuple[int, ...] = ()
    """Descriptors of what it listens on."""
    tell: int = -1
    """Descriptor of what it says."""
    relayed: bool = False
    """Whether a process of its own commits."""

    def line(self) -> bytes:
        """As a child reads it. Holds the settings' secrets."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def say(self, word: bytes) -> None:
        """Tell the supervisor, if it is still there."""
        try:
            os.write(self.tell, word)
        except OSError:
            return

    @property
    def committer(self) -> Path:
        """Where to hand over."""
        return Path(self.folder) / COMMITTER


def read_orders() -> tuple[Orders, Settings]:
    """The first line of the standard input. Raises SettingsError where nobody gives orders."""
    line = sys.stdin.buffer.readline()
    try:
        given = json.loads(line)
        orders = Orders(**{**given, "sockets": tuple(given["sockets"])})
    except (ValueError, TypeError, KeyError):
        raise SettingsError(
            "found no orders on standard input, expected those of `genguard serve --workers N`",
            advice="It starts this by itself: nobody else has to.",
        ) from None
    return orders, Settings.read(**orders.settings)


def values_of(settings: Settings) -> dict[str, Any]:
    """Settings as JSON holds them, secrets as well."""
    return {name: _plain(getattr(settings, name)) for name in type(settings).model_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):  # a section
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def follow(leave: Callable[[float], None]) -> None:
    """Have `leave` called on a thread of its own when the order comes, with the seconds to listen on; 0 when nobody is left."""
    threading.Thread(target=_listen, args=(leave,), name="genguard-orders", daemon=True).start()


def _listen(leave: Callable[[float], None]) -> None:
    for line in sys.stdin:
        word, _, seconds = line.partition(" ")
        if word == LEAVE:
            leave(float(seconds or 0))
            return
    leave(0.0)


def main(run: Callable[[], None]) -> int:
    """Run a part; what goes wrong is told on stderr, and by the exit status as in the terminal."""
    try:
        run()
    except GenguardError as error:
        sys.stderr.write(f"genguard: {error.diagnostics()}\n")
        mistaken = isinstance(error, InputError | PolicyError | SettingsError | SignatureError)
        return USAGE if mistaken else FAILURE
    return 0


def give_up() -> None:
    """End where it stands: before anything was served."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
