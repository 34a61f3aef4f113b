"""Pages of policies: writing one, seeing it fail, mending it, replaying it, and the way into force and back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from guard.matching.bank import BUNDLED
from policies.load import PACKS
from tests.console.desk import Desk, Person, desk, person
from tests.sounds import wav

POLICY = (PACKS / "enterprise.yaml").read_text("utf-8")
"""What judged in the demo."""
RULE = """
  - id: contact
    title: Replies with personal data wait for a person
    when: {stage: [output, chunk], pii: any, length: {at_least: 2000}}
    action: review
    category: privacy
    basis: {house: House rules 9}
    message: {en: Somebody looks at this reply first.}
    tests:
      - flags: Write to anna.berg@example.org and she will call you back.
      - passes: Your parcel is on its way.
"""
MADE = "Please write to kim.lund@example.org about the parcel."
Sit = Callable[..., Person]
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def house(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A service of its own that the demo filled, whose policy these tests change; others approve."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(demo_folder, folder, dirs_exist_ok=True)
    with desk(folder, policy_approvals=True) as found:
        assert judged(found) == "redact"
        yield found


@pytest.fixture
def sit(browser: Browser, house: Desk) -> Iterator[Sit]:
    with ExitStack() as stack:
        yield lambda who, **given: stack.enter_context(person(house, browser, who, **given))


def judged(house: Desk) -> str:
    """What becomes of a reply with personal data now."""
    return str(house.ask("author", "POST", "/v1/check", json={"text": MADE})["genguard"]["action"])


def text_of(page: Page) -> str:
    return page.locator("#source").input_value()


def replace(page: Page, old: str, new: str) -> None:
    """Edit as somebody who selects and types."""
    start = text_of(page).rindex(old)
    page.locator("#source").evaluate(
        "(area, [from, to]) => { area.focus(); area.setSelectionRange(from, to); }", [start, start + len(old)]
    )
    page.keyboard.insert_text(new)


def test_a_rule_is_written_mended_replayed_approved_obeyed_and_taken_back(house: Desk, sit: Sit) -> None:
    """The author's story, from the first letter to the rollback."""
    author = sit("author")
    page = author.open("/console/policies")
    page.get_by_role("region", name="Policies").get_by_role("link", name="enterprise").click()
    page.get_by_role("link", name="Edit", exact=True).first.click()
    expect(page.locator("#state")).to_contain_text("enterprise 2 can be read")

    # A rule that holds for long texts alone: its own example is red, and the list leads to the line.
    replace(page, "\nrules:\n", f"\nrules:{RULE}")
    page.keyboard.press("Control+s")
    expect(page.locator("#tested")).to_contain_text("not green")
    expect(page.locator("#tested")).to_contain_text("contact")
    page.locator("#tested").get_by_role("button").first.click()
    line = text_of(page)[: int(page.locator("#source").evaluate("area => area.selectionStart"))].count("\n")
    assert "flags" in text_of(page).split("\n")[line]

    # What was written is there after a reload; mended, all is green.
    page.reload()
    expect(page.locator("#restored")).to_be_visible()
    replace(page, ", length: {at_least: 2000}", "")
    page.get_by_role("button", name="Save and test").click()
    expect(page.locator("#tested")).to_contain_text("all pass")
    expect(page.locator("#changes")).to_contain_text("Rule contact")
    expect(page.locator("#changes")).to_contain_text("stricter")

    # It says why, and what it would have said of what the demo made.
    page.get_by_label("A text").fill(MADE)
    page.get_by_role("button", name="Judge").click()
    tried = page.locator("#tried")
    expect(tried.locator(".badge").first).to_have_text("review")
    expect(tried.locator("details[open] summary").first).to_contain_text("contact")
    expect(tried.locator("details[open] .tree").first).to_contain_text("pii found anything")
    page.get_by_role("button", name="Replay").click()
    flip = page.locator("#replayed tr", has_text="redact → review")
    expect(flip).to_contain_text("+contact")
    flipped = page.context.new_page()
    flipped.goto(f"{house.url}{flip.get_by_role('link').last.get_attribute('href')}")
    expect(flipped.get_by_role("main")).to_contain_text("demo · Tenant default")
    flipped.close()

    # Proposed by the author, approved by somebody else.
    page.get_by_role("button", name="Propose…").click()
    page.get_by_label("Why").fill("An address reached a stranger")
    page.locator("#activation-do").click()
    page.wait_for_url("**/console/policies/enterprise?entry=*")
    expect(page.locator("#main")).to_contain_text("An approver has to approve it.")
    assert page.get_by_role("button", name="Approve").count() == 0
    assert page.evaluate("Object.keys(localStorage)") == []
    assert judged(house) == "redact"
    approver = sit("approver")
    other = approver.open("/console/policies/enterprise")
    other.get_by_role("button", name="Approve").click()
    other.locator("#step-do").click()
    expect(other.locator("#standing")).to_have_text("in force")
    assert judged(house) == "review"

    # What changed, in words and lines; then back.
    other.get_by_role("link", name="What changed").first.click()
    expect(other.locator(".changes")).to_contain_text("Rule contact")
    expect(other.locator(".changed .new").first).to_contain_text("version: 2")
    author.open("/console/policies/enterprise")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_label("Why").fill("Too many to look at")
    page.locator("#step-do").click()
    expect(page.locator("#main .card").last).to_be_visible()
    expect(page.locator("tbody tr", has_text="Too many to look at")).to_contain_text("rolled back")
    assert judged(house) == "redact"
    assert [said for said in (*author.complaints, *approver.complaints) if "409" not in said] == []


