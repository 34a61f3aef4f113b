"""What `genguard verify` prints: the answer in a sentence, what it rests on, and what could not be looked at."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from serving.book import Entry
from serving.evidence import Answer, Leads, Report, Trace
from terminal.printing import printable

_STYLE = {Answer.OURS: "green", Answer.CHANGED: "cyan", Answer.TAMPERED: "red", Answer.UNKNOWN: "yellow"}


def print_origin(report: Report) -> None:
    """A report for a person. What a file says of itself is shown with its control characters as codes."""
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(f"[{_STYLE[report.answer]}]{report.answer.value}[/]: {escape(printable(report.words))}", highlight=False)
    if report.entry is not None:
        for name, value in _facts(report.entry):
            console.print(f"{name:<12}{escape(printable(value))}", highlight=False)
    console.print("\nWhat this rests on:")
    for trace in report.traces:
        console.print(f"  {trace.kind:<10} {escape(printable(trace.says))}", highlight=False)
        console.print(f"  {'':<10} [dim]{escape(printable(_sure(trace)))}[/]", highlight=False)
    for note in report.notes:
        console.print(f"not looked at: {escape(printable(note))}", highlight=False)


def _facts(entry: Entry) -> list[tuple[str, str]]:
    policy = f"{entry.policy} version {entry.version}, revision {entry.revision[:16]}" if entry.policy else "none"
    made = " ".join(part for part in (entry.generator, entry.model) if part)
    return [
        ("entry", str(entry.index)),
        ("decision", str(entry.decision)),
        ("time", entry.time),
        ("made by", made or "unnamed"),
        ("action", entry.action),
        ("policy", policy),
    ]


def _sure(trace: Trace) -> str:
    chance = f"; by chance once in {1 / trace.chance:.1g}" if trace.chance else ""
    leads = f"ledger: {trace.leads.value}; " if trace.leads is not Leads.NOWHERE else ""
    reasons = f"; {', '.join(trace.reasons)}" if trace.reasons else ""
    return f"{leads}{trace.confidence}{chance}{reasons}"
