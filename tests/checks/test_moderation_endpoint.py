"""Moderation endpoints, against a real HTTP server on this machine."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from guard import endpoint
from guard.chain import Chain
from guard.checks.moderation_endpoint import DEFAULT_LABELS
from guard.decide import decide
from guard.errors import EndpointError, RegistryError
from guard.protocols import Check
from guard.registry import checks
from guard.rules import CheckSpec, Policy, Rule, ScoreAtLeast
from guard.taxonomy import CATEGORIES
from guard.types import Action, Content, Context, Modality, Region, Scan, Span, Stage, Status
from policies import loads
from tests.fakes import image, png, text
from tests.services import CATEGORIES as OPENAI
from tests.services import KEY, Service, moderation, serving

THREAT, HARMLESS = "I will kill you.", "The invoice is attached."


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(moderations=moderation) as found:
        yield found


def made(service: Service, **parameters: Any) -> Check:
    check = checks.make("moderation_endpoint", {"base_url": service.url, "model": "omni", "timeout_ms": 20_000, **parameters})
    check.load()
    return check


def ask(check: Check, *contents: Content) -> list[Scan]:
    async def answer() -> list[Scan]:
        return list(await check(contents))  # type: ignore[misc]

    return asyncio.run(answer())


def fails(check: Check, *contents: Content) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        ask(check, *(contents or (text(THREAT),)))
    assert THREAT not in caught.value.diagnostics()
    assert KEY not in caught.value.diagnostics()
    return caught.value


def test_each_text_has_its_scores(service: Service) -> None:
    """Many texts in one request; a finding says score, category and model, and covers the whole text."""
    scans = ask(made(service), text(THREAT), text(HARMLESS))
    assert [path for path, _, _ in service.requests] == ["/v1/moderations"]
    assert service.requests[0][2] == {"model": "omni", "input": [THREAT, HARMLESS]}
    (finding,) = scans[0].findings
    assert (finding.label, finding.category, finding.score) == ("violence", "violence", 930)
    assert finding.where == scans[0].scanned == Span(0, len(THREAT))
    assert finding.reason == "scored 930 per mille for violence by omni"
    assert scans[1] == Scan((), Span(0, len(HARMLESS)))


def test_openais_categories_have_ours_by_default() -> None:
    """All thirteen, from the taxonomy."""
    assert set(DEFAULT_LABELS) == set(OPENAI)
    assert set(DEFAULT_LABELS.values()) <= set(CATEGORIES)
    assert DEFAULT_LABELS["sexual/minors"] == "sexual_minors"
    assert DEFAULT_LABELS["illicit"] == "crime"


def test_the_policy_says_which_categories_count_and_as_what(service: Service) -> None:
    """Of two that mean one label, the higher score counts."""
    labels = {name: {"label": "threat", "category": "violence"} for name in ("violence", "harassment/threatening")}
    check = made(service, labels=labels, report_from=0)
    assert check.labels == {"threat": "violence"}
    assert [(one.label, one.score) for one in ask(check, text(THREAT))[0].findings] == [("threat", 930)]


def test_a_category_that_the_service_does_not_have_fails_the_check(service: Service) -> None:
    """It would never be found, and nobody would know."""
    error = fails(made(service, labels={"violence": "violence", "weapons": "weapons_cbrne"}))
    assert "no score for category 'weapons'" in str(error)


def test_many_texts_go_in_several_requests_and_come_back_in_order(service: Service) -> None:
    """Blank ones are not sent: there is nothing to measure, and services refuse them."""
    texts = [text(THREAT if number % 3 == 0 else f"number {number}" if number % 3 == 1 else " \n") for number in range(100)]
    scans = ask(made(service), *texts)
    assert [bool(scan.findings) for scan in scans] == [number % 3 == 0 for number in range(100)]
    assert [scan.scanned for scan in scans] == [Span(0, one.length) for one in texts]
    assert sorted(len(body["input"]) for _, _, body in service.requests) == [3, 32, 32]


def test_text_that_has_no_utf_8_is_sent_with_stand_ins(service: Service) -> None:
    """A lone surrogate would not survive the way; the place is still the original's."""
    assert ask(made(service), text("kill \ud800!"))[0].findings[0].where == Span(0, 7)
    assert service.requests[0][2]["input"] == ["kill \ufffd!"]


