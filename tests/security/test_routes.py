"""Every route, asked by everybody with what its description allows and what it does not: no failure, no leak, no stranger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from schemathesis import GenerationMode
from starlette.testclient import TestClient

from guard.registry import checks
from serving.identity.roles import Role
from tests.fakes import WordCheck
from tests.service_client import served

POLICY = """
policy: house
version: 1
status: live
checks:
  odd: {use: odd}
rules:
  - {id: odd, when: {odd: [word]}, action: review, category: input}
"""
OURS, OTHERS = "acme", "umbrella"
CANARIES = ("canary-subject-of-acme", "odd canary content", "canary-desk")
DESK = "d" * 24
OPEN = {"/healthz", "/readyz", "/v1/images/files/{decision}", "/auth/login", "/auth/callback"}


@dataclass
class House:
    client: TestClient
    held: str
    """A decision of tenant acme."""
    keys: dict[str, str]
    """By who it is; staff of the other tenant, and of none."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """With content of one tenant, and with keys of another for every role."""
    keys = {f"{role}-{tenant or 'whole'}": f"{role}-{tenant}-".ljust(24, "k") for role in Role for tenant in (OTHERS, "")}
    stated = [f"{role}-x@{OTHERS}+{role}:{keys[f'{role}-{OTHERS}']}" for role in Role]
    stated += [f"{role}-y+{role}:{keys[f'{role}-whole']}" for role in Role]
    given_keys = SecretStr(",".join([*stated, f"canary-desk@{OURS}:{DESK}"]))
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("routes")
        patch.setenv("GENGUARD_BANKS", str(folder / "banks"))
        patch.delenv("GENGUARD_MASTER_KEY", raising=False)
        patch.setitem(checks._factories, "odd", lambda: WordCheck("odd"))
        with served(folder / "desk", policy=POLICY, api_keys=given_keys) as client:
            headers = {"authorization": f"Bearer {DESK}", "x-genguard-subject": CANARIES[0]}
            answer = client.post("/v1/check", json={"text": CANARIES[1]}, headers=headers)
            yield House(client, answer.json()["genguard"]["decision"], keys)


def ask(house: House, case: Any, key: str) -> Any:
    """Send a generated case as whoever has this key; ids of decisions are those of the other tenant's."""
    sent = case.as_transport_kwargs(base_url="http://testserver")
    headers = {name: value for name, value in dict(sent.pop("headers", {})).items() if name.lower() != "authorization"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    wanted = {"url", "params", "json", "data", "files", "content"}
    sent = {name: value for name, value in sent.items() if name in wanted and value is not None}
    if "files" in sent:  # encoded as the generator of cases means them
        form = requests.Request("POST", "http://testserver", data=sent.pop("data", None), files=sent.pop("files")).prepare()
        sent["content"], headers["content-type"] = form.body, form.headers["content-type"]
    if isinstance(sent.get("data"), str | bytes):
        sent["content"] = sent.pop("data")
    return house.client.request(case.method, headers=headers, **sent)


def judge(house: House, document: dict[str, Any], case: Any, who: str, answer: Any) -> None:
    """No failure; every answer is one that the description has, good or bad; nothing of the tenant that this is not."""
    place = (case.method, case.operation.path, who, answer.status_code, answer.text[:300])
    assert answer.status_code < 500 or answer.status_code == 503, place
    described = document["paths"][case.operation.path][case.method.lower()]["responses"]
    schema = described.get(str(answer.status_code)) or described.get(f"{answer.status_code // 100}XX")
    assert schema is not None, place
    if answer.status_code >= 400 and answer.headers.get("content-type") == "application/json" and "/readyz" not in place:
        assert not list(Draft202012Validator(document["components"]["schemas"]["Error"]).iter_errors(answer.json())), place
    if answer.status_code < 300 and answer.headers.get("content-type") == "application/json":
        said = schema["content"]["application/json"]["schema"]
        wrong = list(Draft202012Validator({**said, "components": document["components"]}).iter_errors(answer.json()))
        assert not wrong, (place, [one.message[:200] for one in wrong[:3]])
    if who == "stranger" and case.operation.path not in OPEN:
        assert answer.status_code in {401, 404, 405}, place
    if not who.endswith("whole"):
        assert not [one for one in (*CANARIES, f'"{OURS}"') if one in answer.text], place


def explore(house: House, examples: int) -> int:
    """Ask every route so many times each way; how many requests that were."""
    document = house.client.app.openapi()
    asked = 0
    for operation in (found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()):
        takes = operation.definition.raw.get("parameters") or operation.definition.raw.get("requestBody")
        for mode in (GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if takes else [])):

            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: Any) -> None:
                nonlocal asked
                if "decision" in (case.path_parameters or {}) and asked % 2:
                    case.path_parameters["decision"] = house.held
                for who, key in {"stranger": "", "wrong": "wrong" * 5, **house.keys}.items():
                    judge(house, document, case, who, ask(house, case, key))
                    asked += 1

            # Some routes take whatever a path can hold: there is no wrong input.
            with suppress(*([Unsatisfiable] if mode is GenerationMode.NEGATIVE else [])):
                run()
    return asked


def test_no_route_fails_or_leaks(house: House) -> None:
    """A few cases each way, of each route, by every role of another tenant and of none."""
    assert explore(house, 1) > 1000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_route_fails_or_leaks_for_long(house: House) -> None:
    """The same with more: some minutes of computing."""
    assert explore(house, 8) > 8_000
