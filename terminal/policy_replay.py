"""`genguard policy replay`: another policy over the ledger's history, from the scores that were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from guard.errors import ModelError
from guard.rules import Policy
from serving.drafting.fields import replay_fields
from serving.drafting.history import filter_words, wanted
from serving.settings import DEFAULT_LEDGER
from terminal.actor import actor
from terminal.policy_diff import read_policy
from terminal.printing import ACTION_STYLE, Json, print_json, printable

if TYPE_CHECKING:
    from audit.grammar import Filter
    from policies.rederived import Rederivation
    from policies.replay import Flip, Replay, Summary

TOO_MANY, INTERRUPTED = 1, 130
MAX_QUERY = 1000
"""Characters of the filters that are recorded with the access."""
RESCORED = 32
"""Contents that the draft's checks read together."""
_TOP = 6
"""Values that are shown of each kind of count."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(policy_replay)


@dataclass(slots=True)
class _Run:
    """What was asked for, and how far it came."""

    ledger: str
    filters: tuple[Filter, ...]
    limit: int | None
    pruned: int = 0
    partial: bool = False
    seconds: float = 0.0


def policy_replay(
    policy: Annotated[
        str | None, typer.Argument(help="A policy file, a pack, or @REVISION of the ledger. Left out with --check.")
    ] = None,
    filters: Annotated[
        list[str] | None, typer.Argument(help="tenant:acme stage:output action:allow …, as for `audit query`.")
    ] = None,
    ledger: Annotated[
        str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Whose decisions: an SQLAlchemy URL.")
    ] = DEFAULT_LEDGER,
    since: Annotated[str | None, typer.Option(help="7d, 12h, 2w, a day or a time.")] = None,
    until: Annotated[str | None, typer.Option(help="A day, which counts, or a time.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest decisions.")] = None,
    max_flips: Annotated[
        int | None, typer.Option(min=0, help="End with 1 when more decisions would get another action.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a decision cannot be replayed.")] = False,
    examples: Annotated[int, typer.Option(min=0, max=1000, help="Shown of each kind of change.")] = 5,
    as_measured: Annotated[
        bool, typer.Option("--as-measured", help="Let results count whatever model, bank or version gave them.")
    ] = False,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Let the draft's checks read the stored contents again, as far as they open.")
    ] = False,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", envvar="GENGUARD_KEY_FILE", help="With --rescore: master key of the payloads.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Derive each decision again under its own policy; end with 1 when one does not.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell what a policy would have decided: 0 done, 1 more changes than --max-flips, or --strict or --check not met."""
    filters = list(filters or ())
    if check and policy is not None and ":" in policy:
        filters, policy = [policy, *filters], None
    if (policy is None) is not check:
        raise typer.BadParameter("name a policy, or give --check to replay each decision under its own")
    if check:
        _check(_run(None, ledger, filters, since, until, limit), as_json=as_json)
        return
    from audit.history import documents
    from policies.replay import Replay

    draft = read_policy(str(policy), ledger)
    run = _run(draft, ledger, filters, since, until, limit)
    replay = Replay(draft, documents(ledger), examples=examples, as_measured=as_measured)
    started = perf_counter()
    with _interruptible(run):
        if rescore:
            _rescore(replay, run, key_file, quiet=as_json)
        else:
            _replay(replay, run, quiet=as_json)
    run.seconds = perf_counter() - started
    summary = replay.summary()
    if as_json:
        print_json(replay_fields(summary) | _circumstances(run))
    else:
        _print(summary, run, draft)
    failed = (max_flips is not None and summary.flipped > max_flips) or (strict and summary.unreplayable + run.pruned > 0)
    raise typer.Exit(INTERRUPTED if run.partial else TOO_MANY if failed else 0)


def _run(
    draft: Policy | None, ledger: str, filters: Sequence[str], since: str | None, until: str | None, limit: int | None
) -> _Run:
    """Which decisions: those of the draft's own name, unless the filters say of which policy or there are none."""
    return _Run(ledger, wanted(ledger, draft, " ".join(filters), since or "", until or ""), limit)


