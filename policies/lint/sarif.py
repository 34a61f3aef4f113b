"""Reports as SARIF 2.1.0 (OASIS standard), which code hosts show beside the lines of a change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from policies.lint.registry import LINTS, Level, Lint
from policies.lint.run import LOAD, Finding, Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.ADVICE: "note"}
_ROOT = "SRCROOT"


def sarif(reports: Iterable[Report], root: Path) -> dict[str, Any]:
    """One run over all files. `root`: the folder that addresses of files are relative to, where they lie in it."""
    known = [LOAD, *LINTS.values()]
    findings = [one for report in reports for one in (*report.findings, *report.allowed)]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "genguard policy lint",
                        "semanticVersion": version("genguard"),
                        "rules": [_rule(one) for one in known],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {_ROOT: {"uri": f"{root.resolve().as_uri()}/"}},
                "results": _results(findings, [one.name for one in known], root),
            }
        ],
    }


def _rule(one: Lint) -> dict[str, Any]:
    return {
        "id": one.name,
        "name": "".join(word.capitalize() for word in one.name.split("-")),
        "shortDescription": {"text": one.summary},
        "fullDescription": {"text": one.why},
        "help": {"text": one.why},
        "defaultConfiguration": {"level": _LEVELS[one.level]},
    }


def _results(findings: Sequence[Finding], order: Sequence[str], root: Path) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    results = []
    for one in findings:
        address = _address(one.at.file, root)
        # A finding stays the same one when lines move, so that a code host does not report it as new.
        key = "\n".join((one.lint.name, str(address["uri"]), one.quote.strip()))
        seen[key] = seen.get(key, -1) + 1
        print_ = hashlib.sha256(f"{key}\n{seen[key]}".encode()).hexdigest()[:32]
        result: dict[str, Any] = {
            "ruleId": one.lint.name,
            "ruleIndex": order.index(one.lint.name),
            "level": _LEVELS[one.lint.level],
            "message": {"text": one.message},
            "locations": [{"physicalLocation": {"artifactLocation": address, **_region(one)}}],
            "partialFingerprints": {"genguardLint/v1": print_},
        }
        if one.allowed:
            result["suppressions"] = [{"kind": "inSource", "justification": one.allowed}]
        results.append(result)
    return results


def _region(one: Finding) -> dict[str, Any]:
    if not one.at.line:
        return {}
    region: dict[str, Any] = {"startLine": one.at.line}
    if one.at.column:
        region["startColumn"] = one.at.column
    if one.quote:
        region["snippet"] = {"text": one.quote}
    return {"region": region}


def _address(file: str, root: Path) -> dict[str, str]:
    path, base = Path(file).resolve(), root.resolve()
    if path.is_relative_to(base):
        return {"uri": quote(path.relative_to(base).as_posix()), "uriBaseId": _ROOT}
    return {"uri": path.as_uri()}
