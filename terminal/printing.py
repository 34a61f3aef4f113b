"""What all commands share: exit codes, JSON, and texts that others wrote as a terminal may show them."""

from __future__ import annotations

import json
import unicodedata
from typing import Annotated, Any

import typer

USAGE, FAILURE = 64, 70
"""Exit codes: a usage error or an input that cannot be used; a failure of ours."""
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def print_json(value: Any) -> None:
    """Write one JSON value to standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


ACTION_STYLE = {"allow": "green", "label": "cyan", "redact": "yellow", "review": "magenta", "block": "red"}
"""The colour of each action."""


def printable(text: str) -> str:
    """A text that others wrote, without what would steer the terminal: control characters are written as their codes."""
    return "".join(
        letter if letter in "\n\t" or not unicodedata.category(letter).startswith("C") else _code(letter) for letter in text
    )


def _code(letter: str) -> str:
    # Joiners belong to words and emoji; everything else of the kind is invisible, or turns the writing direction.
    return letter if letter in "\u200c\u200d" else letter.encode("unicode_escape").decode("ascii")
