"""What `audit show` tells of registered works: those that a decision's checks found, and how a bank was changed."""

from __future__ import annotations

from contextlib import suppress

from rich.markup import escape
from rich.table import Table

from guard.errors import GenguardError
from guard.matching import bank as banks
from guard.types import BankChange, CheckResult, Decision, Finding, Match, Region, Span


def matches(decision: Decision) -> Table | None:
    """A table of the works that were found, nearest first; None when there are none."""
    found = [(result, finding) for result in decision.results for finding in result.findings if finding.match]
    if not found:
        return None
    table = Table(title="Registered works that were found", title_justify="left", pad_edge=False)
    for header in (
        "bank",
        "work",
        "title",
        "owner",
        "method",
        "distance",
        "limit",
        "by chance",
        "shown",
        "where",
        "in the work",
    ):
        table.add_column(header, overflow="fold")
    for result, finding in sorted(found, key=lambda one: -one[1].score):
        assert finding.match is not None
        table.add_row(*map(escape, _row(result, finding, finding.match)))
    return table


def _row(result: CheckResult, finding: Finding, match: Match) -> tuple[str, ...]:
    return (
        match.bank,
        match.work,
        match.title,
        _owner(match, result.digest),
        match.method,
        str(match.distance),
        str(match.limit),
        match.chance or "-",
        match.transform or "as it is",
        _place(finding.where),
        _place(match.source),
    )


def _owner(match: Match, digest: str) -> str:
    """Whose it was when the decision was made, as far as the bank is here and has that history."""
    with suppress(GenguardError, OSError):
        found = banks.load(match.bank, empty=True).find(match.work, at=digest)
        return found.work.owner if found else ""
    return "(the bank is not here)"


def _place(place: Span | Region | None) -> str:
    match place:
        case Span(start, end):
            return f"characters {start}-{end}"
        case Region(left, top, right, bottom):
            return f"{left},{top} to {right},{bottom}"
    return "all of it"


def change_facts(change: BankChange) -> list[tuple[str, str]]:
    """A change of a bank as lines of a name and a value."""
    more = change.added + change.retired - len(change.works)
    return [
        ("bank", f"{change.bank} ({change.kind})"),
        ("changed", change.changed.isoformat()),
        ("by", change.actor),
        ("from", change.source or "-"),
        ("what", f"{change.added} registered, {change.retired} retired"),
        ("works", ", ".join(change.works) + (f" and {more} more" if more > 0 else "")),
        ("digest", f"{change.before} before"),
        ("", f"{change.after} after"),
    ]
