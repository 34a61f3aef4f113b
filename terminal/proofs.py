"""`genguard audit sign | prove | verify | key`: signed checkpoints, proofs of entries, and checking both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from guard.errors import InputError, SignatureError
from guard.note import PublicKey, SigningKey
from serving.settings import DEFAULT_LEDGER, Settings

PROVEN, NOT_PROVEN, WRONG_SIGNATURE = 0, 2, 4
"""What `verify` of a proof file ends with."""
_MAX_KEYS = 100_000

LedgerUrl = Annotated[
    str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Where decisions are kept: an SQLAlchemy URL.")
]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="Master key of the payloads; beside the ledger by default.")]
LogKeyFile = Annotated[
    Path | None, typer.Option("--log-key-file", help="Key that checkpoints are signed with; beside the ledger by default.")
]
Anchors = Annotated[
    list[Path] | None, typer.Option("--anchor", help="File of signed checkpoints; repeatable. Default: GENGUARD_ANCHORS.")
]
LogKeys = Annotated[
    list[str] | None,
    typer.Option("--log-key", help="Public key of the log, NAME+ID+KEY, or a file. Default: the one beside the ledger."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def sign(
    ledger: LedgerUrl = DEFAULT_LEDGER, anchor: Anchors = None, log_key_file: LogKeyFile = None, as_json: Json = False
) -> None:
    """Sign what the ledger is now, after proving that it only grew, and append it to the anchors."""
    note, key = signed(ledger, anchor_paths(anchor), log_key_file)
    if as_json:
        _print_json({"checkpoint": note, "key": str(key.public), "anchors": [str(one) for one in anchor_paths(anchor)]})
    else:
        typer.echo(note, nl=False)


def key(ledger: LedgerUrl = DEFAULT_LEDGER, log_key_file: LogKeyFile = None) -> None:
    """Print the public key that the ledger's checkpoints and proofs are verified with."""
    typer.echo(str(own_log_key(ledger, log_key_file).public))


