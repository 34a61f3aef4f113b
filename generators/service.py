"""What generators share that ask a service which speaks one of OpenAI's APIs: its settings, and what is one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generators.upstream import Patience, Upstream
from guard.errors import InputError, RegistryError
from guard.types import Content, Modality


@dataclass(frozen=True, slots=True)
class Unit:
    """One request: so many outputs of one prompt, from the given choice on."""

    index: int
    prompt: Content
    choice: int
    count: int
    seed: int | None


def units(prompts: Sequence[Content], n: int, seed: int | None, *, one_by_one: bool) -> Iterator[Unit]:
    """A seed is one output's own: with one, each is asked for alone, so that it can be made again alone.

    `one_by_one`: so is each where the service makes one output whatever it is asked for.
    """
    together = n if seed is None and not one_by_one else 1
    for index, prompt in enumerate(prompts):
        for choice in range(0, n, together):
            yield Unit(index, prompt, choice, together, None if seed is None else seed + index * n + choice)


class ServiceGenerator:
    """One model of one service."""

    def __init__(self, upstream: Upstream, model: str, name: str) -> None:
        """`model`: as the service knows it; `name`: the generator's."""
        self.name = name
        self.model = model
        self._upstream = upstream

    def load(self) -> None:
        """Read the key; the service is not asked. Raises GenerationError when there is none."""
        self._upstream.load()

    def _require_texts(self, prompts: Sequence[Content]) -> None:
        for index, prompt in enumerate(prompts):
            if prompt.modality is not Modality.TEXT:
                raise InputError(f"{self.name}: prompt {index}: found {prompt.modality.value}, expected text")


def service(
    base_url: str, model: str, *, api_key_env: str | None, auth: str, api_version: str | None, patience: Patience
) -> Upstream:
    """The service with this model. Raises RegistryError for settings that cannot be meant."""
    if not model:
        raise RegistryError("model is empty, expected the name that the service knows the model by")
    return Upstream(base_url, api_key_env=api_key_env, auth=auth, api_version=api_version, patience=patience)
