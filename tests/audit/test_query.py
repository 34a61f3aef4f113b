"""Looking entries up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, verdict

from audit.grammar import KEYS, Filter, QueryError, parse
from audit.ledger import open_ledger
from audit.query import policy_document, query, show
from audit.stores import open_store
from guard.errors import LedgerError
from guard.types import Action

START = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def source(shared_url) -> str:
    """Thirty decisions: actions in turn, two tenants, one an hour, every third under another rule."""
    with open_ledger(shared_url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(30):
            action = list(Action)[number % 5]
            made = decision(action, number=number, tenant=("acme", "Höhle & Co")[number % 2], subject=f"s{number}")
            ruled = verdict(action, "threat", "violence") if number % 3 == 0 else made.verdict
            opened.append_sync(
                replace(made, id=UUID(int=(0xA0 + number) << 120), time=START + timedelta(hours=number), verdict=ruled)
            )
    return shared_url


def indices(page) -> list[int]:
    """The entries of a page."""
    return [row.idx for row in page.rows]


def test_all_decisions_come_newest_first(source):
    """The first page, and nothing but decisions."""
    page = query(source)
    assert indices(page) == list(range(31, 1, -1))
    assert {row.kind for row in page.rows} == {"decision"}
    assert (page.older, page.size) == (None, 32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("action:block", [6, 11, 16, 21, 26, 31]),
        ("action:block category:violence", [11, 26]),
        ("action:block -category:violence", [6, 16, 21, 31]),
        ("rule:threat -action:block -action:label tenant:acme", [14, 20]),
        ("action:block,review tenant:acme", [6, 10, 16, 20, 26, 30]),
        ("action:block action:review tenant:acme", [6, 10, 16, 20, 26, 30]),
        ('tenant:"Höhle & Co" action:redact', [9, 19, 29]),
        ("-generator:language", []),
        ("generator:language modality:text stage:output policy:enterprise action:label", [3, 8, 13, 18, 23, 28]),
        ("since:2026-11-21 action:label", [28]),
        ("until:2026-11-20 -tenant:acme action:label", [3, 13, 23]),
        ("since:2026-11-20T03:00:00Z until:2026-11-20T05:00:00+00:00", [5, 6]),
        ("mark:0000000000000007", [9]),
        ("request:req-4", [6]),
        ("subject:s9,s10", [11, 12]),
        ("id:a2", [4]),
        ("kind:policy_activate", [1]),
        ("kind:config", [0]),
        (f"revision:{REVISION[:9]} subject:s0", [2]),
        ("tenant:nobody", []),
    ],
)
def test_filters_choose_the_right_entries(source, text, expected):
    """Short form; order is newest first."""
    assert indices(query(source, text)) == expected[::-1]


def test_named_filters_and_the_short_form_hold_together(source):
    """A service has names, a person has a line."""
    assert indices(query(source, "tenant:acme", action=["block", "review"])) == [30, 26, 20, 16, 10, 6]
    assert indices(query(source, action="block", tenant="acme")) == [26, 16, 6]


def test_pages_follow_one_another_in_both_directions(source):
    """The cursor is an index: stable while entries are added."""
    seen, before = [], None
    while True:
        page = query(source, limit=7, before=before)
        seen += indices(page)
        before = page.older
        if before is None:
            break
    assert seen == list(range(31, 1, -1))
    newer = query(source, limit=5, after=10)
    assert indices(newer) == [15, 14, 13, 12, 11]
    assert (newer.older, newer.newer) == (11, 15)
    assert indices(query(source, limit=5, after=29)) == [31, 30]
    assert indices(query(source, before=6, after=3)) == [5, 4]


def test_a_row_carries_what_a_table_of_decisions_needs(source):
    """Names, rules, categories."""
    row = query(source, "subject:s9").rows[0]
    assert (row.tenant, row.action, row.policy, row.version) == ("Höhle & Co", "block", "enterprise", 4)
    assert (row.rules, row.categories, row.generator, row.model) == (
        ("threat",),
        ("violence",),
        "language",
        "bundled/service-gpt",
    )


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("action:block colour:red", 13, "unknown filter 'colour'"),
        ("action:blok", 7, "action is never 'blok', expected one of: allow, label, redact, review, block"),
        ("action:block,blok", 13, "action is never 'blok'"),
        ("action:block -", 14, "expected a word or key:value"),
        ("since:7d since:8d", 9, "since takes one time"),
        ("idx:5..3", 4, "the smaller one"),
        ("created:..", 8, "at least one end"),
        ("tenant:", 7, "tenant has no value"),
        ('tenant:acme rule:"x', 17, "a quotation mark is not closed"),
        ("since:yesterday", 6, "expected a day, a month, a time"),
        ("-since:2026-11-22", 1, "cannot be excluded"),
        (":x", 0, "expected key:value"),
    ],
)
def test_a_mistake_in_a_query_is_pointed_at(text, position, message):
    """The caret stands under it."""
    with pytest.raises(QueryError, match=message) as caught:
        parse(text)
    assert caught.value.position == position
    assert f"{text}\n{' ' * position}^" in caught.value.diagnostics()


def test_an_unknown_filter_by_name_lists_the_known_ones(source):
    """What may be asked for."""
    with pytest.raises(QueryError, match="unknown filter 'colour'") as caught:
        query(source, colour="red")
    assert all(key in caught.value.advice for key in KEYS)
    with pytest.raises(QueryError, match="limit is 0"):
        query(source, limit=0)


def test_quotes_and_commas_are_read():
    """Values with spaces, commas and colons."""
    assert parse('rule:"a, b",c model:bundled/x:1') == (Filter("rule", ("a, b", "c")), Filter("model", ("bundled/x:1",)))
    assert parse("   ") == ()


def test_values_are_never_part_of_the_statement(source):
    """A quotation mark is a quotation mark."""
    assert query(source, tenant="' OR 1=1 --").rows == ()
    assert query(source, id="%").rows == ()


def test_one_entry_is_found_by_id_prefix_or_index(source):
    """As a person has it at hand."""
    shown = show(source, 4)
    assert shown.idx == show(source, "a2").idx == show(source, shown.decision.id).idx == show(source, "4").idx == 4
    assert shown.document == DOCUMENT
    assert shown.receipt.decision == shown.decision.id
    assert shown.decision.verdict.action is Action.REDACT
    config = show(source, 0)
    assert (config.decision, config.receipt, config.payloads) == (None, None, ())


@pytest.mark.parametrize(("reference", "message"), [("ffff", "no entry"), (99, "no entry"), ("a", "begins several")])
def test_an_entry_that_is_not_one_is_refused(source, reference, message):
    """None, or more than one."""
    with pytest.raises(QueryError, match=message):
        show(source, reference)


def test_a_policy_document_comes_back_byte_for_byte(source):
    """By its revision."""
    assert policy_document(source, REVISION) == DOCUMENT
    with pytest.raises(QueryError, match="no policy document"):
        policy_document(source, "0" * 64)


def test_an_engine_may_be_given_and_cannot_write(source):
    """For a service that keeps one."""
    engine = open_store(source).reader()
    assert len(query(engine, "action:block").rows) == 6
    assert show(engine, 3, reveal=True).payloads[0].data
    with engine.connect() as connection, pytest.raises(Exception, match=r"readonly|read-only|query_only"):
        connection.exec_driver_sql("DELETE FROM head")


def test_a_ledger_that_is_not_there_is_an_error_and_is_not_made(tmp_path):
    """Reading never begins a ledger."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        query(f"sqlite:///{tmp_path}/none.db")
    assert not list(tmp_path.iterdir())