def test_images_are_sent_as_data_one_a_request(service: Service) -> None:
    """Where the policy says so; a finding covers the whole picture."""
    service.answers["/v1/moderations"] = lambda body: moderation(body, lambda _: 0.8)
    check = made(service, modalities=("text", "image"))
    assert check.modalities == {Modality.TEXT, Modality.IMAGE}
    file = png(20, 10)
    scans = ask(check, image(file), text(THREAT), image())
    assert [scan.findings[0].where for scan in scans] == [Region(0, 0, 20, 10), Span(0, len(THREAT)), Region(0, 0, 32, 32)]
    sent = [body["input"][0] for _, _, body in service.requests]
    address = "data:image/png;base64," + base64.b64encode(file).decode()
    assert {"type": "image_url", "image_url": {"url": address}} in sent
    assert len(sent) == 3
    assert made(service).modalities == {Modality.TEXT}


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Into the header of the request; neither into errors, nor logs, nor what a check shows of itself."""
    caplog.set_level(logging.DEBUG)
    service.key = KEY
    monkeypatch.setenv("MODERATION_KEY", KEY + "\n")
    check = made(service, api_key_env="MODERATION_KEY")
    assert ask(check, text(THREAT))[0].findings
    assert service.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    service.statuses = [500] * 3
    fails(check)
    assert KEY not in caplog.text + repr(check) + check.version
    assert THREAT not in caplog.text


def test_a_wrong_key_fails_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking again would not help."""
    service.key = KEY
    monkeypatch.setenv("MODERATION_KEY", "sk-other")
    error = fails(made(service, api_key_env="MODERATION_KEY"))
    assert str(error) == f"{service.url}/moderations answered 401 (1 try)"
    assert "environment variable" in error.advice
    assert len(service.requests) == 1


