"""`genguard audit sign | prove | verify`: signed checkpoints, proofs of entries, and checking both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guard.errors import InputError, SignatureError
from guard.note import PublicKey, SigningKey
from serving.settings import DEFAULT_LEDGER, Settings
from terminal.actor import KeyFile, LedgerUrl

if TYPE_CHECKING:
    from audit.checkpoint import Tenure
    from audit.genguard_verify import Quorum
    from audit.log_rotation import LogKeys

PROVEN, NOT_PROVEN, WRONG_SIGNATURE = 0, 2, 4
"""What `verify` of a proof file ends with."""
_MAX_KEYS = 100_000
_PROOF_CHECKED = ("the entry's hash, its path to the root, and the signature of the root and its size",)
_PROOF_UNCHECKED = (
    "whether the ledger still holds the entry, and what was said of it later",
    "stored content: a proof has none",
)
_WITNESSED = "Name the file of checkpoints with --anchor, or give a proof or a bundle to verify."
_SQLITE = b"SQLite format 3\x00"

LogKeyFile = Annotated[
    Path | None, typer.Option("--log-key-file", help="Key that checkpoints are signed with; beside the ledger by default.")
]
Anchors = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor", help="File of signed checkpoints, https://… or syslog://…; repeatable. Default: GENGUARD_ANCHORS."
    ),
]
LogKeyLines = Annotated[
    list[str] | None,
    typer.Option("--log-key", help="Public key of the log, NAME+ID+KEY, or a file. Default: the one beside the ledger."),
]
WitnessKeys = Annotated[
    list[str] | None, typer.Option("--witness", help="Public key of a witness that has to have cosigned; repeatable.")
]
Chain = Annotated[
    Path | None, typer.Option("--chain", help="File that says how the log's key was changed: `genguard audit key chain`.")
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def sign(
    ledger: LedgerUrl = DEFAULT_LEDGER, anchor: Anchors = None, log_key_file: LogKeyFile = None, as_json: Json = False
) -> None:
    """Sign what the ledger is now, after proving that it only grew, and append it to the anchors."""
    targets = anchor_targets(anchor)
    note, key = signed(ledger, targets, log_key_file)
    if as_json:
        _print_json({"checkpoint": note, "key": str(key.public), "anchors": targets})
    else:
        typer.echo(note, nl=False)


def prove(
    decision: Annotated[str, typer.Argument(help="A decision id, the beginning of one, or an index.")],
    out: Annotated[Path | None, typer.Option(help="Write the proof here, such as decision.tlog-proof.")] = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    anchor: Anchors = None,
    log_key_file: LogKeyFile = None,
    as_json: Json = False,
) -> None:
    """Make a file that proves one entry to whoever has the ledger's public key, without the ledger."""
    from audit.checkpoint import Checkpoint
    from audit.prove import prove as prove_entry
    from audit.query import show

    targets = anchor_targets(anchor)
    keys = log_keys(ledger, log_key_file, targets)
    whose = keys.key()
    shown = show(ledger, decision)
    newest = None
    for kept in keys.anchors:
        for note in kept.notes():
            try:
                head = Checkpoint.verified(note, [*keys.tenures()], whose.name)
            except SignatureError:
                continue
            if head.size > shown.idx and (newest is None or head.size > newest[0]):
                newest = (head.size, note)
    note = newest[1] if newest else signed(ledger, targets, log_key_file)[0]
    proof = prove_entry(ledger, shown.idx, note)
    if out is not None:
        out.write_text(str(proof), "utf-8")
    if as_json:
        _print_json({"index": proof.index, "proof": str(proof), "key": str(whose.public)})
    elif out is None:
        typer.echo(str(proof), nl=False)
    else:
        typer.echo(f"Entry {proof.index} is proven by {out}. Verify it with the public key:", err=True)
        typer.echo(str(whose.public))


