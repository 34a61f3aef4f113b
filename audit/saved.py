"""Saved searches: names for queries, in a JSON file beside the ledger. They are a convenience, and no part of the log."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from audit.database import database_path
from audit.grammar import QueryError, parse
from guard.errors import LedgerError

SUFFIX = ".searches.json"
MAX_SEARCHES = 1000
_NAME = re.compile(r"[\w.-]{1,64}")


def saved_file(url: str) -> Path:
    """Where a ledger's saved searches are."""
    path = database_path(url)
    return path.with_name(path.name + SUFFIX)


def saved_searches(url: str) -> dict[str, str]:
    """Queries by name, in order. Raises LedgerError for a file that cannot be read."""
    file = saved_file(url)
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LedgerError(
            f"cannot read the saved searches {file}: {type(error).__name__}", advice="Repair the file, or move it away."
        ) from None
    if not isinstance(found, dict) or not all(isinstance(query, str) for query in found.values()):
        raise LedgerError(f"found {file} with other things than queries by name", advice="Repair the file, or move it away.")
    return dict(sorted(found.items()))


def saved_search(url: str, name: str) -> str:
    """One query. Raises QueryError when there is none of that name."""
    found = saved_searches(url)
    if name not in found:
        raise QueryError(f"no saved search {name!r}", advice=f"There are: {', '.join(found) or 'none'}.")
    return found[name]


def save_search(url: str, name: str, query: str) -> None:
    """Keep a query, in place of one of that name. Raises QueryError for a name or a query that cannot be, and LedgerError."""
    if not _NAME.fullmatch(name):
        raise QueryError(f"found the name {name!r}, expected 1 to 64 letters, digits, dots, hyphens and underscores")
    parse(query)
    found = saved_searches(url)
    if name not in found and len(found) >= MAX_SEARCHES:
        raise QueryError(f"found {MAX_SEARCHES} saved searches, expected fewer", advice="Delete some.")
    _write(url, found | {name: query})


def delete_search(url: str, name: str) -> None:
    """Forget a query. Raises QueryError when there is none of that name, and LedgerError."""
    saved_search(url, name)
    _write(url, {known: query for known, query in saved_searches(url).items() if known != name})


def _write(url: str, searches: dict[str, str]) -> None:
    """Replace the file as a whole: a reader sees the one before or the one after."""
    file = saved_file(url)
    fresh = file.with_name(file.name + f".{os.getpid()}")
    try:
        fresh.write_text(json.dumps(searches, ensure_ascii=False, indent=2) + "\n", "utf-8")
        fresh.replace(file)
    except OSError as error:
        raise LedgerError(f"cannot write the saved searches {file}: {error.strerror or type(error).__name__}") from None
