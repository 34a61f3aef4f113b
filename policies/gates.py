"""What has to hold before a policy may judge: its tests are green, and no lint finds an error. The only place that asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from guard.rules import Policy
from policies.loaded import LoadedPolicy

if TYPE_CHECKING:
    from policies.testing import Pool
    from policies.testing.suite import Suite


def closed(
    loaded: LoadedPolicy,
    before: Policy | None,
    pool: Pool | None = None,
    *,
    suites: Sequence[Suite] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[str]]:
    """What keeps a policy from judging, by what found it; empty when nothing does. `before`: the revision that judges now.

    `pool`: of checks for its tests, where some are loaded already. `suites`: the one beside its file by default. `texts`: see
    `policies.lint.examine`.
    """
    found = {"lint errors": lint_errors(loaded, before, texts)}
    if not any(found.values()):
        found["tests that are not green"] = red_tests(loaded, pool, suites)
    return {name: lines for name, lines in found.items() if lines}


def red_tests(loaded: LoadedPolicy, pool: Pool | None = None, suites: Sequence[Suite] | None = None) -> list[str]:
    """The tests of a policy that did not pass, a line each, with what was expected; one line when it has no tests."""
    from policies.testing import run

    report = run(loaded, pool=pool, suites=suites)
    if report.ok:
        return []
    red = [one for one in report.results if str(one.outcome) != "passed"]
    told = [f"{one.at}: {one.outcome}: {one.name}: {'; '.join(one.why)}" for one in red]
    return told or [f"{loaded.file}: found no tests, expected at least one: an example beside a rule, or a suite"]


def lint_errors(loaded: LoadedPolicy, before: Policy | None, texts: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """What lints find that cannot be meant, a line each. `before`: the revision that judges now."""
    from policies.lint import examine

    report = examine(loaded, datetime.now(UTC), activating=True, before=before, texts=texts)
    return [str(one) for one in report.findings if str(one.lint.level) == "error"]
