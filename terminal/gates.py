"""What has to hold before a policy may judge: its tests are green, and no lint finds an error. The only place that asks."""

from __future__ import annotations

from datetime import UTC, datetime

from guard.rules import Policy
from policies.loaded import LoadedPolicy


def red_tests(loaded: LoadedPolicy) -> list[str]:
    """The tests of a policy that did not pass, a line each, with what was expected; one line when it has no tests."""
    from policies.testing import run

    report = run(loaded)
    if report.ok:
        return []
    red = [one for one in report.results if str(one.outcome) != "passed"]
    told = [f"{one.at}: {one.outcome}: {one.name}: {'; '.join(one.why)}" for one in red]
    return told or [f"{loaded.file}: found no tests, expected at least one: an example beside a rule, or a suite"]


def lint_errors(loaded: LoadedPolicy, before: Policy | None) -> list[str]:
    """What lints find that cannot be meant, a line each. `before`: the revision that judges now."""
    from policies.lint import examine

    report = examine(loaded, datetime.now(UTC), activating=True, before=before)
    return [str(one) for one in report.findings if str(one.lint.level) == "error"]
