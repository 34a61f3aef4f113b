"""Checks proofs of a genguard ledger on any machine: this one file, Python 3.11 or newer, and the package `cryptography`.

    python genguard_verify.py --key KEY [--chain FILE] [--witness KEY]... FILE.tlog-proof... BUNDLE.zip... FOLDER...

A folder is an unpacked bundle. KEY is the ledger's public key, NAME+ID+KEY, or a file of such lines; get it from somebody you
trust, not with the proof. --chain says how the ledger's key was changed since KEY; a bundle brings its own. A bundle can be
checked without a key, against the one that it brings; that shows only that it agrees with itself. Ends with 0 when everything
is proven, 2 when something is not, 4 when a signature is wrong, 64 when something cannot be read. Nothing is unpacked, and
nothing is opened but the files that a bundle has.

It shares no line with the program that makes the proofs. Formats: C2SP tlog-proof, tlog-checkpoint and signed-note; the tree is
that of RFC 6962 with SHA-256.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

PROVEN, NOT_PROVEN, WRONG_SIGNATURE, UNREADABLE = 0, 2, 4, 64
DASH = "\u2014 "
PROOF = "c2sp.org/tlog-proof@v1"
"""The first line of a proof."""
BUNDLE_FILES = frozenset(
    {
        "README.txt",
        "chain.txt",
        "checkpoint.txt",
        "entries.jsonl",
        "genguard_verify.py",
        "key.txt",
        "leaves.txt",
        "manifest.json",
        "nodes.txt",
    }
)
POLICY_FILE = re.compile("policies/[0-9a-f]{64}[.]json")
MAX_LINE = 64_000_000
"""Bytes of one line, or of a file that is read as a whole."""


class Failure(Exception):  # noqa: N818 - not an error of this program: what it was asked to find out
    """Why a file proves nothing, with the code to end with."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Key(NamedTuple):
    """A public key of a ledger, and the sizes of the trees that it signs."""

    name: str
    key_id: bytes
    public: bytes
    first: int = 0
    last: int | None = None

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([1]) + self.public).decode()}"


class Head(NamedTuple):
    """A signed tree."""

    origin: str
    size: int
    root: bytes


def decode(text: str, what: str, length: int | None = None) -> bytes:
    """Standard base64, in its only spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or base64.b64encode(data).decode() != text or (length is not None and len(data) != length):
        raise Failure(NOT_PROVEN, f"{what} is no base64 of the right length")
    return data


def read_key(line: str) -> Key:
    """The key in `name+id+key`."""
    name, _, rest = line.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        data = decode(encoded, "the key", 33)
    except Failure:
        raise Failure(UNREADABLE, "a public key cannot be read, expected NAME+ID+KEY") from None
    expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if data[0] != 1 or expected.hex() != key_id:
        raise Failure(UNREADABLE, f"the public key {name!r} is not the one that its id says")
    return Key(name, expected, data[1:])


def signed_head(note: str, keys: list[Key]) -> Head:
    """The tree in a checkpoint that one of the keys signed, at a size that it signs."""
    text, good = signed_text(note, keys)
    lines = text.split("\n")
    if len(lines) != 4 or not lines[1].isascii() or not lines[1].isdecimal():
        raise Failure(NOT_PROVEN, "the signed text is no checkpoint")
    size, root = int(lines[1]), decode(lines[2], "the root", 32)
    if not any(key.first <= size and (key.last is None or size <= key.last) for key in good):
        raise Failure(WRONG_SIGNATURE, f"the key that signed {size} entries is not the ledger's key at that size")
    return Head(lines[0], size, root)


def signed_text(note: str, keys: list[Key]) -> tuple[str, list[Key]]:
    """The text of a note, and those of the keys that signed it; a wrong signature of one of them spoils the note."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    end = note.rfind("\n\n")
    if end < 0 or not note.endswith("\n"):
        raise Failure(NOT_PROVEN, "the checkpoint has no signatures")
    text, good = note[: end + 1], []
    for line in note[end + 2 : -1].split("\n"):
        name, _, encoded = line.removeprefix(DASH).partition(" ")
        if not line.startswith(DASH):
            raise Failure(NOT_PROVEN, "a signature line of the checkpoint cannot be read")
        data = decode(encoded, "a signature")
        for key in keys:
            if (key.name, key.key_id) != (name, data[:4]):
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(data[4:], text.encode())
            except (InvalidSignature, ValueError):
                raise Failure(WRONG_SIGNATURE, f"the signature of {name} is wrong") from None
            good.append(key)
    if not good:
        raise Failure(WRONG_SIGNATURE, "none of the given keys signed the checkpoint")
    return text, good


