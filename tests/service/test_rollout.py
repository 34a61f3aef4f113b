"""serving.rollout and serving.policies: services that follow the ledger while they work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from audit.ledger import open_ledger
from audit.query import query, show
from audit.verify import verify
from guard.errors import SignatureError
from guard.note import SigningKey
from guard.registry import checks
from guard.rules import Policy
from guard.types import Rollout, Step
from policies import load, loads
from policies.signing import Trust, read_signature, sign
from service import create_app
from serving import rollout
from serving.derived import rederive
from serving.settings import Settings
from terminal.display import print_entry
from tests.fakes import FakeCheck, UnloadableCheck, WordCheck

KEY = "k" * 24
POLICY = """
policy: house
version: 1
status: live
checks:
  words: {use: words, words: [bad]}
rules:
  - {id: bad, when: {words: [word]}, action: block, category: privacy}
"""


def words(*, words: tuple[str, ...] = ()) -> FakeCheck:
    return WordCheck(*words)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks without models, and a watcher in a hurry."""
    monkeypatch.setitem(checks._factories, "words", words)
    monkeypatch.setitem(checks._factories, "gone", UnloadableCheck)
    monkeypatch.setattr(rollout, "POLL_S", 0.05)
    for name in ("GENGUARD_MASTER_KEY", "GENGUARD_REDACTION_KEY", "GENGUARD_POLICY_KEYS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def version(number: int, *forbidden: str, text: str = POLICY) -> Policy:
    """Another version, which forbids other words."""
    return loads(text.replace("version: 1", f"version: {number}").replace("[bad]", f"[{', '.join(forbidden)}]"))


def settings(tmp_path: Path, **given: Any) -> Settings:
    file = tmp_path / "policy.yaml"
    if not file.exists():
        file.write_text(POLICY, "utf-8")
    return Settings(policies=(str(file),), ledger=f"sqlite:///{tmp_path / 'ledger.db'}", generators=("echo",), **given)


def take(url: str, step: str, policy: Policy, **fields: Any) -> int:
    """One step, as the terminal takes it."""
    with open_ledger(url) as ledger:
        ledger.activate_sync(policy.id, policy.version, policy.revision, policy.document)
        known: dict[str, Any] = {"author": "ann", "reason": "because", "time": datetime.now(UTC), **fields}
        return ledger.roll_out_sync(Rollout(policy.id, policy.version, policy.revision, Step(step), **known))


def check(client: TestClient, text: str) -> dict[str, Any]:
    answer = client.post("/v1/check", json={"text": text})
    assert answer.status_code == 200, answer.text
    return answer.json()


def entry(client: TestClient, text: str) -> dict[str, Any]:
    """The decision's body."""
    answer = client.post("/v1/check", json={"text": text})
    return client.get(f"/v1/decisions/{answer.headers['x-genguard-decision']}").json()["entry"]


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def in_force(client: TestClient, name: str = "house") -> int:
    """The version that judges."""
    found = client.get(f"/v1/policies/{name}").json()
    return found["in_force"]["version"] if found.get("in_force") else 0


# --- switching -------------------------------------------------------------------------------------------------------


def test_a_service_under_load_switches_without_losing_a_request(tmp_path, url):
    """Eight callers all the time: each is answered, by the old revision or the new; two seconds later by the new alone."""
    old, new = version(1, "bad"), version(2, "good")
    statuses: list[int] = []
    stop = threading.Event()
    with TestClient(create_app(settings(tmp_path))) as client:

        def call() -> None:
            while not stop.is_set():
                statuses.append(client.post("/v1/check", json={"text": "a good text"}).status_code)

        callers = [threading.Thread(target=call) for _ in range(8)]
        for one in callers:
            one.start()
        until(lambda: len(statuses) > 50)
        index = take(url, "activate", new, previous=old.revision)
        until(lambda: check(client, "good")["genguard"]["action"] == "block")
        after = len(statuses)
        until(lambda: len(statuses) > after + 50)
        stop.set()
        for one in callers:
            one.join()
    assert set(statuses) == {200}
    assert rollout.POLL_S <= 1.0
    rows = query(url, limit=1000).rows
    assert {row.revision for row in rows} == {old.revision, new.revision}
    switched = max(row.idx for row in rows if row.revision == old.revision)
    assert all((row.action == "block") == (row.revision == new.revision) for row in rows)
    assert min(row.idx for row in rows if row.revision == new.revision) > index
    assert any(row.idx > switched for row in rows)
    report = verify(url)
    assert report.ok, report.problems
    assert report.checked["rollouts"] == 1


def test_several_services_on_one_ledger_all_follow(tmp_path, url):
    """And one that starts later begins with what the ledger says."""
    wanted = settings(tmp_path)
    with TestClient(create_app(wanted)) as first, TestClient(create_app(wanted)) as second:
        take(url, "activate", version(2, "good"))
        for client in (first, second):
            until(lambda client=client: in_force(client) == 2)
    with TestClient(create_app(wanted)) as third:
        assert in_force(third) == 2
        assert third.get("/v1/policies").json()["policies"][0]["source"] == "ledger"


def test_a_rollback_is_followed_too(tmp_path, url):
    """To what judged from the file, here."""
    old, new = version(1, "bad"), version(2, "good")
    with TestClient(create_app(settings(tmp_path))) as client:
        take(url, "activate", new, previous=old.revision)
        until(lambda: in_force(client) == 2)
        take(url, "rollback", old)
        until(lambda: in_force(client) == 1)
        assert check(client, "bad")["genguard"]["action"] == "block"


def test_a_new_policy_comes_and_goes(tmp_path, url):
    """One that no file names; and the last one stays, whatever the ledger says."""
    other = loads(POLICY.replace("policy: house", "policy: other"))
    with TestClient(create_app(settings(tmp_path))) as client:
        take(url, "activate", other)
        until(lambda: in_force(client, "other") == 1)
        take(url, "retire", other)
        until(lambda: in_force(client, "other") == 0)
        take(url, "activate", version(1, "bad"))
        take(url, "retire", version(1, "bad"))
        until(lambda: "no policy" in client.get("/readyz").json().get("rollout", {}).get("house", ""))
        assert check(client, "bad")["genguard"]["action"] == "block"


# --- what cannot be used ---------------------------------------------------------------------------------------------

BROKEN = POLICY.replace("checks:", "checks:\n  none: {use: gone}")


def test_a_revision_that_cannot_be_used_keeps_the_last_good_one(tmp_path, url, caplog, monkeypatch):
    """In a running service and in one that starts, which is told and is no reason to be out of service; and tried again."""
    good, broken = version(2, "good"), version(3, "worse", text=BROKEN)
    caplog.set_level(logging.WARNING)
    wanted = settings(tmp_path)
    with TestClient(create_app(wanted)) as client:
        take(url, "activate", good)
        until(lambda: in_force(client) == 2)
        take(url, "activate", broken)
        until(lambda: "rollout" in client.get("/readyz").json())
        ready = client.get("/readyz")
        assert ready.status_code == 200
        told = ready.json()["rollout"]["house"]
        assert "no model folder" in told
        assert f"revision {good.revision[:16]} stays in force" in told
        assert told in caplog.text
        assert check(client, "good")["genguard"]["action"] == "block"
        assert client.get("/v1/policies/house").json()["trouble"] == told
    with TestClient(create_app(wanted)) as client:
        assert in_force(client) == 2
        monkeypatch.setitem(checks._factories, "gone", FakeCheck)
        monkeypatch.setattr(rollout, "RETRY_S", 0.0)
        client.app.state.wired.watcher._retry_at.clear()  # type: ignore[attr-defined]
        until(lambda: in_force(client) == 3)
        assert "rollout" not in client.get("/readyz").json()


def test_a_model_that_takes_long_holds_nothing_else_up(tmp_path, url, monkeypatch):
    """Neither another policy nor a newer step of the same; the old revision judges on meanwhile."""
    loaded = threading.Event()

    class Slow(FakeCheck):
        def load(self) -> None:
            loaded.wait(90)

    monkeypatch.setitem(checks._factories, "gone", Slow)
    slow, other = version(2, "good", text=BROKEN), loads(POLICY.replace("policy: house", "policy: other"))
    with TestClient(create_app(settings(tmp_path))) as client:
        try:
            take(url, "activate", slow)
            time.sleep(0.2)
            take(url, "activate", other)
            until(lambda: in_force(client, "other") == 1, 40)
            assert check(client, "bad")["genguard"]["action"] == "block"
            assert in_force(client) == 1
            take(url, "activate", version(3, "fine"))
            until(lambda: in_force(client) == 3, 40)
        finally:
            loaded.set()
        take(url, "activate", slow)
        until(lambda: in_force(client) == 2)


def test_a_running_service_keeps_what_it_runs(tmp_path, url):
    """Not what judged before that elsewhere."""
    old = version(9, "older")
    with TestClient(create_app(settings(tmp_path))) as client:
        take(url, "activate", version(3, "worse", text=BROKEN), previous=stored(url, old))
        until(lambda: "rollout" in client.get("/readyz").json())
        assert in_force(client) == 1
        assert "stays in force" in client.get("/v1/policies/house").json()["trouble"]


def stored(url: str, policy: Policy) -> str:
    """The revision of a policy whose document the ledger has."""
    with open_ledger(url) as ledger:
        ledger.activate_sync(policy.id, policy.version, policy.revision, policy.document)
    return policy.revision


def test_a_broken_shadow_or_canary_keeps_nothing_else_back(tmp_path, url):
    """What can be used is."""
    good, broken, canary = version(2, "good"), version(3, "worse", text=BROKEN), version(4, "fine")
    with TestClient(create_app(settings(tmp_path))) as client:
        take(url, "activate", good)
        take(url, "shadow", broken)
        take(url, "canary", canary, share=50, by="requests")
        until(lambda: client.get("/v1/policies/house").json()["canary"] is not None)
        found = client.get("/v1/policies/house").json()
        assert (found["in_force"]["version"], found["canary"]["version"], found["shadows"]) == (2, 4, [])
        assert "no model folder" in found["trouble"]
        take(url, "stop", broken)
        until(lambda: not client.get("/v1/policies/house").json()["trouble"])


def test_a_ledger_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    """And followed again when it can; the service is not ready meanwhile."""
    from guard.errors import LedgerError

    with TestClient(create_app(settings(tmp_path))) as client:

        def fail(*_: Any, **__: Any) -> Any:
            raise LedgerError("cannot read the ledger")

        with monkeypatch.context() as patch:
            patch.setattr(rollout, "rollouts", fail)
            until(lambda: client.get("/readyz").json().get("rollout") == {"(ledger)": "cannot read the ledger"})
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["troubles"]) == (503, {"ledger": "cannot read the ledger"})
        until(lambda: "rollout" not in client.get("/readyz").json())


