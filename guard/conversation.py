"""A conversation as one text that is judged, with the parts that a generator gets as turns.

Roles and names stand in the text as well: a check sees what the model sees, and finds what is spread over turns. A redaction
moves the parts with it (`guard.redact`), so that whatever a generator is sent as a turn is a part of what was judged.

    content = conversation([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], request)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from guard.errors import InputError
from guard.types import CALLER, Content, Modality, Request, Span, Stage, ToolCall, Turn

MAX_TURNS = 1000
ROLES = {"system": "SYSTEM", "developer": "SYSTEM", "user": "USER", "assistant": "AGENT", "tool": "TOOL"}
"""By role the word for it in the judged text. `developer` is another word for `system`."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "refusal"}


def conversation(messages: Sequence[Mapping[str, Any]], request: Request) -> Content:
    """The prompt that these messages make, in OpenAI's shape: role, content, and the calls of tools with their answers.

    A lone message of the user is its text as it is; otherwise each turn is a line `ROLE: text`. Of a content in parts the texts
    are joined. Raises InputError for a message of another shape; it names the message and quotes nothing of it.
    """
    if not 1 <= len(messages) <= MAX_TURNS:
        raise InputError(f"found {len(messages)} messages, expected 1 to {MAX_TURNS}")
    parts = [part for index, message in enumerate(messages) for part in _parts(message, f"message {index}")]
    called = {call.id for role, _, call in parts if role == "assistant" and call}
    for role, _, call in parts:
        if role == "tool" and (call is None or call.id not in called):
            raise InputError("found the answer of a tool to a call that is not in the conversation, expected its tool_call_id")
    if len(parts) == 1 and parts[0][0] == "user":
        return _content(parts[0][1], (), request)
    text, turns = "", []
    for role, said, call in parts:
        text += ("\n" if text else "") + _head(role, call)
        turns.append(Turn("system" if role == "developer" else role, Span(len(text), len(text) + len(said)), call))
        text += said
    return _content(text, tuple(turns), request)


def _content(text: str, turns: tuple[Turn, ...], request: Request) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, request, turns=turns)


def _head(role: str, call: ToolCall | None) -> str:
    if call is None or role == "tool":
        return f"{ROLES[role]}: "
    return f"{ROLES[role]} calls {call.name}: "


def _parts(message: Mapping[str, Any], where: str) -> list[tuple[str, str, ToolCall | None]]:
    """Role, text and call of each turn that a message comes to."""
    role = message.get("role")
    if role not in ROLES:
        raise InputError(f"{where}: found another role, expected one of: {', '.join(ROLES)}")
    unknown = [key for key in message if key not in _KEYS]
    if unknown:
        raise InputError(f"{where}: found {len(unknown)} keys that are not known, expected of: {', '.join(sorted(_KEYS))}")
    said = _said(message.get("content"), where)
    if role == "tool":
        return [(role, said or "", ToolCall(_matching(_ID, message.get("tool_call_id"), f"{where}: tool_call_id"), ""))]
    calls = message.get("tool_calls") or []
    if not isinstance(calls, (list, tuple)) or (calls and role != "assistant"):
        raise InputError(f"{where}: found tool_calls, expected a list of them in a message of the assistant alone")
    if said is None and not calls:
        raise InputError(f"{where}: found no content, expected a text")
    spoken = [(role, said, None)] if said is not None and (said or not calls) else []
    return [*spoken, *(_call(call, f"{where}: tool call {index}") for index, call in enumerate(calls))]


def _said(content: Any, where: str) -> str | None:
    """The text of a message; None when it has none."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, (list, tuple)):
        raise InputError(f"{where}: found {type(content).__name__} for content, expected a text or a list of text parts")
    texts = [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: found a part that is no text, expected parts of the type text alone")
    return "".join(map(str, texts))


def _call(call: Any, where: str) -> tuple[str, str, ToolCall]:
    function = call.get("function") if isinstance(call, Mapping) else None
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(arguments, str):
        raise InputError(f"{where}: found another shape, expected id and function with name and arguments")
    named = ToolCall(_matching(_ID, call.get("id"), f"{where}: id"), _matching(_NAME, function.get("name"), f"{where}: name"))
    return "assistant", arguments, named


def _matching(pattern: re.Pattern[str], found: Any, what: str) -> str:
    # They are sent beside what is judged, so they may hold nothing that needs to be.
    if not isinstance(found, str) or not pattern.fullmatch(found):
        raise InputError(f"{what}: found what cannot be one, expected {pattern.pattern}")
    return found
