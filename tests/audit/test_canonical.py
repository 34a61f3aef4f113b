"""Canonical JSON: one byte string for one body."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import canonical
from guard.errors import LedgerError

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = TEXT | st.booleans() | st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)
ASCII = st.text(st.characters(max_codepoint=127))
SCHEMA = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(ASCII, inner), max_leaves=8)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(TEXT, VALUES))
def test_every_object_of_the_subset_gets_the_bytes_of_rfc_8785(value):
    """Whichever path is taken, the normative canonicaliser agrees."""
    assert canonical.dumps(value) == rfc8785.dumps(value)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(ASCII, SCHEMA))
def test_the_fast_path_writes_the_bytes_of_rfc_8785_for_ascii_keys(value):
    """What lets orjson stand in for rfc8785."""
    import orjson

    assert orjson.dumps(value, option=canonical._OPTIONS) == rfc8785.dumps(value)
    assert canonical.loads(canonical.dumps(value)) == value


def test_keys_above_the_basic_plane_sort_by_utf_16_code_units():
    """U+1F600 begins with D83D, which sorts before U+FB33; by code points it would come after."""
    value = {"\ufb33": 1, "\U0001f600": 2}
    assert canonical.dumps(value) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("value", [0.5, float("nan"), None, b"x", 2**53, -(2**53), {1: "x"}, {1}, "\ud800"])
def test_a_value_outside_the_subset_is_refused(value):
    """Floats, null, bytes, big integers, keys that are not strings, and text that is not Unicode."""
    with pytest.raises(LedgerError):
        canonical.dumps({"a": [value]})


def test_a_refusal_names_the_field():
    """The field is what a person has to look for."""
    with pytest.raises(LedgerError, match="score: found float, expected str, int"):
        canonical.dumps({"findings": [{"score": 0.5}]})


@pytest.mark.parametrize(
    "data",
    [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b'{"a":1.0}', b"[]", b"", b'{"a":"\\u0041"}', b'{"a":null}', b"\xff"],
)
def test_bytes_that_are_not_the_canonical_form_are_refused(data):
    """Order, spaces, repeated keys, floats, escapes: there is one form only."""
    with pytest.raises(LedgerError):
        canonical.loads(data)
