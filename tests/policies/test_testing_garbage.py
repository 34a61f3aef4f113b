"""Whatever a suite contains, opening it ends in a suite or in a PolicyError; whatever opens can be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.errors import PolicyError
from policies import testing
from policies.load import read_policy
from policies.testing import open_suite

POLICY = """\
policy: shop
version: 3
checks:
  tone: {use: word_scores, scores: {threat: {kill: 620}, EMAIL: {ann@example.com: 1000}}}
  pictures: {use: red_things}
rules:
  - {id: threat, when: {tone.threat: 0.6}, action: block}
  - {id: email, when: {tone: EMAIL}, action: redact, with: {operator: hash}}
  - {id: red, when: {pictures: red}, action: redact, with: {operator: fill}}
"""
SUITE = """\
policy: shop.yaml
description: All that a suite can say.
tests:
  - name: one
    given: kill ann@example.com
    context: {stage: prompt, language: en, tenant: shop, generator: gan, time: "2026-12-24T20:00:00+01:00"}
    expect:
      action: block
      rules: [threat, email]
      fires: [threat]
      message: {en: No.}
      edits: [{rule: email, label: EMAIL, text: ann@example.com, span: [5, 20]}]
  - name: two
    given: {prompt: Hello, reply: {image: red.png}}
    expect: {not: [threat], edits: [{region: [8, 8, 16, 16]}], prompt: {action: allow, released: Hello}}
  - name: three
    given: {image: red.png}
    expect: {action: redact}
"""
WORDS = sorted(set(re.findall(r"[\w.*-]+", SUITE)))
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture
def folder(tmp_path: Path, measuring: object) -> Path:
    (tmp_path / "shop.yaml").write_text(POLICY)
    return tmp_path


def _runs(folder: Path, text: str) -> None:
    file = folder / "shop_test.yaml"
    file.write_text(text, "utf-8", newline="")
    loaded = read_policy(POLICY, file=str(folder / "shop.yaml"))
    try:
        suite = open_suite(file, [loaded])
    except PolicyError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert message.startswith(f"{file}:")
        return
    report = testing.run(suite.loaded, suites=[suite])
    assert report.passed + report.failed + report.errors == len(report.results)


def test_the_suite_itself_runs(folder: Path) -> None:
    """So that damaging it has something to damage."""
    suite = open_suite_of(folder, SUITE)
    assert len(testing.run(suite.loaded, suites=[suite]).results) == 3


def open_suite_of(folder: Path, text: str) -> testing.Suite:
    (folder / "shop_test.yaml").write_text(text, "utf-8")
    return open_suite(folder / "shop_test.yaml")


@RELAXED
@given(
    start=st.integers(0, len(SUITE)),
    length=st.integers(0, 40),
    put=st.text(alphabet="ab:-{}[]&*!'\"#\n \\", max_size=6) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
def test_a_damaged_suite_breaks_nothing(folder: Path, start: int, length: int, put: str) -> None:
    """With a piece cut out and something else put in."""
    _runs(folder, SUITE[:start] + put + SUITE[start + length :])


@RELAXED
@given(st.data())
def test_a_suite_with_any_value_in_any_place_breaks_nothing(folder: Path, data: st.DataObject) -> None:
    """One value is another one."""
    tree = yaml.safe_load(SUITE)
    place = tree
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(trees)
        break
    _runs(folder, yaml.safe_dump(tree, allow_unicode=True))
