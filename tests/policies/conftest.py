"""Small checks and a marker under the names that policies use, so that these tests need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from guard.registry import checks, markers
from guard.types import Content, Examples, Mark, Modality, Scan

TOXICITY = {
    "toxicity": "harassment",
    "severe_toxicity": "violence",
    "obscene": "sexual",
    "threat": "violence",
    "insult": "harassment",
    "identity_attack": "hate",
}
NUMBERS = ("CN_ID_CARD", "CN_PASSPORT", "CREDIT_CARD", "IBAN_CODE", "UK_NHS", "UK_NINO", "US_BANK_NUMBER", "US_ITIN", "US_SSN")
OTHERS = ("CN_LICENSE_PLATE", "EMAIL_ADDRESS", "IP_ADDRESS", "PERSON", "PHONE_NUMBER", "STREET_ADDRESS", "US_PASSPORT")
PII = dict.fromkeys((*NUMBERS, *OTHERS), "privacy")


@dataclass
class FakeCheck:
    """Knows what it could report, and finds nothing."""

    labels: Mapping[str, str]
    modalities: frozenset[Modality]
    version: str = "1"
    digest: str = ""
    blocking: bool = True
    examples: Examples = field(default_factory=lambda: Examples((), ()))

    def load(self) -> None:
        pass

    def __call__(self, batch: Sequence[Content]) -> list[Scan]:
        return [Scan((), None) for _ in batch]


@dataclass
class FakeMarker:
    """Marks nothing."""

    modality: Modality = Modality.IMAGE
    kind: str = "watermark"

    def load(self) -> None:
        pass

    def __call__(self, content: Content, decision: object) -> tuple[Content, Mark]:
        raise NotImplementedError


def toxicity(
    *,
    model: str = "bundled/toxicity-en",
    window_tokens: int = 128,
    device: Literal["auto", "cpu"] = "auto",
    report_from: int = 50,
) -> FakeCheck:
    return FakeCheck(TOXICITY, frozenset({Modality.TEXT}))


def pii(
    *,
    languages: tuple[str, ...] = ("en",),
    model: str | None = None,
    entities: Sequence[str] | None = None,
    min_score: int = 400,
    weight: float = 1.0,
) -> FakeCheck:
    if "xx" in languages:
        raise ValueError("found language 'xx', expected one of: en, zh")
    return FakeCheck(PII if entities is None else {name: PII[name] for name in entities}, frozenset({Modality.TEXT}))


def secrets(*, kinds: tuple[str, ...] | None = None, min_score: int = 500, allow: tuple[str, ...] = ()) -> FakeCheck:
    return FakeCheck({"GITHUB_TOKEN": "cyber", "PASSWORD": "cyber"}, frozenset({Modality.TEXT}))


def image_match(*, bank: str, methods: tuple[str, ...] = ("pdq",)) -> FakeCheck:
    return FakeCheck({"matched": "intellectual_property"}, frozenset({Modality.IMAGE}))


def watermark(*, method: Literal["dwtDctSvd", "rivaGan"] = "dwtDctSvd") -> FakeMarker:
    return FakeMarker()


@pytest.fixture(autouse=True)
def _small_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the registered parts, unless a test is marked as one that wants the real ones."""
    if "real_parts" in request.fixturenames:
        return
    for name, factory in {"toxicity": toxicity, "pii": pii, "secrets": secrets, "image_match": image_match}.items():
        monkeypatch.setitem(checks._factories, name, factory)
    monkeypatch.setitem(markers._factories, "watermark", watermark)


@pytest.fixture
def real_parts() -> None:
    """The checks and markers that genguard ships."""
