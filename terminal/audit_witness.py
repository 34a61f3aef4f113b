"""`genguard audit witness key | serve`: a witness that cosigns checkpoints of ledgers, its own or others'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guard.errors import InputError
from guard.note import PublicKey, SigningKey

witness_app = typer.Typer(help="Cosign checkpoints of ledgers that only grow.", no_args_is_help=True)

KeyPath = Annotated[Path, typer.Option("--key", help="The witness's private key; `witness key` makes it.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(witness_app, name="witness")


@witness_app.command()
def key(
    file: KeyPath,
    name: Annotated[str, typer.Option("--name", help="Of a new key: who the witness is, such as witness.example/w1.")] = "",
) -> None:
    """Print a witness's public key; with --name make it first when there is none."""
    from audit.witness import public

    if name and not file.exists():
        SigningKey.make(name).write(file)
    typer.echo(public(SigningKey.read(file)))


@witness_app.command()
def serve(
    file: KeyPath,
    log: Annotated[list[str], typer.Option("--log", help="Public key of a ledger, NAME+ID+KEY, or a file of such lines.")],
    state: Annotated[Path, typer.Option("--state", help="Folder of what the witness saw. Never put an older copy back.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = 8090,
) -> None:
    """Answer `POST /add-checkpoint` (C2SP tlog-witness) until interrupted. Put TLS before it beyond this machine."""
    from audit.witness import Witness
    from audit.witness_server import WitnessServer

    lines = [line for one in log for line in ([one] if "+" in one else _lines(Path(one)))]
    known = [PublicKey.parse(line) for line in lines if line.strip() and not line.startswith("#")]
    try:
        server = WitnessServer((host, port), Witness(SigningKey.read(file), known, state))
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    typer.echo(f"http://{host}:{server.server_address[1]}/add-checkpoint, {len(known)} keys of ledgers", err=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"found {str(path)!r} for --log, expected NAME+ID+KEY or a file of such lines") from None
