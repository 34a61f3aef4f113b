"""Admin in the console: keys are made and withdrawn, the ledger is verified, who may see what."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.console.desk import Desk, Person

Visit = Callable[..., Person]


def test_a_key_is_made_shown_once_replaced_and_withdrawn(service: Desk, visit: Visit) -> None:
    """And works meanwhile."""
    page = visit("admin").open("/console/admin")
    page.get_by_label("Name", exact=True).fill("newsroom")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_text("Choose a role at least.").wait_for()
    page.get_by_role("checkbox", name="caller").check()
    page.get_by_role("button", name="Make a key").click()
    key = page.locator("#made code").inner_text()
    with httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as http:
        assert http.get("/v1/models").status_code == 200
    page.get_by_role("link", name="I have kept it").click()
    page.wait_for_load_state()
    assert key not in page.content()
    page.get_by_role("button", name="Replace newsroom").click()
    page.locator("#made code").wait_for()
    assert page.locator("#made code").inner_text() != key
    page.goto(f"{service.url}/console/admin")
    rows = page.locator("tr", has_text="newsroom")
    assert rows.count() == 2
    for _ in range(2):
        page.get_by_role("button", name="Withdraw newsroom").first.click()
        with page.expect_navigation():
            page.locator("#revoke").get_by_role("button", name="Withdraw").click()
    assert page.get_by_role("button", name="Withdraw newsroom").count() == 0
    recorded = service.ask("auditor", "GET", "/v1/decisions", params={"q": "kind:api_key"})["decisions"]
    assert [one["actor"] for one in recorded] == ["admin"] * 4


def test_an_auditor_verifies_the_ledger_and_sees_no_keys(visit: Visit) -> None:
    """How it came out stands on the overview, too; secrets of the settings nowhere."""
    who = visit("auditor")
    page = who.open("/console/admin")
    assert page.get_by_role("heading", name="API keys").count() == 0
    page.get_by_role("button", name="Verify the whole ledger now").click()
    page.locator("#verified .badge.good").wait_for(timeout=110_000)
    for key in who.desk.keys.values():
        assert key not in page.content()
    assert "as it was signed" in who.open("/console").locator("main").inner_text()


def test_the_installation_is_looked_at(visit: Visit) -> None:
    """What the doctor finds, in a table."""
    page = visit("admin").open("/console/admin?look=true")
    assert page.get_by_role("cell", name="versions: python").count() == 1
    assert page.get_by_text("could not be looked at").count() == 0
