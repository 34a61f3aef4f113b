"""`genguard audit erase | certificate`: a subject's content made unreadable for good, and the paper that says so."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guard.errors import InputError, RefusedError, SignatureError
from serving.settings import DEFAULT_LEDGER
from terminal.actor import Author, KeyFile, LedgerUrl, Reason, actor
from terminal.printing import Json, print_json, printable
from terminal.proofs import LogKeyFile, LogKeyLines, given_keys, own_log_key

if TYPE_CHECKING:
    from audit.ledger import SqlLedger

DONE, DIFFERS, WRONG_SIGNATURE = 0, 2, 4
"""What `certificate` ends with: genuine, not what the ledger says, not signed by a known key."""
HELD = 1
"""What `erase` ends with when a legal hold covers some of it."""
NOT_OVERWRITTEN = 70
"""What `erase` ends with when the content is erased and its bytes may still stand in the files."""
_MAX = 100_000


def add(app: typer.Typer) -> None:
    """Add the commands to those on the ledger."""
    app.command("erase")(erase)
    app.command("certificate")(certificate)
    app.command("rotate-key")(rotate_key)


def erase(
    subject: Annotated[str, typer.Option("--subject", help="Whose content: the id that decisions were recorded under.")],
    reason: Reason = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Only of this tenant; of every tenant when left out.")] = "",
    basis: Annotated[str, typer.Option("--basis", help="The legal basis, such as `GDPR Art. 17(1)(b)`.")] = "",
    certificate: Annotated[Path | None, typer.Option("--certificate", help="Write a signed certificate here.")] = None,
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    log_key_file: LogKeyFile = None,
    as_json: Json = False,
) -> None:
    """Destroy the keys, the content and the fingerprints of a subject, and record that. Proofs stay valid."""
    from audit.certificate import certify
    from audit.erasure import erase as erase_subject
    from audit.ledger import open_ledger

    signer = own_log_key(ledger, log_key_file) if certificate is not None else None
    with open_ledger(ledger, key_file=key_file) as opened:
        try:
            erased = erase_subject(opened, subject, actor=actor(author), reason=reason, tenant=tenant, basis=basis)
        except RefusedError as error:
            typer.echo(f"not erased: {error}", err=True)
            raise typer.Exit(HELD) from None
    if certificate is not None and signer is not None:
        certificate.write_text(certify(erased, signer), "utf-8")
    counts = {what: erased.count(what) for what in ("keys", "payloads", "fingerprints")}
    fields: dict[str, Any] = {"entry": erased.index, **counts, "again": erased.again, "overwritten": not erased.trouble}
    if as_json:
        print_json({**fields, "why": erased.trouble, "certificate": str(certificate) if certificate else None})
    else:
        before = "had been erased before" if erased.again else "erased"
        typer.echo(f"{before}, entry {erased.index}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
        tell(opened, erased.trouble, "; close what reads the ledger and run this again")
    raise typer.Exit(end(opened, erased.trouble))


def certificate(
    file: Annotated[Path, typer.Argument(help="A certificate of erasure.")],
    ledger: Annotated[str | None, typer.Option("--ledger", help="Also compare it with this ledger.")] = None,
    log_key: LogKeyLines = None,
    as_json: Json = False,
) -> None:
    """Check a certificate of erasure: 0 genuine, 2 not what the ledger says, 4 not signed by a known key."""
    from audit.certificate import Certificate

    try:
        note = file.read_bytes()[:_MAX].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"cannot read {file}: {why}") from None
    keys = given_keys(log_key, ledger or DEFAULT_LEDGER)
    if not keys:
        raise InputError("found no public key of the log, expected one", advice="Give it: --log-key NAME+ID+KEY.")
    code, fields = DONE, {"ok": False, "file": str(file)}
    try:
        found = Certificate.verified(note, keys)
        why = found.differs(ledger) if ledger else ""
        fields |= {"ok": not why, "why": why, **{name: getattr(found, name) for name in _SHOWN}, "leaf": found.leaf.hex()}
        code = DIFFERS if why else DONE
    except SignatureError as error:
        code, fields["why"] = WRONG_SIGNATURE, str(error)
    if as_json:
        print_json(fields)
    elif code == DONE:
        lines = [f"{name}: {printable(str(fields[name]))}" for name in _SHOWN]
        typer.echo("\n".join([f"genuine{', and the ledger says the same' if ledger else ''}", *lines]))
    else:
        typer.echo(f"NOT GENUINE: {printable(str(fields['why']))}")
    raise typer.Exit(code)


def rotate_key(
    new_key_file: Annotated[
        Path | None,
        typer.Option("--new-key-file", help="Where the new key goes; in the old one's place when left out."),
    ] = None,
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Put a new master key in force: every subject key is wrapped anew, content stays as it is. Back the new key up."""
    from audit.ledger import open_ledger
    from audit.rotation import rotate_key as rotate

    with open_ledger(ledger, key_file=key_file) as opened:
        done = rotate(opened, actor=actor(author), reason=reason, new_file=new_key_file)
    if as_json:
        print_json({**asdict(done), "key_file": str(done.key_file)})
    else:
        typer.echo(
            f"entry {done.index}: key {done.after} took the place of {done.before}, {done.keys} subject keys, {done.key_file}"
        )
        tell(opened, done.trouble)
    raise typer.Exit(end(opened, done.trouble))


def tell(ledger: SqlLedger, trouble: str, advice: str = "") -> None:
    """Say what may still stand in the files, and what can be done where something can."""
    if trouble:
        typer.echo(f"NOT OVERWRITTEN YET: {trouble}{advice}" if ledger.store.overwrites else f"note: {trouble}", err=True)


def end(ledger: SqlLedger, trouble: str) -> int:
    """The exit code: it is no failure that a server keeps what it always keeps."""
    return NOT_OVERWRITTEN if trouble and ledger.store.overwrites else DONE


_SHOWN = ("origin", "index", "subject", "tenant", "time", "keys", "payloads", "fingerprints", "overwritten")
