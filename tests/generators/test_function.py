"""Functions of one's own as generators."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guard.errors import GenerationError, ParameterError, RegistryError
from guard.protocols import Piece
from guard.registry import generators
from guard.types import CALLER, Content, Modality, Request, Stage

HERE = "tests.generators.functions"


def made(name: str, **given: Any) -> Any:
    return generators.make("python", {"function": f"{HERE}:{name}", "name": name, **given})


def prompt(text: str = "hello") -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request("r1"))


def stream(generator: Any, **parameters: Any) -> list[Piece]:
    async def gather() -> list[Piece]:
        return [piece async for _, piece in generator.stream([prompt()], parameters)]

    return asyncio.run(gather())


def call(generator: Any, **parameters: Any) -> list[Content]:
    async def gather() -> list[Content]:
        return [content async for _, content in generator([prompt()], parameters)]

    return asyncio.run(gather())


@pytest.mark.parametrize("name", ["reply", "reply_async"])
def test_what_is_yielded_streams(name: str) -> None:
    """Piece by piece; with a seed of its own for each output."""
    pieces = stream(made(name), seed=3)
    assert len(pieces) == 6
    (whole,) = call(made(name), seed=3)
    assert "".join(piece.text for piece in pieces) == whole.text
    assert dict(whole.origin.parameters) == {"seed": "3"}
    assert whole.origin.model == f"{HERE}:{name}"
    assert len({content.text for content in call(made(name), n=3, seed=1)}) == 3


def test_what_is_returned_is_one_piece() -> None:
    """Of a plain function and of one that is awaited; the latter asked for the whole prompt."""
    assert [piece.text for piece in stream(made("plain"))] == ["HELLO", ""]
    assert [content.text for content in call(made("awaited"), n=2)] == ["r1: hello"] * 2


def test_pictures_are_taken_as_they_are() -> None:
    """As pixels, or as the bytes of a file."""
    (content,) = call(made("picture", modality="image"), seed=9)
    assert (content.modality, content.media_type, content.making and content.making.choice) == (Modality.IMAGE, "image/png", 0)


@pytest.mark.parametrize(
    ("name", "modality", "match"),
    [("broken", "text", "failed with ValueError"), ("seven", "text", "returned int, expected a text"),
     ("plain", "image", "returned str, expected a PIL image"), ("no_image", "image", "bytes that are no image")],
)  # fmt: skip
def test_a_function_that_makes_something_else_is_told_so(name: str, modality: str, match: str) -> None:
    """Without a word of what it made or was asked."""
    with pytest.raises(GenerationError, match=match) as caught:
        call(made(name, modality=modality))
    assert "hello" not in caught.value.diagnostics()


@pytest.mark.parametrize("given", [{"colour": "blue"}, {"tone": ["a"]}, {"n": 0}])
def test_a_parameter_that_the_function_does_not_take_is_refused(given: dict[str, Any]) -> None:
    """By name; so is a seed where there is nothing to seed."""
    with pytest.raises(ParameterError, match=next(iter(given))):
        call(made("reply"), **given)
    with pytest.raises(ParameterError, match="takes none"):
        call(made("plain"), seed=1)
    assert call(made("reply"), tone="rude")[0].text.startswith("rude:")


@pytest.mark.parametrize("path", ["no_colon", "no.such.module:x", f"{HERE}:missing", f"{HERE}:nothing", "os:path.join"])
def test_a_function_that_is_not_there_is_told_when_it_is_named(path: str) -> None:
    """Not at the first prompt."""
    with pytest.raises(RegistryError):
        generators.make("python", {"function": path})
