"""Releases as OpenAI's choices: what may be shown, why it ended, what it cost, and the evidence beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guard.marks.aigc import envelope
from guard.types import Making, Operator, Release, Stage
from serving.schemas import evidence, message_of

FILTERED = "content_filter"


def by_choice(releases: Iterable[tuple[int, Release]], n: int) -> dict[int, list[Release]]:
    """Releases by the number of their choice. `n`: choices of each prompt, which come first.

    A generator that tells no choice makes one output a choice.
    """
    found: dict[int, list[Release]] = defaultdict(list)
    untold: dict[int, int] = defaultdict(int)
    for prompt, release in releases:
        making = making_of(release)
        choice = making.choice if making else untold[prompt]
        untold[prompt] += 1
        found[prompt * n + choice].append(release)
    return dict(sorted(found.items()))


def making_of(release: Release) -> Making | None:
    """What the generator told of an output; None for a prompt."""
    return release.decision.content.making if release.decision.content is not None and is_output(release) else None


def is_output(release: Release) -> bool:
    """Whether it is of an output, and not of the prompt that was refused."""
    return release.decision.context.stage is not Stage.PROMPT


def shown(releases: Sequence[Release]) -> bool:
    """Whether all parts of a choice may be shown: else none is."""
    return all(one.content is not None and is_output(one) for one in releases)


def spoken(releases: Sequence[Release], language: str) -> str | None:
    """The text of a choice: the model's, or what the policy says instead. None for calls alone."""
    if not shown(releases):
        return withheld(releases, language)
    texts = [one.content.text for one in releases if one.content is not None and not is_call(one)]
    return "".join(texts) if texts else None


def withheld(releases: Sequence[Release], language: str) -> str:
    """What the policy says of the first part that is not shown."""
    return message_of(next(one for one in releases if one.content is None or not is_output(one)), language)


def is_call(release: Release) -> bool:
    """Whether it is a tool call."""
    making = making_of(release)
    return making is not None and making.call is not None


def calls(releases: Iterable[Release]) -> list[dict[str, Any]]:
    """The tool calls of a choice."""
    return [call_fields(one) for one in releases if is_call(one)]


def call_fields(release: Release) -> dict[str, Any]:
    """A tool call whose arguments may be shown."""
    making, content = making_of(release), release.content
    if making is None or making.call is None or content is None:
        raise ValueError(f"decision {release.decision.id} released no tool call")
    return {"id": making.call.id, "type": "function", "function": {"name": making.call.name, "arguments": content.text}}


def finish(releases: Sequence[Release]) -> str:
    """Why a choice ended."""
    if not shown(releases):
        return FILTERED
    told = [making.finish for one in releases if (making := making_of(one))]
    return "tool_calls" if calls(releases) else next((one for one in told if one != "stop"), "stop")


def usage(choices: Mapping[int, Sequence[Release]], n: int) -> dict[str, int] | None:
    """Tokens of prompts and outputs; None where the generator does not count them.

    Counted are those that were made, shown or not. Each prompt counts once, however many choices it has.
    """
    made = {number: [one for one in map(making_of, releases) if one is not None] for number, releases in choices.items()}
    asked: dict[int, int] = {}
    answered = 0
    for number, tellings in made.items():
        prompts = [one.prompt_tokens for one in tellings if one.prompt_tokens is not None]
        outputs = [one.output_tokens for one in tellings if one.output_tokens is not None]
        if not prompts or not outputs:
            return None
        asked[number // n] = prompts[0]
        answered += max(outputs)
    return counted(sum(asked.values()), answered) if asked else None


def counted(asked: int, answered: int) -> dict[str, int]:
    """OpenAI's `usage`."""
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def scores(releases: Sequence[Release]) -> list[dict[str, Any]] | None:
    """`logprobs.content` of a choice: only where its text left as the model made it, since tokens spell it."""
    if len(releases) != 1 or not shown(releases):
        return None
    release = releases[0]
    making, content = making_of(release), release.decision.content
    if making is None or content is None or release.content is None or content.data != release.content.data:
        return None
    return scored(making) if making.scores else None


def scored(making: Making) -> list[dict[str, Any]]:
    """Tokens in OpenAI's shape."""
    return [
        {**_token(one.token, one.logprob), "top_logprobs": [_token(token, logprob) for token, logprob in one.top]}
        for one in making.scores
    ]


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}


def evidences(choices: Mapping[int, Sequence[Release]]) -> list[dict[str, Any]]:
    """The evidence of every part, each with the choice that it belongs to."""
    return [evidence(one) | {"choice": number} for number, releases in choices.items() for one in releases]


def label(releases: Sequence[Release], operator: Operator) -> dict[str, str] | None:
    """The label of a text under GB 45438; None when the policy asks for none."""
    return next((found for one in releases if (found := envelope(one, operator))), None) if shown(releases) else None
