"""`genguard audit reviews | review … | feedback | sample | agreement`: what waits for a person, the steps, quality control."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.review_codes import CODES, FEEDBACK_CODES
from guard.errors import InputError, RefusedError
from serving.settings import DEFAULT_LEDGER, Settings
from terminal.actor import KeyFile, LedgerUrl
from terminal.actor import actor as actor_named
from terminal.printing import Json, print_json, printable

REFUSED = 1
"""What a step ends with that may not be taken."""
WAITS, WITHHELD = 20, 30
"""What `review fetch` ends with when a person still has to decide, and when nothing leaves; the codes of `check`."""

Actor = Annotated[str, typer.Option("--actor", envvar="GENGUARD_ACTOR", help="Who you are. Default: your user name.")]
Decision = Annotated[str, typer.Argument(help="A decision id, or the beginning of one.")]
Outcome = Annotated[str, typer.Option(help="release or withhold.")]
Reason = Annotated[str, typer.Option(help="Why, in words; recorded.")]

review_app = typer.Typer(help="Take the steps of a review.", no_args_is_help=True)


def reviews(
    queue: Annotated[str, typer.Option(help="held, feedback, quality, appeal, category:NAME or policy:NAME.")] = "",
    state: Annotated[str, typer.Option(help="waiting, second or appealed alone.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    after: Annotated[int, typer.Option(help="Only decisions after this index: the next page.")] = -1,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """List what waits for a person, oldest first."""
    from audit.review_queue import count, waiting
    from serving.review_fields import case_fields

    sla, now = _sla(), datetime.now(UTC)
    found = waiting(ledger, queue, limit=limit, after=after, state=state)
    rows = [case_fields(one, sla, now) for one in found.cases]
    waits = count(ledger, queue)
    if as_json:
        print_json({"reviews": rows, "waiting": waits, "next": found.next})
        return
    _print_rows(rows)
    more = f"; the next page: --after {found.next}" if found.next is not None else ""
    typer.echo(f"{len(rows)} of {waits} that wait{more}")


@review_app.command()
def claim(
    decision: Decision,
    minutes: Annotated[int, typer.Option(min=1, max=480, help="How long it is yours.")] = 30,
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Take a decision for yourself: nobody else may decide on it meanwhile."""
    from audit.review_steps import claim as take

    _take(
        ledger, key_file, lambda opened: take(opened, decision, actor_named(actor), timedelta(minutes=minutes)), as_json=as_json
    )


