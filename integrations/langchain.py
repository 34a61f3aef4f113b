"""LangChain (extra `langchain`): a language model whose every answer passes the policy, and a step for any chain.

GuardedLLM(guard=guard, generator=generator)       an LLM of our own generators
prompt | model | GuardStep(guard)                  what a model of LangChain said, judged
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.llms import LLM
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field

from guard.errors import InputError, WithheldError
from guard.ids import uuid7
from guard.pipeline import Guard
from guard.protocols import Generator
from guard.types import Origin, Release, Request, Stage

_OURS = ("tenant", "subject", "language", "conversation", "purpose", "consent")
"""Keys of a config's `metadata` that are recorded with the request."""


class GuardedLLM(LLM):
    """A generator of ours as LangChain's LLM. Raises WithheldError for what the policy withholds."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    guard: Guard
    generator: Any
    """A `guard.protocols.Generator` of text."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Of every call."""

    @property
    def _llm_type(self) -> str:
        return f"genguard-{self._maker.name}"

    @property
    def _maker(self) -> Generator:
        return self.generator  # type: ignore[no-any-return]

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"generator": self._maker.name, **self.parameters}

    def _call(
        self, prompt: str, stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> str:
        request = _request(run_manager.metadata if run_manager else None)
        return _text(self.guard.release_sync(self._maker, prompt, request=request, **self._asked(stop, kwargs)))

    async def _acall(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        request = _request(run_manager.metadata if run_manager else None)
        return _text(await self.guard.release(self._maker, prompt, request=request, **self._asked(stop, kwargs)))

    def _asked(self, stop: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
        return {**self.parameters, **given, **({"stop": stop} if stop else {})}


class GuardStep(Runnable[Any, Any]):
    """A step that judges a text, or a message, and hands on what may leave.

    A message comes back as one with the text that may leave and nothing else that could hold it: without `additional_kwargs`,
    and a message that asks for tools is refused, since their arguments would go by unjudged. Raises WithheldError.
    """

    def __init__(self, guard: Guard, *, stage: Stage = Stage.OUTPUT, name: str = "langchain") -> None:
        """`stage`: `prompt` for what goes into a model. `name`: the generator's, in policies and entries."""
        self.guard, self.stage, self.name = guard, stage, name

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002, ARG002 - LangChain's names
        """Judge one."""
        request = _request((config or {}).get("metadata"))
        origin = Origin(self.name or "langchain")
        return _back(input, _text(self.guard.check_sync(_said(input), request=request, stage=self.stage, origin=origin)))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002, ARG002
        """Judge one."""
        request = _request((config or {}).get("metadata"))
        origin = Origin(self.name or "langchain")
        return _back(input, _text(await self.guard.check(_said(input), request=request, stage=self.stage, origin=origin)))

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        """Judge what comes in pieces as a whole: none leaves before all was judged."""
        pieces = list(input)
        if pieces:
            yield self.invoke(_joined(pieces), config, **kwargs)

    async def atransform(
        self,
        input: AsyncIterator[Any],  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """The same."""
        pieces = [piece async for piece in input]
        if pieces:
            yield await self.ainvoke(_joined(pieces), config, **kwargs)


def _joined(pieces: list[Any]) -> Any:
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece
    return whole


def _said(given: Any) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, BaseMessage):
        if getattr(given, "tool_calls", None) or getattr(given, "invalid_tool_calls", None):
            raise InputError(
                "found a message with tool calls, whose arguments this step cannot judge",
                advice="Use the gateway, which judges arguments of tool calls, as the model's base URL.",
            )
        if isinstance(given.content, str):
            return given.content
        if all(isinstance(part, str) or part.get("type") == "text" for part in given.content):
            return "".join(part if isinstance(part, str) else str(part["text"]) for part in given.content)
    raise InputError(f"found {type(given).__name__}, expected a text or a message of text")


def _back(given: Any, text: str) -> Any:
    if isinstance(given, str):
        return text
    return type(given)(content=text, id=given.id, name=given.name)


def _text(release: Release) -> str:
    if release.content is None:
        raise WithheldError(release)
    return release.content.text


def _request(metadata: Any) -> Request:
    said = {name: str(value)[:200] for name, value in (metadata or {}).items() if name in _OURS}
    return Request(str(uuid7()), **said)
