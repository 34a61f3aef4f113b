"""Reports of lint as SARIF, held against the part of its schema that they use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from guard.errors import PolicyError
from policies import open_policy
from policies.lint import LINTS, examine, mistaken
from policies.lint.sarif import sarif

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
BARE = """\
policy: house
version: 3
owner: trust-and-safety
description: For tests.
applies_to: {generators: [language]}
checks:
  toxicity: {use: toxicity}
rules:
  - id: threat
    when: {toxicity.threat: 0.6}
    action: block
    category: violence
    message: {en: Withheld.}
    tests: [{flags: bad}, {passes: good}]
"""

SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/run"}},
    },
    "additionalProperties": False,
    "$defs": {
        "message": {
            "type": "object",
            "required": ["text"],
            "properties": {"text": {"type": "string", "minLength": 1}},
            "additionalProperties": False,
        },
        "level": {"enum": ["none", "note", "warning", "error"]},
        "run": {
            "type": "object",
            "required": ["tool", "results"],
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "properties": {"driver": {"$ref": "#/$defs/driver"}},
                    "additionalProperties": False,
                },
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "originalUriBaseIds": {
                    "type": "object",
                    "additionalProperties": {"properties": {"uri": {"type": "string", "pattern": "^file:///.*/$"}}},
                },
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
            "additionalProperties": False,
        },
        "driver": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "semanticVersion": {"type": "string"},
                "rules": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/rule"}},
            },
            "additionalProperties": False,
        },
        "rule": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "string"},
                "name": {"type": "string"},
                "shortDescription": {"$ref": "#/$defs/message"},
                "fullDescription": {"$ref": "#/$defs/message"},
                "help": {"$ref": "#/$defs/message"},
                "defaultConfiguration": {"type": "object", "properties": {"level": {"$ref": "#/$defs/level"}}},
            },
            "additionalProperties": False,
        },
        "result": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": 0},
                "level": {"$ref": "#/$defs/level"},
                "message": {"$ref": "#/$defs/message"},
                "locations": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/location"}},
                "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
                "suppressions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["kind"],
                        "properties": {"kind": {"enum": ["inSource", "external"]}, "justification": {"type": "string"}},
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
        "location": {
            "type": "object",
            "required": ["physicalLocation"],
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "required": ["artifactLocation"],
                    "properties": {
                        "artifactLocation": {
                            "type": "object",
                            "required": ["uri"],
                            "properties": {
                                "uri": {"type": "string", "pattern": "^(file:///)?[A-Za-z0-9._~%/-]+$"},
                                "uriBaseId": {"type": "string"},
                            },
                            "additionalProperties": False,
                        },
                        "region": {
                            "type": "object",
                            "required": ["startLine"],
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1},
                                "startColumn": {"type": "integer", "minimum": 1},
                                "snippet": {"$ref": "#/$defs/message"},
                            },
                            "additionalProperties": False,
                        },
                    },
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    },
}
"""The part of SARIF 2.1.0's own schema that these reports use, closed for everything else."""


def test_reports_are_sarif(tmp_path):
    """Rules with help, results with regions and levels; what a comment allows is there, and marked as allowed."""
    text = BARE.replace("  - id: threat", "  - id: threat # lint: allow no-title - plain").replace(
        "message: {en: Withheld.}", ""
    )
    folder = tmp_path / "our policies"
    folder.mkdir()
    (folder / "Hausordnung ä.yaml").write_text(text, "utf-8")
    report = examine(open_policy(folder / "Hausordnung ä.yaml"), NOW)
    found = sarif([report], tmp_path)
    Draft202012Validator(SARIF).validate(found)
    (run,) = found["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]
    assert [one["id"] for one in rules] == ["load", *LINTS]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in results)
    levels = {one["ruleId"]: one["level"] for one in results}
    assert levels == {"no-title": "note", "no-basis": "note", "no-message": "warning"}
    assert [one["ruleId"] for one in results if "suppressions" in one] == ["no-title"]
    (address,) = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results}
    assert address == "our%20policies/Hausordnung%20%C3%A4.yaml"
    assert {one["locations"][0]["physicalLocation"]["region"]["startLine"] for one in results} == {9, 11}


def test_a_finding_stays_the_same_one_when_lines_move(tmp_path):
    """So that a code host does not report all of them as new."""

    def prints(text: str) -> list[str]:
        (tmp_path / "house.yaml").write_text(text, "utf-8")
        results = sarif([examine(open_policy(tmp_path / "house.yaml"), NOW)], tmp_path)["runs"][0]["results"]
        return [one["partialFingerprints"]["genguardLint/v1"] for one in results]

    before = prints(BARE)
    assert prints(f"# A remark\n{BARE}") == before
    assert len(set(before)) == len(before) == 2


def test_a_mistake_without_a_line_has_no_region(tmp_path):
    """A file that is not there."""
    with pytest.raises(PolicyError) as refused:
        open_policy(tmp_path / "gone.yaml")
    found = sarif([mistaken(refused.value, "gone.yaml")], tmp_path)
    Draft202012Validator(SARIF).validate(found)
    (result,) = found["runs"][0]["results"]
    assert result["level"] == "error"
    assert "region" not in result["locations"][0]["physicalLocation"]
