"""The search of the `pii` check finds what plain Presidio finds with the same recognizers: types, places and scores."""

from __future__ import annotations

import random
import re

import phonenumbers
import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from guard.checks import pii_search
from guard.checks.pii import _LONG_RUN, _PLAIN
from guard.checks.pii_engine import NATIONAL, PresidioSearch, build, may_be_number_of
from guard.checks.pii_names import MODEL_LABELS, load_names
from guard.checks.pii_patterns import BY_LANGUAGE, GENERIC, PHONE_REGIONS
from guard.checks.pii_search import PatternSearch, without_contained
from guard.checks.pii_words import Words
from guard.errors import ModelError
from guard.text.beginnings import _PLACES, Beginnings, begins_a_word
from tests.checks.pii_texts import CHINESE, CUES, NOISE, VALUES, WORDS, texts

LANGUAGES = ("en", "zh")
ODD = (
    *NOISE, "\n\n", " \n ", "\r\n", "  \t ", ":", "a:b", "12:30:45 ", "x:the ", ":-)", ":D", ": )", "8)", "0.0", "0-0", "0_0",
    "(", "（", "+", "#", "'s ", "’s ", "don't ", "U.S. ", "e.g. ", "http://a.b/c:d ", "x" * 70, "é", "Ä", "ß", "ß-", "号",
    "路8号", "１", "٣", "card:", "SSN:", "tel:", "…", "–", "·", "*", "%", "@", "://", "::", "-", ".", "/", "0x", "bc1",
)  # fmt: skip
SPECS = (*GENERIC, *BY_LANGUAGE["en"], *BY_LANGUAGE["zh"])
PATTERNS = sorted({(pattern, spec.ignore_case) for spec in SPECS for pattern, _ in spec.patterns} | {(NATIONAL.pattern, False)})


@pytest.fixture(scope="module")
def engine():
    """Presidio with all recognizers in both languages, without a model for names."""
    return build(LANGUAGES, {}, ())


@pytest.fixture(scope="module")
def search(engine):
    """Ours, for the same."""
    return PatternSearch(LANGUAGES, {}, (), {one for language in LANGUAGES for one in engine.get_supported_entities(language)})


def _plain(engine, text):
    found = [one for language in LANGUAGES for one in engine.analyze(text, language)]
    return sorted(
        (one.start, one.end, one.entity_type, one.score, one.recognition_metadata["recognizer_name"]) for one in found
    )


def _compare(engine, search, sample):
    hits = 0
    for text in sample:
        plain = text.translate(_PLAIN)
        expected = _plain(engine, plain)
        assert sorted(map(tuple, search.found(plain))) == expected, text
        hits += bool(expected)
    return hits


@pytest.mark.timeout(600)
def test_findings_are_those_of_plain_presidio(engine, search):
    """Texts with and without personal data, some of it damaged; the longer ones hold several of these."""
    sample = texts(420, seed=21)
    assert _compare(engine, search, [*sample[:300], *map(" ".join, zip(*[iter(sample[300:])] * 6, strict=True))]) > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_findings_are_those_of_plain_presidio_over_ten_thousand_texts(engine, search):
    """The sample of the prefilter's test, and another of longer texts."""
    assert _compare(engine, search, texts(10_000, seed=7)) > 4000
    longer = texts(2000, seed=31)
    assert _compare(engine, search, map(" ".join, zip(*[iter(longer)] * 10, strict=True))) > 150


_PIECES = st.one_of(
    st.sampled_from(VALUES), st.sampled_from(CUES), st.sampled_from(WORDS), st.sampled_from(CHINESE), st.sampled_from(ODD)
)
_NEAR = st.builds(
    lambda value, place, sign: value[: place % len(value)] + sign + value[place % len(value) + 1 :],
    st.sampled_from(VALUES),
    st.integers(0, 60),
    st.sampled_from([*"0123456789ABx .-/:", ""]),
)
_DIGITS = st.from_regex(r"[+(]?[0-9]{1,6}([ ./()-]{0,2}[0-9]{1,5}){0,4}", fullmatch=True)
_TEXT = st.lists(st.tuples(_PIECES | _NEAR | _DIGITS, st.sampled_from(("", " ", " ", " ", "\n", "，"))), max_size=24).map(
    lambda parts: "".join(map("".join, parts))
)


