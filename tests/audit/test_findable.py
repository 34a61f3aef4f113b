"""Texts that a database cannot store, or not index: found by what they are, on both databases, and kept as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_examples import DOCUMENT, REVISION, decision

from audit.erasure import erase
from audit.events import Event
from audit.findable import MOST, findable
from audit.ledger import open_ledger
from audit.query import query, show
from audit.verify import verify
from guard.types import Action

NAMES = {
    "a NUL": "acme\x00corp",
    "only NULs": "\x00\x00",
    "its replacement": "acme\ufffdcorp",
    "as long as it may be": "x" * MOST,
    "one byte more": "x" * (MOST + 1),
    "too long for an index": "y" * 3000,
    "long, of many bytes": "公" * 1000,
    "long, in pairs of surrogates elsewhere": "😀" * 400,
    "long with NULs": "z\x00" * 800,
}


@settings(max_examples=50)
@given(st.text(max_size=1500) | st.text("x\x00公😀", min_size=900, max_size=1200))
def test_it_is_short_without_nul_and_of_itself_itself(text):
    """Of any text; what is short and has no NUL stays as it is."""
    found = findable(text)
    assert len(found.encode()) <= MOST
    assert "\x00" not in found
    assert findable(found) == found
    if len(text.encode()) <= MOST and "\x00" not in text:
        assert found == text


@settings(max_examples=50)
@given(st.text("ab公", min_size=1001, max_size=1100), st.integers(0, 1000))
def test_long_texts_that_differ_stay_apart(text, place):
    """Wherever the difference is, the end included."""
    other = text[:place] + "c" + text[place + 1 :]
    assert findable(text) != findable(other)
    assert findable(text) != findable(text + "a")
    assert findable(text)[:280] == text[:280], "its beginning can still be read"


def named(number: int, name: str):
    """A decision in which everything that callers name has this name."""
    made = decision(Action.ALLOW, number=number, tenant=name, subject=name)
    request = replace(made.request, id=name, actor=name)
    origin = replace(made.content.origin, generator=name, model=name)
    content = replace(made.content, request=request, origin=origin)
    context = replace(made.context, generator=name)
    return replace(made, content=content, released=content, request=request, context=context)


@pytest.fixture
def filled(ledger):
    """A ledger with a decision of each name; their indices."""
    return {key: ledger.append_sync(named(number, name)).index for number, (key, name) in enumerate(NAMES.items())}


def test_each_is_found_by_its_whole_text(filled, url):
    """Whatever it names, and by no other text, but that a NUL and its replacement are one."""
    alike = {filled["a NUL"], filled["its replacement"]}
    for column in ("tenant", "subject", "request", "actor", "generator", "model"):
        for key, index in filled.items():
            found = {row.idx for row in query(url, **{column: [NAMES[key]]}).rows}
            assert found == (alike if index in alike else {index}), (column, key)
        rest = {row.idx for row in query(url, f"-{column}:{'x' * MOST}", limit=100).rows}
        assert rest == {*filled.values()} - {filled["as long as it may be"]}


def test_the_log_says_the_text_as_it_was(filled, url):
    """In the body, which the columns follow from: the verifier derives each again."""
    for key, index in filled.items():
        shown = show(url, index, reveal=True)
        assert shown.decision.request.tenant == shown.decision.request.subject == NAMES[key]
        assert shown.payloads[0].data is not None
    report = verify(url)
    assert (report.exit_code, report.checked["payloads_opened"]) == (0, len(NAMES))


@pytest.mark.parametrize("key", ["a NUL", "long, of many bytes"])
def test_a_subject_of_any_name_can_be_erased(filled, ledger, url, key):
    """And none else, but for one that has its replacement for a NUL: they share a key."""
    done = erase(ledger, NAMES[key], actor="ann", reason="asked for")
    alike = {"a NUL", "its replacement"} if key == "a NUL" else {key}
    assert (done.count("keys"), done.count("payloads")) == (1, len(alike))
    for other, index in filled.items():
        assert (show(url, index, reveal=True).payloads[0].data is None) == (other in alike), other
    assert verify(url).exit_code == 3


def test_terms_and_events_of_any_text_are_found(ledger, url):
    """What persons write, and ids of others."""
    long = "purpose " + "p" * 2990
    made = decision(number=1)
    request = replace(made.request, purpose=long, consent="c\x00d")
    made = replace(made, request=request, content=replace(made.content, request=request))
    index = ledger.append_sync(made).index
    event = ledger.record_sync(
        Event("hold", "eve\x00", {"step": "set", "hold": "case " + "9" * 2500, "query": "x"}, reason="r")
    )
    assert [row.idx for row in query(url, purpose=[long]).rows] == [index]
    assert [row.idx for row in query(url, consent=["c\x00d"]).rows] == [index]
    assert [row.idx for row in query(url, kind=["hold"], actor=["eve\x00"]).rows] == [event]
    assert [row.idx for row in query(url, kind=["hold"], hold=["case " + "9" * 2500]).rows] == [event]
    assert query(url, purpose=[long[:-1]]).rows == ()
    assert verify(url).ok


def test_a_policy_of_a_long_name_is_one(url):
    """It is activated once, and decisions of it find it."""
    name = "house " * 300
    with open_ledger(url) as opened:
        opened.activate_sync(name, 4, REVISION, DOCUMENT)
        opened.activate_sync(name, 4, REVISION, DOCUMENT)
        made = decision()
        index = opened.append_sync(replace(made, verdict=replace(made.verdict, policy=name))).index
    assert index == 2
    assert [row.idx for row in query(url, policy=[name]).rows] == [2]
    assert show(url, 2).document == DOCUMENT
    assert verify(url).ok
