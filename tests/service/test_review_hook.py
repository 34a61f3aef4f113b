"""The web hook of reviews: what became of each is told at least once, in order, without content."""

from __future__ import annotations

import base64
import hmac
import json
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from audit import review_steps as steps
from audit.checkpoint import Checkpoint
from audit.database import reader_engine
from audit.ledger import open_ledger
from audit.notary import Notary
from audit.prove import prove
from guard.errors import SettingsError
from guard.note import SigningKey
from guard.types import Action
from service import create_app
from serving.review_hook import ReviewHook
from serving.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "audit"))

from ledger_examples import DOCUMENT, REVISION, SECRET, decision
from servers import hook as hook_server

KEY = b"k" * 32


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """An open ledger."""
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        yield opened


@pytest.fixture
def settings(tmp_path):
    """Makes settings with a hook."""

    def make(url, **more):
        secret = "whsec_" + base64.b64encode(KEY).decode()
        return Settings(
            **{"ledger": f"sqlite:///{tmp_path / 'ledger.db'}", "webhook_secret": secret, "review_webhook": url, **more}
        )

    return make


def held(ledger, number=0):
    """The id of a decision that waits."""
    return str(ledger.append_sync(decision(Action.REVIEW, number=number)).decision)


def decide(ledger, one, outcome, who="ann", reason=""):
    """Somebody claims and decides it."""
    steps.claim(ledger, one, who)
    return steps.decide(ledger, one, who, outcome, "quality", reason).index


def told(got):
    """What was posted: type and outcome of each, by decision."""
    return [(body["type"], body["data"]["decision"], body["data"]["outcome"]) for body in map(json.loads, (b for _, b in got))]


def test_what_was_decided_is_posted_signed_once_and_without_content(ledger, settings):
    """The receipt in it is the step's: it can be proven."""
    held(ledger, 7)
    with hook_server() as (url, got):
        opened = ReviewHook.open(settings(url))
        first, second = held(ledger), held(ledger, 1)
        index = decide(ledger, first, "release")
        decide(ledger, second, "withhold", reason="the guest's name is Anna")
        for _ in range(2):
            opened.post()
            assert opened.trouble == ""
    assert told(got) == [("review.decided", first, "released"), ("review.decided", second, "withheld")]
    headers, body = {name.lower(): value for name, value in got[0][0].items()}, got[0][1]
    assert (headers["webhook-id"], headers["content-type"]) == (f"review-{index}", "application/json")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, "sha256").digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    data = json.loads(body)["data"]
    assert (data["code"], data["by"], data["tenant"], data["held"]) == ("quality", "review", "acme", True)
    everything = b"".join(body for _, body in got)
    assert SECRET.encode() not in everything
    assert b"Anna" not in everything
    key = SigningKey.make("test")
    note = Notary(reader_engine(ledger.path), ledger.path, key).sign()
    proof = prove(f"sqlite:///{ledger.path}", data["receipt"]["index"], note)
    assert Checkpoint.verified(note, [key.public]).size >= data["receipt"]["tree_size"]
    assert prove(f"sqlite:///{ledger.path}", index, note).body == proof.body


def test_steps_that_decide_nothing_are_not_told_and_those_that_undo_are(ledger, settings):
    """Claims and the first of two persons are not; an appeal and an undone step open it again."""
    with hook_server() as (url, got):
        opened = ReviewHook.open(settings(url))
        one = held(ledger)
        steps.claim(ledger, one, "ann")
        steps.release_claim(ledger, one, "ann")
        opened.post()
        assert got == []
        decide(ledger, one, "withhold")
        steps.appeal(ledger, one, "app", "it is harmless")
        decide(ledger, one, "release", "bob", "so it is")
        opened.post()
    assert [kind for kind, _, _ in told(got)] == ["review.decided", "review.reopened", "review.decided"]
    assert [outcome for _, _, outcome in told(got)] == ["withheld", "waiting", "released"]


def test_two_persons(ledger, settings):
    """Only what the second says is told."""
    with hook_server() as (url, got):
        opened = ReviewHook.open(settings(url))
        one = held(ledger)
        for who in ("ann", "bob"):
            steps.claim(ledger, one, who)
            steps.decide(ledger, one, who, "release", "quality", second=["card-number"])
            opened.post()
            assert len(got) == (who == "bob")


def test_what_was_not_acknowledged_comes_again_also_after_a_restart(ledger, settings):
    """From the cursor, with the same id; a redirect is not followed."""
    seconds = [0.0]
    with hook_server(500, 302) as (url, got):
        opened = ReviewHook.open(settings(url))
        opened.clock = lambda: seconds[0]
        decide(ledger, held(ledger), "release")
        opened.post()
        assert opened.trouble == "outcomes of reviews are not posted: status 500"
        opened.post()
        assert len(got) == 1
        seconds[0] = 1.5
        opened.post()
        assert "status 302" in opened.trouble
        decide(ledger, held(ledger, 1), "withhold")
        again = ReviewHook.open(settings(url))
        again.post()
        assert again.trouble == ""
        ReviewHook.open(settings(url)).post()
    assert [outcome for _, _, outcome in told(got)] == ["released", "released", "released", "withheld"]
    assert len({headers["webhook-id"] for headers, _ in got[:3]}) == 1


def test_of_two_services_one_posts(ledger, settings, monkeypatch):
    """While one is at it the other does nothing."""
    inside = []
    with hook_server() as (url, got):
        one, other = ReviewHook.open(settings(url)), ReviewHook.open(settings(url))
        decide(ledger, held(ledger), "release")
        line = ReviewHook._line

        def meanwhile(self, entry):
            assert self is one, "another was not alone"
            other.post()
            inside.append(len(got))
            return line(self, entry)

        monkeypatch.setattr(ReviewHook, "_line", meanwhile)
        one.post()
        assert (one.trouble, len(got)) == ("", 1)
    assert set(inside) == {0}


@pytest.mark.parametrize(
    "more",
    [
        {"review_webhook": "http://example.org/in"},
        {"review_webhook": "https://a:b@example.org/in"},
        {"review_webhook": "file:///etc/passwd"},
        {"webhook_secret": ""},
        {"webhook_secret": "short"},
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_start(ledger, settings, more):
    """An address in the clear, none of the web, no secret."""
    with pytest.raises(SettingsError):
        ReviewHook.open(settings("https://example.org/in", **more))
    assert ReviewHook.open(settings("")) is None


def test_a_service_posts_while_it_runs_and_says_when_it_cannot(tmp_path, settings, monkeypatch):
    """`/readyz` stays 200: decisions do not wait for a hook."""
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    (tmp_path / "policy.yaml").write_text(
        "policy: desk\nversion: 1\nstatus: live\nchecks:\n  hidden: {use: invisible_characters}\nrules:\n"
        "  - {id: hidden, when: {hidden: any}, action: review, category: input}\n"
    )
    made = settings("http://127.0.0.1:9/in", policies=(str(tmp_path / "policy.yaml"),), generators=("echo",))
    with TestClient(create_app(made)) as client:
        one = client.post("/v1/check", json={"text": "a\u200bb\u2063c\u2063d"}).json()["genguard"]["decision"]
        assert client.post(f"/v1/reviews/{one}/claim").status_code in {200, 409}
        with open_ledger(made.ledger) as opened:
            steps.claim(opened, one, "zoe")
            steps.decide(opened, one, "zoe", "withhold", "quality")
        client.app.state.hook._next = 0.0
        client.app.state.hook.post()
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert "no answer" in answer.json()["review_webhook"][0]