def verify(
    file: Annotated[
        Path | None, typer.Argument(help="A proof file, a bundle, or a backup of a ledger; the ledger itself when left out.")
    ] = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    anchor: Anchors = None,
    log_key: LogKeyLines = None,
    chain: Chain = None,
    witness: WitnessKeys = None,
    quorum: Annotated[int | None, typer.Option("--quorum", help="How many of the witnesses; all when left out.")] = None,
    key_file: KeyFile = None,
    fingerprints: Annotated[
        bool, typer.Option("--fingerprints", help="Also compare each fingerprint with its stored image; needs the master key.")
    ] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes that work on a long ledger; one a core.")] = None,
    as_json: Json = False,
) -> None:
    """Recompute the ledger and compare it with its checkpoints, or check a proof or bundle; 0 when all is as it was signed."""
    from audit.anchor import FileAnchor
    from audit.cosign import WitnessKey
    from audit.genguard_verify import Failure, Quorum, is_bundle
    from audit.verify import verify as verify_ledger
    from guard.matching.likeness import fits
    from terminal import display

    try:
        others = Quorum.of(witness or (), quorum)
    except Failure as error:
        raise InputError(str(error)) from None
    if file is not None and is_database(file):
        file, ledger = None, f"sqlite:///{file}"
    if file is not None and is_bundle(file):
        raise typer.Exit(_verify_bundle(file, given_keys(log_key, ledger, chain), others, as_json=as_json))
    if file is not None:
        raise typer.Exit(_verify_proof(file, given_keys(log_key, ledger, chain), others, as_json=as_json))
    paths = [Path(one) for one in anchor_targets(anchor) if "://" not in one]
    for path in paths:
        if not path.is_file():
            raise InputError(f"there is no anchor {path}, expected a file of signed checkpoints")
    if witness and not paths:
        raise InputError("found --witness without an anchor: cosignatures stand under the checkpoints there", advice=_WITNESSED)
    keys = given_keys(log_key, ledger, chain) if paths else ()
    with _progress(quiet=as_json) as progress:
        report = verify_ledger(
            ledger,
            key_file=key_file,
            anchors=[FileAnchor(path) for path in paths],
            log_keys=keys,
            progress=progress,
            fits=fits if fingerprints else None,
            jobs=jobs,
            witnesses=[WitnessKey.parse(one) for one in witness or ()],
            quorum=quorum,
        )
    if as_json:
        _print_json(display.report_fields(report))
    else:
        display.print_report(report)
    raise typer.Exit(report.exit_code)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (verify, sign, prove):
        app.command(command.__name__)(command)


