"""serving.workers: what the processes of one service share, and what one is told of all."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from guard.errors import SettingsError
from serving.rate import Buckets
from serving.settings import Settings
from serving.workers import orders, standing, table
from serving.workers.team import METRICS, STANDING, Team


@pytest.fixture
def folder() -> Iterator[Path]:
    """A path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="gg-") as made:
        yield Path(made)


def test_workers_draw_from_the_same_buckets(folder: Path) -> None:
    """Whichever is asked: as many as one process alone would give, and what is owed by one is owed to all."""
    now = 5.0
    one, two = (Buckets(6, lambda: now, table.Table(folder / "requests.rates")) for _ in range(2))
    assert [bucket.take("192.0.2.1") for bucket in (one, two) * 3] == [0] * 6
    assert [bucket.take("192.0.2.1") for bucket in (one, two)] == [10, 10]
    one.charge("somebody", 12)
    assert two.draw("somebody", 0, need=1).wait_s == 70
    now = 15.0
    assert [bucket.take("192.0.2.1") for bucket in (two, one)] == [0, 10]


def draw(path: Path, count: int, said: multiprocessing.SimpleQueue[int]) -> None:
    buckets = Buckets(100, lambda: 1.0, table.Table(path))
    said.put(sum(buckets.draw("somebody").wait_s == 0 for _ in range(count)))


def test_no_token_is_given_twice_to_processes_that_ask_at_once(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    workers = [context.Process(target=draw, args=(folder / "x.rates", 90, said)) for _ in range(3)]
    for one in workers:
        one.start()
    assert sum(said.get() for _ in workers) == 100
    for one in workers:
        one.join(60)


def test_a_table_that_is_full_forgets_who_has_not_asked_for_longest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each set; what was half-written when a process died counts as never asked."""
    monkeypatch.setattr(table, "SETS", 1)
    kept = table.Table(folder / "x.rates")
    for number in range(table.WAYS + 2):
        kept.put(f"name-{number}", float(number), float(number))
    assert [kept.get(f"name-{number}") for number in range(3)] == [None, None, (2.0, 2.0)]
    kept.put("name-5", float("nan"), 3.0)
    assert kept.get("name-5") is None
    kept.put("name-5", 1.0, float("nan"))
    kept.put("other", 1.0, 50.0)
    assert kept.get("other") == (1.0, 50.0)


def test_one_has_the_periodic_work_and_another_after_it(folder: Path) -> None:
    async def all_of_it() -> None:
        one, two = Team(0, 2, folder), Team(1, 2, folder)
        await asyncio.wait_for(one.duty(), 60)
        waiting = asyncio.create_task(two.duty())
        done, _ = await asyncio.wait([waiting], timeout=1.0)
        assert not done
        assert (one.on_duty, two.on_duty) == (True, False)
        await one.close()
        await asyncio.wait_for(waiting, 60)
        assert (one.on_duty, two.on_duty) == (False, True)
        await two.close()

    asyncio.run(all_of_it())
    alone = Team()
    assert alone.on_duty
    assert alone.started
    asyncio.run(alone.duty())


def test_workers_answer_each_other(folder: Path) -> None:
    """Whoever is away, or says what cannot be understood, has not answered."""

    async def all_of_it() -> None:
        teams = [Team(number, 3, folder) for number in range(3)]
        for number, one in enumerate(teams[:2]):

            async def said(number: int = number) -> object:
                return {"troubles": {}, "number": number}

            await one.open({STANDING: said})
        assert await teams[1].ask(STANDING) == {0: {"troubles": {}, "number": 0}, 2: None}
        assert await teams[1].ask(METRICS) == {0: None, 2: None}
        await teams[0].close()
        assert await teams[1].ask(STANDING) == {0: None, 2: None}
        await teams[1].close()

    asyncio.run(all_of_it())


def test_readiness_is_that_of_all(folder: Path) -> None:
    """One that was never there is a trouble; one that is being started again is told, and the others go on."""
    team = Team(0, 3, folder)
    good = {"troubles": {}, "rollout": {}, "checkpoints": ["a witness is away"]}
    bad = {"troubles": {"ledger": "it is away"}, "rollout": {"house": "old"}, "checkpoints": ["a witness is away"]}
    other = {"troubles": {"ledger": "the disk is full"}, "rollout": {}, "checkpoints": []}
    found = standing.together(team, good, {1: bad, 2: other})
    assert found["troubles"] == {"ledger": "it is away", "ledger (worker 2)": "the disk is full"}
    assert found["rollout"] == {"house": "old"}
    assert found["checkpoints"] == ["a witness is away"]
    assert standing.together(team, good, {1: None, 2: good})["troubles"] == {"workers": "worker 1 is being started"}
    (folder / orders.STARTED).touch()
    found = standing.together(team, good, {1: None, 2: good})
    assert (found["troubles"], found["workers"]) == ({}, ["worker 1 is being started again"])


def test_metrics_say_whose_they_are(folder: Path) -> None:
    """Counters, gauges and histograms of all, each family once."""

    def counted(number: int) -> list[object]:
        registry = CollectorRegistry()
        Counter("genguard_requests", "Answered.", ["route"], registry=registry).labels("/x").inc(number)
        Gauge("genguard_depth", "Waiting.", registry=registry).set(number)
        Histogram("genguard_took", "Seconds.", buckets=(1.0, 2.0), registry=registry).observe(number)
        return standing.families(registry.collect())

    (folder / orders.RESTARTS).write_text('{"worker": 2, "committer": 1}', "utf-8")
    text = standing.as_text(Team(1, 3, folder), counted(5), {0: counted(1), 2: None}).decode()
    assert text.count("# TYPE genguard_requests_total counter") == 1
    assert 'genguard_requests_total{route="/x",worker="1"} 5.0' in text
    assert 'genguard_requests_total{route="/x",worker="0"} 1.0' in text
    assert 'genguard_took_bucket{le="1.0",worker="0"} 1.0' in text
    assert 'genguard_worker_up{worker="2"} 0.0' in text
    assert 'genguard_processes_restarted_total{part="worker"} 2.0' in text
    assert {one.name for one in text_string_to_metric_families(text)} >= {"genguard_depth", "genguard_took"}


def test_orders_carry_all_settings_and_their_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has the settings of its supervisor, whatever the environment says by then."""
    given = Settings(
        ledger="sqlite:///x.db",
        api_keys="app:" + "k" * 20,  # type: ignore[arg-type]
        key_file=tmp_path / "key",
        hosts=("a.example", "b.example"),
        resident_bytes="2GiB",  # type: ignore[arg-type]
        workers=3,
    )
    monkeypatch.setenv("GENGUARD_HOSTS", "other.example")
    monkeypatch.setenv("GENGUARD_PORT", "1")
    read, written = os.pipe()
    sent = orders.Orders(1, 3, str(tmp_path), orders.values_of(given), (7, 8), 9, relayed=True)
    os.write(written, sent.line())
    os.close(written)
    with os.fdopen(read) as stream:
        monkeypatch.setattr(orders.sys, "stdin", stream)
        found, settings = orders.read_orders()
        assert settings == given
        assert (found.index, found.sockets, found.committer) == (1, (7, 8), tmp_path / orders.COMMITTER)
        assert settings.api_keys.get_secret_value() not in repr(settings)
        with pytest.raises(SettingsError, match="no orders"):
            orders.read_orders()
