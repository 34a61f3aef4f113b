"""Where services of tests measure and record: in this process and in SQLite files, or where the environment says.

GENGUARD_TEST_RAY: `models` or `all`, the checks that run on the cluster at RAY_ADDRESS. Ledgers are then databases of the
server at GENGUARD_TEST_POSTGRES, a URL. So `tests/cluster/test_earlier_slow.py` has tests run there that know nothing of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from serving.cluster.section import Cluster, Placement
from tests.postgres import copied, fresh

ELSEWHERE = os.environ.get("GENGUARD_TEST_RAY", "")
_SMALL = Placement(cpus=0.01)


def engine() -> dict[str, Any]:
    """Settings of where checks and generators run."""
    if not ELSEWHERE:
        return {}
    checks = {"*": _SMALL} if ELSEWHERE == "all" else {}
    return {"engine": "ray", "ray": Cluster(checks=checks, generators={"echo": _SMALL})}


def ledger(file: Path) -> str:
    """The URL of an empty ledger: this file, or a database."""
    return fresh(os.environ["GENGUARD_TEST_POSTGRES"]) if ELSEWHERE else f"sqlite:///{file}"


def ledger_like(file: Path) -> str:
    """The URL of one that a folder has: this file, or a copy of the database that stands in the note beside it."""
    note = file.with_suffix(".url")
    return copied(os.environ["GENGUARD_TEST_POSTGRES"], note.read_text("utf-8")) if note.exists() else f"sqlite:///{file}"
