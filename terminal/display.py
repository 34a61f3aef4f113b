"""What the terminal prints: releases, lists of decisions, one decision explained, the verifier's report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.follow import Followed
from audit.query import Page, Shown, Stored
from audit.verify import Report
from guard.canary import Canary
from guard.sealed import Revealed
from guard.types import CheckResult, Decision, Finding, Modality, Release, Span, Verdict
from serving.derived import rederive
from terminal import audit_facts
from terminal.events import event_facts
from terminal.matches import change_facts, matches
from terminal.printing import ACTION_STYLE, printable
from terminal.rollouts import rollout_facts, shadow_facts, share_words

_UNIT = {Modality.TEXT: "characters", Modality.IMAGE: "bytes", Modality.AUDIO: "bytes"}


_DECISION_COLUMNS = ("entry", "time", "decision", "stage", "generator", "action", "rules")
_CHANGE_COLUMNS = ("entry", "time", "bank", "actor")
_STEP_COLUMNS = ("entry", "time", "step", "policy", "revision", "actor")

WIDE = 120
"""Columns from which a list of decisions shows everything."""


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=160)


# --- a release ---------------------------------------------------------------------------------------------------------


def release_fields(release: Release) -> dict[str, Any]:
    """A release as plain fields; an image's bytes are not part of it."""
    from guard.marks.aigc import envelope
    from serving.schemas import evidence, result_fields
    from serving.settings import Settings

    content = release.content
    label = envelope(release, Settings.read().operator())
    return {
        "action": release.verdict.action.value,
        "text": content.text if content is not None and content.modality is Modality.TEXT else None,
        "message": dict(release.verdict.message),
        "results": [result_fields(result) for result in release.decision.results],
        "genguard": evidence(release),
        **({"AIGC": label} if label else {}),
    }


def print_release(release: Release, out: Path | None) -> None:
    """The output on standard output when it may be shown; why and where it is recorded on standard error."""
    content, verdict = release.content, release.verdict
    if content is not None and content.modality is Modality.TEXT and out is None:
        text = printable(content.text) if sys.stdout.isatty() else content.text  # a file gets what was released
        sys.stdout.write(text.rstrip("\n") + "\n")
    notes = Console(stderr=True)
    if out is not None and content is not None:
        notes.print(f"Written to {escape(str(out))}", highlight=False)
    notes.print(
        f"[{ACTION_STYLE[verdict.action.value]}]{verdict.action.value}[/] {escape(verdict.explanation)}", highlight=False
    )
    notes.print(f"decision {release.decision.id}, entry {release.receipt.index}", highlight=False)


def print_revealed(revealed: Revealed) -> None:
    """A text with its values opened on standard output; how many were, and which were not and why, on standard error."""
    text = printable(revealed.text) if sys.stdout.isatty() else revealed.text
    sys.stdout.write(text.rstrip("\n") + "\n")
    notes = Console(stderr=True)
    notes.print(f"{revealed.opened} of {revealed.found} encrypted values opened", highlight=False)
    for one in revealed.closed:
        notes.print(f"at {one.start}: {escape(printable(one.label))}: {one.why}", highlight=False)


# --- the ledger --------------------------------------------------------------------------------------------------------


def page_fields(page: Page) -> dict[str, Any]:
    """A page of decisions as plain fields."""
    rows = [asdict(row) for row in page.rows]
    return {"decisions": rows, "next": page.older, "size": page.size, "partial": page.partial}


