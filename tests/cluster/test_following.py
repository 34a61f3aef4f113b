"""Texts that grow, followed by checks in replicas: what leaves is what leaves with the checks here. No cluster is needed."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import pytest

from guard.chain import Chain
from guard.errors import CheckError, ModelError
from guard.following import FollowedElsewhere, Progress, why_whole
from guard.instrument import Instrument
from guard.protocols import Check
from guard.streaming.frontier import Frontier
from guard.streaming.measuring import Measuring
from guard.types import Status
from guard.workers import Overdue
from serving.cluster import asking, replicas
from serving.cluster.asking import DIED, Fault, Identity, RemoteCheck, RemoteFollower
from serving.cluster.replicas import CheckReplica
from tests.fakes import WordCheck, policy, spec, text
from tests.streaming.streams import FollowingWords, SentenceScore
from tests.streaming.test_every_split import BLOCKED, CLEAN, CUT, NOW, built, run, seat_of


class Far:
    """A line to some replicas of a check, in this process; any of them answers, and they answer as a Fault when told to."""

    def __init__(self, name: str, check: Check, count: int) -> None:
        self.check, self.draw, self.fault = check, random.Random(5), None
        self.replicas = [CheckReplica.__new__(CheckReplica) for _ in range(count)]
        for one in self.replicas:
            one._instrument = Instrument(spec(name, check), check)
            one._followers = OrderedDict()

    def open(self) -> Identity:
        return Identity(self.check.version, self.check.digest)

    def ask_and_wait(self, contents, seconds, wait):
        return self.check(contents)

    async def follow(self, key, text, seconds, wait, /, *, ending):
        if isinstance(self.fault, Exception):
            raise self.fault
        return self.fault or await self.draw.choice(self.replicas).follow(key, text, seconds, wait, ending)


def remote(checks: Mapping[str, Check], count: int) -> dict[str, Check]:
    made: dict[str, Check] = {name: RemoteCheck(one, Far(name, one, count)) for name, one in checks.items()}
    for one in made.values():
        one.load()
    return made


@pytest.mark.parametrize(("count", "remembered"), [(1, 256), (3, 256), (2, 0)])
def test_what_leaves_is_the_beginning_of_what_a_whole_run_releases(count, remembered, monkeypatch):
    """Whichever replica is asked, and however much of the text it has seen; none remembers anything in the last case."""
    monkeypatch.setattr(replicas, "FOLLOWERS", remembered)
    given = {"words": FollowingWords("secret"), "bad": FollowingWords("kill"), "score": SentenceScore("dark")}
    checks = remote(built("secrets", "invisible_characters", **given), count)
    run(40, 1, seat_of(checks, ["bad", "score"]), (CLEAN, CUT, BLOCKED))


def test_a_replica_that_has_not_seen_a_text_does_not_take_back_what_another_settled():
    """It may settle less; what was said before still holds."""
    line = Far("score", SentenceScore("dark"), 1)
    follower = RemoteFollower(line)

    async def ask(words: str, *, ending: bool = False) -> tuple[int, int]:
        said = await follower.ask(text(words), 5.0, ending=ending)
        return said.settled, said.scan.scanned.end

    async def all_of_them() -> list[tuple[int, int]]:
        told = [await ask("One. Two. Thr")]
        line.fault = asking.Followed(Progress(SentenceScore("dark")._scan("One."), 4), by_sentence=True)
        told.append(await ask("One. Two. Three"))
        line.fault = asking.Followed(Progress(SentenceScore("dark")._scan("One. Two."), 9), by_sentence=True)
        told.append(await ask("One. Two.", ending=True))
        return told

    assert asyncio.run(all_of_them()) == [(9, 9), (9, 9), (9, 9)]
    assert follower.by_sentence


def test_a_check_that_cannot_follow_cannot_there():
    """As it says here, before it is loaded."""
    check = RemoteCheck(WordCheck("secret"), Far("words", WordCheck("secret"), 1))
    assert isinstance(check, FollowedElsewhere)
    assert why_whole(check) == why_whole(WordCheck("secret"))
    assert not why_whole(RemoteCheck(FollowingWords("secret"), Far("words", FollowingWords("secret"), 1)))


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        (ConnectionResetError("secret words"), Status.FAILED, f"CheckError: {DIED} (ConnectionResetError)"),
        (Fault("overdue", ""), Status.TIMEOUT, "no answer within 5000 ms"),
        (Fault("ModelError", "could not be loaded: no weights"), Status.FAILED, "ModelError: could not be loaded: no weights"),
        (Fault("other", "ValueError"), Status.FAILED, "CheckError: it raised ValueError"),
    ],
)
def test_a_replica_that_says_nothing_is_a_failed_check(fault, status, error):
    """From there to the end of the text."""
    checks = remote({"words": FollowingWords("secret")}, 1)
    made = policy([spec("words", checks["words"], deadline_ms=5000)])

    async def measure() -> Sequence[Status]:
        measuring = Measuring(Chain(made, checks), Frontier(checks, NOW, keyed=False))
        first = await measuring(text("It is one. "), ending=False)
        checks["words"].line.fault = fault
        second = await measuring(text("It is one. And"), ending=False)
        checks["words"].line.fault = None
        third = await measuring(text("It is one. And two."), ending=True)
        assert second.results[0].error == error
        return [one.results[0].status for one in (first, second, third)]

    assert asyncio.run(measure()) == [Status.OK, status, status]


def test_no_answer_is_a_timeout(monkeypatch):
    """Deadline, wait and way together."""
    monkeypatch.setattr(asking, "WAY_S", 0.0)
    monkeypatch.setattr(asking, "QUEUE_WAIT_S", 0.0)

    class Silent(Far):
        async def follow(self, *_, ending):
            await asyncio.sleep(600)

    follower = RemoteFollower(Silent("words", FollowingWords("x"), 1))
    with pytest.raises(Overdue):
        asyncio.run(follower.ask(text("x"), 0.01, ending=True))


def test_a_follower_that_raises_is_told_as_what_it_raised():
    """In the replica, where the next question begins anew."""

    class Breaking(FollowingWords):
        def follow(self):
            raise ModelError("the bank is not loaded")

    follower = RemoteFollower(Far("words", Breaking("x"), 1))
    with pytest.raises(ModelError, match="not loaded"):
        asyncio.run(follower.ask(text("x"), 5.0, ending=True))

    class Odd(FollowingWords):
        def follow(self):
            raise LookupError("x is what it says")

    with pytest.raises(CheckError, match="it raised LookupError"):
        asyncio.run(RemoteFollower(Far("words", Odd("x"), 1)).ask(text("x"), 5.0, ending=True))
