"""Compiles a policy file that was read into nodes: shape first, then meaning, and all mistakes of both together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from guard.redact import IMAGE_OPERATORS, TEXT_OPERATORS
from guard.rules import Condition, Found, ScoreAtLeast, ScoreByLanguage
from guard.taxonomy import CATEGORIES
from guard.types import Modality, Stage
from policies import schema
from policies.compose import compose
from policies.conditions import RESERVED, ConditionReader, Known, Measure, same_key, situations, truths
from policies.document import FORMAT, canonical, from_document
from policies.encoding import encode
from policies.examples import compile_examples
from policies.exceptions import Exceptions
from policies.loaded import LoadedPolicy, RuleTest
from policies.mistake import Mistakes, Position, describe, one_of
from policies.parts import CheckPart, broken_check, compile_check, compile_marks, labelled
from policies.previews import check_rules, narrowed
from policies.source import Node
from policies.wording import note

_Broken = set[tuple[str | int, ...]]
_OPERATORS: Mapping[Modality, tuple[str, ...]] = {
    Modality.TEXT: TEXT_OPERATORS,
    Modality.IMAGE: IMAGE_OPERATORS,
    Modality.AUDIO: (),
}
_UNCUT = "`block` or `review`: nothing can be cut out of"
_PARAMETERS = {"keep_first": "mask", "keep_last": "mask", "text": "replace"}
"""Parameters of a redaction, with the one operator that reads each."""


def compile_policy(source: Node, mistakes: Mistakes, folder: Path | None = None) -> LoadedPolicy:
    """Compile a policy file. `folder`: where paths of policies begin that it extends; None: it may extend packs only.

    Raises PolicyFileError with every mistake of the file. The policy is built from its own document, so that what decides today
    is what re-derives later.
    """
    composed = compose(source, mistakes, folder)
    root = composed.root
    file, broken = _shape(root, mistakes)
    broken |= composed.broken
    checks = _checks(root, broken, mistakes)
    applies_to = root.entries["applies_to"].node if "applies_to" in root.entries else Node(root.at, {})
    scope = _scope(applies_to, broken)
    known = {name: part.known for name, part in checks.items()}
    rules = _Rules(root, known, scope, mistakes)
    compiled = rules.compile(broken)
    exceptions = _exceptions(root, rules.ids, scope, broken, mistakes)
    spoken = any(Modality.AUDIO in part.known.modalities for part in checks.values() if part.entry)
    marks = _marks(root, broken, mistakes, audio=spoken)
    if not _touches(broken, "marks"):
        labelled(root, rules.labels, mistakes)
    if file is not None and file.previews:
        check_rules(root, {one.id: one.action for one in file.rules}, mistakes)
    mistakes.raise_if_any()
    assert file is not None
    entries = {name: part.entry or {} for name, part in checks.items()}
    if file.previews:
        entries = narrowed(entries, compiled, file.previews.rules)
    document = {
        "format": FORMAT,
        "policy": file.policy,
        "version": file.version,
        "status": file.status,
        "owner": file.owner,
        "description": file.description,
        "applies_to": {"generators": file.applies_to.generators, "tenants": file.applies_to.tenants},
        "checks": {name: _slim(entry, "parameters") for name, entry in entries.items()},
        "rules": compiled,
        "exceptions": exceptions,
        "marks": marks,
        "stream": "" if file.stream == "window" else file.stream,
        "previews": file.previews.model_dump() if file.previews else None,
    }
    policy = from_document(canonical(_slim(document, "owner", "description", "exceptions", "marks", "stream", "previews")))
    return LoadedPolicy(policy, tuple(rules.tests), known, root, mistakes.file, composed.unused)


def _slim(entry: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    """Leave out what is empty, so that a key which a later version adds does not change the revision of older policies."""
    return {key: value for key, value in entry.items() if value or key not in optional}


def _shape(root: Node, mistakes: Mistakes) -> tuple[schema.PolicyFile | None, _Broken]:
    try:
        return schema.PolicyFile.model_validate(root.plain()), set()
    except ValidationError as error:
        return None, note(error, root, mistakes)


def _touches(broken: _Broken, section: str, part: str | int | None = None) -> bool:
    """Whether a section of the file has a mistake of shape, or one part of it has."""
    if part is None:
        return any(path[0] == section for path in broken)
    return (section,) in broken or (section, part) in broken


def _checks(root: Node, broken: _Broken, mistakes: Mistakes) -> dict[str, CheckPart]:
    found = root.entries["checks"].node.entries if "checks" in root.entries else {}
    parts = {}
    for name, entry in found.items():
        if name in RESERVED:
            mistakes.add(entry.at, f"a check named {name!r}", f"another name; conditions use {', '.join(RESERVED)} themselves")
        if _touches(broken, "checks", name):
            parts[name] = broken_check(name)
        else:
            model = schema.CheckEntry.model_validate(entry.node.plain())
            parts[name] = compile_check(name, entry.node, model, mistakes)
    return parts


def _scope(applies_to: Node, broken: _Broken) -> dict[str, tuple[str, ...]]:
    if _touches(broken, "applies_to"):
        return {}
    model = schema.AppliesTo.model_validate(applies_to.plain())
    return {"generator": tuple(model.generators), "tenant": tuple(model.tenants)}


def _marks(root: Node, broken: _Broken, mistakes: Mistakes, *, audio: bool) -> dict[str, Any]:
    found = root.entries["marks"].node.plain() if "marks" in root.entries else None
    if found is None or _touches(broken, "marks"):
        return {}
    return compile_marks(root, schema.Marks.model_validate(found), mistakes, audio=audio)


def _exceptions(
    root: Node, rules: tuple[str, ...], scope: Mapping[str, tuple[str, ...]], broken: _Broken, mistakes: Mistakes
) -> list[dict[str, Any]]:
    found = root.entries["exceptions"].node.items if "exceptions" in root.entries else []
    compiler = Exceptions(rules, scope, mistakes)
    sound = [(index, node) for index, node in enumerate(found) if not _touches(broken, "exceptions", index)]
    return [compiler.compile(node, schema.ExceptionEntry.model_validate(node.plain())) for _, node in sound]


class _Rules:
    """Compiles the rules of one file."""

    def __init__(
        self, root: Node, checks: Mapping[str, Known], scope: Mapping[str, tuple[str, ...]], mistakes: Mistakes
    ) -> None:
        self._node = root.entries["rules"].node if "rules" in root.entries else Node(root.at, [])
        self._checks = checks
        self._scope = scope
        self._mistakes = mistakes
        self._ids: dict[str, Position] = {}
        self._conditions: dict[str, tuple[str, Position]] = {}
        self.tests: list[RuleTest] = []
        self.labels: list[tuple[Position, frozenset[Modality]]] = []
        """Places of the action `label`, each with the outputs that its rule can meet."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all rules that have one, those with mistakes too."""
        found = (node.entries["id"].node.value for node in self._node.items if "id" in node.entries)
        return tuple(one for one in found if isinstance(one, str))

    def compile(self, broken: _Broken) -> list[dict[str, Any]]:
        """The rules' part of the document."""
        compiled = []
        for index, node in enumerate(self._node.items):
            if _touches(broken, "rules", index):
                self._condition(node)  # its other mistakes are wanted too
            else:
                compiled.append(self._rule(node, schema.RuleEntry.model_validate(node.plain())))
        return compiled

    def _condition(self, node: Node) -> tuple[Condition | None, list[Measure]]:
        if not isinstance(node.value, dict) or not node.entries.get("when") or not node.entries["when"].node.entries:
            return None, []
        reader = ConditionReader(self._checks, self._scope, self._mistakes)
        return reader.read(node.entries["when"].node), reader.measures

    def _rule(self, node: Node, entry: schema.RuleEntry) -> dict[str, Any]:
        condition, measures = self._condition(node)
        self._identity(node, entry)
        self._redaction(node, entry)
        self._known_category(node, entry)
        if condition is None:
            return {}
        self._once(node, entry, condition)
        before = len(self._mistakes)
        self._reachable(node, condition, measures)
        if entry.with_ is not None and len(self._mistakes) == before:
            self._cuttable(node, entry.with_, condition, measures)
        if len(self._mistakes) > before or any(self._checks[one.condition.check].labels is None for one in measures):
            return {}
        if entry.action == "label":
            held = (where for where in situations() if truths(condition, self._checks, *where)[0])
            met = frozenset(modality for stage, modality in held if stage is Stage.OUTPUT)
            self.labels.append((node.value_at(("action",)), met))
        category = entry.category or self._common_category(node, measures)
        document = {
            "id": entry.id,
            "title": entry.title,
            "when": encode(condition),
            "action": entry.action,
            "category": category,
            "basis": entry.basis.model_dump(exclude_none=True) if isinstance(entry.basis, schema.Basis) else entry.basis,
            "message": entry.message,
            "with": entry.with_.model_dump(exclude_none=True) if entry.with_ else {},
        }
        self.tests += compile_examples(node, entry, condition, self._checks, self._scope, self._mistakes)
        return _slim(document, "title", "basis", "message", "with")

    def _identity(self, node: Node, entry: schema.RuleEntry) -> None:
        at = node.value_at(("id",))
        if entry.id in self._ids:
            self._mistakes.add(
                at, f"rule id {entry.id!r} a second time", f"another; line {self._ids[entry.id].line} has it already"
            )
        self._ids.setdefault(entry.id, at)

    def _once(self, node: Node, entry: schema.RuleEntry, condition: Condition) -> None:
        at, key = node.place_of(("when",)), same_key(condition)
        if key in self._conditions:
            other, place = self._conditions[key]
            self._mistakes.add(
                at,
                f"the same condition as rule {other!r} on line {place.line}",
                "one rule for it; only the strictest action counts",
            )
        self._conditions.setdefault(key, (entry.id, at))

    def _redaction(self, node: Node, entry: schema.RuleEntry) -> None:
        change = entry.with_
        if entry.action != "redact":
            if change is not None:
                self._mistakes.add(node.place_of(("with",)), f"'with' on action {entry.action!r}", "it on action 'redact' only")
            return
        if change is None:
            expected = "`with: {operator: …}` that says how: " + ", ".join((*TEXT_OPERATORS, *IMAGE_OPERATORS))
            self._mistakes.add(node.value_at(("action",)), "action 'redact' alone", expected)
            return
        for name, operator in _PARAMETERS.items():
            if getattr(change, name) is not None and change.operator != operator:
                self._mistakes.add(
                    node.place_of(("with", name)),
                    f"{name!r} with operator {change.operator!r}",
                    f"it with operator {operator!r} only",
                )

    def _known_category(self, node: Node, entry: schema.RuleEntry) -> None:
        if entry.category and entry.category not in CATEGORIES:
            hint = self._mistakes.closest(entry.category, CATEGORIES)
            found = f"unknown category {describe(entry.category)}"
            self._mistakes.add(node.value_at(("category",)), found, one_of(CATEGORIES), hint)

    def _common_category(self, node: Node, measures: list[Measure]) -> str:
        """The category that all labels the rule asks for have in common."""
        asked = [one.condition for one in measures if not one.negated]
        common = {category for one in asked for category in _categories(self._checks[one.check].labels or {}, one)}
        if len(common) != 1:
            expected = one_of(sorted(common) or CATEGORIES)
            self._mistakes.add(node.at, "no key 'category' and labels that do not have one in common", expected)
        return next(iter(common), "")

    def _reachable(self, node: Node, condition: Condition, measures: list[Measure]) -> None:
        at = node.place_of(("when",))
        held = [where for where in situations() if truths(condition, self._checks, *where)[0]]
        if not held:
            why = f" ({'; '.join(dict.fromkeys(self._reads(one) for one in measures))})" if measures else ""
            self._mistakes.add(at, f"a condition that can never hold{why}", "one that some content can meet")
            return
        for one in measures:
            if not any(self._checks[one.condition.check].runs(*where) for where in held):
                self._mistakes.add(
                    one.at,
                    f"{one.key!r} where it never counts ({self._reads(one)})",
                    "it where its stage and modality can occur",
                )

    def _reads(self, one: Measure) -> str:
        known = self._checks[one.condition.check]
        stages = "every stage" if known.stages == frozenset(Stage) else f"stage {', '.join(sorted(known.stages))}"
        return f"check {known.name!r} reads {' and '.join(sorted(known.modalities))} at {stages}"

    def _cuttable(self, node: Node, change: schema.Redaction, condition: Condition, measures: list[Measure]) -> None:
        """Check that there are places to change, of a kind the operator can change, however the condition comes to hold."""
        held = [where for where in situations() if truths(condition, self._checks, *where)[0]]
        if any(truths(condition, self._checks, *where, blind=True)[0] for where in held):
            self._mistakes.add(
                node.place_of(("when",)),
                "a redaction that can fire without anything found",
                "a check in every alternative, outside of `not`, that says what to cut",
            )
        if any(self._checks[one.condition.check].labels is None for one in measures):
            return  # what a check with mistakes reads is not known
        reads = {
            where[1] for one in measures if not one.negated for where in held if self._checks[one.condition.check].runs(*where)
        }
        for modality in sorted(reads):
            if change.operator not in (known := _OPERATORS[modality]):
                self._mistakes.add(
                    node.value_at(("with", "operator")),
                    f"operator {change.operator!r} for {modality.value}",
                    (one_of(known) if known else f"{_UNCUT} {modality.value}")
                    + ", or a `modality` in `when` that rules this out",
                )


def _categories(labels: Mapping[str, str], asked: ScoreAtLeast | ScoreByLanguage | Found) -> set[str]:
    if not isinstance(asked, Found):
        return {labels[asked.label]} if asked.label != "*" else set(labels.values())
    return {labels[label] for label in asked.labels} or set(labels.values())
