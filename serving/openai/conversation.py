"""A conversation as the one text that is judged, with turns that say which part of it is whose.

A generator is sent these parts of what was judged and nothing else, so no message goes around the policy: the system's, the
user's, what tools answered, and the arguments of calls that were made before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from guard.types import Content, Modality, Origin, Request, Span, Stage, ToolCall, Turn

NAMES = {"user": "USER", "assistant": "AGENT", "system": "SYSTEM", "tool": "TOOL"}
"""Who speaks, in the text that is judged and that models without a chat template read."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
Id = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]


class TextPart(BaseModel):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Function(BaseModel):
    """What a call calls."""

    name: Name
    arguments: str = Field(description="As JSON.")


class Call(BaseModel):
    """A call that an assistant asked for before."""

    model_config = ConfigDict(extra="forbid")

    id: Id
    type: Literal["function"] = "function"
    function: Function


class Message(BaseModel):
    """One turn of a conversation. Fields that OpenAI's clients may add are left alone."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[Call] = Field(default_factory=list, description="Of an assistant.")
    tool_call_id: Id | None = Field(None, description="Of a tool: the call that it answers.")

    @model_validator(mode="after")
    def _whole(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"found `tool_calls` of the role {self.role!r}, expected them of `assistant` alone")
        if (self.tool_call_id is None) == (self.role == "tool"):
            raise ValueError("expected `tool_call_id` of the role `tool`, and of no other")
        if self.content is None and not self.tool_calls:
            raise ValueError("found a message without `content`, expected a text")
        return self

    def text(self) -> str:
        """The turn as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or ())


def prompt_of(messages: Sequence[Message], request: Request) -> Content:
    """A lone user turn as it is, otherwise one `ROLE: text` paragraph a turn."""
    alone = len(messages) == 1 and messages[0].role == "user"
    names = {one.id: one.function.name for message in messages for one in message.tool_calls}
    text, turns = "", list[Turn]()
    for head, said, role, call in _parts(messages, names):
        text += ("" if alone else ("\n" if text else "") + head) if head else ""
        turns.append(Turn(role, Span(len(text), len(text) + len(said)), call))
        text += said
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, Origin("caller"), request, turns=tuple(turns))


def _parts(messages: Sequence[Message], names: dict[str, str]) -> Iterator[tuple[str, str, str, ToolCall | None]]:
    """What stands before each part, the part, whose it is, and the call that it is about."""
    for message in messages:
        role = "system" if message.role == "developer" else message.role
        if message.content is not None:
            told = message.tool_call_id
            call = ToolCall(told, names.get(told, "")) if told is not None else None
            yield f"{NAMES[role]}: ", message.text(), role, call
        for one in message.tool_calls:
            called = ToolCall(one.id, one.function.name)
            yield f"{NAMES[role]} calls {one.function.name}: ", one.function.arguments, role, called


def tool_names(tools: Sequence[dict[str, Any]] | None) -> frozenset[str]:
    """The functions that a request offers."""
    return frozenset(one["function"]["name"] for one in tools or ())
