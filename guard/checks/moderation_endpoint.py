"""Any moderation endpoint of OpenAI's shape: `POST {base_url}/moderations` with texts or images, scores by category.

What is measured leaves the machine: it is sent to the address that the policy names. Nothing is sent elsewhere, and redirects
are not followed. Texts go many to a request, images one to a request.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from guard.checks import samples
from guard.checks.labels import Given, Meaning, categories, meanings
from guard.endpoint import Endpoint, number
from guard.errors import EndpointError, RegistryError
from guard.imaging import identify
from guard.protocols import Check
from guard.registry import Floor, checks
from guard.taxonomy import CATEGORIES
from guard.text.windows import readable
from guard.traits import Places, Traits
from guard.types import Content, Examples, Finding, Modality, Place, Region, Scan, Span

_CODE_VERSION = "1"
TEXTS_A_REQUEST = 32
DEFAULT_LABELS: Mapping[str, str] = {
    name: category.name for category in reversed(CATEGORIES.values()) for name in category.openai
}
"""OpenAI's categories with ours; where several of ours name one of theirs, the first."""


@checks.register("moderation_endpoint")
def moderation_endpoint(
    *,
    base_url: str,
    model: str,
    api_key_env: str | None = None,
    labels: Given | None = None,
    modalities: Sequence[Literal["text", "image"]] = ("text",),
    timeout_ms: int = 1500,
    retries: int = 2,
    report_from: Floor = 100,
) -> Check:
    """The check; raises RegistryError for a parameter out of range.

    `base_url`: up to and with `/v1`. `api_key_env`: the environment variable that holds the key; none is sent without it.
    `labels`: which of the service's categories count, and as what (`guard.checks.labels`); OpenAI's thirteen by default.
    `modalities`: what is sent. `timeout_ms`: for a batch with all its tries, so give it less than `deadline_ms`. `retries`:
    further tries after no connection, 408, 429 or 5xx. `report_from`: findings below this score, per mille, are not reported.
    """
    if not 0 <= report_from <= 1000:
        raise RegistryError(f"report_from is {report_from}, expected 0 to 1000 per mille")
    if not modalities:
        raise RegistryError("found no entry in modalities, expected text, image or both")
    endpoint = Endpoint(base_url, "/moderations", api_key_env=api_key_env, timeout_ms=timeout_ms, retries=retries)
    meant = meanings(DEFAULT_LABELS if labels is None else labels)
    return ModerationEndpoint(endpoint, model, meant, frozenset(map(Modality, modalities)), report_from)


class ModerationEndpoint:
    """Scores contents with a service."""

    blocking = False
    digest = ""

    def __init__(
        self, endpoint: Endpoint, model: str, meant: Mapping[str, Meaning], modalities: frozenset[Modality], report_from: int
    ) -> None:
        """Parameters as of the factory `moderation_endpoint`."""
        self._endpoint, self._model, self._meant = endpoint, model, dict(meant)
        self._report_from = report_from
        self.modalities = modalities
        self.labels: Mapping[str, str] = categories(meant.values())
        self.version = f"{model}, code {_CODE_VERSION}"

    @property
    def examples(self) -> Examples:
        """What any moderation model should flag, and should pass."""
        return samples.examples()

    @property
    def traits(self) -> Traits:
        """The service judges a content as a whole."""
        return Traits(Places.WHOLE, estimates=True, reports_from=self._report_from, endpoints=(self._endpoint.url,))

    def load(self) -> None:
        """Read the key. Raises EndpointError when its variable is not set. Nothing is sent."""
        self._endpoint.load()

    async def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a content. Raises EndpointError when the service does not answer for each of them."""
        found: dict[int, Scan] = {}
        for scans in await self._endpoint.ask_all([self._question(*asked) for asked in _requests(batch)]):
            found |= scans
        return [found[index] if index in found else Scan((), Span(0, content.length)) for index, content in enumerate(batch)]

    def _question(
        self, given: list[Any], places: Mapping[int, Place]
    ) -> tuple[dict[str, Any], Callable[[Any], dict[int, Scan]]]:
        return {"model": self._model, "input": given}, partial(self._read, places=places)

    def _read(self, answer: Any, places: Mapping[int, Place]) -> dict[int, Scan]:
        """The Scan of each content of one request."""
        results = answer["results"]
        if not isinstance(results, list) or len(results) != len(places):
            found = len(results) if isinstance(results, list) else "no list of"
            raise EndpointError(f"found {found} results, expected {len(places)}")
        return {
            index: Scan(tuple(self._findings(result["category_scores"], place)), place)
            for result, (index, place) in zip(results, places.items(), strict=True)
        }

    def _findings(self, scores: Mapping[str, Any], place: Place) -> Iterator[Finding]:
        best: dict[str, tuple[int, str]] = {}
        for name, meaning in self._meant.items():
            if name not in scores:
                raise EndpointError(
                    f"found no score for category {name!r}, expected one",
                    advice="Name in `labels` the categories that the service has, and only these.",
                )
            score = number(scores[name], f"the score of {name!r}")
            if not 0 <= score <= 1:
                raise EndpointError(f"found a score of {name!r} out of range, expected 0 to 1")
            best[meaning.label] = max(best.get(meaning.label, (-1, "")), (round(score * 1000), name))
        for label, (score, name) in best.items():
            if score >= self._report_from:
                reason = f"scored {score} per mille for {name} by {self._model}"
                yield Finding(self.labels[label], label, score, place, reason=reason)


def _requests(batch: Sequence[Content]) -> Iterator[tuple[list[Any], dict[int, Place]]]:
    """What each request holds, and which contents those are, with their whole extent. A blank text asks for nothing."""
    texts = [index for index, one in enumerate(batch) if one.modality is Modality.TEXT and one.text.strip()]
    for first in range(0, len(texts), TEXTS_A_REQUEST):
        part = texts[first : first + TEXTS_A_REQUEST]
        yield [readable(batch[index].text) for index in part], {index: Span(0, batch[index].length) for index in part}
    for index, content in enumerate(batch):
        if content.modality is Modality.IMAGE:
            kind, width, height = identify(content.file)
            address = f"data:{kind};base64,{base64.b64encode(content.file).decode()}"
            yield [{"type": "image_url", "image_url": {"url": address}}], {index: Region(0, 0, width, height)}
