"""What the editor of policies completes from: the schema of the file, and the checks that are installed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from console.preferences import Language
from console.said import sayings
from guard.errors import GenguardError
from guard.registry import checks
from guard.types import Modality, Stage
from policies import open_policy, packs
from policies.schema import FILE


@cache
def hints(language: Language) -> dict[str, Any]:
    """The schema, described in a language; checks with parameters and, as far as packs use them, labels; packs; facts.

    A second of work the first time: checks are imported, none is built.
    """
    return {
        "schema": _described(json.loads(FILE.read_text("utf-8")), sayings(language).say),
        "checks": {name: {"parameters": _parameters(name), "labels": _labels().get(name, [])} for name in checks.names()},
        "packs": list(packs()),
        "facts": {"stage": [str(one) for one in Stage], "modality": [str(one) for one in Modality]},
    }


def _described(node: Any, say: Callable[[str], str]) -> Any:
    """A part of a schema with its descriptions said."""
    if isinstance(node, dict):
        return {
            name: say(one) if name == "description" and isinstance(one, str) else _described(one, say)
            for name, one in node.items()
        }
    return [_described(one, say) for one in node] if isinstance(node, list) else node


def _parameters(check: str) -> list[dict[str, str]]:
    """Those that a policy may give; none for a check whose package is not installed whole."""
    try:
        found = checks.signature(check).parameters.values()
    except GenguardError:
        return []
    named = [one for one in found if one.kind is not inspect.Parameter.VAR_KEYWORD]
    return [{"name": one.name, "default": _default(one)} for one in named]


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return ""
    return json.dumps(parameter.default, default=str)


@cache
def _labels() -> dict[str, list[str]]:
    """By what a check uses: the labels that it reports in packs."""
    found: dict[str, dict[str, None]] = {}
    for name in packs():
        loaded = open_policy(name)
        for spec in loaded.policy.checks:
            known = loaded.checks.get(spec.name)
            found.setdefault(spec.use, {}).update(dict.fromkeys((known.labels if known is not None else None) or ()))
    return {use: list(labels) for use, labels in found.items()}
