"""One decision: the way to it, revealing it, proving it in the browser, deciding it again, saying that it was wrong."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from audit.erasure import erase
from audit.ledger import open_ledger
from audit.merkle import leaf_hash, verify_inclusion
from audit.proof import Proof
from audit.query import show
from console import evidence
from console.policy_text import excerpt, lines_of
from guard.errors import ModelError
from tests.console.desk import Desk, Person

Visit = Callable[..., Person]
expect.set_options(timeout=30_000)


def shown(service: Desk, visit: Visit, query: str, who: str = "officer", **given: Any) -> tuple[str, Page]:
    """The latest decision that fits, and somebody at its page."""
    decision = service.decision(query)
    return decision, visit(who, **given).open(f"/console/decisions/{decision}")


def recorded(service: Desk, decision: str) -> Any:
    return service.ask("officer", "GET", f"/v1/decisions/{decision}")["entry"]


def revealed(page: Page, reason: str) -> None:
    page.locator("#reveal").click()
    page.locator("#reveal-reason").fill(reason)
    page.locator("#reveal-go").click()
    expect(page.locator("#reveal-dialog")).to_be_hidden()


def test_the_way_leads_from_the_prompt_to_the_output(service: Desk, visit: Visit) -> None:
    """And back by links."""
    decision, page = shown(service, visit, "rule:insult stage:output")
    assert page.get_by_role("heading", level=1).inner_text() == f"Decision {decision[-12:]} Blocked"
    way = page.get_by_role("region", name="From prompt to release")
    assert [text.split("\n")[0] for text in way.get_by_role("listitem").all_inner_texts()][-1] == "Withheld"
    way.get_by_role("link", name="The prompt was judged").click()
    page.wait_for_url(re.compile(r"/console/decisions/[0-9a-f-]{36}$"))
    page.get_by_role("link", name="An output answered this prompt").first.click()
    page.wait_for_url(f"**/console/decisions/{decision}")


def test_scores_stand_beside_their_thresholds_and_rules_in_their_policy(service: Desk, visit: Visit) -> None:
    decision, page = shown(service, visit, "rule:insult stage:output")
    scores = page.get_by_role("region", name="Scores and thresholds")
    assert scores.get_by_role("img", name=re.compile(r"reaches 0\.700 of rule insult")).count() == 1
    rules = page.get_by_role("region", name="Rules that fired")
    hot = rules.get_by_role("group", name="Lines of rule insult").inner_text()
    assert "- id: insult" in hot
    rules.locator("summary").click()
    whole = rules.get_by_role("group", name="Policy document")
    numbers = whole.locator("tr.hot").count()
    assert 0 < numbers < whole.locator("tr").count()
    with httpx.Client(base_url=service.url, cookies={"genguard": service.cookie("officer")}, timeout=60) as http:
        document = http.get(f"/console/decisions/{decision}/policy").content
    assert hashlib.sha256(document).hexdigest() == recorded(service, decision)["verdict"]["revision"]


def test_a_text_is_masked_until_it_is_revealed_and_that_is_recorded(service: Desk, visit: Visit) -> None:
    """Nothing of it is sent before; then what was found is marked, and what left is shown beside it."""
    decision, page = shown(service, visit, "rule:personal-data stage:output")
    stored = service.ask("officer", "GET", f"/v1/decisions/{decision}/content", params={"reason": "to compare"})
    known = stored["content"][0]["text"]
    spans = [one["where"] for result in recorded(service, decision)["results"] for one in result["findings"]]
    assert spans
    before = page.content()
    assert [known[start:end] for start, end in spans if known[start:end] in before] == []
    page.locator("#reveal").click()
    page.locator("#reveal-go").click()
    assert page.locator("#reveal-dialog").is_visible(), "a reason is required"
    page.keyboard.press("Escape")
    reason = f"case {secrets.token_hex(8)}"
    revealed(page, reason)
    marks = page.locator("#content mark")
    assert {known[start:end] for start, end in spans} <= set(marks.evaluate_all("all => all.map((one) => one.firstChild.data)"))
    labels = {one["label"] for result in recorded(service, decision)["results"] for one in result["findings"]}
    assert {label.strip() for label in marks.locator(".tag").all_inner_texts()} == labels
    assert page.get_by_role("heading", name="As it left").is_visible()
    seen = visit("auditor").open(f"/console/decisions/{decision}").get_by_role("region", name="Who saw the content")
    assert reason in seen.inner_text()
    assert "officer" in seen.inner_text()
    assert "officer" in page.get_by_role("region", name="Who saw the content").inner_text()


def test_an_image_is_revealed_with_its_regions_beside_the_work(service: Desk, visit: Visit) -> None:
    _, page = shown(service, visit, "rule:protected-work modality:image")
    works = page.get_by_role("region", name="Registered works that it reproduces")
    assert "distance" in works.inner_text()
    revealed(page, "case 12")
    frame = page.locator("#content .framed")
    assert frame.locator("img").evaluate("image => image.naturalWidth") == 256
    assert frame.locator("rect").count() >= 1


def plays(page: Page) -> None:
    """The keyboard starts it, and it gets to its end."""
    player = page.locator("#content audio")
    player.evaluate("(one) => { one.ended_ = new Promise((done) => one.addEventListener('ended', done)); }")
    player.focus()
    page.keyboard.press("Space")
    player.evaluate("(one) => one.ended_")
    assert 0.3 < player.evaluate("one => one.duration") < 0.5


def test_an_audio_is_played_after_it_was_revealed(service: Desk, visit: Visit) -> None:
    """At the page of its decision and at the desk of a reviewer; each look is an entry, the file leaves no address."""
    decision = service.sound()
    officer, reviewer = visit("officer"), visit("reviewer")
    page = officer.open(f"/console/decisions/{decision}")
    assert page.locator("audio").count() == 0
    revealed(page, "case 13")
    plays(page)
    with page.expect_download() as kept:
        page.locator("#content").get_by_role("link", name="Download").click()
    assert kept.value.path().read_bytes().startswith(b"RIFF")
    page = reviewer.open(f"/console/reviews/{decision}")
    assert page.locator("audio").count() == 0
    page.locator("#why").fill("case 13")
    page.keyboard.press("Enter")
    plays(page)
    seen = service.ask("auditor", "GET", "/v1/decisions", params={"q": f"kind:access parent:{decision}"})["decisions"]
    assert [one["actor"] for one in seen] == ["reviewer", "officer"]
    assert (officer.complaints, reviewer.complaints) == ([], [])
    assert not [url for who in (officer, reviewer) for url in who.asked if url.startswith("data:")]


def test_who_may_not_see_content_may_not_reveal_it(service: Desk, visit: Visit) -> None:
    """An auditor has no button; an admin breaks the glass, and the page says so afterwards."""
    decision, page = shown(service, visit, "rule:account-number", "auditor")
    assert page.locator("#reveal").count() == 0
    admin = visit("admin").open(f"/console/decisions/{decision}")
    assert admin.get_by_role("button", name="Break the glass").is_visible()
    revealed(admin, "fire in the data centre")
    again = visit("auditor").open(f"/console/decisions/{decision}")
    assert "glass broken" in again.get_by_role("region", name="Who saw the content").inner_text()


def test_a_decision_is_proven_in_the_browser(service: Desk, visit: Visit) -> None:
    """Every step holds, up to the signature; what was changed on the way does not, and is told at its step."""
    decision, page = shown(service, visit, "action:block")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#proof .result")).to_have_text("Proven in this browser: the entry is in the signed ledger, unchanged.")
    assert page.locator("#proof > li > .badge").all_inner_texts() == ["holds"] * 5

    def changed(route: Route) -> None:
        answer = route.fetch()
        proof = Proof.parse(answer.text())
        body = json.loads(proof.body)
        body["verdict"]["action"] = "allow"
        forged = Proof(proof.index, proof.path, proof.checkpoint, json.dumps(body).encode())
        route.fulfill(status=200, body=str(forged), headers={"content-type": "text/plain; charset=utf-8"})

    page.route(f"**/v1/decisions/{decision}/proof", changed)
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#proof .result")).to_contain_text("Not proven")
    states = page.locator("#proof > li > .badge").all_inner_texts()
    assert states == ["holds", "holds", "does not hold", "does not hold", "holds"]


def test_the_browser_climbs_every_path_of_every_tree(service: Desk, visit: Visit) -> None:
    """As the ledger's own code does, for all trees of up to 20 leaves, and for a path that is too short or too long."""
    page = visit("officer").open(f"/console/decisions/{service.decision('action:block')}")
    source = page.evaluate("document.querySelector('script[src$=\"/decision.js\"]').src.replace('decision.js', 'prove.js')")
    leaves = [leaf_hash(bytes([number])) for number in range(20)]
    cases = []
    for size in range(1, 21):
        for index in range(size):
            path = _path(index, leaves[:size])
            root = _root(leaves[:size])
            assert verify_inclusion(index, size, leaves[index], path, root)
            cases.append(
                {
                    "index": index,
                    "size": size,
                    "leaf": list(leaves[index]),
                    "path": [list(one) for one in path],
                    "root": root.hex(),
                }
            )
    wrong = page.evaluate(
        """async ([source, cases]) => {
            const { climb, hex } = await import(source);
            const wrong = [];
            for (const one of cases) {
                const [leaf, path] = [Uint8Array.from(one.leaf), one.path.map((node) => Uint8Array.from(node))];
                const found = await climb(leaf, one.index, one.size, path);
                if (!found || hex(found.root) !== one.root) wrong.push(["good", one.index, one.size]);
                const longer = await climb(leaf, one.index, one.size, [...path, leaf]);
                if (longer) wrong.push(["longer", one.index, one.size]);
                const shorter = path.length ? await climb(leaf, one.index, one.size, path.slice(1)) : null;
                if (shorter) wrong.push(["shorter", one.index, one.size]);
            }
            return wrong;
        }""",
        [source, cases],
    )
    assert wrong == []


