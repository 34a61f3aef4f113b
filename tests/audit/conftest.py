"""Makes `ledger_examples` importable, and opens ledgers that are closed after the test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_master_key_outside(monkeypatch):
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)


@pytest.fixture
def path(tmp_path):
    """Where the test's ledger lies."""
    return tmp_path / "ledger.db"


@pytest.fixture
def url(path):
    """Its URL."""
    return f"sqlite:///{path}"


@pytest.fixture
def ledger(url):
    """An open ledger with the policy of the examples in force."""
    from ledger_examples import DOCUMENT, REVISION

    from audit.ledger import open_ledger

    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        yield opened


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    """One process that forks whatever the tests of crashes kill."""
    from crashing import Nursery

    made = Nursery(tmp_path_factory.mktemp("children"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def every_kind(tmp_path_factory):
    """A ledger of every kind of entry; never changed, but copied."""
    from every_kind import make

    return make(tmp_path_factory.mktemp("every-kind"))
