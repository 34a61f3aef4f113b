"""What a query may say, and how it is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.grammar import KEYS, MAX_LENGTH, Filter, QueryError, about, make_filter, parse, quoted

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
PIECES = st.sampled_from(
    [*KEYS, ":", "-", '"', ",", "..", ">=", "<", " ", "block", "2026-11-01", "7d", "100", "x\u4e2d", "\ud800"]
)


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
def test_any_text_is_a_query_or_a_mistake_within_it(text):
    """And nothing else; the caret is never beyond the end."""
    found, mistake = read(text)
    if mistake is not None:
        assert 0 <= mistake.position <= len(text)
        assert mistake.diagnostics()
    assert all(one.key in KEYS and one.values and all(one.values) for one in found)


def read(text):
    """Filters, and the mistake if there is one."""
    try:
        return parse(text, now=NOW), None
    except QueryError as error:
        return (), error


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), st.booleans())
def test_any_value_can_be_written(value, excluded):
    """In quotation marks, if need be."""
    found = parse(f"{'-' * excluded}tenant:{quoted(value)} {quoted(value)}")
    assert found == (Filter("tenant", (value,), excluded), Filter("text", (value,)))


def test_bare_words_are_looked_for_each_and_phrases_as_a_whole():
    """With a minus: not there."""
    assert parse('no "no answer" -timeout text:a,b') == (
        Filter("text", ("a", "b")),
        Filter("text", ("no",)),
        Filter("text", ("no answer",)),
        Filter("text", ("timeout",), excluded=True),
    )


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026-11-01..2026-11-07", "2026-11-01T00:00:00", "2026-11-08T00:00:00"),
        ("2026-11-22", "2026-11-22T00:00:00", "2026-11-23T00:00:00"),
        ("2026-12", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("2026", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        (">=2026-11-01", "2026-11-01T00:00:00", ""),
        (">2026-11-01", "2026-11-02T00:00:00", ""),
        ("<2026-11-01", "", "2026-11-01T00:00:00"),
        ("<=2026-11-01", "", "2026-11-02T00:00:00"),
        ("2026-11-01T09:30..", "2026-11-01T09:30:00", ""),
        ("..2026-11-01T09:30:00+01:00", "", "2026-11-01T08:30:00.000001"),
        ("7d..1d", "2026-11-20T12:00:00", "2026-11-26T12:00:00.000001"),
        (">=90m", "2026-11-27T10:30:00", ""),
    ],
)
def test_ranges_of_times(text, low, high):
    """Both ends belong to a range; what stands for a day, month or year is all of it."""
    whole = "..".join(f"{end}{'' if '.' in end else '.000000'}Z" if end else "" for end in (low, high))
    assert parse(f"created:{text}", now=NOW) == (Filter("created", (whole,)),)


@pytest.mark.parametrize(("text", "expected"), [("5", "5..5"), ("5..7", "5..7"), ("5..", "5.."), ("<5", "..4"), (">5", "6..")])
def test_ranges_of_numbers(text, expected):
    """Both ends belong to it."""
    assert parse(f"idx:{text} -version:{text}") == (Filter("idx", (expected,)), Filter("version", (expected,), excluded=True))


def test_since_takes_how_long_ago():
    """Days, hours, minutes, weeks."""
    assert parse("since:7d until:12h", now=NOW) == (
        Filter("since", ("2026-11-20T12:00:00.000000Z",)),
        Filter("until", ("2026-11-27T00:00:00.000000Z",)),
    )


@pytest.mark.parametrize(("wrong", "right"), [("categroy:x", "category"), ("polcy:x", "policy"), ("action:blok", "block")])
def test_what_was_meant_is_suggested(wrong, right):
    """For keys and for values."""
    with pytest.raises(QueryError) as caught:
        parse(wrong)
    assert f"Did you mean {right}?" in caught.value.advice


@pytest.mark.parametrize(
    "text", ["a" * (MAX_LENGTH + 1), "tenant:\0", "created:9999-12-31", "idx:99999999999999999", "idx:\u0665"]
)
def test_what_cannot_be_asked_is_refused(text):
    """Too long, no text, beyond the calendar, beyond all numbers, digits of another script."""
    with pytest.raises(QueryError):
        parse(text)


def test_what_kinds_of_entry_a_query_is_about():
    """Decisions, unless it says of what."""
    assert about(parse("action:block")) == ("decision",)
    assert about(parse("bank:works")) == ("bank_change",)
    assert {"review", "appeal"} <= set(about(parse("outcome:overruled")))
    assert about(parse("kind:review,appeal outcome:x")) == ("review", "appeal")
    assert about(parse("kind:any")) == about(parse("-kind:config")) == ()


def test_names_and_values_are_checked_as_text_is():
    """For programs."""
    assert make_filter("idx", (">=5",)) == Filter("idx", ("5..",))
    with pytest.raises(QueryError, match="unknown filter"):
        make_filter("colour", ("red",))
    with pytest.raises(QueryError, match="has no value"):
        make_filter("tenant", ("",))
