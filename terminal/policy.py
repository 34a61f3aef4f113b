"""The terminal's `genguard policy …`: look policy files over, and what editors need. Other modules add their commands to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from terminal.printing import Json, print_json

policy_app = typer.Typer(help="Write, check, try and roll out policies.", no_args_is_help=True)


@policy_app.command()
def lint(
    file: Annotated[list[str] | None, typer.Argument(help="Policy files, packs or folders.")] = None,
    level: Annotated[str, typer.Option(help="The least that is shown: error, warning or advice.")] = "advice",
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings as on errors.")] = False,
    against: Annotated[str | None, typer.Option(metavar="FILE", help="The version before, to compare the number with.")] = None,
    no_hub: Annotated[
        bool, typer.Option("--no-hub", envvar="HF_HUB_OFFLINE", help="Models cannot be fetched from a hub where this will run.")
    ] = False,
    for_activation: Annotated[bool, typer.Option("--for-activation", help="The policy is about to be activated.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Name all lints, and look at no file.")] = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="Answer in SARIF 2.1.0, for code hosts.")] = False,
    as_json: Json = False,
) -> None:
    """Look policies over: 0 nothing that counts, 1 errors (with --strict also warnings), 64 a file that cannot be loaded."""
    from policies import load
    from policies.lint import Level
    from terminal import lint as linting

    if list_:
        print_json({"lints": linting.listing()}) if as_json else linting.show_listing()
        return
    if not file:
        raise typer.BadParameter("no policy to look at: name a file, a pack or a folder", param_hint="FILE")
    if level not in tuple(Level):
        raise typer.BadParameter(f"found {level!r}, expected one of: {', '.join(reversed(Level))}", param_hint="--level")
    if as_json and as_sarif:
        raise typer.BadParameter("found --json and --sarif, expected one of them", param_hint="--sarif")
    named = linting.files(file)
    if against is not None and len(named) > 1:
        raise typer.BadParameter("found several policies, expected one to compare", param_hint="--against")
    before = None if against is None else load(against)
    asked = linting.Asked(datetime.now(UTC), not no_hub, for_activation, before)
    reports = linting.look(named, asked)
    code = linting.exit_code(reports, strict=strict)
    if as_sarif:
        from policies.lint.sarif import sarif

        print_json(sarif(reports, Path.cwd()))
    elif as_json:
        print_json(linting.fields(reports, Level(level), code))
    else:
        linting.show(reports, Level(level))
    raise typer.Exit(code)


@policy_app.command()
def schema(
    suite: Annotated[bool, typer.Option("--suite", help="Of files with tests (NAME_test.yaml) instead.")] = False,
) -> None:
    """Print the JSON Schema of policy files, which editors use for completion."""
    from policies import schema as policy_schema
    from policies import suite_schema

    print_json((suite_schema if suite else policy_schema).json_schema())
