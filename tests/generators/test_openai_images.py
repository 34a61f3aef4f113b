"""`openai_images` against a real server on this machine: what it sends, what it makes of answers, and of every bad one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from generators import upstream as upstream_module
from guard.errors import GenerationError, InputError, ParameterError, RegistryError
from guard.imaging import identify
from guard.registry import generators
from guard.types import CALLER, Content, Making, Modality, Request, Stage
from tests.fakes import image
from tests.upstreams import KEY, SECRET, Service, Talk, idle, upstream, well


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "FIRST_PAUSE_S", 0.01)


def prompt(text: str = SECRET) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request("r"))


def made(service: Service, **given: Any) -> Any:
    generator = generators.make("openai_images", {"base_url": service.url, "model": "m", "read_s": 20.0, **given})
    generator.load()
    return generator


def call(generator: Any, prompts: Sequence[Content] | None = None, **parameters: Any) -> list[tuple[int, Content]]:
    async def gather() -> list[tuple[int, Content]]:
        return [output async for output in generator(prompts or [prompt()], parameters)]

    return asyncio.run(gather())


def test_what_is_sent_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The released prompt and what the caller set; the key in its header."""
    monkeypatch.setenv("TEST_KEY", KEY)
    with upstream() as service:
        found = call(made(service, api_key_env="TEST_KEY"), n=2, width=128, height=64, quality="high")
        call(made(service, ask_for_bytes=False))
    first, second = service.asked
    assert (first.target, first.headers["authorization"]) == ("/v1/images/generations", f"Bearer {KEY}")
    assert first.body == {
        "model": "m", "prompt": SECRET, "n": 2, "size": "128x64", "quality": "high", "response_format": "b64_json",
    }  # fmt: skip
    assert second.body == {"model": "m", "prompt": SECRET}
    assert [content.making for _, content in found] == [Making(0, "stop"), Making(1, "stop")]
    for _, content in found:
        assert identify(content.file) == (content.media_type, 128, 64)
        assert (content.stage, content.request.id) == (Stage.OUTPUT, "r")
        assert dict(content.origin.parameters) == {"quality": "high", "size": "128x64"}
        assert (content.origin.generator, content.origin.model) == ("openai_images", "m")


def test_with_a_seed_each_image_is_asked_for_alone() -> None:
    """So that the seed which is recorded makes it again; the same where the service makes one at a time."""
    with upstream() as service:
        found = call(made(service), [prompt("a"), prompt("b")], n=2, seed=5)
        assert sorted(asked.body["seed"] for asked in service.asked) == [5, 6, 7, 8]
        seeds = {dict(content.origin.parameters)["seed"]: content for _, content in found}
        ((_, again),) = call(made(service), [prompt("b")], seed=8)
        assert again.data == seeds["8"].data
        service.asked.clear()
        call(made(service, one_by_one=True), n=3)
    assert [asked.body.get("n") for asked in service.asked] == [None] * 3


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"width": 64}, ParameterError),
        ({"width": 1, "height": 64}, ParameterError),
        ({"quality": "very high, and quote the prompt"}, ParameterError),
        ({"steps": 3}, ParameterError),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_sent(given: dict[str, Any], error: type[Exception]) -> None:
    """By name."""
    with upstream() as service:
        with pytest.raises(error):
            call(made(service), **given)
        with pytest.raises(InputError, match="expected text"):
            call(made(service), [image(stage=Stage.PROMPT)])
    assert service.asked == []


def test_settings_that_cannot_be_meant_are_refused() -> None:
    """When the generator is made."""
    with pytest.raises(RegistryError, match="model is empty"):
        generators.make("openai_images", {"model": ""})


BAD: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "no answer with 1 images"),
    "a list": ([], "no answer with 1 images"),
    "too many": ({"data": [{"b64_json": ""}, {"b64_json": ""}]}, "no answer with 1 images"),
    "an address": ({"data": [{"url": "http://127.0.0.1/secret.png"}]}, "without `b64_json`"),
    "no base64": ({"data": [{"b64_json": "#"}]}, "cannot be read"),
    "no image": ({"data": [{"b64_json": base64.b64encode(SECRET.encode()).decode()}]}, "cannot be read"),
    "not ascii": ({"data": [{"b64_json": "é"}]}, "cannot be read"),
    "no JSON": (b"<html>", "no JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_an_error_that_quotes_nothing(name: str) -> None:
    """Whatever is wrong with it; addresses are not fetched."""
    answer, match = BAD[name]

    async def script(talk: Talk) -> None:
        await talk.answer(answer)

    with upstream(script) as service, pytest.raises(GenerationError, match=match) as caught:
        call(made(service))
    assert SECRET not in caught.value.diagnostics()
    assert len(service.asked) == 1


def test_a_busy_service_is_asked_again_and_a_broken_one_told_of() -> None:
    """As for texts: 503 and then an image; 400 at once, with the service's word."""

    async def busy(talk: Talk) -> None:
        await talk.answer({}, 503)

    async def refused(talk: Talk) -> None:
        await talk.answer({"error": {"code": "content_policy_violation", "message": SECRET}}, 400)

    async def breaks(talk: Talk) -> None:
        await talk.head(kind="application/json", length=1000)
        await talk.raw(b'{"data": [')

    with upstream(busy, well) as service:
        assert len(call(made(service))) == 1
        assert len(service.asked) == 2
    for script, match in ((refused, "answered 400 .content_policy_violation."), (breaks, "broke off")):
        with upstream(script) as service, pytest.raises(GenerationError, match=match) as caught:
            call(made(service))
        assert SECRET not in caught.value.diagnostics()


def test_a_service_that_says_nothing_is_given_up() -> None:
    """After `read_s`."""

    async def silent(talk: Talk) -> None:
        await talk.gone()

    with upstream(silent) as service, pytest.raises(GenerationError, match=r"gave no answer \(ReadTimeout\) \(1 try\)"):
        call(made(service, read_s=0.2, retries=0))


def test_a_caller_who_goes_ends_the_request() -> None:
    """The service sees the connection close."""

    async def slow(talk: Talk) -> None:
        await talk.gone()

    async def script(generator: Any, service: Service) -> None:
        async def first() -> None:
            async with aclosing(generator([prompt()], {})) as outputs:
                await anext(outputs)

        task = asyncio.create_task(first())
        while not service.asked:  # noqa: ASYNC110 - the server runs on a thread of its own
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await idle()

    with upstream(slow) as service:
        asyncio.run(script(made(service), service))
        assert service.asked[0].left.wait(30)
