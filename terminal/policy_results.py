"""Runs the tests of policies for the terminal, and prints what came of them: progress on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from guard.errors import InputError
from policies.load import SUITE, open_policy
from policies.loaded import LoadedPolicy
from policies.mistake import Position
from policies.testing import Near, Outcome, Pool, Report, Selection, Suite, find_suites, open_suite, run
from policies.testing.scores import shown
from serving.drafting.fields import tests_fields
from terminal.printing import printable

_STYLE = {Outcome.FAILED: "red", Outcome.ERROR: "magenta"}
_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Plan:
    """A policy with the suites to run beside its examples."""

    loaded: LoadedPolicy
    suites: tuple[Suite, ...]


def gather(files: Sequence[str], suites: Sequence[str]) -> list[Plan]:
    """The policies to test, each once, with their suites: those beside them, and those that are given.

    Raises PolicyError for a file that cannot be used, InputError when none is given.
    """
    named = [file for file in files if Path(file).stem.endswith(SUITE)]
    policies = list({_same(one): one for one in (open_policy(file) for file in files if file not in named)}.values())
    given = [open_suite(file, policies) for file in (*named, *suites)]
    for one in given:
        if not any(_same(one.loaded) == _same(known) for known in policies):
            policies.append(one.loaded)
    if not policies:
        raise InputError("found no policy, expected at least one policy file, pack or suite")
    return [Plan(loaded, _suites(loaded, given)) for loaded in policies]


def _suites(loaded: LoadedPolicy, given: Sequence[Suite]) -> tuple[Suite, ...]:
    mine = [one for one in given if _same(one.loaded) == _same(loaded)]
    found = {Path(one.file).resolve(): one for one in (*find_suites(loaded), *mine)}
    return tuple(found.values())


def _same(loaded: LoadedPolicy) -> Path:
    return Path(loaded.file).resolve()


def run_all(plans: Sequence[Plan], select: Selection, near: int) -> list[Report]:
    """Run the tests of several policies, with the models that they share loaded once; one report a policy.

    Where tests are selected, policies without any of them are left out; raises InputError when that leaves none.
    """
    known = list(dict.fromkeys(rule.id for plan in plans for rule in plan.loaded.policy.rules))
    for rule in select.rules:
        if rule not in known:
            raise InputError(f"--rule: found {rule!r}, expected one of: {', '.join(known)}")
    pool = Pool()
    reports = [_run(plan, select, near, pool) for plan in plans]
    if select.rules or select.words:
        reports = [report for report in reports if report.results]
        if not reports:
            raise InputError("found no test with these words or about this rule", advice="Leave out -k or --rule to see all.")
    return reports


def _run(plan: Plan, select: Selection, near: int, pool: Pool) -> Report:
    notes = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        task = bar.add_task(plan.loaded.policy.id, total=None)
        return run(
            plan.loaded,
            suites=plan.suites,
            select=select,
            near_within=near,
            pool=pool,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )


# --- what is printed ---------------------------------------------------------------------------------------------------


def fields(reports: Sequence[Report], *, ok: bool) -> dict[str, Any]:
    """Reports as JSON values. Scores are from 0 to 1, times seconds."""
    return {
        "ok": ok,
        **{name: sum(getattr(report, name) for report in reports) for name in ("passed", "failed", "errors")},
        "policies": [tests_fields(report) for report in reports],
    }


def print_reports(reports: Sequence[Report], *, coverage: bool, least: float) -> None:
    """Each test that did not pass, scores close to a threshold, and a line a policy. `coverage`: list what no test shows."""
    console = Console()
    console = console if console.is_terminal else Console(width=_WIDTH)
    for report in reports:
        for one in report.results:
            if one.outcome is not Outcome.PASSED:
                _say(console, f"[{_STYLE[one.outcome]}]{one.outcome.value}[/]", f"{_short(one.at)}: {one.name}: {one.why[0]}")
                for line in one.why[1:]:
                    _say(console, "       ", line)
        if report.near:
            console.print("Close to a threshold:")
            for close in report.near:
                _say(console, "   ", f"{_short(close.at)}: {_near(close)}")
        if coverage and report.coverage.missing:
            console.print("No test shows:")
            for branch in report.coverage.missing:
                _say(console, "   ", f"{_short(branch.at)}: {branch.rule}: {branch.what}")
        _print_summary(console, report, least)
    if len(reports) > 1:
        sums = [sum(getattr(report, name) for report in reports) for name in ("passed", "failed", "errors")]
        _say(console, f"{len(reports)} policies:", "{} passed, {} failed, {} errors".format(*sums))


def _print_summary(console: Console, report: Report, least: float) -> None:
    # Rounded down, so that 100 % is all of it.
    percent = int(report.coverage.percent)
    words = f"{report.passed} passed, {report.failed} failed, {report.errors} errors, coverage {percent} %"
    if report.coverage.percent < least:
        words += f" of at least {least:g} %"
    if not report.results:
        words = "no tests, expected at least one"
    fine = report.ok and report.coverage.percent >= least
    _say(console, f"[{'green' if fine else 'red'}]{escape(report.policy)}[/] version {report.version}:", words)


def _near(one: Near) -> str:
    return f"{one.rule}: {one.measure} {shown(one.score)} against {shown(one.threshold)} ({one.test})"


def _say(console: Console, head: str, text: str) -> None:
    """`head` is markup, `text` is not."""
    console.print(f"{head} {escape(printable(text))}", highlight=False, soft_wrap=True)


def _short(at: Position) -> str:
    """A place with its path from here, where the file lies below."""
    path = Path(at.file)
    here = Path.cwd()
    return str(Position(str(path.relative_to(here)) if path.is_relative_to(here) else at.file, at.line, at.column))