def test_a_canary_is_widened_by_its_slider_and_stopped(house: Desk, sit: Sit) -> None:
    """Approved, then widened and stopped on the page of the policy."""
    third = POLICY.replace("version: 1", "version: 3")
    asked = house.ask("admin", "POST", "/v1/policies/activate", json={"source": third, "reason": "Try it", "share": 10})
    house.ask("approver", "POST", "/v1/policies/enterprise/approve", json={"revision": asked["entry"]["revision"]})
    page = sit("admin").open("/console/policies/enterprise")
    until(lambda: "canary" in str(page.reload() and page.locator("#standing").inner_text()))
    expect(page.locator("#standing")).to_have_text("canary: 10 % of requests")
    page.get_by_label("Share that the canary judges").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#share-told")).to_have_text("11 %")
    page.get_by_role("button", name="Set the share").click()
    page.get_by_label("Why").fill("It went well")
    page.locator("#step-do").click()
    expect(page.locator("#main")).to_contain_text("You proposed this: somebody else has to approve it.")
    page.get_by_role("button", name="Stop").first.click()
    page.get_by_label("Why").fill("Enough seen")
    page.locator("#step-do").click()
    expect(page.locator("tbody tr", has_text="Enough seen")).to_contain_text("stopped")


def test_a_draft_with_errors_is_marked_and_kept_out(sit: Sit) -> None:
    """Line and column in the margin, in the text and in the list; the list leads there."""
    page = sit("author").open("/console/policies/enterprise/edit")
    replace(page, "toxicity.threat: 0.50", "toxic.threat: 0.50")
    line = POLICY[: POLICY.index("toxicity.threat: 0.50")].count("\n") + 1
    expect(page.locator("#state")).to_contain_text("has errors")
    expect(page.locator(".gutter .error")).to_have_text(re.compile(str(line)))
    expect(page.locator(".mirror .wrong.error")).to_have_text("toxic.threat")
    page.locator("#problems").get_by_role("button", name=f"line {line}").click()
    assert page.evaluate("document.activeElement.id") == "source"
    page.get_by_role("button", name="Propose…").click()
    page.get_by_label("Why").fill("x")
    page.locator("#activation-do").click()
    expect(page.locator("#not-ready")).to_contain_text("toxic.threat")
    page.locator("#activation-cancel").click()
    page.reload()
    page.get_by_role("button", name="Discard the draft").click()
    expect(page.locator("#state")).to_contain_text("can be read")


def test_a_picture_and_an_audio_are_tried(sit: Sit) -> None:
    """With the same tree; what was found in a picture is framed."""
    who = sit("author")
    page = who.open("/console/policies/enterprise/edit")
    expect(page.locator("#state")).to_contain_text("can be read")
    page.get_by_role("button", name="Judge").click()
    expect(page.locator("#notices")).to_contain_text("one of them")
    page.get_by_label("or a picture").set_input_files(BUNDLED / "examples" / "flagged.jpg")
    page.get_by_role("button", name="Judge").click()
    tried = page.locator("#tried")
    expect(tried.locator(".badge").first).to_have_text("block")
    expect(tried.locator("details[open] summary")).to_contain_text("protected-work")
    expect(tried.locator(".framed rect")).to_have_count(1)
    page.get_by_label("A text").fill("x")
    assert page.locator("#try-file").evaluate("one => one.files.length") == 0
    page.locator("#try-file").set_input_files({"name": "a.wav", "mimeType": "audio/wav", "buffer": wav(0.2)})
    page.get_by_role("button", name="Judge").click()
    expect(tried.locator(".framed")).to_have_count(0)
    expect(tried.locator(".badge").first).to_be_visible()
    assert who.complaints == []


