"""Exact search for hashes within a number of differing bits."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from guard.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

BITS = 256
_CHUNK = 1 << 18
"""Rows compared at once, so that a scan of millions needs little memory."""
_AGAIN = "Delete it; it is built again."


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry within the radius of a query."""

    number: int
    """Of the work."""
    distance: int
    """Differing bits."""
    query: int
    """Which of the queries it is near to: the nearest one."""


class HammingIndex:
    """Hashes of 256 bits, compared one by one. Satisfies `guard.matching.snapshot.WorkIndex`."""

    def __init__(self, method: str, codes: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any]) -> None:
        """`codes`: (entries, 4) unsigned 64-bit words; `numbers`: (entries,) work numbers."""
        self.method = method
        self._codes = codes
        self._numbers = numbers

    @classmethod
    def empty(cls, method: str) -> Self:
        import numpy as np

        return cls(method, np.empty((0, BITS // 64), np.uint64), np.empty(0, np.int32))

    @classmethod
    def open(cls, method: str, folder: Path) -> Self:
        import numpy as np

        try:
            facts = json.loads((folder / "facts.json").read_text("utf-8"))
            codes, numbers = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("codes", "numbers"))
        except (OSError, ValueError) as error:
            raise ModelError(
                f"the index of {method} cannot be opened: {error}", advice="Delete it; it is built again."
            ) from None
        if facts != {"index": "hamming", "version": 1, "entries": len(numbers)} or len(codes) != len(numbers):
            raise ModelError(f"the index of {method} is of another version or damaged", advice=_AGAIN)
        return cls(method, codes, numbers)

    def save(self, folder: Path) -> None:
        import numpy as np

        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        np.save(partial / "codes.npy", self._codes)
        np.save(partial / "numbers.npy", self._numbers)
        facts = {"index": "hamming", "version": 1, "entries": len(self._numbers)}
        (partial / "facts.json").write_text(json.dumps(facts), "utf-8")
        partial.replace(folder)

    def extended(self, entries: Iterable[tuple[int, bytes]]) -> Self:
        import numpy as np

        numbers, codes = [], []
        for number, data in entries:
            if len(data) != BITS // 8:
                raise ModelError(f"work {number} has a {self.method} of {len(data)} bytes, expected {BITS // 8}")
            numbers.append(number)
            codes.append(data)
        added = np.frombuffer(b"".join(codes), np.uint64).reshape(-1, BITS // 64)
        return type(self)(
            self.method,
            np.concatenate([self._codes, added]),
            np.concatenate([self._numbers, np.array(numbers, np.int32)]),
        )

    def without(self, numbers: Collection[int]) -> Self:
        import numpy as np

        kept = ~np.isin(self._numbers, np.fromiter(numbers, np.int32))
        return type(self)(self.method, self._codes[kept], self._numbers[kept])

    def compacted(self) -> Self:
        return self

    @property
    def pending(self) -> int:
        return 0

    def __len__(self) -> int:
        return len(self._numbers)

    def search(self, queries: Sequence[bytes], radius: int) -> list[Hit]:
        """Every work within `radius` bits of any query, nearest first, each work once with its nearest query.

        `queries`: 32 bytes each, for instance the orientations of one picture.
        """
        import numpy as np

        best: dict[int, Hit] = {}
        for which, query in enumerate(queries):
            wanted = np.frombuffer(query, np.uint64)
            for start in range(0, len(self._numbers), _CHUNK):
                rows = self._codes[start : start + _CHUNK]
                distances = np.bitwise_count(rows ^ wanted).sum(axis=1, dtype=np.int64)
                for row in np.flatnonzero(distances <= radius):
                    number, distance = int(self._numbers[start + row]), int(distances[row])
                    if number not in best or distance < best[number].distance:
                        best[number] = Hit(number, distance, which)
        return sorted(best.values(), key=lambda hit: (hit.distance, hit.number))
