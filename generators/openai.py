"""Text from any service that speaks OpenAI's chat completions: OpenAI, Azure, vLLM, Ollama and others.

    generators.make("openai", {"base_url": "http://localhost:11434/v1", "model": "qwen3:4b"})

The service gets the turns of a prompt that is a conversation as messages, and any other prompt as one message of the user:
parts of what was judged, and nothing else of what was said. Tools that a caller offers are passed on, and the calls that the
model asks for come back as contents of their own, so that their arguments are judged like everything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from generators.base import MAX_SEED, limited, origin, parse
from generators.openai_answers import UNREADABLE, Answer, Choice, reading
from generators.service import ServiceGenerator, Unit, service, units
from generators.upstream import Patience, Upstream, gathered
from guard.errors import ParameterError, RegistryError
from guard.protocols import Generator, Piece, TokenMark
from guard.registry import generators
from guard.types import Content, Making, Modality, Stage, ToolCall

PATH = "/chat/completions"
AHEAD = 64
"""Pieces that may wait for a slow reader before the service is made to wait."""
MAX_STOPS = 16
_JSON = ("tools", "tool_choice", "response_format")


@dataclass(frozen=True, slots=True)
class OpenAIParameters:
    """What a caller may ask of a service; what is left out, the service decides."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 16)
    """Outputs a prompt."""
    max_new_tokens: int | None = limited(None, 1, 1_000_000)
    temperature: float | None = limited(None, 0.0, 2.0)
    top_p: float | None = limited(None, 0.0, 1.0)
    presence_penalty: float | None = limited(None, -2.0, 2.0)
    frequency_penalty: float | None = limited(None, -2.0, 2.0)
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    top_logprobs: int = limited(0, 0, 20)
    tools: list[dict[str, Any]] | None = None
    """Tools that the model may ask for, as OpenAI's API describes them."""
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None

    def recorded(self) -> dict[str, Any]:
        """What of it an origin names. Descriptions of tools and answers may say anything: of them, the SHA-256."""
        digests = {name: _digest(found) for name in _JSON if (found := getattr(self, name)) is not None}
        left_out = dict.fromkeys(("n", "logprobs", "top_logprobs", "seed"))
        return asdict(self) | left_out | {"stop": json.dumps(self.stop) if self.stop else None} | digests


@dataclass(frozen=True, slots=True)
class Dialect:
    """In what a service differs from others."""

    limit_as: str = "max_tokens"
    """The name it has for the most tokens of an output: `max_tokens`, or `max_completion_tokens`."""
    usage: bool = True
    """Whether it may be asked to count tokens in a stream."""
    one_by_one: bool = False
    """Whether it makes one output a request, whatever `n` says."""

    def __post_init__(self) -> None:
        """Raise RegistryError for another name."""
        if self.limit_as not in {"max_tokens", "max_completion_tokens"}:
            raise RegistryError(f"limit_as is {self.limit_as[:40]!r}, expected max_tokens or max_completion_tokens")


