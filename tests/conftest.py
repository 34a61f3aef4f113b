"""Shared by all tests: Hypothesis without deadlines (machines are slow at times), repeatable, and without files left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))
from postgres import MISSING, Server, binaries, drop, fresh

settings.register_profile(
    "genguard", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("genguard")


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
