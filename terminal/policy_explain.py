"""`genguard policy explain`: why a text, an image or a recorded decision gets its verdict, as a tree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from guard.errors import InputError
from guard.trace import Step
from guard.types import Modality, Stage
from policies.explain import Explanation, RuleTrace, explain, fields
from serving.settings import DEFAULT_LEDGER, DEFAULT_POLICY
from terminal.inputs import read_input
from terminal.printing import ACTION_STYLE, printable

_SIGN = {True: "[green]yes[/]", False: "[dim]no[/]", None: "[yellow]unknown[/]"}


def explain_command(
    file: Annotated[str | None, typer.Argument(help="A text or image file, or - for standard input.")] = None,
    policy: Annotated[str | None, typer.Option(help="Policy file or pack name. Of a decision: its own, by default.")] = None,
    decision: Annotated[
        str, typer.Option(help="Explain this recorded decision instead: an id, its beginning, or an index.")
    ] = "",
    ledger: Annotated[
        str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Where the decision is kept: an SQLAlchemy URL.")
    ] = DEFAULT_LEDGER,
    stage: Annotated[Stage, typer.Option(help="Where the content stands.")] = Stage.OUTPUT,
    tenant: Annotated[str, typer.Option(help="Who asks.")] = "default",
    generator: Annotated[str, typer.Option(help="What made the content.")] = "caller",
    language: Annotated[str, typer.Option(help="Language tag, such as en.")] = "und",
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule; repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also show rules that have nothing to say here.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Say which checks ran, which conditions held with which values, which rules fired, and what won. Nothing is recorded."""
    if (file is None) == (not decision):
        raise typer.BadParameter("expected either a file or --decision ID", param_hint="FILE")
    if decision:
        found, text = _recorded(decision, ledger, policy), None
    else:
        found, text = _measured(str(file), policy or DEFAULT_POLICY, stage, tenant, generator, language)
    if unknown := set(rule or ()) - {one.rule.id for one in found.rules}:
        raise InputError(
            f"found no rule {min(unknown)!r} in policy {found.policy.id!r}, "
            f"expected one of: {', '.join(one.rule.id for one in found.rules)}"
        )
    if as_json:
        typer.echo(json.dumps(fields(found) | ({} if text is None else {"edited": text}), ensure_ascii=False, indent=2))
        return
    console = Console()
    print_explanation(console if console.is_terminal else Console(width=160), found, set(rule or ()), every=every, text=text)


def _measured(
    file: str, policy: str, stage: Stage, tenant: str, generator: str, language: str
) -> tuple[Explanation, str | None]:
    """Run the policy's checks over a file; nothing is recorded, so nothing is released either."""
    from guard.admission import Limits, admit
    from guard.chain import Chain, context_of
    from guard.redact import keyed_rules, redact
    from guard.types import Origin, Request
    from policies import load

    loaded, now = load(policy), datetime.now(UTC)
    request, origin = Request("explain", tenant, language=language), Origin(generator)
    content = admit(read_input(file), request=request, stage=stage, origin=origin, media_type="", limits=Limits())
    (results,) = asyncio.run(Chain(loaded).run([content], now))
    found = explain(loaded, results, context_of(content, now))
    edits = found.verdict.edits
    if content.modality is not Modality.TEXT or not edits or {edit.rule for edit in edits} & set(keyed_rules(loaded)):
        return found, None
    return found, redact(content, edits, None).text


def _recorded(reference: str, ledger: str, policy: str | None) -> Explanation:
    """A decision of the ledger, under its own policy or another one."""
    from audit.query import show
    from policies import from_document, load

    shown = show(ledger, reference)
    if shown.decision is None or shown.body.get("content") is None:
        raise InputError(f"entry {shown.idx} holds no content that was judged", advice="Name a decision on a text or image.")
    if not policy and not shown.document:
        raise InputError(f"entry {shown.idx} was made without a policy, expected one; name another with --policy")
    chosen = load(policy) if policy else from_document(shown.document)
    return explain(chosen, shown.decision.results, shown.decision.context)


