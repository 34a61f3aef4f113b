"""Shared by all tests: Hypothesis without deadlines (machines are slow at times), repeatable, and without files left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several, one for each core: more threads would wait for one another
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))
from postgres import MISSING, Server, binaries, drop, fresh

settings.register_profile(
    "genguard", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("genguard")


_OWN, _EXIT = os.getpid(), os._exit


def _leave(code: int) -> None:
    """`os._exit`, but not of the process that runs the tests: the others would silently not be run."""
    if os.getpid() == _OWN:
        raise RuntimeError(f"a test tried to end the process with {code}")
    _EXIT(code)


os._exit = _leave  # type: ignore[assignment]


@pytest.fixture(scope="session")
def postgres():
    """A database on a PostgreSQL server: of GENGUARD_TEST_POSTGRES (a URL), or of one that runs for these tests alone."""
    given = os.environ.get("GENGUARD_TEST_POSTGRES")
    if given:
        url = fresh(given)
        yield url
        drop(given, url)
        return
    if binaries() is None:
        pytest.skip(MISSING)
    server = Server.start()
    yield server.url("postgres")
    server.close()
