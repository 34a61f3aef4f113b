"""A policy held against outside taxonomies."""

from __future__ import annotations

import pytest

from guard.taxonomies import TAXONOMIES
from guard.taxonomy import CATEGORIES
from policies import loads
from policies.coverage import coverage

POLICY = """
policy: house
version: 1
checks:
  toxicity: {use: toxicity}
  pii: {use: pii}
  other: {use: pii, min_score: 700}
rules:
  - id: threat
    when: {toxicity.threat: 0.5, not: {other: PERSON}}
    action: block
  - id: names
    when: {any: [{pii: PERSON}, {other: PERSON}]}
    action: redact
    with: {operator: replace}
  - id: insult
    when: {toxicity.insult: 0.5}
    action: allow
"""


@pytest.mark.parametrize(
    ("taxonomy", "items"), [("gb45654", 31), ("llama_guard", 14), ("ailuminate", 12), ("openai", 13), ("nist", 9), ("dsa", 16)]
)
def test_every_taxonomy_has_all_its_items_once(taxonomy: str, items: int) -> None:
    """As many as its source has, and every code that a category of ours names is among them."""
    codes = [item.code for item in TAXONOMIES[taxonomy].items]
    assert len(set(codes)) == len(codes) == items
    assert {code for category in CATEGORIES.values() for code in getattr(category, taxonomy)} <= set(codes)


def test_titles_stand_where_they_are_known() -> None:
    """The 31 risks, and the hazards of Llama Guard, have titles of our own."""
    assert [str(item) for item in TAXONOMIES["gb45654"].items if not item.title] == []
    assert str(TAXONOMIES["llama_guard"].items[3]) == "S4 sexual exploitation of children"
    assert [str(item) for item in TAXONOMIES["ailuminate"].items if item.title] == []


def test_an_item_is_covered_by_rules_that_act() -> None:
    """By category; with the checks that can make the rule fire, so not by what stands under `not`."""
    report = coverage(loads(POLICY), "llama_guard")
    assert [(one.item.code, one.rules, one.checks) for one in report.covered] == [
        ("S1", ("threat",), ("toxicity",)),
        ("S7", ("names",), ("other", "pii")),
    ]


def test_what_is_only_recorded_is_not_covered() -> None:
    """It is named apart."""
    report = coverage(loads(POLICY), "openai")
    recorded = {one.item.code: one.recorded for one in report.uncovered if one.recorded}
    assert recorded == {"harassment": ("insult",), "harassment/threatening": ("insult",)}
    assert len(report.covered) + len(report.uncovered) == len(report.items) == 13


def test_an_item_without_a_category_of_ours_says_so() -> None:
    """No rule could cover it, and the reader learns that."""
    report = coverage(loads(POLICY), "gb45654")
    bare = [one.item.code for one in report.items if not one.categories]
    assert bare == ["A3b", "A3d", "A4b", "A4g"]
