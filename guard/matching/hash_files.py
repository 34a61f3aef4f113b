"""An index of hashes in a folder: files that are mapped into memory, and one that names them and is replaced last.

    facts.json               what there is, and the SHA-256 of that
    tables-NAME/*.bin        the tables, written once
    changes-NAME/*.bin       what was added and dropped since

Files are bare arrays in the machine's byte order (little-endian); the facts tell their sizes, to the byte.

A reader therefore sees one version or another, never a part, and saving a version again leaves tables that are there already.
Files that are no longer named are deleted; whoever has mapped them keeps them (a POSIX file system does that).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import ModelError
from guard.matching.hash_tables import WORDS, HashTables, forms

if TYPE_CHECKING:
    import numpy as np

FORMAT = {"index": "hamming", "version": 2, "order": sys.byteorder}
_FACTS = "facts.json"
_STALE = 86_400.0
"""Seconds after which files that no version names are taken for left behind by a process that was stopped."""
_TRIES = 3
"""Times that reading starts over because another process has saved meanwhile."""
_AGAIN = "Delete it; it is built again."
_OURS = re.compile(r"(tables|changes)-[0-9a-f]{32}(\.partial)?\Z")

Arrays = dict[str, "np.ndarray[Any, Any]"]
Forms = Mapping[str, tuple[type[Any], tuple[int, ...]]]


class Version(NamedTuple):
    """All that an index of hashes is made of."""

    tables: HashTables
    codes: np.ndarray[Any, Any]
    """Hashes that were added since the tables were built."""
    numbers: np.ndarray[Any, Any]
    """Their works."""
    dropped: np.ndarray[Any, Any]
    """Works whose entries in the tables do not count, ascending."""
    gone: int
    """How many entries these are."""


def write(method: str, folder: Path, version: Version) -> None:
    """Save a version; over another version of the same index or anew."""
    folder.mkdir(parents=True, exist_ok=True)
    home, tables = folder.resolve(), version.tables
    sizes = _sizes(version)
    earlier = _named(home)
    name = tables.copies.get(home, "")
    if not name or not _holds(home / name, _table_forms(sizes)):
        name = _stored(home, "tables", {key: getattr(tables, key) for key in _table_forms(sizes)})
    changes = _stored(home, "changes", {key: getattr(version, key) for key in _change_forms(sizes)})
    facts = {**FORMAT, "method": method, "tables": name, "changes": changes, **sizes}
    partial = home / f"{changes}.partial"
    partial.write_text(json.dumps({**facts, "sha256": _digest(facts)}, indent=1), "utf-8")
    _settle(partial)
    partial.replace(home / _FACTS)
    _settle(home)
    tables.copies[home] = name
    _clear(home, earlier - {name, changes}, {name, changes})


def read(method: str, folder: Path) -> Version:
    """Map a saved version. Raises ModelError."""
    facts = _facts(method, folder)
    for _ in range(_TRIES):
        try:
            return _mapped(method, folder.resolve(), facts)
        except ModelError:
            last, facts = facts, _facts(method, folder)
            if facts == last:
                raise
    return _mapped(method, folder.resolve(), facts)


def _mapped(method: str, home: Path, facts: Mapping[str, Any]) -> Version:
    try:
        tables = HashTables(**_loaded(home / facts["tables"], _table_forms(facts)), copies={home: facts["tables"]})
        return Version(tables, **_loaded(home / facts["changes"], _change_forms(facts)), gone=facts["gone"])
    except (OSError, ValueError) as error:
        raise ModelError(f"the index of {method} cannot be opened: {_told(error)}", advice=_AGAIN) from None


def _sizes(version: Version) -> dict[str, int]:
    return {
        "distinct": len(version.tables.codes),
        "entries": len(version.tables.numbers),
        "added": len(version.numbers),
        "dropped": len(version.dropped),
        "gone": version.gone,
    }


def _table_forms(sizes: Mapping[str, int]) -> Forms:
    return forms(sizes["distinct"], sizes["entries"])


def _change_forms(sizes: Mapping[str, int]) -> Forms:
    import numpy as np

    added, dropped = sizes["added"], sizes["dropped"]
    return {"codes": (np.uint64, (added, WORDS)), "numbers": (np.int32, (added,)), "dropped": (np.int32, (dropped,))}


def _facts(method: str, folder: Path) -> dict[str, Any]:
    """What the folder says it holds. Raises ModelError."""
    try:
        facts: dict[str, Any] = json.loads((folder / _FACTS).read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"the index of {method} cannot be opened: {_told(error)}", advice=_AGAIN) from None
    except ValueError:
        raise ModelError(f"the {_FACTS} of the index of {method} is damaged", advice=_AGAIN) from None
    told = facts.pop("sha256", "") if isinstance(facts, dict) else ""
    if not told or any(facts.get(key) != value for key, value in {**FORMAT, "method": method}.items()):
        raise ModelError(
            f"found an index of another version or method, expected {method} of version {FORMAT['version']}", advice=_AGAIN
        )
    if told != _digest(facts):
        raise ModelError(f"the {_FACTS} of the index of {method} is damaged", advice=_AGAIN)
    return facts


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _told(error: Exception) -> str:
    """An error without the path of a file."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _stored(home: Path, kind: str, arrays: Arrays) -> str:
    """Write arrays to a new folder. Returns its name."""
    name = f"{kind}-{uuid.uuid4().hex}"
    (home / name).mkdir()
    for key, array in arrays.items():
        path = home / name / f"{key}.bin"
        array.tofile(path)
        _settle(path)
    _settle(home / name)
    return name


def _loaded(folder: Path, expected: Forms) -> Arrays:
    """Map arrays into memory. Raises OSError, or ValueError for a file of another size."""
    import numpy as np

    arrays = {}
    for name, (kind, shape) in expected.items():
        path = folder / f"{name}.bin"
        found, wanted = path.stat().st_size, math.prod(shape) * np.dtype(kind).itemsize
        if found != wanted:
            raise ValueError(f"found {found} bytes of {name}, expected {wanted}")
        # An empty file cannot be mapped.
        arrays[name] = np.asarray(np.memmap(path, kind, "r", shape=shape)) if wanted else np.empty(shape, kind)
    return arrays


def _holds(folder: Path, expected: Forms) -> bool:
    """Whether the tables are there, as far as sizes tell."""
    try:
        return bool(_loaded(folder, expected))
    except (OSError, ValueError):
        return False


def _settle(path: Path) -> None:
    """Wait until it is on the disk: what is named last must not arrive first."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _named(home: Path) -> set[str]:
    """The folders that the saved version consists of; none where there is none, or none that can be read."""
    try:
        facts = json.loads((home / _FACTS).read_text("utf-8"))
        return {Path(facts["tables"]).name, Path(facts["changes"]).name}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _clear(home: Path, earlier: set[str], named: set[str]) -> None:
    """Delete the earlier version, and what was left behind long ago, but not what another process may just be writing."""
    for entry in home.iterdir():
        if entry.name in earlier or (entry.name not in named and _OURS.match(entry.name) and _abandoned(entry)):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _abandoned(entry: Path) -> bool:
    try:
        return time.time() - entry.stat().st_mtime > _STALE
    except OSError:
        return False
