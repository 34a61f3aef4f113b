"""Finds released outputs by a copy of them, though the ledger holds no hash that others could compute.

    exact   of a released file's bytes, or of a text's UTF-8
    folded  of a text without the line that labels it, in Unicode's form NFC, each run of white space made one space

Both are `Vault.tag`s: HMAC-SHA-256 under a subkey of the master key. They are made for released outputs alone, after redaction,
never for prompts or for what was withheld. They stay when a subject's key is destroyed: who holds the master key, and nobody
else, can then still tell whether a text or file that they already have was released.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select

from audit.models import tables
from audit.projected import COPY_TAGS
from audit.query import open_vault, reading
from audit.vault import Vault
from guard.errors import LedgerError
from guard.types import Decision, Modality, Stage

SHOWN = 20
"""Entries of one copy that are given."""
_START, _END = "start", "end"
_, _TERM, _, _, _, _ = tables()


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
            same = (_TERM.c.name == how, _TERM.c.value.in_(tags))
            indices = connection.execute(select(_TERM.c.idx).where(*same).order_by(_TERM.c.idx).limit(SHOWN)).scalars().all()
            if indices:
                count: int = connection.execute(select(func.count()).select_from(_TERM).where(*same)).scalar_one()
                return Copies(how, tuple(indices), count, without)
    return Copies()


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _without(text: str, place: str) -> str:
    """The text without its first or last line that is not empty: there a label stands."""
    head, _, tail = text.strip().partition("\n") if place == _START else text.strip().rpartition("\n")
    return tail if place == _START else head


assert {"exact", "folded"} == COPY_TAGS
