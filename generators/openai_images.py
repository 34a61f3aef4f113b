"""Images from any service that speaks OpenAI's image generation (`/images/generations`): OpenAI, Azure, LocalAI and others.

    generators.make("openai_images", {"base_url": "http://localhost:8080/v1", "model": "sd-turbo"})

Pictures are taken from the answer itself (`b64_json`). An answer of addresses is refused: to fetch what a service names would
let it choose where this process connects to.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from generators.base import MAX_SEED, limited, origin, parse
from generators.service import ServiceGenerator, Unit, service, units
from generators.upstream import Patience, Upstream, gathered
from guard.errors import GenerationError, InputError, ParameterError
from guard.protocols import Generator
from guard.registry import generators
from guard.types import Content, Making, Modality, Stage

PATH = "/images/generations"
AHEAD = 4
"""Images that may wait for a slow reader before the service is made to wait."""
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,19}")


@dataclass(frozen=True, slots=True)
class ImageParameters:
    """What a caller may ask of a service; what is left out, the service decides."""

    seed: int | None = limited(None, 0, MAX_SEED)
    """For services that know it; OpenAI's own does not, and refuses it."""
    n: int = limited(1, 1, 16)
    """Outputs a prompt."""
    width: int | None = limited(None, 64, 8192)
    height: int | None = limited(None, 64, 8192)
    quality: str | None = None
    """A word of the service, such as `high`."""


class OpenAIImageGenerator(ServiceGenerator):
    """One model of one service as a generator of images."""

    modality = Modality.IMAGE

    def __init__(self, upstream: Upstream, model: str, *, name: str, ask_for_bytes: bool, one_by_one: bool) -> None:
        """See `openai_images`."""
        super().__init__(upstream, model, name)
        self._ask_for_bytes, self._one_by_one = ask_for_bytes, one_by_one

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield images as the service has made them; when the iterator is closed, the connections are, too.

        Raises ParameterError and InputError at once, GenerationError when the service fails; its message quotes nothing.
        """
        return self._outputs(prompts, self._asked(prompts, parameters))

    def _asked(self, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> ImageParameters:
        asked = parse(ImageParameters, parameters, generator=self.name)
        if (asked.width is None) != (asked.height is None):
            raise ParameterError(f"{self.name}: found one of the parameters 'width' and 'height', expected both or none")
        if asked.quality is not None and not _WORD.fullmatch(asked.quality):
            raise ParameterError(f"{self.name}: parameter 'quality': found no word, expected one such as 'high'")
        self._require_texts(prompts)
        return asked

    async def _outputs(self, prompts: Sequence[Content], asked: ImageParameters) -> AsyncGenerator[tuple[int, Content]]:
        asking = units(prompts, asked.n, asked.seed, one_by_one=self._one_by_one)
        jobs = [partial(self._ask, unit, asked) for unit in asking]
        async with aclosing(gathered(self._upstream, jobs, AHEAD)) as found:
            async for output in found:
                yield output

    async def _ask(self, unit: Unit, asked: ImageParameters, emit: Callable[[tuple[int, Content]], Awaitable[None]]) -> None:
        answer = await self._upstream.whole(PATH, self._body(unit, asked))
        size = None if asked.width is None else f"{asked.width}x{asked.height}"
        source = origin(self.name, model=self.model, parameters={"size": size, "quality": asked.quality}, seed=unit.seed)
        for at, (data, kind) in enumerate(self._pictures(answer, unit.count)):
            making = Making(unit.choice + at, "stop")
            request = unit.prompt.request
            await emit((unit.index, Content(Modality.IMAGE, data, kind, Stage.OUTPUT, source, request, making)))

    def _body(self, unit: Unit, asked: ImageParameters) -> dict[str, Any]:
        given = {
            "model": self.model,
            "prompt": unit.prompt.text,
            "n": unit.count if unit.count > 1 else None,
            "size": None if asked.width is None else f"{asked.width}x{asked.height}",
            "quality": asked.quality,
            "seed": unit.seed,
            "response_format": "b64_json" if self._ask_for_bytes else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _pictures(self, answer: Any, count: int) -> list[tuple[bytes, str]]:
        """The files of an answer with their media types. Raises GenerationError for any other answer."""
        from guard.imaging import identify

        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or len(data) != count or not all(isinstance(one, dict) for one in data):
            raise GenerationError(f"{self._upstream.url}: found no answer with {count} images, expected `data` with so many")
        pictures = []
        for one in data:
            encoded = one.get("b64_json")
            if not isinstance(encoded, str):
                raise GenerationError(
                    f"{self._upstream.url}: found an image without `b64_json`, expected its bytes",
                    advice="Set ask_for_bytes: true, or let the service put images into its answer; addresses are not fetched.",
                )
            try:
                file = base64.b64decode(encoded, validate=True)
                pictures.append((file, identify(file)[0]))
            except (binascii.Error, ValueError, InputError):
                raise GenerationError(
                    f"{self._upstream.url}: found an image that cannot be read, expected a PNG, JPEG or WebP"
                ) from None
        return pictures


@generators.register("openai_images")
def openai_images(
    *,
    base_url: str = "https://api.openai.com/v1",
    model: str,
    api_key_env: str | None = None,
    auth: str = "bearer",
    api_version: str | None = None,
    ask_for_bytes: bool = True,
    one_by_one: bool = False,
    connect_s: float = 10.0,
    read_s: float = 300.0,
    total_s: float = 600.0,
    retries: int = 2,
    name: str = "openai_images",
) -> Generator:
    """Images from a service that speaks OpenAI's image generation.

    `base_url`: up to and without `/images/generations`. `api_key_env`: name of the environment variable with its key. `auth`:
    `bearer`, or `api-key` with `api_version` for Azure. `ask_for_bytes`: false for models that always answer with bytes and
    refuse `response_format` (`gpt-image-1`). `one_by_one`: true where the service makes one image whatever `n` says.
    `connect_s`, `read_s`, `total_s`, `retries`: see `Patience`. Raises RegistryError for settings that cannot be meant.
    """
    patience = Patience(connect_s, read_s, total_s, retries)
    upstream = service(base_url, model, api_key_env=api_key_env, auth=auth, api_version=api_version, patience=patience)
    return OpenAIImageGenerator(upstream, model, name=name, ask_for_bytes=ask_for_bytes, one_by_one=one_by_one)
