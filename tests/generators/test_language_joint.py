"""Outputs of many callers of one language model, side by side: what each gets is what it would have got alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generators.batched import Batched, batched
from generators.language import LanguageGenerator, language
from generators.sampling import Batch, Order
from guard.errors import GenerationError, InputError, ParameterError, TooLargeError
from guard.marks.token_marks import TokenWatermark
from guard.protocols import Asked, JoiningGenerator, JointGenerator, Piece
from guard.types import Content
from tests.generators.test_language import PROMPTS, prompt
from tests.tiny_models import LANGUAGE_MODELS, save_model, save_tokenizer

MARK = TokenWatermark(b"k" * 32, "green_list", "high")
CALLS: tuple[Asked, ...] = (
    Asked(prompt("a"), {"seed": 1, "max_new_tokens": 9, "temperature": 0.0}),
    Asked(prompt("Hello, how are you today?"), {"seed": 2, "max_new_tokens": 30, "temperature": 1.3, "top_p": 0.9}),
    Asked(prompt("x" * 40), {"seed": 3, "n": 3, "max_new_tokens": 14, "top_k": 20, "repetition_penalty": 1.3}),
    Asked(prompt("好。"), {"seed": 4, "max_new_tokens": 1}),
    Asked(prompt("two\nlines of it"), {"seed": 5, "max_new_tokens": 25, "stop": ["e", "zz"]}),
    Asked(prompt("Hello"), {"seed": 6, "max_new_tokens": 12, "logprobs": True, "top_logprobs": 2}),
    Asked(prompt("Hello"), {"seed": 7, "max_new_tokens": 24}, MARK),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for architecture in LANGUAGE_MODELS:
        made[architecture] = tmp_path_factory.mktemp(architecture)
        save_model(made[architecture], architecture)
        save_tokenizer(made[architecture])
    return made


@pytest.fixture(params=LANGUAGE_MODELS)
def tiny(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Any:
    return language(model=str(folders[request.param]), device="cpu", name="tiny")


@pytest.fixture
def gpt2(folders: dict[str, Path]) -> Any:
    return language(model=str(folders["gpt2"]), device="cpu", name="tiny")


def stays(_index: int) -> bool:
    return False


async def joint(
    generator: LanguageGenerator, *asked: Asked, pieces: bool = True, gone: Callable[[int], bool] = stays
) -> list[tuple[int, Piece]]:
    return [item async for item in generator.joint(asked, gone, pieces=pieces)]


def outputs(found: Sequence[tuple[int, Piece]]) -> list[Content]:
    """Contents by prompt and choice."""
    done = [(index, piece.choice, piece.content) for index, piece in found if piece.content is not None]
    return [content for _, _, content in sorted(done, key=lambda one: one[:2])]


def alone(generator: LanguageGenerator, asked: Asked) -> list[Content]:
    """As the generator makes them for one caller, without `joint`."""

    async def gather() -> list[Content]:
        found = [content async for _, content in generator.marked([asked.prompt], asked.parameters, [asked.mark])]
        return sorted(found, key=lambda content: content.making.choice if content.making else 0)

    return asyncio.run(gather())


def same(found: Content, expected: Content) -> bool:
    """Text, origin, counts and ending exactly; likelihoods to the last digits."""
    assert found.making
    assert expected.making
    scores = zip(found.making.scores, expected.making.scores, strict=True)
    close = all(one.token == other.token and abs(one.logprob - other.logprob) < 1e-4 for one, other in scores)
    bare = [
        (one.data, one.origin, one.request, one.stage, replace(one.making, scores=()))
        for one in (found, expected)
        if one.making is not None
    ]
    return close and bare[0] == bare[1]


@contextmanager
def passes(generator: LanguageGenerator) -> Iterator[list[int]]:
    """Rows of every forward pass of the model meanwhile."""
    loaded, rows = generator._loaded.get(), list[int]()

    def count(_module: Any, given: Any, named: Any) -> None:
        rows.append(len(named.get("input_ids", named.get("decoder_input_ids"))))

    hook = loaded.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield rows
    finally:
        hook.remove()


def still(generator: LanguageGenerator) -> None:
    """Nothing of a call is left."""
    company = generator._company
    generator._worker.wait(lambda: None)
    assert not company._busy
    assert (company._rows, len(company._waiting), company._batches) == ({}, 0, [])
    assert generator._loaded.users == 0


def test_it_says_that_calls_join(gpt2: LanguageGenerator) -> None:
    """So whoever gathers callers need not."""
    assert isinstance(gpt2, JointGenerator)
    assert isinstance(gpt2, JoiningGenerator)
    assert gpt2.beside == 32
    assert isinstance(batched(gpt2), Batched)


@pytest.mark.parametrize("pieces", [True, False])
def test_callers_who_agree_on_nothing_get_what_they_get_alone(tiny: LanguageGenerator, pieces: bool) -> None:
    """Seeds, temperatures, limits, stops, numbers, scores and marks of their own."""
    found = asyncio.run(joint(tiny, *CALLS, pieces=pieces))
    expected = [content for asked in CALLS for content in alone(tiny, asked)]
    assert all(same(one, other) for one, other in zip(outputs(found), expected, strict=True))
    said: dict[tuple[int, int], str] = {}
    for index, piece in found:
        said[index, piece.choice] = said.get((index, piece.choice), "") + piece.text
    assert [said[key] for key in sorted(said)] == [content.text for content in expected]
    if not pieces:
        assert all(piece.content is not None for _, piece in found)
    still(tiny)


def test_who_comes_later_joins_the_batch_that_runs(tiny: LanguageGenerator) -> None:
    """At different steps, with prompts of other lengths, and everyone's text is the one that it gets alone."""

    async def script() -> list[list[Content]]:
        begun = asyncio.Event()

        async def first() -> list[tuple[int, Piece]]:
            found = []
            asked = Asked(prompt("Hello there, my friend"), {"seed": 11, "max_new_tokens": 40, "temperature": 1.2})
            async for item in tiny.joint([asked], stays, pieces=True):
                found.append(item)
                begun.set()
            return found

        async def later(asked: Asked, turns: int) -> list[tuple[int, Piece]]:
            await begun.wait()
            for _ in range(turns):
                await tiny._worker.run(lambda: None)
            return await joint(tiny, asked)

        tasks = [asyncio.create_task(first()), *(asyncio.create_task(later(one, at)) for at, one in enumerate(CALLS))]
        return [outputs(await task) for task in tasks]

    with passes(tiny) as rows:
        found = asyncio.run(script())
    expected = [alone(tiny, asked) for asked in CALLS]
    assert [[one.text for one in some] for some in found[1:]] == [[one.text for one in some] for some in expected]
    own = alone(tiny, Asked(prompt("Hello there, my friend"), {"seed": 11, "max_new_tokens": 40, "temperature": 1.2}))
    assert [one.text for one in found[0]] == [one.text for one in own]
    encoders = tiny._loaded.get().start
    assert max(rows) > (1 if encoders else 4)  # those of an encoder-decoder model share passes when they begin together
    still(tiny)


