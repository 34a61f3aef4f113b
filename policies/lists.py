"""Puts the items of shared lists where `$NAME` stands for them.

An item keeps its place in the list, because that is where its author corrects it; a list that stands where none may is a
mistake at the place of its use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.mistake import Mistakes, Position, describe, one_of
from policies.source import MAX_NODES, Entry, Node

SIGN = "$"
"""A text that begins with it names a list; twice, it stands for itself."""
MAX_DEPTH = 20
"""How deep lists may stand in lists."""
Path = tuple[str | int, ...]
_OWN = ("use", "deadline_ms", "on_failure", "group", "stages", "override")
"""Keys of a check that are words of the language."""


class Lists:
    """The lists of one policy."""

    def __init__(self, root: Node, mistakes: Mistakes) -> None:
        self._entries = root.entries["lists"].node.entries if "lists" in root.entries else {}
        self._mistakes = mistakes
        self._known: dict[str, list[Node] | None] = {}
        self._put = 0
        self._failures = 0
        self._used: set[str] = set()
        for name in self._entries:
            self._items(name, ())

    def resolve(self, root: Node) -> tuple[Node, set[Path]]:
        """The policy with the items in it, and the paths of the parts that name a list which cannot be."""
        broken: set[Path] = set()
        entries = dict(root.entries)
        for key, parts in (("applies_to", ()), ("checks", None), ("rules", ("when",)), ("exceptions", ("when", "rules"))):
            if key in entries:
                entries[key] = Entry(entries[key].at, self._section(key, entries[key].node, parts, broken))
        return Node(root.at, entries, root.size), broken

    def unused(self) -> tuple[tuple[str, Position], ...]:
        """Lists that nothing names, with their places."""
        return tuple((name, entry.at) for name, entry in self._entries.items() if name not in self._used)

    def _section(self, key: str, node: Node, parts: tuple[str, ...] | None, broken: set[Path]) -> Node:
        if key == "applies_to":
            return self._part((key,), node, broken)
        if isinstance(node.value, dict):
            made = {name: Entry(one.at, self._keys((key, name), one.node, parts, broken)) for name, one in node.entries.items()}
            return Node(node.at, made, node.size)
        if isinstance(node.value, list):
            items = [self._keys((key, index), one, parts, broken) for index, one in enumerate(node.items)]
            return Node(node.at, items, node.size)
        return node

    def _keys(self, path: Path, node: Node, parts: tuple[str, ...] | None, broken: set[Path]) -> Node:
        """A rule, an exception or a check with its lists resolved, in `parts` of it; None: in a check's own parameters."""
        if not isinstance(node.value, dict):
            return node
        chosen = [key for key in node.value if (key not in _OWN if parts is None else key in parts)]
        made = {key: Entry(node.value[key].at, self._part(path, node.value[key].node, broken)) for key in chosen}
        return Node(node.at, {**node.value, **made}, node.size)

    def _part(self, path: Path, node: Node, broken: set[Path]) -> Node:
        before = self._failures
        made = self._expand(node)
        if self._failures > before:
            broken.add(path)
        return made

    def _expand(self, node: Node) -> Node:
        if isinstance(node.value, dict):
            return Node(node.at, {key: Entry(one.at, self._expand(one.node)) for key, one in node.value.items()}, node.size)
        if isinstance(node.value, list):
            return Node(node.at, [made for one in node.value for made in self._spliced(one, ())], node.size)
        if _refers(node.value):
            found = self._named(node, ())
            return node if found is None else Node(node.at, found, node.size)
        return _plain(node)

    def _spliced(self, node: Node, within: tuple[str, ...]) -> Iterator[Node]:
        """An item of a list: itself, or the items of the list that it names."""
        if not _refers(node.value):
            yield self._expand(node)
            return
        found = self._named(node, within)
        yield from [node] if found is None else found

    def _named(self, node: Node, within: tuple[str, ...]) -> list[Node] | None:
        """The items of the list that a text names; None, with what is wrong noted, when it cannot be."""
        name = node.value[len(SIGN) :]
        self._used.add(name)
        found = self._items(name, within) if self._usable(name, node, within) else None
        self._put += len(found or ())
        if self._put > MAX_NODES:
            self._mistakes.add(node.at, f"lists that put in more than {MAX_NODES} texts", "fewer, or shorter ones")
            found = None
        if found is None:  # whatever else is wrong here follows from it
            self._mistakes.settle(node.at)
            self._failures += 1
        return found

    def _usable(self, name: str, node: Node, within: tuple[str, ...]) -> bool:
        if name not in self._entries:
            hint = self._mistakes.closest(name, self._entries)
            expected = f"{one_of(self._entries)}; a text that begins with a dollar sign is written with two of them"
            self._mistakes.add(node.at, f"the list {describe(name)}", expected, hint)
        elif name in within:
            chain = " -> ".join((*within[within.index(name) :], name))
            self._mistakes.add(node.at, f"the list {name!r} inside itself ({chain})", "lists that do not lead back")
        elif len(within) > MAX_DEPTH:
            self._mistakes.add(node.at, f"lists nested more than {MAX_DEPTH} deep", "flatter lists")
        else:
            return True
        return False

    def _items(self, name: str, within: tuple[str, ...]) -> list[Node] | None:
        """The items of a list; None when it has mistakes."""
        if name not in self._known:
            node, before = self._entries[name].node, self._failures
            given = node.items or ([node] if isinstance(node.value, str) else [])
            items = [made for one in given for made in self._spliced(one, (*within, name))]
            sound = items and self._failures == before and all(isinstance(one.value, str) and one.value for one in items)
            self._known[name] = items if sound else None
        return self._known[name]


def _refers(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(SIGN) and not value.startswith(SIGN * 2)


def _plain(node: Node) -> Node:
    """A text that begins with two dollar signs stands for the one that begins with one."""
    doubled = isinstance(node.value, str) and node.value.startswith(SIGN * 2)
    return Node(node.at, node.value[len(SIGN) :], node.size) if doubled else node
