"""`/v1/moderations`: texts and images are judged, and told in OpenAI's categories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from guard.errors import InputError
from guard.ids import uuid7
from guard.taxonomy import CATEGORIES
from guard.types import Action, Modality, Release
from serving.gate import refusal_response
from serving.openai.asking import Asking, over
from serving.schemas import decode_base64, evidence, evidence_headers
from serving.wiring import Wired

router = APIRouter()
NAMES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
"""OpenAI's categories."""
MOST = 256
_IMAGELESS = frozenset({"harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"})


class TextInput(BaseModel):
    """A text."""

    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    """Where an image is: in the request itself."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(pattern="^data:", description="A `data:` URL. Nothing is fetched from elsewhere.")]


class ImageInput(BaseModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextInput | ImageInput, Field(discriminator="type")]


Texts = Annotated[list[str], Field(min_length=1, max_length=MOST)]
Parts = Annotated[list[Part], Field(min_length=1, max_length=32)]


class ModerationRequest(Asking):
    """What to judge: one text, several texts (one result each), or texts and images that belong together (one result)."""

    input: str | Texts | Parts
    model: str = Field("", description="Left alone: the policy says what judges.")

    def groups(self) -> list[list[str | bytes]]:
        """What each result is about. Raises InputError for an image that is no base64."""
        if isinstance(self.input, str):
            return [[self.input]]
        parts = [one for one in self.input if not isinstance(one, str)]
        if parts:
            return [[one.text if isinstance(one, TextInput) else decode_base64(one.image_url.url) for one in parts]]
        return [[one] for one in self.input if isinstance(one, str)]


@router.post("/moderations", response_model=None)
async def moderations(body: ModerationRequest, http: HttpRequest) -> JSONResponse:
    """Judge without releasing anything. `flagged`: a rule fired. Each input is a decision of its own."""
    count = 1 if isinstance(body.input, str) else len(body.input)
    if above := over(http, "input", count, of="max_inputs"):
        return above
    wired: Wired = http.app.state.wired
    request = body.request(http)
    try:
        groups = body.groups()
    except InputError as error:
        return refusal_response(await wired.guard.refuse(error, request, modality=Modality.IMAGE))
    flat = [one for group in groups for one in group]
    releases = await wired.guard.check_many(flat, request=request)
    if refused := next((one for one in releases if one.refused), None):
        return refusal_response(refused)
    waiting = iter(releases)
    results = [result_of([next(waiting) for _ in group]) for group in groups]
    policies = sorted({one.verdict.policy for one in releases})
    answer = {
        "id": f"modr-{uuid7()}",
        "model": f"genguard/{'+'.join(policies)}",
        "results": results,
        "genguard": [evidence(one) for one in releases],
    }
    return JSONResponse(answer, headers=evidence_headers(releases[0]))


def result_of(releases: Sequence[Release]) -> dict[str, Any]:
    """One result, about inputs that belong together.

    A category is true when a rule of it fired; its score is the highest that a check gave. What OpenAI has no name for
    (personal data, secrets, protected works …) shows in `flagged` and in `genguard`.
    """
    scores = dict.fromkeys(NAMES, 0)
    applied: dict[str, set[str]] = {name: set() for name in NAMES}
    for release in releases:
        for result in release.decision.results:
            for finding in result.findings:
                for name in names_of(finding.category, finding.label):
                    scores[name] = max(scores[name], finding.score)
        kind = release.decision.context.modality
        for name in NAMES:
            if kind is Modality.TEXT or name not in _IMAGELESS:
                applied[name].add(kind.value)
    fired = {
        name
        for release in releases
        for rule in release.verdict.fired
        if rule.action is not Action.ALLOW
        for name in names_of(rule.category, "")
    }
    return {
        "flagged": any(release.verdict.action is not Action.ALLOW for release in releases),
        "categories": {name: name in fired for name in NAMES},
        "category_scores": {name: score / 1000 for name, score in scores.items()},
        "category_applied_input_types": {name: sorted(kinds) for name, kinds in applied.items()},
    }


def names_of(category: str, label: str) -> Iterable[str]:
    """OpenAI's names for a finding: its own label where that is one, else the first that our category has there."""
    if label in NAMES:
        return (label,)
    known = CATEGORIES.get(category)
    return known.openai[:1] if known is not None else ()
