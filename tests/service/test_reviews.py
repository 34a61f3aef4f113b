"""Reviews over HTTP: who sees what, and what leaves only after a person."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient

from audit.query import query, show
from audit.verify import verify
from guard.registry import checks
from service import create_app
from serving.derived import rederive
from serving.settings import Settings
from tests.fakes import ImageCheck, WordCheck, png

POLICY = """
policy: desk
version: 1
status: live
checks:
  names: {use: names}
  odd: {use: odd}
  dark: {use: dark}
rules:
  - {id: names, when: {names: [word]}, action: redact, category: privacy, with: {operator: replace, text: "[NAME]"}}
  - {id: odd, when: {odd: [word]}, action: review, category: input}
  - {id: dark, when: {dark: [dark]}, action: review, category: violence}
marks:
  metadata: [iptc]
"""
KEYS = {
    "app": "app@acme+caller+reviewer",
    "ann": "ann@acme+reviewer",
    "bob": "bob@acme+reviewer",
    "spy": "spy@umbrella+reviewer",
    "boss": "boss+auditor",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A service that needs no model, for two tenants and an operator."""
    for name, factory in (("names", lambda: WordCheck("anna")), ("odd", lambda: WordCheck("odd")), ("dark", ImageCheck)):
        monkeypatch.setitem(checks._factories, name, factory)
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    return Settings(
        policies=(str(tmp_path / "policy.yaml"),),
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}",
        generators=("echo",),
        api_keys=",".join(f"{who}:{name * 8}" for name, who in KEYS.items()),
    )


