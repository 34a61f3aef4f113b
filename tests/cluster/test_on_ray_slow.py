"""More of the engine ray, for those who have the time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bulk.sources import open_source
from tests.cluster.conftest import Cluster
from tests.cluster.test_on_ray import results
from tests.cluster.test_spread import POLICY, judged, parts, pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SCORED = """policy: scored
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  toxicity: {use: toxicity, deadline_ms: 60000}
rules:
  - {id: token, when: {secrets: any}, action: redact, category: privacy, with: {operator: replace}}
  - {id: rude, when: {toxicity.toxicity: 0.05}, action: label, category: harassment}
"""


@pytest.mark.parametrize(("count", "policy"), [(10_000, SCORED), (500, POLICY)], ids=["texts", "images"])
def test_both_engines_say_the_same(cluster: Cluster, tmp_path: Path, count: int, policy: str) -> None:
    """Of each content: what follows, why, and what may leave."""
    (tmp_path / "policy.yaml").write_text(policy, "utf-8")
    given = parts(tmp_path / "in", count, group=3000) if policy is SCORED else pictures(tmp_path / "in", count)
    out = tmp_path / ("out.jsonl" if policy is SCORED else "out")
    done = cluster.genguard("bulk", "check", "in", out.name, "--policy", "policy.yaml", "--engine", "ray", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    alone = judged(tmp_path, open_source(given), "alone", text=policy)
    assert len(alone) == count
    assert results(out if out.is_file() else out / "results.jsonl") == alone
    assert len({one["action"] for one in alone}) > 1


def test_deadlines_queues_and_callers_who_go(cluster: Cluster, tmp_path: Path) -> None:
    """Late is a timeout; too many are busy; who was cancelled leaves room for others."""
    script = Path(__file__).with_name("asking_on_ray.py")
    done = cluster.python(str(script), str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {
        "loaded": {},
        "late": ["timeout 0"],
        "same": "RemoteInstrument",
        "full": ["BusyError"],
        "after": ["ok 1"],
    }