def test_the_editor_completes_and_lets_the_keyboard_go(sit: Sit) -> None:
    """Keys, checks, labels and values by place; Tab indents, and leaves after Escape."""
    page = sit("author").open("/console/policies/_/edit")
    page.wait_for_selector("#editor[data-ready]")
    page.locator("#source").focus()

    def offered(text: str, typed: str) -> list[str]:
        page.locator("#source").fill(text)
        page.keyboard.press("Control+End")
        page.keyboard.type(typed)
        expect(page.locator("#choices")).to_be_visible()
        return page.locator("#choices strong").all_inner_texts()

    head = "policy: a\nversion: 1\nchecks:\n  tox: {use: toxicity}\n"
    assert "toxicity" in offered("checks:\n  a: {use: ", "tox")
    assert offered(head, "rul")[0] == "rules"
    assert offered(f"{head}rules:\n  - id: b\n    ", "act")[0] == "action"
    assert "block" in offered(f"{head}rules:\n  - id: b\n    action: ", "b")
    assert "tox.threat" in offered(f"{head}rules:\n  - id: b\n    when: {{", "th")
    assert "threat" in offered(f"{head}rules:\n  - id: b\n    when:\n      any:\n        - tox: ", "th")
    assert "window_tokens" in offered("checks:\n  tox: {use: toxicity, ", "win")
    assert offered(f"{head}rules:\n  - id: card-number\nexceptions:\n  - rules: ", "car") == ["card-number"]
    page.keyboard.press("Enter")
    assert text_of(page).endswith("rules: card-number")
    assert page.locator("#choices").is_hidden()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert text_of(page).endswith("\n      ")  # two for the list, two for the item, two for the Tab
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") != "source"


def test_who_may_only_look_is_offered_nothing_to_change(service: Desk, visit: Sit) -> None:
    """Reviewers read; a policy or revision that is not there is told as a page."""
    page = visit("reviewer").open("/console/policies/enterprise")
    assert page.locator("[data-step]").count() == 0
    assert page.get_by_role("link", name="Edit").count() == 0
    with httpx.Client(base_url=service.url, timeout=60, cookies={"genguard": service.cookie("reviewer")}) as http:
        assert http.get("/console/policies/nowhere").status_code == 404
        assert http.get("/console/policies/enterprise/revisions/ffff").status_code == 404
        assert http.get("/console/policies/_/edit?pack=nothing").status_code == 404


def until(holds: Callable[[], bool], tries: int = 100) -> None:
    """Ask again and again; each asking takes a while."""
    for _ in range(tries):
        if holds():
            return
    pytest.fail("it did not come to that")


def test_each_pack_can_be_begun_from(service: Desk) -> None:
    """Its text, as it is."""
    with httpx.Client(base_url=service.url, timeout=60, cookies={"genguard": service.cookie("author")}) as http:
        found = http.get("/console/policies/_/edit?pack=strict").text
    assert "policy: strict" in found


def test_an_example_of_a_review_is_put_beside_its_rule(sit: Sit) -> None:
    """Once, where it is wanted."""
    page = sit("admin").open("/console/policies/enterprise")
    example = {
        "policy": "enterprise",
        "rule": "threat",
        "kind": "passes",
        "text": 'Say: "hi"',
        "stage": "output",
        "decision": "0190abcd",
    }
    page.evaluate("(one) => sessionStorage.setItem('genguard-example', JSON.stringify(one))", example)
    page.get_by_role("link", name="Edit", exact=True).first.click()
    page.get_by_role("button", name="Insert it").click()
    assert '    tests:\n      - passes: "Say: \\"hi\\""\n        stage: output\n      - flags:' in text_of(page)
    expect(page.locator("#state")).to_contain_text("can be read")
    page.reload()
    expect(page.locator("#restored")).to_be_visible()
    expect(page.locator("#handed")).to_be_hidden()
