"""Which models are in memory: loaded when they are first needed, freed when asked to, and never more than a limit allows.

    RESIDENCY.limit(2)                     # at most two models stay, the ones that were used last
    slot = Slot(lambda: load("folder"))
    with slot.use() as model: ...          # a model in use is never freed

Where all models that are resident are in use, one more is loaded all the same, and one is freed as soon as it can be.
"""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Residency:
    """A limit that many slots share."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: models that stay in memory; None: without a limit."""
        self._most = most
        self._lock = threading.Lock()
        self._clock = itertools.count()
        self._slots: weakref.WeakSet[Slot[Any]] = weakref.WeakSet()

    @property
    def resident(self) -> int:
        """Models in memory."""
        with self._lock:
            return sum(slot.held for slot in self._slots)

    def limit(self, most: int | None) -> None:
        """Change the limit; what is over it and not in use is freed."""
        with self._lock:
            self._most = most
            freed = self._trim()
        _collect(freed)

    def enter(self, slot: Slot[Any]) -> None:
        """A slot is being used: make room for its model, and let it stay."""
        with self._lock:
            self._slots.add(slot)
            slot.users += 1
            slot.used = next(self._clock)
            freed = self._trim(coming=not slot.held)
        _collect(freed)

    def leave(self, slot: Slot[Any]) -> None:
        """It no longer is."""
        with self._lock:
            slot.users -= 1
            freed = slot.drop() if slot.leaving and not slot.users else False
            freed = self._trim() or freed
        _collect(freed)

    def free(self, slot: Slot[Any]) -> None:
        """Free a slot's model, now or when nobody uses it any more."""
        with self._lock:
            slot.leaving = slot.held or bool(slot.users)
            freed = slot.drop() if not slot.users else False
        _collect(freed)

    def _trim(self, *, coming: bool = False) -> bool:
        """Free those that were not used for longest; whether any was."""
        if self._most is None:
            return False
        held = [slot for slot in self._slots if slot.held]
        idle = sorted((slot for slot in held if not slot.users), key=lambda slot: slot.used)
        over = len(held) + coming - self._most
        return [slot.drop() for slot in idle[: max(0, over)]] != []


RESIDENCY = Residency()
"""The limit of this process; without one until the settings set it."""


class Slot(Generic[T]):
    """A place for one model, which is made when it is first needed, whichever thread needs it."""

    def __init__(self, make: Callable[[], T], residency: Residency = RESIDENCY) -> None:
        """`make` may raise: the next one to ask tries again."""
        self._make, self._residency = make, residency
        self._lock = threading.Lock()
        self._made: list[T] = []
        self.users = 0
        """How many use it now. This and what follows belongs to the residency."""
        self.used = 0
        self.leaving = False

    @property
    def held(self) -> bool:
        """Whether its model is in memory."""
        return bool(self._made)

    @contextmanager
    def use(self) -> Iterator[T]:
        """The model, which stays as long as this lasts. Raises what making it raises."""
        self._residency.enter(self)
        try:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
                made = self._made[0]
            yield made
        finally:
            self._residency.leave(self)

    def get(self) -> T:
        """The model, for a moment: it may be freed afterwards. Raises what making it raises."""
        with self.use() as made:
            return made

    def free(self) -> None:
        """Free the model's memory, now or when nobody uses it any more. It is made again when it is needed again."""
        self._residency.free(self)

    def drop(self) -> bool:
        """Forget the model; whether there was one. For the residency alone."""
        self.leaving = False
        held = self.held
        self._made.clear()
        return held


def _collect(freed: bool) -> None:
    """Networks refer to themselves: what was forgotten is gone only after a collection."""
    if not freed:
        return
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
