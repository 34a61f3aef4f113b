"""What `genguard eval` does and prints: the figures on standard output, progress and complaints on standard error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evaluation.reader import read
from evaluation.run import Plan, Report, evaluate
from evaluation.subject import Subject, from_policy, narrowed, registered
from guard.errors import InputError

__all__ = ["Plan", "measure", "pairs", "print_report", "subject"]

_FIGURES = (
    ("roc_auc", "ROC AUC", "{:.4f}"),
    ("average_precision", "average precision", "{:.4f}"),
    ("precision", "precision", "{:.4f}"),
    ("recall", "recall", "{:.4f}"),
    ("f2", "F2", "{:.4f}"),
    ("fp_per_1000", "false positives per 1,000 negatives", "{:.1f}"),
    ("ece", "calibration error", "{:.4f}"),
    ("texts_per_s", "texts per second", "{:.1f}"),
)


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """NAME=VALUE options as a mapping. Raises InputError for one without a name or `=`, and for a name given twice."""
    found: dict[str, str] = {}
    for one in given or ():
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise InputError(f"{option}: found no name before a '=', expected NAME=VALUE")
        if name in found:
            raise InputError(f"{option}: found {name!r} twice, expected it once")
        found[name] = value
    return found


def subject(check: str, policy: str | None, settings: dict[str, str], finding: str | None, threshold: float | None) -> Subject:
    """What is to be measured. Raises GenguardError for names that are unknown and values that do not fit."""
    from policies import load

    built = registered(check, settings) if policy is None else from_policy(load(policy), check, settings)
    return narrowed(built, finding, threshold)


def measure(what: Subject, source: tuple[Path, str, str, int | None], plan: Plan, plot: Path | None) -> Report:
    """Read the file (its path, the columns of texts and labels, the most rows), run the check over it, draw the plot."""
    from evaluation import plot as drawing

    if plot is not None:
        drawing.ready(plot)
    rows = read(*source)
    notes = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        task = bar.add_task(what.spec.name, total=len(rows))
        report = evaluate(what, rows, plan, lambda done: bar.update(task, completed=done))
    if report.summary["errors"]:
        notes.print(
            f"{report.summary['errors']} of {len(rows)} rows were not measured; they are in no figure:", highlight=False
        )
        for reason, count in report.summary["error_reasons"].items():
            notes.print(f"  {count} {escape(reason)}", highlight=False)
    if plot is not None:
        drawing.plot(report, plot)
    return report


def print_report(report: Report) -> None:
    """The figures as tables."""
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    summary = report.summary
    spans = summary["level"] == "spans"
    table = Table(title=f"{escape(summary['check'])} ({escape(summary['version'])})", show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("texts measured", f"{summary['n']} of {summary['rows']}, {summary['positives']} positive")
    table.add_row("errors", f"[red]{summary['errors']}[/]" if summary["errors"] else "0")
    table.add_row("threshold", escape(_threshold(summary)))
    for key, name, form in _FIGURES:
        of_spans = " of spans, by overlap" if spans and key in ("precision", "recall", "f2") else ""
        table.add_row(name + of_spans, _figure(summary, key, form))
    latency = summary["latency_ms"]
    if latency["median"] is not None:
        table.add_row("latency of one text", f"median {latency['median']:.1f} ms, 95th percentile {latency['p95']:.1f} ms")
    if "chosen" in summary:
        table.add_row(f"threshold for a false positive rate of {summary['chosen']['rate']}", _chosen(summary["chosen"]))
    console.print(table)
    if spans:
        _print_spans(console, summary["spans"])


def _figure(summary: dict[str, Any], key: str, form: str) -> str:
    value = summary[key]
    return f"none: {summary['reasons'].get(key, '')}" if value is None else form.format(value)


def _threshold(summary: dict[str, Any]) -> str:
    thresholds = {"any label" if name == "*" else name: value for name, value in summary["thresholds"].items()}
    words = [f"{name} {'found at all' if value == 0 else f'{value:.3f}'}" for name, value in thresholds.items()]
    return f"{', '.join(words)} ({summary['threshold_source']})"


def _chosen(chosen: dict[str, Any]) -> str:
    if chosen["threshold"] is None:
        return f"none: {chosen['reason']}"
    recall = "" if chosen["recall"] is None else f", recall {chosen['recall']:.4f}"
    return f"{chosen['threshold']:.3f} ({chosen['fp_per_1000']:.1f} per 1,000 of {chosen['negatives']} negatives{recall})"


def _print_spans(console: Console, spans: dict[str, Any]) -> None:
    table = Table(pad_edge=False, title="spans: by overlap (at least half of their union), and exact")
    table.add_column("type")
    for header in ("expected", "found", "precision", "recall", "F2", "exact precision", "exact recall", "exact F2"):
        table.add_column(header, justify="right")
    for name, one in {"all": spans, "all, whatever the type": spans["any_type"], **spans["by_type"]}.items():
        counts = [str(one["overlap"][key]) for key in ("expected", "found")]
        figures = [one[kind][key] for kind in ("overlap", "exact") for key in ("precision", "recall", "f2")]
        table.add_row(escape(name), *counts, *("-" if value is None else f"{value:.3f}" for value in figures))
    console.print(table)
    for key, words in (("unknown_types", "Types that the check does not have"), ("left_out_types", "Types left out")):
        if spans[key]:
            console.print(f"{words}: {escape(', '.join(spans[key]))}", highlight=False)
