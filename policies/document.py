"""A compiled policy as canonical JSON, and back.

The document is what the ledger keeps and what the revision is the digest of. It holds all defaults, the labels' categories and
what each check reads, so that a decision re-derives from it years later, without the YAML file, the checks or their models.

Canonical: keys sorted, no spaces, UTF-8 unescaped, scores as integers per mille, empty values left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from guard.errors import PolicyError
from guard.rules import AllOf, AnyOf, Attribute, CheckSpec, Condition, Found, MarkSpec, Not, Policy, Rule, ScoreAtLeast
from guard.types import Action, Modality, Stage

FORMAT = 1
"""Changes when the same document would have to be read in another way."""


def canonical(document: Mapping[str, Any]) -> str:
    """The one text of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def from_document(document: str) -> Policy:
    """Compile a policy again from its document: the same policy, with the same revision.

    Asks no registry, so that decisions of a check that is long gone still re-derive. Raises PolicyError for a text that is not
    a canonical document of a known format.
    """
    try:
        found = json.loads(document)
        if canonical(found) != document:
            raise PolicyError("found a policy document in another spelling, expected canonical JSON as it was recorded")
        if found["format"] != FORMAT:
            raise PolicyError(f"found a policy document of format {found['format']!r}, expected format {FORMAT}")
        return _policy(found, document)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PolicyError(
            f"found no policy document ({type(error).__name__}), expected the canonical JSON of a policy",
            advice="Take the document from the ledger's record of this revision, byte for byte.",
        ) from None


def _policy(found: dict[str, Any], document: str) -> Policy:
    applies_to = found["applies_to"]
    return Policy(
        id=str(found["policy"]),
        version=int(found["version"]),
        status=str(found["status"]),
        revision=hashlib.sha256(document.encode()).hexdigest(),
        document=document,
        checks=tuple(_check(name, entry) for name, entry in sorted(found["checks"].items())),
        rules=tuple(_rule(entry) for entry in found["rules"]),
        marks=tuple(
            _mark(kind, modality, entry)
            for kind, by_modality in sorted(found.get("marks", {}).items())
            for modality, entry in sorted(by_modality.items())
        ),
        generators=tuple(applies_to["generators"]),
        tenants=tuple(applies_to["tenants"]),
        owner=found.get("owner", ""),
        description=found.get("description", ""),
    )


def _check(name: str, entry: dict[str, Any]) -> CheckSpec:
    return CheckSpec(
        name=name,
        use=entry["use"],
        parameters=frozen(entry.get("parameters", {})),
        deadline_ms=entry["deadline_ms"],
        on_failure=Action(entry["on_failure"]),
        group=entry["group"],
        stages=frozenset(Stage(stage) for stage in entry["stages"]),
        modalities=frozenset(Modality(modality) for modality in entry["modalities"]),
    )


def _rule(entry: dict[str, Any]) -> Rule:
    change = dict(entry.get("with", {}))
    return Rule(
        id=entry["id"],
        when=decode(entry["when"]),
        action=Action(entry["action"]),
        category=entry["category"],
        title=entry.get("title", ""),
        basis=entry.get("basis", ""),
        operator=change.pop("operator", ""),
        parameters=tuple((name, str(value)) for name, value in sorted(change.items())),
        message=tuple(sorted(entry.get("message", {}).items())),
    )


def _mark(kind: str, modality: str, entry: dict[str, Any]) -> MarkSpec:
    return MarkSpec(kind, Modality(modality), frozen(entry.get("parameters", {})), Action(entry["on_unmarkable"]))


def frozen(value: Any) -> Any:
    """The value with every list in it as a tuple: what checks are given as parameters."""
    if isinstance(value, Mapping):
        return {key: frozen(inner) for key, inner in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def encode(condition: Condition) -> dict[str, Any]:
    """A condition as JSON values."""
    match condition:
        case ScoreAtLeast(check, label, score):
            return {"check": check, "label": label, "at_least": score}
        case Found(check, labels):
            return {"check": check, "found": sorted(labels)}
        case Attribute(name, patterns):
            return {"attribute": name, "patterns": list(patterns)}
        case AllOf(conditions):
            return {"all": [encode(part) for part in conditions]}
        case AnyOf(conditions):
            return {"any": [encode(part) for part in conditions]}
        case Not(inner):
            return {"not": encode(inner)}


def decode(found: dict[str, Any]) -> Condition:
    """The condition that `encode` made these JSON values from. Raises ValueError or KeyError for others."""
    match found:
        case {"check": str(check), "label": str(label), "at_least": int(score)}:
            return ScoreAtLeast(check, label, score)
        case {"check": str(check), "found": [*labels]}:
            return Found(check, frozenset(labels))
        case {"attribute": str(name), "patterns": [*patterns]}:
            return Attribute(name, tuple(patterns))
        case {"all": [_, *_] as parts}:
            return AllOf(tuple(decode(part) for part in parts))
        case {"any": [_, *_] as parts}:
            return AnyOf(tuple(decode(part) for part in parts))
        case {"not": dict() as inner}:
            return Not(decode(inner))
        case _:
            raise ValueError("no condition")
