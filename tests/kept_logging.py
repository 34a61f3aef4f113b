"""The process's logging, changed for a while and then as it was."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def _loggers() -> dict[str, logging.Logger]:
    return {name: one for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)}


@contextmanager
def kept_logging() -> Iterator[None]:
    """Whatever is configured in here is undone."""
    root, hooks = logging.getLogger(), (threading.excepthook, sys.unraisablehook)
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    known = {name: (list(one.handlers), one.propagate, one.disabled) for name, one in _loggers().items()}
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        logging.raiseExceptions = raising
        logging.captureWarnings(False)
        threading.excepthook, sys.unraisablehook = hooks
        for name, one in _loggers().items():
            one.handlers[:], one.propagate, one.disabled = known.get(name, ([], True, False))
