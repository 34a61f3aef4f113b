"""Runs what a policy says about itself: the examples beside its rules, and the suites beside its file.

    report = testing.run(policies.open_policy("shop.yaml"))
    report.ok, report.passed, report.failed, report.errors

`genguard policy test` prints such a report; whoever puts a policy in force asks for `report.ok`.
"""

from __future__ import annotations

from policies.testing.measure import Pool
from policies.testing.report import Branch, Coverage, Near, Outcome, Report, Result
from policies.testing.run import Selection, run
from policies.testing.suite import Suite, find_suites, open_suite

__all__ = [
    "Branch",
    "Coverage",
    "Near",
    "Outcome",
    "Pool",
    "Report",
    "Result",
    "Selection",
    "Suite",
    "find_suites",
    "open_suite",
    "run",
]
