"""Reads YAML into nodes that know their lines.

A small, safe part of YAML is read: mappings, lists and plain values. A bare word is text unless it is `true`, `false`, `null`
or a number, as in YAML 1.2, so that `no` or `on` stays what it looks like. Tags, merge keys and several documents in one file
are refused, and so is whatever grows when it is read: size, depth and the number of values after aliases are limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from policies.mistake import Mistakes, Position, describe

MAX_BYTES = 1_000_000
"""The largest file that is read."""
MAX_DEPTH = 40
"""The deepest nesting that is read."""
MAX_NODES = 50_000
"""The most values in one file, each alias counted as all that it stands for."""
MAX_MISTAKES = 1000
"""Mistakes after which a file is read no further."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_DECIMAL = re.compile(
    r"[-+]?([0-9]{1,15}\.[0-9]{0,15}|\.[0-9]{1,15})([eE][-+]?[0-9]{1,2})?|[-+]?[0-9]{1,15}[eE][-+]?[0-9]{1,2}"
)
_NUMBERLIKE = re.compile(r"[-+]?(\.inf|\.nan|[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?)", re.IGNORECASE)
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(slots=True)
class Node:
    """One value with the place where it begins."""

    at: Position
    value: Any = None
    """A scalar, a list of nodes, or a dict of entries."""
    size: int = 1
    """How many values it holds, itself included."""

    def plain(self) -> Any:
        """The value as nested dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    @property
    def entries(self) -> dict[str, Entry]:
        """Its keys; none unless it is a mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """Its items; none unless it is a list."""
        return self.value if isinstance(self.value, list) else []

    def describe(self) -> str:
        """What an author sees there."""
        return describe(self.value)

    def place_of(self, path: tuple[str | int, ...]) -> Position:
        """Where the key or item is that `path` leads to, or the innermost part of the path that is there."""
        return self._walk(path)[0]

    def value_at(self, path: tuple[str | int, ...]) -> Position:
        """Where the value is that `path` leads to: that of a key begins behind it, or on a line below."""
        return self._walk(path)[1].at

    def _walk(self, path: tuple[str | int, ...]) -> tuple[Position, Node]:
        node, at = self, self.at
        for step in path:
            if isinstance(step, str) and step in node.entries:
                at, node = node.entries[step].at, node.entries[step].node
            elif isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                at = node.at
            else:
                break
        return at, node


@dataclass(slots=True)
class Entry:
    """One key of a mapping: the place of the key, and its value."""

    at: Position
    node: Node


@dataclass(slots=True)
class _Open:
    """A mapping or list that is still being read."""

    node: Node
    anchor: str | None
    key: tuple[str, Position] | None = None


