"""Tests of clients and of the console, which know nothing of it, against two Ray nodes and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres import fresh

from tests.cluster.conftest import ROOT, Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
CLIENTS = ("gateway", "gateway_stream", "image_proofs", "speech", "slow", "bundled")
STORIES = ("decision", "decisions", "policies", "reviews", "verify", "compliance", "banks", "overview", "admin")
PATIENCE_S = 3400


@pytest.mark.parametrize("cluster", [2], indirect=True)
@pytest.mark.parametrize(
    ("checks", "files"),
    [
        pytest.param("all", [f"tests/service/test_{one}.py" for one in CLIENTS], id="clients"),
        pytest.param("models", [f"tests/console/test_{one}.py" for one in STORIES], id="console"),
    ],
)
def test_what_was_promised_of_one_process_holds(
    cluster: Cluster, tmp_path: Path, postgres: str, checks: str, files: list[str]
) -> None:
    """The same tests, in a process of their own: only the settings of the services under test are others."""
    (tmp_path / "keys").mkdir()
    cluster.environment |= {
        "GENGUARD_TEST_RAY": checks,
        "GENGUARD_TEST_POSTGRES": fresh(postgres),
        "GENGUARD_KEY_FOLDER": str(tmp_path / "keys"),
        # Services follow the ledger's banks for as long as they run, also when a test has taken its own folder back.
        "GENGUARD_BANKS": str(tmp_path / "banks"),
    }
    options = ["-q", "-W", "ignore", "-p", "no:cacheprovider", "-o", "timeout=1200", "--basetemp", str(tmp_path / "tests")]
    done = cluster.python("-m", "pytest", *options, *files, cwd=ROOT, patience_s=PATIENCE_S)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-4000:]