def print_page(page: Page) -> None:
    """A page of decisions, changes of banks or rollouts as a table. A narrow terminal gets ids cut to what tells them apart."""
    console = _console()
    narrow = console.width < WIDE
    table = Table(pad_edge=False, box=None if narrow else HEAVY_HEAD)
    changes = bool(page.rows) and all(row.banks for row in page.rows)
    steps = bool(page.rows) and all(row.step for row in page.rows)
    headers = _CHANGE_COLUMNS if changes else _STEP_COLUMNS if steps else _DECISION_COLUMNS
    for header in headers:
        table.add_column(header, no_wrap=header != "rules", overflow="fold" if header == "rules" else "ellipsis")
    for row in page.rows:
        if changes:
            table.add_row(str(row.idx), row.time[:19], escape(", ".join(row.banks)), escape(printable(row.actor)))
            continue
        if steps:
            what = f"{row.policy} version {row.version}"
            table.add_row(str(row.idx), row.time[:19], row.step, what, row.revision[:16], escape(printable(row.actor)))
            continue
        action = f"[{ACTION_STYLE.get(row.action, 'white')}]{row.action or row.kind}[/]"
        time, decision = (row.time[11:19], row.decision[:18]) if narrow else (row.time[:19], row.decision)
        table.add_row(str(row.idx), time, decision, row.stage, escape(row.generator), action, ", ".join(row.rules))
    console.print(table)
    more = f"; the next page: --before {page.older}" if page.older is not None else ""
    console.print(f"{len(page.rows)} of {page.size} entries{more}", highlight=False)
    if page.partial:
        console.print(page.partial, highlight=False)


def entry_fields(shown: Shown) -> dict[str, Any]:
    """One entry as plain fields."""
    return {
        "index": shown.idx,
        "leaf_hash": shown.leaf.hex(),
        "tree_size": shown.tree_size,
        "entry": dict(shown.body),
        "rederived": rederive(shown),
        "payloads": [
            {"part": one.part, "media_type": one.media_type, "bytes": one.size, "text": _text(one)} for one in shown.payloads
        ],
    }


def print_entry(shown: Shown, after: Sequence[Followed] = (), canary: Canary | None = None) -> None:
    """One entry explained to a person. `after`: what followed a decision; `canary`: what made it, where that was one."""
    console = _console()
    console.print(f"[bold]Entry {shown.idx}[/] ({shown.body['kind']}), leaf {shown.leaf.hex()}", highlight=False)
    if shown.decision is not None:
        _print_decision(console, shown, shown.decision)
        if canary is not None:
            _print_facts(console, [("judged by", f"a canary, {share_words(canary.share, canary.by)}")])
        audit_facts.print_more(console, shown, after)
    elif shown.bank_change is not None:
        _print_facts(console, change_facts(shown.bank_change))
    elif shown.event is not None:
        _print_facts(console, event_facts(shown.event))
    elif shown.rollout is not None:
        _print_facts(console, rollout_facts(shown.rollout))
    else:
        console.print_json(data=dict(shown.body))


def _print_facts(console: Console, facts: list[tuple[str, str]]) -> None:
    for name, value in facts:
        console.print(f"{name:<12}{escape(printable(value))}", highlight=False)


def _print_decision(console: Console, shown: Shown, decision: Decision) -> None:
    _print_facts(console, _facts(decision))
    if again := rederive(shown):
        console.print(f"{'re-derived':<12}{again}", highlight=False)
    for table in (_rules(decision.verdict), _results(decision.results), matches(decision)):
        if table is not None and table.row_count:
            console.print(table)
    for shadow in decision.shadows:
        _print_facts(console, shadow_facts(shadow))
        for table in (_rules(shadow.verdict), _results(shadow.results)):
            if table.row_count:
                console.print(table)
    for edit in decision.verdict.edits:
        console.print(f"edit        {edit.operator} {edit.label} at {edit.where} by {edit.rule}", highlight=False)
    for mark in decision.marks:
        state = "read back" if mark.verified else f"not put on: {mark.error}"
        what = " ".join(part for part in (mark.kind, mark.method and f"({mark.method})", mark.payload) if part)
        console.print(f"mark        {escape(what)}: {escape(state)}", highlight=False)
    for stored in shown.payloads:
        text = _text(stored)
        console.print(
            f"[bold]{stored.part}[/] {stored.media_type}, {stored.size} bytes: "
            + escape(printable(text or stored.why or "an image"))
        )