def _root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + _root(leaves[:half]) + _root(leaves[half:])).digest()


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*_path(index, leaves[:half]), _root(leaves[half:])]
    return [*_path(index - half, leaves[half:]), _root(leaves[:half])]


def test_an_erased_content_is_told_and_the_proof_still_holds(service: Desk, visit: Visit) -> None:
    subject = f"person-{secrets.token_hex(8)}"
    sent = {"json": {"text": "A reply about somebody."}, "headers": {"x-genguard-subject": subject}}
    decision = service.ask("caller", "POST", "/v1/check", **sent)["genguard"]["decision"]
    with open_ledger(service.ledger) as ledger:
        index = erase(ledger, subject, actor="officer", reason="asked for by the person").index
    page = visit("officer").open(f"/console/decisions/{decision}")
    told = page.get_by_role("region", name="Content", exact=True)
    assert told.get_by_role("link", name=f"Entry {index}").get_attribute("href") == f"/console/decisions/{index}"
    revealed(page, "case 13")
    assert f"as entry {index} says" in told.inner_text()
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#proof .result")).to_contain_text("Proven")


def test_a_decision_is_decided_again(service: Desk, visit: Visit) -> None:
    decision, page = shown(service, visit, "rule:insult")
    page.get_by_role("button", name="Decide again").click()
    expect(page.locator("#rederived")).to_contain_text("The same again")
    expect(page.locator("#rederived")).to_contain_text("insult")
    told = service.ask("caller", "GET", f"/v1/decisions/{decision}/rederivation")
    assert told["same"] is True
    assert told["derived"] == told["recorded"]
    with service.http("theirs") as http:
        assert http.get(f"/v1/decisions/{decision}/rederivation").status_code == 404
        assert http.get("/v1/decisions/0/rederivation").status_code == 404


