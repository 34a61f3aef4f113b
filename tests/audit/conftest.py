"""Makes `ledger_examples` importable, and opens ledgers that are closed after the test.

A test that takes `url` or `ledger` says what holds of every ledger, and runs on both databases; one that takes `path` as well
looks at a SQLite file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from postgres import binaries, fresh_schema

sys.path.insert(0, str(Path(__file__).parent))

SQLITE, POSTGRES = "sqlite", "postgresql"
MASTER_KEY = "pKJ1Zr7RjIwbYqjw3mVvEwTgB5f3oXfO0P4cH2tq8mM="
_HERE = (SQLITE, POSTGRES) if os.environ.get("GENGUARD_TEST_POSTGRES") or binaries() else (SQLITE,)


def pytest_generate_tests(metafunc):
    """Which databases a test runs on."""
    if "backend" in metafunc.fixturenames:
        found = (SQLITE,) if "path" in metafunc.fixturenames else _HERE
        metafunc.parametrize("backend", found, scope="module")


@pytest.fixture(autouse=True)
def _no_master_key_outside(monkeypatch, request):
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("backend") == POSTGRES:
        monkeypatch.setenv("GENGUARD_MASTER_KEY", MASTER_KEY)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Searches are not cut short on a busy machine."""
    for name in ("audit.search.PATIENCE_S", "audit.facets.FACETS_S", "audit.facets.COUNTS_S"):
        monkeypatch.setattr(name, 60.0)


@pytest.fixture
def path(tmp_path):
    """Where the test's ledger lies."""
    return tmp_path / "ledger.db"


@pytest.fixture
def url(backend, request):
    """Its URL."""
    if backend == POSTGRES:
        return fresh_schema(request.getfixturevalue("postgres"))
    return f"sqlite:///{request.getfixturevalue('path')}"


@pytest.fixture
def new_url(backend, request, tmp_path):
    """Makes URLs, each of an empty place."""
    numbers = iter(range(1_000_000))

    def make() -> str:
        if backend == POSTGRES:
            return fresh_schema(request.getfixturevalue("postgres"))
        return f"sqlite:///{tmp_path / f'ledger-{next(numbers)}.db'}"

    return make


@pytest.fixture(scope="module")
def shared_url(backend, request, tmp_path_factory):
    """The URL of a ledger that all tests of a module read."""
    if backend == SQLITE:
        yield f"sqlite:///{tmp_path_factory.mktemp('shared') / 'ledger.db'}"
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENGUARD_MASTER_KEY", MASTER_KEY)
        yield fresh_schema(request.getfixturevalue("postgres"))


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


@pytest.fixture(scope="session")
def every_kind_on_server(tmp_path_factory, postgres):
    """The same on PostgreSQL; its keys lie in its folder."""
    from every_kind import make

    folder = tmp_path_factory.mktemp("every-kind-server")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GENGUARD_MASTER_KEY", raising=False)
        patch.setenv("GENGUARD_KEY_FOLDER", str(folder))
        return make(folder, fresh_schema(postgres), fresh_schema(postgres))


@pytest.fixture
def scene(backend, request, tmp_path, monkeypatch):
    """A copy of a ledger of every kind of entry, to be changed."""
    from tampering import Scene, ServerScene

    if backend == SQLITE:
        return Scene.of(request.getfixturevalue("every_kind"), tmp_path)
    made = request.getfixturevalue("every_kind_on_server")
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    monkeypatch.setenv("GENGUARD_KEY_FOLDER", str(made.folder))
    return ServerScene.at(made, tmp_path, fresh_schema(request.getfixturevalue("postgres")))
