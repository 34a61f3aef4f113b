"""serving.checkup: one verification at a time, whichever process was asked, and how it came out for all."""

from __future__ import annotations

import asyncio
from pathlib import Path

from audit.ledger import open_ledger
from serving.checkup import RUNNING, Checkup


def test_one_runs_at_a_time_and_every_worker_tells_of_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    open_ledger(url).close()

    async def all_of_it() -> None:
        one, other = Checkup(url), Checkup(url)
        assert (one.since, other.since, other.last()) == ("", "", None)
        assert one.begin("ann")
        began = one.since
        assert began
        assert other.since == began
        assert not other.begin("bo")
        assert not one.begin("bo")
        assert one._running is not None
        await asyncio.wait_for(one._running, 110)
        assert (one.since, other.since) == ("", "")
        last = other.last()
        assert last is not None
        assert (last["time"], last["actor"], last["code"], last["ok"], last["size"]) == (began, "ann", 0, True, 1)
        assert other.begin("bo")
        await other.close()
        assert (one.since, other.since) == ("", "")

    asyncio.run(all_of_it())


def test_a_note_of_a_run_that_died_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / f"ledger.db{RUNNING}").write_text("2026-11-28T00:00:00.000000Z", "utf-8")
    assert Checkup(f"sqlite:///{tmp_path / 'ledger.db'}").since == ""
