"""`genguard config show | example | access-table`: what the settings are and where from, a file to begin with, who may what."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from serving.config.file import VARIABLE, spread
from serving.config.sources import Setting, example, notices, origins, settings_of
from serving.settings import Settings
from terminal.printing import Json, print_json, printable

config_app = typer.Typer(
    help="Settings: the command line, GENGUARD_… variables, genguard.toml, defaults.", no_args_is_help=True
)
Config = Annotated[
    Path | None,
    typer.Option("--config", help="File of settings. Default: GENGUARD_CONFIG, else genguard.toml, if it is there."),
]


def add(app: typer.Typer) -> None:
    """Add the commands, and the option that comes before all of them."""
    app.add_typer(config_app, name="config")
    app.callback()(begin)


def begin(context: typer.Context, config: Config = None) -> None:
    """Every output of a generative model passes a policy before anyone sees it, and every decision can be proven later."""
    if config is not None:
        os.environ[VARIABLE] = str(config)
    if context.invoked_subcommand != "config":
        spread(tuple(Settings.model_fields))


@config_app.command()
def show(as_json: Json = False) -> None:
    """Print every setting and where it comes from; secrets are masked."""
    settings = Settings.read()
    found, told = settings_of(settings, origins(Settings)), notices(Settings)
    if as_json:
        print_json({"settings": [asdict(one) for one in found], "notices": list(told)})
        return
    width = max(len(one.name) for one in found)
    for one in found:
        typer.echo(f"{one.name:<{width}}  {_shown(one)}  ({one.source})")
    for line in told:
        typer.echo(f"genguard: {printable(line)}", err=True)


def _shown(one: Setting) -> str:
    value = ", ".join(one.value) if isinstance(one.value, list) else one.value
    if isinstance(value, dict):  # a section
        value = json.dumps(value)
    return printable("-" if value in {None, ""} else str(value))


@config_app.command("example")
def print_example() -> None:
    """Print a genguard.toml with every setting at its default, as comments."""
    typer.echo(example(Settings), nl=False)


@config_app.command("access-table")
def print_access_table() -> None:
    """Print which role may call which route, as docs/access.md has it."""
    from service import create_app
    from serving.identity.table import access_table

    typer.echo(access_table(create_app(Settings.read(host="127.0.0.1")).state.access), nl=False)
