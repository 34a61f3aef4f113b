"""Counts beside a query, over time, and the most frequent values; what could be written next."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_examples import DOCUMENT, REVISION, decision, verdict

from audit import facets as counting
from audit import search
from audit.completion import complete
from audit.events import Event
from audit.facets import FACETS, facets, series, top
from audit.grammar import QueryError
from audit.ledger import open_ledger
from audit.models import LATER_INDEXES
from audit.query import query
from audit.verify import verify
from guard.types import Action

START = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def source(shared_url) -> str:
    """Fifty decisions of two tenants, one in three hours, and a review."""
    with open_ledger(shared_url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(50):
            action = list(Action)[number % 5]
            made = decision(action, number=number, tenant="acme" if number % 3 else "Höhle & Co", subject=f"s{number}")
            ruled = verdict(action, "threat", "violence") if number % 4 == 0 else made.verdict
            opened.append_sync(replace(made, time=START + timedelta(hours=3 * number), verdict=ruled))
        opened.record_sync(Event("review", "ann", {"queue": "harm"}, about=str(made.id), tenant="acme"))
    return shared_url


@pytest.mark.parametrize(
    "text", ["", "action:block,label", "tenant:acme", "-rule:threat", "created:2026-11-21", "threat", "nowhere"]
)
@pytest.mark.parametrize("window", [search._FIRST, 3])
def test_facets_agree_with_the_entries(source, monkeypatch, text, window):
    """Every value of every facet, the most frequent first."""
    monkeypatch.setattr(search, "_FIRST", window)
    monkeypatch.setattr(search, "_BATCH", window)
    monkeypatch.setattr(search, "_FEW", window % 3)
    found, rows = facets(source, text), query(source, text, limit=1000).rows
    assert (found.total, found.complete, found.why) == (len(rows), True, "")
    assert set(found.values) == set(FACETS)
    for key in ("action", "generator", "tenant", "policy", "stage", "modality"):
        assert dict(found.values[key]) == Counter(getattr(row, key) for row in rows)
    assert dict(found.values["rule"]) == Counter(rule for row in rows for rule in row.rules)
    assert dict(found.values["category"]) == Counter(one for row in rows for one in row.categories)
    assert all(
        [number for _, number in one] == sorted((number for _, number in one), reverse=True) for one in found.values.values()
    )


def test_what_was_not_counted_is_said(source, monkeypatch):
    """A number is then of the newest entries alone."""
    monkeypatch.setattr(search, "_FIRST", 10)
    monkeypatch.setattr(search, "_LARGEST", 10)
    monkeypatch.setattr(counting, "ENOUGH", 15)
    found = facets(source)
    assert (found.complete, found.why) == (False, "19 entries were counted")
    assert (
        found.total
        == sum(number for _, number in found.values["action"])
        == sum(row.idx >= found.since for row in query(source).rows)
    )
    monkeypatch.setattr(counting, "COUNTS_S", 0.0)
    counted = series(source, "day")
    assert (counted.complete, counted.why, counted.since) == (False, "0 s have passed", 43)


def test_a_series_counts_by_hour_day_and_month(source):
    """By action; hours without any are left out."""
    rows = query(source, "tenant:acme", limit=1000).rows
    for bucket, length in (("hour", 13), ("day", 10), ("month", 7)):
        expected = Counter((row.time[:length], row.action) for row in rows)
        found = series(source, bucket, "tenant:acme")
        assert {
            (moment[:length], name): number for moment, counted in found.points for name, number in counted.items()
        } == expected
        assert [moment for moment, _ in found.points] == sorted(moment for moment, _ in found.points)
        assert found.complete
    assert series(source, "hour", "idx:2").points == (("2026-11-20T00:00Z", {"allow": 1}),)
    assert series(source, "month", "kind:review").points[0][1] == {"review": 1}


def test_the_most_frequent_values_of_a_key(source):
    """Of columns and of terms."""
    assert [value for value, _ in top(source, "rule").values["rule"]] == ["card-number", "threat"]
    assert top(source, "tenant", "action:block", most=1).values["tenant"] == (("acme", 7),)
    assert top(source, "queue", "kind:review").values == {"queue": (("harm", 1),)}
    for key in ("id", "colour", "created"):
        with pytest.raises(QueryError, match="cannot count by"):
            top(source, key)
    with pytest.raises(QueryError, match="cannot count by 'year'"):
        series(source, "year")


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("ac", None, ["action:"]),
        ("-ca", None, ["category:"]),
        ("action:bl", None, ["block"]),
        ("action:block,re", None, ["redact", "review"]),
        ("tenant:", None, ['"Höhle & Co"', "acme"]),
        ("tenant:a", None, ["acme"]),
        ("rule:", None, ["card-number", "threat"]),
        ("rule:t", None, ["threat"]),
        ("rule:t action:block", 6, ["threat"]),
        ("queue:", None, ["harm"]),
        ("model:b", None, ["bundled/service-gpt"]),
        ("since:", None, ["24h", "7d", "30d"]),
        ("subject:s", None, []),
        ("colour:", None, []),
        ('tenant:"Hö', None, ['"Höhle & Co"']),
    ],
)
def test_completions_are_keys_and_values_of_the_ledger(source, text, position, expected):
    """At the end, or where the cursor is."""
    found = complete(source, text, position)
    assert [one.text for one in found if one.text != "actor:"] == expected
    for one in found:
        assert text[one.start : one.end] in ("", text[one.start :].split(" ")[0])


@given(st.text(max_size=20), st.integers(-3, 25))
@settings(deadline=None, max_examples=50)
def test_any_text_can_be_completed(source, text, position):
    """Whatever is written so far: a completion takes the place of a part of it."""
    assert all(0 <= one.start <= one.end <= len(text) for one in complete(source, text, position))


def test_completions_of_a_tenant_are_its_own(source):
    """Values that only others have are not offered."""
    assert [one.text for one in complete(source, "tenant:", tenant="acme")] == ["acme"]
    assert [one.text for one in complete(source, "queue:", tenant="Höhle & Co")] == []
    assert [one.text for one in complete(source, "queue:", tenant="acme")] == ["harm"]


def test_a_ledger_of_before_gains_the_indexes_when_it_is_written(url, path):
    """Readers and the verifier do without; so do queries."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        opened.append_sync(decision())
    with sqlite3.connect(path) as connection:
        for name in LATER_INDEXES:
            connection.execute(f"DROP INDEX {name}")
        connection.execute("CREATE INDEX ix_term_value ON term (name, value, idx)")
        connection.execute("DROP TABLE schema_version")
    assert len(query(url, "tenant:acme action:redact").rows) == len(query(url, "kind:config").rows) == 1
    assert verify(url).ok
    with open_ledger(url) as opened:
        opened.append_sync(decision(number=1))
    with sqlite3.connect(path) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert names >= LATER_INDEXES
    assert "ix_term_value" not in names
    assert verify(url).ok
    assert Path(path).exists()


def test_values_that_only_this_program_writes_are_completed(ledger, url):
    """Steps, outcomes, codes, and what was rotated; also where no entry has them yet."""
    for text, expected in (
        ("step:ca", ["canary"]),
        ("step:re", ["release", "retire"]),
        ("outcome:", ["release", "withhold"]),
        ("what:l", ["log"]),
        ("code:missed", ["missed_harm"]),
    ):
        assert [one.text for one in complete(url, text)] == expected
    assert len(complete(url, "step:", most=50)) == 15