def print_explanation(console: Console, found: Explanation, only: set[str], *, every: bool, text: str | None) -> None:
    """What was measured as a table, each rule as a tree, then the verdict."""
    verdict = found.verdict
    console.print(f"Policy {verdict.policy} version {verdict.version}, revision {verdict.revision[:16]}", highlight=False)
    console.print(_checks(found))
    quiet = print_rules(console, found, only, every=every)
    if quiet and not only:
        console.print(f"[dim]{quiet} other rules found nothing; --all shows them[/]", highlight=False)
    console.print(
        f"[{ACTION_STYLE[verdict.action.value]}]{verdict.action.value}[/] {escape(verdict.explanation)}", highlight=False
    )
    if verdict.action.releases and verdict.edits:
        console.print(f"{len(verdict.edits)} places are changed", highlight=False)
        if text is not None:
            console.print(escape(printable(text)), highlight=False)
    for language, message in verdict.message:
        console.print(f"message ({language}): {escape(message)}", highlight=False)


def print_rules(console: Console, found: Explanation, only: Collection[str] = (), *, every: bool = False) -> int:
    """Each rule as a tree, and what fired without being one. Returns how many rules were left out."""
    quiet = 0
    for one in found.rules:
        if (only and one.rule.id not in only) or (not only and not every and not _speaks(one)):
            quiet += 1
            continue
        console.print(_rule(one, won=one.rule.id in found.winners))
    for other in found.others:
        console.print(f"[{ACTION_STYLE[other.action.value]}]{other.action.value}[/] {other.rule}: {escape(other.because)}")
    return quiet


def _speaks(one: RuleTrace) -> bool:
    """Whether a rule fired, is unknown though its check was asked, or came near: then its tree is worth reading."""
    return one.fired is not None or (one.step.value is None and one.step.answered) or _near(one.step)


def _near(step: Step) -> bool:
    return (step.distance is not None and step.distance > -300) or any(_near(part) for part in step.parts)


def _checks(found: Explanation) -> Table:
    table = Table("check", "status", "found", "ms", pad_edge=False, box=None)
    for one in found.results:
        counts: dict[str, list[int]] = {}
        for finding in one.findings:
            counts.setdefault(finding.label, []).append(finding.score)
        told = ", ".join(
            f"{label} {max(scores) / 1000:.3f}" + (f" ({len(scores)})" if len(scores) > 1 else "")
            for label, scores in sorted(counts.items(), key=lambda pair: -max(pair[1]))
        )
        status = one.status.value if one.status == "ok" else f"[red]{one.status.value}[/]"
        table.add_row(one.check, status, escape(told or one.error or "nothing"), f"{one.latency_us / 1000:.1f}")
    return table


def _rule(one: RuleTrace, *, won: bool) -> Tree:
    fired = one.fired
    if one.exception is not None and fired is not None:
        what = f"fires, set aside by exception {one.exception.id}"
    else:
        what = f"fires{' and wins' if won else ''}" if fired else "does not fire"
    action = f"[{ACTION_STYLE[one.rule.action.value]}]{one.rule.action.value}[/]"
    title = f": {escape(one.rule.title)}" if one.rule.title else ""
    tree = Tree(f"[bold]{one.rule.id}[/]{title} - {action} {what}", highlight=False)
    _grow(tree, one.step)
    return tree


def _grow(tree: Tree, step: Step) -> None:
    if step.parts:
        branch = tree.add(f"{step.words}: {_SIGN[step.value]}")
        for part in step.parts:
            _grow(branch, part)
        return
    far = f", {abs(step.distance) / 1000:.3f} {'above' if step.distance >= 0 else 'below'}" if step.distance is not None else ""
    tree.add(f"{escape(step.words)}: {_SIGN[step.value]} [dim]({escape(printable(step.measured))}{far})[/]")


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain_command)
