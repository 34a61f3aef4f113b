"""docs/packs.md keeps up with the packs."""

from __future__ import annotations

import re

import pytest

from policies import catalogue
from tests.packs.measuring import NAMES

PAGE = catalogue.FILE.read_text("utf-8")


def test_the_tables_of_the_page_are_current() -> None:
    """`python -m policies.catalogue` writes them."""
    assert catalogue.page(PAGE) == PAGE
    assert len(re.findall("<!-- begin ", PAGE)) == 3


@pytest.mark.parametrize("pack", NAMES)
def test_every_pack_is_recommended_to_somebody_and_measured(pack: str) -> None:
    """In the table of who takes which, in the one of figures, and in both that are made."""
    assert len(re.findall(rf"\| [^|]*`{pack}`", PAGE)) >= 4


def test_the_page_has_all_31_risks() -> None:
    """Each with its rules, or the reason why there are none."""
    rows = re.findall(r"^\| (A\d[a-i]) \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert len(rows) == 31
    assert sum(rules.startswith("none: ") for _, rules in rows) == 13
