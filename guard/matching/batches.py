"""A batch of changes of a bank as bytes: how it is carried to others that have the bank.

A length of four bytes, big-endian, and so much JSON says who changed the bank, when and where the works came from. Then each
change in its order, again a length and JSON, with what the JSON gives the sizes of right after it:

    {"add": facts, "from": hexadecimal, "thumbnail": bytes, "prints": [[method, view, bytes], ...]} thumbnail fingerprints
    {"retire": id}

The bytes are cut into pieces of PIECE, so that no more than one change and a piece is in memory on either side.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from guard.errors import InputError, ModelError
from guard.matching.records import canonical, facts, work_from_facts
from guard.matching.works import Fingerprint, Work

FORM = 1
"""Version of these bytes."""
PIECE = 1 << 20
"""Bytes of a piece; the last has fewer."""
_SPOOLED = 8 << 20
"""Bytes of a batch from which it waits in a temporary file."""
_LENGTH = 4
_MOST = 1 << 24
"""Bytes of JSON at most: facts have some ten thousand characters, and 1024 fingerprints a line each."""

Change = tuple[Work, bytes] | str
"""A work that is registered, with a digest of what it was made from, or nothing; or the id of one that is retired."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Who changed a bank, when, and where the works came from: as the chain of its changes has it."""

    time: str
    actor: str
    source: str


class Parcel:
    """A batch that is to be carried: its bytes in pieces, and their SHA-256."""

    def __init__(self, signed: Signed, changes: Iterable[Change]) -> None:
        self._file = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115 - closed by `close`
        digest = hashlib.sha256()
        try:
            for part in _written(signed, changes):
                digest.update(part)
                self._file.write(part)
        except BaseException:
            self._file.close()
            raise
        self.digest = digest.hexdigest()

    def pieces(self) -> Iterator[bytes]:
        """From the first on, each time."""
        self._file.seek(0)
        yield from iter(lambda: self._file.read(PIECE), b"")

    def close(self) -> None:
        """Let go of the bytes."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Opened:
    """A batch that was carried here, read once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Raises ModelError for bytes that are no batch, or of another version."""
        self._pieces, self._left = iter(pieces), bytearray()
        self._digest = hashlib.sha256()
        head = self._json()
        signed = Signed(*(head.get(name, 0) for name in ("time", "actor", "source")))
        if head.get("form") != FORM or not all(isinstance(one, str) for one in (signed.time, signed.actor, signed.source)):
            raise ModelError(
                f"found a batch of changes of form {str(head.get('form'))[:20]}, expected {FORM}",
                advice="A newer version of genguard wrote it: use that one here, too.",
            )
        self.signed = signed

    def changes(self) -> Iterator[Change]:
        """One after the other. Raises ModelError for one that cannot be."""
        while self._more():
            try:
                yield self._change(self._json())
            except (InputError, KeyError, TypeError, ValueError) as error:
                told = str(error) if isinstance(error, InputError) else type(error).__name__
                raise ModelError(f"found a change of a bank that cannot be read: {told}") from None

    def digest(self) -> str:
        """SHA-256 of all bytes, once the changes are read."""
        return self._digest.hexdigest()

    def _change(self, line: dict[str, Any]) -> Change:
        if set(line) == {"retire"} and isinstance(line["retire"], str):
            return line["retire"]
        sizes = [(str(method), str(view), int(size)) for method, view, size in line["prints"]]
        thumbnail = self._take(int(line.get("thumbnail", 0)))
        prints = tuple(Fingerprint(method, self._take(size), view) for method, view, size in sizes)
        return work_from_facts(line["add"], thumbnail, prints), bytes.fromhex(line.get("from", ""))

    def _json(self) -> dict[str, Any]:
        size = int.from_bytes(self._take(_LENGTH), "big")
        try:
            found = json.loads(self._take(size)) if size <= _MOST else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ModelError("found a batch of changes that is cut off, or none")
        return found

    def _more(self) -> bool:
        """Whether there is another change."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._digest.update(piece)
            self._left += piece
        return True

    def _take(self, size: int) -> bytes:
        if size < 0:
            raise ValueError(size)
        while len(self._left) < size:
            piece = next(self._pieces, None)
            if piece is None:
                raise ModelError("found a batch of changes that is cut off")
            self._digest.update(piece)
            self._left += piece
        taken = bytes(self._left[:size])
        del self._left[:size]
        return taken


def _written(signed: Signed, changes: Iterable[Change]) -> Iterator[bytes]:
    yield _line({"form": FORM, "time": signed.time, "actor": signed.actor, "source": signed.source})
    for change in changes:
        if isinstance(change, str):
            yield _line({"retire": change})
            continue
        work, made_from = change
        sizes = [[one.method, one.view, len(one.data)] for one in work.fingerprints]
        more = {"from": made_from.hex()} if made_from else {}
        yield _line({"add": facts(work), "prints": sizes, "thumbnail": len(work.thumbnail), **more})
        yield work.thumbnail
        yield from (one.data for one in work.fingerprints)


def _line(value: dict[str, Any]) -> bytes:
    data = canonical(value)
    return len(data).to_bytes(_LENGTH, "big") + data
