"""One export from query to file: selects, writes, records, hands over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection

from audit.checkpoint import Checkpoint
from audit.events import Event
from audit.export.bundle import Bundle
from audit.export.dsa import write_statements
from audit.export.handover import HandedOver, Written, hand_over
from audit.export.ocsf import write_findings
from audit.export.selection import Selection, Taken
from audit.export.tables import WRITERS
from audit.query import reading
from guard.errors import InputError
from guard.note import Note, PublicKey

BUNDLE, DSA, OCSF = "bundle", "dsa", "ocsf"
FORMATS = (BUNDLE, *WRITERS, DSA, OCSF)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be exported, for whom."""

    url: str
    """Of the ledger."""
    format: str
    query: str
    actor: str
    every_kind: bool = False
    tenant: str = ""
    """Whose decisions alone are taken, without policies and what persons wrote; empty: all."""
    checkpoint: str = ""
    """For a bundle: the signed note, and the key that it is signed with."""
    key: PublicKey | None = None
    chain: str = ""
    """How that key followed others (`audit.key_chain`); empty when it never changed."""

    def __post_init__(self) -> None:
        """Check the format and the query. Raises InputError, QueryError."""
        if self.format not in FORMATS:
            raise InputError(f"unknown format {self.format!r}, expected one of: {', '.join(FORMATS)}")
        assert self.format != BUNDLE or (self.checkpoint and self.key), "a bundle is signed"
        self.selection()

    def selection(self) -> Selection:
        """The entries that it takes: of a bundle only those under its checkpoint, with what followed them."""
        below = Checkpoint.parse(Note.parse(self.checkpoint).text).size if self.checkpoint else None
        return Selection(self.query, self.every_kind, self.format == BUNDLE, self.tenant, below=below)


def export(
    order: Order,
    out: Path,
    record: Callable[[Event], int],
    begin: Callable[[int], Callable[[int], None]] = lambda _total: lambda _done: None,
) -> HandedOver:
    """Write the file, record it, hand it over (`hand_over`).

    `record`: commits an event and returns its index. `begin`: told how many entries there will be, gives what is told how many
    are done. Raises InputError, LedgerError and OSError; then there is no file.
    """
    selection = order.selection()

    def write(file: BinaryIO) -> Written:
        with reading(order.url) as connection:
            advance = begin(selection.count(connection))
            if order.format == BUNDLE:
                assert order.key is not None
                return Bundle(selection, order.checkpoint, order.key, not order.tenant, advance, order.chain).write(
                    connection, file
                )
            entries = _counted(selection, connection, advance)
            if order.format == DSA:
                return write_statements(entries, connection, file)
            return write_findings(entries, file) if order.format == OCSF else WRITERS[order.format](entries, file)

    return hand_over(out, (order.format, selection.query), (order.actor, order.tenant), write, record)


def _counted(selection: Selection, connection: Connection, advance: Callable[[int], None]) -> Iterator[Taken]:
    for count, entry in enumerate(selection.entries(connection), 1):
        yield entry
        advance(count)
