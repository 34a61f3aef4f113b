"""The terminal's `genguard bank …`: register works, list and retire them, exchange them, and match files against them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from guard.errors import InputError
from guard.matching import bank as banks
from guard.matching import exchange
from guard.matching.bank import Bank
from guard.matching.imports import MAX_FILE, Options, Summary, check_source, import_works
from guard.matching.records import check_kind, day_from, territory_from
from guard.matching.works import Work
from serving import works as shared
from serving.settings import DEFAULT_LEDGER
from terminal.actor import KeyFile, actor
from terminal.printing import Json, print_json, printable

NO_MATCH, REJECTED, DAMAGED = 1, 2, 2
"""What `match` ends with when nothing matches, `show WORK --at` when it was not there; `import` when works were refused;
`show --verify` when the bank is not what it was."""
_LISTED_REJECTS = 20

bank_app = typer.Typer(help="Register works, match files against them, exchange lists of hashes.", no_args_is_help=True)

BankName = Annotated[str, typer.Argument(metavar="BANK", help="A bank's name, or the path of its folder or file.")]
LedgerUrl = Annotated[
    str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Where changes of banks are recorded: an SQLAlchemy URL.")
]
Kind = Annotated[str, typer.Option("--kind", help="protected, or cleared: look-alikes that never count. For a new bank.")]
KeepText = Annotated[bool, typer.Option("--keep-text", help="Keep texts, so that a match can be followed letter by letter.")]
At = Annotated[str, typer.Option("--at", metavar="DIGEST", help="As it was when the bank had this digest, or its beginning.")]


@bank_app.command()
def add(
    bank: BankName,
    file: Annotated[Path, typer.Argument(help="A picture, or a text such as source code.")],
    id: Annotated[str, typer.Option("--id", help="Its id in the bank; the file's name by default.")] = "",  # noqa: A002
    title: Annotated[str, typer.Option(help="What it is called; the file's name by default.")] = "",
    owner: Annotated[str, typer.Option(help="Whose it is.")] = "",
    licence: Annotated[str, typer.Option(help="On which terms it may be used.")] = "",
    terms: Annotated[str, typer.Option(help="What the owner allows or asks for.")] = "",
    contact: Annotated[str, typer.Option(help="Whom to ask.")] = "",
    valid_from: Annotated[str, typer.Option(metavar="DAY", help="The first day on which it counts.")] = "",
    valid_until: Annotated[str, typer.Option(metavar="DAY", help="The last day on which it counts.")] = "",
    territory: Annotated[str, typer.Option(help="Country codes of where it counts: CN DE; everywhere by default.")] = "",
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="Keep a small picture, to be shown beside a match.")] = False,
    keep_text: KeepText = False,
    kind: Kind = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Register one work. The file itself is not kept."""
    work = Work(
        id or file.name,
        title or file.stem,
        owner=owner,
        licence=licence,
        terms=terms,
        contact=contact,
        valid_from=day_from("valid_from", valid_from),
        valid_until=day_from("valid_until", valid_until),
        territory=territory_from(territory),
    )
    ready = shared.shown_by(work, _bytes(file), thumbnail=thumbnail, keep_text=keep_text)
    with _changing(bank, ledger, key_file, kind) as opened:
        added = shared.add(opened, ready, actor=actor(), source="add")
    if as_json:
        print_json({"bank": opened.name, "work": work.id, "added": added, "digest": opened.digest})
    else:
        typer.echo(f"{work.id}: {'registered in' if added else 'already in'} {opened.name}, now {len(opened)} works")


