"""A check that runs elsewhere: what is sent, what comes back, and what follows when nothing does. No cluster is needed here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from guard.chain import Chain
from guard.errors import BusyError, CheckError, GenerationError, ModelError, ParameterError
from guard.instrument import Instrument
from guard.pipeline import Guard
from guard.types import Action, Modality, Scan, Status
from guard.workers import Overdue
from serving.cluster import asking
from serving.cluster.asking import DIED, Asker, Fault, Identity, RemoteCheck, RemoteInstrument, error_of, fault_of
from serving.cluster.generators import RemoteGenerator, RemoteStream
from serving.cluster.replicas import CheckRecipe, CheckReplica, GeneratorRecipe, GeneratorReplica
from tests.fakes import MemoryLedger, WordCheck, finding, policy, rule, spec, text, whole

WORD = WordCheck("secret")


class FakeLine:
    """Answers as it is told; notes what it was asked, and what was cancelled."""

    def __init__(self, *answers: object, delay: float = 0.0, trouble: str = "") -> None:
        self.answers, self.delay, self.trouble = list(answers), delay, trouble
        self.asked: list[tuple[int, float, float]] = []
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    def open(self) -> Identity:
        return Identity("7", "abc", self.trouble)

    async def ask(self, contents, seconds, wait):
        self.asked.append((len(contents), seconds, wait))
        self.begun.set()
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return self._answer(contents)

    def ask_and_wait(self, contents, seconds, wait):
        self.asked.append((len(contents), seconds, wait))
        return self._answer(contents)

    def _answer(self, contents):
        answer = self.answers.pop(0) if self.answers else [Scan((), whole(one), "abc") for one in contents]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def remote(line, check=WORD):
    """A chain of one check that is asked over a line, with a rule that blocks what it finds."""
    names = [spec("words", check, deadline_ms=5000)]
    made = policy(names, [rule(Action.BLOCK, _found("words"))])
    return made, Chain(made, make=lambda one: RemoteInstrument(one, RemoteCheck(check, line)))


def _found(name: str):
    from guard.rules import Found

    return Found(name)


def run(line, *texts: str, check=WORD):
    _, chain = remote(line, check)
    return asyncio.run(chain.run([text(one) for one in texts]))


def test_answers_come_back_in_order():
    """With the digest of what made each, and the replica's version."""
    line = FakeLine([Scan((finding(),), whole(text("a secret")), "d1"), Scan((), whole(text("plain")), "d2")])
    (first,), (second,) = run(line, "a secret", "plain")
    assert (first.status, first.digest, first.version, len(first.findings)) == (Status.OK, "d1", "7", 1)
    assert (second.status, second.digest) == (Status.OK, "d2")
    assert line.asked == [(2, 5.0, 60.0)]


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (RuntimeError("actor died, and here is its content"), Status.FAILED, f"CheckError: {DIED} (RuntimeError)"),
        (asyncio.CancelledError(), Status.FAILED, f"CheckError: {DIED} (CancelledError)"),
        ([], Status.FAILED, "CheckError: found 0 scans of the cluster, expected 1"),
        (Fault("ModelError", "could not be loaded: no weights"), Status.FAILED, "ModelError: could not be loaded: no weights"),
        ([Fault("other", "ValueError")], Status.FAILED, "CheckError: it raised ValueError"),
        ([Fault("overdue", "")], Status.TIMEOUT, "no answer within 5000 ms"),
        ([Fault("overdue", "", begun=False)], Status.TIMEOUT, "no turn in time: too much waits for this check"),
        ([None], Status.FAILED, "found NoneType, expected a Scan for each content"),
    ],
)
def test_what_is_no_scan_is_a_failed_check(answer, status, error):
    """Never a clean one, and nothing of a stranger's words is recorded."""
    ((result,),) = run(FakeLine(answer), "plain")
    assert (result.status, result.error) == (status, error)
    assert not result.findings