def test_feedback_goes_to_a_person(service: Desk, visit: Visit) -> None:
    """And stands among what followed."""
    decision, page = shown(service, visit, "rule:account-number", "author")
    page.get_by_label("In your words").fill("it is an order number")
    page.get_by_role("button", name="Send to a reviewer").click()
    expect(page.locator("#feedback [role=status]")).to_contain_text("A person will look at it")
    followed = visit("auditor").open(f"/console/decisions/{decision}").get_by_role("region", name="What followed").inner_text()
    assert "Feedback" in followed
    assert "wrong_block" in followed


def test_evidence_is_taken_along(service: Desk, visit: Visit, tmp_path: Path) -> None:
    """The link, the proof, and a bundle that holds this decision alone."""
    decision, page = shown(service, visit, "action:block")
    page.get_by_role("button", name="Copy the link to this evidence").click()
    assert page.evaluate("navigator.clipboard.readText()") == f"{service.url}/console/decisions/{decision}"
    with page.expect_download() as coming:
        page.get_by_role("link", name="Proof", exact=True).click()
    coming.value.save_as(tmp_path / "proof")
    assert json.loads(Proof.parse((tmp_path / "proof").read_text("utf-8")).body)["id"] == decision
    with page.expect_download() as coming:
        page.get_by_role("button", name="Evidence bundle").click()
    coming.value.save_as(tmp_path / "bundle.zip")
    assert zipfile.is_zipfile(tmp_path / "bundle.zip")


