"""Compares each key of the service with what the entries say of it."""

from __future__ import annotations

from audit.key_record import COLUMNS, KeyRecord
from audit.verifier.report import Problems, Tally
from audit.verifier.source import Source

_READ = f"SELECT {', '.join(COLUMNS)} FROM api_key ORDER BY id"  # noqa: S608 - names of our own columns
UNPROVEN = "when keys of the service were last used is in no entry: that column was only looked at for its form"


def compare_keys(source: Source, record: KeyRecord, problem: Problems, tally: Tally, *, there: bool) -> bool:
    """Tell of rows that are not as recorded, of some that nobody made, and of some that are gone. Whether there are rows.

    `there`: whether there is a table of them: ledgers of before gain it when they are opened for writing.
    """
    missing = dict(record.keys)
    rows = source.rows(_READ) if there else []
    for row in rows:
        tally("api_keys")
        cells = dict(zip(COLUMNS, row, strict=True))
        said = missing.pop(cells["id"], None)
        if said is None:
            problem(None, "api_key", f"a key {cells['id']!r} of {cells['name']!r}", "none: no entry made it")
            continue
        for idx, found, expected in said.misfits(cells):
            problem(idx, "api_key", f"{found} of key {cells['id']}", expected)
    for ident, said in missing.items():
        problem(said.made.idx, "api_key", f"no key {ident}", "the one that the entry made")
    return bool(rows)