@bank_app.command("import")
def import_(
    bank: BankName,
    source: Annotated[Path, typer.Argument(metavar="FOLDER|CSV|JSONL", help="Pictures and texts, or a list of hashes.")],
    kind: Kind = "",
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help="Keep small pictures, to be shown beside a match.")] = False,
    keep_text: KeepText = False,
    again: Annotated[bool, typer.Option("--again", help="Register works anew that were retired before.")] = False,
    rejects: Annotated[Path | None, typer.Option("--rejects", help="Write every refused work here, as CSV.")] = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Register many works: 0 all are there, 2 some were refused. Run it again after an interruption: it goes on."""
    if not source.exists():
        raise InputError(f"there is no {source}", advice="Give a folder, a .csv or a .jsonl file.")
    if not kind and source.suffix.lower() == ".jsonl" and source.is_file():
        kind = exchange.kind_of(source) or ""
    check_source(source)
    options = Options(actor(), again, thumbnails, keep_text, rejects)
    with _changing(bank, ledger, key_file, kind) as opened:
        summary = _with_progress(opened, source, options, quiet=as_json)
    if as_json:
        print_json(summary.fields() | {"bank": opened.name, "works": len(opened), "digest": opened.digest})
    else:
        _print_summary(opened, summary)
    raise typer.Exit(REJECTED if summary.rejected else 0)


@bank_app.command("list")
def list_(
    bank: Annotated[str | None, typer.Argument(metavar="[BANK]", help="List its works; without it, all banks.")] = None,
    query: Annotated[str, typer.Option(help="Only works whose id, title or owner contains this.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    after: Annotated[int, typer.Option(min=0, help="Only works past this number: the next page.")] = 0,
    at: At = "",
    as_json: Json = False,
) -> None:
    """List banks, or the works of one."""
    if bank is None:
        found = shared.all_banks()
        if as_json:
            print_json({"banks": found})
        else:
            troubled = any("trouble" in one for one in found)
            _print_table(("bank", "kind", "where", "works", "digest", *(("trouble",) if troubled else ())), found)
        return
    opened = banks.load(bank, empty=True)
    works, more = shared.page(opened, at=at, after=after, limit=limit, query=query)
    if as_json:
        print_json({"bank": opened.name, "works": [shared.work_fields(one) for one in works], "next": more})
    else:
        _print_table(("number", "id", "title", "owner", "licence", "modality"), [shared.work_fields(one) for one in works])
        _console().print(f"{len(works)} works{f'; the next page: --after {more}' if more else ''}", highlight=False)


@bank_app.command()
def show(
    bank: BankName,
    work: Annotated[str | None, typer.Argument(metavar="[WORK]", help="A work's id; without it, the bank itself.")] = None,
    at: At = "",
    verify: Annotated[bool, typer.Option("--verify", help="Hash the whole history again: 2 when it is damaged.")] = False,
    as_json: Json = False,
) -> None:
    """Tell of a bank or of one of its works; with --at, as it was then: 0 it was registered, 1 it was not."""
    opened = banks.load(bank, empty=True)
    if work is None:
        trouble = shared.history_trouble(opened) if verify else ""
        fields = shared.bank_fields(opened, at=at) | ({"history": trouble or "sound"} if verify else {})
        print_json(fields) if as_json else _print_bank(fields)
        raise typer.Exit(DAMAGED if trouble else 0)
    state = opened.state(at)
    found = opened.find(work, at=at)
    if found is None:
        if not at:
            raise InputError(f"bank {opened.name!r} has no work {work!r}", advice="`genguard bank list` names those it has.")
        fields = {"id": work, "registered": False}
    else:
        fields = {**shared.work_fields(found, state=state, whole=True)}
        fields["registered"] = not fields["retired"]
    fields |= {"bank": opened.name, "digest": state.head.hex()}
    print_json(fields) if as_json else _print_facts(fields)
    raise typer.Exit(0 if fields["registered"] or not at else NO_MATCH)


@bank_app.command()
def retire(
    bank: BankName,
    works: Annotated[list[str], typer.Argument(metavar="WORK...", help="Ids of works.")],
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Retire works: they never match again, and stay in the history."""
    if missing := [one for one in works if not banks.load(bank, empty=True).was_registered(one, "")]:
        raise InputError(f"bank {bank!r} has no work {missing[0]!r}", advice="`genguard bank list` names those it has.")
    with _changing(bank, ledger, key_file) as opened:
        count = opened.retire(works, actor=actor())
    if as_json:
        print_json({"bank": opened.name, "retired": count, "works": len(opened), "digest": opened.digest})
    else:
        typer.echo(f"{count} retired, {opened.name} now has {len(opened)} works")


