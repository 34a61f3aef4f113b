"""Puts a policy file over the one that it extends.

A parent's parts stay what they are unless the child says otherwise, and says that it does: `override: true` in a part changes
the parent's part of that name key by key, `remove` takes parts out. The same name without a word is a mistake, because nobody
could tell whether it was meant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from policies import schema
from policies.mistake import Mistakes, Position, one_of
from policies.source import Entry, Node
from policies.wording import note

HEAD = ("policy", "version", "status", "owner", "description", "applies_to")
"""Keys that are always the file's own."""
PARTS = {"lists": "list", "checks": "check", "rules": "rule", "exceptions": "exception", "marks": "mark"}
"""Keys whose parts a child takes over, with what one part is called."""
_IN_LISTS = ("rules", "exceptions")
"""Those whose parts are named by their `id`; the others are mappings."""
_OVERRIDDEN = ("checks", "rules", "exceptions")
"""Those whose parts can be changed key by key."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a section: a check, a rule, …"""

    name: str
    """Empty where the file gives none."""
    at: Position
    """Of its name."""
    node: Node

    @property
    def overrides(self) -> bool:
        return "override" in self.node.entries and self.node.entries["override"].node.value is True


def changes_parent(root: Node) -> bool:
    """Whether a file says that it changes a parent, which it then must have."""
    return "remove" in root.entries or any(part.overrides for key in _OVERRIDDEN for part in _parts(key, root))


def together(parents: list[tuple[Position, Node]], mistakes: Mistakes) -> Node:
    """Several parents as one. `parents`: with the places that name them. What two define in different ways is a mistake."""
    whole = Node(Position(mistakes.file), {})
    for at, parent in parents:
        made = {**parent.entries, **whole.entries}
        for key, kind in PARTS.items():
            if key in whole.entries and key in parent.entries and _sound(key, whole) and _sound(key, parent):
                known = {part.name: part for part in _parts(key, whole) if part.name}
                fresh = [part for part in _parts(key, parent) if part.name not in known]
                for part in _parts(key, parent):
                    if part.name in known and known[part.name].at != part.at:
                        found = f"{kind} {part.name!r} in two parents ({known[part.name].at} and {part.at})"
                        mistakes.add(at, found, "parents that share no names")
                made[key] = _section(key, made[key], [*_parts(key, whole), *fresh])
        whole = Node(parent.at, made)
    return whole


def merge(root: Node, base: Node, mistakes: Mistakes) -> Node:
    """The file over its parent: the parent's parts first, in their order, then those that the file adds."""
    before = len(mistakes)
    removed = _removed(root, base, mistakes)
    if len(mistakes) > before:
        return root
    whole = {key: entry for key, entry in base.entries.items() if key not in (*HEAD, "extends", "remove")} | root.entries
    for key in PARTS:
        if not (_sound(key, root) and _sound(key, base)):
            continue  # as it stands in one of the files: the shape is what is wrong
        parts = _over(key, root, base, removed.get(key, set()), mistakes)
        if key in whole:
            whole[key] = _section(key, whole[key], parts)
            if not parts and key in base.entries and key in ("marks", "lists", "exceptions"):
                del whole[key]  # all of it was removed
    return Node(root.at, whole, root.size)


def _over(key: str, root: Node, base: Node, removed: set[str], mistakes: Mistakes) -> list[_Part]:
    """The parts of one section of the file over those of its parent."""
    parts = [part for part in _parts(key, base) if part.name not in removed]
    places = {part.name: index for index, part in enumerate(parts) if part.name}
    fresh, changed = [], set()
    for part in _parts(key, root):
        overrides = part.overrides and key in _OVERRIDDEN
        if part.name not in places:
            fresh.append(part)
            if overrides:
                _unknown(key, part, places, mistakes)
        elif not overrides:
            _taken(key, part, parts[places[part.name]], mistakes)
        elif part.name in changed:
            mistakes.add(part.at, f"{PARTS[key]} {part.name!r} a second time", "it once")
        else:
            changed.add(part.name)
            parts[places[part.name]] = _changed(key, part, parts[places[part.name]])
    return [*parts, *fresh]