def test_the_policys_rule_of_failure_applies_when_a_replica_dies():
    """The decision says that the check failed, and blocks."""
    made, chain = remote(FakeLine(ConnectionResetError()))
    guard = Guard(made, MemoryLedger(), chains={made.id: chain})
    release = asyncio.run(guard.check("plain"))
    assert release.content is None
    assert release.verdict.action is Action.BLOCK
    assert [(one.check, one.status) for one in release.decision.results] == [("words", Status.FAILED)]


def test_a_full_replica_is_busy():
    """Nothing is judged or recorded; the caller hears when to come again."""
    made, chain = remote(FakeLine(Fault("busy", "found 9 contents waiting", retry_after_s=7)))
    ledger = MemoryLedger()
    guard = Guard(made, ledger, chains={made.id: chain})
    with pytest.raises(BusyError) as caught:
        asyncio.run(guard.check("plain"))
    assert caught.value.retry_after_s == 7
    assert not ledger.decisions


def test_no_answer_is_a_timeout(monkeypatch):
    """Deadline, wait and way together; the question is cancelled there."""
    monkeypatch.setattr(asking, "WAY_S", 0.0)
    line = FakeLine(delay=600)

    async def ask() -> Sequence[object]:
        asker = Asker(line)
        asked = asker.begin([text("plain")], 0.01, wait=0.01)
        try:
            return await asked.future
        finally:
            asker.leave(asked)

    (answer,) = asyncio.run(ask())
    assert isinstance(answer, Overdue)
    assert line.cancelled.is_set()


def test_a_caller_who_goes_cancels_the_question():
    """Nobody waits for it any more."""
    line = FakeLine(delay=600)
    _, chain = remote(line)

    async def leave() -> None:
        task = asyncio.create_task(chain.run([text("plain")]))
        await line.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await line.cancelled.wait()

    asyncio.run(asyncio.wait_for(leave(), 60))
    figures = chain.instruments["words"].batcher.figures()
    assert (figures.running, figures.withdrawn, figures.calls) == (0, 1, 1)


def test_a_replica_that_is_not_ready_is_a_check_that_could_not_be_loaded():
    """Its trouble is told."""
    ((result,),) = run(FakeLine(trouble="ModelError: no weights"), "plain")
    assert result.status is Status.FAILED
    assert "its replica is not ready: ModelError: no weights" in result.error


def test_it_is_a_check_that_can_be_called_plainly():
    """As the protocol says: scans in order, or it raises."""
    check = RemoteCheck(WORD, FakeLine())
    check.load()
    assert (check.version, check.digest, check.modalities) == ("7", "abc", frozenset({Modality.TEXT}))
    assert check.labels == WORD.labels
    assert [scan.scanned for scan in check([text("one"), text("two")])] == [whole(text("one")), whole(text("two"))]
    with pytest.raises(CheckError, match="it raised ValueError"):
        RemoteCheck(WORD, FakeLine([Fault("other", "ValueError")]))([text("one")])
    with pytest.raises(CheckError, match="died"):
        RemoteCheck(WORD, FakeLine(OSError()))([text("one")])


@pytest.mark.parametrize(
    "error", [Overdue("x", begun=False), BusyError("full", retry_after_s=9), ModelError("no weights"), ParameterError("seed")]
)
def test_errors_of_ours_cross_whole(error):
    """By kind, words and facts."""
    again = error_of(fault_of(error))
    assert type(again) is type(error)
    assert getattr(again, "begun", None) == getattr(error, "begun", None)
    assert getattr(again, "retry_after_s", None) == getattr(error, "retry_after_s", None)


def test_a_strangers_error_crosses_by_its_kind_alone():
    """Its words may quote content."""
    assert fault_of(ValueError("my card is 4111")) == Fault("other", "ValueError")
    assert str(error_of(Fault("other", "ValueError"))) == "it raised ValueError"
    assert isinstance(error_of(Fault("RayError", "x")), CheckError)


# --- what stands behind the line --------------------------------------------------------------------------------------