@pytest.mark.parametrize("value", [None, "", "  ", "sk-\x00", "ключ"])
def test_a_key_that_is_not_there_fails_the_load(service: Service, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Before anything is sent, naming the variable."""
    if value is None or "\x00" in value:
        monkeypatch.delenv("MODERATION_KEY", raising=False)
    else:
        monkeypatch.setenv("MODERATION_KEY", value)
    with pytest.raises(EndpointError, match="MODERATION_KEY: found"):
        made(service, api_key_env="MODERATION_KEY")


def test_a_key_in_place_of_its_variable_is_refused_and_not_repeated(service: Service) -> None:
    """A policy file is no place for it."""
    with pytest.raises(RegistryError, match="no name of an environment variable") as caught:
        made(service, api_key_env=KEY)
    assert KEY not in caught.value.diagnostics()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(service: Service, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few times, and then it is a failure."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_S", 0.01)
    service.statuses = [status, status]
    assert ask(made(service), text(THREAT))[0].findings
    assert len(service.requests) == 3
    service.statuses = [status] * 3
    assert f"answered {status} (3 tries)" in str(fails(made(service)))


@pytest.mark.parametrize("status", [201, 301, 400, 403, 404, 422, 501])
def test_what_will_not_pass_is_not_tried_again(service: Service, status: int) -> None:
    """Nor is a redirect followed: contents go to the address of the policy alone."""
    service.statuses = [status]
    service.headers = {"Location": f"{service.url}/elsewhere"}
    assert f"answered {status} (1 try)" in str(fails(made(service)))
    assert len(service.requests) == 1


def test_a_server_that_asks_for_patience_gets_it_within_the_budget(service: Service) -> None:
    """Retry-After is kept; when it does not fit, the check fails in time."""
    service.statuses, service.headers = [429], {"Retry-After": "0.4"}
    started = time.monotonic()
    assert ask(made(service), text(THREAT))[0].findings
    assert time.monotonic() - started >= 0.4
    service.statuses, service.headers = [429], {"Retry-After": "60"}
    assert "no answer within 300 ms" in str(fails(made(service, timeout_ms=300)))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>busy</html>",
        b"[" * 100_000,
        [],
        {},
        {"results": None},
        {"results": []},
        {"results": [{}, {}]},
        {"results": ["kill"]},
        {"results": [{"flagged": True}]},
        {"results": [{"category_scores": None}]},
        {"results": [{"category_scores": {"violence": 0.9}}]},
        *({"results": [{"category_scores": dict.fromkeys(OPENAI, value)}]} for value in (None, "1", True, 1.5, -0.1, 10**400)),
        b'{"results": [{"category_scores": {' + b", ".join(b'"%s": NaN' % one.encode() for one in OPENAI) + b"}}]}",
    ],
    ids=lambda answer: str(answer)[:40],
)
def test_an_answer_of_another_shape_is_a_failure(service: Service, answer: Any) -> None:
    """Never a clean content."""
    service.answers["/v1/moderations"] = lambda _: answer
    fails(made(service))


def test_an_answer_without_end_is_a_failure(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded."""
    monkeypatch.setattr(endpoint, "MAX_ANSWER_BYTES", 1000)
    service.answers["/v1/moderations"] = lambda _: b" " * 5000
    assert "over 1000 bytes" in str(fails(made(service)))


@pytest.mark.parametrize("drip", [True, False])
def test_a_slow_server_is_a_failure_in_time(service: Service, drip: bool) -> None:
    """Whether it says nothing, or a byte now and then."""
    service.drip, service.delay_s = drip, 0.0 if drip else 5.0
    started = time.monotonic()
    assert "no answer within 300 ms" in str(fails(made(service, timeout_ms=300)))
    assert time.monotonic() - started < 4


def test_a_server_that_is_not_there_is_a_failure() -> None:
    """After all tries."""
    with serving(moderations=moderation) as gone:
        pass
    assert "cannot be reached (ConnectError) (2 tries)" in str(fails(made(gone, retries=1)))


@pytest.mark.parametrize(
    "parameters",
    [
        {"base_url": "ftp://example.com"},
        {"base_url": "api.openai.com/v1"},
        {"base_url": "https://user:secret@example.com/v1"},
        {"base_url": "https://example.com/v1?key=secret"},
        {"base_url": "http://[::1"},
        {"timeout_ms": 0},
        {"retries": 11},
        {"report_from": 1001},
        {"labels": {}},
        {"labels": {"violence": "violent"}},
        {"modalities": ()},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(parameters: dict[str, Any]) -> None:
    """When the policy is read; an address with a secret in it is not repeated."""
    with pytest.raises(RegistryError) as caught:
        checks.make("moderation_endpoint", {"base_url": "https://example.com/v1", "model": "m", **parameters})
    assert "secret" not in caught.value.diagnostics()


def run(check: Check, deadline_ms: int = 30_000) -> tuple[Status, str, Action]:
    """What the chain records, and what the verdict is, where the check decides alone."""
    spec = CheckSpec("mod", "moderation_endpoint", deadline_ms=deadline_ms, modalities=check.modalities)
    rule = Rule("violence", ScoreAtLeast("mod", "violence", 500), Action.BLOCK, "violence")
    policy = Policy(id="p", version=1, status="live", revision="", document="", checks=(spec,), rules=(rule,))
    ((result,),) = asyncio.run(Chain(policy, {"mod": check}).run([text(HARMLESS)]))
    context = Context(Stage.OUTPUT, Modality.TEXT, "", length=len(HARMLESS))
    return result.status, result.error, decide(policy, (result,), context).action


def test_the_chain_fails_closed(service: Service) -> None:
    """A failure is recorded as one, a deadline as one, and both block."""
    check = made(service, retries=0)
    assert run(check) == (Status.OK, "", Action.ALLOW)
    service.statuses = [500]
    error = f"EndpointError: {service.url}/moderations answered 500 (1 try)"
    assert run(check) == (Status.FAILED, error, Action.BLOCK)
    service.delay_s = 0.5
    assert run(check, 100) == (Status.TIMEOUT, "no answer within 100 ms", Action.BLOCK)


def test_a_policy_names_it_without_asking_anyone() -> None:
    """Loading a policy sends nothing and reads no key."""
    policy = loads("""policy: p
version: 1
checks:
  mod: {use: moderation_endpoint, base_url: "https://api.openai.com/v1", model: omni-moderation-latest, api_key_env: NOT_SET}
rules:
  - {id: graphic, when: {mod.violence/graphic: 0.5}, action: block}
""")
    assert policy.rules[0].category == "violence"
    assert policy.checks[0].parameters["api_key_env"] == "NOT_SET"
