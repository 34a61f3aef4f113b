"""Compiles the checks and marks of a policy file: their names, their parameters, what they can report."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from guard.errors import GenguardError
from guard.following import why_whole
from guard.marks.wording import ANY
from guard.protocols import Check, Marker
from guard.registry import Recipe, Registry, checks, markers
from guard.traits import traits_of
from guard.types import Modality, Stage
from policies import schema
from policies.conditions import Known
from policies.document import frozen
from policies.mistake import Mistakes, Position, describe, one_of
from policies.source import Entry, Node
from policies.wording import note_parameter, unknown_key

_OWN = tuple(schema.CheckEntry.model_fields)


@dataclass(frozen=True, slots=True)
class CheckPart:
    """A compiled check: its part of the document (None when it has mistakes), and what conditions may ask of it."""

    entry: dict[str, Any] | None
    known: Known


def broken_check(name: str) -> CheckPart:
    """A check whose entry has mistakes: rules may name it, and nothing is said of its labels."""
    return CheckPart(None, Known(name, None, frozenset(Modality), frozenset(Stage)))


def compile_check(name: str, node: Node, entry: schema.CheckEntry, mistakes: Mistakes) -> CheckPart:
    """Compile one entry of `checks`; builds the check, without loading its model, to ask what it can report."""
    given = {key: (found.at, found.node) for key, found in node.entries.items() if key not in _OWN}
    built = build(checks, entry.use, node.value_at(("use",)), given, _OWN, mistakes)
    if built is None:
        return broken_check(name)
    check: Check = built[0]
    stages = frozenset(Stage(stage) for stage in entry.stages)
    document = {
        "use": entry.use,
        "parameters": built[1],
        "deadline_ms": entry.deadline_ms,
        "on_failure": entry.on_failure,
        "group": entry.group,
        "stages": sorted(stages),
        "modalities": sorted(check.modalities),
    }
    return CheckPart(document, Known(name, dict(check.labels), check.modalities, stages, traits_of(check), why_whole(check)))


def compile_marks(root: Node, entry: schema.Marks, mistakes: Mistakes, *, audio: bool = False) -> dict[str, Any]:
    """Compile `marks`: by marker and what it marks, the parameters and `on_unmarkable`.

    `audio`: whether a check reads audio. Else none leaves, and marks for it would only change the revision of older policies.
    """
    found: dict[str, Any] = {}
    spoken = (Modality.AUDIO,) if audio else ()
    if entry.watermark is not None:
        found |= _watermarks(root, entry.watermark, mistakes)
    if entry.label is not None:
        keys = ("profile", "position", "text", "language", "font")
        found["label"] = {
            modality: _mark("label", Modality(modality), ("marks", "label"), root, keys, entry.label.on_unmarkable, mistakes)
            | ({"only_labelled": True} if entry.label.apply == "rules" else {})
            for modality in entry.label.modalities
        }
    for kind in entry.metadata or ():
        where = (Modality.IMAGE, Modality.TEXT, *spoken) if kind == "aigc" else (Modality.IMAGE,)
        found[kind] = {one.value: _mark(kind, one, ("marks", "metadata"), root, (), "block", mistakes) for one in where}
    if entry.c2pa is not None:
        found["c2pa"] = {
            one.value: _mark("c2pa", one, ("marks", "c2pa"), root, (), entry.c2pa.on_unmarkable, mistakes)
            for one in (Modality.IMAGE, *spoken)
        }
    return found


def labelled(root: Node, rules: list[tuple[Position, frozenset[Modality]]], mistakes: Mistakes) -> None:
    """Check that rules with the action `label` have a label to put on, and a label that waits for them such a rule.

    `rules`: the places of the action, each with the modalities of the outputs that its rule can meet.
    """
    marks = root.entries["marks"].node if "marks" in root.entries else Node(root.at, {})
    entry = schema.Label.model_validate(marks.entries["label"].node.plain()) if "label" in marks.entries else None
    carried = {Modality(one) for one in entry.modalities} if entry else set()
    for at, met in rules:
        if entry is None:
            mistakes.add(at, "action 'label' without a label", "`label: {profile: …}` under `marks`")
        elif not met & carried:
            outputs = " and ".join(sorted(met)) or "no"
            expected = f"a rule that can meet one of the outputs that `marks` labels: {', '.join(sorted(carried))}"
            mistakes.add(at, f"action 'label' on a rule that meets {outputs} outputs", expected)
    asked = (
        (one for node in root.entries["rules"].node.items if (one := node.entries.get("action")))
        if "rules" in root.entries
        else ()
    )
    if entry is not None and entry.apply == "rules" and not any(one.node.value == "label" for one in asked):
        at = root.value_at(("marks", "label", "apply"))
        mistakes.add(at, "'rules' for 'apply' and no rule with the action 'label'", "such a rule, or `apply: always`")


def _watermarks(root: Node, entry: schema.Watermark, mistakes: Mistakes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if entry.image is not None:
        path = ("marks", "watermark", "image")
        compiled = _mark("watermark", Modality.IMAGE, path, root, ("method",), entry.image.on_unmarkable, mistakes)
        found["watermark"] = {"image": compiled}
    if entry.text is not None:
        path, keys = ("marks", "watermark", "text"), ("method", "strength")
        compiled = _mark("text_watermark", Modality.TEXT, path, root, keys, entry.text.on_unmarkable, mistakes)
        found["text_watermark"] = {"text": compiled}
    return found


def _mark(
    use: str,
    modality: Modality,
    path: tuple[str, ...],
    root: Node,
    keys: tuple[str, ...],
    on_unmarkable: str,
    mistakes: Mistakes,
) -> dict[str, Any]:
    """One marker's part of the document; empty when it has mistakes. `keys`: which of the entry's keys are its parameters."""
    at, node = root.place_of(path), root
    for step in path:
        node = node.entries[step].node
    given = {
        key: (one.at, _worded(one.node) if key == "text" else one.node) for key, one in node.entries.items() if key in keys
    }
    built = build(markers, use, at, given, ("on_unmarkable",), mistakes, {"_modality": modality})
    if built is None:
        return {}
    marker: Marker = built[0]
    if marker.modality is not modality:
        mistakes.add(at, f"a {use} for {marker.modality.value}", f"a marker that marks {modality.value}s")
    return {"on_unmarkable": on_unmarkable} | ({"parameters": built[1]} if built[1] else {})


def _worded(node: Node) -> Node:
    """The words of a label by language: one text stands for all of them."""
    return Node(node.at, {ANY: Entry(node.at, node)}) if isinstance(node.value, str) else node


def build(
    registry: Registry[Any],
    use: str,
    at: Position,
    given: Mapping[str, tuple[Position, Node]],
    own: tuple[str, ...],
    mistakes: Mistakes,
    private: Mapping[str, Any] | None = None,
) -> tuple[Any, dict[str, Any]] | None:
    """Make a part with its parameters: (part, parameters as JSON values), or None with the mistakes noted.

    `private`: parameters that a policy cannot set, for parts that have them.
    """
    if use not in registry.names():
        mistakes.add(
            at, f"unknown {registry.kind} {describe(use)}", one_of(registry.names()), mistakes.closest(use, registry.names())
        )
        return None
    before = len(mistakes)
    try:
        signature = registry.signature(use).parameters
        takes = {name: one for name, one in signature.items() if not name.startswith("_")}
        hidden = {name: value for name, value in (private or {}).items() if name in signature}
        parameters = _parameters(use, takes, given, own, at, mistakes)
        if len(mistakes) > before:
            return None
        return registry.make(use, {**frozen(parameters), **hidden}), parameters
    except (GenguardError, ImportError, ValueError, TypeError, OSError) as error:
        mistakes.say(at, f"{registry.kind} {use!r} does not accept its settings: {error}")
        return None


def _parameters(
    use: str,
    takes: Mapping[str, Parameter],
    given: Mapping[str, tuple[Position, Node]],
    own: tuple[str, ...],
    at: Position,
    mistakes: Mistakes,
) -> dict[str, Any]:
    open_ended = any(one.kind is Parameter.VAR_KEYWORD for one in takes.values())
    named = {name: one for name, one in takes.items() if one.kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)}
    for name, one in named.items():
        if one.default is Parameter.empty and name not in given:
            mistakes.add(at, f"no parameter {name!r}", f"it, because {use!r} requires it")
    values = {}
    for name, (place, node) in given.items():
        if name in named and typing.get_args(named[name].annotation)[1:] == (Recipe,):
            values[name] = _members(name, place, node, mistakes)
        elif name in named:
            values[name] = _value(name, named[name].annotation, place, node, mistakes)
        elif open_ended:
            values[name] = node.plain()
        else:
            unknown_key(name, [*named, *own], place, mistakes, f" for {use!r}")
    return values


def _members(name: str, at: Position, node: Node, mistakes: Mistakes) -> dict[str, Any]:
    """Checks that a check is made of: each is compiled as one of the policy's own, without what only the chain can keep."""
    if not node.entries:
        mistakes.add(at, f"{node.describe()} for parameter {name!r}", "a mapping of names to checks, each with `use`")
    values = {}
    for member, entry in node.entries.items():
        found = entry.node.entries
        use = found["use"].node.value if "use" in found else None
        if not isinstance(use, str):
            shown = entry.node.describe() if not found else f"{describe(use)} for 'use'" if "use" in found else "no key 'use'"
            mistakes.add(entry.at, f"{shown} under {member!r}", "a check: `use` and its parameters")
            continue
        given = {key: (one.at, one.node) for key, one in found.items() if key != "use"}
        built = build(checks, use, found["use"].node.at, given, ("use",), mistakes)
        values[member] = {"use": use, **(built[1] if built else {})}
    return values


def _value(name: str, annotation: Any, at: Position, node: Node, mistakes: Mistakes) -> Any:
    """The parameter as JSON values, after its type was checked: `1` for a number becomes 1.0, whatever the spelling."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(Any if annotation is Parameter.empty else annotation)
        value = adapter.validate_json(json.dumps(node.plain()), strict=True)
        return adapter.dump_python(value, mode="json")
    except ValidationError as error:
        note_parameter(error, node, name, mistakes)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        mistakes.add(at, f"a value for parameter {name!r}", "none; it cannot be set in a policy file")
    return None
