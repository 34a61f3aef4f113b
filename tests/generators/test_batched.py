"""generators.batched: callers who share a generator's calls, and get what they would have got alone."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any
from uuid import uuid4

import pytest

from generators.batched import Batched, batched
from generators.desk import Settings
from guard.chain import Chain
from guard.errors import BusyError, GenerationError, InputError, ParameterError
from guard.pipeline import Guard
from guard.protocols import Asked, Generator, Piece, StreamingGenerator, TokenGenerator
from guard.registry import generators
from guard.types import Content
from tests.fakes import MemoryLedger, word_policy
from tests.generators.scribes import Joint, Plain, Tokens, prompt

BOTH = pytest.mark.parametrize("kind", [Tokens, Joint])


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0)


class Mark:
    """A watermark by name."""

    width = 1

    def __init__(self, method: str) -> None:
        self.method = method

    def shift(self, probabilities: Any, contexts: Any, /) -> Any:
        return probabilities


async def collect(source: AsyncIterator[tuple[int, Any]]) -> list[tuple[int, Any]]:
    return [item async for item in source]


def ask(generator: Any, *names: str, tenant: str = "default", **parameters: Any) -> asyncio.Task[list[tuple[int, Content]]]:
    return asyncio.create_task(collect(generator([prompt(name, tenant) for name in names], parameters)))


def texts(found: Sequence[tuple[int, Content]]) -> list[tuple[int, str]]:
    return sorted((index, content.text) for index, content in found)


class Busy:
    """A batched generator with one lane, taken until `go`."""

    def __init__(self, inner: Any, **settings: Any) -> None:
        self.inner, self.generator = inner, batched(inner, Settings(**{"lanes": 1, **settings}))
        assert isinstance(self.generator, Batched)

    async def start(self) -> None:
        self.inner.open = asyncio.Event()
        self.first = ask(self.generator, "first")
        await until(lambda: self.inner.running == 1)

    async def waiting(self, count: int) -> None:
        await until(lambda: self.generator.figures().waiting == count)

    async def go(self, *tasks: asyncio.Task[Any]) -> list[Any]:
        self.inner.open.set()
        await self.first
        return await asyncio.gather(*tasks, return_exceptions=True)


def busy(script: Callable[[Busy], Coroutine[Any, Any, Any]], inner: Any, **settings: Any) -> Any:
    async def whole() -> Any:
        world = Busy(inner, **settings)
        await world.start()
        return await script(world)

    return asyncio.run(whole())


# --- what is joined --------------------------------------------------------------------------------------------------


def test_it_has_the_form_of_what_it_wraps() -> None:
    """Who asks whether a generator streams or draws tokens gets the same answer; what gains nothing stays as it is."""
    for kind in (Tokens, Joint):
        made = batched(kind())
        assert isinstance(made, Generator)
        assert isinstance(made, TokenGenerator)
        assert isinstance(made, StreamingGenerator)
        assert (made.name, made.modality) == (kind.name, kind.modality)
        assert list(made.tokens("ab")) == [97, 98]
    plain, echo = Plain(), generators.make("echo")
    assert batched(plain) is plain
    assert batched(echo) is echo

    class Images(Plain):
        joint = Joint.joint

    images = batched(Images())
    assert isinstance(images, Batched)
    assert not isinstance(images, TokenGenerator)
    assert not isinstance(images, StreamingGenerator)


@BOTH
def test_a_lone_caller_is_served_at_once_and_callers_of_one_turn_together(kind: type[Tokens]) -> None:
    """No sleep, no timer: one turn of the event loop."""
    inner = kind()
    generator = batched(inner)

    async def script() -> None:
        assert [index for index, _ in await ask(generator, "alone")] == [0]
        found = await asyncio.gather(*(ask(generator, f"name {number}") for number in range(8)))
        assert [one[0][1].text.partition("|")[0] for one in found] == [f"name {number}" for number in range(8)]

    asyncio.run(script())
    assert inner.calls == [["alone"], [f"name {number}" for number in range(8)]]


def test_seeded_calls_share_and_give_what_they_give_alone() -> None:
    """Several prompts, several outputs each, settings of each caller's own."""
    calls: list[tuple[list[str], dict[str, Any]]] = [
        (["a"], {"seed": 5}),
        (["b", "c"], {"seed": 9, "n": 3}),
        (["d"], {"seed": 9, "style": "high"}),
        (["e", "f"], {"seed": 0}),
    ]

    async def script(world: Busy) -> list[Any]:
        tasks = [ask(world.generator, *names, **given) for names, given in calls]
        await world.waiting(6)
        return await world.go(*tasks)

    inner = Joint()
    found = busy(script, inner)
    assert inner.calls == [["first"], ["a", "b", "c", "d", "e", "f"]]
    for (names, given), mine in zip(calls, found, strict=True):
        assert texts(mine) == texts(asyncio.run(collect(Joint()([prompt(name) for name in names], given))))


