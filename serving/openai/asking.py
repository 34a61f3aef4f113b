"""What the requests of all routes have in common: who asks for what, of which generator, with which sampling parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from guard.protocols import Generator
from guard.types import Modality, Request
from serving.gate import error_response
from serving.wiring import Wired

_RECORDED = 200
"""Characters of what a caller says of a request."""
MOST = 16
"""Outputs of one request."""


def _unicode(text: str) -> str:
    """Prompts are judged, and recorded, when they are none; names and stop sequences are only refused."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("found an unpaired surrogate, expected Unicode text")
    return text


Text = Annotated[str, AfterValidator(_unicode)]


class Asking(BaseModel):
    """Fields that every route takes. What this service cannot do is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    user: Text = Field("", description="Whose data it is, where `x-genguard-subject` does not say.")
    metadata: dict[Text, Text] = Field(
        default_factory=dict,
        max_length=16,
        description="`subject`, `purpose`, `consent`, `conversation` and `language` are recorded; others are left alone.",
    )

    def request(self, http: HttpRequest) -> Request:
        """The request with what the body says of it; headers come first."""
        known: Request = http.state.request
        said = {"subject": self.user} | {name: value for name, value in self.metadata.items() if name in _SAID}
        unsaid = {name for name in _SAID if getattr(known, name) == ("und" if name == "language" else "")}
        return replace(known, **{name: value[:_RECORDED] for name, value in said.items() if value and name in unsaid})


_SAID = frozenset({"subject", "purpose", "consent", "conversation", "language"})


class Sampling(Asking):
    """Fields of routes that make text."""

    model: Text
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    n: int = Field(1, ge=1, le=MOST)
    stop: Text | list[Text] | None = None
    presence_penalty: float | None = Field(None, description="For generators that take it.")
    frequency_penalty: float | None = Field(None, description="For generators that take it.")

    def parameters(self) -> dict[str, Any]:
        """Sampling parameters under the names that our generators know."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        return given(
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_tokens,
            seed=self.seed,
            stop=stop,
            n=self.n,
            presence_penalty=self.presence_penalty or None,
            frequency_penalty=self.frequency_penalty or None,
        )


class StreamOptions(BaseModel):
    """How a stream is told."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = Field(False, description="Count tokens in a chunk of its own before the end.")


def given(**parameters: Any) -> dict[str, Any]:
    """Those that were given at all."""
    return {name: value for name, value in parameters.items() if value is not None}


def over(http: HttpRequest, field: str, found: int | None, *, of: str) -> JSONResponse | None:
    """The answer to a number of things that is over the setting `of`; None where it is within."""
    most: int = getattr(http.app.state.settings, of)
    if found is None or found <= most:
        return None
    told = f"`{field}`: found {found}, expected at most {most}"
    return error_response(400, told, "above_limit", param=field)


def generator_of(http: HttpRequest, name: str, modality: Modality) -> Generator | JSONResponse:
    """The generator of that name, or the answer that there is none."""
    wired: Wired = http.app.state.wired
    offered = {one.name: one for one in wired.generators.values() if one.modality is modality}
    if name in offered:
        return offered[name]
    told = f"found another model, expected one of: {', '.join(offered) or 'none is offered'}"
    return error_response(404, told, "model_not_found", param="model")
