"""The terminal: `genguard demo | serve | doctor | generate | check | verify | reveal | eval`; `policy | audit | bank | key …`.

Exit codes: 0 done (for `check` and `generate`: released as it was), 10 released after an edit, 20 held for review, 30
blocked; `verify`: 0 from here, 1 unknown, 2 tampered with; `audit verify`: 0 sound, 2 tampered with, 3 gaps that are
explained, 4 a wrong signature, 5 behind a checkpoint; `reveal`: 0 all opened, 1 nothing to open, 2 something does not open;
`bank match`: 0 matched, 1 no match; `bank import`: 0 all there, 2 some refused; `bank follow --once`: 0 all there, 2 some
cannot follow; `policy test`: 0 all passed, 1 not all; 64 a usage error or an input that cannot be read, 70 a failure of ours.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from guard.errors import GenguardError, InputError, PolicyError, SettingsError, SignatureError
from guard.types import Action, Modality, Release, Request
from serving.settings import DEFAULT_LEDGER, DEFAULT_POLICY
from terminal import (
    audit_export,
    audit_forget,
    audit_retention,
    audit_statistics,
    audit_stream,
    audit_streams,
    audit_witness,
    bank_follow,
    doctor,
    log_key,
    policy_coverage,
    policy_diff,
    policy_explain,
    policy_new,
    policy_replay,
    policy_rollout,
    policy_sign,
    policy_test,
)
from terminal.actor import Author, Reason, actor
from terminal.api_keys import key_app
from terminal.audit_migrate import add as add_migrations
from terminal.audit_query import add as add_queries
from terminal.audit_review import add as add_reviews
from terminal.banks import bank_app
from terminal.bulk import Engine
from terminal.bulk import app as bulk_app
from terminal.config import add as add_config
from terminal.inputs import read_input
from terminal.policy import policy_app
from terminal.printing import FAILURE, USAGE, Json, print_json
from terminal.proofs import add as add_proofs

NOTHING, CLOSED = 1, 2
"""What `reveal` ends with when there is nothing to open, and when something does not open."""
_UsageError: type[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Base of all mistakes in arguments. Typer carries its own copy of click, of which it publishes only some names."""
RETURN_S = 0.5
"""Seconds that a model's thread gets to come back before the process ends without it."""
EXIT = {Action.ALLOW: 0, Action.LABEL: 10, Action.REDACT: 10, Action.REVIEW: 20, Action.BLOCK: 30}

app = typer.Typer(
    name="genguard",
    help="Every output of a generative model passes a policy before anyone sees it, and every decision can be proven later.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
marks_app = typer.Typer(help="Prepare what marks need.", no_args_is_help=True)
audit_app = typer.Typer(help="Look decisions up, explain them, verify the ledger.", no_args_is_help=True)
for part in (
    policy_new,
    policy_test,
    policy_explain,
    policy_diff,
    policy_replay,
    policy_coverage,
    policy_rollout,
    policy_sign,
):
    part.add(policy_app)
doctor.add(app)
app.add_typer(policy_app, name="policy")
app.add_typer(marks_app, name="marks")
add_queries(audit_app)
add_proofs(audit_app)
add_migrations(audit_app)
log_key.add(audit_app)
audit_witness.add(audit_app)
audit_export.add(audit_app)
audit_statistics.add(audit_app)
audit_stream.add(audit_app)
audit_streams.add(audit_app)
audit_forget.add(audit_app)
audit_retention.add(audit_app)
add_reviews(audit_app)
app.add_typer(audit_app, name="audit")
bank_follow.add(bank_app)
app.add_typer(bank_app, name="bank")
app.add_typer(bulk_app, name="bulk")
app.add_typer(key_app, name="key")
add_config(app)

Policies = Annotated[list[str] | None, typer.Option("--policy", help=f"Policy file or pack name. Default: {DEFAULT_POLICY}.")]
LedgerUrl = Annotated[
    str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Where decisions are kept: an SQLAlchemy URL.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", envvar="GENGUARD_KEY_FILE", help="Master key of the payloads; beside the ledger by default."),
]
RedactionKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--redaction-key-file",
        envvar="GENGUARD_REDACTION_KEY_FILE",
        help="Key of hashes, stand-ins and encrypted values; beside the ledger by default.",
    ),
]


