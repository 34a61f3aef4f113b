"""The dashboard and the alert rules ask for metrics that a running service has, by labels that these have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import ListGenerator
from service_client import served

ROOT = Path(__file__).parents[2]
POLICY = """
policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
rules:
  - {id: key, when: {secrets: AWS_ACCESS_KEY}, action: block, category: privacy, basis: House rules 1}
marks:
  label: {profile: eu, modalities: [text]}
"""
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""
_METRIC = r"(?:genguard|process)_[a-z_]+"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "deploy/grafana/genguard.json").read_text("utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str, str]]:
    """Where a query is, what it asks, and what it says of the answer."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"], target["legendFormat"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"], rule["annotations"]["summary"]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each series of a service that did a little of everything."""
    folder = tmp_path_factory.mktemp("deploy")
    generators = {"list": ListGenerator(ValueError("no"))}
    given = {"generators": generators, "anchors": (str(folder / "anchor"),)}
    with served(folder, policy=POLICY, **given) as client:
        for model, said in (("echo", "Good morning. It rains."), ("echo", "AKIA" + "Q7X2M5N8P3R6T9V4"), ("list", "hello")):
            for stream in (False, True):
                body = {"model": model, "messages": [{"role": "user", "content": said}], "stream": stream}
                client.post("/v1/chat/completions", json=body)
        from generators.batched import batched
        from generators.language import language

        wired = client.app.state.wired  # type: ignore[attr-defined]
        wired.generators["language"] = batched(language())
        text = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if sample := re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? \S+", line):
            found.setdefault(sample[1], set()).update(re.findall(r'([a-z_]+)="', sample[2] or ""))
    return found


def test_each_metric_exists(labels: dict[str, set[str]]) -> None:
    asked = {name: where for where, query, _ in queries() for name in re.findall(_METRIC, query)}
    assert len(asked) > 30
    assert {name: where for name, where in asked.items() if name not in labels} == {}


def test_each_label_is_one_of_its_metric(labels: dict[str, set[str]]) -> None:
    wrong = []
    for where, query, said in queries():
        names = re.findall(_METRIC, query)
        grouped = re.findall(rf"by \(([^)]*)\)\s*\(\s*(?:rate\()?({_METRIC})", query)
        assert len(grouped) == query.count("by ("), where
        for by, metric in grouped:
            wrong += [(where, one) for one in by.split(", ") if one not in labels[metric] | SCRAPED]
        for metric, matched in re.findall(rf"({_METRIC})\{{([^}}]*)\}}", query):
            wrong += [
                (where, one) for one in re.findall(r"([a-z_]+)(?:=~|!~|!=|=)", matched) if one not in labels[metric] | SCRAPED
            ]
        kept = {one for by, _ in grouped for one in by.split(", ")} if grouped else labels[names[0]] | SCRAPED
        shown = re.findall(r"\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}", said)
        wrong += [(where, f"shown {one}") for one in shown if one not in kept]
    assert wrong == []


def test_each_query_is_whole() -> None:
    for where, query, _ in queries():
        for opened, closed in ("()", "{}", "[]"):
            assert query.count(opened) == query.count(closed), where
        assert query.count('"') % 2 == 0, where


def test_values_that_are_asked_for_are_ones_that_occur() -> None:
    known = {
        "outcome": {"ok", "failed", "verified"},
        "status": {"ok", "skipped", "failed", "timeout", "[45]..", "5.."},
        "action": {"block"},
        "method": {"POST"},
    }
    for where, query, _ in queries():
        for label, value in re.findall(r'([a-z_]+)(?:=~|!=|=)"([^"$]*)"', query):
            assert set(value.split("|")) <= known[label], where


def test_what_has_to_be_watched_is() -> None:
    names = {rule["alert"] for rule in rules()}
    assert names >= {
        "GenguardLedgerStalled", "GenguardLedgerUnready", "GenguardCheckpointTooOld", "GenguardCheckFails", "GenguardSlow",
        "GenguardErrors", "GenguardReviewsOverdue", "GenguardBlockRateJumped",
    }  # fmt: skip
    assert all(rule["labels"]["severity"] in {"critical", "warning"} and rule["for"] for rule in rules())


def test_panels_stand_side_by_side() -> None:
    """None over another, and each has an id of its own."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