@bank_app.command()
def match(
    bank: BankName,
    file: Annotated[str, typer.Argument(help="A picture or a text, or - for standard input.")],
    out: Annotated[Path | None, typer.Option(help="Draw output and registered work side by side here, as PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Compare a file with a bank, as a policy's check would: 0 matched, 1 no match."""
    from guard.matching.fingerprinting import is_image, text_from

    data = sys.stdin.buffer.read(MAX_FILE + 1) if file == "-" else _bytes(Path(file))
    matched = shared.match(bank, data if is_image(data) else text_from(data))
    fields = shared.match_fields(matched)
    if out is not None and matched.findings and is_image(data):
        from terminal.side_by_side import draw

        draw(data, matched).save(out, "PNG")
        fields["out"] = str(out)
    print_json(fields) if as_json else _print_match(fields)
    raise typer.Exit(0 if matched.findings else NO_MATCH)


@bank_app.command()
def export(
    bank: BankName,
    file: Annotated[str, typer.Argument(help="Where to write, or - for standard output.")],
    format_: Annotated[
        str, typer.Option("--format", help="jsonl (everything), csv (hashes and rights), threatexchange (PDQ).")
    ] = "jsonl",
    at: At = "",
    as_json: Json = False,
) -> None:
    """Write a bank as a file that others can read."""
    opened = banks.load(bank, empty=True)
    works = (one.work for one in opened.works(at=at, whole=True))
    if file == "-":
        exchange.write(works, opened.kind, opened.name, format_, sys.stdout)
        return
    with exchange.replacing(Path(file)) as stream:
        count = exchange.write(works, opened.kind, opened.name, format_, stream)
    if as_json:
        print_json({"bank": opened.name, "file": file, "format": format_, "written": count, "works": opened.state(at).size})
    else:
        left = opened.state(at).size - count
        typer.echo(f"{count} works written to {file}" + (f", {left} left out: they have no such hash" if left else ""))


@contextmanager
def _changing(name: str, ledger: str, key_file: Path | None, kind: str = "") -> Iterator[Bank]:
    """The bank, with the ledger open: what cannot be recorded is not changed."""
    from audit.ledger import open_ledger

    if kind:
        check_kind(kind)
    with (
        open_ledger(ledger, key_file=key_file) as opened,
        shared.changing(name, opened, kind=kind) as (bank, said),
    ):
        if said:
            typer.echo(said, err=True)
        yield bank


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            data = source.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise InputError(f"{file}: found more than {MAX_FILE} bytes, expected at most that")
    return data


def _with_progress(bank: Bank, source: Path, options: Options, *, quiet: bool) -> Summary:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task(escape(source.name), total=None)
        return import_works(bank, source, options, progress=lambda done, of: bar.update(task, completed=done, total=of or None))


def _print_summary(bank: Bank, summary: Summary) -> None:
    parts = [f"{summary.added} registered"]
    for count, what in ((summary.same, "already there"), (summary.retired, "retired before"), (summary.rejected, "refused")):
        parts += [f"{count} {what}"] if count else []
    typer.echo(f"{', '.join(parts)} in {summary.seconds:.1f} s; {bank.name} now has {len(bank)} works, digest {bank.digest}")
    for one in summary.rejects[:_LISTED_REJECTS]:
        typer.echo(printable(f"  {one.place}: {one.error}"), err=True)
    if summary.rejected > _LISTED_REJECTS:
        typer.echo(f"  and {summary.rejected - _LISTED_REJECTS} more: --rejects FILE lists them all", err=True)


def _print_bank(fields: dict[str, Any]) -> None:
    _print_facts({name: value for name, value in fields.items() if name != "changes"})
    _print_table(("time", "actor", "source", "works", "digest"), fields["changes"])


def _print_facts(fields: dict[str, Any]) -> None:
    console = _console()
    for name, value in fields.items():
        if name == "fingerprints":
            value = ", ".join(f"{one['method']} {one['view']}".strip() for one in value)  # noqa: PLW2901
        elif isinstance(value, list):
            value = ", ".join(map(str, value))  # noqa: PLW2901
        console.print(f"{name:<16}{escape(printable(str(value)))}", highlight=False)


def _print_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    table = Table(pad_edge=False, box=None)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(str(row.get(name, "")))) for name in columns))
    _console().print(table)


def _print_match(fields: dict[str, Any]) -> None:
    console = _console()
    if not fields["matched"]:
        note = f" ({fields['note']})" if "note" in fields else ""
        console.print(f"no match among {fields['works']} works of {fields['bank']}{note}", highlight=False)
    for one in fields["matches"]:
        console.print(f"[bold]{escape(printable(one['title']))}[/] (work {escape(printable(one['work']))})", highlight=False)
        _print_facts({name: value for name, value in one.items() if name not in {"title", "work", "bank"}})
    if "out" in fields:
        console.print(f"side by side in {escape(fields['out'])}", highlight=False)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=160)
