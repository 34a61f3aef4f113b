"""What `/metrics` tells, of whom, and to whom."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from service_client import served
from starlette.testclient import TestClient

from guard.errors import SettingsError
from serving.settings import Settings
from serving.watching.lookout import Lookout
from serving.watching.metrics import OTHER, Metrics


def chat(client: TestClient, said: str, **more: Any) -> Any:
    body = {"model": "echo", "messages": [{"role": "user", "content": said}], **more}
    return client.post("/v1/chat/completions", json=body)


def figures(client: TestClient, **headers: str) -> dict[str, float]:
    """Series by their name and labels."""
    text = client.get("/metrics", headers=headers).raise_for_status().text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_requests_verdicts_checks_and_commits_are_counted(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        token = "ghp_" + secrets.token_hex(18)
        chat(client, f"keep {token} for me").raise_for_status()
        chat(client, "Good morning. It rains. We stay here today.", stream=True).raise_for_status()
        client.get("/v1/decisions/00000000")
        found = figures(client)
    assert found['genguard_requests_total{method="POST",route="/v1/chat/completions",status="200"}'] == 2
    assert found['genguard_requests_total{method="GET",route="/v1/decisions/{decision}",status="404"}'] == 1
    assert found['genguard_request_seconds_count{method="POST",route="/v1/chat/completions"}'] == 2
    assert found['genguard_verdicts_total{action="redact",modality="text",policy="desk",stage="prompt"}'] == 1
    assert found['genguard_rules_fired_total{action="redact",policy="desk",rule="token"}'] == 1
    assert found['genguard_check_results_total{check="secrets",policy="desk",status="ok"}'] == 4
    assert found['genguard_check_seconds_count{check="secrets",policy="desk"}'] == 4
    assert found['genguard_step_seconds_count{outcome="ok",step="append"}'] == 4
    assert found['genguard_generator_seconds_count{generator="echo",outcome="ok"}'] == 2
    assert found['genguard_streams_total{ending="complete"}'] == 1
    assert found['genguard_check_batches_total{check="secrets",policy="desk"}'] >= 3
    assert found['genguard_ledger_appends_total{outcome="ok"}'] == found["genguard_ledger_group_entries_sum"] == 6
    assert found["genguard_ledger_ready"] == 1
    assert found["genguard_ledger_entries"] == 7  # one that began it, the policy, the stream's opening, four decisions
    assert all(found[f'genguard_up{{part="{part}"}}'] == 1 for part in ("checks", "generators", "ledger", "reviews"))


def test_what_waits_for_a_person_is_counted(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        assert figures(client)["genguard_reviews_waiting"] == 0
    with served(tmp_path, review_sla_minutes=1) as client:
        client.post("/v1/check", json={"text": "AKIA" + "Q7X2M5N8P3R6T9V4"}).raise_for_status()
        found = figures(client)
    assert found["genguard_reviews_waiting"] == 1
    assert found["genguard_reviews_overdue"] == 0
    assert found["genguard_review_oldest_seconds"] >= 0


def test_text_that_leaves_early_is_timed(tmp_path: Path) -> None:
    said = " ".join(f"This is sentence number {number} of a long story." for number in range(20))
    with served(tmp_path) as client:
        chat(client, said, stream=True).raise_for_status()
        found = figures(client)
    assert found["genguard_stream_delay_seconds_count"] > 0
    assert 'genguard_streams_total{ending="complete"}' in found


def test_two_services_in_one_process_count_for_themselves(tmp_path: Path) -> None:
    with served(tmp_path / "one") as one, served(tmp_path / "two") as two:
        chat(one, "hello").raise_for_status()
        series = 'genguard_requests_total{method="POST",route="/v1/chat/completions",status="200"}'
        assert figures(one)[series] == 1
        assert series not in figures(two)


def test_labels_hold_names_of_routes_and_policies_alone(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        for path in ("/v1/decisions/jane.doe", "/nobody/jane.doe", "/v1/models/jane.doe/x", "/v1/models?user=jane.doe"):
            client.get(path)
        client.request("JANE", "/v1/models")
        chat(client, "jane.doe", user="jane.doe")
        text = client.get("/metrics").text
    assert "jane" not in text.lower()
    assert 'route="unrouted"' in text
    assert 'method="other"' in text
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert routes == {"/v1/chat/completions", "/v1/decisions/{decision}", "/v1/models", "/v1/models/{name}", "unrouted"}


def test_tenants_are_named_only_where_that_is_asked_for(tmp_path: Path) -> None:
    key = secrets.token_urlsafe(24)
    keys = {"api_keys": f"ops+auditor:{secrets.token_urlsafe(24)},desk@hospital:{key}"}
    mine = {"authorization": f"Bearer {key}"}
    body = {"text": "hello"}
    for asked in (False, True):
        folder = tmp_path / str(asked)
        with served(folder, metrics_tenants=asked, metrics_token="t" * 16, **keys) as client:
            client.post("/v1/check", json=body, headers=mine).raise_for_status()
            found = figures(client, authorization="Bearer " + "t" * 16)
        assert any("hospital" in name for name in found) is asked


def test_tenants_are_told_apart_up_to_a_limit() -> None:
    metrics = Metrics(tenants=True)
    names = [metrics._tenant(f"tenant {number}") for number in range(300)]
    assert len(set(names)) == 201
    assert names[-1] == OTHER
    assert metrics._tenant("tenant 5") == "tenant 5"


def test_metrics_are_for_those_who_see_all(tmp_path: Path) -> None:
    all_of_it, own = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    with served(tmp_path, api_keys=f"ops+auditor:{all_of_it},desk@hospital:{own}") as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": f"Bearer {own}"}).status_code == 403
        assert client.get("/metrics", headers={"authorization": f"Bearer {all_of_it}"}).status_code == 200


def test_a_token_of_their_own_is_the_only_one_that_opens_them(tmp_path: Path) -> None:
    key, token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    with served(tmp_path, api_keys=f"ops:{key}", metrics_token=token) as client:
        for wrong in ("", f"Bearer {key}", f"Basic {token}", f"Bearer {token}x"):
            assert client.get("/metrics", headers={"authorization": wrong} if wrong else {}).status_code == 401
        answer = client.get("/metrics", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert client.get("/v1/models", headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_a_short_token_is_refused() -> None:
    with pytest.raises(SettingsError, match="16 or more"):
        Lookout.of(Settings(metrics_token="short"))


def test_a_part_that_cannot_be_looked_up_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        state = client.app.state  # type: ignore[attr-defined]
        office, state.office = state.office, None
        settings, state.settings = state.settings, Settings(anchors=(str(tmp_path / "anchor"),))
        found = figures(client)
        state.office, state.settings = office, settings
    assert found['genguard_up{part="checkpoints"}'] == 0
    assert found['genguard_up{part="ledger"}'] == 1


def test_the_age_of_checkpoints_is_told_where_they_are_kept(tmp_path: Path) -> None:
    with served(tmp_path, anchors=(str(tmp_path / "anchor"),)) as client:
        found = figures(client)
    assert 0 <= found["genguard_checkpoint_age_seconds"] < 100
    assert found["genguard_checkpoint_troubles"] == 0
