"""What a draft that came over HTTP may not have this service do: read files, load models, ask addresses that its author chose.

Checks are built from a policy before anything else is known of it, and some read a folder or resolve an address for that. So a
draft is looked over as text: what a check may name is what comes with genguard, and what policies that are in use here name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from guard.errors import RegistryError
from guard.matching.bank import NAME
from guard.registry import checks
from guard.rules import Policy
from policies.mistake import Mistakes, describe
from policies.source import Entry, Node

_NOTHING = re.compile(r"(?!)")
_MODEL = re.compile(r"bundled/[A-Za-z0-9_-]+|sha256:[0-9a-f]{64}")
REACHING: Mapping[str, re.Pattern[str]] = {
    "model": _MODEL,
    "files": _NOTHING,
    "base_url": _NOTHING,
    "api_key_env": _NOTHING,
    "bank": NAME,
    "cleared": NAME,
}
"""Parameters of our checks that name something outside a policy, and what every draft may name there."""
_EXPECTED = "what comes with genguard, or what a policy in use here names; try it with `genguard policy`"


class Reach:
    """What the policies in use name."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        specs = [spec for policy in policies for spec in policy.checks]
        self._named = {found for spec in specs for found in _named(spec.parameters)}
        self._uses: dict[str, set[str]] = {}
        for spec in specs:
            for use, parameters in _uses(spec.use, spec.parameters):
                self._uses.setdefault(use, set()).update(_texts(parameters))

    def look(self, root: Node, mistakes: Mistakes) -> None:
        """Note what a draft names besides that. `root`: its file."""
        listed = root.entries["checks"].node if "checks" in root.entries else root
        for entry in listed.entries.values() if listed is not root else ():
            self._check(entry.node, mistakes)

    def _check(self, node: Node, mistakes: Mistakes) -> None:
        """A mapping under `checks`, and all that it holds."""
        use = node.entries["use"].node.value if "use" in node.entries else None
        if isinstance(use, str) and not _ours(use):
            self._foreign(use, node, mistakes)
        for key, entry in node.entries.items():
            if key in REACHING:
                self._parameter(key, entry, mistakes)
            self._below(entry.node, mistakes)

    def _below(self, node: Node, mistakes: Mistakes) -> None:
        if node.entries:
            self._check(node, mistakes)
        for item in node.items:
            self._below(item, mistakes)

    def _parameter(self, key: str, entry: Entry, mistakes: Mistakes) -> None:
        for leaf in _leaves(entry.node):
            value = str(leaf.value)
            if not (REACHING[key].fullmatch(value) or (key, value) in self._named):
                mistakes.add(leaf.at, f"{key} {describe(value)}", _EXPECTED)

    def _foreign(self, use: str, node: Node, mistakes: Mistakes) -> None:
        """A check that somebody else wrote: nobody here knows what its parameters do."""
        known = self._uses.get(use)
        if known is None:
            mistakes.add(node.place_of(("use",)), f"check {describe(use)}, which is in no policy here", _EXPECTED)
            return
        for key, entry in node.entries.items():
            for leaf in _leaves(entry.node) if key not in _OWN else ():
                if isinstance(leaf.value, str) and leaf.value not in known:
                    mistakes.add(leaf.at, f"{key} {describe(leaf.value)} of a check that is not genguard's", _EXPECTED)


_OWN = frozenset({"use", "deadline_ms", "on_failure", "group", "stages", "override"})
"""Keys of a check that are no parameters."""


def _ours(use: str) -> bool:
    """Whether a check comes with genguard; also what is none, for others name that mistake."""
    try:
        return checks.factory(use).__module__.startswith("guard.")
    except RegistryError:
        return True


def _leaves(node: Node) -> Iterator[Node]:
    """All values in a node that are neither mappings nor lists, and are there."""
    if node.entries or node.items:
        for inner in (*(entry.node for entry in node.entries.values()), *node.items):
            yield from _leaves(inner)
    elif node.value is not None and not isinstance(node.value, dict | list):
        yield node


def _named(value: Any) -> Iterator[tuple[str, str]]:
    """What compiled parameters name under the keys of REACHING, at any depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in REACHING:
                yield from ((key, text) for text in _texts(inner))
            yield from _named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(inner)


def _uses(use: str, parameters: Any) -> Iterator[tuple[str, Any]]:
    """A check, and those that it is made of, each with its parameters."""
    yield use, parameters
    waiting = [parameters]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            if isinstance(value.get("use"), str):
                yield value["use"], value
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
