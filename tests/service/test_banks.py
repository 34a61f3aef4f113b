"""Routes of banks: who may change them, what comes back, and that a running service's checks see it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from audit.query import query, show
from guard.matching.bank import Bank
from guard.matching.records import header, record
from service import create_app
from serving.settings import Settings
from tests.matching.works import hashed, many

OPERATOR, TENANT = "o" * 24, "t" * 24
POLICY = """
policy: pictures
version: 1
status: live
checks:
  works: {use: image_match, bank: mine, deadline_ms: 60000}
rules:
  - {id: work, when: {works: matched}, action: block, category: intellectual_property}
"""


def png(seed: int, *, turned: bool = False) -> str:
    """A picture's file in base64."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(rough).resize((200, 160), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    (picture.transpose(Image.Transpose.ROTATE_180).resize((300, 240)) if turned else picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A service over a bank with one work, with a key of the operator and one of a tenant."""
    monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "banks"))
    bank = Bank.open(tmp_path / "banks" / "mine", kind="protected")
    bank.add([hashed("first", 1)], actor="ann", source="list.csv")
    (tmp_path / "policy.yaml").write_text(POLICY)
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    settings = Settings(
        policies=(str(tmp_path / "policy.yaml"),),
        ledger=ledger,
        generators=("echo",),
        api_keys=f"op+admin:{OPERATOR},desk@acme+officer:{TENANT}",
    )
    with TestClient(create_app(settings), headers={"authorization": f"Bearer {OPERATOR}"}) as client:
        yield SimpleNamespace(
            http=client, ledger=ledger, bank=bank, tenant={"authorization": f"Bearer {TENANT}"}, path=tmp_path
        )


def changes(service: SimpleNamespace) -> list[tuple[str, str, int, int]]:
    """What the ledger has of the bank, oldest first."""
    found = [show(service.ledger, row.idx).bank_change for row in query(service.ledger, "bank:mine").rows]
    return [(one.actor, one.source, one.added, one.retired) for one in reversed(found)]


def test_a_running_service_sees_every_change(service):
    """Registered: blocked. Retired: released. Without a restart, and each change is in the ledger."""
    assert changes(service) == [("ann", "list.csv", 1, 0)]  # what another process did before is recorded at the start
    copy = {"image": png(5, turned=True)}
    assert service.http.post("/v1/check", json=copy).json()["action"] == "allow"
    work = {"id": "owl", "title": "Night Owl", "owner": "Kestrel Ltd", "territory": ["CN"], "image": png(5), "thumbnail": True}
    added = service.http.post("/v1/banks/mine/works", json=work)
    assert added.status_code == 201
    assert added.json()["work"]["owner"] == "Kestrel Ltd"
    blocked = service.http.post("/v1/check", json=copy).json()
    assert blocked["action"] == "block"
    entry = service.http.get(f"/v1/decisions/{blocked['genguard']['decision']}").json()["entry"]
    assert added.json()["digest"] == entry["results"][0]["digest"]
    assert service.http.post("/v1/banks/mine/works", json=work).status_code == 200
    matched = service.http.post("/v1/banks/mine/match", json=copy).json()
    assert [(one["work"], one["owner"]) for one in matched["matches"]] == [("owl", "Kestrel Ltd")]
    assert not service.http.post("/v1/banks/mine/match", json={"image": png(6)}).json()["matched"]
    thumbnail = service.http.get("/v1/banks/mine/works/owl/thumbnail")
    assert (thumbnail.headers["content-type"], thumbnail.headers["x-content-type-options"]) == ("image/jpeg", "nosniff")
    assert service.http.delete("/v1/banks/mine/works/owl").json()["retired"] == 1
    assert service.http.post("/v1/check", json=copy).json()["action"] == "allow"
    then = service.http.get("/v1/banks/mine/works/owl", params={"at": added.json()["digest"]}).json()
    now = service.http.get("/v1/banks/mine/works/owl").json()
    assert (then["registered"], now["registered"]) == (True, False)
    assert changes(service) == [("ann", "list.csv", 1, 0), ("op", "http", 1, 0), ("op", "retire", 0, 1)]


def test_another_process_is_followed(service):
    """Whoever changes the bank's folder changes what a running service finds."""
    service.bank.add([hashed("second", 2)])
    assert service.http.get("/v1/banks/mine").json()["works"] == 2


def test_works_are_looked_up_in_pages(service):
    """With any key; fingerprints are not part of it."""
    service.bank.add(many(5))
    first = service.http.get("/v1/banks/mine/works", params={"limit": 2}, headers=service.tenant).json()
    assert ([one["id"] for one in first["works"]], first["next"]) == (["first", "w0"], 2)
    last = service.http.get("/v1/banks/mine/works", params={"after": 4}).json()
    assert ([one["id"] for one in last["works"]], last["next"]) == (["w3", "w4"], None)
    assert [one["id"] for one in service.http.get("/v1/banks/mine/works", params={"q": "work w2"}).json()["works"]] == ["w2"]
    names = {one["bank"] for one in service.http.get("/v1/banks", headers=service.tenant).json()["banks"]}
    assert {"mine", "protected-texts", "protected-works"} == names
    assert "fingerprints" not in json.dumps(first)


