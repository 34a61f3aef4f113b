"""Which models are in memory: loaded when they are first needed, freed when asked to, and never more than a limit allows.

    RESIDENCY.limit(2)                     # at most two models stay, the ones that were used last
    RESIDENCY.limit(size=8 << 30)          # and at most 8 GiB of weights on each device
    slot = Slot(lambda: load("folder"))
    with slot.use() as model: ...          # a model in use is never freed

Where all models that are resident are in use, one more is loaded all the same, and one is freed as soon as it can be. What a
model takes is known when it was loaded once: then room for it is made before, the first time right after.
"""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Residency:
    """A limit that many slots share."""

    def __init__(self, most: int | None = None, size: int | None = None) -> None:
        """`most`: models that stay in memory; `size`: bytes of their weights on each device; None: without a limit."""
        self._most, self._size = most, size
        self._lock = threading.Lock()
        self._clock = itertools.count()
        self._slots: weakref.WeakSet[Slot[Any]] = weakref.WeakSet()

    @property
    def resident(self) -> int:
        """Models in memory."""
        with self._lock:
            return sum(slot.held for slot in self._slots)

    @property
    def taken(self) -> dict[str, int]:
        """Bytes of the weights in memory, by device."""
        with self._lock:
            return dict(self._taken())

    def limit(self, most: int | None = None, size: int | None = None) -> None:
        """Change the limits; what is over one and not in use is freed."""
        with self._lock:
            self._most, self._size = most, size
            freed = self._trim()
        _collect(freed)

    def enter(self, slot: Slot[Any]) -> None:
        """A slot is being used: make room for its model, and let it stay."""
        with self._lock:
            self._slots.add(slot)
            slot.users += 1
            slot.used = next(self._clock)
            freed = self._trim(None if slot.held else slot)
        _collect(freed)

    def made(self, slot: Slot[Any], sizes: Mapping[str, int]) -> None:
        """Its model was made, and takes so many bytes of each device."""
        with self._lock:
            slot.sizes = dict(sizes)
            freed = self._trim()
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

    def _taken(self, coming: Slot[Any] | None = None) -> Counter[str]:
        found: Counter[str] = Counter()
        for slot in self._slots:
            if slot.held or slot is coming:
                found.update(slot.sizes)
        return found

    def _trim(self, coming: Slot[Any] | None = None) -> bool:
        """Free those that were not used for longest, so that a model that is coming has room; whether any was."""
        held = [slot for slot in self._slots if slot.held]
        over = 0 if self._most is None else len(held) + (coming is not None) - self._most
        full = {} if self._size is None else {device: size - self._size for device, size in self._taken(coming).items()}
        freed = False
        for slot in sorted((slot for slot in held if not slot.users), key=lambda slot: slot.used):
            if over > 0 or any(full[device] > 0 for device in slot.sizes if slot.sizes[device] and full):
                over -= 1
                full = {device: size - slot.sizes.get(device, 0) for device, size in full.items()}
                freed = slot.drop() or freed
        return freed


RESIDENCY = Residency()
"""The limit of this process; without one until the settings set it."""


class Slot(Generic[T]):
    """A place for one model, which is made when it is first needed, whichever thread needs it."""

    def __init__(
        self,
        make: Callable[[], T],
        residency: Residency = RESIDENCY,
        *,
        sizes: Callable[[T], Mapping[str, int]] = lambda _made: {},
    ) -> None:
        """`make` may raise: the next one to ask tries again. `sizes`: bytes that what was made takes, by device."""
        self._make, self._measure, self._residency = make, sizes, residency
        self._lock = threading.Lock()
        self._made: list[T] = []
        self.users = 0
        """How many use it now. This and what follows belongs to the residency."""
        self.used = 0
        self.leaving = False
        self.sizes: dict[str, int] = {}
        """Bytes by device, from the first time that its model was made."""

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
                    self._residency.made(self, self._measure(self._made[0]))
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


def weights(*modules: Any) -> dict[str, int]:
    """Bytes of the parameters and buffers of PyTorch modules, by device, each counted once; other things count nothing."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    for module in modules:
        if not hasattr(module, "parameters") or not hasattr(module, "buffers"):
            continue
        for tensor in (*module.parameters(), *module.buffers()):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                found[str(tensor.device)] += tensor.numel() * tensor.element_size()
    return dict(found)


def _collect(freed: bool) -> None:
    """Networks refer to themselves: what was forgotten is gone only after a collection."""
    if not freed:
        return
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