class Quorum(NamedTuple):
    """Witnesses, some of which have to have cosigned a checkpoint (C2SP tlog-cosignature, Ed25519)."""

    keys: list[tuple[str, bytes, bytes]]
    """Name, key id and public key."""
    needed: int

    @classmethod
    def of(cls, lines: Iterable[str], count: int | None = None) -> Quorum:
        """Of these public keys, NAME+ID+KEY, so many; all when left out."""
        keys = []
        for line in lines:
            name, _, rest = line.strip().partition("+")
            key_id, _, encoded = rest.partition("+")
            try:
                data = decode(encoded, "the key", 33)
            except Failure:
                data = b""
            if data[:1] != b"\x04" or hashlib.sha256(name.encode() + b"\n" + data).digest()[:4].hex() != key_id:
                raise Failure(UNREADABLE, "the public key of a witness cannot be read, expected NAME+ID+KEY")
            keys.append((name, bytes.fromhex(key_id), data[1:]))
        if count is not None and not 0 < count <= len(set(keys)):
            raise Failure(UNREADABLE, f"the quorum is {count}, expected 1 to the number of witnesses")
        return cls(keys, len(set(keys)) if count is None else count)

    def check(self, note: str) -> list[str]:
        """Who cosigned a checkpoint and when, a sentence each. Raises Failure when too few did, or one signature is wrong."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        seen: dict[tuple[str, bytes, bytes], int] = {}
        end = note.rfind("\n\n")
        text = note[: end + 1]
        for line in note[end + 2 :].splitlines():
            name, _, encoded = line.removeprefix(DASH).partition(" ")
            data = decode(encoded, "a signature")
            for key in set(self.keys):
                if key[:2] != (name, data[:4]):
                    continue
                seconds = int.from_bytes(data[4:12], "big")
                message = f"cosignature/v1\ntime {seconds}\n{text}"
                try:
                    Ed25519PublicKey.from_public_bytes(key[2]).verify(data[12:], message.encode())
                except (InvalidSignature, ValueError):
                    raise Failure(WRONG_SIGNATURE, f"the cosignature of {name} is wrong") from None
                seen[key] = max(seconds, seen.get(key, 0))
        if len(seen) < self.needed:
            raise Failure(WRONG_SIGNATURE, f"{len(seen)} of the witnesses cosigned the checkpoint, expected {self.needed}")
        return [f"{key[0]} cosigned that tree at {_utc(seconds)}" for key, seconds in sorted(seen.items())]


def _utc(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"


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


def prove(text: str, keys: list[Key]) -> tuple[str, int, int, bytes]:
    """(origin, index, size, body) of a proof file that proves; raises Failure for one that does not."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != PROOF or len(lines) < 3 or not lines[1].startswith("extra "):
        raise Failure(UNREADABLE, "it is no proof file with an entry in it")
    body = decode(lines[1].removeprefix("extra "), "the entry")
    number = lines[2].removeprefix("index ")
    if not lines[2].startswith("index ") or not number.isascii() or not number.isdecimal() or str(int(number)) != number:
        raise Failure(UNREADABLE, "it names no index")
    index, path = int(number), [decode(line, "a hash of the path", 32) for line in lines[3:]]
    origin, size, root = signed_head(note, keys)
    if not index < size:
        raise Failure(NOT_PROVEN, f"the signed tree has {size} entries, and the proof is for entry {index}")
    if root_from_path(index, size, hashlib.sha256(b"\x00" + body).digest(), path) != root:
        raise Failure(NOT_PROVEN, "the path does not lead to the signed root: the entry or the path was changed")
    return origin, index, size, body


def follow(keys: list[Key], chain: str) -> list[Key]:
    """The keys, each with the sizes that it signs, once a chain of handovers was followed.

    A handover is the proof of the entry that names both keys, as the last one of a tree that both signed. One between keys
    that nobody trusts gives nothing. Raises Failure for one of a trusted key that does not hold, and for two of one key.
    """
    known = {str(key): key for key in keys}
    begin, *parts = chain.split(f"{PROOF}\n")
    if begin:
        raise Failure(UNREADABLE, "the chain of keys cannot be read")
    for text in (f"{PROOF}\n{part}" for part in parts):
        before, after = named_keys(text)
        old, new = known.get(str(before)), known.get(str(after))
        if old is not None:
            size = handed_over(text, before, after)
            if old.last is not None and (old.last, new and new.first) != (size, size):
                raise Failure(NOT_PROVEN, "the chain hands one key over twice")
            known[str(before)] = old._replace(last=size)
            known[str(after)] = after._replace(first=size, last=None if new is None else new.last)
        elif new is not None:
            known[str(after)] = new._replace(first=handed_over(text, after))
    return list(known.values())


