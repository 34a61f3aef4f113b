"""The OpenAPI document: FastAPI's, with the one shape that all errors have, whichever part of the service answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import FastAPI

_TEXT = {"type": "string"}
ERROR: dict[str, Any] = {
    "title": "Error",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "param"],
            "properties": {"message": _TEXT, "type": _TEXT, "code": _TEXT, "param": {"type": ["string", "null"]}},
        },
        "genguard": {"description": "The evidence of an input that was refused and recorded.", "type": "object"},
    },
}
"""OpenAI's shape. Inputs that could not be judged bring the evidence of that, too."""
UNREADY = "/readyz"
"""The one path that answers 503 with what it answers otherwise."""


def description(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What makes the document, once; to be assigned to `app.openapi`."""
    plain = app.openapi

    @cache
    def made() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Error"] = ERROR
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                answers = operation["responses"]
                answers.pop("422", None)
                answers["4XX"] = _answer("The request cannot be answered: its shape, its key, its right, its size or its rate.")
                answers["5XX"] = {"description": "What is not ready."} if path == UNREADY else _answer("Nothing was released.")
        return document

    return made


def _answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
