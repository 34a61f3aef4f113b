"""What the models of a policy file leave to the compiler, as JSON Schema: conditions, lists by name, overriding parts."""

from __future__ import annotations

from typing import Any

LIST = {"type": "string", "pattern": r"^\$", "description": "A list of this policy by name.", "examples": ["$partners"]}
_SCORE = {"type": "number", "minimum": 0, "maximum": 1}
_TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_ONE_OR_MORE = {"anyOf": [{"type": "string", "minLength": 1}, _TEXTS]}
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt].+)?$"
_SWITCHES = (
    ("Watermark", "image", "ImageWatermark"),
    ("Watermark", "text", "TextWatermark"),
    ("Marks", "c2pa", "C2pa"),
)
"""Marks that `true` stands for, with the model of each."""


def completed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that pydantic made of the models, with the rest of the grammar."""
    whole: dict[str, Any] = _without_null(schema)
    parts = whole["$defs"]
    parts["Condition"], parts["Place"], parts["Length"], parts["Time"] = _condition(), _place(), _length(), _time()
    _refer(parts["RuleEntry"]["properties"], "when", "Condition")
    _refer(parts["ExceptionEntry"]["properties"], "when", "Place")
    for owner, key, model in _SWITCHES:
        _either(parts[owner]["properties"], key, {"const": True}, {"$ref": f"#/$defs/{model}"})
    words = parts["Label"]["properties"]
    _either(words, "text", {"type": "string", "minLength": 1, "maxLength": 200}, _plain(words["text"]))
    for key in ("generators", "tenants"):
        _either(parts["AppliesTo"]["properties"], key, LIST, _plain(parts["AppliesTo"]["properties"][key]))
    _several(whole["properties"], "extends")
    rules = parts["ExceptionEntry"]["properties"]
    rules["rules"]["items"] = {"anyOf": [rules["rules"]["items"], LIST]}
    _several(rules, "rules")
    for key in ("rules", "checks", "lists", "exceptions"):
        _several(parts["Remove"]["properties"], key)
    lists = whole["properties"]["lists"]
    lists["patternProperties"] = {
        name: {"anyOf": [{"type": "string", "minLength": 1}, items]} for name, items in lists["patternProperties"].items()
    }
    for key in ("lists", "checks"):
        whole["properties"][key]["additionalProperties"] = False
    _overriding(whole)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "title": "genguard policy"}


def _overriding(whole: dict[str, Any]) -> None:
    """A part that overrides needs only what it changes, and a policy that extends another only its head."""
    parts = whole["$defs"]
    for name, key in (("CheckEntry", None), ("RuleEntry", "id"), ("ExceptionEntry", "id")):
        part = parts[name]
        required = [one for one in part.pop("required") if one != key]
        redacts = {"properties": {"action": {"const": "redact"}}, "required": ["action"]}
        with_ = {"if": redacts, "then": {"required": ["with"]}, "else": {"not": {"required": ["with"]}}}
        own = {"required": required, **(with_ if name == "RuleEntry" else {})}
        part |= {"if": {"required": ["override"]}, "else": own} | ({"required": [key]} if key else {})
    whole["required"] = [key for key in whole["required"] if key not in ("checks", "rules")]
    whole |= {"if": {"required": ["extends"]}, "else": {"required": ["checks", "rules"]}}


def _without_null(schema: Any) -> Any:
    """A key that is left out is no key with nothing: the latter is a mistake."""
    if isinstance(schema, list):
        return [_without_null(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_null(value) for key, value in schema.items() if (key, value) != ("default", None)}
    choices = [one for one in kept.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept


def _told(field: dict[str, Any]) -> dict[str, Any]:
    return {key: field[key] for key in ("description", "examples", "default") if key in field}


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key not in ("description", "examples", "default", "title")}


def _refer(fields: dict[str, Any], key: str, name: str) -> None:
    fields[key] = {"$ref": f"#/$defs/{name}", **_told(fields[key])}


def _either(fields: dict[str, Any], key: str, *choices: dict[str, Any]) -> None:
    fields[key] = {"anyOf": list(choices), **_told(fields[key])}


def _several(fields: dict[str, Any], key: str) -> None:
    """One text, or a list of them."""
    field = _plain(fields[key])
    _either(fields, key, field["items"], field)


# --- conditions ------------------------------------------------------------------------------------------------------


def _facts(name: str) -> dict[str, Any]:
    """What any condition may ask; `name`: of the conditions that it combines."""
    inner = {"$ref": f"#/$defs/{name}"}
    several = {"type": "array", "items": inner, "minItems": 1}
    example = {"tenant": "shop"}
    return {
        "any": {
            **several,
            "description": "At least one of these conditions holds.",
            "examples": [[example, {"stage": "prompt"}]],
        },
        "all": {**several, "description": "All of these conditions hold.", "examples": [[example, {"language": "en*"}]]},
        "not": {**inner, "description": "This condition does not hold.", "examples": [example]},
        "tenant": _patterns("Tenant that asks; a pattern, a list of patterns, or `$LIST`.", "shop", "$partners"),
        "generator": _patterns("Name of the generator; a pattern or a list of patterns.", "gan*"),
        "language": _patterns("Language of the text, such as en; a pattern or a list of patterns.", "en*", ["de", "fr"]),
        "modality": _patterns("text, image or audio.", "text", ["image", "audio"]),
        "stage": _patterns("prompt, output or chunk.", "prompt", ["output", "chunk"]),
        "purpose": _patterns("What the caller says it is for; `none` where nothing is said.", "marketing*", ["none", "test"]),
        "consent": _patterns("The caller's reference to a consent; `none` where there is none.", "none", "crm-*"),
        "length": {
            "$ref": "#/$defs/Length",
            "description": "How long the content is: characters of a text, bytes of a file.",
            "examples": [{"at_least": 2000}],
        },
        "time": {
            "$ref": "#/$defs/Time",
            "description": "When the content is judged.",
            "examples": [{"days": ["sat", "sun"], "zone": "Europe/Berlin"}],
        },
    }


def _patterns(description: str, *examples: Any) -> dict[str, Any]:
    return {**_ONE_OR_MORE, "description": description, "examples": list(examples)}


def _condition() -> dict[str, Any]:
    return {
        "type": "object",
        "minProperties": 1,
        "title": "Condition",
        "description": "All keys have to hold. `check.label: 0.6` is a score of at least 0.6; `check: LABEL`, or a list of "
        "labels, is one of them found at whatever score; `check: any` is anything found.",
        "properties": _facts("Condition"),
        "additionalProperties": {
            "description": "A check, or a check's label: the least score from 0 to 1, that score by language, or the labels "
            "that must be found.",
            "examples": [0.6, {"en": 0.6, "zh": 0.5, "*": 0.6}, "any", ["CREDIT_CARD", "IBAN_CODE"]],
            "anyOf": [
                _SCORE,
                {"type": "object", "additionalProperties": _SCORE, "required": ["*"]},
                *_ONE_OR_MORE["anyOf"],
            ],
        },
    }


def _place() -> dict[str, Any]:
    return {
        "type": "object",
        "minProperties": 1,
        "title": "Place",
        "description": "A condition that asks no check. All keys have to hold.",
        "properties": _facts("Place"),
        "additionalProperties": False,
    }


def _length() -> dict[str, Any]:
    return {
        "type": "object",
        "minProperties": 1,
        "title": "Length",
        "description": "A range of lengths: characters of a text, bytes of an image file.",
        "properties": {
            "at_least": {"type": "integer", "minimum": 1, "description": "The shortest that counts.", "examples": [2000]},
            "below": {"type": "integer", "minimum": 1, "description": "The shortest that is too long.", "examples": [10000]},
        },
        "additionalProperties": False,
    }


def _time() -> dict[str, Any]:
    day = r"^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$"
    days = {"type": "string", "pattern": day}
    moment = {"type": "string", "pattern": _MOMENT}
    return {
        "type": "object",
        "title": "Time",
        "description": "A time that content is judged in; all keys have to hold.",
        "anyOf": [{"required": [key]} for key in ("since", "until", "days", "hours")],
        "properties": {
            "since": {
                **moment,
                "description": "The first day, or the time from which on it holds.",
                "examples": ["2026-11-01", "2026-11-01T18:00:00Z"],
            },
            "until": {
                **moment,
                "description": "The last day, or the time before which it holds.",
                "examples": ["2026-12-31", "2026-12-31T18:00:00+01:00"],
            },
            "days": {
                "anyOf": [days, {"type": "array", "items": days, "minItems": 1}],
                "description": "Days of the week.",
                "examples": [["sat", "sun"], "mon-fri"],
            },
            "hours": {
                "type": "string",
                "pattern": r"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$",
                "description": "From a time of day to another, through midnight when the first is the later one.",
                "examples": ["18:00-08:00"],
            },
            "zone": {
                "type": "string",
                "minLength": 1,
                "default": "UTC",
                "description": "Time zone that days and hours are told in, by its IANA name. Default: UTC.",
                "examples": ["Europe/Berlin", "Asia/Shanghai"],
            },
        },
        "additionalProperties": False,
    }
