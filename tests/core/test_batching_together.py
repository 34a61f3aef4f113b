"""Strangers who share calls, by the hundred, and through the chain: each gets their own answers, and nobody another's."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from guard.batching import Batcher
from guard.chain import Chain
from guard.errors import BusyError
from guard.pipeline import Guard
from guard.rules import CheckSpec
from guard.types import Content, Scan, Status
from guard.workers import Worker
from tests.fakes import AsyncCheck, FakeCheck, MemoryLedger, WordCheck, policy, spec, text
from tests.queues import PATIENCE, Door, content, echo, gathered, said

# --- strangers by the hundred ----------------------------------------------------------------------------------------


class Moody:
    """Answers with what the contents say; now and then it fails, is slow, or gives too little."""

    def __init__(self, seed: int) -> None:
        self.draw, self.seen = random.Random(seed), Counter[str]()

    def __call__(self, batch: Sequence[Content]) -> list[Scan]:
        mood = self.draw.random()
        for one in batch:
            self.seen[one.text] += 1
            if one.text.startswith("poison"):
                raise ValueError(one.text)
        if mood < 0.1:
            raise RuntimeError(" ".join(one.text for one in batch))
        if mood < 0.2:
            time.sleep(0.002)
        return echo(batch)[: len(batch) - (mood > 0.95)]


async def stranger(batcher: Batcher, tenant: str, rounds: int, draw: random.Random) -> Counter[str]:
    """Asks, hangs up, asks again; sees to it that no word of anybody else reaches it."""
    outcomes = Counter[str]()
    for _ in range(rounds):
        token = uuid4().hex
        names = [f"{draw.choice(['', '', '', 'poison '])}{token} {number}" for number in range(draw.choice([1, 1, 1, 4]))]
        asked = asyncio.create_task(batcher.run([content(name, tenant) for name in names], PATIENCE, wait=PATIENCE))
        if draw.random() < 0.2:
            await asyncio.sleep(draw.random() * 0.002)
            asked.cancel()
        try:
            answers = await asked
        except asyncio.CancelledError:
            outcomes["gone"] += 1
            continue
        except BusyError:
            outcomes["refused"] += 1
            await asyncio.sleep(0.001)
            continue
        assert len(answers) == len(names)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Scan):
                assert (said(answer), name.startswith("poison")) == (name, False)
                outcomes["scan"] += 1
            else:
                assert str(answer) in {name, "found 0 scans, expected 1"}
                outcomes["failure"] += 1
    return outcomes


@pytest.mark.parametrize("seed", range(4))
def test_nobody_ever_gets_anothers_answer(seed: int) -> None:
    """Three event loops, 90 callers, failures, cancellations and a full queue: each gets one answer, their own."""
    moody = Moody(seed)
    batcher = Batcher(moody, Worker("test"), together=16, most=40)
    totals: list[Counter[str]] = []
    broken: list[BaseException] = []

    def loop(number: int) -> None:
        async def callers() -> None:
            draws = [random.Random(f"{seed} {number} {one}") for one in range(30)]
            found = await asyncio.gather(*(stranger(batcher, f"tenant {one % 7}", 12, draws[one]) for one in range(30)))
            totals.extend(found)

        try:
            asyncio.run(asyncio.wait_for(callers(), 3 * PATIENCE))
        except BaseException as error:
            broken.append(error)
            raise

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * PATIENCE)
    assert not broken
    outcomes = sum(totals, Counter[str]())
    assert {"scan", "failure", "gone"} <= outcomes.keys()
    assert max(moody.seen.values()) <= 2  # once in company, once alone: never doubled
    figures = batcher.figures()
    assert figures.waiting == 0
    assert figures.largest > 1


# --- through the chain and the guard ---------------------------------------------------------------------------------


class Shut(WordCheck):
    """Keeps its first caller waiting until it is opened."""

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        self.door = Door(lambda batch: WordCheck.__call__(self, batch))

    def __call__(self, batch: Sequence[Content], /) -> Any:
        return self.door(batch)


def test_the_callers_of_a_chain_share_calls_and_get_their_own_results() -> None:
    """Two policies with one instrument, too."""
    check = Shut("anna")
    house = policy([spec("words", check)])
    chain = Chain(house, {"words": check})

    async def script() -> list[Any]:
        await chain.load()
        tasks = [asyncio.create_task(chain.run([text("nobody")]))]
        await asyncio.to_thread(check.door.entered.wait, PATIENCE)
        tasks += [asyncio.create_task(chain.run([text(name)])) for name in ("anna", "bob", "anna anna")]
        await gathered(chain.instruments["words"].batcher, 3)
        check.door.opened.set()
        return await asyncio.gather(*tasks)

    found = asyncio.run(script())
    assert [len(results[0][0].findings) for results in found] == [0, 1, 0, 2]
    assert all(results[0][0].status is Status.OK for results in found)
    assert [len(batch) for batch in check.batches] == [1, 3]


def test_a_request_without_room_is_refused_and_nothing_of_it_is_recorded() -> None:
    """It is no failed check: nothing was judged, and the caller may come again."""
    check, beside = Shut("anna"), AsyncCheck()
    house, ledger = policy([spec("words", check), spec("beside", beside)]), MemoryLedger()
    chain = Chain(house, {"words": check, "beside": beside})
    chain.instruments["words"].batcher._most = 2
    guard = Guard(house, ledger, chains={"house": chain})

    async def script() -> None:
        await guard.load()
        tasks = [asyncio.create_task(guard.check(text("nobody")))]
        await asyncio.to_thread(check.door.entered.wait, PATIENCE)
        tasks += [asyncio.create_task(guard.check(text("waits"))) for _ in range(2)]
        await gathered(chain.instruments["words"].batcher, 2)
        beside.seconds = PATIENCE
        with pytest.raises(BusyError):
            await guard.check(text("too many"))
        assert not ledger.decisions
        check.door.opened.set()
        await asyncio.gather(*tasks)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(script())
    assert len(ledger.decisions) == 3


def test_a_bulk_of_long_and_short_texts_keeps_its_order() -> None:
    """Whatever shares a call with what."""
    check = WordCheck("anna")
    names = [("anna " if number % 3 == 0 else "bob ") * (1 + 97 * (number % 5)) for number in range(300)]
    chain = Chain(policy([spec("words", check)]), {"words": check})
    found = asyncio.run(chain.run([text(name) for name in names]))
    assert [len(results[0].findings) for results in found] == [name.count("anna") for name in names]
    assert sorted(name for batch in check.batches for name in batch) == sorted(names)


def test_shared_calls_give_the_scores_of_calls_alone() -> None:
    """The bundled model, texts of many lengths, forty callers: not a thousandth differs."""
    parts = (
        "You are a worthless idiot.",
        "Thank you for your message.",
        "I will find you and hurt you.",
        "The parcel is late.",
    )
    names = [" ".join(parts[(number + one) % 4] for one in range(1 + number % 9)) for number in range(40)]
    line = CheckSpec("toxicity", "toxicity", {"model": "bundled/toxicity-en", "report_from": 0}, deadline_ms=60_000)
    chain = Chain(policy([line]))

    async def script() -> tuple[list[Any], list[Any]]:
        await chain.load()
        together = await asyncio.gather(*(chain.run([text(name)]) for name in names))
        return together, [await chain.run([text(name)]) for name in names]

    together, alone = asyncio.run(script())
    assert chain.instruments["toxicity"].batcher.figures().largest > 1
    for one, other in zip(together, alone, strict=True):
        assert one[0][0].findings == other[0][0].findings
        assert one[0][0].status is Status.OK


def test_a_fake_is_never_asked_on_two_threads_at_once() -> None:
    """One model, one thread, however many ask."""
    check = FakeCheck()
    chain = Chain(policy([spec("a", check)]), {"a": check})

    async def script() -> None:
        await asyncio.gather(*(chain.run([text("x")]) for _ in range(50)))

    asyncio.run(script())
    assert len(check.threads) == 1
