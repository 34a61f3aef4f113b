"""Checks proofs of a genguard ledger on any machine: this one file, Python 3.11 or newer, and the package `cryptography`.

    python genguard_verify.py --key KEY FILE.tlog-proof...

KEY is the ledger's public key, NAME+ID+KEY, or a file of such lines; get it from somebody you trust, not with the proof. Ends
with 0 when every file proves its entry, 2 when one does not, 4 when a signature is wrong, 64 when it cannot be read.

It shares no line with the program that makes the proofs. Formats: C2SP tlog-proof, tlog-checkpoint and signed-note; the tree is
that of RFC 6962 with SHA-256.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path

PROVEN, NOT_PROVEN, WRONG_SIGNATURE, UNREADABLE = 0, 2, 4, 64
DASH = "\u2014 "


class Failure(Exception):  # noqa: N818 - not an error of this program: what it was asked to find out
    """Why a file proves nothing, with the code to end with."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def decode(text: str, what: str, length: int | None = None) -> bytes:
    """Standard base64, in its only spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or base64.b64encode(data).decode() != text or (length is not None and len(data) != length):
        raise Failure(NOT_PROVEN, f"{what} is no base64 of the right length")
    return data


def read_key(line: str) -> tuple[str, bytes, bytes]:
    """(name, key id, public key) of `name+id+key`."""
    name, _, rest = line.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        data = decode(encoded, "the key", 33)
    except Failure:
        raise Failure(UNREADABLE, "a public key cannot be read, expected NAME+ID+KEY") from None
    expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if data[0] != 1 or expected.hex() != key_id:
        raise Failure(UNREADABLE, f"the public key {name!r} is not the one that its id says")
    return name, expected, data[1:]


def signed_text(note: str, keys: list[tuple[str, bytes, bytes]]) -> str:
    """The text of a note that one of the keys signed; a wrong signature of one of them spoils the note."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    end = note.rfind("\n\n")
    if end < 0 or not note.endswith("\n"):
        raise Failure(NOT_PROVEN, "the checkpoint has no signatures")
    text, good = note[: end + 1], 0
    for line in note[end + 2 : -1].split("\n"):
        name, _, encoded = line.removeprefix(DASH).partition(" ")
        if not line.startswith(DASH):
            raise Failure(NOT_PROVEN, "a signature line of the checkpoint cannot be read")
        data = decode(encoded, "a signature")
        for known, key_id, public in keys:
            if (known, key_id) != (name, data[:4]):
                continue
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(data[4:], text.encode())
            except (InvalidSignature, ValueError):
                raise Failure(WRONG_SIGNATURE, f"the signature of {name} is wrong") from None
            good += 1
    if not good:
        raise Failure(WRONG_SIGNATURE, "none of the given keys signed the checkpoint")
    return text


def root_from_path(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """The root that a path leads to, from the leaf upwards: which side a sibling is on follows from index and size."""
    low, high, sides = 0, size, []
    while high - low > 1:
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        sides.append(index >= middle)
        low, high = (middle, high) if index >= middle else (low, middle)
    if len(sides) != len(path):
        raise Failure(NOT_PROVEN, f"the path has {len(path)} hashes, expected {len(sides)}")
    node = leaf
    for sibling, on_the_left in zip(path, reversed(sides), strict=True):
        node = hashlib.sha256(b"\x01" + (sibling + node if on_the_left else node + sibling)).digest()
    return node


def prove(text: str, keys: list[tuple[str, bytes, bytes]]) -> tuple[str, int, int, bytes]:
    """(origin, index, size, body) of a proof file that proves; raises Failure for one that does not."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or len(lines) < 3 or not lines[1].startswith("extra "):
        raise Failure(UNREADABLE, "it is no proof file with an entry in it")
    body = decode(lines[1].removeprefix("extra "), "the entry")
    number = lines[2].removeprefix("index ")
    if not lines[2].startswith("index ") or not number.isascii() or not number.isdecimal() or str(int(number)) != number:
        raise Failure(UNREADABLE, "it names no index")
    index, path = int(number), [decode(line, "a hash of the path", 32) for line in lines[3:]]
    checkpoint = signed_text(note, keys).split("\n")
    if len(checkpoint) != 4 or not checkpoint[1].isascii() or not checkpoint[1].isdecimal():
        raise Failure(NOT_PROVEN, "the signed text is no checkpoint")
    size, root = int(checkpoint[1]), decode(checkpoint[2], "the root", 32)
    if not index < size:
        raise Failure(NOT_PROVEN, f"the signed tree has {size} entries, and the proof is for entry {index}")
    if root_from_path(index, size, hashlib.sha256(b"\x00" + body).digest(), path) != root:
        raise Failure(NOT_PROVEN, "the path does not lead to the signed root: the entry or the path was changed")
    return checkpoint[0], index, size, body


def main(arguments: list[str] | None = None) -> int:
    """Check the files that are named, and say what each proves."""
    parser = argparse.ArgumentParser(description="Check proofs of a genguard ledger.")
    parser.add_argument("files", nargs="+", metavar="FILE.tlog-proof")
    parser.add_argument("--key", action="append", required=True, help="public key, NAME+ID+KEY, or a file of such lines")
    parser.add_argument("--show", action="store_true", help="also print the entry that is proven")
    options = parser.parse_args(arguments)
    worst = PROVEN
    try:
        lines = [line for one in options.key for line in ([one] if "+" in one else Path(one).read_text("utf-8").splitlines())]
        keys = [read_key(line) for line in lines if line.strip() and not line.startswith("#")]
    except (Failure, OSError, UnicodeDecodeError) as error:
        print(f"cannot use the key: {error}", file=sys.stderr)  # noqa: T201
        return UNREADABLE
    for file in options.files:
        try:
            origin, index, size, body = prove(Path(file).read_bytes().decode("utf-8"), keys)
        except (OSError, UnicodeDecodeError) as error:
            worst = max(worst, UNREADABLE)
            print(f"{file}: cannot be read: {type(error).__name__}")  # noqa: T201
        except Failure as error:
            worst = max(worst, error.code)
            print(f"{file}: NOT PROVEN: {error}")  # noqa: T201
        else:
            print(f"{file}: proven: entry {index} of {origin}, under the signed tree of {size} entries")  # noqa: T201
            if options.show:
                print(json.dumps(json.loads(body), indent=2))  # noqa: T201
    return worst


if __name__ == "__main__":
    sys.exit(main())
