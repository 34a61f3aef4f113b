"""What `genguard policy lint` does with files and folders, and how it shows what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from guard.errors import InputError, PolicyError
from guard.rules import Policy
from serving.drafting.fields import lint_fields
from terminal.printing import USAGE, printable

if TYPE_CHECKING:
    from policies.lint import Level, Report

FOUND = 1
"""Exit code when lints found errors, or, with `--strict`, warnings."""
_COLOURS = {"error": "red", "warning": "yellow", "advice": "cyan"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What lints may know of the world: see `policies.lint.Subject`."""

    now: datetime
    hub: bool
    activating: bool
    before: Policy | None


def files(named: Sequence[str]) -> list[str]:
    """The policies of files, packs and folders. Raises InputError for a folder without one.

    Of a folder, at any depth: `.yaml` and `.yml` files with a key `policy` at the top, but test suites (`_test.yaml`).
    """
    found: dict[str, None] = {}
    for name in named:
        if Path(name).is_dir():
            inside = [str(path) for path in sorted(Path(name).rglob("*.y*ml")) if _is_policy(path)]
            if not inside:
                raise InputError(f"found no policy in folder {name}, expected .yaml files with a key `policy`")
            found |= dict.fromkeys(inside)
        else:
            found[name] = None
    return list(found)


def _is_policy(path: Path) -> bool:
    if path.suffix not in {".yaml", ".yml"} or path.stem.endswith("_test") or not path.is_file():
        return False
    with path.open("rb") as source:
        return any(line.removeprefix(b"\xef\xbb\xbf").startswith(b"policy:") for line in source)


def look(named: Iterable[str], asked: Asked) -> list[Report]:
    """A report on each policy; on one that cannot be loaded, too."""
    from policies import open_policy
    from policies.lint import examine, mistaken

    reports = []
    for name in named:
        try:
            report = examine(open_policy(name), asked.now, hub=asked.hub, activating=asked.activating, before=asked.before)
        except PolicyError as error:
            report = mistaken(error, name)
        reports.append(report)
    return reports


def exit_code(reports: Iterable[Report], *, strict: bool) -> int:
    """64 when a file cannot be loaded, 1 for errors (with `strict`, warnings too), otherwise 0."""
    from policies.lint import Level

    known = list(reports)
    if any(report.policy is None for report in known):
        return USAGE
    fatal = (Level.ERROR, Level.WARNING) if strict else (Level.ERROR,)
    return FOUND if any(report.count(level) for report in known for level in fatal) else 0


def fields(reports: Iterable[Report], level: Level, code: int) -> dict[str, Any]:
    """All of it as JSON values; findings below `level` are counted and left out."""
    from policies.lint import Level as Levels

    known = list(reports)
    return {
        "ok": code == 0,
        "files": [lint_fields(report, level) for report in known],
        **{name: sum(report.count(one) for report in known) for one, name in _plurals(Levels)},
    }


def show(reports: Sequence[Report], level: Level) -> None:
    """Each finding with its place, its line and a caret; then a line a file. Mistakes of loading go to standard error."""
    from policies.lint import Level as Levels

    for report in reports:
        for one in report.findings:
            if one.lint.level.rank >= level.rank:
                colour = _COLOURS[one.lint.level.value]
                head = f"{printable(str(one.at))}: " + typer.style(one.lint.level.value, fg=colour, bold=True)
                typer.echo(f"{head}: {printable(one.message)} [{one.lint.name}]{one.pointer}", err=report.policy is None)
    for report in reports:
        counted = [_counted(report.count(one), one.value) for one in reversed(Levels) if report.count(one)]
        found = ", ".join(counted) or "fine"
        allowed = f" ({len(report.allowed)} allowed)" if report.allowed else ""
        policy = report.policy
        if policy is None:
            typer.echo(f"{report.file}: not loaded: {found}; docs/policy.md explains every key with an example", err=True)
        else:
            typer.echo(
                f"{report.file}: {found}{allowed}. {policy.id} version {policy.version} ({policy.status}): "
                f"{len(policy.checks)} checks, {len(policy.rules)} rules, revision {policy.revision[:16]}"
            )
    if len(reports) > 1:
        totals = [_counted(sum(report.count(one) for report in reports), one.value) for one in reversed(Levels)]
        typer.echo(f"{len(reports)} policies: {', '.join(totals)}")


def listing() -> list[dict[str, str]]:
    """Every lint with its level and summary."""
    from policies.lint import LINTS, LOAD

    return [{"lint": one.name, "level": one.level.value, "summary": one.summary} for one in (LOAD, *LINTS.values())]


def show_listing() -> None:
    """Every lint in a line."""
    rows = listing()
    width = max(len(row["lint"]) for row in rows)
    for row in rows:
        level = typer.style(f"{row['level']:<7}", fg=_COLOURS[row["level"]])
        typer.echo(f"{row['lint']:<{width}}  {level}  {row['summary']}")


def _plurals(levels: type[Level]) -> list[tuple[Level, str]]:
    return [(levels.ERROR, "errors"), (levels.WARNING, "warnings"), (levels.ADVICE, "advice")]


def _counted(count: int, level: str) -> str:
    return f"{count} {level}" + ("s" if count != 1 and level != "advice" else "")
