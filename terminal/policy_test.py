"""`genguard policy test`: runs the examples beside the rules of policies, and their suites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NOT_GREEN = 1
"""What the command ends with when a test did not pass, or too little is covered."""


def add(app: typer.Typer) -> None:
    """Add the command to those on policies."""
    app.command("test")(run_tests)


def run_tests(
    files: Annotated[list[str] | None, typer.Argument(help="Policy files, packs, or suites (NAME_test.yaml).")] = None,
    suite: Annotated[list[str] | None, typer.Option("--suite", help="A suite of tests to run as well; repeatable.")] = None,
    words: Annotated[str, typer.Option("-k", help="Only tests whose names have all of these words.")] = "",
    rule: Annotated[list[str] | None, typer.Option("--rule", help="Only tests about this rule; repeatable.")] = None,
    xml: Annotated[Path | None, typer.Option("--junit", help="Also write the results here, as JUnit XML.")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="List what no test shows.")] = False,
    least: Annotated[float, typer.Option("--min-coverage", min=0, max=100, help="Least coverage, in per cent.")] = 0.0,
    near: Annotated[float, typer.Option("--near", min=0, max=1, help="Tell of scores this close to a threshold.")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Run the examples beside the rules, and the suites: 0 all passed, 1 not all, or less covered than --min-coverage."""
    from policies.testing import Selection
    from policies.testing.junit import junit
    from terminal import policy_results as results

    plans = results.gather(files or [], suite or [])
    reports = results.run_all(plans, Selection(tuple(rule or ()), tuple(words.split())), round(near * 1000))
    if xml is not None:
        xml.write_text(junit(reports), "utf-8")
    covered = all(report.coverage.percent >= least for report in reports)
    green = covered and all(report.ok for report in reports)
    if as_json:
        typer.echo(json.dumps(results.fields(reports, ok=green), ensure_ascii=False, indent=2))
    else:
        results.print_reports(reports, coverage=coverage or not covered, least=least)
    raise typer.Exit(0 if green else NOT_GREEN)
