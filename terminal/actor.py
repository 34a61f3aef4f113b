"""Who does something at the terminal, on which ledger, and why: options that many commands have."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

Author = Annotated[str, typer.Option("--author", envvar="GENGUARD_ACTOR", help="Who does this; your user name by default.")]
Reason = Annotated[str, typer.Option("--reason", help="Why. It is recorded: name nobody.")]

LedgerUrl = Annotated[
    str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Where decisions are kept: an SQLAlchemy URL.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", envvar="GENGUARD_KEY_FILE", help="Master key of the ledger; beside it by default.")
]


def actor(given: str = "") -> str:
    """The name that was given, else the user's."""
    if given.strip():
        return given.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without a name for its user
        return "terminal"
