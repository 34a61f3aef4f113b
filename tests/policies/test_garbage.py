"""Whatever a policy file contains, loading it ends in a policy or in a PolicyError."""

from __future__ import annotations

import re

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.errors import PolicyError
from policies import from_document, loads
from policies.load import PACKS

PACK = (PACKS / "enterprise.yaml").read_text("utf-8")
WORDS = [*sorted(set(re.findall(r"[\w.*-]+", PACK))), "extends", "label", "[", "[z-a]", "any", "not", "all", "keep_last"]
RELAXED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def _loads(text: str | bytes) -> None:
    try:
        policy = loads(text, file="fuzz.yaml")
    except PolicyError as error:
        message = str(error)
    else:
        assert from_document(policy.document) == policy
        return
    assert message.startswith("fuzz.yaml:")
    assert message.encode("utf-8")


@RELAXED
@given(st.text())
def test_random_text_never_breaks_loading(text: str) -> None:
    """Text of any characters."""
    _loads(text)


@RELAXED
@given(st.binary())
def test_random_bytes_never_break_loading(data: bytes) -> None:
    """Bytes of any encoding."""
    _loads(data)


@RELAXED
@given(st.text(alphabet="abc:-{}[]&*!?|>'\"%#@`~<, \n\t\\u0D8U1.", max_size=60))
def test_yaml_syntax_never_breaks_loading(text: str) -> None:
    """YAML's own special characters, thrown together."""
    _loads(text)


@RELAXED
@given(
    st.integers(0, len(PACK)), st.integers(0, 40), st.text(alphabet="ab:-{}[]&*!'\"#\n \\", max_size=6) | st.text(max_size=4)
)
def test_a_damaged_pack_never_breaks_loading(start: int, length: int, put: str) -> None:
    """A real policy with a piece cut out and something else put in."""
    _loads(PACK[:start] + put + PACK[start + length :])


@RELAXED
@given(st.data())
def test_a_pack_with_any_value_in_any_place_never_breaks_loading(data: st.DataObject) -> None:
    """A real policy in which one value is another one."""
    tree = yaml.safe_load(PACK)
    place = tree
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(trees)
        break
    _loads(yaml.safe_dump(tree, allow_unicode=True))
