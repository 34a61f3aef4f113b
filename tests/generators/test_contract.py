"""What every generator of the registry promises, whatever it is made of."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guard import sound
from guard.errors import ParameterError, RegistryError
from guard.imaging import identify
from guard.protocols import Generator, Piece, StreamingGenerator
from guard.registry import generators
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.tiny_audio import MAKERS
from tests.upstreams import Service, idle, upstream

PROMPTS = (
    "I would like to book a table for two in San Jose.",
    "a blue star",
    "What is the weather like in London?",
)
QUICK: dict[str, dict[str, Any]] = {"language": {"max_new_tokens": 12}, "diffusion": {"steps": 2}}
"""Parameters that make the outputs of a slow generator cheap."""
SPEAK = ("vits", "speecht5", "bark", "fastspeech")
"""Kinds of models that `audio` is asked to use."""
DETERMINED = {"echo", "fastspeech"}
"""Generators, and kinds of models, whose outputs hold nothing random."""


@pytest.fixture(scope="module", params=[*(one for one in generators.names() if one != "audio"), *SPEAK])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def name(kind: str) -> str:
    return "audio" if kind in SPEAK else kind


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with upstream() as found:
        yield found


@pytest.fixture(scope="module")
def generator(name: str, kind: str, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    takes = generators.signature(name).parameters
    given = {"device": "cpu", "base_url": service.url, "model": "made-up", "function": "tests.generators.functions:reply"}
    if name == "audio":
        given["model"] = str(MAKERS[kind](tmp_path_factory.mktemp("models") / kind))
    needed = {one for one in takes.values() if one.default is one.empty or one.name in {"device", "base_url"}}
    made = generators.make(name, {one.name: given[one.name] for one in needed})
    made.load()
    return made


def contents(texts: Sequence[str] = PROMPTS) -> list[Content]:
    return [
        Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request(f"r{index}", tenant="shop"))
        for index, text in enumerate(texts)
    ]


def run(generator: Generator, prompts: Sequence[Content], **parameters: Any) -> list[tuple[int, Content]]:
    async def gather() -> list[tuple[int, Content]]:
        return [output async for output in generator(prompts, {**QUICK.get(generator.name, {}), **parameters})]

    return sorted(asyncio.run(gather()), key=lambda output: output[0])


def data(outputs: Sequence[tuple[int, Content]]) -> list[tuple[int, str | bytes]]:
    return [(index, content.data) for index, content in outputs]


def test_a_generator_satisfies_the_protocol(name: str, generator: Generator) -> None:
    """By default it goes by the name it is registered under."""
    assert isinstance(generator, Generator)
    assert generator.name == name
    assert inspect.signature(generators.factory(name)).parameters["name"].default == name


def test_every_prompt_gets_its_outputs(generator: Generator) -> None:
    """Of the promised modality and a media type that is true, with the request of their prompt."""
    prompts = contents()
    outputs = run(generator, prompts, n=2)
    assert [index for index, _ in outputs] == [0, 0, 1, 1, 2, 2]
    for index, content in outputs:
        assert content.modality is generator.modality
        assert content.stage is Stage.OUTPUT
        assert content.request is prompts[index].request
        if content.modality is Modality.AUDIO:
            assert sound.identify(content.file).frames
        expected = {Modality.TEXT: "text/plain", Modality.AUDIO: "audio/wav"}.get(content.modality)
        assert content.media_type == (expected or identify(content.file)[0])


def test_an_origin_says_what_made_the_output(generator: Generator) -> None:
    """Generator, model, a digest of the weights, and the sorted parameters with the seed."""
    ((_, content),) = run(generator, contents()[:1], seed=7)
    assert content.origin.generator == generator.name
    assert re.fullmatch(r"[0-9a-f]{64}|", content.origin.digest)
    assert content.origin.model or not content.origin.digest
    assert content.origin.parameters == tuple(sorted(content.origin.parameters))
    assert dict(content.origin.parameters)["seed"] == "7"


def test_the_same_seed_gives_the_same_outputs_twice(generator: Generator, kind: str) -> None:
    """And another seed gives others, where anything is random."""
    first = data(run(generator, contents(), seed=5))
    assert data(run(generator, contents(), seed=5)) == first
    assert (data(run(generator, contents(), seed=6)) == first) == (kind in DETERMINED)


def test_a_recorded_seed_makes_the_output_again(generator: Generator) -> None:
    """Alone, without the prompts that stood beside it."""
    prompts = contents()
    index, content = run(generator, prompts, seed=40)[-1]
    seed = int(dict(content.origin.parameters)["seed"])
    ((_, again),) = run(generator, prompts[index : index + 1], seed=seed)
    assert again.data == content.data


def test_an_output_says_how_it_came_to_be(generator: Generator) -> None:
    """Which of the outputs of its prompt it is, and why it ended."""
    outputs = run(generator, contents(), n=2, seed=5)
    for _, content in outputs:
        assert content.making is not None
        assert content.making.finish in {"stop", "length"}
    made = [(index, content.making.choice) for index, content in outputs if content.making]
    assert sorted(made) == [(index, choice) for index in range(3) for choice in range(2)]


def pieces(generator: StreamingGenerator, prompts: Sequence[Content], **parameters: Any) -> list[tuple[int, Piece]]:
    async def gather() -> list[tuple[int, Piece]]:
        return [one async for one in generator.stream(prompts, {**QUICK.get(generator.name, {}), **parameters})]

    return asyncio.run(gather())


def test_a_stream_gives_what_a_call_gives(generator: Generator) -> None:
    """Joined, the texts of a choice's pieces are the text of its content, which is the call's; only the last brings it."""
    if not isinstance(generator, StreamingGenerator):
        assert generator.modality is not Modality.TEXT
        return
    called = {(index, one.making.choice): one for index, one in run(generator, contents(), n=2, seed=5) if one.making}
    streamed: dict[tuple[int, int], list[Piece]] = {}
    for index, piece in pieces(generator, contents(), n=2, seed=5):
        streamed.setdefault((index, piece.choice), []).append(piece)
    assert streamed.keys() == called.keys()
    for key, given in streamed.items():
        *some, last = given
        assert last.content is not None
        assert not any(piece.content for piece in some)
        assert "".join(piece.text for piece in given) == last.content.text == called[key].text
        assert (last.content.origin, last.content.making) == (called[key].origin, called[key].making)


def test_a_stream_can_be_left_at_any_time(generator: Generator) -> None:
    """It stops, and the next call finds the generator free."""
    if not isinstance(generator, StreamingGenerator):
        return

    async def first(streaming: StreamingGenerator) -> None:
        stream = streaming.stream(contents(), {**QUICK.get(generator.name, {}), "seed": 3})
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await idle()

    asyncio.run(first(generator))
    assert len(run(generator, contents(), seed=3)) == len(PROMPTS)


def test_no_prompts_give_no_outputs(generator: Generator) -> None:
    """Rather than an error from the depths of a library."""
    assert run(generator, []) == []


def test_a_caller_may_stop_early_and_ask_again(generator: Generator) -> None:
    """What was left of the first call does not turn up in the second."""

    async def first() -> tuple[int, Content]:
        outputs = generator(contents(), {**QUICK.get(generator.name, {}), "seed": 3})
        one = await anext(outputs)
        await outputs.aclose()  # type: ignore[attr-defined]
        return one

    one = asyncio.run(first())
    outputs = run(generator, contents(), seed=3)
    assert one[1].data in {content.data for _, content in outputs}
    assert len(outputs) == len(PROMPTS)


@pytest.mark.parametrize("given", [{"n": 0}, {"n": "two"}, {"n": True}, {"seed": -1}, {"colour": "blue"}])
def test_a_wrong_parameter_is_refused_by_name(generator: Generator, given: dict[str, Any]) -> None:
    """Unknown, of another type, or out of range."""
    with pytest.raises(ParameterError, match=next(iter(given))):
        run(generator, contents(), **given)


def test_a_model_can_be_freed(generator: Generator) -> None:
    """Whatever has weights can give their memory back; the next call makes what it made before."""
    before = data(run(generator, contents()[:1], seed=5))
    ((_, content),) = run(generator, contents()[:1], seed=5)
    slot = getattr(generator, "_loaded", None)
    assert (slot is not None) == bool(content.origin.digest)
    if slot is not None:
        generator.unload()  # type: ignore[attr-defined]
        assert not slot.held
    assert data(run(generator, contents()[:1], seed=5)) == before


def test_no_generator_runs_code_from_data() -> None:
    """Nothing in them unpickles, trusts a repository's code, or evaluates."""
    for file in sorted((Path(__file__).parents[2] / "generators").glob("*.py")):
        source = file.read_text("utf-8")
        assert "trust_remote_code=True" not in source
        assert not re.search(r"\b(pickle|eval\(|exec\(|torch\.load|joblib)\b", source), file.name


def test_a_factory_refuses_parameters_it_does_not_take(name: str) -> None:
    """A misspelt setting is an error, not a default."""
    needed = {one.name: "x" for one in generators.signature(name).parameters.values() if one.default is one.empty}
    with pytest.raises(RegistryError, match="modle"):
        generators.make(name, {**needed, "modle": "x"})
