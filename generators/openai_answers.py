"""Reads chat completions of OpenAI's API, whole or in fragments, into what we call an output and its making."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from guard.endpoint import number
from guard.errors import EndpointError, GenerationError
from guard.ids import uuid7
from guard.types import TokenScore, ToolCall

MAX_CALLS = 128
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ID = re.compile(r"[!-~]{1,200}")
_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}
_FILTERED = "content_filter"


@dataclass(slots=True)
class _Fragments:
    """A tool call in the making."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Choice:
    """One output in the making."""

    text: list[str] = field(default_factory=list)
    scores: list[TokenScore] = field(default_factory=list)
    calls: dict[int, _Fragments] = field(default_factory=dict)
    finish: str = ""

    def add(self, given: Mapping[str, Any], said: Mapping[str, Any]) -> str:
        """Read a choice of an answer (`given`) with its message or delta (`said`); return the text it adds."""
        text = "".join(_text(said, name) for name in ("content", "refusal"))
        self.text += [text] if text else []
        for at, call in enumerate(said.get("tool_calls") or []):
            self._call(call, at)
        self.scores += _scores(given.get("logprobs"))
        if given.get("finish_reason") is not None:
            self.finish = _FILTERED if given["finish_reason"] == _FILTERED else _FINISH.get(given["finish_reason"], "stop")
        return text

    def _call(self, call: Mapping[str, Any], at: int) -> None:
        index = call.get("index", at)
        if type(index) is not int or not 0 <= index < MAX_CALLS:
            raise EndpointError(f"found a tool call of another number, expected 0 to {MAX_CALLS - 1}")
        known, function = self.calls.setdefault(index, _Fragments()), call.get("function") or {}
        known.id = known.id or _text(call, "id")
        known.name = known.name or _text(function, "name")
        known.arguments.append(_text(function, "arguments"))

    def whole_calls(self) -> list[tuple[ToolCall, str]]:
        """Each tool call with its arguments. Raises EndpointError for a name that is none: it would be said unjudged."""
        found = []
        for _, call in sorted(self.calls.items()):
            if not _NAME.fullmatch(call.name):
                raise EndpointError("found a tool call without a usable name, expected letters, digits, _, . and -")
            named = call.id if _ID.fullmatch(call.id) else f"call_{uuid7().hex}"
            found.append((ToolCall(named, call.name), "".join(call.arguments)))
        return found


@dataclass(slots=True)
class Answer:
    """The choices of one request, and what they cost."""

    choices: dict[int, Choice]
    prompt_tokens: int | None = None
    output_tokens: int | None = None

    @classmethod
    def of(cls, count: int) -> Answer:
        """An answer that is to have that many choices."""
        return cls({index: Choice() for index in range(count)})

    def add(self, answer: Any, *, part: str) -> list[tuple[int, str]]:
        """Read an answer, or an event of one; return the text that it adds to each choice.

        `part`: `message` or `delta`. Raises EndpointError, or what comes of reading another shape.
        """
        added = []
        for at, given in enumerate(answer.get("choices") or []):
            index = given.get("index", at)
            if index not in self.choices:
                raise EndpointError(f"found a choice that was not asked for, expected {len(self.choices)}")
            said = given.get(part) or {}
            if self.choices[index].finish and (_text(said, "content") or said.get("tool_calls")):
                raise EndpointError("found more of a choice that had ended, expected nothing")
            added.append((index, self.choices[index].add(given, said)))
        if usage := answer.get("usage"):
            self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)
            # Of several choices only the sum is told.
            self.output_tokens = _count(usage.get("completion_tokens"), None) if len(self.choices) == 1 else None
        return added

    def require_complete(self) -> None:
        """Raise EndpointError when a choice did not come, or did not come to its end."""
        ended = sum(bool(choice.finish) for choice in self.choices.values())
        if ended < len(self.choices):
            raise EndpointError(f"the answer broke off: {ended} of {len(self.choices)} choices came to their end")


def reading(url: str, error: Exception) -> GenerationError:
    """What reading an answer came to, as an error that quotes nothing of it."""
    if isinstance(error, EndpointError):
        return GenerationError(f"{url}: {error}", advice=error.advice)
    return GenerationError(
        f"{url}: found an answer of another shape ({type(error).__name__}), expected the one OpenAI's API has"
    )


UNREADABLE = (EndpointError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)
"""What reading an answer of another shape raises."""


def _text(given: Mapping[str, Any], name: str) -> str:
    found = given.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise EndpointError(f"found {type(found).__name__} for {name}, expected a string")
    found.encode()  # half a character, written as an escape, is no text
    return found


def _scores(given: Any) -> list[TokenScore]:
    if not given or not given.get("content"):
        return []
    return [
        TokenScore(
            _text(one, "token"),
            number(one["logprob"], "logprob"),
            tuple((_text(top, "token"), number(top["logprob"], "logprob")) for top in one.get("top_logprobs") or []),
        )
        for one in given["content"]
    ]


def _count(found: Any, known: int | None) -> int | None:
    return found if type(found) is int and found >= 0 else known
