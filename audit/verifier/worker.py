"""A process of the verifier: it holds one state of the database and checks the stretches that it is given.

It is told what to do on its standard input, by the process that began it, and answers on its standard output
(`audit.verifier.wire`). It opens the database itself, read-only, and ends when its input does.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO

from audit.sqlite_file import one_thread_each
from audit.verifier.source import Source, SourceError, open_file, state
from audit.verifier.stretch import StretchChecker
from audit.verifier.wire import (
    Answer,
    Begin,
    Check,
    Checked,
    Done,
    Failed,
    Learn,
    Lines,
    Message,
    Seen,
    Unreadable,
    next_message,
    send,
)

_OBJECTS = 100_000
"""Objects after which Python looks for cycles: rows and bodies have none, and come by thousands."""


class Worker:
    """One at work."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._open = ExitStack()
        self._source: Source | None = None
        self._checker: StretchChecker | None = None

    def answer(self, message: Message) -> Answer:
        """What a message asks for."""
        try:
            if isinstance(message, Begin):
                self._open.close()
                self._source = self._open.enter_context(_opened(message))
                return Seen(state(self._source))
            assert self._source is not None, "it has to begin first"
            if isinstance(message, Learn):
                self._checker = StretchChecker(self._source, message.known)
                return Done()
            if isinstance(message, Check):
                assert self._checker is not None, "it has to know the ledger first"
                return Checked(self._checker.check(message.start, message.stop))
            return Lines(self._source.broken())
        except SourceError as error:
            return Unreadable(str(error))


def _opened(message: Begin) -> AbstractContextManager[Source]:
    if message.file:
        return open_file(Path(message.file), mapped=True)
    from audit.stores import open_store
    from audit.verifier.postgres import open_server

    return open_server(open_store(message.url), message.snapshot)


def serve(asked: IO[bytes], answers: IO[bytes], answer: Callable[[Message], Answer]) -> None:
    """Answer until there is nothing more. An error is an answer, too."""
    while (message := next_message(asked)) is not None:
        try:
            send(answers, answer(message))
        except Exception as error:  # noqa: BLE001 - the other process raises it
            send(answers, Failed(f"{type(error).__name__}: {error}"))


def main() -> None:
    """Serve on the standard streams; what anything prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that began this one ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    one_thread_each()
    gc.set_threshold(_OBJECTS)
    serve(sys.stdin.buffer, answers, Worker().answer)