def test_columns_that_nobody_needs_any_more_are_dropped(gpt2: LanguageGenerator) -> None:
    """A batch that never ends does not grow: it is as wide as its longest row."""
    loaded = gpt2._loaded.get()
    first, second = Order([1] * 60, 0, 4), Order([2, 3], 1, 30)
    long = Batch(loaded.forward([first.prompt]), [first], [7])
    short = Batch(loaded.forward([second.prompt]), [second], [8])
    assert (len(long.step((), lambda _row, _token: False)), len(short.step((), lambda _row, _token: False))) == (1, 1)
    assert short.takes(long)
    short.join(long)
    forward: Any = short._forward
    drawn = [one.token for one in short.step((), lambda _row, _token: False) if one.row == 8]
    assert forward._mask.shape == (2, 61)
    for step in short.steps((), lambda _row, _token: False):
        drawn += [one.token for one in step if one.row == 8]
    assert forward._mask.shape[-1] < 40
    by_itself = Batch(loaded.forward([second.prompt]), [second]).steps((), lambda _row, _token: False)
    assert [one.token for step in by_itself for one in step][1:] == drawn


def test_a_cache_with_windows_takes_no_strangers(tmp_path: Path) -> None:
    """Batches of such a model run beside each other, and give the same."""
    save_model(tmp_path, "mistral")
    save_tokenizer(tmp_path)
    generator: Any = language(model=str(tmp_path), device="cpu", name="tiny")

    async def script() -> list[list[tuple[int, Piece]]]:
        return await asyncio.gather(*(joint(generator, asked) for asked in CALLS))

    with passes(generator) as rows:
        found = asyncio.run(script())
    assert [[one.text for one in outputs(some)] for some in found] == [
        [one.text for one in alone(generator, asked)] for asked in CALLS
    ]
    assert max(rows) > 1
    still(generator)


