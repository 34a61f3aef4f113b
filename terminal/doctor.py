"""`genguard doctor`: is this installation fit to serve, and what should be looked after."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

import typer

from terminal.printing import Json, print_json, printable

FOUND = 1
"""Exit code when something is bad, or, with `--strict`, not quite as it should be."""
_COLOURS = {"ok": "green", "warning": "yellow", "bad": "red"}


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="Policy file or pack name, as the service gets them.")
    ] = None,
    ledger: Annotated[str | None, typer.Option(help="Where decisions are kept: an SQLAlchemy URL.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Look at this part alone; repeat for more.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count, too.")] = False,
    as_json: Json = False,
) -> None:
    """Look at packages, machine, models, policy, ledger and keys; say what is wrong and what to do. Changes nothing."""
    from doctor import PARTS, examine
    from serving.settings import Settings

    unknown = sorted(set(only or ()) - PARTS.keys())
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no part, expected one of {', '.join(PARTS)}", param_hint="--only")
    given: dict[str, Any] = {"policies": tuple(policy) if policy else None, "ledger": ledger}
    settings = Settings.read(**{name: value for name, value in given.items() if value is not None})
    counts: Counter[str] = Counter()
    shown = []
    part = ""
    for finding in examine(settings, [name for name in PARTS if not only or name in only]):
        counts[finding.status] += 1
        if as_json:
            shown.append({**asdict(finding), "facts": dict(finding.facts)})
            continue
        if finding.part != part:
            part = finding.part
            typer.secho(part, bold=True)
        mark = typer.style(f"{finding.status.value:8}", fg=_COLOURS[finding.status])
        typer.echo(f"  {mark} {printable(finding.name)}: {printable(finding.found)}")
        if finding.advice:
            typer.echo(f"           {printable(finding.advice)}")
    well = not counts["bad"] and not (strict and counts["warning"])
    if as_json:
        print_json({"well": well, "findings": shown})
    else:
        typer.echo(f"{counts['ok']} as it should be, {counts['warning']} to look after, {counts['bad']} bad")
    raise typer.Exit(0 if well else FOUND)