def prove(
    decision: Annotated[str, typer.Argument(help="A decision id, the beginning of one, or an index.")],
    out: Annotated[Path | None, typer.Option(help="Write the proof here, such as decision.tlog-proof.")] = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    anchor: Anchors = None,
    log_key_file: LogKeyFile = None,
    as_json: Json = False,
) -> None:
    """Make a file that proves one entry to whoever has the ledger's public key, without the ledger."""
    from audit.anchor import FileAnchor
    from audit.checkpoint import Checkpoint
    from audit.prove import prove as prove_entry
    from audit.query import show

    paths = anchor_paths(anchor)
    whose = own_log_key(ledger, log_key_file)
    shown = show(ledger, decision)
    newest = None
    for path in paths:
        for note in FileAnchor(path).notes():
            try:
                head = Checkpoint.verified(note, [whose.public], whose.name)
            except SignatureError:
                continue
            if head.size > shown.idx and (newest is None or head.size > newest[0]):
                newest = (head.size, note)
    note = newest[1] if newest else signed(ledger, paths, log_key_file)[0]
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
    file: Annotated[Path | None, typer.Argument(help="A proof file or a bundle; the whole ledger when left out.")] = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    anchor: Anchors = None,
    log_key: LogKeys = None,
    key_file: KeyFile = None,
    fingerprints: Annotated[
        bool, typer.Option("--fingerprints", help="Also compare each fingerprint with its stored image; needs the master key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recompute the ledger and compare it with its checkpoints, or check a proof or bundle; 0 when all is as it was signed."""
    from audit.anchor import FileAnchor
    from audit.genguard_verify import is_bundle
    from audit.verify import verify as verify_ledger
    from guard.matching.likeness import fits
    from terminal import display

    if file is not None and is_bundle(file):
        raise typer.Exit(_verify_bundle(file, given_keys(log_key, ledger), as_json=as_json))
    if file is not None:
        raise typer.Exit(_verify_proof(file, given_keys(log_key, ledger), as_json=as_json))
    paths = anchor_paths(anchor)
    for path in paths:
        if not path.is_file():
            raise InputError(f"there is no anchor {path}, expected a file of signed checkpoints")
    keys = given_keys(log_key, ledger) if paths else ()
    report = verify_ledger(
        ledger,
        key_file=key_file,
        anchors=[FileAnchor(path) for path in paths],
        log_keys=keys,
        fits=fits if fingerprints else None,
    )
    if as_json:
        _print_json(display.report_fields(report))
    else:
        display.print_report(report)
    raise typer.Exit(report.exit_code)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (verify, sign, prove, key):
        app.command(command.__name__)(command)


def _verify_proof(file: Path, keys: Sequence[PublicKey], *, as_json: bool) -> int:
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
        entry = json.loads(proof.body)
        fields |= {"ok": True, "index": proof.index, "size": head.size, "origin": head.origin, "entry": entry}
    except ProofError as error:
        code, fields["why"] = NOT_PROVEN, str(error)
    except SignatureError as error:
        code, fields["why"] = WRONG_SIGNATURE, str(error)
    except ValueError:
        code, fields["why"] = NOT_PROVEN, "the entry's body is no JSON"
    if as_json:
        _print_json(fields)
    elif code == PROVEN:
        typer.echo(f"proven: entry {fields['index']} of {fields['origin']}, under the signed tree of {fields['size']} entries")
        typer.echo(f"  {_summary(fields['entry'])}")
    else:
        typer.echo(f"NOT PROVEN: {fields['why']}")
    return code


def _verify_bundle(file: Path, keys: Sequence[PublicKey], *, as_json: bool) -> int:
    from audit.genguard_verify import Failure, read_key, verify_bundle
    from terminal.printing import printable

    try:
        shown = verify_bundle(file, [read_key(str(one)) for one in keys])
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


def signed(ledger: str, paths: Sequence[Path], log_key_file: Path | None) -> tuple[str, SigningKey]:
    """A checkpoint of the ledger as it is now, appended to the anchors that lack it."""
    from audit.anchor import FileAnchor
    from audit.database import database_path, reader_engine
    from audit.notary import Notary

    path, whose = database_path(ledger), own_log_key(ledger, log_key_file)
    anchors = [FileAnchor(one) for one in paths]
    note = Notary(reader_engine(ledger), path, whose, anchors).sign()
    if note is None:  # nothing was added since the newest one
        note = Notary(reader_engine(ledger), path, whose).sign()
    assert note is not None, "a ledger has at least its first entry"
    return note, whose


def own_log_key(ledger: str, log_key_file: Path | None) -> SigningKey:
    """The key that a ledger's checkpoints are signed with, made when there is none."""
    from audit.database import database_path
    from audit.log_key import need_log_key
    from audit.query import identity

    return need_log_key(database_path(ledger), identity(ledger), log_key_file or Settings.read().log_key_file)


def anchor_paths(given: Sequence[Path] | None) -> list[Path]:
    """The anchors that were named, or those of the settings."""
    return list(given) if given else [Path(one) for one in Settings.read().anchors]


def given_keys(given: Sequence[str] | None, ledger: str) -> tuple[PublicKey, ...]:
    """Public keys as arguments or in files; without any, the one whose private key lies beside the ledger."""
    from audit.database import database_path
    from audit.log_key import default_log_key_file

    if not given:
        file = Settings.read().log_key_file or default_log_key_file(database_path(ledger))
        return (own_log_key(ledger, None).public,) if file.is_file() else ()
    found: list[PublicKey] = []
    for one in given:
        lines = [one]
        if "+" not in one:
            try:
                lines = Path(one).read_text("utf-8")[:_MAX_KEYS].splitlines()
            except (OSError, UnicodeDecodeError):
                raise InputError(f"found {one!r} for --log-key, expected NAME+ID+KEY or a file of such lines") from None
        found += [PublicKey.parse(line) for line in lines if line.strip() and not line.startswith("#")]
    return tuple(found)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