@pytest.mark.timeout(600)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("the card x:the on 4539 1488 0343 6467")
@example("passport\n\n \n E12345678 and more")
@example("Mastercard 4539 1488 0343 6467, creditcard 4111-1111-1111-1111")
@example(", plate AB12 CDE;  account 48213377")
@given(_TEXT)
def test_findings_are_those_of_plain_presidio_on_any_text(engine, search, text):
    """Personal data, near misses and noise in English and Chinese, in any order."""
    _compare(engine, search, [text])


def test_names_and_patterns_are_weighed_together_as_by_presidio():
    """With the bundled taggers, whose addresses may lie in those of patterns, and the other way round."""
    models, _ = load_names(LANGUAGES, None)
    entities = {spec.entity for spec in SPECS} | set(MODEL_LABELS.values())
    given_ = (LANGUAGES, models, ("DE",), entities, lambda text: _LONG_RUN.sub(r"\1 ", text))
    sample = [
        *texts(120, seed=9),
        "王小明和李娜明天去杭州",
        "Maria Keller lives at 12 Harbour Street, Leeds",
        "x" * 200 + " SSN 536-22-8471",
    ]
    sample = [text.translate(_PLAIN) for text in sample]
    ours, theirs = PatternSearch(*given_)(sample), PresidioSearch(*given_)(sample)
    for text, mine, plain in zip(sample, ours, theirs, strict=True):
        assert sorted(mine) == sorted(plain), text


@pytest.mark.timeout(300)
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted({region for regions in PHONE_REGIONS.values() for region in regions} | {"JE", "KZ", "AR"})),
    st.sampled_from(("", "0", "00", "011", "(0", "1")),
    st.integers(0, 9),
    st.lists(st.tuples(st.integers(0, 13), st.sampled_from("0123456789 -")), max_size=2),
)
def test_no_number_of_a_region_is_ruled_out_by_its_last_digits(region, prefix, kind, changes):
    """Examples of each kind of number, with prefixes and other digits."""
    number = phonenumbers.example_number_for_type(region, kind)
    if number is None:
        return
    for form in (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL):
        written = list(re.sub("[^0-9 ()./-]", "", prefix + phonenumbers.format_number(number, form)))
        for place, sign in changes:
            written[place % len(written)] = sign
        text = "".join(written)
        try:
            valid = phonenumbers.is_valid_number_for_region(phonenumbers.parse(text, region), region)
        except phonenumbers.NumberParseException:
            valid = False
        assert may_be_number_of(region, text) or not valid, text


def test_of_equal_results_the_outer_one_is_kept():
    """As Presidio keeps them: the same type, inside, and no stronger."""
    found = pii_search.Found
    outer, inner, stronger = found(0, 9, "A", 0.5, "x"), found(2, 5, "A", 0.5, "y"), found(2, 5, "A", 0.6, "y")
    other = found(2, 5, "B", 0.1, "z")
    assert without_contained([inner, other, outer]) == [outer, other]
    assert without_contained([stronger, outer]) == [stronger, outer]
    assert without_contained([found(0, 1, "A", 0, "x")]) == []


def test_what_takes_too_long_is_an_error(monkeypatch, search):
    """A text that is not read to the end must not look clean."""
    monkeypatch.setattr(pii_search, "_FREE_S", 0.0)
    monkeypatch.setattr(pii_search, "_TIMEOUT_S", 0.0)
    with pytest.raises(ModelError, match="took longer than"):
        search.found("call me at +1 415 555 0134")


