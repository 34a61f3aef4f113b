"""Small checks and a marker under the names that policies use, so that these tests need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator

from guard.registry import checks, markers
from guard.traits import PLAIN, Places, Traits
from guard.types import Content, Examples, Mark, Modality, Scan
from policies import compile as compiler
from policies.loaded import LoadedPolicy
from policies.schema import json_schema
from policies.source import Node

VALIDATOR = Draft202012Validator(json_schema())
from tests.policies.measuring import RedThings, WordScores

TOXICITY = {
    "toxicity": "harassment",
    "severe_toxicity": "violence",
    "obscene": "sexual",
    "threat": "violence",
    "insult": "harassment",
    "identity_attack": "hate",
    "sexism": "hate",
}
PII_LABELS = """
ABA_ROUTING_NUMBER BANK_ACCOUNT CN_ID_CARD CN_LICENSE_PLATE CN_PASSPORT CREDIT_CARD CRYPTO DATE_OF_BIRTH DRIVER_LICENSE
EMAIL_ADDRESS IBAN_CODE ID_NUMBER INSURANCE_NUMBER IN_AADHAAR IN_PAN IP_ADDRESS LICENSE_PLATE MAC_ADDRESS MEDICAL_RECORD
PASSPORT PERSON PHONE_NUMBER STREET_ADDRESS TAX_ID UK_NHS UK_NINO UK_PASSPORT URL_CREDENTIALS US_BANK_NUMBER US_ITIN
US_PASSPORT US_SSN
"""
PII = dict.fromkeys(PII_LABELS.split(), "privacy")


TEXT = frozenset({Modality.TEXT})
HARMS = {"bad": "violence", "worse": "violence"}


@dataclass
class FakeCheck:
    """Knows what it could report, and finds nothing."""

    labels: Mapping[str, str]
    modalities: frozenset[Modality]
    version: str = "1"
    digest: str = ""
    blocking: bool = True
    examples: Examples = field(default_factory=lambda: Examples((), ()))
    traits: Traits = PLAIN

    def load(self) -> None:
        pass

    def __call__(self, batch: Sequence[Content]) -> list[Scan]:
        return [Scan((), None) for _ in batch]


def hosted(*, model: str = "owner/name", revision: str = "") -> FakeCheck:
    return FakeCheck(HARMS, TEXT, traits=Traits(estimates=True, hub=((model, revision),)))


def service(*, base_url: str = "https://x.example", timeout_ms: int = 1500) -> FakeCheck:
    return FakeCheck(HARMS, TEXT, traits=Traits(Places.WHOLE, endpoints=(base_url,)))


def placeless() -> FakeCheck:
    return FakeCheck(HARMS, TEXT, traits=Traits(Places.NONE))


@dataclass
class FakeMarker:
    """Marks nothing."""

    modality: Modality = Modality.IMAGE
    kind: str = "watermark"

    def load(self) -> None:
        pass

    def __call__(self, content: Content, marking: object) -> tuple[Content, Mark]:
        raise NotImplementedError

    def reread(self, content: Content, mark: Mark) -> str:
        raise NotImplementedError


def toxicity(
    *,
    model: str = "bundled/toxicity-en",
    window_tokens: int = 128,
    device: Literal["auto", "cpu"] = "auto",
    report_from: int = 50,
) -> FakeCheck:
    traits = Traits(Places.WORST, estimates=True, reports_from=report_from)
    return FakeCheck(TOXICITY, frozenset({Modality.TEXT}), traits=traits)


def pii(
    *,
    languages: tuple[str, ...] = ("en",),
    model: str | None = None,
    entities: Sequence[str] | None = None,
    min_score: int = 400,
    weight: float = 1.0,
    deny: Mapping[str, tuple[str, ...]] | None = None,
    allow: tuple[str, ...] = (),
) -> FakeCheck:
    if "xx" in languages:
        raise ValueError("found language 'xx', expected one of: en, zh")
    labels = {**PII, **dict.fromkeys(deny or {}, "privacy")} if entities is None else {name: PII[name] for name in entities}
    return FakeCheck(labels, frozenset({Modality.TEXT}))


def secrets(*, kinds: tuple[str, ...] | None = None, min_score: int = 500, allow: tuple[str, ...] = ()) -> FakeCheck:
    return FakeCheck({"GITHUB_TOKEN": "cyber", "PASSWORD": "cyber"}, frozenset({Modality.TEXT}))


def image_match(
    *, bank: str, cleared: str = "", methods: tuple[str, ...] = ("pdq",), false_match_rate: float = 1e-4
) -> FakeCheck:
    labels = ("matched", "cleared", "not_matchable")
    return FakeCheck(dict.fromkeys(labels, "intellectual_property"), frozenset({Modality.IMAGE}))


def hearing() -> FakeCheck:
    return FakeCheck({"bad": "violence", "worse": "violence"}, frozenset({Modality.AUDIO}))


def iptc() -> FakeMarker:
    return FakeMarker(kind="iptc")


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


@pytest.fixture(autouse=True)
def _valid_in_an_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever loads in these tests is valid for an independent validator with the published schema, too."""
    compile_policy = compiler.compile_policy

    def checked(source: Node, *rest: Any) -> LoadedPolicy:
        loaded = compile_policy(source, *rest)
        VALIDATOR.validate(source.plain())
        return loaded

    monkeypatch.setattr(compiler, "compile_policy", checked)


@pytest.fixture
def real_parts() -> None:
    """The checks and markers that genguard ships."""


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> list[WordScores]:
    """Checks `word_scores` and `red_things`, which measure what a test can foresee; every `word_scores` that was made."""
    made: list[WordScores] = []

    def word_scores(*, scores: dict[str, dict[str, int]], trouble: str = "", unread: str = "") -> WordScores:
        made.append(WordScores(scores, trouble, unread))
        return made[-1]

    def red_things() -> RedThings:
        return RedThings()

    monkeypatch.setitem(checks._factories, "word_scores", word_scores)
    monkeypatch.setitem(checks._factories, "red_things", red_things)
    return made