class OpenAIGenerator(ServiceGenerator):
    """One model of one service as a generator."""

    modality = Modality.TEXT

    def __init__(self, upstream: Upstream, model: str, *, name: str, dialect: Dialect) -> None:
        """See `openai`."""
        super().__init__(upstream, model, name)
        self._dialect = dialect

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield outputs as the service has made them; a tool call is a content of its own, before the text of its choice.

        Raises ParameterError and InputError at once, GenerationError when the service fails; its message quotes nothing.
        """
        return self._contents(self._run(prompts, self._asked(prompts, parameters), self._ask))

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], _marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncIterator[tuple[int, Piece]]:
        """Yield what the service sends; tool calls come whole, before the last piece of their choice. Raises as a call does.

        When the iterator is closed, the connection to the service is, too.
        """
        return self._run(prompts, self._asked(prompts, parameters), self._listen)

    def _asked(self, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> OpenAIParameters:
        asked = parse(OpenAIParameters, parameters, generator=self.name)
        if len(asked.stop) > MAX_STOPS or not all(asked.stop):
            found = f"{len(asked.stop)} sequences" if len(asked.stop) > MAX_STOPS else "an empty sequence"
            raise ParameterError(f"{self.name}: parameter 'stop': found {found}, expected up to {MAX_STOPS} that are not empty")
        if asked.top_logprobs and not asked.logprobs:
            raise ParameterError(f"{self.name}: parameter 'top_logprobs': found it without logprobs, expected both")
        for name in _JSON:
            try:
                json.dumps(getattr(asked, name), allow_nan=False).encode()
            except (ValueError, TypeError, RecursionError):
                raise ParameterError(f"{self.name}: parameter {name!r}: found what JSON cannot say") from None
        self._require_texts(prompts)
        return asked

    async def _contents(self, pieces: AsyncGenerator[tuple[int, Piece]]) -> AsyncIterator[tuple[int, Content]]:
        async with aclosing(pieces) as each:
            async for index, piece in each:
                if piece.content is not None:
                    yield index, piece.content

    async def _run(
        self,
        prompts: Sequence[Content],
        asked: OpenAIParameters,
        ask: Callable[[Unit, OpenAIParameters, Callable[[Piece], Awaitable[None]]], Awaitable[None]],
    ) -> AsyncGenerator[tuple[int, Piece]]:
        """Ask for all units, a few at a time, and yield what comes; all requests end when this ends."""

        def job(unit: Unit) -> Callable[[Callable[[tuple[int, Piece]], Awaitable[None]]], Awaitable[None]]:
            return lambda emit: ask(unit, asked, lambda piece: emit((unit.index, piece)))

        asking = units(prompts, asked.n, asked.seed, one_by_one=self._dialect.one_by_one)
        async with aclosing(gathered(self._upstream, [job(unit) for unit in asking], AHEAD)) as found:
            async for item in found:
                yield item

    async def _ask(self, unit: Unit, asked: OpenAIParameters, emit: Callable[[Piece], Awaitable[None]]) -> None:
        found = await self._upstream.whole(PATH, self._body(unit, asked))
        answer = Answer.of(unit.count)
        try:
            answer.add(found, part="message")
            answer.require_complete()
            pieces = list(self._pieces(unit, asked, answer))
        except UNREADABLE as error:
            raise reading(self._upstream.url, error) from None
        for piece in pieces:
            await emit(piece)

    async def _listen(self, unit: Unit, asked: OpenAIParameters, emit: Callable[[Piece], Awaitable[None]]) -> None:
        body = self._body(unit, asked) | {"stream": True}
        if self._dialect.usage:
            body["stream_options"] = {"include_usage": True}
        answer = Answer.of(unit.count)
        async with aclosing(self._upstream.events(PATH, body)) as events:
            async for event in events:
                try:
                    added = answer.add(event, part="delta")
                except UNREADABLE as error:
                    raise reading(self._upstream.url, error) from None
                for at, text in added:
                    if text:
                        await emit(Piece(unit.choice + at, text))
        try:
            answer.require_complete()
            pieces = list(self._pieces(unit, asked, answer))
        except UNREADABLE as error:
            raise reading(self._upstream.url, error) from None
        for piece in pieces:
            await emit(piece if piece.content and piece.content.making and piece.content.making.call else _rest(piece))

    def _pieces(self, unit: Unit, asked: OpenAIParameters, answer: Answer) -> Iterator[Piece]:
        """What a complete answer comes to: of each choice its calls, then its text; without calls the text may be empty."""
        source = origin(self.name, model=self.model, parameters=asked.recorded(), seed=unit.seed)
        for at, choice in answer.choices.items():

            def content(data: str, media_type: str, making: Making) -> Content:
                return Content(Modality.TEXT, data, media_type, Stage.OUTPUT, source, unit.prompt.request, making)

            calls = choice.whole_calls()
            for call, arguments in calls:
                making = self._making(unit, at, choice, answer, call)
                yield Piece(unit.choice + at, "", content(arguments, "application/json", making))
            if choice.text or not calls:
                text = "".join(choice.text)
                yield Piece(unit.choice + at, text, content(text, "text/plain", self._making(unit, at, choice, answer)))

    def _making(self, unit: Unit, at: int, choice: Choice, answer: Answer, call: ToolCall | None = None) -> Making:
        counts = (answer.prompt_tokens, answer.output_tokens)
        return Making(unit.choice + at, choice.finish, *counts, call, () if call else tuple(choice.scores))

    def _body(self, unit: Unit, asked: OpenAIParameters) -> dict[str, Any]:
        given = {
            "model": self.model,
            "messages": messages(unit.prompt),
            "n": unit.count if unit.count > 1 else None,
            "seed": unit.seed,
            self._dialect.limit_as: asked.max_new_tokens,
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "presence_penalty": asked.presence_penalty,
            "frequency_penalty": asked.frequency_penalty,
            "stop": list(asked.stop) or None,
            "logprobs": asked.logprobs or None,
            "top_logprobs": asked.top_logprobs or None,
            "tools": asked.tools or None,
            "tool_choice": asked.tool_choice,
            "parallel_tool_calls": asked.parallel_tool_calls,
            "response_format": asked.response_format,
        }
        return {name: value for name, value in given.items() if value is not None}


def messages(prompt: Content) -> list[dict[str, Any]]:
    """A prompt as OpenAI's messages: parts of its text, by its turns. The calls of one assistant turn are one message."""
    if not prompt.turns:
        return [{"role": "user", "content": prompt.text}]
    found: list[dict[str, Any]] = []
    for turn in prompt.turns:
        said, call = prompt.text_of(turn), turn.call
        if turn.role == "tool":
            found.append({"role": "tool", "tool_call_id": call.id if call else "", "content": said})
        elif call is None:
            found.append({"role": turn.role, "content": said})
        else:
            if not found or found[-1]["role"] != turn.role:
                found.append({"role": turn.role, "content": None})
            function = {"name": call.name, "arguments": said}
            found[-1].setdefault("tool_calls", []).append({"id": call.id, "type": "function", "function": function})
    return found


def _rest(piece: Piece) -> Piece:
    """The last piece of a streamed choice, whose text was handed out before."""
    return Piece(piece.choice, "", piece.content)


def _digest(found: Any) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(found, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@generators.register("openai")
def openai(
    *,
    base_url: str = "https://api.openai.com/v1",
    model: str,
    api_key_env: str | None = None,
    auth: str = "bearer",
    api_version: str | None = None,
    limit_as: str = "max_tokens",
    usage: bool = True,
    one_by_one: bool = False,
    connect_s: float = 10.0,
    read_s: float = 120.0,
    total_s: float = 600.0,
    retries: int = 2,
    name: str = "openai",
) -> Generator:
    """Text from a service that speaks OpenAI's chat completions.

    `base_url`: up to and without `/chat/completions`. `api_key_env`: name of the environment variable with its key. `auth`:
    `bearer`, or `api-key` with `api_version` for Azure. `limit_as`, `usage`, `one_by_one`: see `Dialect`. `connect_s`,
    `read_s`, `total_s`, `retries`: see `Patience`. Raises RegistryError for settings that cannot be meant.
    """
    patience = Patience(connect_s, read_s, total_s, retries)
    upstream = service(base_url, model, api_key_env=api_key_env, auth=auth, api_version=api_version, patience=patience)
    return OpenAIGenerator(upstream, model, name=name, dialect=Dialect(limit_as, usage, one_by_one))
