"""policies.gates: what is asked of a policy before it may judge."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from policies import gates, open_policy

LOADED = open_policy("enterprise")


def test_tests_that_are_not_green_are_told_with_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that failed, and those that could not be told; nothing when all passed."""
    results = [
        SimpleNamespace(
            at="house.yaml:9:9", outcome=outcome, name=f"threat flags {outcome}", why=("expected block", "found allow")
        )
        for outcome in ("passed", "failed", "error")
    ]
    report = SimpleNamespace(ok=False, results=results)
    monkeypatch.setitem(
        sys.modules, "policies.testing", SimpleNamespace(run=lambda loaded, **_: report if loaded is LOADED else None)
    )
    assert gates.red_tests(LOADED) == [
        "house.yaml:9:9: failed: threat flags failed: expected block; found allow",
        "house.yaml:9:9: error: threat flags error: expected block; found allow",
    ]
    report.results = []
    assert "found no tests" in gates.red_tests(LOADED)[0]
    report.ok = True
    assert gates.red_tests(LOADED) == []


def test_lint_errors_are_told_and_warnings_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the revision that judges now, and as one that is about to be activated."""
    asked: dict[str, Any] = {}

    class Found(SimpleNamespace):
        def __str__(self) -> str:
            return f"house.yaml:3:1: {self.lint.level}"

    def examine(loaded: object, now: datetime, **rest: Any) -> Any:
        asked.update(rest, loaded=loaded, zone=now.tzinfo)
        return SimpleNamespace(findings=[Found(lint=SimpleNamespace(level=level)) for level in ("error", "warning", "advice")])

    monkeypatch.setitem(sys.modules, "policies.lint", SimpleNamespace(examine=examine))
    assert gates.lint_errors(LOADED, LOADED.policy) == ["house.yaml:3:1: error"]
    assert (asked["loaded"], asked["before"], asked["activating"]) == (LOADED, LOADED.policy, True)
    assert asked["zone"] is not None


def test_the_gates_are_the_real_tests_and_lints(tmp_path: Path) -> None:
    """A policy whose example does not hold, or whose rule can never fire, may not judge; a sound one may."""
    text = """
policy: desk
version: 1
status: live
checks:
  unseen: {use: invisible_characters}
rules:
  - id: hidden
    when: {unseen: any}
    action: block
    category: input
    tests:
      - passes: Good morning.
      - flags: "Good\\u200b morning\\u202e."
"""
    file = tmp_path / "desk.yaml"
    file.write_text(text, "utf-8")
    assert gates.red_tests(open_policy(file)) == []
    assert gates.lint_errors(open_policy(file), None) == []
    file.write_text(text.replace("passes: Good morning.", 'passes: "Good\\u202e morning."'), "utf-8")
    assert "expected to pass; unseen found bidi" in gates.red_tests(open_policy(file))[0]
    file.write_text(text.replace("status: live", "status: deprecated"), "utf-8")
    assert "deprecated" in gates.lint_errors(open_policy(file), None)[0]
