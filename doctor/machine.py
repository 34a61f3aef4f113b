"""Processor, memory, GPU, disk and clock."""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from audit.stores import open_store
from doctor.finding import Finding, ok, warning
from guard.errors import LedgerError
from serving.settings import Settings

PART = "machine"
FLUSHES = 20
"""How often the disk is asked to flush; the median counts."""
SLOW_MS = 20.0
"""Each commit waits for one flush: a disk slower than that holds every answer up."""
SMALL = 2 * 2**30
"""Bytes. All bundled models together, once loaded, with room for requests."""
FREE = 2**30
"""Bytes that should be free on the ledger's disk."""
_UNSYNCED = 0x0040
"""STA_UNSYNC of adjtimex(2)."""
_ERROR = 5
"""TIME_ERROR of adjtimex(2)."""


def look(settings: Settings) -> Iterator[Finding]:
    """What this machine has."""
    cores = len(os.sched_getaffinity(0))
    yield ok(PART, "processor", f"{cores} cores that this process may use", cores=cores)
    yield _memory()
    yield _device()
    folder = _folder(settings)
    if folder is not None:
        yield _room(folder)
        yield _flush(folder)
    yield _clock()


def _memory() -> Finding:
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    said = Path("/proc/meminfo")
    if said.is_file():  # what could be freed counts too
        for line in said.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup/memory.max")
    if group.is_file() and (limit := group.read_text("ascii").strip()).isdigit():
        available = min(available, int(limit))
    found = f"{available / 2**30:.1f} GiB available"
    if available < SMALL:
        advice = f"Give it {SMALL / 2**30:.0f} GiB, or name fewer checks in the policy."
        return warning(PART, "memory", found, advice, available_bytes=available)
    return ok(PART, "memory", found, available_bytes=available)


def _device() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return ok(PART, "device", f"CPU (PyTorch {torch.__version__}, no CUDA device)", cuda=0)
    count = torch.cuda.device_count()
    free, total = torch.cuda.mem_get_info(0)
    found = f"{count} x {torch.cuda.get_device_name(0)}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free on the first"
    return ok(PART, "device", found, cuda=count, free_bytes=free, total_bytes=total)


def _folder(settings: Settings) -> Path | None:
    """Where the ledger's file lies, or would; None for a server's."""
    try:
        path = open_store(settings.ledger).path
    except LedgerError:
        return None  # the look at the ledger says so
    return path.parent if path is not None and path.parent.is_dir() else None


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < FREE:
        return warning(PART, "disk space", found, "A full disk stops the ledger, and with it every answer.", free_bytes=free)
    return ok(PART, "disk space", found, free_bytes=free)


def _flush(folder: Path) -> Finding:
    """How long this disk takes to make a page durable: the floor of what an answer waits for its entry."""
    took = []
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".genguard-doctor-") as stream:
            for _ in range(FLUSHES):
                stream.write(os.urandom(8192))
                stream.flush()
                began = time.perf_counter()
                os.fsync(stream.fileno())
                took.append((time.perf_counter() - began) * 1000)
    except OSError as error:
        why = error.strerror or type(error).__name__
        return warning(PART, "disk speed", f"cannot write in {folder}: {why}", "The ledger's folder has to be writable.")
    median = statistics.median(took)
    found = f"{median:.1f} ms a flush, median of {FLUSHES} (slowest {max(took):.1f} ms)"
    facts = {"flush_ms": round(median, 3), "slowest_ms": round(max(took), 3)}
    if median > SLOW_MS:
        return warning(PART, "disk speed", found, "Put the ledger on a local disk: every commit waits for a flush.", **facts)
    return ok(PART, "disk speed", found, **facts)


def _clock() -> Finding:
    """Whether the kernel holds the clock for synchronised, as adjtimex(2) tells without any right."""
    advice = "Run a time service (chrony, systemd-timesyncd): entries and checkpoints carry this machine's time."
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "adjtimex"):
        return warning(PART, "clock", "whether it is synchronised cannot be told here", advice)
    told = ctypes.create_string_buffer(512)  # struct timex; modes = 0 reads
    state = library.adjtimex(told)
    if state < 0:
        return warning(PART, "clock", "whether it is synchronised cannot be told here", advice)
    status = ctypes.c_int.from_buffer(told, 5 * ctypes.sizeof(ctypes.c_long)).value
    if state == _ERROR or status & _UNSYNCED:
        return warning(PART, "clock", "the kernel holds it for not synchronised", advice)
    return ok(PART, "clock", "synchronised")
