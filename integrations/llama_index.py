"""LlamaIndex (extra `llama-index`): a language model whose every answer passes the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms import CustomLLM
from pydantic import Field
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from guard.errors import WithheldError
from guard.ids import uuid7
from guard.pipeline import Guard
from guard.protocols import Generator
from guard.types import Content, Modality, Origin, Release, Request, Span, Stage, Turn

_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}


class GuardedLLM(CustomLLM):
    """A generator of ours as LlamaIndex's LLM. Raises WithheldError for what the policy withholds.

    An answer's `raw` is the release, with its verdict and receipt. A stream comes as one piece, when all of it was judged.
    """

    guard: Any
    """The `guard.pipeline.Guard`."""
    generator: Any
    """A `guard.protocols.Generator` of text."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Of every call."""
    context: int = 4096
    """Tokens of prompt and answer together that are told to LlamaIndex."""

    @classmethod
    def class_name(cls) -> str:
        """Its name in LlamaIndex."""
        return "genguard"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex asks about a model."""
        return LLMMetadata(context_window=self.context, is_chat_model=True, model_name=self._maker.name)

    @property
    def _guard(self) -> Guard:
        return self.guard  # type: ignore[no-any-return]

    @property
    def _maker(self) -> Generator:
        return self.generator  # type: ignore[no-any-return]

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002 - their names
        """Continue a text."""
        return _completion(self._guard.release_sync(self._maker, prompt, **{**self.parameters, **kwargs}))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002
        """Continue a text."""
        return _completion(await self._guard.release(self._maker, prompt, **{**self.parameters, **kwargs}))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Continue a text; in one piece."""
        answer = self.complete(prompt, formatted, **kwargs)
        answer.delta = answer.text
        yield answer

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Continue a conversation."""
        return _chat(self._guard.release_sync(self._maker, _conversation(messages), **{**self.parameters, **kwargs}))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Continue a conversation."""
        return _chat(await self._guard.release(self._maker, _conversation(messages), **{**self.parameters, **kwargs}))


def _conversation(messages: Sequence[ChatMessage]) -> Content:
    """The one text that is judged, with turns that say whose parts it has."""
    text, turns = "", list[Turn]()
    for message in messages:
        role = _ROLES.get(message.role.value, "user")
        said = message.content or ""
        text += ("\n" if text else "") + f"{role.upper()}: "
        turns.append(Turn(role, Span(len(text), len(text) + len(said))))
        text += said
    request = Request(str(uuid7()))
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, Origin("caller"), request, turns=tuple(turns))


def _text(release: Release) -> str:
    if release.content is None:
        raise WithheldError(release)
    return release.content.text


def _completion(release: Release) -> CompletionResponse:
    return CompletionResponse(text=_text(release), raw=release)


def _chat(release: Release) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role="assistant", content=_text(release)), raw=release)
