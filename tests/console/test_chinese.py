"""No English sentence on a Chinese page that is used, but for what somebody wrote. How pages open: `test_frame`."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.console.chinese import english
from tests.console.desk import Desk, Person

Visit = Callable[..., Person]
expect.set_options(timeout=60_000)
DRAFT = """\
policy: enterprise
version: 9
status: live
checks:
  secrets: {use: secrets, deadline_ms: 50, on_failure: allow}
  unasked: {use: invisible_characters}
rules:
  - id: secret
    title: Keys stay here
    when: {secrets: any, stage: output, length: {at_least: 10}}
    action: block
    category: cyber
    tests:
      - flags: Nothing to see.
      - passes: postgres://shop:Kq7xPz29@db.example.com:5432/shop
"""
WRONG = """\
policy: enterprise
version: one
owner: someone
ruls: []
checks:
  secrets: {use: secretes, deadline_ms: -1}
rules:
  - {id: a, when: {secrets.KEY: 7}, action: blok, category: cybr}
  - {id: a, when: {time: {hours: noon, zone: Mars}}, action: redact, tests: [{flag: x}]}
"""
MIXED = """\
policy: enterprise
version: 2
checks:
  secrets: {use: secretes}
  pii: {use: pii, languages: [xx], deadline: 5}
  works: {use: image_match}
rules:
  - {id: a, when: {secrets.KEY: 0.5, elsewhere: any}, action: block, category: cybr}
  - {id: a, when: {works: any, modality: text}, action: redact, with: {operator: mask, keep: 3}}
  - {id: b, when: {secrets.KEY: 0.5}, action: label}
exceptions:
  - {id: e, rules: gone, when: {pii: any}, owner: us, reason: because, expires: 2026-13-45}
lists: {some: [$other], other: [$some]}
"""
WRITTEN = ("Nothing to see.", "Keys stay here", "Ask genguard who you are")
"""What somebody wrote in a draft, and to try it."""
QUERIES = ("rul:x", '"open', "created:soon", "idx:9..1", "kind:x", "since:7d%20since:8d", "rule:", ":x", "-since:7d")


def test_mistakes_in_queries_are_chinese(visit: Visit) -> None:
    """Above the list, with the caret."""
    who = visit("officer", language="zh")
    for query in QUERIES:
        page = who.open(f"/console/decisions?q={query}")
        assert re.search("[\u4e00-\u9fff]", page.locator("#q-error strong").inner_text()), query
        assert english(page) == []


def test_the_look_at_the_installation_is_chinese(visit: Visit) -> None:
    """Every part of it."""
    page = visit("admin", language="zh").open("/console/admin?look=true")
    assert page.locator("#health ~ .scroll tbody tr").count() > 10
    assert english(page) == []


def test_the_editor_of_policies_is_chinese(visit: Visit) -> None:
    """Mistakes in the file, lints and why, a try with its tree, tests that fail, what changes, completions."""
    page = visit("author", language="zh").open("/console/policies/enterprise/edit")
    page.wait_for_selector("#editor[data-ready]")
    source, problems = page.locator("#source"), page.locator("#problems li.problem")
    source.fill(WRONG)
    expect(problems).not_to_have_count(0)
    expect(page.locator("#problems")).to_contain_text("ruls")
    assert english(page) == []
    source.fill(MIXED)
    expect(page.locator("#problems")).to_contain_text("secretes")
    assert english(page) == []
    source.fill(DRAFT)
    expect(page.locator("#problems")).to_contain_text("on_failure")
    page.locator("#try-text").fill("Ask genguard who you are")
    page.locator("#try button").click()
    expect(page.locator("#tried table")).to_be_visible()
    page.locator("#test").click()
    expect(page.locator("#tested li")).not_to_have_count(0)
    expect(page.locator("#changes li")).not_to_have_count(0)
    assert english(page, *WRITTEN) == []
    source.fill("policy: x\n")
    page.keyboard.press("Control+End")
    page.keyboard.type("s")
    expect(page.locator("#choices li")).not_to_have_count(0)
    assert english(page, *WRITTEN) == []
    assert re.search("[\u4e00-\u9fff]", page.locator("#choices .about").first.inner_text())


def test_answers_of_the_verification_are_chinese(service: Desk, visit: Visit) -> None:
    """On the console's page and on the public one, for a text of ours and for another."""
    released = service.ask(
        "caller", "POST", "/v1/check", json={"text": "The tide table of the old harbour hangs beside the door."}
    )
    for path, button, answer in (("/console/verify", "#go", "#found li"), ("/verify", "#go", "#answer li")):
        page = visit("officer", language="zh").open(path)
        for text in ("The tide table of the old harbour hangs beside the door.", "Something else entirely, from somewhere."):
            page.locator("#text").fill(text)
            page.locator(button).click()
            expect(page.locator(answer)).not_to_have_count(0)
            assert english(page) == []
            page.reload()
    assert released["genguard"]["action"] == "allow"


def test_refusals_of_what_scripts_ask_are_chinese(service: Desk, visit: Visit) -> None:
    """In the notice that tells them; the same request without a page gets English."""
    page = visit("second", language="zh").open(f"/console/reviews/{service.held}")
    asked = f"/v1/reviews/{service.held}/decide"
    told = page.evaluate(
        """(url) => import(document.querySelector('script[src*="review"]').src.replace(/review\\w*\\.js/, "console.js"))
            .then((console) => console.askJson("POST", url, {json: {outcome: "release", code: "other", reason: ""}}))
            .catch((error) => error.message)""",
        asked,
    )
    assert re.search("[\u4e00-\u9fff]", told), told
    with service.http("second") as http:
        plain = http.post(asked, json={"outcome": "release", "code": "other", "reason": ""}).json()["error"]["message"]
    assert re.fullmatch(r"[\x20-\x7e\n]+", plain)


def test_texts_of_users_pass_unchanged(service: Desk) -> None:
    """Sentences of ours are said; a revealed text that is one of them is not."""
    text = "a quotation mark is not closed"
    answer = service.ask("caller", "POST", "/v1/check", json={"text": text})
    with service.http("officer") as http:
        url = f"/v1/decisions/{answer['genguard']['decision']}/content?reason=test"
        shown = http.get(url, headers={"x-genguard-speak": "zh"}).json()
        assert {one["text"] for one in shown["content"]} == {text}
        proof = f"/v1/decisions/{answer['genguard']['decision']}/proof"
        assert http.get(proof, headers={"x-genguard-speak": "zh"}).content == http.get(proof).content
        unknown = http.get("/v1/decisions?q=rul:x", headers={"x-genguard-speak": "zh"})
        assert "没有名为" in unknown.json()["error"]["message"]
        assert (
            http.get("/v1/decisions?q=rul:x", headers={"x-genguard-speak": "xx"}).json()
            == http.get("/v1/decisions?q=rul:x").json()
        )