def test_a_policy_that_needs_a_key_gets_it(tmp_path, url):
    """Made beside the ledger by the service that first needs it, although its document was there before."""
    keyed = loads(
        POLICY.replace("version: 1", "version: 2").replace("action: block", "action: redact, with: {operator: pseudonymise}")
    )
    with TestClient(create_app(settings(tmp_path))) as client:
        assert not (tmp_path / "ledger.db.redaction.key").exists()
        take(url, "activate", keyed)
        until(lambda: in_force(client) == 2)
        assert check(client, "a bad text")["genguard"]["action"] == "redact"
    assert (tmp_path / "ledger.db.redaction.key").exists()


# --- canary and shadow -----------------------------------------------------------------------------------------------


def test_canary_and_shadow_are_recorded_and_derive_again(tmp_path, url, capsys):
    """Both revisions judge; the shadow's verdicts are found by their action."""
    old, new = version(1, "bad"), version(2, "good")
    shadow = version(3, "text")
    with TestClient(create_app(settings(tmp_path))) as client:
        take(url, "shadow", shadow)
        take(url, "canary", new, share=50, by="requests", previous=old.revision)
        until(lambda: client.get("/v1/policies/house").json()["canary"] is not None)
        for _ in range(40):
            check(client, "a good text")
        shown = entry(client, "a good text")["shadows"][0]["verdict"]
        assert (shown["action"], shown["version"]) == ("block", 3)
    rows = query(url, "shadow:block", limit=100).rows
    assert len(rows) == 41
    assert {(row.version, row.action) for row in rows} == {(1, "allow"), (2, "block")}
    assert {rederive(show(url, row.idx)) for row in rows} == {"same"}
    assert list(query(url, "shadow:allow").rows) == []
    assert verify(url).ok
    print_entry(show(url, rows[0].idx))
    said = capsys.readouterr().out
    assert f"house version 3, revision {shadow.revision}" in said
    assert "block: Blocked. Rule bad" in said


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ann() -> SigningKey:
    return SigningKey.make("ann")


