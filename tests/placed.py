"""Where services of tests measure and record: in this process and in SQLite files, or where the environment says.

GENGUARD_TEST_RAY: `models` or `all`, the checks that run on the cluster at RAY_ADDRESS. Ledgers are then databases of the
server at GENGUARD_TEST_POSTGRES, a URL, with keys in GENGUARD_KEY_FOLDER. So `tests/cluster/test_earlier_slow.py` has tests
run there that know nothing of it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from serving.cluster.section import Cluster, Placement
from tests.postgres import copied, fresh

ELSEWHERE = os.environ.get("GENGUARD_TEST_RAY", "")
START_S = 900 if ELSEWHERE else 100
"""How long a service may take until it is there: there each check has a process of its own to start."""
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
    """The URL of one that a folder has: this file, or a copy of the database in the note beside it, with copies of its keys."""
    note = file.with_suffix(".url")
    if not note.exists():
        return f"sqlite:///{file}"
    before = note.read_text("utf-8")
    made = copied(os.environ["GENGUARD_TEST_POSTGRES"], before)
    old, new = (str(make_url(one).database) for one in (before, made))
    for key in Path(os.environ["GENGUARD_KEY_FOLDER"]).glob(f"{old}.*"):
        shutil.copy(key, key.with_name(new + key.name.removeprefix(old)))
    return made
