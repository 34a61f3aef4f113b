"""A compiled policy as canonical JSON, and back.

The document is what the ledger keeps and what the revision is the digest of. It holds all defaults, the labels' categories and
what each check reads, so that a decision re-derives from it years later, without the YAML file, the checks or their models.

Canonical: keys sorted, no spaces, UTF-8 unescaped, scores as integers per mille, empty values left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from guard.errors import PolicyError
from guard.rules import CheckSpec, Exemption, MarkSpec, Policy, Previews, Rule
from guard.types import Action, Modality, Stage, StreamMode
from policies.encoding import decode

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
        exceptions=tuple(_exemption(entry) for entry in found.get("exceptions", ())),
        stream=StreamMode(found.get("stream", StreamMode.WINDOW)),
        previews=_previews(found["previews"]) if "previews" in found else None,
    )


def _previews(entry: dict[str, Any]) -> Previews:
    return Previews(tuple(entry["rules"]), entry["every"])


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
    basis = entry.get("basis", "")
    kind, basis = next(iter(basis.items())) if isinstance(basis, dict) else ("", basis)
    return Rule(
        id=entry["id"],
        when=decode(entry["when"]),
        action=Action(entry["action"]),
        category=entry["category"],
        title=entry.get("title", ""),
        basis=basis,
        basis_kind=kind,
        operator=change.pop("operator", ""),
        parameters=tuple((name, str(value)) for name, value in sorted(change.items())),
        message=tuple(sorted(entry.get("message", {}).items())),
    )


def _mark(kind: str, modality: str, entry: dict[str, Any]) -> MarkSpec:
    parameters, follows = frozen(entry.get("parameters", {})), Action(entry["on_unmarkable"])
    return MarkSpec(kind, Modality(modality), parameters, follows, entry.get("only_labelled", False))


def frozen(value: Any) -> Any:
    """The value with every list in it as a tuple: what checks are given as parameters."""
    if isinstance(value, Mapping):
        return {key: frozen(inner) for key, inner in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def _exemption(entry: dict[str, Any]) -> Exemption:
    return Exemption(
        id=entry["id"],
        rules=tuple(entry["rules"]),
        owner=entry["owner"],
        reason=entry["reason"],
        expires=datetime.fromisoformat(entry["expires"]),
        when=decode(entry["when"]) if "when" in entry else None,
    )
