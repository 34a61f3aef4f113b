"""Compliance in the console: a subject is erased and proofs hold, holds, what duties say, who sees what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from console.regulations import REGULATIONS, Standing, answers
from guard.types import Action, Modality
from policies import load
from serving.settings import Settings
from tests.console.desk import Desk, Person

Visit = Callable[..., Person]
SECRET = "A letter that its writer wants to have forgotten, sealed on the ninth."


def test_a_subject_is_erased_and_its_proof_holds(service: Desk, visit: Visit) -> None:
    """Not before a question is answered; the proof from before verifies in the same words afterwards."""
    with service.http("caller") as http:
        sent = {"json": {"text": SECRET}, "headers": {"x-genguard-subject": "person-42"}}
        decision = http.post("/v1/check", **sent).raise_for_status().json()["genguard"]["decision"]
    with service.http("officer") as http:
        before = http.get(f"/v1/decisions/{decision}/proof").raise_for_status().text
    page = visit("officer").open("/console/compliance")
    page.get_by_label("Subject (the id").fill("person-42")
    page.locator("#erase-reason").fill("asked for")
    page.locator("#erase").get_by_role("button", name="Erase").click()
    page.locator("#sure").get_by_role("button", name="Cancel").click()
    assert page.locator("#erased p").count() == 0
    page.locator("#erase").get_by_role("button", name="Erase").click()
    page.locator("#sure").get_by_role("button", name="Erase").click()
    page.get_by_text("Erased: 1 keys").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the certificate").click()
    assert "person-42" in saved.value.path().read_text("utf-8")
    with service.http("officer") as http:
        content = http.get(f"/v1/decisions/{decision}/content", params={"reason": "look"}).json()["content"]
        assert all("text" not in one for one in content)
        after = http.get(f"/v1/decisions/{decision}/proof").raise_for_status().text
    assert before.splitlines()[1] == after.splitlines()[1]  # the same entry
    page.reload()
    assert page.get_by_text("person-42").is_visible()


def test_a_hold_is_set_and_lifted(visit: Visit) -> None:
    """With a reason each time."""
    page = visit("officer").open("/console/compliance")
    page.locator("#hold-query").fill("subject:person-77")
    page.locator("#hold-reason").fill("case 12")
    with page.expect_navigation():
        page.get_by_role("button", name="Set a hold").click()
    page.get_by_role("button", name="Lift subject:person-77").click()
    page.locator("#lift-reason").fill("closed")
    with page.expect_navigation():
        page.locator("#lift").get_by_role("button", name="Lift").click()
    assert page.get_by_text("No hold is in force.").is_visible()


def test_an_auditor_may_export_and_not_erase(service: Desk, visit: Visit) -> None:
    """And what was exported is on record."""
    page = visit("auditor").open("/console/compliance")
    assert page.locator("#erase, #hold, [data-lift]").count() == 0
    page.locator("#format").select_option("jsonl")
    page.locator("#export-q").fill("action:block")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export").click()
    lines = saved.value.path().read_text("utf-8").splitlines()
    blocked = service.ask("auditor", "GET", "/v1/decisions", params={"q": "action:block", "limit": 500})["decisions"]
    assert len(lines) == len(blocked)
    recorded = service.ask("auditor", "GET", "/v1/decisions", params={"q": "kind:export actor:auditor"})["decisions"]
    assert len(recorded) >= 1
    page = visit("ours").open("/console/compliance")
    assert page.locator("#holds").count() == 0


def test_duties_stand_as_policies_and_settings_are() -> None:
    """The bundled default does some of it; with marks, anchors and a producer all of it but what it has no mark for."""
    bare = answers([load("enterprise")], Settings())
    stands = {one.duty.name: one.standing for found in bare.values() for one in found}
    assert stands["logs"] is Standing.MET
    assert stands["image_layers"] is Standing.PARTLY
    assert stands["text_layer"] is stands["implicit"] is Standing.OPEN
    assert stands["detector"] is Standing.PARTLY
    policy = load("enterprise")
    kinds = {
        Modality.IMAGE: ("watermark", "c2pa", "label", "aigc"),
        Modality.TEXT: ("text_watermark", "label"),
        Modality.AUDIO: ("c2pa",),
    }
    one = policy.marks[0]
    made = [
        replace(one, use=use, modality=modality, parameters={"profile": "gb45438"}, only_labelled=False)
        for modality, uses in kinds.items()
        for use in uses
    ]
    rules = tuple(replace(rule, basis="House rules", action=Action(rule.action)) for rule in policy.rules)
    whole = Settings(public_verify=True, anchors=("anchor.log",), content_producer="Example Ltd")
    full = answers([replace(policy, marks=tuple(made), rules=rules)], whole)
    assert {one.standing for found in full.values() for one in found} == {Standing.MET}
    assert answers([policy], Settings(retention_days=183))["ai_act"][2].standing is Standing.MET
    assert set(full) == set(REGULATIONS)
