"""Lines of the log: JSON, or text for people, on stderr; with the ids of the request that each belongs to.

What a line says is what this code wrote: our own messages quote no content (`guard.errors`). A library's message might, and
so might any exception's: of a library only the message as it stands in its source is told, of an exception its type and where
it was raised. Control characters are escaped in both formats, so that nothing that is logged can begin a line of its own.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import IO, Any

from serving.watching.requests import KNOWN

OURS = (
    "audit",
    "bulk",
    "cli",
    "evaluation",
    "generators",
    "genguard",
    "guard",
    "integrations",
    "policies",
    "service",
    "serving",
    "terminal",
)
"""Packages whose messages are told as they are."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SAFE = "Uvicorn running on "
"""Beginning of the one message of uvicorn that tells where it listens."""
_FRAMES = 4


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and what is known."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return json.dumps(fields(record), ensure_ascii=True, default=_kind)


class TextLines(logging.Formatter):
    """`TIME LEVEL LOGGER MESSAGE name=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        known = fields(record)
        head = [known.pop("time"), f"{known.pop('level').upper():7}", known.pop("logger"), known.pop("message")]
        rest = [f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}" for name, value in known.items()]
        return escaped(" ".join(map(str, (*head, *rest))))


class _Part(logging.Filter):
    """Says in each record which process it is of."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def filter(self, record: logging.LogRecord) -> bool:
        record.part = self._part
        return True


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """All that a line tells."""
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": message(record)}
    if record.name.split(".")[0] not in OURS:
        told["at"] = f"{record.module}:{record.lineno}"
    if part := getattr(record, "part", ""):
        told["part"] = part
    facts = getattr(record, "facts", None)
    if isinstance(facts, Mapping):
        told |= facts
    if (known := KNOWN.get()) is not None:
        told["request"] = known.request
        if known.trace:
            told["trace"] = known.trace
    if record.exc_info and record.exc_info[1] is not None:
        told |= raised(record.exc_info[1])
    return told


def message(record: logging.LogRecord) -> str:
    """What a record says, as far as it can hold nothing but what stands in the code."""
    if record.name.split(".")[0] in OURS:
        return record.getMessage()
    template = record.msg if isinstance(record.msg, str) else ""
    given = record.args if isinstance(record.args, tuple) else ()
    if not given:  # it may have been put together before
        return template if template in _WHOLE else "(not told)"
    if template.startswith(_SAFE) or all(isinstance(one, int | float) for one in given):
        return record.getMessage()
    return template


def raised(error: BaseException) -> dict[str, str]:
    """The type of an exception and where it was raised: its message may quote content."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return {
        "error": type(error).__name__,
        "raised": " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in frames),
    }


def escaped(line: str) -> str:
    """The line with everything escaped that is no printable character: no other line can begin in it."""
    return (
        line
        if line.isprintable()
        else "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in line)
    )


def configure(form: str, level: str, stream: IO[str] | None = None, *, part: str = "") -> None:
    """Send all lines of this process to `stream` (stderr), in the form `json` or `text`. For the process of a service alone.

    `part`: which process of several it is; each line says so.

    Nothing else may write there: other handlers are taken away, warnings are logged, and what ends a thread is, too.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    if part:
        handler.addFilter(_Part(part))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for name in [name for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)]:
        one = logging.getLogger(name)
        one.handlers[:], one.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True  # it tells addresses and queries; ours is `genguard.access`
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a line that cannot be written is not told with its arguments
    threading.excepthook = _thread_ended
    sys.unraisablehook = _unraisable


def _thread_ended(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None:
        logging.getLogger("genguard").error("a thread ended with an error", extra={"facts": raised(given.exc_value)})


def _unraisable(given: Any) -> None:
    if given.exc_value is not None:
        logging.getLogger("genguard").error("an error could not be raised", extra={"facts": raised(given.exc_value)})


def _kind(value: object) -> str:
    return type(value).__name__


_WHOLE = frozenset(
    {
        "Application shutdown complete.",
        "Application startup complete.",
        "Cancel %s running task(s), timeout graceful shutdown exceeded",
        "Exception in ASGI application\n",
        "Exceeded concurrency limit.",
        "Finished server process",
        "Invalid HTTP request received.",
        "Shutting down",
        "Waiting for application shutdown.",
        "Waiting for application startup.",
        "Waiting for background tasks to complete. (CTRL+C to force quit)",
        "Waiting for connections to close. (CTRL+C to force quit)",
    }
)
"""Messages of uvicorn that have no arguments."""