def test_without_parameters_of_their_own_only_unseeded_calls_that_ask_for_the_same_share() -> None:
    """A seed would reach strangers' prompts; 1 and true are not the same."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("a", {"seed": 5}),
        ("b", {}),
        ("c", {"style": "high"}),
        ("d", {"seed": 5}),
        ("e", {"n": 1}),
        ("f", {}),
        ("g", {"style": "high"}),
        ("h", {"n": 1.0}),
    ]

    async def script(world: Busy) -> list[Any]:
        tasks = [ask(world.generator, name, **given) for name, given in calls[:7]]
        await world.waiting(7)
        return await world.go(*tasks)

    inner = Tokens()
    found = busy(script, inner)
    assert sorted(inner.calls[1:]) == [["a"], ["b", "f"], ["c", "g"], ["d"], ["e"]]
    assert texts(found[0]) == [(0, "a|5|plain|unmarked")]
    assert texts(found[3]) == [(0, "d|5|plain|unmarked")]


def test_a_seed_that_ties_prompts_together_keeps_them_together() -> None:
    """One order of two prompts, whose seeds count up as in a call of their own."""

    async def script(world: Busy) -> list[Any]:
        task = ask(world.generator, "a", "b", seed=7)
        await world.waiting(1)
        return await world.go(task)

    inner = Tokens()
    assert texts(busy(script, inner)[0]) == [(0, "a|7|plain|unmarked"), (1, "b|8|plain|unmarked")]


@BOTH
def test_each_prompt_has_its_own_mark_or_none(kind: type[Tokens]) -> None:
    """Callers of several policies share a call."""

    async def marked(generator: Any, name: str, mark: Mark | None) -> str:
        return (await collect(generator.marked([prompt(name)], {}, [mark])))[0][1].text.rpartition("|")[2]

    async def script(world: Busy) -> list[Any]:
        tasks = [
            asyncio.create_task(marked(world.generator, name, mark))
            for name, mark in (("a", Mark("red")), ("b", None), ("c", Mark("blue")))
        ]
        await world.waiting(3)
        return await world.go(*tasks)

    inner = kind()
    assert busy(script, inner) == ["red", "unmarked", "blue"]
    assert inner.calls[1:] == [["a", "b", "c"]]


@BOTH
def test_streams_of_several_callers_share_a_call_and_part_again(kind: type[Tokens]) -> None:
    """Each gets the pieces of its own outputs; whoever reads slowly holds nobody up."""

    async def script(world: Busy) -> list[Any]:
        slow = world.generator.stream([prompt("slow")], {"n": 2})
        begun = asyncio.ensure_future(anext(slow))
        others = [
            asyncio.create_task(collect(world.generator.stream([prompt(name)], {"n": 2}))) for name in ("one", "two", "six")
        ]
        await world.waiting(4)
        found = await world.go(*others)
        return [*found, [await begun, *await collect(slow)]]

    inner = kind()
    for name, pieces in zip(("one", "two", "six", "slow"), busy(script, inner), strict=True):
        for choice in (0, 1):
            mine = [piece for _, piece in pieces if piece.choice == choice]
            assert mine[-1].content is not None
            assert "".join(piece.text for piece in mine) == mine[-1].content.text
            assert mine[-1].content.text.startswith(f"{name}|")
    assert inner.calls[1:] == [["slow", "one", "two", "six"]]


def test_the_bundled_language_model_gives_joined_callers_what_it_gives_alone() -> None:
    """Asked again alone with the seed that it recorded, each output is the same."""
    inner = generators.make("language", {"device": "cpu"})
    inner.load()
    generator = batched(inner)
    names = ("I would like to book a table.", "What is the weather like in London?", "Two tickets, please.", "Hello!")

    async def script() -> list[Any]:
        return await asyncio.gather(*(ask(generator, name, max_new_tokens=10) for name in names))

    found = asyncio.run(script())
    assert isinstance(generator, Batched)
    assert generator.figures().largest > 1
    for name, ((_, content),) in zip(names, found, strict=True):
        seed = int(dict(content.origin.parameters)["seed"])
        alone = asyncio.run(collect(inner([prompt(name)], {"max_new_tokens": 10, "seed": seed})))
        assert alone[0][1].data == content.data


# --- failures among strangers ----------------------------------------------------------------------------------------


@BOTH
def test_anothers_mistake_is_not_heard_of(kind: type[Tokens]) -> None:
    """The call fails for all; asked again alone, each gets its own outputs or its own error."""

    async def script(world: Busy) -> list[Any]:
        tasks = [ask(world.generator, name) for name in ("good", "empty 1", "fine", "empty 2")]
        await world.waiting(4)
        return await world.go(*tasks)

    inner = kind()
    good, first, fine, second = busy(script, inner)
    assert good[0][1].text.startswith("good|")
    assert fine[0][1].text.startswith("fine|")
    assert isinstance(first, InputError)
    assert (str(first), str(second)) == ("found empty 1, expected more", "found empty 2, expected more")


def test_a_wrong_parameter_is_its_own_callers() -> None:
    """Joined with strangers or not."""

    async def script(world: Busy) -> list[Any]:
        tasks = [ask(world.generator, "good"), ask(world.generator, "bad", wrong=1)]
        await world.waiting(2)
        return await world.go(*tasks)

    good, bad = busy(script, Joint())
    assert good[0][1].text.startswith("good|")
    assert isinstance(bad, ParameterError)


def test_an_error_that_is_raised_at_once_reaches_its_caller() -> None:
    """Generators refuse parameters before there is anything to iterate over."""

    class Strict(Tokens):
        def marked(self, prompts: Any, parameters: Any, marks: Any = (), /) -> Any:
            raise ParameterError("found 9.0, expected 0.0 to 2.0")

        __call__ = stream = marked

    async def script() -> None:
        generator: Any = batched(Strict())
        for source in (
            generator([prompt("a")], {}),
            generator.stream([prompt("a")], {}),
            generator.marked([prompt("a")], {}, []),
        ):
            with pytest.raises(ParameterError, match=r"found 9\.0"):
                await asyncio.wait_for(collect(source), 30)

    asyncio.run(script())


@BOTH
def test_a_call_that_breaks_half_way_fails_those_who_have_a_part_and_repeats_the_others(kind: type[Tokens]) -> None:
    """What was handed out cannot be taken back; nothing of the error is told to strangers."""

    async def script(world: Busy) -> list[Any]:
        tasks = [ask(world.generator, name) for name in ("early", "breaks it", "later")]
        await world.waiting(3)
        return await world.go(*tasks)

    early, broken, later = busy(script, kind())
    assert isinstance(early, GenerationError)
    assert "breaks it" not in early.diagnostics()
    assert (type(broken), str(broken)) == (RuntimeError, "broken by breaks it")
    assert later[0][1].text.startswith("later|")


def test_an_output_is_never_handed_to_a_stranger() -> None:
    """A generator that mixes its callers up is found out by whom the output was made for."""

    class Mixed(Joint):
        async def joint(
            self, asked: Sequence[Asked], gone: Callable[[int], bool], /, *, pieces: bool
        ) -> AsyncIterator[tuple[int, Piece]]:
            async for index, piece in super().joint(asked, gone, pieces=pieces):
                yield len(asked) - 1 - index, piece

    async def script(world: Busy) -> list[Any]:
        tasks = [ask(world.generator, name) for name in ("a", "b")]
        await world.waiting(2)
        return await world.go(*tasks)

    assert [texts(found)[0][1][0] for found in busy(script, Mixed())] == ["a", "b"]


@pytest.mark.parametrize(
    "item", [(0, "text"), (7, Piece(0, "x")), (-1, Piece(0, "x")), ("0", Piece(0, "x")), (True, Piece(0, ""))]
)
def test_what_is_no_piece_of_anything_asked_is_an_error(item: Any) -> None:
    """Neither an index nor a piece that cannot be."""

    class Odd(Joint):
        async def joint(self, asked: Any, gone: Any, /, *, pieces: bool) -> AsyncIterator[tuple[int, Piece]]:
            yield item

    async def script() -> None:
        with pytest.raises(GenerationError, match="expected"):
            await ask(batched(Odd()), "a")

    asyncio.run(script())


# --- turns and bounds ------------------------------------------------------------------------------------------------


def test_one_tenants_flood_does_not_starve_another() -> None:
    """Who comes last is in the very next call."""

    async def script(world: Busy) -> None:
        flood = [ask(world.generator, f"flood {number}", tenant="many") for number in range(40)]
        await world.waiting(40)
        single = ask(world.generator, "single", tenant="few")
        await world.waiting(41)
        await world.go(single, *flood)

    inner = Joint()
    busy(script, inner, together=8)
    assert "single" in inner.calls[1]
    assert [len(call) for call in inner.calls] == [1, 8, 8, 8, 8, 8, 1]


def test_a_full_queue_says_so_and_another_tenants_flood_gives_way() -> None:
    """With the time after which to come again."""

    async def script(world: Busy) -> list[Any]:
        tasks = [ask(world.generator, f"flood {number}", tenant="many") for number in range(4)]
        await world.waiting(4)
        with pytest.raises(BusyError, match="found 4 prompts waiting for generator 'scribe'") as caught:
            await ask(world.generator, "too many", tenant="many")
        assert 1 <= caught.value.retry_after_s <= 60
        tasks.append(ask(world.generator, "single", tenant="few"))
        with pytest.raises(BusyError):
            await tasks[3]
        return await world.go(*tasks[:3], tasks[4])

    inner = Joint()
    assert len(busy(script, inner, waiting=4)) == 4
    assert sorted(inner.calls[1]) == ["flood 0", "flood 1", "flood 2", "single"]


def test_who_gets_no_turn_in_time_is_told() -> None:
    """The wait is bounded, and what was given up is not made."""

    async def script(world: Busy) -> None:
        with pytest.raises(BusyError, match="a turn within"):
            await ask(world.generator, "late")
        await world.go()
        assert world.generator.figures().refused == 1

    inner = Joint()
    busy(script, inner, wait_s=0.05)
    assert inner.calls == [["first"]]


# --- who goes --------------------------------------------------------------------------------------------------------


def test_a_cancelled_caller_frees_its_place() -> None:
    """What waited for it is not made."""

    async def script(world: Busy) -> None:
        gone = [ask(world.generator, f"gone {number}") for number in range(4)]
        await world.waiting(4)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        assert world.generator.figures().waiting == 0
        await world.go(ask(world.generator, "next"))
        assert world.generator.figures().withdrawn == 4

    inner = Joint()
    busy(script, inner, waiting=4)
    assert inner.calls == [["first"], ["next"]]


def test_a_call_is_stopped_when_all_its_callers_are_gone_and_told_of_one_that_is() -> None:
    """The rows of the one leave the batch; the last one takes the call along."""

    async def script() -> None:
        inner = Joint()
        inner.open = asyncio.Event()
        generator = batched(inner)
        tasks = [ask(generator, name) for name in ("a", "b")]
        await until(lambda: inner.running == 1)
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        assert [inner.gone(0), inner.gone(1)] == [True, False]
        assert inner.running == 1
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        await until(lambda: inner.running == 0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(script())


def test_a_stream_that_is_closed_early_leaves_its_neighbours_alone() -> None:
    """They have all of theirs."""

    async def script(world: Busy) -> None:
        short = world.generator.stream([prompt("short")], {"n": 4})
        begun = asyncio.ensure_future(anext(short))
        other = asyncio.create_task(collect(world.generator.stream([prompt("other")], {"n": 4})))
        await world.waiting(2)
        await asyncio.gather(world.go(), begun)
        await short.aclose()
        assert len(await other) == 8

    busy(script, Joint())


async def stranger(generator: Any, tenant: str, draw: random.Random) -> int:
    """Asks, hangs up, asks again; how often it was served, each time with all of its own outputs and nothing else."""
    served = 0
    for _ in range(10):
        name = f"{draw.choice(['', '', '', 'empty ', 'breaks '])}{uuid4().hex}"
        n, given = draw.choice([1, 3]), {"seed": 3} if draw.random() < 0.5 else {}
        task = ask(generator, f"{name} 0", f"{name} 1", tenant=tenant, n=n, **given)
        if draw.random() < 0.2:
            await asyncio.sleep(draw.random() * 0.001)
            task.cancel()
        try:
            found = await task
        except (BusyError, GenerationError, asyncio.CancelledError):
            await asyncio.sleep(0)
        except (InputError, RuntimeError) as error:
            assert name in str(error)  # noqa: PT017
        else:
            said = [content.text.split("|") for _, content in found]
            assert sorted(one[0] for one in said) == sorted([f"{name} 0", f"{name} 1"] * n)
            assert not given or {int(one[1]) for one in said} == set(range(3, 3 + 2 * n))
            served += 1
    return served


@BOTH
def test_strangers_by_the_hundred_never_get_anothers_output(kind: type[Tokens]) -> None:
    """Two event loops, mistakes and cancellations at any moment: each has all of its own outputs, once."""
    generator = batched(kind(), Settings(waiting=30, together=8))
    assert isinstance(generator, Batched)
    broken: list[BaseException] = []

    async def callers(number: int) -> None:
        draws = [random.Random(f"{number} {one}") for one in range(25)]
        served = await asyncio.gather(*(stranger(generator, f"tenant {one % 5}", draws[one]) for one in range(25)))
        assert sum(served)
        await until(lambda: generator.figures().running == 0)

    def loop(number: int) -> None:
        try:
            asyncio.run(asyncio.wait_for(callers(number), 60))
        except BaseException as error:
            broken.append(error)
            raise

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not broken
    figures = generator.figures()
    assert figures.waiting == 0
    assert figures.largest > 1


def test_a_guard_releases_what_joined_calls_make() -> None:
    """Each output for its own request, each decision recorded."""
    house, checks = word_policy("anna")
    ledger = MemoryLedger()
    guard = Guard(house, ledger, chains={house.id: Chain(house, checks)})
    inner = Joint()
    generator = batched(inner)

    async def script() -> list[Any]:
        return await asyncio.gather(*(guard.release(generator, name) for name in ("one", "anna", "two")))

    one, refused, two = asyncio.run(script())
    assert one.content is not None
    assert two.content is not None
    assert refused.content is None
    assert (one.content.text[:3], two.content.text[:3]) == ("one", "two")
    assert len(ledger.decisions) == 5
