"""Erasures, holds and the report over HTTP: who may, what is told, what is on record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from audit.certificate import Certificate
from guard.note import Note
from tests.service_client import served

KEYS = {"desk": "officer", "acme@acme": "officer", "app@acme": "caller", "look": "auditor"}
WORDS = "A letter of somebody who wants to be forgotten."


def key(name: str) -> str:
    return name.replace("@", "-").ljust(24, "k")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    given = ",".join(f"{name}+{role}:{key(name)}" for name, role in KEYS.items())
    with served(tmp_path, api_keys=given) as found:
        yield found


def ask(client: TestClient, who: str, method: str, path: str, **sent: Any) -> Any:
    headers = {"authorization": f"Bearer {key(who)}", **sent.pop("headers", {})}
    return client.request(method, path, headers=headers, **sent)


def decided(client: TestClient, subject: str) -> str:
    sent = {"json": {"text": WORDS}, "headers": {"x-genguard-subject": subject}}
    return str(ask(client, "app@acme", "POST", "/v1/check", **sent).json()["genguard"]["decision"])


def test_a_subject_is_erased_with_a_certificate(client: TestClient) -> None:
    """Its content is gone, the proof stays, the certificate is signed by the log's key; a second time changes nothing."""
    decision = decided(client, "person-7")
    body = {"subject": "person-7", "reason": "asked for", "basis": "GDPR Art. 17(1)(b)"}
    found = ask(client, "desk", "POST", "/v1/erasures", json=body).json()
    assert (found["keys"], found["payloads"] > 0, found["again"], found["overwritten"]) == (1, True, False, True)
    public = client.app.state.office.notary.key.public
    verified = Certificate.verified(found["certificate"], [public])
    assert verified.differs(client.app.state.wired.ledger_url) == ""
    assert Note.parse(found["certificate"]).text.count("person-7") == 1
    content = ask(client, "desk", "GET", f"/v1/decisions/{decision}/content", params={"reason": "look"}).json()["content"]
    assert all("text" not in one for one in content)
    assert ask(client, "desk", "GET", f"/v1/decisions/{decision}/proof").status_code == 200
    assert ask(client, "desk", "POST", "/v1/erasures", json=body).json()["again"] is True
    assert ask(client, "desk", "POST", "/v1/erasures", json={**body, "subject": "nobody"}).status_code == 400


def test_a_hold_keeps_it_until_it_is_lifted(client: TestClient) -> None:
    """An erasure is refused meanwhile, and says by which hold."""
    decided(client, "person-8")
    set_ = ask(client, "desk", "POST", "/v1/holds", json={"query": "subject:person-8", "reason": "case 12"}).json()
    listed = ask(client, "desk", "GET", "/v1/holds").json()["holds"]
    assert [(one["id"], one["query"], one["reason"]) for one in listed] == [(set_["hold"], "subject:person-8", "case 12")]
    body = {"subject": "person-8", "reason": "asked for"}
    refused = ask(client, "desk", "POST", "/v1/erasures", json=body)
    assert refused.status_code == 409
    assert set_["hold"] in refused.json()["error"]["message"]
    lifted = ask(client, "desk", "POST", f"/v1/holds/{set_['hold']}/lift", json={"reason": "closed"})
    assert lifted.json()["entry"] > set_["entry"]
    assert ask(client, "desk", "GET", "/v1/holds").json() == {"holds": []}
    assert ask(client, "desk", "POST", f"/v1/holds/{set_['hold']}/lift", json={"reason": "closed"}).status_code == 409
    assert ask(client, "desk", "POST", "/v1/erasures", json=body).status_code == 200
    wrong = ask(client, "desk", "POST", "/v1/holds", json={"query": "subjct:a", "reason": "x"})
    assert (wrong.status_code, "subject" in wrong.json()["error"]["message"]) == (400, True)


def test_a_tenants_officer_erases_its_own_and_sees_no_holds(client: TestClient) -> None:
    """Whatever tenant it names; holds may name others."""
    decided(client, "person-9")
    with_other = {"subject": "person-9", "reason": "asked for", "tenant": "umbrella"}
    assert ask(client, "acme@acme", "POST", "/v1/erasures", json=with_other).json()["keys"] == 1
    assert ask(client, "acme@acme", "GET", "/v1/holds").status_code == 403
    assert ask(client, "look", "POST", "/v1/erasures", json=with_other).status_code == 403


def test_the_report_of_a_month_is_a_page_that_runs_nothing(client: TestClient) -> None:
    """With the tenant's own numbers for a tenant's key."""
    decided(client, "person-1")
    month = ask(client, "look", "GET", "/v1/decisions").json()["decisions"][0]["time"][:7]
    page = ask(client, "look", "GET", "/v1/report", params={"month": month})
    assert page.headers["content-type"].startswith("text/html")
    assert "<b>1</b><span>decisions" in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    wrong = ask(client, "look", "GET", "/v1/report", params={"month": "2026-13"})
    assert wrong.status_code == 400