Generators = Annotated[
    list[str] | None,
    typer.Option(
        "--generators", help="A generator, or a YAML or JSON file that names some; repeat for more. docs/generators.md."
    ),
]


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Another seed, other outputs.", min=0)] = 7,
    out: Annotated[Path, typer.Option(help="Folder for the ledger and the released outputs.")] = Path("demo-out"),
) -> None:
    """Let three bundled models answer prompts under the enterprise policy, then prove what was decided."""
    from rich.console import Console

    from terminal.demo import run_demo

    _quiet()
    console = Console()
    raise typer.Exit(run_demo(seed, out, console if console.is_terminal else Console(width=160)))


@app.command()
def serve(
    policy: Policies = None,
    ledger: Annotated[str | None, typer.Option(help="Where decisions are kept: an SQLAlchemy URL.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Beyond loopback GENGUARD_API_KEYS is needed.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes that serve, on one address.")] = None,
    generators: Generators = None,
    engine: Annotated[Engine | None, typer.Option(help="Run checks in this process, or on a Ray cluster.")] = None,
) -> None:
    """Run the HTTP service. Options come before GENGUARD_… variables, these before genguard.toml and defaults."""
    from serving.settings import Settings

    given: dict[str, Any] = {"policies": tuple(policy) if policy else None, "ledger": ledger, "host": host, "port": port}
    given |= {"generators": tuple(generators) if generators else None, "workers": workers}
    given["engine"] = engine.value if engine else None
    _quiet()
    settings = Settings.read(**{name: value for name, value in given.items() if value is not None})
    if settings.workers > 1:
        from serving.workers.supervisor import supervise

        raise typer.Exit(supervise(settings))
    import service

    service.serve(settings)


@app.command()
def generate(
    generator: Annotated[
        str, typer.Argument(help="A generator: a registered name, python:module:function, or one that --generators names.")
    ],
    prompt: Annotated[str, typer.Option(help="What to ask for.")],
    policy: Policies = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    model: Annotated[str | None, typer.Option(help="Model folder or name; the bundled one by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the released output here. Images and audio need it.")] = None,
    key_file: KeyFile = None,
    redaction_key_file: RedactionKeyFile = None,
    generators: Generators = None,
    as_json: Json = False,
) -> None:
    """Generate one output and show it, if the policy lets it out."""
    from serving.offered import find

    _quiet()
    made = find(generator, generators or (), model)
    if made.modality is not Modality.TEXT and out is None:
        raise typer.BadParameter(f"{made.modality.value} needs a file: --out FILE", param_hint="--out")
    parameters = {} if seed is None else {"seed": seed}
    keys = (key_file, redaction_key_file)
    release = _with_guard(policy, ledger, keys, lambda guard: guard.release_sync(made, prompt, **parameters))
    _show(release, out, as_json=as_json)


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="A text, image or WAV file, or - for standard input.")],
    policy: Policies = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    out: Annotated[Path | None, typer.Option(help="Write the released content here.")] = None,
    conversation: Annotated[
        str, typer.Option(help="Which texts belong together: within one, a person gets one stand-in. Recorded.")
    ] = "",
    purpose: Annotated[str, typer.Option(help="What it is for; conditions of a policy can ask. Recorded.")] = "",
    consent: Annotated[str, typer.Option(help="Reference to the consent that it rests on. Recorded.")] = "",
    key_file: KeyFile = None,
    redaction_key_file: RedactionKeyFile = None,
    as_json: Json = False,
) -> None:
    """Take a file through the policy: 0 allowed, 10 edited, 20 held for review, 30 blocked."""
    from guard.ids import uuid7

    _quiet()
    data = read_input(file)
    request = Request(str(uuid7()), conversation=conversation, purpose=purpose, consent=consent)
    keys = (key_file, redaction_key_file)
    release = _with_guard(policy, ledger, keys, lambda guard: guard.check_sync(data, request=request))
    _show(release, out, as_json=as_json)