class NearLine:
    """A replica in this process."""

    def __init__(self, recipe: CheckRecipe) -> None:
        self.recipe = recipe
        self.replica: CheckReplica | None = None

    def open(self) -> Identity:
        return asyncio.run(self._open())

    async def _open(self) -> Identity:
        self.replica = CheckReplica.__new__(CheckReplica)
        await self.replica.__init__(self.recipe)
        return await self.replica.identity()

    async def ask(self, contents, seconds, wait):
        return await self.replica(contents, seconds, wait)

    def ask_and_wait(self, contents, seconds, wait):
        return asyncio.run(self.ask(contents, seconds, wait))


TEXTS = [f"It is ghp_{'aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5'}.", "Good morning.", "早上好。"]


def test_a_replica_measures_as_the_check_does_here():
    """Real checks: the same findings; a shared batcher has gathered the questions."""
    names = [spec("secrets")]
    made = policy(names)
    lines: list[NearLine] = []

    def elsewhere(one):
        lines.append(NearLine(CheckRecipe(one, ())))
        return RemoteInstrument(one, RemoteCheck(Instrument(one).check, lines[0]))

    async def both():
        here, there = Chain(made), Chain(made, make=elsewhere)
        contents = [text(one) for one in TEXTS]
        return await here.run(contents), await asyncio.gather(*(there.run([one]) for one in contents))

    here, there = asyncio.run(both())
    for (ours,), [(theirs,)] in zip(here, there, strict=True):
        assert (ours.findings, ours.scanned, ours.status, ours.version) == (
            theirs.findings, theirs.scanned, theirs.status, theirs.version,
        )  # fmt: skip
    assert here[0][0].findings
    assert lines[0].replica._instrument.batcher.figures().contents == 3


class NearCalls:
    """A generator's replica in this process."""

    def __init__(self, recipe: GeneratorRecipe) -> None:
        self.recipe, self.closed = recipe, 0
        self.replica = GeneratorReplica.__new__(GeneratorReplica)

    def open(self) -> Identity:
        async def begin() -> Identity:
            await self.replica.__init__(self.recipe)
            return await self.replica.identity()

        return asyncio.run(begin())

    def stream(self, method, *arguments):
        return Cancellable(getattr(self.replica, method)(*arguments), self)


class Cancellable:
    def __init__(self, items, calls) -> None:
        self.items, self.calls = items, calls

    def __aiter__(self):
        return self.items

    def cancel(self) -> None:
        self.calls.closed += 1


def echo() -> tuple[RemoteStream, NearCalls]:
    calls = NearCalls(GeneratorRecipe("echo", "echo", ()))
    made = RemoteStream("echo", Modality.TEXT, calls)
    made.load()
    return made, calls


def test_a_generator_elsewhere_makes_what_it_makes_here():
    """Whole and in pieces; an unknown parameter is told as here."""
    made, calls = echo()

    async def all_of():
        prompt = text("Good morning.")
        outputs = [one async for one in made([prompt], {})]
        pieces = [piece async for _, piece in made.stream([prompt], {})]
        with pytest.raises(ParameterError, match="nonsense"):
            _ = [one async for one in made([prompt], {"nonsense": 1})]
        return outputs, pieces

    ((index, output),), pieces = asyncio.run(all_of())
    assert index == 0
    assert "".join(piece.text for piece in pieces) == output.text
    assert pieces[-1].content is not None
    assert calls.closed == 0


def test_a_stream_that_nobody_reads_is_cancelled_there():
    """As soon as it is closed."""
    made, calls = echo()

    async def some():
        items = made.stream([text("Good morning.")], {})
        await anext(items)
        await items.aclose()

    asyncio.run(some())
    assert calls.closed == 1


def test_a_generator_whose_replica_dies_has_failed():
    """With no words of the stranger's."""

    class Dead:
        def open(self) -> Identity:
            return Identity("", "")

        def stream(self, *_):
            async def items():
                yield 0, text("one")
                raise ConnectionResetError("secret words")

            return Cancellable(items(), type("Count", (), {"closed": 0})())

    async def all_of():
        return [one async for one in RemoteGenerator("far", Modality.TEXT, Dead())([text("x")], {})]

    with pytest.raises(GenerationError, match=r"^generator 'far': the replica .*ConnectionResetError\)$"):
        asyncio.run(all_of())
