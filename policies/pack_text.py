"""The text of a pack, line by line, with its parts to be cut and changed where they stand.

Packs keep one form, which their tests hold: checks at two spaces, rules as `  - id:` with their keys at four, messages one
language a line, sections of rules under a comment that ends in dashes, lines on offer behind `#|`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.mistake import Position
from policies.source import Node

OFFER = "  #| "
ALLOWED = "# lint: allow"
_HEADING = re.compile("  # .*-----")


class PackText:
    """A pack's lines. Positions are those of the nodes that were read from the same text."""

    def __init__(self, text: str, root: Node) -> None:
        self._root = root
        self._lines: list[str | None] = [None, *text.rstrip("\n").split("\n")]
        """By line number, from 1; None: cut."""
        self._added: dict[int, list[str]] = {}
        self._rules = {node.entries["id"].node.value: node for node in root.entries["rules"].node.items}

    # --- what it says -------------------------------------------------------------------------------------------------

    def comment(self) -> list[str]:
        """The lines of comment at its top, without the one for editors."""
        return [str(line) for line in self._lines[2 : self._root.entries["policy"].at.line]]

    def described(self) -> str:
        """Its description."""
        return str(self._root.entries["description"].node.value)

    def marks(self) -> dict[str, Any]:
        """What it asks of outputs; empty without marks."""
        found: dict[str, Any] = self._root.entries["marks"].node.plain() if "marks" in self._root.entries else {}
        return found

    def offered_marks(self) -> list[str]:
        """Marks on offer, each with the comment above it."""
        if "marks" not in self._root.entries:
            return []
        lines = [str(line) for line in self._lines[self._root.entries["marks"].at.line + 1 :]]
        return [
            one
            for before, line in zip(["", *lines], lines, strict=False)
            if line.startswith(OFFER)
            for one in ((before, line) if before.startswith("  # ") else (line,))
        ]

    def numbers(self) -> Iterator[tuple[str, Node]]:
        """Every threshold in its rules, by the condition's key."""
        for rule in self._rules.values():
            yield from _numbers(rule.entries["when"].node)

    # --- changes ------------------------------------------------------------------------------------------------------

    def cut_check(self, name: str) -> None:
        """Take a check out."""
        at = self._root.entries["checks"].node.entries[name].at.line
        self._cut(at, self._end(at, 2))

    def cut_rule(self, rule: str) -> None:
        """Take a rule out."""
        at = self._rules[rule].at.line
        self._cut(at, self._end(at, 2))

    def cut_keys(self, rule: str, *keys: str) -> None:
        """Take keys of a rule out, where it has them."""
        for key in keys:
            if key in self._rules[rule].entries:
                at = self._rules[rule].entries[key].at.line
                self._cut(at, self._end(at, 4))

    def cut_example(self, at: Position) -> None:
        """Take the example of a rule out that begins there."""
        self._cut(at.line, self._end(at.line, 6))

    def keep_messages(self, rule: str, languages: tuple[str, ...]) -> None:
        """Keep the messages in these languages; all of them where there is none."""
        entry = self._rules[rule].entries.get("message")
        if entry is None or not set(entry.node.entries) & set(languages):
            return
        for language, one in entry.node.entries.items():
            if language not in languages:
                self._cut(one.at.line, one.at.line + 1)

    def put(self, at: Position, value: str) -> None:
        """Write another number in the place of the one that begins there."""
        line = str(self._lines[at.line])
        rest = re.sub(r"^[0-9.]+", value, line[at.column - 1 :])
        self._lines[at.line] = line[: at.column - 1] + rest

    def put_key(self, rule: str, key: str, value: str) -> None:
        """Give a key of a rule that stands on one line another value."""
        self._lines[self._rules[rule].entries[key].at.line] = f"    {key}: {value}"

    def add_after(self, rule: str, key: str, lines: list[str]) -> None:
        """Add lines after a key of a rule that stands on one line."""
        self._added.setdefault(self._rules[rule].entries[key].at.line, []).extend(lines)

    def replace_in_check(self, name: str, pattern: str, value: str) -> None:
        """Replace what matches in the lines of a check."""
        at = self._root.entries["checks"].node.entries[name].at.line
        for number in range(at, self._end(at, 2)):
            if self._lines[number] is not None:
                self._lines[number] = re.sub(pattern, value, str(self._lines[number]))

    def keep_labels(self, check: str, known: frozenset[str]) -> None:
        """Take labels out that a check does not report any more, wherever rules list them."""
        for rule in self._rules.values():
            for label in _labels(rule.entries["when"].node, check):
                if label.value not in known:
                    self._cut_item(label)

    def _cut_item(self, item: Node) -> None:
        line = str(self._lines[item.at.line])
        if line.strip() == f"- {item.value}":
            self._cut(item.at.line, item.at.line + 1)
        else:
            self._lines[item.at.line] = re.sub(rf"\b{item.value}, |(, )?\b{item.value}\b(?=\])", "", line)

    # --- what is left -------------------------------------------------------------------------------------------------

    def checks(self) -> list[str]:
        """The section of checks, with what the line above allows a lint to find."""
        above = str(self._lines[self._root.entries["checks"].at.line - 1])
        return [*([above] if above.startswith(ALLOWED) else []), *self._left("checks", "rules")]

    def rules(self) -> list[str]:
        """The section of rules, without headings that nothing stands under any more."""
        kept: list[str] = []
        for line in self._left("rules", "marks" if "marks" in self._root.entries else ""):
            if _HEADING.fullmatch(line):
                _drop_bare(kept)
            if line.strip() or not _HEADING.fullmatch(kept[-1]):
                kept.append(line)
        _drop_bare(kept)
        return _trimmed(kept)

    def _left(self, first: str, last: str) -> list[str]:
        begin = self._root.entries[first].at.line
        end = self._root.entries[last].at.line if last else len(self._lines)
        while str(self._lines[end - 1]).startswith("#"):  # a comment at the margin speaks of what comes next
            end -= 1
        left = []
        for number in range(begin, end):
            line = self._lines[number]
            left += [] if line is None else [line]
            left += self._added.get(number, [])
        return _trimmed([line for before, line in zip(["", *left], left, strict=False) if line.strip() or before.strip()])

    def _end(self, start: int, indent: int) -> int:
        """The line after the last of what begins at `start`, whose parts stand deeper than `indent`."""
        number = start + 1
        while number < len(self._lines):
            line = self._lines[number]
            if line is not None and (not line.strip() or len(line) - len(line.lstrip()) <= indent):
                break
            number += 1
        return number

    def _cut(self, start: int, end: int) -> None:
        self._lines[start:end] = [None] * (end - start)


def _numbers(node: Node) -> Iterator[tuple[str, Node]]:
    for key, entry in node.entries.items():
        by_language = entry.node.entries.values() if key != "not" else ()
        yield from ((key, one) for one in (entry.node, *(inner.node for inner in by_language)) if isinstance(one.value, float))
        if key in ("any", "all", "not"):
            for one in (entry.node, *entry.node.items):
                yield from _numbers(one)


def _labels(node: Node, check: str) -> Iterator[Node]:
    for key, entry in node.entries.items():
        if key == check:
            yield from entry.node.items
        else:
            yield from _labels(entry.node, check)
    for item in node.items:
        yield from _labels(item, check)


def _drop_bare(lines: list[str]) -> None:
    """Take a heading away that nothing but space followed."""
    number = len(lines) - 1
    while number >= 0 and not lines[number].strip():
        number -= 1
    if number >= 0 and _HEADING.fullmatch(lines[number]):
        del lines[number:]


def _trimmed(lines: list[str]) -> list[str]:
    """Without empty lines at the end."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]