@app.command()
def reveal(
    file: Annotated[str, typer.Argument(help="A text file with encrypted values, or - for standard input.")],
    ledger: LedgerUrl = DEFAULT_LEDGER,
    redaction_key_file: RedactionKeyFile = None,
    as_json: Json = False,
) -> None:
    """Open the values that the operator `encrypt` sealed: 0 all opened, 1 found none, 2 some do not open."""
    from guard.sealed import reveal as open_values
    from serving.redaction import find_redaction_key
    from terminal import display

    key = find_redaction_key(ledger, redaction_key_file)
    text = read_input(file)
    if isinstance(text, bytes):
        raise InputError(f"{file}: found a file that is no text, expected a text")
    revealed = open_values(text, key)
    if as_json:
        print_json(asdict(revealed) | {"found": revealed.found})
    else:
        display.print_revealed(revealed)
    raise typer.Exit(CLOSED if revealed.closed else 0 if revealed.found else NOTHING)


@app.command("verify")
def verify_origin(
    file: Annotated[str, typer.Argument(help="A text, image or WAV file, or - for standard input.")],
    ledger: Annotated[str | None, typer.Option(help="Where decisions are kept: an SQLAlchemy URL.")] = None,
    anchors: Annotated[Path | None, typer.Option(help="PEM file with certificates whose C2PA signers are trusted.")] = None,
    key_file: KeyFile = None,
    watermark_key_file: Annotated[
        Path | None, typer.Option(help="Key of the watermark `tile`; beside the ledger by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell where a file comes from, by its marks and the ledger: 0 from here, 1 unknown, 2 tampered with or forged."""
    from serving.evidence import EXIT as CODES
    from serving.evidence import fields
    from serving.settings import Settings
    from serving.verification import gather, verify
    from terminal.origin import print_origin

    _quiet()
    given = {"ledger": ledger, "key_file": key_file, "watermark_key_file": watermark_key_file}
    settings = Settings.read(**{name: value for name, value in given.items() if value is not None})
    report = verify(read_input(file), gather(settings, anchors=anchors))
    if as_json:
        print_json(fields(report))
    else:
        print_origin(report)
    raise typer.Exit(CODES[report.answer])


@app.command("eval")
def evaluate(
    check: Annotated[str, typer.Argument(help="A check of text by its name, or with --policy a check of that policy.")],
    file: Annotated[Path, typer.Argument(help="Labelled texts: .csv, .tsv, .jsonl or .parquet.")],
    text: Annotated[str, typer.Option(help="Column that holds the texts.")],
    label: Annotated[str, typer.Option(help="Column that holds the labels, or spans as JSON.")],
    positive: Annotated[list[str] | None, typer.Option(help="Label of the rows that should be flagged; repeatable.")] = None,
    finding: Annotated[str | None, typer.Option(help="Measure this label of the check alone.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    policy: Annotated[str | None, typer.Option(help="Policy file or pack name, for its parameters and thresholds.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, a parameter of the check.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Flag from this score, more than 0 to 1.")] = None,
    rate: Annotated[
        float | None, typer.Option("--choose-threshold", help="Find the lowest threshold with this false positive rate.")
    ] = None,
    renamed: Annotated[
        list[str] | None, typer.Option("--map", help="TYPE=LABEL, what the check calls a type; TYPE= leaves it out.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw ROC and reliability here, as PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a check over a labelled file: how well it tells, at which threshold, how fast."""
    from terminal import evaluation

    _quiet()
    subject = evaluation.subject(check, policy, evaluation.pairs("--set", settings), finding, threshold)
    report = evaluation.measure(
        subject,
        (file, text, label, limit),
        evaluation.Plan(tuple(positive or ()), evaluation.pairs("--map", renamed), rate),
        plot,
    )
    if as_json:
        print_json(report.summary)
    else:
        evaluation.print_report(report)
    raise typer.Exit(0 if report.summary["n"] else FAILURE)


@marks_app.command("dev-cert")
def marks_dev_cert(
    out: Annotated[Path, typer.Option(help="Folder for the three files; none of them is written over.")] = Path(),
    as_json: Json = False,
) -> None:
    """Make a certificate for C2PA that is good for development: whoever verifies what it signs is told not to trust it."""
    from guard.marks.certificate import make_development

    certificate, key, root = make_development(out)
    if as_json:
        print_json({"certificate": str(certificate), "key": str(key), "root": str(root)})
    else:
        typer.echo(f"export GENGUARD_C2PA_CERTIFICATE={certificate} GENGUARD_C2PA_KEY={key}")
        typer.echo("For development only: what it signs is named as not to be trusted.", err=True)


@audit_app.command("show")
def audit_show(
    decision: Annotated[str, typer.Argument(help="A decision id, the beginning of one, or an index.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Also decrypt and show the content; needs --reason, and is recorded.")
    ] = False,
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Explain one decision: what was measured, which rules fired and why, what was done, who saw it, and what followed."""
    from audit.follow import followed
    from audit.query import show
    from terminal import audit_facts, display

    shown = show(ledger, decision)
    if reveal and shown.payloads:
        _record_reveal(ledger, key_file, shown, actor(author), reason)
        shown = show(ledger, shown.idx, reveal=True, key_file=key_file)
    after = followed(ledger, shown.decision.id) if shown.decision is not None else ()
    canary = audit_facts.canary(ledger, shown)
    if as_json:
        more = audit_facts.more_fields(shown, after, canary) if shown.decision is not None else {}
        print_json(display.entry_fields(shown) | more)
    else:
        display.print_entry(shown, after, canary)


def _record_reveal(ledger: str, key_file: Path | None, shown: Any, who: str, reason: str) -> None:
    """Say who sees the content and why, before it is opened. Raises InputError without a reason."""
    from audit.access import record_reveal
    from audit.holds import need_reason
    from audit.ledger import open_ledger

    need_reason(reason, "reveal content")
    with open_ledger(ledger, key_file=key_file) as opened:
        record_reveal(opened, shown, who, reason)


def _with_guard(
    policies: list[str] | None, ledger: str, keys: tuple[Path | None, Path | None], work: Callable[[Any], Release]
) -> Release:
    """`keys`: files of the master key and of the redaction key."""
    from serving.wiring import open_guard

    named = policies or [DEFAULT_POLICY]
    guard, opened = open_guard(named, ledger, key_file=keys[0], redaction_key_file=keys[1])
    try:
        return work(guard)
    finally:
        opened.close()


def _show(release: Release, out: Path | None, *, as_json: bool) -> None:
    from terminal import display

    content = release.content
    if content is not None and out is not None:
        out.write_bytes(content.payload())
    if as_json:
        print_json(display.release_fields(release))
    else:
        display.print_release(release, out)
    raise typer.Exit(EXIT[release.verdict.action])


def _quiet() -> None:
    """Settings of libraries, before they are loaded: no progress bars and notices of their own, and threads that sleep."""
    import warnings

    # Threads of PyTorch that spin while they wait make a model ten times slower when another process wants the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore")


def main() -> None:
    """Run the command line and exit."""
    code = _run()
    from guard.workers import busy

    if busy(RETURN_S):
        # A thread inside a model's native code would abort an interpreter that ends in the usual way. All is recorded by now.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except _UsageError as error:
        error.show()
        return USAGE
    except (InputError, PolicyError, SettingsError, SignatureError) as error:
        typer.echo(f"genguard: {error.diagnostics()}", err=True)
        return USAGE
    except GenguardError as error:
        typer.echo(f"genguard: {error.diagnostics()}", err=True)
        return FAILURE
    except OSError as error:  # a full disk, a folder that is not there
        place = f"{error.filename}: " if isinstance(error.filename, str) else ""
        typer.echo(f"genguard: {place}{error.strerror or type(error).__name__}", err=True)
        return FAILURE
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