def _changed(key: str, part: _Part, old: _Part) -> _Part:
    given = {name: entry for name, entry in part.node.entries.items() if name != "override"}
    kept = {name: entry for name, entry in old.node.entries.items() if not _falls_away(key, name, given, old.node)}
    return _Part(part.name, part.at, Node(part.node.at, {**kept, **given}, part.node.size))


def _falls_away(key: str, name: str, given: Mapping[str, Entry], old: Node) -> bool:
    """Whether a parent's key has no meaning any more: how to redact when nothing is, parameters of another kind of check."""
    if key == "rules" and name == "with":
        return "action" in given and given["action"].node.value != "redact"
    if key == "checks" and name not in schema.CheckEntry.model_fields and "use" in given and "use" in old.entries:
        return bool(given["use"].node.value != old.entries["use"].node.value)
    return False


def _taken(key: str, part: _Part, old: _Part, mistakes: Mistakes) -> None:
    kind = PARTS[key]
    change = "`override: true` in it, " if key in _OVERRIDDEN else ""
    expected = f"{change}another name, or `remove: {{{key}: [{part.name}]}}` before it is made anew"
    mistakes.add(part.at, f"{kind} {part.name!r}, which {old.at} defines", expected)


def _unknown(key: str, part: _Part, known: Collection[str], mistakes: Mistakes) -> None:
    at = part.node.entries["override"].at
    found = f"`override` in {PARTS[key]} {part.name!r}, which nothing that this file extends defines"
    expected = one_of(known) if known else "`extends` with a policy that does"
    mistakes.add(at, found, expected, mistakes.closest(part.name, known))


def _removed(root: Node, base: Node, mistakes: Mistakes) -> dict[str, set[str]]:
    """What the file takes out, by section; names that are not there are mistakes."""
    if "remove" not in root.entries:
        return {}
    entry = root.entries["remove"]
    if "extends" not in root.entries:
        mistakes.add(entry.at, "'remove' without 'extends'", "`extends` with the policy that parts are taken out of")
        return {}
    try:
        schema.Remove.model_validate(entry.node.plain())
    except ValidationError as error:
        note(error, root, mistakes, ("remove",))
        return {}
    removed: dict[str, set[str]] = {}
    for key, found in entry.node.entries.items():
        known = [part.name for part in _parts(key, base) if part.name]
        for one in found.node.items or [found.node]:
            if one.value not in known:
                hint = mistakes.closest(one.value, known)
                mistakes.add(one.at, f"no {PARTS[key]} {one.value!r} that could be removed", one_of(known), hint)
        removed[key] = {one.value for one in found.node.items or [found.node]}
    return removed


def _sound(key: str, root: Node) -> bool:
    """Whether a section, if it is there, has the shape that parts can be read from."""
    return key not in root.entries or isinstance(root.entries[key].node.value, list if key in _IN_LISTS else dict)


def _parts(key: str, root: Node) -> list[_Part]:
    if key not in root.entries:
        return []
    section = root.entries[key].node
    if key not in _IN_LISTS:
        return [_Part(name, entry.at, entry.node) for name, entry in section.entries.items()]
    return [_named(node) for node in section.items]


def _named(node: Node) -> _Part:
    found = node.entries["id"].node if "id" in node.entries else node
    return _Part(found.value if isinstance(found.value, str) else "", found.at, node)


def _section(key: str, entry: Entry, parts: list[_Part]) -> Entry:
    if key in _IN_LISTS:
        return Entry(entry.at, Node(entry.node.at, [part.node for part in parts], entry.node.size))
    return Entry(entry.at, Node(entry.node.at, {part.name: Entry(part.at, part.node) for part in parts}, entry.node.size))
