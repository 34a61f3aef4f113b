"""Finding entries, against a reference that looks at each body."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_examples import DOCUMENT, REVISION, decision, picture, verdict

from audit import search
from audit.events import Event
from audit.grammar import COLUMNS, PREFIXES, RANGES, TERMS, about, parse
from audit.ledger import open_ledger
from audit.projected import project, terms
from audit.query import query, show
from audit.reasons import reasons
from guard.types import Action

START = datetime(2026, 11, 20, tzinfo=UTC)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Bodies(dict):
    """Bodies by index."""

    def __repr__(self) -> str:
        return "bodies"


@pytest.fixture(scope="module")
def ledger(shared_url):
    """Sixty decisions, their times a little out of order, with reviews and reveals between: (URL, body by index)."""
    with open_ledger(shared_url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(60):
            action = list(Action)[number % 5]
            tenant, subject = ("acme", "Höhle & Co", "other")[number % 3], f"s{number % 7}"
            made = (
                picture(number, subject=subject)
                if number % 9 == 8
                else decision(action, number=number, tenant=tenant, subject=subject)
            )
            ruled = verdict(action, "threat", "violence") if number % 4 == 0 else made.verdict
            moment = START + timedelta(hours=number, minutes=(number * 37 % 11 - 5) * 30)
            one = UUID(int=(0xA0 + number) << 120)
            opened.append_sync(made if number % 9 == 8 else replace(made, id=one, time=moment, verdict=ruled))
            if number % 8 == 3:
                opened.record_sync(
                    Event("review", "ann", {"step": "claim", "queue": "harm"}, about=str(one), tenant=tenant, time=moment)
                )
            if number % 10 == 5:
                opened.record_sync(Event("hold", "bob", {"step": "set"}, reason="Case 7/26, asked by court", time=moment))
    return shared_url, Bodies({idx: show(shared_url, idx).body for idx in range(query(shared_url).size)})


def naive(bodies, text) -> list[int]:
    """Indices whose bodies every filter allows, newest first."""
    wanted = parse(text, now=NOW)
    kinds = about(wanted)
    found = [idx for idx, body in bodies.items() if all(holds(one, idx, body) for one in wanted if one.key != "kind")]
    found = [idx for idx in found if all(holds(one, idx, bodies[idx]) for one in wanted if one.key == "kind" and one.excluded)]
    return [idx for idx in reversed(found) if not kinds or bodies[idx]["kind"] in kinds]


def holds(one, idx, body) -> bool:
    """One filter on one entry."""
    if one.key == "since":
        return body["time"] >= one.values[0]
    if one.key == "until":
        return body["time"] < one.values[0]
    if one.key == "text":
        told = "\n".join(reasons(body)).casefold()
        return any(value.casefold() in told for value in one.values) != one.excluded
    if one.key in TERMS:
        return any((one.key, value) in terms(body) for value in one.values) != one.excluded
    columns = {"idx": idx, **project(body)}
    value = columns[COLUMNS.get(one.key) or RANGES[one.key]]
    return (value is not None and any(fits(one.key, value, wanted) for wanted in one.values)) != one.excluded


def fits(key, value, wanted) -> bool:
    """One value."""
    if key in RANGES:
        low, _, high = wanted.partition("..")
        if key == "created":
            return low <= value and (not high or value < high)
        return (not low or value >= int(low)) and (not high or value <= int(high))
    return value.startswith(wanted) if key in PREFIXES else value == wanted


def all_pages(url, text, limit, *, upwards=False) -> list[int]:
    """Every entry that paging gives, newest first."""
    seen, cursor = [], -1 if upwards else None
    while True:
        page = query(url, text, limit=limit, **({"after" if upwards else "before": cursor} if cursor is not None else {}))
        indices = [row.idx for row in page.rows]
        seen = indices + seen if upwards else seen + indices
        cursor = page.newer if upwards else page.older
        if cursor is None:
            return seen


QUERIES = (
    "", "action:block", "action:block,allow", "-action:block", "rule:threat", "-rule:threat", "category:violence,privacy",
    "tenant:acme", "-tenant:acme,other", "subject:s1", "subject:s1,s2 tenant:acme", "actor:ann kind:any", "modality:image",
    "mark:0000000000000007", "kind:review", "kind:any", "-kind:decision", "queue:harm", "step:claim", "step:set", "hold:x",
    "created:2026-11-20", "created:2026-11-20..2026-11-21", "created:<2026-11-21", "-created:2026-11-21", "created:>=12h",
    "since:1d", "until:2026-11-21", "since:2026-11-20T12:00 until:2026-11-21T12:00", "idx:10..20", "-idx:10..20", "idx:<5,50..",
    "version:4", "version:>4", "-version:4", "id:a2", "parent:0190", "parent:a3 kind:any", "revision:x", "policy:enterprise",
    "threat", "court kind:any", "COURT kind:hold", '"case 7/26"', '"case 7/26" kind:hold', "-threat", "card answer",
    "text:court,found", "request:req-5", "model:bundled/service-gpt", "generator:diffusion", "stage:prompt",
)  # fmt: skip


@pytest.mark.parametrize("text", QUERIES)
def test_each_filter_agrees_with_the_reference(ledger, text):
    """One page of all."""
    url, bodies = ledger
    assert [row.idx for row in query(url, _fixed(text), limit=500).rows] == naive(bodies, _fixed(text))


def _fixed(text: str) -> str:
    """Without what is counted from now."""
    return text.replace("12h", "2026-11-21T12:00").replace("1d", "2026-11-21")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(QUERIES), min_size=1, max_size=3), st.integers(1, 30), st.booleans(), st.sampled_from([0, 9]))
def test_pages_in_small_windows_agree_with_the_reference(path, ledger, monkeypatch, parts, limit, upwards, few):
    """Whatever is asked together, in both directions, with windows of a few entries and jumps to every time."""
    url, bodies = ledger
    text = _fixed(" ".join(parts))
    for name, value in {"_FIRST": 3, "_BATCH": 4, "_SMALLEST": 1, "_LARGEST": 16, "_FEW": few}.items():
        monkeypatch.setattr(search, name, value)
    if any(text.count(key) > 1 for key in ("since:", "until:")):
        return  # these take one time
    expected = naive(bodies, text)
    assert all_pages(url, text, limit, upwards=upwards) == expected


def test_a_search_that_takes_too_long_says_how_far_it_came(ledger, monkeypatch):
    """With a cursor; going on finds what one search would."""
    url, bodies = ledger
    monkeypatch.setattr(search, "_FIRST", 4)
    monkeypatch.setattr(search, "_LARGEST", 4)
    monkeypatch.setattr(search, "_FEW", 0)
    monkeypatch.setattr(search, "PATIENCE_S", 0.0)
    page = query(url, "rule:threat", limit=50)
    assert page.partial.startswith("0 s have passed: entries ")
    assert page.older == len(bodies) - 4
    assert all_pages(url, "rule:threat", 50) == naive(bodies, "rule:threat")
    assert all_pages(url, "rule:threat", 50, upwards=True) == naive(bodies, "rule:threat")


def test_words_are_looked_for_in_so_many_bodies(ledger, monkeypatch):
    """And then it is said."""
    url, bodies = ledger
    monkeypatch.setattr(search, "_BATCH", 5)
    monkeypatch.setattr(search, "MAX_BODIES", 10)
    assert "10 entries were read for words" in query(url, "nowhere").partial
    assert all_pages(url, "threat", 50) == naive(bodies, "threat")


def test_nothing_is_missed_when_times_are_out_of_order(url):
    """An entry that was recorded days after its time is found by it, and so are the others."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(40):
            late = number == 38
            opened.append_sync(replace(decision(number=number), time=START + timedelta(days=1 if late else number)))
    for text in (
        "created:2026-11-21",
        "until:2026-11-22",
        "created:2026-11-20..2026-11-24",
        "created:>=2026-12-20",
        "since:2026-11-21",
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "_FIRST", 3)
            found = [row.idx for row in query(url, text).rows]
        moments = {idx: show(url, idx).body["time"] for idx in range(2, 42)}
        (one,) = parse(text)
        assert found == [idx for idx in reversed(moments) if holds(one, idx, {"time": moments[idx], **BARE})]


BARE = {"kind": "config"}
