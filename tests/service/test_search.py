"""Counting decisions over HTTP, and helping to ask; each tenant's key over its own entries."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from service import create_app
from serving.settings import Settings

POLICY = """
policy: pictures
version: 1
status: live
checks:
  works: {use: image_match}
rules:
  - {id: work, when: {works: matched}, action: block, category: intellectual_property}
"""
KEYS = {"acme": "k" * 24, "other": "o" * 16, "": "s" * 16}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A service that blocked two texts of one tenant and one of another."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "policy.yaml").write_text(POLICY, "utf-8")
    settings = Settings(
        policies=(str(folder / "policy.yaml"),),
        ledger=f"sqlite:///{folder / 'ledger.db'}",
        generators=("echo",),
        api_keys=f"desk@acme:{KEYS['acme']},shop@other:{KEYS['other']},officer+officer:{KEYS['']}",
    )
    with TestClient(create_app(settings)) as client:
        for tenant in ("acme", "acme", "other"):
            assert client.post("/v1/check", json={"text": "Hello"}, headers=key(tenant)).status_code == 200
        yield client


def key(tenant: str) -> dict[str, str]:
    """Headers of a tenant's key, or of the officer's."""
    return {"authorization": f"Bearer {KEYS[tenant]}"}


@pytest.mark.parametrize(("tenant", "expected"), [("acme", 2), ("other", 1), ("", 3)])
@pytest.mark.parametrize("q", ["", "action:block", "tenant:acme,other", "text:check", "kind:any action:block"])
def test_each_tenant_counts_its_own(client, tenant, expected, q):
    """In lists, facets, series and top values, whatever is asked for; a key without a tenant counts all."""
    got = {}
    for path in ("", "/series", "/top"):
        given = {"q": q, "facets": 1, "by": "day", "key": "tenant"}
        answer = client.get(f"/v1/decisions{path}", params=given, headers=key(tenant))
        assert answer.status_code == 200, answer.text
        got[path] = answer.json()
    rows = got[""]["decisions"]
    assert len(rows) in ({expected} if q != "text:check" else {0, expected})
    assert {row["tenant"] for row in rows} <= ({tenant} if tenant else {"acme", "other"})
    facets = {one["value"]: one["count"] for one in got[""]["facets"]["values"]["tenant"]}
    assert facets == {row["tenant"]: sum(other["tenant"] == row["tenant"] for other in rows) for row in rows}
    assert sum(sum(point["counts"].values()) for point in got["/series"]["points"]) == len(rows)
    assert {one["value"]: one["count"] for one in got["/top"]["values"]["tenant"]} == facets


def test_another_tenant_is_not_found_by_asking_for_it(client):
    """Neither counted nor completed."""
    for path in ("", "/series", "/top"):
        found = client.get(f"/v1/decisions{path}", params={"q": "tenant:acme", "facets": 1}, headers=key("other")).json()
        assert "acme" not in str(found)
        assert found.get("decisions", found.get("points", found.get("values", {}).get("rule"))) == []
    assert completions(client, "tenant:", "other") == ["other"]
    assert completions(client, "tenant:a", "other") == []
    assert completions(client, "actor:", "other") == ["shop"]
    assert completions(client, "tenant:", "") == ["acme", "other"]
    assert completions(client, "act", "") == ["action:", "actor:"][: len(completions(client, "act", ""))]


def completions(client, q, tenant):
    """Their texts."""
    answer = client.get("/v1/decisions/complete", params={"q": q}, headers=key(tenant))
    return [one["text"] for one in answer.json()["completions"]]


@pytest.mark.parametrize(
    ("path", "given"),
    [("", {"q": "colour:red"}), ("/series", {"q": "idx:x"}), ("/top", {"key": "colour"}), ("/top", {"q": '"x'})],
)
def test_a_mistake_is_pointed_at(client, path, given):
    """400 with the place, quoting nothing; no key, no answer."""
    answer = client.get(f"/v1/decisions{path}", params=given, headers=key(""))
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert (" of the query" in message) == ("q" in given)
    assert not any(len(one) > 3 and one in message for one in given.values())  # the words are the caller's
    assert client.get("/v1/decisions/series", params={"by": "year"}, headers=key("")).status_code == 422
    assert client.get(f"/v1/decisions{path}").status_code == 401