@pytest.fixture
def signed(tmp_path: Path, ann: SigningKey) -> Settings:
    """A service that trusts ann, with a policy of hers."""
    (tmp_path / "trusted.pub").write_text(f"# who may\n\n{ann.public}\n", "utf-8")
    wanted = settings(tmp_path, policy_keys=str(tmp_path / "trusted.pub"))
    (tmp_path / "policy.yaml.sig").write_text(sign(version(1, "bad"), ann), "utf-8")
    return wanted


def test_an_unsigned_policy_is_not_served(tmp_path, signed, ann):
    """Nor one with the signature of a stranger, or of another revision."""
    note = tmp_path / "policy.yaml.sig"
    for wrong in ("", sign(version(1, "bad"), SigningKey.make("ann")), sign(version(2, "bad"), ann), "nonsense"):
        note.write_text(wrong, "utf-8")
        with pytest.raises(SignatureError), TestClient(create_app(signed)):
            pass
    note.unlink()
    with pytest.raises(SignatureError, match="not signed by a trusted key"), TestClient(create_app(signed)):
        pass


def test_packs_need_no_signature(tmp_path, signed):
    """They are part of the software."""
    assert read_signature("enterprise") == ""
    assert Trust.read(signed.policy_keys).check_file(load("enterprise"), "enterprise") == ""


