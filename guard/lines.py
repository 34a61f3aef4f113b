"""A bounded queue that is fair: a line for each tenant, served in turns, and like taken with like.

Every second batch begins with the tenant whose turn it is, and every second one with whatever has waited longest: so neither a
flood nor a kind that few ask for makes anybody wait for ever. Within a batch each tenant is served once a round.

Whoever floods it fills a line of their own. When there is no room, the longest line gives way: its newest entries make place
for those of others, so that nobody is refused for what somebody else sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What stands in a line."""

    @property
    def tenant(self) -> str:
        """Whose line."""

    @property
    def kind(self) -> Hashable:
        """What it is alike to: only entries of one kind are taken together."""


W = TypeVar("W", bound=Waiting)
_Numbered = tuple[int, W]


class Full(Exception):  # noqa: N818 - a state of the queue, told to whoever adds
    """There is no room, and nobody has more waiting than the one who asks."""


class _Line(Generic[W]):
    """What one tenant has waiting, by kind."""

    def __init__(self) -> None:
        self.kinds: dict[Hashable, deque[_Numbered[W]]] = {}
        self.size = 0

    def add(self, number: int, entry: W) -> None:
        self.kinds.setdefault(entry.kind, deque()).append((number, entry))
        self.size += 1

    def age(self) -> int:
        """The number of the entry that came first."""
        return min(entries[0][0] for entries in self.kinds.values())

    def oldest(self) -> Hashable:
        """The kind of the entry that came first."""
        return min(self.kinds, key=lambda kind: self.kinds[kind][0][0])

    def newest(self) -> Hashable:
        return max(self.kinds, key=lambda kind: self.kinds[kind][-1][0])

    def pop(self, kind: Hashable, *, last: bool = False) -> W:
        entries = self.kinds[kind]
        _, entry = entries.pop() if last else entries.popleft()
        self._left(kind)
        return entry

    def remove(self, entry: W) -> None:
        """Raises ValueError when it is not there."""
        entries = self.kinds.get(entry.kind, deque())
        at = next((at for at, (_, one) in enumerate(entries) if one is entry), None)
        if at is None:
            raise ValueError("it does not wait here")
        del entries[at]
        self._left(entry.kind)

    def _left(self, kind: Hashable) -> None:
        self.size -= 1
        if not self.kinds[kind]:
            del self.kinds[kind]


class Lines(Generic[W]):
    """The lines of all tenants. Not safe for several threads at once: its owner has the lock."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line[W]] = {}  # in the order of their turns
        self._rounds: dict[str, None] = {}  # the same tenants, in the order in which a batch takes from them
        self._count = 0
        self._number = 0
        self._by_age = False

    def __len__(self) -> int:
        """Entries that wait."""
        return self._count

    def __iter__(self) -> Iterator[W]:
        """All that wait, in no order that means anything."""
        return (entry for line in self._lines.values() for entries in line.kinds.values() for _, entry in entries)

    def add(self, entries: Sequence[W], most: int) -> list[W]:
        """Let entries of one tenant wait, all or none of them; return those that had to give way to them.

        `most`: how many may wait altogether; more than that at once are taken while nobody waits. Raises Full.
        """
        tenant = entries[0].tenant
        given_way = self._make_room(tenant, len(entries), most)
        line = self._lines.setdefault(tenant, _Line())
        self._rounds.setdefault(tenant)
        for entry in entries:
            self._number += 1
            line.add(self._number, entry)
        self._count += len(entries)
        return given_way

    def _make_room(self, tenant: str, count: int, most: int) -> list[W]:
        over = self._count + count - most
        if over <= 0 or not self._count:
            return []
        own = self._lines[tenant].size if tenant in self._lines else 0
        sizes = {name: line.size for name, line in self._lines.items() if name != tenant}
        taken: dict[str, int] = {}
        for _ in range(over):  # before anything is taken away, see that it is enough
            longest = max(sizes, key=sizes.__getitem__, default=None)
            if longest is None or sizes[longest] <= own + count:
                raise Full
            sizes[longest] -= 1
            taken[longest] = taken.get(longest, 0) + 1
        return [self._pop(name, self._lines[name].newest(), last=True) for name, n in taken.items() for _ in range(n)]

    def first(self) -> W | None:
        """Take the oldest entry of all, or of the tenant whose turn it is, by turns; None when nothing waits."""
        if not self._lines:
            return None
        by_age, self._by_age = self._by_age, not self._by_age
        tenant = min(self._lines, key=lambda name: self._lines[name].age()) if by_age else next(iter(self._lines))
        entry = self._serve(tenant, self._lines[tenant].oldest())
        if tenant in self._lines:
            self._lines[tenant] = self._lines.pop(tenant)
        return entry

    def like(self, kind: Hashable) -> W | None:
        """Take the oldest entry of a kind from the next tenant that has one; None when nobody does."""
        tenant = next((name for name in self._rounds if kind in self._lines[name].kinds), None)
        return None if tenant is None else self._serve(tenant, kind)

    def remove(self, entry: W) -> None:
        """Take an entry out. Raises ValueError when it is not there."""
        line = self._lines.get(entry.tenant)
        if line is None:
            raise ValueError("it does not wait here")
        line.remove(entry)
        self._count -= 1
        self._drop_empty(entry.tenant)

    def discard(self, entries: Collection[W]) -> None:
        """Take out those of the entries that are there."""
        for entry in entries:
            try:
                self.remove(entry)
            except ValueError:
                continue

    def _serve(self, tenant: str, kind: Hashable) -> W:
        """Take from a line, which is then the last of its round."""
        entry = self._pop(tenant, kind)
        if tenant in self._lines:
            self._rounds[tenant] = self._rounds.pop(tenant)
        return entry

    def _pop(self, tenant: str, kind: Hashable, *, last: bool = False) -> W:
        line = self._lines[tenant]
        entry = line.pop(kind, last=last)
        self._count -= 1
        self._drop_empty(tenant)
        return entry

    def _drop_empty(self, tenant: str) -> None:
        if not self._lines[tenant].size:
            del self._lines[tenant], self._rounds[tenant]
