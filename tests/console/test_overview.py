"""The overview: numbers that are the ledger's, each leading to what it counts."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from console.charts import round_up
from tests.console.desk import Desk, Person

Visit = Callable[..., Person]


def test_numbers_are_those_of_the_ledger_and_lead_to_them(service: Desk, visit: Visit) -> None:
    """The number of blocked decisions is that of the list behind it."""
    page = visit("officer").open("/console?span=week")
    blocked = page.locator("section", has=page.get_by_role("heading", name="Blocked", exact=True)).locator("a.figure")
    found = service.ask("officer", "GET", "/v1/decisions", params={"q": "action:block", "limit": 500})["decisions"]
    assert int(blocked.inner_text().replace(",", "")) == len(found) > 0
    query = httpx.URL(blocked.get_attribute("href") or "").params["q"]
    behind = service.ask("officer", "GET", "/v1/decisions", params={"q": query, "limit": 500})["decisions"]
    assert [one["idx"] for one in behind] == [one["idx"] for one in found]


def test_every_number_is_that_of_the_list_behind_it(service: Desk, visit: Visit) -> None:
    """Of actions, of rules now and before, of all decisions before."""
    page = visit("officer").open("/console?span=week")
    links = page.locator("main a[href^='/console/decisions?q=']:not(svg a)")
    counted = 0
    for at in range(links.count()):
        query = httpx.URL(links.nth(at).get_attribute("href") or "").params["q"]
        shown = re.match(r"[\d,]+", (links.nth(at).text_content() or "").strip())
        found = service.ask("officer", "GET", "/v1/decisions", params={"q": query, "limit": 500})["decisions"]
        assert shown is not None, query
        assert int(shown.group().replace(",", "")) == len(found), query
        counted += 1
    assert counted > 10


def test_each_column_leads_to_its_hour(service: Desk, visit: Visit) -> None:
    """All columns together are all decisions of the day; their titles say each number."""
    page = visit("officer").open("/console")
    links = page.locator("svg.chart a")
    counted = 0
    for at in range(links.count()):
        query = httpx.URL(links.nth(at).get_attribute("href") or "").params["q"]
        counted += len(service.ask("officer", "GET", "/v1/decisions", params={"q": query, "limit": 500})["decisions"])
        assert links.nth(at).locator("title").count() > 0
    assert counted == len(service.ask("officer", "GET", "/v1/decisions", params={"q": "since:1d", "limit": 500})["decisions"])


def test_one_tenant_sees_its_own_numbers_and_no_ledger(service: Desk, visit: Visit) -> None:
    """What another tenant did, and how many entries there are, is nobody's business."""
    page = visit("theirs").open("/console")
    assert page.locator("a.figure").first.inner_text() == "0"
    assert page.get_by_role("heading", name="Ledger").count() == 0
    assert page.get_by_role("heading", name="No decisions in this period").is_visible()


@pytest.mark.parametrize(("most", "top"), [(1, 2), (3, 4), (5, 10), (11, 20), (41, 100), (100, 100), (101, 200)])
def test_axes_end_on_round_numbers(most: int, top: int) -> None:
    assert round_up(most) == top