def test_nothing_begins_where_no_digit_follows(search):
    """Behind `since` there is none: of what needs digits nothing can be found."""
    text = "536-22-8471 is her SSN, write to maria@example.com"
    assert {one.entity for one in search.found(text, since=20)} == {"EMAIL_ADDRESS"}


@pytest.mark.parametrize(("pattern", "ignore_case"), PATTERNS)
def test_matches_begin_at_places_that_are_named(pattern, ignore_case):
    """Every match in the sample, of every expression that is tried at some places only."""
    flags = regex.IGNORECASE if ignore_case else 0
    if not begins_a_word(pattern, flags):
        return
    beginnings = Beginnings([(pattern, flags)])
    compiled = regex.compile(pattern, flags)
    for text in (one.translate(_PLAIN) for one in texts(250, seed=5)):
        places = beginnings.places(text, len(text)).get(0, [])
        assert {match.start() for match in compiled.finditer(text)} <= set(places), text


def test_expressions_that_are_tried_at_some_places_begin_nowhere_else():
    """Every pair of a character and the one before it that is no such place, with what matches put behind it."""
    draw = random.Random(3)
    signs = [chr(code) for code in range(32, 127)]
    for pattern, ignore_case in PATTERNS:
        flags = regex.IGNORECASE if ignore_case else 0
        if not begins_a_word(pattern, flags):
            continue
        compiled = regex.compile(pattern, flags)
        values = [one for one in VALUES if compiled.search(one)] or VALUES
        for before in draw.sample(signs, 30):
            for value in draw.sample(list(values), min(3, len(values))):
                text = before + value
                starts = {match.start() for match in _PLACES.finditer(text)}
                assert all(match.start() in starts for match in compiled.finditer(text)), (pattern, text)


def test_an_expression_that_may_begin_inside_a_word_is_searched_for():
    """So are those that may begin with a space; look-arounds say nothing about the characters of a match."""
    assert begins_a_word(r"(?<![0-9A-Za-z])[a-z]+[0-9]")
    assert begins_a_word(r"(?<![A-Za-z])(?i:card)[^0-9]{0,9}[0-9]")
    assert begins_a_word(r"(?:电话|手机)[0-9]+")
    assert begins_a_word(r"(?<=电)话[0-9]")
    assert not begins_a_word(r"card[0-9]")
    assert not begins_a_word(r"(?<![A-Za-z])[0-9]+")
    assert not begins_a_word(r"(?<![0-9A-Za-z])[ ]?[0-9]+")
    assert not begins_a_word(r"(?!a)[a-z]")


def test_expressions_whose_matches_begin_with_a_word_do():
    """`first` of their needs: each alternative at their beginning is one of the words."""
    specs = [spec for spec in SPECS if spec.needs.first]
    assert {spec.name for spec in specs} == {"CardCue"}
    for spec in specs:
        for pattern, _ in spec.patterns:
            cues = re.match(r"\(\?i:([^()]+)\)", pattern)
            assert cues is not None
            assert set(cues.group(1).split("|")) == set(spec.needs.words)


@pytest.mark.timeout(300)
@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*ODD, *WORDS, *VALUES, *CHINESE, " ", " ", " "]), max_size=30).map("".join), st.data())
def test_words_around_a_match_are_those_of_presidio(engine, text, data):
    """White space, marks, stop words and colons included."""
    text = text.translate(_PLAIN)
    places = [place for place, sign in enumerate(text) if not sign.isspace()]
    if not places:
        return
    start = data.draw(st.sampled_from(places))
    for language in LANGUAGES:
        artifacts = engine.nlp_engine.process_text(text, language)
        expected = engine.context_aware_enhancer._extract_surrounding_words(artifacts, "", start)
        got = Words(engine.nlp_engine.nlp[language]).around(text, start)
        # Numbers raise no score, and are not told apart.
        assert {re.sub("[1-9]", "0", one) for one in got} == {re.sub("[1-9]", "0", one) for one in expected}
