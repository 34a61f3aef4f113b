"""The key that a log signs its checkpoints with: Ed25519, in a PEM file beside the database or elsewhere.

Whoever holds it can sign any tree; it proves something against those who do not hold it, and against the holder only together
with an anchor that he cannot rewrite.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from guard.errors import LedgerError
from guard.keyfile import sync_folder
from guard.note import SignerKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "genguard/"
"""Begins the origin of every ledger; its identity follows."""
_ADVICE = "Put it back from its backup. A new key is a new signer: whoever knows the old one has to be told."


def default_log_key_file(database: Path) -> Path:
    """`<database>.log.key`."""
    return database.with_name(database.name + ".log.key")


def origin_of(identity: str) -> str:
    """The origin line of a ledger's checkpoints, which is its key's name too."""
    return f"{ORIGIN}{identity}"


def need_log_key(database: Path, identity: str, key_file: Path | None = None) -> SignerKey:
    """The key of a ledger, made when there is none yet. Raises LedgerError for a file that cannot be used."""
    path = key_file or default_log_key_file(database)
    try:
        if not path.exists():
            _write(path)
    except OSError as error:
        raise LedgerError(
            f"cannot write the log key {path}: {error.strerror or type(error).__name__}",
            advice="Choose a folder that exists and is writable.",
        ) from None
    return read_log_key(path, identity)


def read_log_key(path: Path, identity: str) -> SignerKey:
    """The key in a file. Raises LedgerError when it is not there or holds no Ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise LedgerError(f"cannot read the log key {path}: {error.strerror}", advice=_ADVICE) from None
    except (ValueError, TypeError):
        raise LedgerError(f"{path} holds no private key that can be read, expected Ed25519 in PEM", advice=_ADVICE) from None
    if not isinstance(found, Ed25519PrivateKey):
        raise LedgerError(f"{path} holds a key of another kind, expected Ed25519 in PEM", advice=_ADVICE)
    return SignerKey(origin_of(identity), found)


def _write(path: Path) -> None:
    """A new key in a file that appears whole, with mode 0600; a file that is there stays."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_pem(Ed25519PrivateKey.generate()))
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _pem(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
