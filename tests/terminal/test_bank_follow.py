"""`genguard bank follow`: a machine without a gateway, and without a key, has the banks of its ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from postgres import MISSING, binaries, fresh_schema, statement

from audit.ledger import SqlLedger, open_ledger
from guard.matching import bank as banks
from serving.works import changing
from tests.matching.works import hashed, many

pytestmark = pytest.mark.skipif(binaries() is None and "GENGUARD_TEST_POSTGRES" not in os.environ, reason=MISSING)
ROOT = Path(__file__).parents[2]


@dataclass
class Site:
    """A gateway's ledger and folder, and the machine that follows."""

    url: str
    ledger: SqlLedger
    gateway: Path
    node: Path

    def add(self, *works: object, name: str = "works") -> str:
        """Register works at the gateway; the bank's digest."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GENGUARD_BANKS", str(self.gateway))
            with changing(name, self.ledger) as (bank, _):
                bank.add(works, actor="ann")  # type: ignore[arg-type]
                return bank.digest

    def follow(self, *more: str, url: str = "") -> subprocess.Popen[str]:
        """The command, on the node, which has no key."""
        command = [sys.executable, "-m", "cli", "bank", "follow", "--ledger", url or self.url, *more]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GENGUARD_")}
        around = {**kept, "PYTHONPATH": str(ROOT), "GENGUARD_BANKS": str(self.node), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            command, env=around, cwd=self.node.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def once(self, *more: str, url: str = "") -> tuple[int, str, str]:
        """Exit code, output and errors of `--once`."""
        running = self.follow("--once", *more, url=url)
        out, err = running.communicate(timeout=100)
        return running.returncode, out, err

    def digest(self, name: str = "works") -> str:
        """Of the node's bank; empty when there is none."""
        return banks.live(self.node / name).digest if (self.node / name / banks.CATALOGUE).is_file() else ""


@pytest.fixture
def site(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    keys = tmp_path / "keys"
    keys.mkdir()
    monkeypatch.setenv("GENGUARD_KEY_FOLDER", str(keys))
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    url = fresh_schema(postgres)
    with open_ledger(url) as ledger:
        yield Site(url, ledger, tmp_path / "gateway", tmp_path / "node")


@contextmanager
def reader(site: Site) -> Iterator[str]:
    """The ledger's URL for a role that may read it and nothing else."""
    name = f"reader_{os.getpid()}"
    ((schema,),) = statement(site.url, "SELECT current_schema()")
    statement(site.url, f"CREATE ROLE {name} LOGIN")
    statement(site.url, f"GRANT USAGE ON SCHEMA {schema} TO {name}")
    statement(site.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name}")
    head, _, tail = site.url.partition("://")[2].partition("@")
    assert head
    try:
        yield f"postgresql://{name}@{tail}"
    finally:
        statement(site.url, f"DROP OWNED BY {name}")
        statement(site.url, f"DROP ROLE {name}")


def until(found: Callable[[], bool], running: subprocess.Popen[str]) -> float:
    """Wait; the seconds that it took."""
    begun = time.monotonic()
    while not found():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() - begun < 60
        time.sleep(0.02)
    return time.monotonic() - begun


def test_once_builds_what_the_ledger_has(site: Site) -> None:
    """All banks, for a role that can read alone; the second time there is nothing to do."""
    digests = {"works": site.add(*many(3)), "logos": site.add(hashed("one", 5), name="logos")}
    with reader(site) as url:
        code, out, err = site.once(url=url)
        assert (code, err) == (0, "")
        assert [line.split() for line in out.splitlines()[:-1]] == [
            ["logos", "1", "works", digests["logos"]],
            ["works", "3", "works", digests["works"]],
        ]
        assert out.splitlines()[-1] == f"banks in {site.node} that are as the ledger has them: 2"
        assert {name: site.digest(name) for name in digests} == digests
        code, out, err = site.once("--json", url=url)
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"bank": "logos", "kind": "protected", "works": 1, "digest": digests["logos"]},
        {"bank": "works", "kind": "protected", "works": 3, "digest": digests["works"]},
    ]


def test_it_follows_until_it_is_told_to_end(site: Site) -> None:
    """A change is there soon after, a lost connection is made again, and SIGTERM is no failure."""
    first = site.add(*many(2))
    running = site.follow("--json")
    try:
        until(lambda: site.digest() == first, running)
        second = site.add(hashed("more", 7))
        until(lambda: site.digest() == second, running)
        statement(site.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        third = site.add(hashed("later", 8))
        until(lambda: site.digest() == third, running)
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0
    assert [json.loads(line)["digest"] for line in out.splitlines()] == [first, second, third]


def test_what_cannot_follow_is_told(site: Site) -> None:
    """A bank with a history of its own stays as it is, one that the ledger lacks is named, and the others follow."""
    digest = site.add(*many(2))
    site.add(hashed("theirs", 4), name="logos")
    own = banks.live(site.node / "logos", kind="protected")
    own.add([hashed("ours", 6)], actor="bea")
    kept = own.digest
    banks.live(site.node / "alone", kind="protected").add([hashed("mine", 9)], actor="bea")
    code, out, err = site.once()
    assert code == 2
    assert "bank logos: bank 'logos' has another history here" in err
    assert "bank alone: bank 'alone' has changes here that the ledger lacks\n  Start a gateway on this folder" in err
    assert out.splitlines()[-1] == f"banks in {site.node} that are as the ledger has them: 1"
    assert (site.digest(), site.digest("logos")) == (digest, kept)


def test_rows_that_their_entry_denies_keep_no_other_bank_from_following(site: Site) -> None:
    """Their bank is named; what comes after it in order is brought on."""
    site.add(*many(2), name="damaged")
    digest = site.add(*many(2))
    statement(
        site.url, f"SET session_replication_role = replica; UPDATE bank_batch SET digest = '{'0' * 64}' WHERE bank = 'damaged'"
    )
    code, _, err = site.once()
    assert code == 2
    assert "bank damaged: a batch of bank 'damaged' is not what entry" in err
    assert site.digest() == digest


def test_a_ledger_in_a_file_has_nothing_to_follow(site: Site, tmp_path: Path) -> None:
    """It says why."""
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}"):
        pass
    code, _, err = site.once(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    assert code not in {0, 2}
    assert "expected one in PostgreSQL" in err