@contextmanager
def _interruptible(run: _Run) -> Iterator[None]:
    """Ctrl-C ends the work, and what was done until then is told."""
    try:
        yield
    except KeyboardInterrupt:
        run.partial = True


def _replay(replay: Replay | Rederivation, run: _Run, *, quiet: bool, rules: bool = True) -> None:
    """`rules`: leave out what persons released."""
    from audit.columns import history

    with history(run.ledger, run.filters, limit=run.limit, rules=rules) as found:
        with _progress(found.last - found.first + 1, quiet=quiet) as advance:
            for batch in found.batches():
                replay.add(batch)
                run.pruned = found.pruned
                advance(found.last - batch.index[-1] + 1, replay)
        run.pruned = found.pruned


def _rescore(replay: Replay, run: _Run, key_file: Path | None, *, quiet: bool) -> None:
    """Let the draft's checks read again what can still be opened."""
    from audit.history import originals
    from guard.chain import Chain
    from guard.sync import run_sync

    chain = Chain(replay.draft)
    for name, why in run_sync(chain.load()).items():
        raise ModelError(f"check {name!r} could not be loaded: {why}", advice="Without it nothing can be read again.")
    _record_access(replay.draft, run, key_file)
    # Which groups are skipped may depend on the time of a decision, so then each is judged alone.
    size = RESCORED if len({spec.group for spec in replay.draft.checks}) == 1 else 1
    waiting: list[Any] = []

    def flush() -> None:
        if waiting:
            measured = run_sync(chain.run([content for _, _, content in waiting], waiting[0][1].time))
            for (index, decision, _), results in zip(waiting, measured, strict=True):
                replay.add_rescored(decision, index, results)
            waiting.clear()

    with _progress(None, quiet=quiet) as advance:
        for done, (index, decision, content, why) in enumerate(
            originals(run.ledger, run.filters, limit=run.limit, key_file=key_file), 1
        ):
            if content is None:
                replay.leave_out(f"its content cannot be read: {why}" if why else "")
            else:
                waiting.append((index, decision, content))
            if len(waiting) >= size:
                flush()
            advance(done, replay)
        flush()


def _record_access(draft: Policy, run: _Run, key_file: Path | None) -> None:
    """Content that checks read is content that was opened: the ledger says so first. Without a key nothing will be."""
    from audit.access import record_access
    from audit.keys import find_master_key
    from audit.ledger import open_ledger
    from audit.stores import open_store

    if find_master_key(open_store(run.ledger), key_file) is None:
        return
    asked = " ".join(f"{'-' if one.excluded else ''}{one.key}:{','.join(map(str, one.values))}" for one in run.filters)
    why = f"replay of policy {draft.id} version {draft.version}: its checks read the content again, and nobody sees it"
    with open_ledger(run.ledger, key_file=key_file) as opened:
        record_access(opened, actor(), why, query=asked[:MAX_QUERY])