def test_what_does_not_fit_waits(folders: dict[str, Path]) -> None:
    """Never more rows than allowed, and everyone gets there."""
    generator: Any = language(model=str(folders["llama"]), device="cpu", name="tiny", batch=3)

    async def script() -> list[list[tuple[int, Piece]]]:
        return await asyncio.gather(*(joint(generator, asked) for asked in CALLS * 2))

    with passes(generator) as rows:
        found = asyncio.run(script())
    assert max(rows) == 3
    expected = [[one.text for one in alone(generator, asked)] for asked in CALLS] * 2
    assert [[one.text for one in outputs(some)] for some in found] == expected
    still(generator)


# --- who leaves -------------------------------------------------------------------------------------------------------


def test_outputs_that_nobody_waits_for_are_left_out(gpt2: LanguageGenerator) -> None:
    """From the step on in which that is said, also before they have begun; the others are what they were."""
    gone: set[int] = set()
    asked = [Asked(prompt(text), {"seed": at, "max_new_tokens": 40}) for at, text in enumerate(PROMPTS)]

    async def script() -> list[tuple[int, Piece]]:
        found = []
        async for item in gpt2.joint(asked, gone.__contains__, pieces=True):
            found.append(item)
            gone.update({1, 3})
        return found

    with passes(gpt2) as rows:
        found = asyncio.run(script())
    assert rows[-1] < 5
    done = {index for index, piece in found if piece.content is not None}
    assert done == {0, 2, 4}
    assert [one.text for one in outputs(found)] == [alone(gpt2, asked[at])[0].text for at in (0, 2, 4)]
    still(gpt2)


def test_a_call_of_which_nobody_waits_for_anything_ends(gpt2: LanguageGenerator) -> None:
    """Without a pass."""
    with passes(gpt2) as rows:
        assert asyncio.run(joint(gpt2, *CALLS, gone=lambda _index: True)) == []
    assert rows == []
    assert asyncio.run(joint(gpt2)) == []
    still(gpt2)


def test_a_caller_who_goes_frees_its_place(gpt2: LanguageGenerator) -> None:
    """Closed or cancelled, in the middle; who shared passes with it notices nothing."""
    endless = Asked(prompt("endless"), {"seed": 1, "max_new_tokens": 60, "temperature": 1.5})

    async def script() -> list[Content]:
        stream: Any = gpt2.joint([endless], stays, pieces=True)
        await anext(stream)
        task = asyncio.create_task(joint(gpt2, endless))
        other = asyncio.create_task(joint(gpt2, CALLS[1]))
        await anext(stream)
        await stream.aclose()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return outputs(await other)

    assert [one.text for one in asyncio.run(script())] == [one.text for one in alone(gpt2, CALLS[1])]
    generator_is_idle = threading.Event()
    gpt2._worker.later(lambda: gpt2._worker.later(generator_is_idle.set))
    assert generator_is_idle.wait(60)
    still(gpt2)


def test_callers_of_several_event_loops_share_too(gpt2: LanguageGenerator) -> None:
    """A model belongs to no loop."""
    found: dict[int, list[str]] = {}

    def one(at: int) -> None:
        found[at] = [content.text for content in outputs(asyncio.run(joint(gpt2, CALLS[at])))]

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(CALLS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {at: [one.text for one in alone(gpt2, asked)] for at, asked in enumerate(CALLS)}


def test_a_model_is_freed_when_its_calls_are_done(gpt2: LanguageGenerator) -> None:
    """Not before."""

    async def script() -> list[Content]:
        found = []
        async for item in gpt2.joint([CALLS[1]], stays, pieces=True):
            gpt2.unload()
            found.append(item)
        return outputs(found)

    texts = [one.text for one in asyncio.run(script())]
    gpt2._worker.wait(lambda: None)
    assert not gpt2._loaded.held
    assert texts == [one.text for one in alone(gpt2, CALLS[1])]


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (Asked(prompt("a"), {"heat": 1}), ParameterError),
        (Asked(prompt("a"), {"temperature": 3}), ParameterError),
        (Asked(prompt(" "), {}), InputError),
        (Asked(prompt("word " * 400), {}), TooLargeError),
    ],
)
def test_a_mistake_is_its_own_callers(gpt2: LanguageGenerator, asked: Asked, error: type[Exception]) -> None:
    """Who asks at the same time hears nothing of it."""

    async def script() -> tuple[BaseException | list[tuple[int, Piece]], ...]:
        return tuple(await asyncio.gather(joint(gpt2, asked), joint(gpt2, CALLS[0]), return_exceptions=True))

    wrong, right = asyncio.run(script())
    assert isinstance(wrong, error)
    assert isinstance(right, list)
    assert [one.text for one in outputs(right)] == [one.text for one in alone(gpt2, CALLS[0])]
    still(gpt2)


