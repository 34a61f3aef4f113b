"""One entry as one row: what a spreadsheet or a data frame has room for. The whole of it is in its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.canonical import loads
from audit.export.selection import Taken
from audit.projected import project, terms

TEXTS = (
    "time",
    "kind",
    "decision",
    "request",
    "tenant",
    "actor",
    "subject",
    "stage",
    "modality",
    "generator",
    "model",
    "action",
    "policy",
)
LISTS = ("rule", "category")
COLUMNS = ("index", *TEXTS, "version", "revision", "parent", *LISTS, "explanation", "message", "reason", "leaf")
"""Columns of a row, in order. `index` and `version` are numbers, those of LISTS lists of texts, all others texts."""


def flat(entry: Taken) -> dict[str, Any]:
    """An entry as a row; what its kind does not have is empty. Of a body that was dropped, the ledger's columns are left."""
    body: Mapping[str, Any] = {} if entry.body is None else loads(entry.body)
    columns = project(body) if body else entry.columns
    facts = terms(body) if body else set()
    verdict = body.get("verdict", {})
    row: dict[str, Any] = {"index": entry.idx, "leaf": entry.leaf.hex(), "version": columns["version"] or 0}
    row |= {name: columns[name] or "" for name in (*TEXTS, "revision", "parent")}
    row |= {name: sorted(value for key, value in facts if key == name) for name in LISTS}
    row["explanation"] = verdict.get("explanation", "")
    row["message"] = next((text for language, text in verdict.get("message", ()) if language == "en"), "")
    row["reason"] = body.get("reason", "")
    return {name: row[name] for name in COLUMNS}