def _facts(decision: Decision) -> list[tuple[str, str]]:
    verdict, context, request = decision.verdict, decision.context, decision.request
    size = f"{context.length} {_UNIT[context.modality]}"
    what = f"{context.modality.value} {context.stage.value} of {context.generator}, {size}"
    who = f"actor {request.actor}, tenant {request.tenant}" + (f", subject {request.subject}" if request.subject else "")
    return [
        ("decision", str(decision.id)),
        ("time", decision.time.isoformat()),
        ("what", what),
        ("who", who),
        ("request", request.id + (f", conversation {request.conversation}" if request.conversation else "")),
        *[(name, value) for name in ("purpose", "consent") if (value := getattr(request, name))],
        *_before(decision),
        *_streamed(decision),
        ("action", verdict.action.value),
        ("why", verdict.explanation),
        ("policy", f"{verdict.policy} version {verdict.version}, revision {verdict.revision}"),
    ]


def _streamed(decision: Decision) -> list[tuple[str, str]]:
    """How it left, where it left piece by piece."""
    one = decision.stream
    if one is None:
        return []
    told = f"{one.mode.value}, {one.ending.value}: {one.judged} characters judged in {one.steps} steps, {one.sent} sent"
    return [("stream", told)]


def _before(decision: Decision) -> list[tuple[str, str]]:
    """What the decision follows: one on the prompt, or one that held this output and the person who let it go."""
    if (one := decision.reviewed) is not None:
        return [("held", f"decision {one.held}"), ("released by", f"{one.actor}, {one.code}, entry {one.entry}")]
    return [("prompt", f"decision {decision.parent}")] if decision.parent else []


def _rules(verdict: Verdict) -> Table:
    table = Table(title="Rules that fired", title_justify="left", pad_edge=False)
    for header in ("rule", "action", "title", "basis", "because"):
        table.add_column(header)
    for rule in verdict.fired:
        table.add_row(rule.rule, rule.action.value, escape(rule.title), escape(rule.basis), escape(rule.because))
    return table


def _results(results: tuple[CheckResult, ...]) -> Table:
    table = Table(title="What was measured", title_justify="left", pad_edge=False)
    for header in ("check", "status", "model", "time", "findings"):
        table.add_column(header)
    for result in results:
        found = "; ".join(_finding(one) for one in result.findings)
        model = f"{result.use} {result.version} {result.digest[:12]}".strip()
        table.add_row(
            result.check, result.status.value, model, f"{result.latency_us / 1000:.1f} ms", escape(found or result.error or "-")
        )
    return table


def _finding(finding: Finding) -> str:
    """Label and score; the reason where it says more than these."""
    place = f" at {finding.where.start}-{finding.where.end}" if isinstance(finding.where, Span) else ""
    return f"{finding.label} {finding.score / 1000:.3f}{place}" + (f": {finding.reason}" if finding.match else "")


def _text(stored: Stored) -> str | None:
    if stored.data is None or not stored.media_type.startswith("text/"):
        return None
    return stored.data.decode("utf-8", "replace")


# --- the verifier ------------------------------------------------------------------------------------------------------


def report_fields(report: Report) -> dict[str, Any]:
    """The verifier's report as plain fields."""
    return {"ok": report.ok, **asdict(report), "checked": dict(report.checked)}


def print_report(report: Report) -> None:
    """The verifier's report for a person: the verdict, what was wrong, what was and what could not be checked."""
    console = _console()
    if report.ok:
        console.print(f"[green]sound[/]: {report.size} entries, root {report.root}", highlight=False)
    else:
        verdict = {5: "ROLLED BACK", 4: "WRONG SIGNATURE"}.get(report.exit_code, "TAMPERED")
        console.print(f"[red]{verdict}[/]: {report.problem_count} problems in {report.size} entries", highlight=False)
    for gap in report.gaps:
        console.print(f"missing and explained: {escape(printable(str(gap)))}", highlight=False)
    for problem in report.problems:
        console.print(f"  {escape(str(problem))}", highlight=False)
    counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.checked.items())
    by = f" by {report.processes} processes" if report.processes > 1 else ""
    console.print(f"checked: {counted}, in {report.seconds:.1f} s{by}", highlight=False)
    for one in report.witnessed:
        console.print(f"checked: {escape(printable(one))}", highlight=False)
    for one in report.unchecked:
        console.print(f"not checked: {escape(one)}", highlight=False)
