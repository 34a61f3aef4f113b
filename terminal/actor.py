"""Who does something at the terminal, and why: what is recorded with it."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

Author = Annotated[str, typer.Option("--author", envvar="GENGUARD_ACTOR", help="Who does this; your user name by default.")]
Reason = Annotated[str, typer.Option("--reason", help="Why. It is recorded: name nobody.")]


def actor(given: str = "") -> str:
    """The name that was given, else the user's."""
    if given.strip():
        return given.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without a name for its user
        return "terminal"
