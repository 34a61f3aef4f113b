"""Says pydantic's errors in a policy author's words, with the line of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from policies import schema
from policies.mistake import Mistakes, Position, describe, one_of
from policies.source import Node

_Path = tuple[str | int, ...]

_MODELS: dict[str, type[BaseModel]] = {
    "": schema.PolicyFile,
    "applies_to": schema.AppliesTo,
    "rules": schema.RuleEntry,
    "basis": schema.Basis,
    "exceptions": schema.ExceptionEntry,
    "remove": schema.Remove,
    "with": schema.Redaction,
    "tests": schema.RuleTest,
    "marks": schema.Marks,
    "watermark": schema.Watermark,
    "image": schema.ImageWatermark,
    "text": schema.TextWatermark,
    "label": schema.Label,
    "c2pa": schema.C2pa,
}
"""The model behind each key that holds a mapping with fixed keys."""

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "none_required": "nothing",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "literal_error": "one of: {expected}",
    "enum": "one of: {expected}",
    "greater_than_equal": "a number of at least {ge}",
    "greater_than": "a number above {gt}",
    "less_than_equal": "a number of at most {le}",
    "less_than": "a number below {lt}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "nothing": "something after it, or the key left out",
}


def note(error: ValidationError, root: Node, mistakes: Mistakes, within: _Path = ()) -> set[_Path]:
    """Note every error of a policy file; return the paths that have one, cut after two steps: `("rules", 3)`.

    `within`: the part of the file that was validated.
    """
    broken: set[_Path] = set()
    for found in error.errors(include_url=False):
        path: _Path = (*within, *(step for step in found["loc"] if step not in (schema.WORDS, schema.KINDS)))
        broken.add(path[:2])
        _note(found, path, root, mistakes)
    return broken


def note_parameter(error: ValidationError, node: Node, name: str, mistakes: Mistakes) -> None:
    """Note that one parameter of a check or mark has the wrong type; a union's errors become one mistake."""
    errors = error.errors(include_url=False)
    at = node.value_at(tuple(errors[0]["loc"]))
    expected = " or ".join(dict.fromkeys(_expected(found) for found in errors))
    mistakes.add(at, f"{describe(errors[0]['input'])} for parameter {name!r}", expected, _hint(errors[0], mistakes))


def unknown_key(key: str, known: Iterable[str], at: Position, mistakes: Mistakes, where: str = "") -> None:
    """Note a key that nobody reads."""
    names = list(known)
    mistakes.add(at, f"unknown key {describe(key)}{where}", one_of(names), mistakes.closest(key, names))


def _note(found: Any, path: _Path, root: Node, mistakes: Mistakes) -> None:
    kind, at = found["type"], root.place_of(path)
    value = root.value_at(path)
    if kind == "missing":
        mistakes.add(at, f"no key {path[-1]!r}", f"it, because it is required: {_field(path)}")
    elif kind == "extra_forbidden":
        unknown_key(str(path[-1]), _keys(path[:-1]), at, mistakes)
    elif kind == "wording":
        mistakes.say(value, found["ctx"]["text"])
    else:
        key = next((step for step in reversed(path) if isinstance(step, str) and step != "[key]"), "")
        named = bool(path) and path[-1] == "[key]"
        where = " as a key" if named else f" for {key!r}" if key else ""
        mistakes.add(at if named else value, describe(found["input"]) + where, _expected(found), _hint(found, mistakes))


def _model(path: _Path) -> type[BaseModel]:
    names = [step for step in path if isinstance(step, str)]
    return _MODELS.get(names[-1] if names else "", schema.CheckEntry)


def _keys(path: _Path) -> list[str]:
    return [field.alias or name for name, field in _model(path).model_fields.items()]


def _field(path: _Path) -> str:
    field = _model(path[:-1]).model_fields.get(str(path[-1]))
    return (field.description if field and field.description else "see docs/policy.md").rstrip(".")


def _expected(found: Any) -> str:
    context = found.get("ctx", {})
    if found["type"] == "string_pattern_mismatch":
        return schema.PATTERNS.get(context["pattern"], f"text that matches {context['pattern']}")
    if found["type"] == "too_short" and context["min_length"] == 1:
        return "at least one entry"
    if found["type"] == "string_too_short" and context["min_length"] == 1:
        return "some text"
    if found["type"] == "literal_error" and context["expected"] == "True":
        return "true"
    known = _EXPECTED.get(found["type"])
    return known.format(**context) if known else str(found["msg"])


def _hint(found: Any, mistakes: Mistakes) -> str:
    value = found["input"]
    if found["type"] == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotation marks to make it text"
    if found["type"] in ("int_type", "float_type", "int_parsing") and isinstance(value, str) and value.isdecimal():
        return "leave the quotation marks out to make it a number"
    if found["type"] in ("literal_error", "enum") and isinstance(value, str):
        return mistakes.closest(value, _choices(found["ctx"]["expected"]))
    return ""


def _choices(expected: str) -> Sequence[str]:
    return [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(",")]