@contextmanager
def breaking(generator: LanguageGenerator, when: Callable[[int], bool]) -> Iterator[None]:
    """The model fails in passes of so many rows."""

    def fail(_module: Any, given: Any, named: Any) -> None:
        if when(len(named["input_ids"])):
            raise RuntimeError("secret words of somebody")

    hook = generator._loaded.get().model.register_forward_pre_hook(fail, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def test_who_has_nothing_yet_begins_again_alone(gpt2: LanguageGenerator) -> None:
    """And is served as if nothing had been."""

    async def script() -> list[Any]:
        calls = (joint(gpt2, asked, pieces=False) for asked in (CALLS[0], CALLS[1], CALLS[4]))
        return await asyncio.gather(*calls, return_exceptions=True)

    with breaking(gpt2, lambda rows: rows > 1):
        found = asyncio.run(script())
    expected = [[one.text for one in alone(gpt2, CALLS[at])] for at in (0, 1, 4)]
    assert [[one.text for one in outputs(some)] for some in found] == expected
    still(gpt2)


def test_who_has_a_part_is_told_and_nothing_of_why(gpt2: LanguageGenerator) -> None:
    """The words of an error may be another's."""

    async def script() -> list[Any]:
        stream: Any = gpt2.joint([CALLS[1]], stays, pieces=True)
        await anext(stream)
        other = asyncio.create_task(joint(gpt2, CALLS[4], pieces=False))

        async def rest() -> list[Any]:
            return [item async for item in stream]

        return await asyncio.gather(rest(), other, return_exceptions=True)

    with breaking(gpt2, lambda rows: rows > 1):
        told, served = asyncio.run(script())
    assert isinstance(told, GenerationError)
    assert "several calls shared" in str(told)
    assert "secret" not in str(told)
    assert [one.text for one in outputs(served)] == [one.text for one in alone(gpt2, CALLS[4])]
    still(gpt2)


def test_a_failure_of_ones_own_is_ones_own(gpt2: LanguageGenerator) -> None:
    """By its type; and the next call finds a model that works."""
    with breaking(gpt2, lambda _rows: True), pytest.raises(GenerationError, match=r"generation failed with RuntimeError$"):
        asyncio.run(joint(gpt2, CALLS[1]))
    still(gpt2)

    def trouble(_index: int) -> bool:
        raise ValueError

    with pytest.raises(GenerationError, match="ValueError"):
        asyncio.run(joint(gpt2, CALLS[1], gone=trouble))
    still(gpt2)
    assert outputs(asyncio.run(joint(gpt2, CALLS[1])))


# --- through the desk -------------------------------------------------------------------------------------------------


def test_every_order_is_a_call_of_its_own_as_long_as_there_is_room(folders: dict[str, Path]) -> None:
    """Streams and whole outputs, short and long: nobody waits for another's end, and no more run than fit."""
    inner: Any = language(model=str(folders["gpt2"]), device="cpu", name="tiny", batch=4)
    generator: Any = batched(inner)

    async def one(at: int) -> str:
        asked = CALLS[at % len(CALLS)]
        if at % 2:
            stream = generator.stream([asked.prompt], asked.parameters, [asked.mark])
            return "".join([piece.text async for _, piece in stream if piece.choice == 0])
        found = [content async for _, content in generator.marked([asked.prompt], asked.parameters, [asked.mark])]
        return next(content.text for content in found if content.making and content.making.choice == 0)

    async def script() -> list[str]:
        return await asyncio.gather(*map(one, range(14)))

    with passes(inner) as rows:
        found = asyncio.run(script())
    assert found == [alone(inner, CALLS[at % len(CALLS)])[0].text for at in range(14)]
    figures = generator.figures()
    assert max(rows) == 4
    assert (figures.calls, figures.orders, figures.repeated, figures.refused) == (14, 14, 0, 0)
    assert 1 < figures.largest <= 4
