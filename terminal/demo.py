"""`genguard demo`: three bundled models answer prompts, the enterprise policy judges every output, and the ledger proves it.

Nothing is canned: another seed gives other outputs. What was released lies in the output folder, named by its decision.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from guard import models
from guard.errors import GenguardError
from guard.ids import uuid7
from guard.pipeline import Guard
from guard.protocols import Generator
from guard.registry import generators as registry
from guard.types import Action, CheckResult, Content, Modality, Release, Request
from serving.wiring import open_guard
from terminal.display import WIDE

POLICY = "enterprise"
TEXTS, IMAGES_DIFFUSION, IMAGES_GAN = 48, 12, 4
"""Outputs of the first round; further rounds follow until every kind of decision has been seen, at most ROUNDS."""
ROUNDS = 3
BATCH = 16

TOXIC = frozenset({"harassment", "violence", "hate", "sexual"})

KINDS: dict[str, Callable[[Shown], bool]] = {
    "released untouched": lambda shown: shown.action is Action.ALLOW and not shown.marked,
    "personal data redacted": lambda shown: shown.action is Action.REDACT and "privacy" in shown.causes,
    "toxic text blocked": lambda shown: shown.action is Action.BLOCK and not TOXIC.isdisjoint(shown.causes),
    "protected work blocked": lambda shown: shown.action is Action.BLOCK and "intellectual_property" in shown.causes,
    "image marked, mark read back": lambda shown: shown.read_back,
}
"""What a worked run has to show, with how to tell."""


@dataclass(slots=True)
class Shown:
    """One row of the table."""

    release: Release
    generator: str
    file: Path | None = None
    read_back: bool = False

    @property
    def action(self) -> Action:
        return self.release.verdict.action

    @property
    def marked(self) -> bool:
        return bool(self.release.decision.marks)

    @property
    def causes(self) -> frozenset[str]:
        """Categories of the rules that brought the action about."""
        return frozenset(rule.category for rule in self.release.verdict.fired if rule.action is self.action)


@dataclass(slots=True)
class Job:
    """What one generator is asked for."""

    generator: Generator
    prompts: list[str]
    parameters: dict[str, Any] = field(default_factory=dict)


def run_demo(seed: int, out: Path, console: Console) -> int:
    """Run it and return the exit code: 0 when every kind of decision was seen and the ledger verified, else 1."""
    released = out / "released"
    released.mkdir(parents=True, exist_ok=True)
    database = out / "genguard.db"
    console.rule("[bold]genguard demo")
    console.print(f"Three bundled models answer prompts under the policy [bold]{POLICY}[/]. Seed {seed}; outputs in {out}/.\n")
    guard, ledger = open_guard([POLICY], f"sqlite:///{database}")
    try:
        rows = asyncio.run(generate(guard, seed, released, console))
    finally:
        ledger.close()
    console.print(_table(rows, console.width))
    missing = _summary(rows, console)
    sound = _prove(database, rows, console)
    _next_steps(database, rows, console)
    return 0 if sound and not missing else 1


async def generate(guard: Guard, seed: int, released: Path, console: Console) -> list[Shown]:
    """Let the models answer until every kind of decision was seen; released images go into the folder. Raises GenguardError."""
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[Shown] = []
    made = {name: registry.make(name) for name in ("language", "diffusion", "gan")}
    with Progress(*columns, console=console) as progress:
        loading = progress.add_task("Loading models", total=1)
        troubles = await guard.load(*made.values())
        progress.advance(loading)
        if troubles:
            raise GenguardError("; ".join(f"{name} is not ready: {why}" for name, why in troubles.items()))
        for number in range(ROUNDS):
            jobs = _jobs(made, seed + 1000 * number)
            task = progress.add_task(f"Round {number + 1}: generate and judge", total=sum(_outputs(job) for job in jobs))
            for job in jobs:
                async for shown in _work(guard, job, released):
                    rows.append(shown)
                    progress.advance(task)
            if not _missing(rows):
                break
    return rows


def _jobs(made: dict[str, Generator], seed: int) -> list[Job]:
    prompts = (models.locate("bundled/language-service").path / "prompts.txt").read_text("utf-8").splitlines()[:TEXTS]
    batches = [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
    texts = [Job(made["language"], some, {"seed": seed + 100 * number}) for number, some in enumerate(batches)]
    return [
        *texts,
        Job(made["diffusion"], ["A round emblem for a small company"], {"seed": seed, "n": IMAGES_DIFFUSION}),
        Job(made["gan"], ["A handwritten digit"], {"seed": seed, "n": IMAGES_GAN}),
    ]


def _outputs(job: Job) -> int:
    return len(job.prompts) * int(job.parameters.get("n", 1))


async def _work(guard: Guard, job: Job, released: Path) -> AsyncIterator[Shown]:
    request = Request(str(uuid7()), actor="demo")
    async for _, release in guard.release_many(job.generator, job.prompts, request=request, **job.parameters):
        shown = Shown(release, job.generator.name)
        if release.content is not None:
            shown.file = await asyncio.to_thread(_write, release.content, released, str(release.decision.id))
            shown.read_back = await asyncio.to_thread(_reads_back, shown, guard.operator.watermark_key)
        yield shown


def _write(content: Content, folder: Path, name: str) -> Path:
    file = folder / f"{name}{'.txt' if content.modality is Modality.TEXT else '.png'}"
    file.write_bytes(content.payload())
    return file


def _reads_back(shown: Shown, key: bytes) -> bool:
    """Read the watermark from the file on disk and compare it with what the ledger has for this decision."""
    from guard.marks.watermark import payload_in

    marks = [mark for mark in shown.release.decision.marks if mark.kind == "watermark" and mark.verified]
    if not marks or shown.file is None:
        return False
    return payload_in(shown.file.read_bytes(), marks[0].method, key) == marks[0].payload


# --- what was decided --------------------------------------------------------------------------------------------------

_STYLE = {Action.ALLOW: "green", Action.REDACT: "yellow", Action.BLOCK: "red", Action.REVIEW: "magenta", Action.LABEL: "cyan"}


def _table(rows: Sequence[Shown], width: int) -> Table:
    """One line a decision; a narrow terminal gets rules by their id alone, and ids folded."""
    narrow = width < WIDE
    table = Table(title="Decisions", pad_edge=False, box=SIMPLE_HEAD if narrow else HEAVY_HEAD)
    table.add_column("generator", no_wrap=True)
    table.add_column("found", max_width=18 if narrow else 34, overflow="fold")
    table.add_column("done", no_wrap=True)
    table.add_column("why", max_width=16 if narrow else 60, overflow="fold")
    table.add_column("decision", width=18 if narrow else 36, overflow="fold")
    for shown in rows:
        done = f"[{_STYLE[shown.action]}]{shown.action.value}{' + mark' if shown.read_back else ''}[/]"
        found = _found(shown.release.decision.results) or "-"
        table.add_row(shown.generator, found, done, _why(shown.release, short=narrow), str(shown.release.decision.id))
    return table


def _found(results: Sequence[CheckResult]) -> str:
    """The strongest finding a label: numbers and names, never content."""
    best: dict[str, int] = {}
    for result in results:
        for finding in result.findings:
            name = f"'{finding.match.title}'" if finding.match else finding.label
            best[name] = max(best.get(name, 0), finding.score)
    strongest = sorted(best.items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{name} {score / 1000:.2f}" for name, score in strongest)


def _why(release: Release, *, short: bool) -> str:
    fired = [rule for rule in release.verdict.fired if rule.action is release.verdict.action]
    return "; ".join(rule.rule if short else f"{rule.rule}: {rule.title}" for rule in fired) or "no rule fired"


def _missing(rows: Sequence[Shown]) -> list[str]:
    return [kind for kind, holds in KINDS.items() if not any(holds(shown) for shown in rows)]


def _summary(rows: Sequence[Shown], console: Console) -> list[str]:
    actions = Counter(shown.action.value for shown in rows)
    console.print(f"\n[bold]{len(rows)} outputs[/]: " + ", ".join(f"{count} {name}" for name, count in sorted(actions.items())))
    missing = _missing(rows)
    for kind, holds in KINDS.items():
        count = sum(holds(shown) for shown in rows)
        console.print(f"  {'[green]yes[/]' if count else '[red]no [/]'} {kind}: {count}")
    if missing:
        console.print(f"[red]Not seen in {ROUNDS} rounds: {', '.join(missing)}. Try another --seed.[/]")
    return missing


# --- the proof ---------------------------------------------------------------------------------------------------------


def _prove(database: Path, rows: Sequence[Shown], console: Console) -> bool:
    """Verify the ledger, then change one byte of a copy and let the verifier find it."""
    from audit.verify import verify

    console.rule("[bold]Proof")
    report = verify(f"sqlite:///{database}")
    console.print(
        f"Ledger: {'[green]sound[/]' if report.ok else '[red]TAMPERED[/]'}, {report.size} entries in "
        f"{report.seconds:.1f} s, root {report.root[:16]}…"
    )
    victim = rows[len(rows) // 2].release
    copy = database.with_name("tampered-copy.db")
    offset = change_one_byte(database, copy, str(victim.decision.id))
    broken = verify(f"sqlite:///{copy}", key_file=database.with_name(database.name + ".key"))
    named = [problem for problem in broken.problems if problem.idx == victim.receipt.index]
    console.print(f"One byte of a copy changed (at {offset}), in entry {victim.receipt.index}.")
    for problem in (named or broken.problems)[:1]:
        console.print(f"Verifier: [yellow]{problem}[/]")
    return bool(report.ok and named and not broken.ok)


def change_one_byte(database: Path, copy: Path, decision: str) -> int:
    """Copy a ledger and flip one bit in the stored body of a decision, past SQLite; return the byte's offset."""
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    data = bytearray(copy.read_bytes())
    offset = data.index(b'"' + decision.encode() + b'"') + 5
    data[offset] ^= 1
    copy.write_bytes(data)
    return offset


def _next_steps(database: Path, rows: Sequence[Shown], console: Console) -> None:
    blocked = next((shown for shown in rows if shown.action is Action.BLOCK), rows[0])
    console.print("\nTry next:")
    for line in (
        f"genguard audit show {blocked.release.decision.id} --ledger sqlite:///{database}",
        f"genguard audit query action:block --ledger sqlite:///{database}",
        "genguard generate language --prompt 'Can you look up my account?'    (rules: policies/packs/enterprise.yaml)",
    ):
        console.print(f"  .venv/bin/{line}", soft_wrap=True, highlight=False)