def named_keys(text: str) -> tuple[Key, Key]:
    """The keys that a handover's entry names; nothing is verified yet."""
    try:
        entry = json.loads(decode(text.split("\n")[1].removeprefix("extra "), "the entry of a handover"))
        kind, fields = entry["kind"], entry["fields"]
        before, after = read_key(fields["before"]), read_key(fields["after"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise Failure(NOT_PROVEN, "the chain has a proof of an entry that changes no key") from None
    if kind != "key_rotation" or fields.get("what") != "log" or before.name != after.name or before == after:
        raise Failure(NOT_PROVEN, "the chain has a proof of another entry than a change of the ledger's key")
    return before, after


def handed_over(text: str, *both: Key) -> int:
    """The size at which the key changed, if the handover holds and each of these keys signed it."""
    for key in both:
        origin, index, size, _ = prove(text, [key])
        if origin != key.name or size != index + 1:
            raise Failure(NOT_PROVEN, "a handover in the chain is of another ledger, or is not the last entry of its tree")
    return size


class Bundle:
    """A bundle, zipped or unpacked: its files by name, and no others."""

    def __init__(self, path: Path) -> None:
        self.archive = None if path.is_dir() else zipfile.ZipFile(path)
        self.folder = path
        if self.archive is None:
            found = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
            self.ignored = sorted(name for name in found if not is_bundle_file(name))
        else:
            found, self.ignored = self.archive.namelist(), []
            strange = next((name for name in found if not is_bundle_file(name) or found.count(name) > 1), None)
            if strange is not None:
                raise Failure(UNREADABLE, f"it holds a file {strange[:200]!r} that no bundle has, or has twice")
        self.names = {name for name in found if is_bundle_file(name)}

    def open(self, name: str) -> IO[bytes]:
        """A file to read. Raises Failure when it is not there."""
        if name not in self.names:
            raise Failure(UNREADABLE, f"it has no {name}: it is no bundle, or not a whole one")
        return (self.folder / name).open("rb") if self.archive is None else self.archive.open(name)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file, without their ends."""
        with self.open(name) as file:
            while line := file.readline(MAX_LINE):
                if not line.endswith(b"\n"):
                    raise Failure(NOT_PROVEN, f"{name} was cut off, or has a line that is too long")
                yield line[:-1]

    def read(self, name: str) -> bytes:
        """A whole file."""
        with self.open(name) as file:
            data = file.read(MAX_LINE + 1)
        if len(data) > MAX_LINE:
            raise Failure(UNREADABLE, f"{name} is larger than {MAX_LINE} bytes")
        return data

    def close(self) -> None:
        """Let go of the zip."""
        if self.archive is not None:
            self.archive.close()


@dataclass
class Shown:
    """What a bundle shows."""

    origin: str
    size: int
    """Entries of the log under the signed checkpoint."""
    key_from_bundle: bool
    entries: int = 0
    gone: int = 0
    """Entries whose body was dropped: their hashes alone are proven."""
    policies: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    revisions: set[str] = field(default_factory=set)
    """Policy revisions that the entries name."""
    missing: list[str] = field(default_factory=list)
    """Those of them whose documents are not in the bundle."""
    witnesses: list[str] = field(default_factory=list)
    """Who cosigned the checkpoint, a sentence each."""
    ignored: list[str] = field(default_factory=list)
    """Files in the folder that belong to no bundle, and were not looked at."""

    @property
    def complete(self) -> bool:
        """Whether every entry of the signed log is here."""
        return self.entries + self.gone == self.size

    def checked(self) -> list[str]:
        """What was checked, a sentence each."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        actions = ", ".join(f"{count} {action}" for action, count in sorted(self.actions.items()))
        said = [
            f"the checkpoint of {self.origin} over {self.size} entries bears a good signature",
            *self.witnesses,
            f"{self.entries} entries are in that log as they stand here: {kinds}" + (f" ({actions})" if actions else ""),
            f"{self.policies} policy documents are the ones that their revisions name",
        ]
        return said + (
            [f"the hashes of {self.gone} more entries are in that log; their bodies are not here"] if self.gone else []
        )

    def not_checked(self) -> list[str]:
        """What cannot be said, a sentence each."""
        said = []
        if self.key_from_bundle:
            said.append("whose signature it is: the key came with the bundle. Compare key.txt with one from another source")
        if not self.complete:
            said.append(f"whether more of the {self.size} entries match what was asked for")
        if not self.witnesses:
            said.append(
                "whether others were shown another log: compare checkpoint.txt with one published or given at another time"
            )
        said += [f"which document revision {one} is: the bundle does not have it" for one in self.missing]
        said += [f"{name}: no file of a bundle, not looked at" for name in self.ignored[:20]]
        return said


def is_bundle_file(name: str) -> bool:
    """Whether a bundle may have a file of this name."""
    return name in BUNDLE_FILES or POLICY_FILE.fullmatch(name) is not None


def verify_bundle(path: Path, keys: list[Key], witnesses: Quorum | None = None) -> Shown:
    """What a bundle shows; without keys, by the one that it brings. Raises Failure for one that does not prove."""
    try:
        with closing(Bundle(path)) as bundle:
            shown = _verify_bundle(bundle, keys)
            if witnesses is not None:
                shown.witnesses = witnesses.check(bundle.read("checkpoint.txt").decode("utf-8"))
            return shown
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise Failure(UNREADABLE, f"it cannot be read: {type(error).__name__}") from None


def _verify_bundle(bundle: Bundle, keys: list[Key]) -> Shown:
    known = keys or [read_key(line.decode()) for line in bundle.lines("key.txt") if line.strip() and not line.startswith(b"#")]
    if "chain.txt" in bundle.names:
        known = follow(known, bundle.read("chain.txt").decode("utf-8"))
    origin, size, root = signed_head(bundle.read("checkpoint.txt").decode("utf-8"), known)
    shown = Shown(origin, size, not keys, ignored=bundle.ignored)
    leaves, nodes = _leaves(bundle, shown), bundle.lines("nodes.txt")
    if shared_root(shown.size, leaves, (decode(line.decode(), "a hash of nodes.txt", 32) for line in nodes)) != root:
        raise Failure(NOT_PROVEN, "the entries do not lead to the signed root: one was changed, left out or added")
    for name in sorted(bundle.names):
        if POLICY_FILE.fullmatch(name):
            if hashlib.sha256(bundle.read(name)).hexdigest() != name[9:-5]:
                raise Failure(NOT_PROVEN, f"{name} is not the document of that revision: it was changed")
            shown.policies += 1
    shown.missing = sorted(one for one in shown.revisions if f"policies/{one}.json" not in bundle.names)
    return shown


def _leaves(bundle: Bundle, shown: Shown) -> Iterator[tuple[int, bytes]]:
    """Index and leaf hash of each entry, of its body wherever that is there."""
    bodies, before = bundle.lines("entries.jsonl"), -1
    for line in bundle.lines("leaves.txt"):
        told = re.fullmatch(b"(0|[1-9][0-9]{0,18}) ([0-9a-f]{64})( gone)?", line)
        if told is None or int(told[1]) <= before:
            raise Failure(NOT_PROVEN, "a line of leaves.txt cannot be read, or is not in order")
        before, leaf = int(told[1]), bytes.fromhex(told[2].decode())
        if told[3]:
            shown.gone += 1
        else:
            body = next(bodies, None)
            if body is None:
                raise Failure(NOT_PROVEN, f"entry {before} is not in entries.jsonl")
            if hashlib.sha256(b"\x00" + body).digest() != leaf:
                raise Failure(NOT_PROVEN, f"entry {before} was changed, or others were left out before it")
            _count(before, body, shown)
        yield before, leaf
    if next(bodies, None) is not None:
        raise Failure(NOT_PROVEN, "entries.jsonl has more entries than leaves.txt")


def _count(index: int, body: bytes, shown: Shown) -> None:
    """What an entry is. It is believed once the root was reached."""
    try:
        entry: dict[str, Any] = json.loads(body)
        verdicts = [entry["verdict"], *(one["verdict"] for one in entry.get("shadows", ()))] if "verdict" in entry else []
        shown.kinds[str(entry["kind"])] += 1
        shown.actions.update(str(one["action"]) for one in verdicts[:1])
        named = {one["revision"] for one in (*verdicts, entry) if "revision" in one}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Failure(NOT_PROVEN, f"entry {index} is none that can be read") from None
    shown.entries += 1
    shown.revisions |= {one for one in named if isinstance(one, str) and re.fullmatch("[0-9a-f]{64}", one)}


def shared_root(size: int, leaves: Iterator[tuple[int, bytes]], nodes: Iterator[bytes]) -> bytes:
    """The root of a tree of which some leaves are given, and one hash for each largest subtree without any of them.

    Both come from left to right. Raises Failure when there are too many or too few.
    """
    if size == 0:
        raise Failure(NOT_PROVEN, "the signed log is empty")
    given = next(leaves, None)
    waiting: list[tuple[int, int]] = [(0, size)]
    done: list[bytes] = []
    while waiting:
        low, high = waiting.pop()
        if low < 0:  # both halves are done
            right, left = done.pop(), done.pop()
            done.append(hashlib.sha256(b"\x01" + left + right).digest())
        elif given is None or given[0] >= high:
            node = next(nodes, None)
            if node is None:
                raise Failure(NOT_PROVEN, "nodes.txt has too few hashes")
            done.append(node)
        elif high - low == 1:
            done.append(given[1])
            given = next(leaves, None)
        else:
            middle = low + (1 << ((high - low - 1).bit_length() - 1))
            waiting += [(-1, -1), (middle, high), (low, middle)]
    if given is not None or next(nodes, None) is not None:
        raise Failure(
            NOT_PROVEN,
            "there are more entries or hashes than the signed log has places for: some were left out, added or moved",
        )
    return done[0]


def tell(path: str, shown: Shown) -> None:
    """Print what a bundle shows, and what it does not."""
    print(f"{path}: proven")  # noqa: T201
    for line in shown.checked():
        print(f"  checked: {line}")  # noqa: T201
    for line in shown.not_checked():
        print(f"  not checked: {line}")  # noqa: T201


def main(arguments: list[str] | None = None) -> int:
    """Check the files that are named, and say what each proves."""
    parser = argparse.ArgumentParser(description="Check proofs of a genguard ledger.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a proof, a bundle, or the folder of an unpacked bundle")
    parser.add_argument("--key", action="append", default=[], help="public key, NAME+ID+KEY, or a file of such lines")
    parser.add_argument("--chain", default="", help="file that says how the key was changed since")
    parser.add_argument("--witness", action="append", default=[], help="public key of a witness that has to have cosigned")
    parser.add_argument("--quorum", type=int, help="how many of the witnesses; all when left out")
    parser.add_argument("--show", action="store_true", help="also print the entry that a proof proves")
    options = parser.parse_args(arguments)
    worst = PROVEN
    try:
        keys = _read_keys(options.key)
        witnesses = Quorum.of(options.witness, options.quorum)
        keys = follow(keys, Path(options.chain).read_text("utf-8")) if options.chain else keys
    except (Failure, OSError, UnicodeDecodeError) as error:
        print(f"cannot use the key: {error}", file=sys.stderr)  # noqa: T201
        return UNREADABLE
    for file in options.files:
        try:
            if is_bundle(Path(file)):
                tell(file, verify_bundle(Path(file), keys, witnesses))
            else:
                _main_proof(file, keys, witnesses, show=options.show)
        except (OSError, UnicodeDecodeError) as error:
            worst = max(worst, UNREADABLE)
            print(f"{file}: cannot be read: {type(error).__name__}")  # noqa: T201
        except Failure as error:
            worst = max(worst, error.code)
            print(f"{file}: NOT PROVEN: {error}")  # noqa: T201
    return worst


def _read_keys(given: list[str]) -> list[Key]:
    lines = [line for one in given for line in ([one] if "+" in one else Path(one).read_text("utf-8").splitlines())]
    keys = [read_key(line) for line in lines if line.strip() and not line.startswith("#")]
    if given and not keys:
        raise Failure(UNREADABLE, "there is none in the file")
    return keys


def is_bundle(path: Path) -> bool:
    """Whether it is a bundle, or a folder that may be an unpacked one."""
    return path.is_dir() or zipfile.is_zipfile(path)


def _main_proof(file: str, keys: list[Key], witnesses: Quorum, *, show: bool) -> None:
    if not keys:
        raise Failure(UNREADABLE, "a proof needs the ledger's public key: --key NAME+ID+KEY")
    text = Path(file).read_bytes().decode("utf-8")
    origin, index, size, body = prove(text, keys)
    told = witnesses.check(text.partition("\n\n")[2])
    print(f"{file}: proven: entry {index} of {origin}, under the signed tree of {size} entries")  # noqa: T201
    for line in told:
        print(f"  {line}")  # noqa: T201
    if show:
        print(json.dumps(json.loads(body), indent=2))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