@dataclass(slots=True)
class _Reader:
    mistakes: Mistakes
    file: str
    root: Node | None = None
    open: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    nodes: int = 0

    def read(self, events: Iterator[yaml.Event]) -> bool:
        """Take events in; False when reading had to stop early."""
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                self.mistakes.add(self._position(event), "a second document", "one policy in one file")
                return False
            if isinstance(event, yaml.NodeEvent) and not self._value(event):
                return False
            if isinstance(event, yaml.CollectionEndEvent):
                self._close()
            if len(self.mistakes) > MAX_MISTAKES:
                return False
        return True

    def _value(self, event: yaml.NodeEvent) -> bool:
        at = self._position(event)
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.mistakes.add(at, f"the tag {describe(tag)}", "a plain value; tags are not read")
        if self._awaits_key():
            return self._key(event, at)
        if isinstance(event, yaml.AliasEvent):
            node = self._alias(event, at)
        elif isinstance(event, yaml.ScalarEvent):
            node = Node(at, self._scalar(event, at))
        else:
            node = Node(at, {} if isinstance(event, yaml.MappingStartEvent) else [])
        self.nodes += node.size
        if self.nodes > MAX_NODES:
            self.mistakes.add(at, f"more than {MAX_NODES} values", "a smaller policy, or fewer aliases")
            return False
        opens = isinstance(event, yaml.CollectionStartEvent)
        self._attach(node, 0 if opens else node.size)
        if opens:
            self.open.append(_Open(node, event.anchor))
            if len(self.open) > MAX_DEPTH:
                self.mistakes.add(at, f"more than {MAX_DEPTH} levels of nesting", "fewer")
                return False
        elif isinstance(event, yaml.ScalarEvent) and event.anchor:
            self.anchors[event.anchor] = node
        return True

    def _position(self, event: yaml.Event) -> Position:
        mark = event.start_mark
        return Position(self.file, int(mark.line) + 1, int(mark.column) + 1) if mark else Position(self.file)

    def _awaits_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].node.value, dict) and self.open[-1].key is None

    def _key(self, event: yaml.NodeEvent, at: Position) -> bool:
        if not isinstance(event, yaml.ScalarEvent):
            self.mistakes.add(at, "a key that is an alias, a list or a mapping", "a key that is a name")
            return False
        if event.anchor:
            self.anchors[event.anchor] = Node(at, event.value)
        if event.value == "<<" and not event.style:
            self.mistakes.add(at, "the merge key '<<'", "each key written out; merge keys are not read")
        self._encodable(event.value, at)
        keys = self.open[-1].node.value
        if event.value in keys:
            first = keys[event.value].at
            self.mistakes.add(
                at, f"the key {describe(event.value)} a second time", f"it once; it stands on line {first.line} already"
            )
        self.open[-1].key = (event.value, at)
        return True

    def _attach(self, node: Node, size: int) -> None:
        """Put a node where it belongs. `size`: what it adds to its parent; a collection adds its size when it closes."""
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if parent.key is None:
            parent.node.value.append(node)
        else:
            name, place = parent.key
            parent.node.value[name] = Entry(place, node)
            parent.key = None
        parent.node.size += size

    def _close(self) -> None:
        done = self.open.pop()
        if done.anchor:
            self.anchors[done.anchor] = done.node
        if self.open:
            self.open[-1].node.size += done.node.size

    def _alias(self, event: yaml.AliasEvent, at: Position) -> Node:
        known = self.anchors.get(event.anchor or "")
        if known is None:
            self.mistakes.add(at, f"the alias {describe(event.anchor)}", "an anchor of that name that ends before it")
            return Node(at)
        return Node(at, known.value, known.size)

    def _scalar(self, event: yaml.ScalarEvent, at: Position) -> Any:
        text: str = event.value
        self._encodable(text, at)
        if event.style:  # quoted, or a block of text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        if _NUMBERLIKE.fullmatch(text):
            self.mistakes.add(at, describe(text), "a finite number of ordinary length, or text in quotation marks")
        return text

    def _encodable(self, text: str, at: Position) -> None:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            self.mistakes.add(at, "half of a surrogate pair", "whole characters")


def read(text: str, mistakes: Mistakes, *, file: str = "") -> Node | None:
    """Read one YAML document. None, with the mistakes noted, when there is no mapping to go on with.

    `file`: what positions name; the file that `mistakes` is about when left out.
    """
    name = file or mistakes.file
    whole = Position(name)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        mistakes.add(whole, f"more than {MAX_BYTES} bytes", "a smaller file")
        return None
    mistakes.quote(name, text)
    reader = _Reader(mistakes, name)
    try:
        complete = reader.read(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        _syntax(error, text, name, mistakes)
        return None
    except (ValueError, OverflowError):  # an escape or a directive with a number out of range
        mistakes.add(whole, "an escape or directive with an impossible number", "valid YAML")
        return None
    if not complete:
        return None
    root = reader.root
    if root is None or not isinstance(root.value, dict) or not root.value:
        mistakes.add(
            root.at if root else whole,
            root.describe() if root else "an empty file",
            "a mapping that begins with `policy: NAME`",
        )
        return None
    return root


def _syntax(error: yaml.YAMLError, text: str, file: str, mistakes: Mistakes) -> None:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        at = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
        mistakes.add(at, f"what is no YAML ({error.problem or error.context})", "valid YAML")
    elif isinstance(error, yaml.reader.ReaderError):
        before = text[: int(error.position)]
        at = Position(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        mistakes.add(at, f"the control character U+{int(error.character):04X}", "printable text")
    else:
        mistakes.add(Position(file), "what is no YAML", "valid YAML")