@review_app.command("release")
def give_back(
    decision: Decision,
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Give a decision that you claimed back to the queue, undecided."""
    from audit.review_steps import release_claim

    _take(ledger, key_file, lambda opened: release_claim(opened, decision, actor_named(actor)), as_json=as_json)


@review_app.command()
def decide(
    decision: Decision,
    outcome: Outcome,
    code: Annotated[str, typer.Option(help=f"Why: {', '.join(CODES)}.")],
    reason: Reason = "",
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Say what becomes of a decision that you claimed."""
    from audit.review_steps import decide as take

    second = Settings.read().second_review
    said = (outcome, code, reason)
    _take(ledger, key_file, lambda opened: take(opened, decision, actor_named(actor), *said, second=second), as_json=as_json)


@review_app.command()
def appeal(
    decision: Decision,
    reason: Reason,
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Ask that somebody else looks at what was decided."""
    from audit.review_steps import appeal as take

    _take(ledger, key_file, lambda opened: take(opened, decision, actor_named(actor), reason), as_json=as_json)


@review_app.command()
def overrule(
    decision: Decision,
    outcome: Outcome,
    reason: Reason,
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Set aside what somebody else decided."""
    from audit.review_steps import overrule as take

    _take(ledger, key_file, lambda opened: take(opened, decision, actor_named(actor), outcome, reason), as_json=as_json)


@review_app.command()
def undo(
    decision: Decision,
    reason: Reason,
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Take your own latest step back."""
    from audit.review_steps import undo as take

    _take(ledger, key_file, lambda opened: take(opened, decision, actor_named(actor), reason), as_json=as_json)


@review_app.command()
def fetch(
    decision: Decision,
    out: Annotated[Path | None, typer.Option(help="Write the released content here. Images need it.")] = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Get a held output after a person released it: 0 released, 20 still waiting, 30 withheld."""
    from audit.query import show
    from policies import from_document
    from serving.held import RELEASED, WAITING, Vaulted, answer, answer_fields
    from serving.wiring import open_guard

    shown = show(ledger, decision)
    if shown.decision is None or not shown.document:
        raise InputError(f"entry {shown.idx} holds no output", advice="Name a decision with the action `review`.")
    guard, opened = open_guard([from_document(shown.document)], ledger, key_file=key_file)
    try:
        found = asyncio.run(answer(guard, opened, Vaulted(ledger, key_file), str(shown.decision.id)))
    finally:
        opened.close()
    fields = answer_fields(found, guard.operator)
    data = found.content.data if found.content else None
    if data is not None and out is None and "text" not in fields and not as_json:
        raise typer.BadParameter("an image or audio needs a file: --out FILE", param_hint="--out")
    if data is not None and out is not None:
        out.write_bytes(data)
    if as_json:
        print_json(fields)
    else:
        if "text" in fields and out is None:
            typer.echo(printable(fields["text"]))
        typer.echo(": ".join(filter(None, (found.status, found.why))), err=True)
    raise typer.Exit({RELEASED: 0, WAITING: WAITS}.get(found.status, WITHHELD))


@review_app.command("to-test")
def to_test(
    decision: Decision,
    policy: Annotated[Path, typer.Option(help="The policy file that gets the example.")],
    rule: Annotated[str, typer.Option(help="Beside which rule. Default: the one that decided.")] = "",
    flags: Annotated[
        bool, typer.Option("--flags", help="The rule has to fire at it, as after a missed harm. Default: it must not.")
    ] = False,
    reason: Reason = "an example for a policy",
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Make a decision an example of a policy: its content is revealed, which is recorded, and goes into the file."""
    from terminal.review_example import Example, write

    wanted = Example(decision, policy, rule, "flags" if flags else "passes", reason, actor_named(actor))
    fields = write(wanted, ledger, key_file)
    if as_json:
        print_json(fields)
    else:
        typer.echo(f"{fields['file']}:{fields['line']}: {fields['expects']} beside rule {fields['rule']}")
        typer.echo("The content stands in the file as it is: take out what must not be there.", err=True)


def feedback(
    decision: Decision,
    kind: Annotated[str, typer.Option("--kind", help=f"What is said of it: {', '.join(FEEDBACK_CODES)}.")],
    comment: Annotated[str, typer.Option("--comment", help="In words; recorded: name nobody.")] = "",
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Say that a decision was a wrong block, or missed a harm: a person looks at it."""
    from audit.review_steps import feedback as take

    _take(ledger, key_file, lambda opened: take(opened, decision, actor_named(actor), kind, comment), as_json=as_json)


def sample(
    rate: Annotated[str, typer.Option(help="Share of the automatic decisions, such as 1% or 0.01.")],
    since: Annotated[str, typer.Option(help="How far back: 7d, 12h, or a day such as 2026-11-20.")] = "7d",
    persons: Annotated[int, typer.Option(min=1, max=2, help="How many look at each.")] = 2,
    actor: Actor = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Put a sample of automatic decisions into the queue `quality`. Drawn again, it is the same."""
    from audit.ledger import open_ledger
    from audit.review_steps import sample as put
    from audit.sampling import candidates

    share, begin = _rate(rate), _since(since, datetime.now(UTC))
    chosen = candidates(ledger, share, begin)
    with open_ledger(ledger, key_file=key_file) as opened:
        for one in chosen:
            put(opened, one, actor_named(actor), persons=persons)
    if as_json:
        print_json({"sampled": chosen, "rate": share, "since": begin.isoformat()})
    else:
        typer.echo(f"{len(chosen)} decisions wait in the queue quality")


def agreement(
    queue: Annotated[str, typer.Option(help="Only what was decided in this queue, such as quality.")] = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Tell how far two persons agree who looked at the same decisions: Cohen's kappa."""
    from audit.sampling import agreement as measure

    found = measure(ledger, queue=queue)
    table = [{"first": one, "second": other, "count": count} for (one, other), count in sorted(found.table.items())]
    if as_json:
        print_json({"pairs": found.pairs, "observed": found.observed, "kappa": found.kappa, "table": table})
        return
    if found.observed is None:
        typer.echo("no decision was looked at by two persons")
        return
    kappa = "not defined: everybody always said the same" if found.kappa is None else f"{found.kappa:.3f}"
    typer.echo(f"{found.pairs} decisions, the same on {found.observed:.1%}, kappa {kappa}")
    for row in table:
        typer.echo(f"  first {row['first']:<9} second {row['second']:<9} {row['count']}")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (reviews, feedback, sample, agreement):
        app.command(command.__name__)(command)
    app.add_typer(review_app, name="review")


def _take(ledger: str, key_file: Path | None, step: Callable[[Any], Any], *, as_json: bool) -> None:
    """Take a step in the ledger, and say how the decision stands."""
    from audit.ledger import open_ledger
    from serving.review_fields import taken_fields

    try:
        with open_ledger(ledger, key_file=key_file) as opened:
            taken = step(opened)
    except RefusedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(REFUSED) from None
    fields = taken_fields(taken, _sla(), datetime.now(UTC))
    if as_json:
        print_json(fields)
    else:
        typer.echo(
            f"entry {taken.index}: {taken.state.phase.value}" + (f", {taken.state.outcome}" if taken.state.outcome else "")
        )


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=160)
    table = Table(pad_edge=False)
    for header in ("decision", "queue", "state", "age", "due", "claimed", "policy", "rules"):
        table.add_column(header, overflow="fold", no_wrap=header == "decision")
    for row in rows:
        due = "OVERDUE" if row.get("overdue") else row["due"][:16].replace("T", " ")
        age = str(timedelta(seconds=row["age"]))
        cells = (row["decision"], row["queue"], row["state"], age, due, row.get("claimed", {}).get("by", ""), row["policy"])
        table.add_row(*(escape(printable(cell)) for cell in (*cells, ", ".join(row["rules"]))))
    console.print(table)


def _sla() -> timedelta:
    return timedelta(minutes=Settings.read().review_sla_minutes)


def _rate(text: str) -> float:
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    share = number / 100 if text.strip().endswith("%") else number
    if not 0 < share <= 1:
        raise InputError(f"found the rate {text[:20]!r}, expected a share such as 1% or 0.01")
    return share


def _since(text: str, now: datetime) -> datetime:
    from audit.grammar import filters_from

    units = {"d": "days", "h": "hours"}
    number, unit = text[:-1], text[-1:]
    if unit in units and number.isdecimal() and len(number) < 6:
        return now - timedelta(**{units[unit]: int(number)})
    return datetime.fromisoformat(filters_from({"since": text})[0].values[0])
