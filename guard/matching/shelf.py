"""Arrays in a folder: written whole or not at all, opened by memory map, damage noticed."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

_WHOLE = 1 << 28
"""Files up to this many bytes are read whole for their checksum, larger ones at both ends: opening stays quick."""
_END = 1 << 20
_AGAIN = "Delete it; it is built again."


def write(folder: Path, kind: str, version: int, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Write one-dimensional arrays and facts (JSON); a reader sees the old folder or the new one, never a part."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    old = folder.with_name(f"{folder.name}.{os.getpid()}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    files = {}
    for name, array in arrays.items():
        path = partial / f"{name}.bin"
        array.tofile(path)
        files[name] = {"type": array.dtype.str, "size": len(array), "sum": _checksum(path)}
    text = json.dumps({"index": kind, "version": version, "files": files, "facts": dict(facts)}, sort_keys=True)
    (partial / "facts.json").write_text(f"{zlib.crc32(text.encode()):08x}{text}", "utf-8")
    if folder.exists():
        folder.replace(old)
    partial.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def read(folder: Path, kind: str, version: int) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """The arrays, memory-mapped, and the facts. Raises ModelError when it is missing, damaged or of another version."""
    import numpy as np

    try:
        text = (folder / "facts.json").read_text("utf-8")
        found = json.loads(text[8:])
        _expect(text[:8] == f"{zlib.crc32(text[8:].encode()):08x}", "its facts are not what was written")
        other = f"found {found['index']} version {found['version']}, expected {kind} version {version}"
        _expect((found["index"], found["version"]) == (kind, version), other)
        arrays = {}
        for name, file in found["files"].items():
            path, kept = folder / f"{name}.bin", np.dtype(file["type"])
            whole = path.stat().st_size == kept.itemsize * file["size"] and _checksum(path) == file["sum"]
            _expect(whole, f"{path.name} is not what was written")
            mapped = np.memmap(path, kept, "r") if file["size"] else np.empty(0, kept)
            arrays[name] = np.asarray(mapped)
        return arrays, found["facts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the index {folder.name} cannot be opened: {error}", advice=_AGAIN) from None


def _expect(so: bool, otherwise: str) -> None:
    if not so:
        raise ValueError(otherwise)


def _checksum(path: Path) -> int:
    size = path.stat().st_size
    value = 0
    with path.open("rb") as stream:
        ends = [(0, size)] if size <= _WHOLE else [(0, _END), (size - _END, size)]
        for start, end in ends:
            stream.seek(start)
            while block := stream.read(min(_END, end - stream.tell())):
                value = zlib.crc32(block, value)
    return value
