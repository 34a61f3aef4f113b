"""Finding decisions: the search box, what narrows it down, pages, following live, saved searches, export, tenants."""

from __future__ import annotations

import csv
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from audit.facets import Series
from audit.grammar import QueryError, parse
from audit.statistics import Period
from console import filters
from console.charts import HEIGHT, chart_of
from tests.console.desk import Desk, Person

Visit = Callable[..., Person]
expect.set_options(timeout=30_000)


def asked(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def browser_of(service: Desk, who: str) -> httpx.Client:
    """Somebody's session without a browser: what a page is without its scripts."""
    return httpx.Client(base_url=service.url, timeout=60, cookies={"genguard": service.cookie(who)})


def test_a_search_is_completed_by_keyboard_and_stands_in_the_address(visit: Visit) -> None:
    who = visit("officer")
    page = who.open("/console/decisions")
    page.keyboard.press("/")
    box = page.get_by_role("combobox", name="Search decisions")
    expect(box).to_be_focused()
    page.keyboard.type("acti")
    expect(page.get_by_role("option", name="action:")).to_be_visible()
    assert box.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("option", name="action:").get_attribute("id") == box.get_attribute("aria-activedescendant")
    page.keyboard.press("Enter")
    expect(box).to_have_value("action:")
    page.keyboard.type("bl")
    expect(page.locator("#q-list [role=option]")).to_have_text(["block"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(box).to_have_value("action:block ")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/decisions?q=action*")
    assert asked(page.url)["q"] == ["action:block "]
    badges = page.locator("#rows tr[data-idx] .badge").all_inner_texts()
    assert badges
    assert set(badges) == {"Blocked"}


def test_facets_narrow_a_search_down_and_back(visit: Visit) -> None:
    """A value is added, left out, taken away; the browser's back button undoes it."""
    page = visit("officer").open("/console/decisions?q=action:block")
    facets = page.get_by_role("region", name="Narrow down")
    facets.get_by_role("link", name="insult", exact=True).click()
    page.wait_for_url("**q=action%3Ablock+rule%3Ainsult")
    expect(facets.get_by_role("link", name="✓ insult")).to_be_visible()
    assert set(page.locator("#rows tr[data-idx] code:not(.id)").all_inner_texts()) == {"insult"}
    page.get_by_role("link", name="Leave out insult").click()
    page.wait_for_url("**q=action%3Ablock+-rule%3Ainsult")
    assert "insult" not in page.locator("#rows").inner_text()
    page.go_back()
    page.wait_for_url("**q=action%3Ablock+rule%3Ainsult")
    page.get_by_role("link", name="Take away rule:insult").click()
    page.wait_for_url("**q=action%3Ablock")


def test_the_chart_leads_to_its_hours(visit: Visit) -> None:
    page = visit("officer").open("/console/decisions?q=action:redact")
    page.locator("#chart summary").click()
    page.locator("#chart table a").first.click()
    page.wait_for_url("**created**")
    assert page.locator("#rows tr[data-idx]").count() > 0


def test_older_entries_come_when_somebody_scrolls(service: Desk, visit: Visit) -> None:
    """Each once, in order, to the very first; narrow or wide; and nothing lies beyond the edge of the window."""
    for width in (1280, 480):
        who = visit("officer", width=width)
        page = who.open("/console/decisions?q=kind:any")
        rows = page.locator("#rows tr[data-idx]")
        assert rows.count() == 50
        while page.locator("#older").count():
            before = rows.count()
            page.evaluate("document.getElementById('older')?.scrollIntoView()")  # it may be gone by itself meanwhile
            page.wait_for_function(
                "had => document.querySelectorAll('#rows tr[data-idx]').length > had || !document.getElementById('older')",
                arg=before,
            )
        shown = [int(text) for text in rows.evaluate_all("all => all.map((one) => one.dataset.idx)")]
        assert shown == list(range(shown[0], -1, -1))
        expect(page.locator("#how-many")).to_contain_text(f"{len(shown)} shown")
        assert page.evaluate("document.querySelector('#rows').closest('.scroll').scrollWidth <= innerWidth")
        assert who.complaints == []


def test_a_mistake_is_shown_where_it_is(visit: Visit) -> None:
    page = visit("officer").open("/console/decisions?q=action:block%20categroy:privacy")
    told = page.get_by_role("alert")
    assert "unknown filter 'categroy'" in told.inner_text()
    assert "Did you mean category?" in told.inner_text()
    lines = told.locator("pre [aria-hidden]").inner_text().split("\n")
    assert lines[1].index("^") == lines[0].index("categroy")
    expect(page.get_by_role("combobox", name="Search decisions")).to_have_value("action:block categroy:privacy")


def test_pages_go_older_and_newer(visit: Visit) -> None:
    page = visit("officer").open("/console/decisions")
    first = page.locator("#rows tr[data-idx]").evaluate_all("rows => rows.map((row) => Number(row.dataset.idx))")
    assert len(first) == 50
    page.keyboard.press("n")
    page.wait_for_url("**before=*")
    second = page.locator("#rows tr[data-idx]").evaluate_all("rows => rows.map((row) => Number(row.dataset.idx))")
    assert max(second) < min(first)
    page.keyboard.press("p")
    page.wait_for_url("**after=*")
    again = page.locator("#rows tr[data-idx]").evaluate_all("rows => rows.map((row) => Number(row.dataset.idx))")
    assert again[-1] == max(second) + 1


def test_keys_move_and_open(visit: Visit) -> None:
    page = visit("officer").open("/console/decisions?q=action:block")
    links = page.locator("#rows a.open")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(links.nth(0)).to_be_focused()
    where = links.nth(0).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{where}")


def test_new_decisions_come_while_somebody_follows(service: Desk, visit: Visit) -> None:
    """They come on top, are announced, and the address keeps that one follows."""
    page = visit("officer").open("/console/decisions?q=actor:caller")
    before = page.locator("#rows tr[data-idx]").count()
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    assert asked(page.url)["live"] == ["1"]
    made = service.ask("caller", "POST", "/v1/check", json={"text": "The parcel is on its way."})
    expect(page.locator("#came")).to_have_text("New entries: 1")
    expect(page.locator("#rows tr[data-idx]")).to_have_count(before + 1)
    link = page.locator("#rows a.open").first
    assert link.get_attribute("href") == f"/console/decisions/{made['genguard']['decision']}"
    page.get_by_role("button", name="Live").click()
    assert "live" not in asked(page.url)


def test_searches_are_kept_for_all_and_forgotten(service: Desk, visit: Visit) -> None:
    name = f"mine-{secrets.token_hex(8)}"
    page = visit("officer").open("/console/decisions?q=action:redact")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Keep this search").click()
    link = page.get_by_role("link", name=name)
    assert asked(link.get_attribute("href") or "")["q"] == ["action:redact"]
    other = visit("auditor").open("/console/decisions")
    other.get_by_role("link", name=name).click()
    other.wait_for_url("**q=action%3Aredact")
    assert not other.get_by_role("button", name=f"Forget {name}").is_visible()
    page.get_by_role("button", name=f"Forget {name}").click()
    expect(link).to_have_count(0)
    assert name not in {one["name"] for one in service.ask("auditor", "GET", "/v1/searches")["searches"]}


def test_saved_searches_have_their_rules(service: Desk) -> None:
    """Names and queries are checked; who sees one tenant has none of them."""
    with service.http("officer") as http:
        assert http.put("/v1/searches/a b", json={"q": ""}).status_code == 400
        assert http.put("/v1/searches/fine", json={"q": "categroy:x"}).status_code == 400
        assert http.delete("/v1/searches/nobodys").status_code == 404
    for who in ("auditor", "ours", "caller"):
        with service.http(who) as http:
            assert http.put("/v1/searches/fine", json={"q": ""}).status_code == 403, who
    with service.http("ours") as http:
        assert http.get("/v1/searches").status_code == 403


def test_what_is_shown_is_exported(service: Desk, visit: Visit, tmp_path: Path) -> None:
    """By those who may; it is recorded, and says where."""
    page = visit("officer").open("/console/decisions?q=action:block")
    page.keyboard.press("x")
    dialog = page.get_by_role("dialog", name="Export what fits")
    dialog.get_by_label("Format").select_option("csv")
    with page.expect_download() as coming:
        dialog.get_by_role("button", name="Export").click()
    coming.value.save_as(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert {row["action"] for row in csv.DictReader(file)} == {"block"}
    told = page.locator("#notices").inner_text()
    found = re.search(r"entry (\d+)", told)
    assert found, told
    assert service.ask("officer", "GET", f"/v1/decisions/{found[1]}")["entry"]["kind"] == "export"
    assert not visit("reviewer").open("/console/decisions").get_by_role("button", name="Export").is_visible()


def test_tenants_see_their_own(service: Desk) -> None:
    """List, counts, chart, and what comes live; nothing tells how much others have."""
    with browser_of(service, "theirs") as http:
        text = http.get("/console/decisions", params={"counts": 1}).text
        assert "The ledger has" not in text
        assert 'data-idx="' not in text
        assert 'data-idx="' not in http.get("/console/decisions/newer", params={"after": -1}).text
        assert 'data-idx="' not in http.get("/console/decisions/older", params={"before": 10**6}).text
        assert "Nothing to count" in http.get("/console/decisions/chart").text
        assert "insult" not in http.get("/console/decisions/facets").text
    with browser_of(service, "ours") as http:
        assert 'data-idx="' in http.get("/console/decisions").text
        assert http.get("/console/decisions", params={"q": "tenant:umbrella"}).text.count('data-idx="') == 0


def test_the_page_counts_without_scripts(service: Desk) -> None:
    """With a link to it, and everything else as forms and links."""
    with browser_of(service, "officer") as http:
        bare = http.get("/console/decisions", params={"q": "action:block"}).text
        assert 'href="/console/decisions?q=action%3Ablock&amp;counts=1"' in bare
        counted = http.get("/console/decisions", params={"q": "action:block", "counts": 1}).text
        assert "rule%3Ainsult" in counted
        assert "<svg" in counted


def test_an_unreadable_cursor_is_refused(service: Desk) -> None:
    """As a page."""
    with browser_of(service, "officer") as http:
        answer = http.get("/console/decisions", params={"before": "x"})
        assert answer.status_code == 422
        assert "<h1>" in answer.text


@pytest.mark.parametrize(
    ("query", "added", "excluded"),
    [
        ("", "rule:a", "-rule:a"),
        ("action:block", "action:block rule:a", "action:block -rule:a"),
    ],
)
def test_terms_are_added(query: str, added: str, excluded: str) -> None:
    assert filters.adding(query, "rule", "a") == added
    assert filters.adding(query, "rule", "a", excluded=True) == excluded


def test_terms_are_taken_away() -> None:
    """One value of several; values that need quotation marks; words stay."""
    text = 'tenant:"Smith, Jones & Co",acme "no answer" -rule:x'
    assert filters.has(text, "tenant", "Smith, Jones & Co")
    assert not filters.has(text, "rule", "x")
    assert filters.without(text, "tenant", "acme") == 'tenant:"Smith, Jones & Co" "no answer" -rule:x'
    assert [one.rest for one in filters.terms("a b c")] == ["b c", "a c", "a b"]
    assert filters.within("created:2026 action:block", "2026-11") == "action:block created:2026-11"
    with pytest.raises(QueryError):
        filters.terms('"')


def series_of(*moments: str) -> Series:
    return Series("hour", tuple((moment, {"allow": 3, "block": 1}) for moment in moments), True, 0)


@pytest.mark.parametrize(
    ("last", "unit", "columns"),
    [("2026-11-01T05:00Z", "hour", 6), ("2026-11-30T05:00Z", "day", 30), ("2027-03-01T00:00Z", "month", 5)],
)
def test_the_chart_fits_its_time(last: str, unit: str, columns: int) -> None:
    """No stretch is left out, nothing is higher than the drawing, and each filter is one that the grammar reads."""
    chart = chart_of(series_of("2026-11-01T00:00Z", last))
    assert chart is not None
    assert (chart.unit, len(chart.columns), chart.total) == (unit, columns, 8)
    assert chart.top >= max(one.total for one in chart.columns)
    assert all(piece.y >= 0 and piece.y + piece.height <= HEIGHT for one in chart.columns for piece in one.pieces)
    now = datetime(2026, 11, 28, tzinfo=UTC)
    for one in chart.columns:
        assert parse(httpx.URL(one.href).params["q"], now=now)


def test_a_period_is_shown_whole_and_no_more_than_it() -> None:
    """Days that it begins and ends within lead to their part alone."""
    period = Period.between(datetime(2026, 11, 1, 9, tzinfo=UTC), datetime(2026, 11, 8, 9, tzinfo=UTC))
    chart = chart_of(series_of("2026-11-02T00:00Z", "2026-11-08T07:00Z"), "rule:a", period)
    assert chart is not None
    assert (chart.unit, [one.name[-2:] for one in chart.columns]) == ("day", [f"0{day}" for day in range(1, 9)])
    queries = [httpx.URL(one.href).params["q"] for one in chart.columns]
    assert queries[0] == 'rule:a created:"2026-11-01T09:00:00Z..2026-11-01T23:59:59.999999Z"'
    assert queries[1] == "rule:a created:2026-11-02"
    assert queries[-1] == 'rule:a created:"2026-11-08T00:00:00Z..2026-11-08T08:59:59.999999Z"'


def test_nothing_makes_no_chart() -> None:
    assert chart_of(Series("hour", (), True, 0)) is None
