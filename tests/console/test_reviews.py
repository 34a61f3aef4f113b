"""Reviews in the console: claim, look, decide, appeal, undo; what is recorded, and who may not."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.console.desk import HOLDS, Desk, Person

Visit = Callable[..., Person]


def decided(who: Person, outcome: str, code: str) -> None:
    """Decide as the page lets one do it."""
    page = who.page
    page.get_by_label(outcome).check()
    page.get_by_label("Reason code").select_option(label=code)
    page.locator("#reason").fill("as the passage stands")
    with page.expect_navigation():
        page.get_by_role("button", name="Decide").click()


def test_a_review_is_claimed_decided_appealed_and_undone(service: Desk, visit: Visit) -> None:
    """Each step is an entry; who decided does not decide again; what was released is there for who asked."""
    held = service.hold()
    first, second, asker = visit("reviewer"), visit("second"), visit("caller")
    page = first.open("/console/reviews")
    row = page.locator(f'tr[data-href$="{held}"]')
    assert "reworded-text" in row.inner_text()
    row.get_by_role("link").click()
    page.wait_for_url(f"**/{held}")
    assert HOLDS[:20] not in page.content()
    with page.expect_navigation():
        page.keyboard.press("c")
    page.keyboard.press("s")
    page.locator("pre.seen").first.wait_for()
    assert page.locator("pre.seen").first.inner_text() == HOLDS
    seen = service.ask("auditor", "GET", "/v1/decisions", params={"q": f"kind:access parent:{held}"})["decisions"]
    assert [one["actor"] for one in seen] == ["reviewer"]

    page.get_by_role("button", name="It has to pass").click()
    assert page.locator("#snippet").inner_text().endswith(f'- passes: "{HOLDS}"')
    assert page.locator("#next").count() == 0, "one thing after the other"
    decided(first, "Withhold", "The rule was right")
    assert page.locator("#phase").inner_text() == "decided"
    assert page.locator("#next").get_attribute("data-decision") != held

    page = asker.open(f"/console/reviews/{held}")
    assert "not for your role" in page.get_by_role("heading", level=1).inner_text()
    service.ask("caller", "POST", f"/v1/reviews/{held}/appeal", json={"reason": "it is a summary"})
    page = first.open(f"/console/reviews/{held}")
    assert page.get_by_text("You cannot decide on this").is_visible()

    page = second.open("/console/reviews?queue=appeal")
    page.locator(f'tr[data-href$="{held}"]').get_by_role("link").click()
    page.wait_for_url(f"**/{held}")
    with page.expect_navigation():
        page.get_by_role("button", name=re.compile("Claim it")).click()
    decided(second, "Release", "The rule saw what is not there")
    page.get_by_text("Undo").first.click()
    page.locator("#reason-undo").fill("I read it again")
    with page.expect_navigation():
        page.get_by_role("button", name="Undo").click()
    with page.expect_navigation():
        page.get_by_role("button", name=re.compile("Claim it")).click()
    decided(second, "Release", "The rule saw what is not there")
    found = service.ask("caller", "GET", f"/v1/reviews/{held}")
    assert (found["status"], found["text"]) == ("released", HOLDS)
    history = page.locator("section", has=page.get_by_role("heading", name="What followed"))
    assert history.locator("li").count() >= 8
    assert "I read it again" in history.inner_text()


def test_the_next_is_taken_by_a_key_and_others_see_who_has_it(service: Desk, visit: Visit) -> None:
    """The oldest that is free."""
    service.hold()
    page = visit("reviewer").open("/console/reviews")
    oldest = page.locator("#next").get_attribute("data-decision")
    page.keyboard.press("n")
    page.wait_for_url(f"**/{oldest}")
    other = visit("second").open(f"/console/reviews/{oldest}")
    assert other.get_by_text("You cannot decide on this").is_visible()
    assert other.locator("#decide").count() == 0
    with page.expect_navigation():
        page.get_by_role("button", name="Give it back").click()


def test_a_tenants_reviews_are_its_own(service: Desk, visit: Visit) -> None:
    """Nobody else's case opens, by address neither, and nothing tells that it is there."""
    page = visit("theirs").open("/console/reviews")
    assert page.get_by_role("heading", name="Nothing waits").is_visible()
    assert page.goto(f"{service.url}/console/reviews/{service.held}").status == 404
    assert service.held[:13] not in page.get_by_role("main").inner_text()
    page = visit("auditor").open(f"/console/reviews/{service.held}")
    assert page.locator("#decide, #reveal, [data-step=claim]").count() == 0
