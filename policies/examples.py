"""Compiles the examples beside a rule, and refuses those that could not show anything about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from guard.rules import Condition, matches
from guard.types import Modality, Stage
from policies import schema
from policies.conditions import Known, situations, truths
from policies.loaded import RuleTest
from policies.mistake import Mistakes, describe, listed
from policies.source import Node

_Where = tuple[Stage, Modality]
_EXPECTED = {Modality.TEXT: "a text", Modality.IMAGE: "`{image: FILE}`", Modality.AUDIO: "no example"}


def compile_examples(
    node: Node,
    entry: schema.RuleEntry,
    condition: Condition,
    checks: Mapping[str, Known],
    scope: Mapping[str, tuple[str, ...]],
    mistakes: Mistakes,
) -> Iterator[RuleTest]:
    """The examples of one rule. `scope`: patterns of what the policy applies to, by `generator` and `tenant`."""
    held = [where for where in situations() if truths(condition, checks, *where)[0]]
    for index, test in enumerate(entry.tests):
        _sensible(node, ("tests", index), entry, test, held, mistakes)
        for name in ("tenant", "generator"):
            value, patterns = getattr(test, name), scope.get(name)
            if value is not None and patterns and not matches(value, patterns):
                at = node.place_of(("tests", index, name))
                mistakes.add(at, f"{name} {describe(value)}", f"a {name} that `applies_to` covers ({listed(patterns)})")
        yield _example(entry.id, node, index, test)


def _sensible(
    node: Node,
    path: tuple[str | int, ...],
    entry: schema.RuleEntry,
    test: schema.RuleTest,
    held: list[_Where],
    mistakes: Mistakes,
) -> None:
    kind, given = _given(test)
    at, modality = node.place_of((*path, kind)), Modality.IMAGE if isinstance(given, schema.Picture) else Modality.TEXT
    if kind == "redacts" and entry.action != "redact":
        mistakes.add(at, f"'redacts' on action {entry.action!r}", "`flags`, or the action 'redact'")
    stages = sorted({stage.value for stage, read in held if read is modality})
    if not stages:
        reads = sorted({read.value for _, read in held})
        found = f"{'an image' if modality is Modality.IMAGE else 'a text'} for a rule that holds for {' and '.join(reads)} only"
        mistakes.add(at, found, " or ".join(_EXPECTED[Modality(read)] for read in reads) or "no example")
    elif test.stage and test.stage not in stages and kind != "passes":
        found = f"stage {test.stage!r}, where the rule never fires"
        mistakes.add(node.place_of((*path, "stage")), found, f"one of: {', '.join(stages)}")
    if test.redacts is not None:
        _changes(node, path, test.redacts, mistakes)


def _changes(node: Node, path: tuple[str | int, ...], test: schema.Redacts, mistakes: Mistakes) -> None:
    at = node.place_of((*path, "redacts", "to"))
    if isinstance(test.from_, schema.Picture) is not isinstance(test.to, schema.Picture):
        kind = "an image" if isinstance(test.from_, schema.Picture) else "a text"
        mistakes.add(at, "another kind of content than under 'from'", f"what {kind} becomes: {kind}")
    elif test.from_ == test.to:
        mistakes.add(
            at, "the same content as under 'from'", "it with the changes of the rule; `passes` says that there are none"
        )


def _given(test: schema.RuleTest) -> tuple[Any, str | schema.Picture]:
    """What the example says, and of which content."""
    if test.redacts is not None:
        return "redacts", test.redacts.from_
    if test.flags is not None:
        return "flags", test.flags
    assert test.passes is not None
    return "passes", test.passes


def _example(rule: str, node: Node, index: int, test: schema.RuleTest) -> RuleTest:
    kind, given = _given(test)
    becomes = test.redacts.to if test.redacts is not None else ""
    return RuleTest(
        rule,
        node.place_of(("tests", index)),
        kind,
        text=given if isinstance(given, str) else "",
        image=Path(given.image) if isinstance(given, schema.Picture) else None,
        becomes=becomes if isinstance(becomes, str) else "",
        becomes_image=Path(becomes.image) if isinstance(becomes, schema.Picture) else None,
        name=test.name,
        stage=test.stage or "",
        language=test.language or "",
        tenant=test.tenant or "",
        generator=test.generator or "",
    )
