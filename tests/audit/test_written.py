"""The fast way to a decision's entry, held equal to the one that defines it."""

from __future__ import annotations

import hmac
import os
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_examples import decision

from audit import merkle
from audit.body import decision_body
from audit.canonical import MAX_INTEGER
from audit.projected import project, terms
from audit.randomness import Random
from audit.transaction import decision_draft, draft_of
from audit.vault import Vault
from guard.errors import LedgerError
from guard.types import (
    NONE,
    Action,
    CheckResult,
    Content,
    Context,
    Decision,
    Edit,
    Ending,
    Finding,
    FiredRule,
    Mark,
    Match,
    Modality,
    Origin,
    Region,
    Request,
    Reviewed,
    Shadow,
    Span,
    Stage,
    Status,
    Streamed,
    StreamMode,
    Verdict,
)

TRICKY = (
    "",
    '"',
    "\\",
    "/",
    "\x00\x1f\x7f",
    "\u2028\u2029",
    "é",
    "e\u0301",
    "\ufeff",
    "\uffff",
    "\U0001f600",
    "\b\f\n\r\t",
    "n" * 300,
    "é" * 600,
)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(TRICKY)
NUMBER = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.integers(0, 1000)
ZONES = st.sampled_from([UTC, timezone(timedelta(0)), timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=8))])
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001 - `timezones` gives them one
PLACES = st.builds(Span, NUMBER, NUMBER) | st.builds(Region, NUMBER, NUMBER, NUMBER, NUMBER)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)


def few(values):
    """A tuple of some."""
    return st.lists(values, max_size=2).map(tuple)


MATCHES = st.builds(Match, TEXT, TEXT, TEXT, TEXT, NUMBER, NUMBER, TEXT, TEXT, st.none() | PLACES)
FINDINGS = st.builds(Finding, TEXT, TEXT, NUMBER, st.none() | PLACES, st.none() | MATCHES, TEXT)
RESULTS = st.builds(
    CheckResult, TEXT, TEXT, TEXT, TEXT, st.sampled_from(Status), few(FINDINGS), st.none() | PLACES, NUMBER, TEXT
)
FIRED = st.builds(FiredRule, TEXT, TEXT, st.sampled_from(Action), TEXT, TEXT, TEXT, TEXT)
EDITS = st.builds(Edit, PLACES, TEXT, TEXT, TEXT, PAIRS)
VERDICTS = st.builds(Verdict, st.sampled_from(Action), few(FIRED), TEXT, TEXT, NUMBER, TEXT, few(EDITS), PAIRS)
REQUESTS = st.builds(Request, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT)
SAID = st.just(NONE) | TEXT
CONTEXTS = st.builds(
    Context, st.sampled_from(Stage), st.sampled_from(Modality), TEXT, TEXT, TEXT, NUMBER, st.none(), SAID, SAID
)
STREAMS = st.builds(Streamed, st.sampled_from(StreamMode), st.sampled_from(Ending), NUMBER, NUMBER, NUMBER)
ORIGINS = st.builds(Origin, TEXT, TEXT, TEXT, PAIRS)
DATA = st.tuples(st.just(Modality.TEXT), TEXT) | st.tuples(st.just(Modality.IMAGE), st.binary(max_size=8))
CONTENTS = st.builds(
    lambda data, kind, stage, origin, request: Content(*data, kind, stage, origin, request),
    DATA,
    TEXT,
    st.sampled_from(Stage),
    ORIGINS,
    REQUESTS,
)
DECISIONS = st.builds(
    Decision,
    id=st.uuids(),
    time=TIMES,
    content=st.none() | CONTENTS,
    context=st.builds(
        Context, st.sampled_from(Stage), st.sampled_from(Modality), TEXT, TEXT, TEXT, NUMBER, st.none(), SAID, SAID
    ),
    request=REQUESTS,
    results=few(RESULTS),
    verdict=VERDICTS,
    released=st.none() | CONTENTS,
    marks=few(st.builds(Mark, TEXT, TEXT, TEXT, st.booleans(), TEXT)),
    parent=st.none() | st.uuids(),
    shadows=few(st.builds(Shadow, VERDICTS, few(RESULTS))),
    reviewed=st.none() | st.builds(Reviewed, st.uuids(), TIMES, few(TEXT), TEXT, TEXT, NUMBER),
    stream=st.none() | STREAMS,
)
COPIES = st.dictionaries(st.sampled_from(["exact", "folded"]), TEXT)


def commitments(part: str) -> dict[str, object]:
    """What a body says of a payload."""
    return {"part": part, "bytes": len(part), "commit": "0f" * 32, "sealed": "1e" * 32}


PAYLOADS = {"original": commitments("original"), "released": commitments("released")}


