"""What lints, tests and replays found, as plain fields: for HTTP and for the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from policies.mistake import Position

if TYPE_CHECKING:
    from policies import lint, testing
    from policies.replay import Summary


def lint_fields(report: lint.Report, level: lint.Level) -> dict[str, Any]:
    """What lints found in one policy; findings below `level` are left out."""
    policy = report.policy
    facts = (
        {
            "policy": policy.id,
            "version": policy.version,
            "status": policy.status,
            "revision": policy.revision,
            "checks": len(policy.checks),
            "rules": len(policy.rules),
        }
        if policy
        else {}
    )
    return {
        "file": report.file,
        "loaded": policy is not None,
        **facts,
        "findings": [finding_fields(one) for one in report.findings if one.lint.level.rank >= level.rank],
        "allowed": [
            {"lint": one.lint.name, "file": one.at.file, "line": one.at.line, "message": one.message, "reason": one.allowed}
            for one in report.allowed
        ],
    }


def finding_fields(one: lint.Finding) -> dict[str, Any]:
    """One finding of a lint, or one mistake for which a policy is not loaded."""
    return {
        "lint": one.lint.name,
        "level": one.lint.level.value,
        **place(one.at),
        "message": one.message,
        "advice": one.lint.why,
    }


def tests_fields(report: testing.Report) -> dict[str, Any]:
    """What came of the tests of one policy. Scores are from 0 to 1, times seconds."""
    tests = [
        {
            "name": one.name,
            **place(one.at),
            "rule": one.rule or None,
            "kind": one.kind,
            "outcome": one.outcome.value,
            "why": list(one.why),
            "seconds": round(one.seconds, 6),
        }
        for one in report.results
    ]
    close = [
        {
            "test": one.test,
            **place(one.at),
            "rule": one.rule,
            "measure": one.measure,
            "score": one.score / 1000,
            "threshold": one.threshold / 1000,
        }
        for one in report.near
    ]
    missing = [{**place(one.at), "rule": one.rule, "what": one.what} for one in report.coverage.missing]
    return {
        "file": report.file,
        "policy": report.policy,
        "version": report.version,
        "revision": report.revision,
        "passed": report.passed,
        "failed": report.failed,
        "errors": report.errors,
        "coverage": {"percent": round(report.coverage.percent, 2), "of": len(report.coverage.branches), "missing": missing},
        "tests": tests,
        "near": close,
    }


def replay_fields(summary: Summary) -> dict[str, Any]:
    """What came of a replay."""
    return {
        **{name: value for name, value in asdict(summary).items() if name != "flips"},
        "flipped": summary.flipped,
        "flips": [
            {
                "from": flip.before,
                "to": flip.after,
                "count": flip.count,
                "by": {name: dict(counts.most_common()) for name, counts in flip.by.items()},
                "examples": [asdict(one) for one in flip.examples],
            }
            for flip in summary.flips
        ],
    }


def place(at: Position) -> dict[str, Any]:
    """A place in a policy file."""
    return {"file": at.file, "line": at.line, "column": at.column}
