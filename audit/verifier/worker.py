"""A process of the verifier: it holds one state of the database and checks the stretches that it is given.

It is told what to do by pickled messages on its standard input, from the process that began it, and answers on its standard
output. It opens the database itself, read-only, and ends when its input does.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

from audit.stores import open_store
from audit.verifier.source import Source, SourceError, open_source, state
from audit.verifier.stretch import Known, StretchChecker


@dataclass(frozen=True, slots=True)
class Begin:
    """See the database as it is now, or at a snapshot. Answer: what `state` says of it, or why it cannot be read."""

    url: str
    snapshot: str = ""


@dataclass(frozen=True, slots=True)
class Learn:
    """What is known of the ledger. Answer: None."""

    known: Known


@dataclass(frozen=True, slots=True)
class Check:
    """Check entries. Answer: a `Stretch`."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Integrity:
    """Let the database check itself. Answer: what is wrong, in lines, or a SourceError."""


Task = Check | Integrity


class Worker:
    """One at work."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._open = ExitStack()
        self._source: Source | None = None
        self._checker: StretchChecker | None = None

    def answer(self, message: Any) -> Any:
        """What a message asks for."""
        if isinstance(message, Begin):
            self._open.close()
            try:
                self._source = self._open.enter_context(open_source(open_store(message.url), message.snapshot))
                return state(self._source)
            except SourceError as error:
                return error
        assert self._source is not None, "it has to begin first"
        if isinstance(message, Learn):
            self._checker = StretchChecker(self._source, message.known)
            return None
        if isinstance(message, Integrity):
            try:
                return self._source.broken()
            except SourceError as error:
                return error
        assert self._checker is not None, "it has to know the ledger first"
        return self._checker.check(message.start, message.stop)


def serve(asked: BinaryIO, answers: BinaryIO, answer: Callable[[Any], Any]) -> None:
    """Answer until there is nothing more. An error is an answer, too."""
    while True:
        try:
            message = pickle.load(asked)  # noqa: S301 - from the process that began this one
        except EOFError:
            return
        try:
            reply = (True, answer(message))
        except Exception as error:  # noqa: BLE001 - the other process raises it
            reply = (False, f"{type(error).__name__}: {error}")
        pickle.dump(reply, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def main() -> None:
    """Serve on the standard streams; what anything prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that began this one ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, Worker().answer)
