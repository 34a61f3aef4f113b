"""Every route for every role, with a tenant's key, another tenant's and none's: the service does what docs/access.md says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from guard.registry import checks
from service import create_app
from serving.identity.roles import Role
from serving.identity.table import MAYBE, NO, WHOLE, YES, Row, access_rows, access_table
from serving.openai import downloads
from serving.settings import Settings
from tests.fakes import ImageCheck, WordCheck, png

ROOT = Path(__file__).parents[2]
POLICY = """
policy: house
version: 1
status: live
checks:
  odd: {use: odd}
  dark: {use: dark}
rules:
  - {id: odd, when: {odd: [word]}, action: review, category: input}
  - {id: dark, when: {dark: [dark]}, action: block, category: violence}
"""
SUBJECT, CONTENT, DESK = "canary-subject-of-acme", "odd canary content of acme", "canary-desk-of-acme"
OURS, OTHERS = "acme", "umbrella"
PLACES = {"ours": OURS, "other": OTHERS, "whole": ""}
BANK = "/v1/banks/{bank}"
TEXT = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}


def token(role: Role, place: str) -> str:
    return f"{role}-{place}-".ljust(24, "k")


@dataclass
class Case:
    """A request to a route that nothing is wrong with, as far as can be without models."""

    json: Any = None
    content: bytes | None = None
    params: dict[str, str] = field(default_factory=dict)

    @property
    def sent(self) -> dict[str, Any]:
        return {"json": self.json, "content": self.content, "params": self.params}


CASES: dict[str, Case] = {
    "POST /v1/chat/completions": Case(TEXT),
    "POST /v1/completions": Case({"model": "echo", "prompt": "Hi"}),
    "POST /v1/moderations": Case({"input": "Hi"}),
    "POST /v1/images/generations": Case({"model": "echo", "prompt": "Hi"}),
    "POST /v1/images/edits": Case(content=b"no form"),
    "POST /v1/check": Case({"text": "Hi"}),
    "POST /v1/verify": Case({}),  # 422 costs less than an answer
    "POST /v1/exports": Case({"format": "jsonl", "all_kinds": True}),
    "POST /v1/erasures": Case({"subject": "nobody of this ledger", "reason": "case 12"}),
    "POST /v1/holds": Case({"query": "subject:nobody", "reason": "case 12"}),
    "POST /v1/holds/{hold}/lift": Case({"reason": "case 12"}),
    "POST /v1/keys": Case({"name": "n", "roles": ["nothing"]}),
    "POST /v1/keys/{key}/rotate": Case({"overlap_hours": 1}),
    "POST /v1/keys/{key}/revoke": Case({"reason": "case 12"}),
    "GET /v1/report": Case(params={"month": "2026-11"}),
    "PUT /v1/searches/{name}": Case({"q": ""}),
    "POST /v1/feedback": Case({"decision": "{decision}", "code": "wrong_block"}),
    "POST /v1/reviews/{decision}/claim": Case({"minutes": 5}),
    "POST /v1/reviews/{decision}/decide": Case({"outcome": "withhold", "code": "quality"}),
    "POST /v1/reviews/{decision}/overrule": Case({"outcome": "withhold", "reason": "no"}),
    "POST /v1/reviews/{decision}/appeal": Case({"reason": "no"}),
    "POST /v1/reviews/{decision}/undo": Case({"reason": "no"}),
    "POST /v1/policies/lint": Case({"source": POLICY}),
    "POST /v1/policies/try": Case({"source": POLICY, "text": "Hi"}),
    "POST /v1/policies/test": Case({"source": POLICY}),
    "POST /v1/policies/replay": Case({"source": POLICY}),
    "GET /v1/decisions/{decision}/content": Case(params={"reason": "case 12", "break_glass": "true"}),
    "GET /v1/decisions/complete": Case(params={"q": "tenant:"}),
    "GET /v1/decisions/top": Case(params={"key": "tenant"}),
    f"POST {BANK}/works": Case({"id": "w"}),
    f"POST {BANK}/import": Case(content=b"{}"),
    f"POST {BANK}/match": Case({"text": "Hi"}),
}
"""By route; all others take no more than their path."""


def is_page(row: Row) -> bool:
    """Whether it is one for browsers, which the description of the API leaves out."""
    return row.path == "/" or row.path.startswith("/console")


@dataclass
class Desk:
    client: TestClient
    rows: tuple[Row, ...]
    held: str
    """A decision of ours that waits for a person."""
    picture: str
    """Address of a released image."""

    def ask(self, row: Row, key: str = "") -> Any:
        """Send the route's request with this key."""
        case = CASES.get(f"{row.method} {row.path}", Case()).sent
        if row.path == "/v1/images/files/{decision}":
            path = self.picture
        else:
            path = row.path.replace("{decision}", self.held).replace("{bank}", "mine").replace("{policy}", "house")
            path = path.replace("{work:path}", "w").replace("{name:path}", "echo")
        if isinstance(case["json"], dict):
            case["json"] = {name: self.held if value == "{decision}" else value for name, value in case["json"].items()}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        sent = {name: one for name, one in case.items() if one}
        return self.client.request(row.method, path, headers=headers, follow_redirects=False, **sent)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A service with a key for each role and place, and a held decision of ours with planted words."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "policy.yaml").write_text(POLICY, "utf-8")
    keys = [
        f"{role}-{place}{f'@{tenant}' if tenant else ''}+{role}:{token(role, place)}"
        for role in Role
        for place, tenant in PLACES.items()
    ]
    settings = Settings(
        policies=(str(folder / "policy.yaml"),),
        ledger=f"sqlite:///{folder / 'ledger.db'}",
        generators=("echo",),
        wrong_keys_per_minute=10_000,
        api_keys=SecretStr(",".join([*keys, f"{DESK}@{OURS}:{'d' * 24}"])),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENGUARD_BANKS", str(folder / "banks"))
        patch.delenv("GENGUARD_MASTER_KEY", raising=False)
        patch.setitem(checks._factories, "odd", lambda: WordCheck("odd"))
        patch.setitem(checks._factories, "dark", ImageCheck)
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            headers = {"authorization": f"Bearer {'d' * 24}", "x-genguard-subject": SUBJECT}
            held = client.post("/v1/check", json={"text": CONTENT}, headers=headers).json()["genguard"]["decision"]
            yield Desk(client, access_rows(client.app.state.access), held, _picture(client, headers))


def _picture(client: TestClient, headers: dict[str, str]) -> str:
    import base64

    sent = {"image": base64.b64encode(png(64, 64, (255, 255, 255))).decode()}
    released = client.post("/v1/check", json=sent, headers=headers).json()["genguard"]["decision"]
    expires = int(time.time()) + 3600
    tag = downloads._tag(client.app.state.wired, released, expires)
    return f"/v1/images/files/{released}?expires={expires}&tag={tag}"


def test_the_table_in_the_documentation_is_of_now(desk: Desk) -> None:
    """`genguard config access-table` writes it."""
    assert access_table(desk.client.app.state.access) in (ROOT / "docs" / "access.md").read_text("utf-8")


def test_every_route_is_in_the_table_once(desk: Desk) -> None:
    """Those of the description, the description itself, pages of the console, and the way to them; no others."""
    described = {(method.upper(), path) for path, one in desk.client.app.openapi()["paths"].items() for method in one}
    stated = [(row.method, row.path.replace(":path}", "}")) for row in desk.rows if not is_page(row)]
    assert sorted(stated) == sorted({*described, ("GET", "/openapi.json")})
    assert set(CASES) <= {f"{row.method} {row.path}" for row in desk.rows}


def test_without_a_key_only_open_routes_answer(desk: Desk) -> None:
    """401 from all others, with a wrong key too; what may be opened is closed here."""
    for row in desk.rows:
        for key in ("", "wrong" * 5, "gg_" + "0" * 12 + "_" + "a" * 43):
            answer = desk.ask(row, key)
            led = is_page(row) and answer.headers.get("location", "").startswith("/auth/login?next=%2Fconsole")
            assert (answer.status_code == 401 or led) is (row.stranger != YES), (row, answer)
    assert {row.path for row in desk.rows if row.stranger == MAYBE} == {"/verify", "/v1/verify"}
    login = {"/auth/login", "/auth/callback"}
    assert {row.path for row in desk.rows if row.stranger == YES} == {
        "/healthz",
        "/readyz",
        "/v1/images/files/{decision}",
        *login,
        *("/", "/console/prefer", "/console/static/{digest}/{name:path}"),
    }


@pytest.mark.parametrize("role", Role)
def test_each_cell_is_what_the_service_does(desk: Desk, role: Role) -> None:
    """403 where the table says no, neither 401 nor 403 nor a failure of ours where it says yes; of another tenant nothing."""
    for row in desk.rows:
        cell = row.cells[role]
        assert cell in {YES, WHOLE, NO}
        for place in PLACES:
            answer = desk.ask(row, token(role, place))
            if cell == NO or (cell == WHOLE and place != "whole"):
                code = "forbidden" if is_page(row) else answer.json()["error"]["code"]
                assert (answer.status_code, code) == (403, "forbidden"), (row, place, answer.text)
                continue
            assert answer.status_code < 500 or answer.status_code == 503, (row, place, answer.text)
            assert answer.status_code not in {401, 403}, (row, place, answer.text)
            if place == "other" and row.stranger != YES:
                _nothing_of_ours(desk, row, answer)


def _nothing_of_ours(desk: Desk, row: Row, answer: Any) -> None:
    """No word, no subject, no name, and 404 for what is there."""
    for canary in (SUBJECT, CONTENT, DESK, f'"{OURS}"'):
        assert canary not in answer.text, (row, answer.text)
    if "{decision}" in row.path or row.path == "/v1/feedback":
        assert answer.status_code == 404, (row, answer.text)
    else:
        assert desk.held not in answer.text, (row, answer.text)


def test_our_keys_see_ours(desk: Desk) -> None:
    """So that the test before means something; staff without a tenant does, too, and a caller without one does not."""
    for role in Role:
        for place in ("ours", "whole"):
            headers = {"authorization": f"Bearer {token(role, place)}"}
            found = desk.client.get("/v1/decisions", params={"q": f"actor:{DESK}"}, headers=headers).text
            assert (SUBJECT in found) is (place == "ours" or role is not Role.CALLER), (role, place)
