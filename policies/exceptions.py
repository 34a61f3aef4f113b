"""Compiles `exceptions`: where rules do not count, who answers for that, and until when.

One that has expired is no mistake. A policy must not stop loading because a day has passed; `genguard policy lint` warns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from policies import schema
from policies.conditions import ConditionReader, situations, truths
from policies.encoding import encode
from policies.mistake import Mistakes, Position, describe, one_of
from policies.moments import moment
from policies.source import Node


class Exceptions:
    """Compiles the exceptions of one file."""

    def __init__(self, rules: tuple[str, ...], scope: Mapping[str, tuple[str, ...]], mistakes: Mistakes) -> None:
        """`rules`: ids of the policy's rules."""
        self._rules = rules
        self._scope = scope
        self._mistakes = mistakes
        self._ids: dict[str, Position] = {}

    def compile(self, node: Node, entry: schema.ExceptionEntry) -> dict[str, Any]:
        """The part of the document that one exception makes; of no use when there were mistakes."""
        self._identity(node, entry)
        self._known_rules(node)
        expires = moment("expires", node.entries["expires"].node, UTC, self._mistakes, through=True)
        document = {
            "id": entry.id,
            "rules": sorted(set(entry.rules)),
            "owner": entry.owner,
            "reason": entry.reason,
            "expires": expires.isoformat() if expires else "",
        }
        when = self._when(node)
        return document | ({"when": when} if when else {})

    def _identity(self, node: Node, entry: schema.ExceptionEntry) -> None:
        at = node.value_at(("id",))
        if entry.id in self._ids:
            first = self._ids[entry.id]
            self._mistakes.add(at, f"exception id {entry.id!r} a second time", f"another; line {first.line} has it already")
        self._ids.setdefault(entry.id, at)

    def _known_rules(self, node: Node) -> None:
        found = node.entries["rules"].node
        for one in found.items or [found]:
            if one.value not in self._rules:
                hint = self._mistakes.closest(one.value, self._rules)
                self._mistakes.add(one.at, f"no rule {describe(one.value)}", one_of(self._rules), hint)

    def _when(self, node: Node) -> dict[str, Any]:
        if "when" not in node.entries:
            return {}
        condition = ConditionReader(None, self._scope, self._mistakes).read(node.entries["when"].node)
        if condition is None:
            return {}
        if not any(truths(condition, {}, *where)[0] for where in situations()):
            self._mistakes.add(node.place_of(("when",)), "a condition that can never hold", "one that some content can meet")
        return encode(condition)