def is_database(file: Path) -> bool:
    """Whether a file is a SQLite database, such as a backup. False for one that cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with the rate and the time that is left, on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Entries a second."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f}/s")

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("entries"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("verify", total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


def _verify_proof(file: Path, keys: Sequence[Tenure], others: Quorum, *, as_json: bool) -> int:
    from audit.genguard_verify import Failure
    from audit.proof import Proof, ProofError

    try:
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"cannot read {file}: {why}") from None
    if not keys:
        raise InputError("found no public key of the log, expected one", advice="Give it: --log-key NAME+ID+KEY.")
    fields: dict[str, Any] = {"ok": False, "file": str(file)}
    code, proof = PROVEN, Proof.parse(text)
    try:
        head = proof.verify(keys)
        fields["witnesses"] = others.check(proof.checkpoint)
        entry = json.loads(proof.body)
        fields |= {"ok": True, "index": proof.index, "size": head.size, "origin": head.origin, "entry": entry}
        fields |= {"checked": list(_PROOF_CHECKED), "not_checked": list(_PROOF_UNCHECKED)}
    except Failure as error:
        code, fields = error.code, {**fields, "why": str(error)}
    except ProofError as error:
        code, fields["why"] = NOT_PROVEN, str(error)
    except SignatureError as error:
        code, fields["why"] = WRONG_SIGNATURE, str(error)
    except ValueError:
        code, fields["why"] = NOT_PROVEN, "the entry's body is no JSON"
    if as_json:
        _print_json(fields)
    else:
        _print_proof(fields)
    return code


def _print_proof(fields: dict[str, Any]) -> None:
    """What a proof file shows, and what it does not; or why it shows nothing."""
    if not fields["ok"]:
        typer.echo(f"NOT PROVEN: {fields['why']}")
        return
    typer.echo(f"proven: entry {fields['index']} of {fields['origin']}, under the signed tree of {fields['size']} entries")
    typer.echo(f"  {_summary(fields['entry'])}")
    for line in fields["witnesses"]:
        typer.echo(f"  {line}")
    for title, lines in (("checked", fields["checked"]), ("not checked", fields["not_checked"])):
        for line in lines:
            typer.echo(f"  {title}: {line}")


def _verify_bundle(file: Path, keys: Sequence[Tenure], others: Quorum, *, as_json: bool) -> int:
    from audit.genguard_verify import Failure, read_key, verify_bundle
    from terminal.printing import printable

    try:
        shown = verify_bundle(file, [read_key(str(one.key))._replace(first=one.first, last=one.last) for one in keys], others)
    except Failure as error:
        if as_json:
            _print_json({"ok": False, "file": str(file), "why": str(error)})
        else:
            typer.echo(f"NOT PROVEN: {printable(str(error))}")
        return error.code
    checked, unknown = shown.checked(), shown.not_checked()
    if as_json:
        counts = {"origin": shown.origin, "size": shown.size, "entries": shown.entries, "policies": shown.policies}
        _print_json({"ok": True, "file": str(file), **counts, "checked": checked, "not_checked": unknown})
        return PROVEN
    typer.echo(f"proven: {shown.entries} entries of {shown.origin}")
    for title, lines in (("checked", checked), ("not checked", unknown)):
        for line in lines:
            typer.echo(f"  {title}: {printable(line)}")
    return PROVEN


def _summary(entry: dict[str, Any]) -> str:
    from terminal.printing import printable

    verdict = entry.get("verdict", {})
    facts = [entry.get("kind", ""), entry.get("id", ""), entry.get("time", ""), verdict.get("action", "")]
    return printable(" ".join(str(one) for one in facts if one))


def signed(ledger: str, targets: Sequence[str], log_key_file: Path | None) -> tuple[str, SigningKey]:
    """A checkpoint of the ledger as it is now, handed to the anchors that lack it."""
    from audit.notary import Notary
    from audit.witnesses import Witnesses

    keys = log_keys(ledger, log_key_file, targets)
    whose = keys.key()
    around = Settings.read()
    witnesses = Witnesses.of(around.witnesses, around.witness_quorum, required=around.witness_policy == "require")
    note = Notary(keys.engine, keys.database, whose, keys.anchors, keys.tenures(), witnesses).sign()
    deliver(keys)
    if note is None:  # nothing was added since the newest one
        note = Notary(keys.engine, keys.database, whose, witnesses=witnesses).sign()
    if witnesses is not None and (lack := witnesses.lack()):
        typer.echo(f"not cosigned as it should be: {lack}", err=True)
    assert note is not None, "a ledger has at least its first entry"
    return note, whose


def deliver(keys: LogKeys) -> None:
    """Send what waits for anchors on other machines; what could not be sent goes with the next checkpoint."""
    from audit.anchor import SentAnchor

    for anchor in keys.anchors:
        if isinstance(anchor, SentAnchor):
            anchor.deliver()
            if anchor.trouble:
                typer.echo(f"not sent yet: {anchor.trouble}", err=True)


def log_keys(ledger: str, log_key_file: Path | None, targets: Sequence[str] = ()) -> LogKeys:
    """Where the key of a ledger's checkpoints lies, and its anchors."""
    from audit.anchor import open_anchor, spool_of
    from audit.database import database_path, reader_engine
    from audit.log_rotation import LogKeys
    from audit.query import identity
    from audit.webhook import read_secret

    path, around = database_path(ledger), Settings.read()
    secret = read_secret(around.webhook_secret.get_secret_value())
    anchors = [open_anchor(one, spool_of(path), secret) for one in targets]
    return LogKeys.of(reader_engine(ledger), path, identity(ledger), log_key_file or around.log_key_file, anchors)


def own_log_key(ledger: str, log_key_file: Path | None) -> SigningKey:
    """The key that a ledger's checkpoints are signed with, made when there is none."""
    return log_keys(ledger, log_key_file).key()


def anchor_targets(given: Sequence[str] | None) -> list[str]:
    """The anchors that were named, or those of the settings."""
    return list(given or Settings.read().anchors)


def given_keys(given: Sequence[str] | None, ledger: str, chain: Path | None = None) -> tuple[Tenure, ...]:
    """Public keys as arguments or in files, and those that a chain leads to; without any, those beside the ledger."""
    from audit.checkpoint import Tenure
    from audit.key_chain import follow
    from audit.stores import open_store

    handovers = _text(chain, "--chain") if chain is not None else ""
    if not given:
        file = Settings.read().log_key_file or open_store(ledger).beside(".log.key")
        return follow(log_keys(ledger, None).tenures(), handovers) if file is not None and file.is_file() else ()
    found: list[PublicKey] = []
    for one in given:
        lines = [one] if "+" in one else _text(Path(one), "--log-key")[:_MAX_KEYS].splitlines()
        found += [PublicKey.parse(line) for line in lines if line.strip() and not line.startswith("#")]
    return follow([Tenure(key) for key in found], handovers)


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        what = "NAME+ID+KEY or a file of such lines" if option == "--log-key" else "a file that `audit key chain` printed"
        raise InputError(f"found {str(path)!r} for {option}, expected {what}") from None


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