class Desk:
    """A client with a name for each key."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, who: str, path: str, **params: Any) -> Any:
        return self.client.get(f"/v1/{path}", params=params, headers=self.headers(who))

    def post(self, who: str, path: str, **body: Any) -> Any:
        return self.client.post(f"/v1/{path}", json=body, headers=self.headers(who))

    def headers(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {who * 8}"}

    def held(self, **content: str) -> str:
        """The id of an output that waits."""
        answer = self.post("app", "check", **(content or {"text": "anna is odd"})).json()
        assert (answer["action"], answer["text"], answer["image"]) == ("review", None, None)
        return answer["genguard"]["decision"]

    def let_go(self, one: str, who: str = "ann") -> None:
        """Somebody claims and releases it."""
        assert self.post(who, f"reviews/{one}/claim").status_code == 200
        said = {"outcome": "release", "code": "false_positive"}
        assert self.post(who, f"reviews/{one}/decide", **said).status_code == 200


def test_an_output_leaves_after_a_person_let_it_go(settings: Settings) -> None:
    """Edited, with its receipt; the same answer however often it is asked for; and the ledger stays sound."""
    with TestClient(create_app(settings)) as client:
        desk = Desk(client)
        one = desk.held()
        assert desk.get("app", f"reviews/{one}").json()["status"] == "waiting"
        listed = desk.get("ann", "reviews", queue="category:input").json()
        assert [(row["decision"], row["state"], row["overdue"]) for row in listed["reviews"]] == [(one, "waiting", False)]
        claimed = desk.post("ann", f"reviews/{one}/claim", minutes=5).json()["review"]
        assert claimed["claimed"]["by"] == "ann"
        assert desk.post("bob", f"reviews/{one}/claim").status_code == 409
        assert desk.post("ann", f"reviews/{one}/decide", outcome="release", code="mood").status_code == 400
        decided = desk.post("ann", f"reviews/{one}/decide", outcome="release", code="false_positive").json()
        assert decided["review"]["outcome"] == "release"
        freed = desk.get("app", f"reviews/{one}").json()
        assert (freed["status"], freed["text"]) == ("released", "[NAME] is odd")
        assert desk.get("app", f"reviews/{one}").json()["genguard"] == freed["genguard"]
        released = freed["genguard"]["decision"]
        assert desk.get("app", f"decisions/{released}/proof").status_code == 200
        assert desk.get("ann", "reviews").json() == {"reviews": [], "next": None}
    shown = show(settings.ledger, released)
    assert (shown.body["parent"], shown.body["reviewed"]["actor"], rederive(shown)) == (one, "ann", "same")
    assert verify(settings.ledger).ok
    assert len(query(settings.ledger, "action:redact").rows) == 1, "it is made ready once"


def test_an_image_leaves_with_the_marks_of_its_policy(settings: Settings) -> None:
    """Read back from the very file."""
    with TestClient(create_app(settings)) as client:
        desk = Desk(client)
        one = desk.held(image=base64.b64encode(png(64, 64, (0, 0, 0))).decode())
        desk.let_go(one)
        freed = desk.get("app", f"reviews/{one}").json()
        assert [(mark["kind"], mark["verified"]) for mark in freed["genguard"]["marks"]] == [("iptc", True)]
        assert b"trainedAlgorithmicMedia" in base64.b64decode(freed["image"])


def test_a_text_comes_with_the_label_that_its_policy_asks_for(settings: Settings, tmp_path: Path) -> None:
    """As every released text does."""
    (tmp_path / "policy.yaml").write_text(POLICY.replace("[iptc]", "[aigc]"), "utf-8")
    with TestClient(create_app(settings.model_copy(update={"content_producer": "Acme Ltd"}))) as client:
        desk = Desk(client)
        one = desk.held()
        desk.let_go(one)
        freed = desk.get("app", f"reviews/{one}").json()
    assert freed["AIGC"]["ContentProducer"] == "Acme Ltd"
    assert freed["genguard"]["decision"] in freed["AIGC"].values()


def test_a_mark_that_cannot_be_put_on_is_for_a_person_too(settings: Settings, tmp_path: Path) -> None:
    """Where the policy says so: the picture waits once more, for the mark alone, and then leaves without it."""
    marked = POLICY.replace("metadata: [iptc]", "watermark: {image: {method: dwtDctSvd, on_unmarkable: review}}")
    (tmp_path / "policy.yaml").write_text(marked, "utf-8")
    with TestClient(create_app(settings)) as client:
        desk = Desk(client)
        one = desk.held(image=base64.b64encode(png(32, 32, (0, 0, 0))).decode())
        desk.let_go(one)
        again = desk.get("app", f"reviews/{one}").json()
        assert (again["status"], "image" in again) == ("waiting", False)
        waits = desk.get("bob", "reviews").json()["reviews"]
        assert [(row["rules"], row["state"]) for row in waits] == [(["dark", "mark:watermark"], "waiting")]
        desk.let_go(waits[0]["decision"], "bob")
        freed = desk.get("app", f"reviews/{one}").json()
        assert freed["status"] == "released"
        assert base64.b64decode(freed["image"]) == png(32, 32, (0, 0, 0))
        assert desk.get("bob", "reviews").json()["reviews"] == []
    report = verify(settings.ledger)
    assert (report.ok, rederive(show(settings.ledger, freed["genguard"]["decision"]))) == (True, "same")


def test_of_many_who_ask_at_once_one_makes_it_ready(settings: Settings) -> None:
    """All get the same."""
    with TestClient(create_app(settings)) as client, ThreadPoolExecutor(8) as pool:
        desk = Desk(client)
        one = desk.held()
        desk.let_go(one)
        answers = list(pool.map(lambda _: desk.get("app", f"reviews/{one}").json(), range(8)))
    assert {(answer["status"], answer["genguard"]["decision"]) for answer in answers} == {
        ("released", answers[0]["genguard"]["decision"])
    }
    assert len(query(settings.ledger, "action:redact").rows) == 1


def test_another_tenant_sees_nothing_and_changes_nothing(settings: Settings) -> None:
    """Not that it is there, not how it stands, not its content; an operator sees how it stands, and no content."""
    with TestClient(create_app(settings)) as client:
        desk = Desk(client)
        one = desk.held()
        steps = {
            "claim": {},
            "release": {},
            "decide": {"outcome": "release", "code": "quality"},
            "appeal": {"reason": "x"},
            "overrule": {"outcome": "release", "reason": "x"},
            "undo": {"reason": "x"},
        }
        for name, body in steps.items():
            assert desk.post("spy", f"reviews/{one}/{name}", **body).status_code == 404
        assert desk.post("spy", "feedback", decision=one, code="wrong_block").status_code == 404
        assert desk.get("spy", f"reviews/{one}").status_code == 404
        assert desk.get("spy", "reviews").json()["reviews"] == []
        desk.let_go(one)
        assert desk.get("spy", f"reviews/{one}").status_code == 404
        seen = desk.get("boss", f"reviews/{one}").json()
        assert set(seen) == {"review"}
        assert desk.get("app", f"reviews/{one}").json()["text"] == "[NAME] is odd"
        assert "anna" not in str(seen)


def test_who_asked_may_not_let_it_go_and_undo_ends_the_handing_out(settings: Settings) -> None:
    """A withheld one may be appealed by its caller, and feedback opens what was decided by rules."""
    with TestClient(create_app(settings)) as client:
        desk = Desk(client)
        one = desk.held()
        refused = desk.post("app", f"reviews/{one}/claim")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "refused")
        assert "asked for this output" in refused.json()["error"]["message"]
        desk.let_go(one)
        assert desk.get("app", f"reviews/{one}").json()["status"] == "released"
        assert desk.post("ann", f"reviews/{one}/undo", reason="wrong one").status_code == 200
        taken_back = desk.get("app", f"reviews/{one}").json()
        assert (taken_back["status"], "text" in taken_back) == ("waiting", False)
        desk.post("ann", f"reviews/{one}/claim")
        desk.post("ann", f"reviews/{one}/decide", outcome="withhold", code="policy_correct")
        assert desk.get("app", f"reviews/{one}").json()["status"] == "withheld"
        assert desk.post("app", f"reviews/{one}/appeal", reason="").status_code == 422
        assert desk.post("app", f"reviews/{one}/appeal", reason="it is fine").status_code == 200
        assert desk.post("ann", f"reviews/{one}/claim").status_code == 409
        desk.post("bob", f"reviews/{one}/claim")
        unreasoned = desk.post("bob", f"reviews/{one}/decide", outcome="release", code="quality")
        assert unreasoned.status_code == 400
        desk.post("bob", f"reviews/{one}/decide", outcome="release", code="quality", reason="it is")
        assert desk.get("app", f"reviews/{one}").json()["status"] == "released"
        passed = desk.post("app", "check", text="fine").json()["genguard"]["decision"]
        assert desk.get("app", f"reviews/{passed}").json()["status"] == "not_held"
        assert desk.post("app", "feedback", decision=passed, code="missed_harm", comment="see there").status_code == 200
        assert desk.post("app", "feedback", decision=passed, code="dislike").status_code == 400
        queue = desk.get("ann", "reviews", queue="feedback").json()["reviews"]
        assert [row["decision"] for row in queue] == [passed]
        assert desk.get("ann", "reviews", queue="mine").status_code == 400


def test_settings_say_who_reviews_and_what_takes_two(settings: Settings) -> None:
    """Keys that do not review may appeal and give feedback."""
    plain = SecretStr(",".join(f"{who.partition('+')[0]}:{name * 8}" for name, who in KEYS.items()))
    more = {"reviewers": ("ann", "bob"), "second_review": ("odd",), "review_sla_minutes": 1}
    strict = settings.model_copy(update={"api_keys": plain, **more})
    with TestClient(create_app(strict)) as client:
        desk = Desk(client)
        one = desk.held()
        assert desk.get("app", "reviews").status_code == 403
        assert desk.post("boss", f"reviews/{one}/claim").status_code == 403
        desk.let_go(one)
        waits = desk.get("app", f"reviews/{one}").json()
        assert (waits["status"], waits["review"]["state"]) == ("waiting", "second")
        assert desk.post("ann", f"reviews/{one}/claim").status_code == 409
        desk.let_go(one, "bob")
        assert desk.get("app", f"reviews/{one}").json()["status"] == "released"


def test_what_was_erased_is_not_handed_out(settings: Settings) -> None:
    """A destroyed key ends it, with the reason; nothing half-made stays behind."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        desk = Desk(client)
        first, second = desk.held(), desk.held()
        desk.let_go(first)
        assert desk.get("app", f"reviews/{first}").json()["status"] == "released"
        desk.let_go(second)
        with create_engine(settings.ledger).begin() as connection:
            connection.execute(text("DELETE FROM subject_key"))
        gone = desk.get("app", f"reviews/{first}").json()
        assert (gone["status"], gone["why"]) == ("withheld", "its subject's key was destroyed")
        failed = desk.get("app", f"reviews/{second}")
        assert failed.status_code == 503
        assert "key was destroyed" in failed.json()["error"]["message"]
