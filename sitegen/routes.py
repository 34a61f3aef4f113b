"""The reference of HTTP routes, from the OpenAPI description of the application."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")


def page(document: Mapping[str, Any]) -> str:
    """One section a route: what it does, takes and answers."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield "# HTTP reference"
    yield ""
    yield "Made from the OpenAPI description, which each service answers under `/openapi.json`. How routes are used is told in"
    yield "[http.md](../http.md), who may call them in [access.md](../access.md)."
    for path, operations in sorted(document["paths"].items()):
        for method in _METHODS:
            if method in operations:
                yield from _operation(path, method, operations[method], document)


def _operation(path: str, method: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"## `{method.upper()} {path}`", "", operation.get("description") or operation.get("summary", ""))
    rows = [
        (one["name"], one["in"], _type(one.get("schema", {}), document), one.get("required", False), one.get("description", ""))
        for one in operation.get("parameters", ())
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content.get("schema", {}), document)
        needed = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            rows.append((name, f"body ({kind})", _type(field, document), name in needed, field.get("description", "")))
    if rows:
        yield from ("", "| name | in | type | required | what it is |", "|---|---|---|---|---|")
        for name, place, type_, required, told in rows:
            yield f"| `{name}` | {place} | {_cell(type_)} | {'yes' if required else 'no'} | {_cell(told)} |"
    answers = ", ".join(f"{status} {one.get('description', '')}".strip() for status, one in operation["responses"].items())
    yield from ("", f"Answers: {answers}.")


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _type(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[-1]}`"
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(_type(one, document) for one in schema.get("anyOf", schema.get("oneOf", ())))
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}), document)}"
    limits = [f"{word} {schema[key]}" for key, word in _LIMITS.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *([f"({', '.join(limits)})"] if limits else [])])


_LIMITS = {"minimum": "from", "maximum": "to", "minLength": "characters from", "maxLength": "characters to"}


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
