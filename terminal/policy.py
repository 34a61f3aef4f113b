"""The terminal's `genguard policy …`: look policy files over, and what editors need. Other modules add their commands to it."""

from __future__ import annotations

from typing import Annotated

import typer

from guard.errors import PolicyError
from terminal.printing import USAGE, Json, print_json

policy_app = typer.Typer(help="Write, check, try and roll out policies.", no_args_is_help=True)


@policy_app.command()
def lint(file: Annotated[str, typer.Argument(help="A policy file or pack name.")], as_json: Json = False) -> None:
    """Check a policy file; every mistake is named with its file and line."""
    from policies import load

    try:
        found = load(file)
    except PolicyError as error:
        if not as_json:
            raise
        print_json({"ok": False, "error": error.diagnostics()})
        raise typer.Exit(USAGE) from None
    facts = {"policy": found.id, "version": found.version, "status": found.status, "revision": found.revision}
    if as_json:
        print_json({"ok": True, **facts, "checks": len(found.checks), "rules": len(found.rules)})
    else:
        typer.echo(
            f"{file}: fine. {found.id} version {found.version} ({found.status}): {len(found.checks)} checks, "
            f"{len(found.rules)} rules, revision {found.revision[:16]}"
        )


@policy_app.command()
def schema() -> None:
    """Print the JSON Schema of policy files, which editors use for completion."""
    from policies.schema import json_schema

    print_json(json_schema())
