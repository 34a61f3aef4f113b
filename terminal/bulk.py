"""`genguard bulk`: whole tables and folders through the policy."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from guard.sync import run_sync
from guard.types import Origin, Request, Stage
from serving.settings import DEFAULT_LEDGER, DEFAULT_POLICY, Settings
from terminal.printing import ACTION_STYLE, Json, print_json


class Engine(StrEnum):
    """Where checks run."""

    PROCESS = "process"
    RAY = "ray"


app = typer.Typer(help="Take whole tables and folders through the policy.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own."""


@app.command("check")
def check(
    given: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="Texts in a .csv, .tsv, .jsonl or .parquet file, or a folder of Parquet files or images."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new file of one of these kinds; for images a new folder.")],
    text: Annotated[str, typer.Option(help="Column that holds the texts.")] = "text",
    key: Annotated[str, typer.Option("--id", help="Column that says what each row is known by. Default: its number.")] = "",
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help=f"Policy file or pack name. Default: {DEFAULT_POLICY}.")
    ] = None,
    ledger: Annotated[str, typer.Option("--ledger", help="Where decisions are kept: an SQLAlchemy URL.")] = DEFAULT_LEDGER,
    stage: Annotated[Stage, typer.Option(help="Where the contents stand.")] = Stage.OUTPUT,
    generator: Annotated[str, typer.Option(help="What made them.")] = "caller",
    tenant: Annotated[str, typer.Option(help="Whose they are.")] = "default",
    language: Annotated[str, typer.Option(help="Language tag, such as en.")] = "und",
    purpose: Annotated[str, typer.Option(help="What it is for; recorded.")] = "",
    consent: Annotated[str, typer.Option(help="Reference to the consent that it rests on; recorded.")] = "",
    engine: Annotated[
        Engine | None, typer.Option(help="Measure in this process, or on a Ray cluster. Default: GENGUARD_ENGINE.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=4096, help="Contents that are judged together.")] = 64,
    restart: Annotated[bool, typer.Option("--restart", help="Forget a run that was cut off, and begin anew.")] = False,
    key_file: Annotated[Path | None, typer.Option(help="Master key of the payloads; beside the ledger by default.")] = None,
    redaction_key_file: Annotated[
        Path | None, typer.Option(envvar="GENGUARD_REDACTION_KEY_FILE", help="Key of hashes, stand-ins and encrypted values.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge each text or image; write what may leave, why, and the receipts. The same command goes on where one was cut off."""
    from bulk.results import Results
    from bulk.run import Asked, run
    from bulk.sources import open_source
    from policies import load
    from serving.wiring import open_guard
    from terminal.actor import actor

    policies = [load(one) for one in policy or (DEFAULT_POLICY,)]
    source = open_source(given, text, key)
    settings = Settings.read()
    chains = _elsewhere(source, policies) if (engine or settings.engine) == "ray" else None
    guard, opened = open_guard(policies, ledger, key_file=key_file, redaction_key_file=redaction_key_file, chains=chains)
    try:
        head: dict[str, Any] = {
            "genguard_bulk": 1,
            "run": uuid.uuid4().hex,
            "batch": batch,
            "input": os.fspath(given.absolute()),
            "digest": source.digest,
            "modality": source.modality.value,
            "policies": sorted(one.revision for one in guard.policies),
            "ledger": opened.identity,
            "asked": [stage.value, generator, tenant, language, purpose, consent],
        }
        with Results(out, head, restart=restart) as results, ExitStack() as stack:
            request = Request("bulk", tenant, actor(), language=language, purpose=purpose, consent=consent)
            asked = Asked(results.head["run"], request, stage, Origin(generator), results.head["batch"])
            contents = source if chains is None else _spread(stack, settings.ray, source, asked, guard.limits, chains)
            console = Console(stderr=True)
            if results.done:
                console.print(f"goes on after {results.done} of {source.count}", highlight=False)
            with _bar(source.count, results.done, console) as told:
                summary = run_sync(run(guard, contents, results, asked, ledger, told, key_file=key_file))
            written = results.finish()
    finally:
        opened.close()
    if as_json:
        print_json(
            {
                "out": os.fspath(written),
                "count": summary.count,
                "actions": dict(summary.actions.most_common()),
                "rules": dict(summary.rules.most_common()),
            }
        )
        return
    _print(summary, written)


def _elsewhere(source: Any, policies: list[Any]) -> dict[str, Any]:
    """Chains of all policies for what is measured on a cluster. Raises InputError for a source that cannot be spread."""
    from bulk.spread import Measured, pieces

    pieces(source)
    return {one.id: Measured(one) for one in policies}


def _spread(stack: ExitStack, cluster: Any, source: Any, asked: Any, limits: Any, chains: dict[str, Any]) -> Any:
    """The source, measured on a cluster that is joined for as long as the stack is open. Raises SettingsError."""
    from bulk.spread import Spread, on_ray
    from serving.cluster.joining import joined, surroundings

    stack.enter_context(joined(cluster, "data"))
    return Spread(source, asked, limits, chains, around=surroundings(), measure=partial(on_ray, workers=cluster.bulk_workers))


class _bar:  # noqa: N801 - used like a function
    """A bar with rate and the time that is left; nothing where nobody looks."""

    def __init__(self, total: int, done: int, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("judged"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total, completed=done, rate="")

    def __enter__(self) -> Any:
        self._bar.start()
        return partial(self._advance)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _advance(self, count: int) -> None:
        self._bar.advance(self._task, count)
        speed = self._bar.tasks[self._task].speed
        self._bar.update(self._task, rate=f"{speed:.0f}/s" if speed else "")


def _print(summary: Any, written: Path) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(f"{summary.count} judged, results in {written}", highlight=False)
    for title, counts in (("action", summary.actions), ("rule", summary.rules)):
        if counts:
            table = Table(title, "count", "share", box=None, padding=(0, 3, 0, 0), header_style="dim")
            for name, count in counts.most_common():
                table.add_row(name, str(count), f"{count / summary.count:.1%}", style=ACTION_STYLE.get(name, ""))
            console.print(table)
