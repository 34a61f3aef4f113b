"""What does not come between while a thread holds the database's lock: other threads for long, and Python's collector.

Python lets a thread that computes go on for 5 ms before another one gets its turn, and the writer needs a turn after each of
its statements. Of a commit that keeps other processes waiting, half was waiting of that kind. So while a commit runs, and for
no longer, turns are short.

Nor is a search for garbage due then: in a large process it takes longer than the commit, and the objects of a group, which all
live until it is answered, set off several in vain.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SHORT_S = 0.0002
"""What the writer computes between two statements takes about as long; to wake a thread takes 50 us."""

_lock = threading.Lock()
_running = 0
_before = 0.0
_groups = 0
_collecting = False


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


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for garbage in this process until every block like this is left; what is without cycles goes all the same."""
    global _groups, _collecting  # noqa: PLW0603 - the setting is one a process
    with _lock:
        if not _groups:
            _collecting = gc.isenabled()
            gc.disable()
        _groups += 1
    try:
        yield
    finally:
        with _lock:
            _groups -= 1
            if not _groups and _collecting:
                gc.enable()
