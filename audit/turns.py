"""How long a thread waits for Python's lock while it holds the database's.

Python lets a thread that computes go on for 5 ms before another one gets its turn, and the writer needs a turn after each of
its statements. Of a commit that keeps other processes waiting, half was waiting of that kind. So while a commit runs, and for
no longer, turns are short.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SHORT_S = 0.0002
"""What the writer computes between two statements takes about as long; to wake a thread takes 50 us."""

_lock = threading.Lock()
_running = 0
_before = 0.0


@contextmanager
def short_turns() -> Iterator[None]:
    """Short turns for all threads of the process, until every block like this is left."""
    global _running, _before  # noqa: PLW0603 - the setting is one a process
    with _lock:
        if not _running:
            _before = sys.getswitchinterval()
            if _before > SHORT_S:
                sys.setswitchinterval(SHORT_S)
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running and _before > SHORT_S and abs(sys.getswitchinterval() - SHORT_S) < SHORT_S / 2:
                sys.setswitchinterval(_before)  # unless somebody has set another meanwhile