def test_another_entry_is_a_page_of_facts(service: Desk, visit: Visit) -> None:
    page = visit("officer").open("/console/decisions/0")
    assert page.get_by_role("heading", level=1).inner_text() == "Entry 0: Start of the ledger"


@pytest.mark.parametrize("who", ["theirs", "caller"])
def test_tenants_see_nothing_of_others(service: Desk, who: str) -> None:
    """Not that it is there, nor the policy; of their own, not what persons of the house wrote."""
    decision = service.decision("rule:insult")
    with httpx.Client(base_url=service.url, cookies={"genguard": service.cookie(who)}, timeout=60) as http:
        answer = http.get(f"/console/decisions/{decision}")
        assert answer.status_code == (404 if who == "theirs" else 200)
        assert http.get(f"/console/decisions/{decision}/policy").status_code == 403
        assert "Who saw the content" not in answer.text
        assert "Policy document" not in answer.text


def test_works_say_what_their_bank_knows(service: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose it was then, and whether there is a picture of it now; a bank that is not here hides nothing else."""
    found = show(service.ledger, service.decision("rule:protected-work"))
    assert found.decision is not None
    digest = next(one.digest for one in found.decision.results if one.findings)

    def load(name: str, *, empty: bool) -> Any:
        def find(work: str, at: str = "") -> Any:
            assert at in {"", digest}
            return SimpleNamespace(work=SimpleNamespace(owner="then" if at else "now", thumbnail=b"" if at else b"picture"))

        assert empty
        return SimpleNamespace(find=find)

    monkeypatch.setattr("console.evidence.banks.load", load)
    (one,) = evidence.works(found.decision)
    assert (one.owner, one.thumbnail) == ("then", True)

    def missing(name: str, *, empty: bool) -> Any:
        raise ModelError(f"no bank {name}")

    monkeypatch.setattr("console.evidence.banks.load", missing)
    (one,) = evidence.works(found.decision)
    assert (one.owner, one.thumbnail, one.match.title) == ("", False, "Harbour Light")


def test_a_policy_document_becomes_lines() -> None:
    """In the order of a policy file, numbered through, each line with its rule."""
    rules = [{"action": "block", "id": "a", "when": {"x": 1}}, {"action": "allow", "id": "b", "title": "标题"}]
    lines = lines_of(json.dumps({"rules": rules, "policy": "p", "zoo": 1}), {"b"})
    assert [one.text for one in lines][:3] == ["policy: p", "rules:", "  - id: a"]
    assert [one.number for one in lines] == list(range(1, len(lines) + 1))
    assert [one.text.strip() for one in excerpt(lines, "b")] == ["- id: b", "title: 标题", "action: allow"]
    assert {one.rule for one in lines if one.fired} == {"b"}
    with pytest.raises(TypeError, match="no object"):
        lines_of("[]", set())
