"""`genguard policy keygen | sign`: keys that stand behind revisions of policies, and signatures beside their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guard.errors import InputError
from terminal.printing import Json, print_json


def add(app: typer.Typer) -> None:
    """Add the commands to those on policies."""
    app.command()(keygen)
    app.command()(sign)


def keygen(
    name: Annotated[str, typer.Option("--name", help="Whose key it is: a name without spaces and +, such as example.com/ann.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the two files; none of them is written over.")] = Path(),
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key: NAME.key, for its owner alone, and NAME.pub, a line for those who trust it."""
    from guard.note import SigningKey

    made = SigningKey.make(name)
    stem = name.replace("/", "-")
    private, public = out / f"{stem}.key", out / f"{stem}.pub"
    if public.exists() or private.exists():
        raise InputError(f"{private} or {public} is there already, expected a new name", advice="No key is written over.")
    made.write(private)
    public.write_text(f"{made.public}\n", "utf-8")
    if as_json:
        print_json({"key": str(private), "public": str(public), "line": str(made.public)})
    else:
        typer.echo(f"{private}: keep it secret\n{public}: name it in GENGUARD_POLICY_KEYS\n{made.public}")


def sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file.")],
    key: Annotated[Path, typer.Option("--key", metavar="KEY", help="The private key, as keygen writes it.")],
    name: Annotated[str, typer.Option("--name", help="The key's name, where its file does not say it.")] = "",
    as_json: Json = False,
) -> None:
    """Sign the revision of a policy file, into FILE.sig. Signatures of others are kept where the revision is the same."""
    from guard.note import Note, SigningKey
    from policies import load
    from policies.signing import SUFFIX, read_signature
    from policies.signing import sign as signed

    policy, signer = load(file), SigningKey.read(key, name)
    note = signed(policy, signer, read_signature(file))
    target = Path(f"{file}{SUFFIX}")
    target.write_text(note, "utf-8")
    names = [one.name for one in Note.parse(note).signatures]
    if as_json:
        print_json({"file": str(target), "policy": policy.id, "revision": policy.revision, "signed_by": names})
    else:
        typer.echo(f"{target}: {policy.id} version {policy.version}, revision {policy.revision[:16]}, by {', '.join(names)}")
