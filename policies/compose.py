"""Puts what a policy file extends under it, and the items of shared lists in their places: on nodes, which know theirs."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from policies.lists import Lists
from policies.lists import Path as Steps
from policies.load import PACK_NAME, PACKS, decode, packs
from policies.merge import changes_parent, merge, together
from policies.mistake import Mistakes, Position, describe, listed
from policies.source import MAX_BYTES, Node, read

MAX_PARENTS = 8
"""How long a chain of files that extend one another may be."""
MAX_FILES = 32
"""How many files may make up one policy."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A policy file with all that it extends and all lists in it."""

    root: Node
    broken: frozenset[Steps]
    """Parts that name a list which cannot be: nothing more is said of them."""
    unused: tuple[tuple[str, Position], ...]
    """Lists that nothing names."""


def compose(root: Node, mistakes: Mistakes, folder: Path | None) -> Composed:
    """Resolve `extends` and `lists`. `folder`: where paths of parents begin; None: only packs may be extended.

    Raises PolicyFileError when parents cannot be put together, since nothing sensible could be said of the rest.
    """
    whole = _Parents(mistakes).under(root, folder, (mistakes.file,))
    lists = Lists(whole, mistakes)
    made, broken = lists.resolve(whole)
    return Composed(made, frozenset(broken), lists.unused())


@dataclass(slots=True)
class _Parents:
    """Reads parents, each once."""

    mistakes: Mistakes
    known: dict[str, Node | None] = field(default_factory=dict)

    def under(self, root: Node, folder: Path | None, chain: tuple[str, ...]) -> Node:
        """The file with its parents under it. Raises PolicyFileError where they cannot be put together."""
        if "extends" not in root.entries and not changes_parent(root):
            return root
        before = len(self.mistakes)
        named = [(one, self._parent(one, folder, chain)) for one in self._named(root)]
        base = together([(one.at, parent) for one, parent in named if parent is not None], self.mistakes)
        if len(self.mistakes) > before:
            self.mistakes.raise_if_any()
        whole = merge(root, base, self.mistakes)
        if len(self.mistakes) > before:
            self.mistakes.raise_if_any()
        return whole

    def _named(self, root: Node) -> Iterator[Node]:
        if "extends" not in root.entries:
            return
        node = root.entries["extends"].node
        for one in node.items or [node]:
            if isinstance(one.value, str) and one.value:
                yield one
            else:
                expected = "the name of a pack, the path of a file, or a list of these"
                self.mistakes.add(one.at, f"{one.describe()} for 'extends'", expected)

    def _parent(self, node: Node, folder: Path | None, chain: tuple[str, ...]) -> Node | None:
        path = self._path(node, folder)
        if path is None:
            return None
        shown, key = str(path), _identity(path)
        if key in map(_identity, map(Path, chain)):
            way = " -> ".join((*chain[1:], shown)) if len(chain) > 1 else shown
            self.mistakes.add(node.at, f"{describe(node.value)}, which extends itself ({way})", "parents that do not lead back")
            return None
        if key in self.known:
            return self.known[key]
        if len(chain) > MAX_PARENTS or len(self.known) >= MAX_FILES:
            limits = f"at most {MAX_PARENTS} in a row and {MAX_FILES} in all"
            self.mistakes.add(node.at, f"too many files that extend one another at {describe(node.value)}", limits)
            return None
        self.known[key] = made = self._read(node, path, (*chain, shown))
        return made

    def _path(self, node: Node, folder: Path | None) -> Path | None:
        name: str = node.value
        if PACK_NAME.fullmatch(name):
            if name in packs():
                return PACKS / f"{name}.yaml"
            expected = f"one of the packs ({listed(packs())}), or the path of a file, such as {name}.yaml"
            self.mistakes.add(node.at, f"the policy {describe(name)}", expected, self.mistakes.closest(name, packs()))
            return None
        if folder is None:
            expected = f"one of the packs ({listed(packs())}); a policy that is no file itself cannot extend a file"
            self.mistakes.add(node.at, f"the file {describe(name)}", expected)
            return None
        return folder / name

    def _read(self, node: Node, path: Path, chain: tuple[str, ...]) -> Node | None:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise IsADirectoryError(0, "not a regular file")
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            hint = self.mistakes.closest(path.name, _beside(path))
            self.mistakes.add(node.at, f"no file {describe(str(path))} that can be read ({why})", "a policy file", hint)
            return None
        root = read(decode(data, str(path)), self.mistakes, file=str(path))
        return None if root is None else self.under(root, path.parent, chain)


def _beside(path: Path) -> list[str]:
    try:
        return sorted(one.name for one in path.parent.glob("*.y*ml"))
    except (OSError, ValueError):
        return []


def _identity(path: Path) -> str:
    try:
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError):
        return str(path)