@settings(deadline=None, max_examples=60)
@given(DECISIONS, COPIES)
def test_any_decision_gets_the_bytes_of_rfc_8785_and_the_columns_and_terms_of_its_body(made, copies):
    """Texts with every trouble of Unicode, images, matches, shadows, what persons released: one entry, both ways."""
    body = decision_body(made, PAYLOADS, copies)
    draft = decision_draft(made, PAYLOADS, copies)
    assert draft.columns["body"] == rfc8785.dumps(body)
    assert draft.leaf == sha256(b"\x00" + rfc8785.dumps(body)).digest() == draft.columns["leaf"]
    assert {name: value for name, value in draft.columns.items() if name not in {"leaf", "body"}} == project(body)
    assert draft.terms == terms(body)
    slow = draft_of(body)
    assert (draft.leaf, list(draft.columns.items()), draft.terms) == (slow.leaf, list(slow.columns.items()), slow.terms)


@pytest.mark.parametrize("action", list(Action))
def test_the_examples_get_the_same_entry(action):
    """A quick look without Hypothesis."""
    made = decision(action)
    draft, slow = decision_draft(made, PAYLOADS, {}), draft_of(decision_body(made, PAYLOADS))
    assert (draft.leaf, draft.columns, draft.terms) == (slow.leaf, slow.columns, slow.terms)


NOT_RECORDED = {"Content": {"making", "turns", "transcript"}, "Context": {"time"}, "Decision": {"fingerprint"}}
KNOWN = {
    Match: 9,
    Finding: 6,
    CheckResult: 9,
    FiredRule: 7,
    Edit: 5,
    Verdict: 8,
    Request: 8,
    Origin: 4,
    Context: 8,
    Mark: 5,
    Shadow: 2,
    Reviewed: 6,
    Streamed: 5,
    Content: 6,
    Decision: 13,
}


@pytest.mark.parametrize("made", list(KNOWN), ids=lambda made: made.__name__)
def test_a_new_field_is_written_both_ways(made):
    """Whoever records another field adds it to `audit.body`, to `audit.written`, to the strategies above, and here."""
    recorded = {one.name for one in fields(made)} - NOT_RECORDED.get(made.__name__, set())
    assert len(recorded) == KNOWN[made]


def broken(made: Decision, **change: object) -> Decision:
    """The decision with a wrong value in its first result's first finding."""
    result = made.results[0]
    return replace(made, results=(replace(result, findings=(replace(result.findings[0], **change),)),))


@pytest.mark.parametrize("score", [0.5, None, 2**53, -(2**53), float("nan")])
def test_a_value_that_no_body_holds_is_refused_by_name(score):
    """As on the way that defines it: nothing is written that two programs may read differently."""
    with pytest.raises(LedgerError, match="score: found"):
        decision_draft(broken(decision(), score=score), PAYLOADS, {})


@pytest.mark.parametrize("change", [{"reason": "\ud800"}, {"label": "a\udfffb"}, {"category": None}, {"reason": b"x"}])
def test_a_text_that_is_none_is_refused(change):
    """A lone surrogate is no Unicode text; bytes and None are no text."""
    with pytest.raises(LedgerError):
        decision_draft(broken(decision(), **change), PAYLOADS, {})


def test_what_another_type_says_is_written_as_it_always_was():
    """A boolean for a number, a number for a text: nobody should, and the bytes are those of before."""
    for change in ({"score": True}, {"reason": 7}):
        made = broken(decision(), **change)
        draft, slow = decision_draft(made, PAYLOADS, {}), draft_of(decision_body(made, PAYLOADS))
        assert (draft.leaf, draft.columns, draft.terms) == (slow.leaf, slow.columns, slow.terms)


@pytest.mark.parametrize("size", [0, 1, 2045, 2046, 2047, 2048, 4093, 4094, 16375, 16376, 16377, 100_000])
def test_a_leaf_is_the_hash_of_its_body_however_long(size):
    """Hashing in pieces ends in the same hash."""
    body = bytes(number % 251 for number in range(size))
    assert merkle.leaf_hash(body) == sha256(b"\x00" + body).digest()


@given(st.binary(), st.sampled_from(["exact", "folded"]))
def test_a_tag_is_the_hmac_that_the_format_names(plaintext, name):
    """Written out, with the states of both hashes kept between tags."""
    vault = Vault(bytes(range(32)))
    expected = hmac.new(vault._tags, b"genguard/v1/copy-tag\x00" + name.encode() + b"\x00" + plaintext, sha256)
    assert vault.tag(name, plaintext) == vault.tag(name, plaintext) == expected.hexdigest()[:32]


def test_random_bytes_are_given_once():
    """Across draws of the stock, in any sizes."""
    random = Random()
    given_out = [random.take(count) for _ in range(300) for count in (120, 32)]
    assert [len(one) for one in given_out[:2]] == [120, 32]
    assert len({one[:32] for one in given_out}) == len(given_out)


def test_a_child_gives_none_of_its_parents_random_bytes():
    """The stock is copied by a fork; what is in it must not be used twice."""
    random = Random()
    random.take(8)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, random.take(64))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        theirs = stream.read()
    os.waitpid(child, 0)
    assert len(theirs) == 64
    assert random.take(64) != theirs
