"""Evidence as one zip that proves itself.

    README.txt               in plain words
    chain.txt                how the log's key followed others; only where it was changed
    checkpoint.txt           signed note over the whole log (C2SP tlog-checkpoint)
    entries.jsonl            the bodies, byte for byte as they were hashed, one a line
    genguard_verify.py       checks all of this with Python and `cryptography` alone
    key.txt                  the log's public key, to be compared with one from another source
    leaves.txt               a line an entry: its index, its leaf hash, and `gone` when retention has dropped its body
    manifest.json            what the bundle says of itself; nothing in it is proven
    nodes.txt                hashes of the tree between the entries
    policies/REVISION.json   every policy document that an entry names; its SHA-256 is its name

The proof is shared: from left to right, subtrees without an entry of the bundle stand as one hash each, so that a verifier
rebuilds the signed root in one pass. A bundle of the whole log needs no hash, one of k among n entries at most k log2(n).
"""

from __future__ import annotations

import base64
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, select

from audit.body import ACTIVATION, DECISION, POLICY_ROLLOUT
from audit.canonical import loads
from audit.checkpoint import Checkpoint
from audit.export.handover import Written
from audit.export.selection import Selection
from audit.models import tables
from audit.prove import Leaves
from audit.tiles import Tree
from guard.errors import LedgerError
from guard.note import Note, PublicKey

FORMAT, VERSION = "genguard-bundle", 1
VERIFIER = Path(__file__).parents[1] / "genguard_verify.py"
_SPOOL = 1 << 24
"""Bytes of indices that are kept in memory; more go to a temporary file."""
_ENTRY = tables()[0]


@dataclass(slots=True)
class Bundle:
    """A bundle that is being written."""

    selection: Selection
    checkpoint: str
    """The signed note; entries that came after it are not in the bundle."""
    key: PublicKey
    policies: bool = True
    """Whether the documents of policies come along."""
    advance: Callable[[int], None] = lambda _count: None
    """Told after each entry how many were written."""
    chain: str = ""
    """How the key followed others."""
    _written: Written = field(default_factory=Written)
    _gone: int = 0
    _revisions: set[str] = field(default_factory=set)

    def write(self, connection: Connection, file: BinaryIO) -> Written:
        """Write the zip; the same ledger, query and checkpoint give the same bytes.

        Raises LedgerError when the log is not the one that was signed.
        """
        head = Checkpoint.parse(Note.parse(self.checkpoint).text)
        with (
            tempfile.SpooledTemporaryFile(_SPOOL) as leaves,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        ):
            for idx, leaf, whole in self.selection.leaves(connection):
                leaves.write(b"%d %s%s\n" % (idx, leaf.hex().encode(), b"" if whole else b" gone"))
                self._written.add(idx)
                self._gone += not whole
            _add(archive, "README.txt", [self._readme(head).encode()])
            if self.chain:
                _add(archive, "chain.txt", [self.chain.encode()])
            _add(archive, "checkpoint.txt", [self.checkpoint.encode()])
            _add(archive, "entries.jsonl", self._bodies(connection))
            _add(archive, "genguard_verify.py", [VERIFIER.read_bytes()])
            _add(archive, "key.txt", [f"{self.key}\n".encode()])
            leaves.seek(0)
            _add(archive, "leaves.txt", iter(lambda: leaves.read(1 << 20), b""))
            _add(archive, "manifest.json", [json.dumps(self._manifest(head), indent=2, sort_keys=True).encode() + b"\n"])
            leaves.seek(0)
            indices = (int(line.split(b" ", 1)[0]) for line in leaves)
            _add(archive, "nodes.txt", _nodes(connection, head, indices))
            for revision in sorted(self._revisions) if self.policies else ():
                document = _document(connection, revision)
                if document is not None:
                    _add(archive, f"policies/{revision}.json", [document.encode()])
        return self._written

    def _bodies(self, connection: Connection) -> Iterator[bytes]:
        for count, entry in enumerate(self.selection.entries(connection), 1):
            if entry.body is not None:
                self._revisions |= _named(loads(entry.body))
                yield entry.body + b"\n"
            self.advance(count)

    def _manifest(self, head: Checkpoint) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "origin": head.origin,
            "size": head.size,
            "query": self.selection.query,
            "count": self._written.count,
            "gone": self._gone,
            "first": self._written.first,
            "last": self._written.last,
        }

    def _readme(self, head: Checkpoint) -> str:
        gone = (
            f"\nOf {self._gone} entries retention has dropped the text; their hashes are still in the proof.\n"
            if self._gone
            else ""
        )
        return _README.format(
            count=self._written.count, origin=head.origin, size=head.size, query=self.selection.query or "(none)", gone=gone
        )


