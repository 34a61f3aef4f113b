"""What looks terms up by name walks over none but its own; tags of copies are found in whatever span they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from audit import copies, keyring, log_key
from audit.api_keys import find_key, has_keys
from audit.copies import Copies, find_copies
from audit.gaps import READ, WHAT
from audit.holds import active_holds
from audit.ledger import GROUP, SqlLedger, open_ledger
from audit.models import tables
from audit.projected import SPAN
from audit.query import query
from audit.review_queue import histories, waiting
from audit.rollouts import rollouts
from audit.stores.sqlite import raw
from audit.streams import unfinished
from audit.verify import verify
from guard.types import Action
from tests.audit.ledger_examples import DOCUMENT, HIDDEN, REVISION, decision

MANY = SPAN + GROUP


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One with more entries than a span has; the same output is released by the first and by the last decision."""
    folder = tmp_path_factory.mktemp("terms")
    with open_ledger(f"sqlite:///{folder / 'ledger.db'}", key_file=folder / "key") as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        blocked = [decision(Action.BLOCK, number=number) for number in range(1, MANY)]
        drafts = [opened._draft(one) for one in (decision(number=7), *blocked, decision(number=7))]
        for start in range(0, len(drafts), GROUP):
            opened._commit(drafts[start : start + GROUP])
        yield opened


@pytest.fixture
def key(ledger: SqlLedger) -> Path:
    """The file of the master key."""
    return ledger.path.with_name("key")


@pytest.mark.parametrize("at_once", [1, 1000])
def test_copies_are_found_in_every_span(ledger: SqlLedger, key: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them one statement looks into; the oldest come first."""
    monkeypatch.setattr(copies, "_SPANS", at_once)
    assert find_copies(ledger.reader, f"{HIDDEN} #7", key_file=key) == Copies("exact", (2, MANY + 2), 2)
    assert find_copies(ledger.reader, f"{HIDDEN}\n#7", key_file=key) == Copies("folded", (2, MANY + 2), 2)
    monkeypatch.setattr(copies, "SHOWN", 1)
    assert find_copies(ledger.reader, f"{HIDDEN} #7", key_file=key) == Copies("exact", (2,), 2)
    assert find_copies(ledger.reader, f"{HIDDEN} #8", key_file=key) == Copies()


def test_statements_about_terms_use_an_index(ledger: SqlLedger, key: Path) -> None:
    """Neither database takes an index on a part of the terms unless the statement says that this part will do."""
    told: list[tuple[str, Any]] = []

    def listen(_connection: Connection, _cursor: object, statement: str, given: Any, *_: object) -> None:
        told.append((statement, given))

    event.listen(ledger.reader, "before_cursor_execute", listen)
    try:
        find_copies(ledger.reader, f"{HIDDEN} #7", key_file=key)
        query(ledger.reader, "category:privacy")
        query(ledger.reader, "-rule:none step:set")
        rollouts(ledger.reader)
        unfinished(ledger.reader)
        waiting(ledger.reader)
        histories(ledger.reader)
        with ledger.reader.connect() as connection:
            active_holds(connection)
            for statement in (keyring._LATEST, log_key._LATEST):
                connection.execute(statement)
    finally:
        event.remove(ledger.reader, "before_cursor_execute", listen)
    about = [(statement, given) for statement, given in told if "FROM term" in statement or "JOIN term" in statement]
    assert len(about) > 12
    with ledger.reader.connect() as connection:
        for statement, given in [*about, (READ, WHAT)]:
            plan = [row[-1] for row in raw(connection).execute(f"EXPLAIN QUERY PLAN {statement}", given)]
            steps = [step for step in plan if step.startswith(("SCAN term", "SEARCH term"))]
            assert steps
            assert all("name=?" in step or "(idx=?" in step for step in steps), (statement, plan)


def test_keys_and_the_whole_ledger_are_read_as_before(ledger: SqlLedger, key: Path) -> None:
    """With the indexes in their new places."""
    url = f"sqlite:///{ledger.path}"
    assert not has_keys(url)
    assert find_key(url, "nobody") is None
    assert verify(url, key_file=key).ok
    term = tables()[1]
    assert {index.name for index in term.indexes} == {"ix_term_fact", "ix_term_tag"}