@contextmanager
def _progress(total: int | None, *, quiet: bool) -> Iterator[Any]:
    """A bar with rate and remaining time on a terminal; nothing elsewhere."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.percentage:>3.0f} %"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("replay", total=total, rate="")
        started = perf_counter()

        def advance(done: int, replay: Any) -> None:
            rate = replay.total / max(1e-9, perf_counter() - started)
            bar.update(task, completed=done, rate=f"{replay.total:,} decisions, {rate:,.0f}/s")

        yield advance


# --- what is told ------------------------------------------------------------------------------------------------------


def _circumstances(run: _Run) -> dict[str, Any]:
    return {
        "partial": run.partial,
        "pruned": run.pruned,
        "seconds": round(run.seconds, 3),
        "filters": filter_words(run.filters),
    }


def _print(summary: Summary, run: _Run, draft: Policy) -> None:
    console = _console()
    rate = summary.total / max(run.seconds, 1e-9)
    asked = " ".join(filter_words(run.filters))
    console.print(
        f"{summary.total:,} decisions{f' ({escape(asked)})' if asked else ''} "
        f"under {escape(draft.id)} version {draft.version}, "
        f"revision {draft.revision[:16]}: {run.seconds:.1f} s, {rate:,.0f}/s",
        highlight=False,
    )
    if run.partial:
        console.print("Interrupted: this is a part, the newest decisions.", highlight=False)
    edited = f", {summary.changed_edits:,} of them redacted otherwise" if summary.changed_edits else ""
    console.print(f"{summary.unchanged:>9,} unchanged{edited}", highlight=False)
    console.print(f"{summary.flipped:>9,} with another action", highlight=False)
    for count, what in (
        (summary.refused, "refused as unreadable then and now"),
        (summary.outside, "that it does not speak for"),
    ):
        if count:
            console.print(f"{count:>9,} {what}", highlight=False)
    for flip in summary.flips:
        _print_flip(console, flip)
    if summary.unreplayable or run.pruned:
        console.print(f"[bold]{summary.unreplayable + run.pruned:,} cannot be replayed[/]", highlight=False)
        for reason, count in (*summary.reasons.items(), *([("its record was pruned", run.pruned)] if run.pruned else ())):
            console.print(f"{count:>9,} {escape(reason)}", highlight=False)


def _print_flip(console: Console, flip: Flip) -> None:
    names = f"[{ACTION_STYLE[flip.before]}]{flip.before}[/] -> [{ACTION_STYLE[flip.after]}]{flip.after}[/]"
    console.print(f"[bold]{names}[/] {flip.count:,}", highlight=False)
    for name, counts in flip.by.items():
        shown = ", ".join(f"{printable(value)} {count:,}" for value, count in counts.most_common(_TOP))
        more = f" and {len(counts) - _TOP} more" if len(counts) > _TOP else ""
        if shown:
            console.print(f"    {name:<10} {escape(shown)}{more}", highlight=False, soft_wrap=True)
    for one in flip.examples:
        why = one.because_after or f"no longer: {one.because_before}"
        told = f"{', '.join(one.rules_after or one.rules_before)}: {why}"
        console.print(
            f"    entry {one.index}, {one.time[:19]}, {one.decision}: {escape(printable(told))}",
            highlight=False,
            soft_wrap=True,
        )


def _check(run: _Run, *, as_json: bool) -> None:
    """Derive each decision again under its own policy."""
    from audit.history import documents
    from policies.rederived import Rederivation

    derived = Rederivation(documents(run.ledger))
    started = perf_counter()
    with _interruptible(run):
        _replay(derived, run, quiet=as_json, rules=False)
    run.seconds = perf_counter() - started
    if as_json:
        names = ("total", "same", "refused")
        told = {name: getattr(derived, name) for name in names} | {"reasons": dict(derived.reasons)}
        print_json(told | {"differences": [asdict(one) for one in derived.differences]} | _circumstances(run))
    else:
        _print_derived(derived, run)
    failed = derived.differences or derived.reasons
    raise typer.Exit(INTERRUPTED if run.partial else TOO_MANY if failed else 0)


def _print_derived(derived: Rederivation, run: _Run) -> None:
    console = _console()
    rest = f", {derived.refused:,} refused as unreadable" if derived.refused else ""
    rest += f", {run.pruned:,} whose record was pruned" if run.pruned else ""
    console.print(
        f"{derived.same:,} of {derived.total:,} decisions derive again under their own policies{rest} ({run.seconds:.1f} s)",
        highlight=False,
    )
    for reason, count in derived.reasons.most_common():
        console.print(f"{count:>9,} {escape(reason)}", highlight=False)
    for one in derived.differences[:20]:
        told = f"entry {one.index}, {one.decision}: recorded {one.recorded}, derived {one.derived}"
        console.print(escape(printable(told)), highlight=False, soft_wrap=True)
    if len(derived.differences) > 20:
        console.print(f"and {len(derived.differences) - 20:,} more", highlight=False)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=160)