def test_only_the_operator_changes_and_exports(service):
    """A bank is the same for all tenants."""
    work = {"id": "x", "title": "X", "fingerprints": record(hashed("x", 7))["fingerprints"]}
    for method, path, more in (
        ("POST", "/works", {"json": work}),
        ("POST", "/import", {"content": b""}),
        ("DELETE", "/works/first", {}),
        ("GET", "/export", {}),
    ):
        assert service.http.request(method, f"/v1/banks/mine{path}", headers=service.tenant, **more).status_code == 403
    assert service.http.get("/v1/banks/mine", headers=service.tenant).json()["works"] == 1
    assert service.http.post("/v1/banks/mine/match", json={"image": png(9)}, headers=service.tenant).status_code == 200
    assert service.http.post("/v1/banks/mine/works", json=work).status_code == 201


def test_lists_are_imported_and_exported(service):
    """What one service exports another imports; rows that cannot be used are told, files are not read."""
    lines = [json.dumps(header("cleared")), *(json.dumps(record(work)) for work in many(3)), "{"]
    found = service.http.post("/v1/banks/alike/import", content="\n".join(lines), params={"source": "partner"}).json()
    assert (found["added"], found["rejected"], found["rejects"][0]["place"]) == (3, 1, "partner:5")
    assert service.http.get("/v1/banks/alike").json()["kind"] == "cleared"
    out = service.http.get("/v1/banks/alike/export")
    again = service.http.post("/v1/banks/other/import", content=out.content).json()
    assert (again["added"], again["rejected"]) == (3, 0)
    assert out.text == service.http.get("/v1/banks/other/export").text
    assert "text/csv" in service.http.get("/v1/banks/other/export", params={"format": "threatexchange"}).headers["content-type"]
    (service.path / "secret.txt").write_text("secret")
    reached = service.http.post(
        "/v1/banks/mine/import", content=json.dumps({"id": "a", "title": "A", "file": "secret.txt"})
    ).json()
    assert "files are imported where they are" in reached["rejects"][0]["error"]


REFUSED = [
    ("GET", "/v1/banks/nowhere", {}, 404),
    ("GET", "/v1/banks/..%2Fmine", {}, 404),
    ("GET", "/v1/banks/%2e%2e", {}, 404),
    ("GET", "/v1/banks/a.b/works", {}, 404),
    ("GET", "/v1/banks/mine/works/nobody", {}, 404),
    ("GET", "/v1/banks/mine/works/first/thumbnail", {}, 404),
    ("GET", "/v1/banks/mine", {"params": {"at": "ab" * 32}}, 400),
    ("DELETE", "/v1/banks/mine/works/nobody", {}, 404),
    ("DELETE", "/v1/banks/nowhere/works/first", {}, 404),
    ("POST", "/v1/banks/a.b/works", {"json": {"id": "a", "title": "A", "image": png(1)}}, 400),
    ("POST", "/v1/banks/..%2Fx/import", {"content": "{}"}, 404),
    ("POST", "/v1/banks/mine/works", {"json": {"id": "a", "title": "A"}}, 422),
    ("POST", "/v1/banks/mine/works", {"json": {"id": "a", "title": "A", "image": png(1), "text": "t"}}, 422),
    ("POST", "/v1/banks/mine/works", {"json": {"id": "", "title": "A", "image": png(1)}}, 400),
    ("POST", "/v1/banks/mine/works", {"json": {"id": "a", "title": "", "image": png(1)}}, 400),
    ("POST", "/v1/banks/mine/works", {"json": {"id": "a", "title": "A", "image": "!"}}, 400),
    ("POST", "/v1/banks/mine/works", {"json": {"id": "first", "title": "A", "image": png(1)}}, 400),
    ("POST", "/v1/banks/mine/works", {"json": {"id": "a", "title": "A", "image": png(1), "kind": "cleared"}}, 400),
    (
        "POST",
        "/v1/banks/mine/works",
        {"json": {"id": "a", "title": "A", "fingerprints": [{"method": "pdq", "data": "AA=="}]}},
        400,
    ),
    ("POST", "/v1/banks/mine/import", {"content": b"\xff\xfe"}, 400),
    ("POST", "/v1/banks/mine/import", {"content": '{"format": "other", "kind": "odd"}'}, 400),
    ("POST", "/v1/banks/fresh/import", {"content": '{"format": "other"}'}, 400),
    ("POST", "/v1/banks/fresh/import", {"content": ""}, 400),
    ("POST", "/v1/banks/mine/match", {"json": {}}, 422),
    ("POST", "/v1/banks/mine/match", {"json": {"image": "AAAA"}}, 400),
    ("POST", "/v1/banks/nowhere/match", {"json": {"text": "t"}}, 404),
    ("GET", "/v1/banks/mine/export", {"params": {"format": "xml"}}, 422),
]


def test_what_cannot_be_done_is_refused(service):
    """In OpenAI's shape, with nothing changed and no folder made."""
    for method, path, more, status in REFUSED:
        answer = service.http.request(method, path, **more)
        assert status == answer.status_code, (path, answer.text)
        assert answer.json()["error"]["message"]
    assert [folder.name for folder in (service.path / "banks").iterdir()] == ["mine"]
    assert len(service.bank) == 1