def _add(archive: zipfile.ZipFile, name: str, parts: Iterable[bytes]) -> None:
    """One file, with nothing in it of the day or the machine it was made on."""
    told = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    told.compress_type, told.create_system, told.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
    with archive.open(told, "w", force_zip64=True) as member:
        for part in parts:
            member.write(part)


def _named(body: dict[str, Any]) -> set[str]:
    """The policy revisions that an entry names."""
    found: set[str] = set()
    if body["kind"] == DECISION:
        found = {body["verdict"]["revision"], *(shadow["verdict"]["revision"] for shadow in body.get("shadows", ()))}
    elif body["kind"] in {ACTIVATION, POLICY_ROLLOUT}:
        found = {body["revision"], body.get("previous", "")}
    return found - {""}


def _document(connection: Connection, revision: str) -> str | None:
    found = select(_ENTRY.c.body).where(_ENTRY.c.kind == ACTIVATION, _ENTRY.c.revision == revision)
    body = connection.execute(found).scalar_one_or_none()
    return None if body is None else str(loads(body)["document"])


def _nodes(connection: Connection, head: Checkpoint, indices: Iterator[int]) -> Iterator[bytes]:
    """A line for each largest subtree without one of the indices, from left to right. Raises LedgerError."""
    tree = Tree(Leaves(connection))
    try:
        if tree.root(head.size) != head.root:
            raise LedgerError(
                f"found a log whose first {head.size} entries have another root than the checkpoint",
                advice="Run `genguard audit verify --anchor FILE`.",
            )
        taken = next(indices, None)
        ranges = [(0, head.size)] if head.size else []
        while ranges:
            low, high = ranges.pop()
            while taken is not None and taken < low:
                taken = next(indices, None)
            if taken is None or taken >= high:
                yield base64.b64encode(tree.subtree(low, high)) + b"\n"
            elif high - low > 1:
                middle = low + (1 << ((high - low - 1).bit_length() - 1))
                ranges += [(middle, high), (low, middle)]
    except LookupError as error:
        raise LedgerError(f"cannot prove the entries: {error}", advice="Run `genguard audit verify`.") from None


_README = """\
What this is
============

{count} entries of the ledger {origin}, with the proof that they are in it. The ledger records what a
moderation service decided on prompts and on outputs of generative models, before they were released.
Asked for was: {query}
{gone}
How to check it
===============

You need Python 3.11 or newer and its package `cryptography` (pip install cryptography), and nothing else: no network, no
account, nothing of whoever gave you this file.

    python genguard_verify.py --key KEY bundle.zip

or, where it is unpacked,

    python genguard_verify.py --key KEY FOLDER

KEY is the ledger's public key, a line NAME+ID+KEY. One is in key.txt; get it from a second source as well, such as a
publication of the operator, and compare. Checked against key.txt alone, the bundle shows only that it agrees with itself.
If you do not trust the verifier in this bundle, take it from the published source of genguard: it is the same file.

What the check shows
====================

- Every entry is, byte for byte, in the log that was signed, at the place that is named. Nothing was changed afterwards.
- Every policy document is the one that the entries name (by its SHA-256).

What it cannot show
===================

- That the bundle is complete: that no other entry of the {size} matches what was asked for. Who needs that asks for a
  bundle of all entries.
- That the operator shows the same log to everyone. Compare checkpoint.txt with one that was published or that you were given
  at another time.
- That a decision was right. The entry says what was measured and which rule of which policy decided.

What is in it
=============

    entries.jsonl        one entry a line (JSON)        checkpoint.txt   the signed state of the log, {size} entries
    policies/            the policies that judged       key.txt          the public key
    chain.txt            how the key followed others (only where it was changed)
    leaves.txt           places and hashes              nodes.txt        the rest of the proof
    genguard_verify.py   the verifier                   manifest.json    what this bundle says of itself (not proven)

The contents themselves (prompts, texts, images, audio) are not here: the entries hold their sizes and sealed fingerprints only.
"""
