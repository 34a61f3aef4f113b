"""The prefilter of the `pii` check saves time and changes no finding: compared with plain Presidio, text by text."""

from __future__ import annotations

from re import _parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.checks.pii import _PLAIN
from guard.checks.pii_engine import build, prefilter
from guard.checks.pii_names import load_names
from guard.checks.pii_patterns import BY_LANGUAGE, GENERIC
from guard.checks.pii_prefilter import WIDEST, Prefilter, traits
from guard.checks.pii_spec import Needs
from tests.checks.pii_texts import texts

LANGUAGES = ("en", "zh")


@pytest.fixture(scope="module")
def engine():
    """All recognizers in both languages, without a model for names."""
    return build(LANGUAGES, {}, ())


def _found(engine, text, language, entities):
    """What plain Presidio finds of some entity types."""
    results = engine.analyze(text, language, entities) if entities else []
    return sorted(
        (one.start, one.end, one.entity_type, one.score, one.recognition_metadata["recognizer_name"]) for one in results
    )


def _compare(engine, sample, models=None):
    spared = asked = hits = 0
    for place, language in enumerate(LANGUAGES):
        entities = sorted(engine.get_supported_entities(language))
        possible = prefilter(language, place == 0, entities, models or {})
        for text in sample:
            plain = text.translate(_PLAIN)
            some = possible.possible(plain)
            expected = _found(engine, plain, language, entities)
            assert expected == _found(engine, plain, language, some), text
            asked, spared, hits = asked + len(entities), spared + len(entities) - len(some), hits + bool(expected)
    assert hits > len(sample) / 3  # the comparison is about something
    assert spared > asked / 3


@pytest.mark.timeout(600)
def test_findings_are_those_of_plain_presidio(engine):
    """The same engine and recognizers, each run with all entity types and with those that the prefilter leaves."""
    _compare(engine, texts(1500, seed=5))


def test_names_that_only_a_model_finds_are_never_filtered_out():
    """With the bundled taggers: their names have no pattern whose needs could be asked."""
    models, _ = load_names(LANGUAGES, None)
    sample = [*texts(120, seed=9), "王小明和李娜明天去杭州", "Maria Keller lives in Leeds"]
    _compare(build(LANGUAGES, models, ()), sample, models)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_findings_are_those_of_plain_presidio_over_ten_thousand_texts(engine):
    """The whole sample."""
    _compare(engine, texts(10_000, seed=7))


def test_every_entity_type_occurs_in_the_sample(engine):
    """Nothing is equal only because nothing was there."""
    found = set()
    for text in texts(1500, seed=5):
        for language in LANGUAGES:
            found |= {one.entity_type for one in engine.analyze(text.translate(_PLAIN), language)}
    specs = {spec.entity for spec in (*GENERIC, *BY_LANGUAGE["en"], *BY_LANGUAGE["zh"])}
    assert specs - found == set()


@given(st.text(alphabet="0123456789abK٣ſ -.()@/，", max_size=60))
def test_runs_are_counted_as_their_definition_says(text):
    """Digits with at most three characters between two, none of them an ASCII letter or digit."""
    longest = run = gap = 0
    for character in text:
        if character in "0123456789":
            run, gap = run + 1, 0
            longest = max(longest, run)
        else:
            gap += 1
            if gap > 3 or (character.isascii() and character.isalpha()):
                run = 0
    assert (traits(text).digits, traits(text).run) == (sum(text.count(one) for one in "0123456789"), longest)


def test_a_type_with_one_unconditional_recognizer_is_always_possible():
    """Needs of one recognizer say nothing about another of the same type; an unknown type has none."""
    one = Prefilter([("A", Needs(digits=3)), ("A", Needs()), ("B", Needs(words=("@",))), ("B", Needs(run=9))], ["A", "B", "C"])
    assert one.possible("no digit") == ["A", "C"]
    assert one.possible("a@b") == ["A", "B", "C"]
    assert one.possible("12 34 56 789") == ["A", "B", "C"]


_WITHOUT_DIGITS = [
    spec.needs
    for spec in (*GENERIC, *BY_LANGUAGE["en"], *BY_LANGUAGE["zh"])
    if not spec.needs.digits and not spec.needs.run and spec.needs != Needs()
]


def test_nothing_that_is_needed_without_digits_is_wider_than_is_read_again():
    """Words, and what quick patterns find."""
    assert len(_WITHOUT_DIGITS) > 5
    assert max(len(word) for needs in _WITHOUT_DIGITS for word in needs.words) <= WIDEST
    assert max(_parser.parse(needs.like).getwidth()[1] for needs in _WITHOUT_DIGITS) <= WIDEST


@given(
    st.lists(
        st.sampled_from(["a", "bc1", "lt", "c1q", "://", "@", ":", "-aa-bb-", ".abcd", ".", " ", "x" * 13, "邮", "A" * 9]),
        max_size=24,
    )
)
def test_of_a_text_that_grows_only_the_end_is_read(parts):
    """As long as nothing could be found in it: the types are those that all of it tells."""
    known, clear, text = prefilter("en", True, ["CRYPTO", "EMAIL_ADDRESS", "MAC_ADDRESS", "URL_CREDENTIALS"], {}), 0, ""
    for part in parts:
        text += part
        found = known.among(traits(text, 0, clear))
        assert found == known.possible(text)
        clear = clear if found else len(text)