def test_revisions_from_the_ledger_need_a_signature_too(tmp_path, url, signed, ann):
    """Unsigned, wrongly signed and tampered ones leave the last good one in force."""
    good, bare = version(2, "good"), version(3, "worse")
    with TestClient(create_app(signed)) as client:
        assert in_force(client) == 1
        take(url, "activate", good, signature=sign(good, ann))
        until(lambda: in_force(client) == 2)
        wrong = (
            "",
            sign(bare, SigningKey.make("eve")),
            sign(good, ann),
            sign(bare, ann).replace("\n3\n", "\n4\n"),
            sign(bare, SigningKey.make("ann")),
        )
        for note in wrong:
            index = take(url, "activate", bare, signature=note)
            watcher = client.app.state.wired.watcher  # type: ignore[attr-defined]
            until(lambda index=index, watcher=watcher: watcher._after == index and "house" in watcher.troubles)
            assert "revision" in client.get("/readyz").json()["rollout"]["house"]
            take(url, "rollback", good)
            until(lambda: not client.get("/v1/policies/house").json()["trouble"])
        take(url, "activate", bare, signature=sign(bare, ann))
        until(lambda: in_force(client) == 3)
        take(url, "rollback", good)
        until(lambda: in_force(client) == 2)


# --- routes ----------------------------------------------------------------------------------------------------------


def test_the_routes_tell_how_a_policy_came_to_be_in_force(tmp_path, url):
    """In force, canary, shadows, document and every step."""
    new = version(2, "good")
    with TestClient(create_app(settings(tmp_path))) as client:
        (listed,) = client.get("/v1/policies").json()["policies"]
        assert (listed["policy"], listed["source"], listed["in_force"]["version"]) == ("house", "file", 1)
        assert client.get("/v1/policies/house").json()["history"] == []
        first = take(url, "activate", new)
        take(url, "activate", new)
        until(lambda: len(client.get("/v1/policies/house").json()["history"]) == 2)
        found = client.get("/v1/policies/house").json()
        assert found["document"]["version"] == 2
        step = found["history"][0]
        assert (step["index"], step["step"], step["author"]) == (first, "activate", "ann")
        assert found["history"][1]["void"] == "it is in force already"
        assert found["ledger"]["in_force"] == {"version": 2, "revision": new.revision}
        assert client.get("/v1/policies/none").status_code == 404


def test_only_keys_without_a_tenant_see_policies(tmp_path):
    """A policy names other tenants."""
    app = create_app(settings(tmp_path, api_keys=f"desk@acme+author:{KEY},officer+officer:{'s' * 16}"))
    with TestClient(app) as client:
        statuses = [
            client.get(path, headers={"authorization": f"Bearer {key}"}).status_code
            for path in ("/v1/policies", "/v1/policies/house")
            for key in (KEY, "s" * 16)
        ]
    assert statuses == [403, 200, 403, 200]
