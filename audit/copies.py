"""Finds released outputs by a copy of them, though the ledger holds no hash that others could compute.

    exact   of a released file's bytes, or of a text's UTF-8
    folded  of a text without the line that labels it, in Unicode's form NFC, each run of white space made one space

Both are `Vault.tag`s: HMAC-SHA-256 under a subkey of the master key. They are made for released outputs alone, after redaction,
never for prompts or for what was withheld. They stay when a subject's key is destroyed: who holds the master key, and nobody
else, can then still tell whether a text or file that they already have was released.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Engine, Integer, func, literal_column, select

from audit.models import tables
from audit.projected import COPY_TAGS, SPAN
from audit.query import open_vault, reading
from audit.vault import Vault
from guard.errors import LedgerError
from guard.types import Decision, Modality, Stage

SHOWN = 20
"""Entries of one copy that are given."""
_SPANS = 1000
"""Of one statement."""
_START, _END = "start", "end"
_, _TERM, _HEAD, _, _, _ = tables()


@dataclass(frozen=True, slots=True)
class Copies:
    """The entries whose released output is the same."""

    how: str = ""
    """`exact`, or `folded`: the same but for white space and a label; empty when there is none."""
    indices: tuple[int, ...] = ()
    """The oldest of them, at most SHOWN."""
    count: int = 0
    without: str = ""
    """The line at the `start` or `end` that the text was compared without; empty for none."""


def copy_tags(vault: Vault, decision: Decision) -> dict[str, str]:
    """The tags of a decision's released output by name; none when no output was released."""
    released = decision.released
    if released is None or released.stage is not Stage.OUTPUT:
        return {}
    found = {"exact": vault.tag("exact", released.payload())}
    if released.modality is Modality.TEXT:
        text = released.text
        for mark in decision.marks:
            if mark.kind == "label" and mark.verified:
                text = _without(text, _START if f"/{_START}/" in mark.method else _END)
        found |= {"folded": vault.tag("folded", plain.encode())} if (plain := _folded(text)) else {}
    return found


def find_copies(source: str | Engine, data: str | bytes, *, key_file: str | Path | None = None) -> Copies:
    """Entries that released just this text or file, else a text that differs by white space and a label alone.

    Reads with the key that `open_ledger` would use (an engine needs `key_file`). Raises LedgerError when the ledger cannot be
    read or its key is not here.
    """
    with reading(source) as connection:
        vault = open_vault(connection, key_file)
        if isinstance(vault, str):
            raise LedgerError(f"copies cannot be looked up: {vault}", advice="Name the ledger's master key with --key-file.")
        raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
        tried = [("exact", "", raw)]
        if isinstance(data, str):
            for place in ("", _END, _START):
                plain = _folded(_without(data, place) if place else data)
                tried += [("folded", place, plain.encode("utf-8", "surrogatepass"))] if plain else []
        for how, without, plaintext in tried:
            tags = (vault.tag(how, plaintext), *vault.old_tags(how, plaintext))
            found = _tagged(connection, how, tags)
            if found.count:
                return replace(found, without=without)
    return Copies()


def _tagged(connection: Connection, how: str, tags: Sequence[str]) -> Copies:
    """The entries that have one of these tags. The index on tags has its order only within a span: each is looked into."""
    name: ColumnElement[str] = literal_column(f"'{how}'")  # literal, so that the index on this part of the terms can be used
    same = (_TERM.c.name == name, _TERM.c.value.in_(tags))
    size: int = connection.execute(select(_HEAD.c.size)).scalar_one()
    indices: list[int] = []
    count = 0
    for start in range(0, size // SPAN + 1, _SPANS):
        spans = range(start, min(start + _SPANS, size // SPAN + 1))
        within = ((_TERM.c.idx // literal_column(str(SPAN), Integer)).in_(spans), *same)
        more: int = connection.execute(select(func.count()).select_from(_TERM).where(*within)).scalar_one()
        if more and len(indices) < SHOWN:
            first = select(_TERM.c.idx).where(*within).order_by(_TERM.c.idx).limit(SHOWN - len(indices))
            indices += connection.execute(first).scalars()
        count += more
    return Copies(how, tuple(indices), count)


def _folded(text: str) -> str:
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())


def _without(text: str, place: str) -> str:
    """The text without its first or last line that is not empty: there a label stands."""
    head, _, tail = text.strip().partition("\n") if place == _START else text.strip().rpartition("\n")
    return tail if place == _START else head


assert {"exact", "folded"} == COPY_TAGS
