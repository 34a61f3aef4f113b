"""Requests and answers of our own routes, and the evidence that every answer carries."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from guard import types
from guard.errors import InputError
from guard.marks.aigc import envelope
from guard.sound import is_wav
from guard.types import CheckResult, Content, Decision, Finding, Modality, Operator, Region, Release, Span, Stage


class CheckRequest(BaseModel):
    """One text, or one image or audio as base64."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = None
    image: str | None = Field(None, description="The image file's bytes in base64: PNG, JPEG or WebP.")
    audio: str | None = Field(None, description="The audio file's bytes in base64: WAV with PCM.")
    media_type: str = Field("", description="What the sender calls the file; checked against its bytes.")
    stage: Literal["prompt", "output"] = "output"

    @model_validator(mode="after")
    def _exactly_one(self) -> CheckRequest:
        require_one(self.text, self.image, self.audio)
        return self

    @property
    def modality(self) -> Modality:
        """What it says that it holds."""
        return Modality.TEXT if self.text is not None else Modality.AUDIO if self.audio is not None else Modality.IMAGE

    def data(self) -> str | bytes:
        """The text, or the decoded file. Raises InputError for what is no base64, or another kind of file than it says."""
        return self.text if self.text is not None else file_of(self.image, self.audio)


def require_one(text: str | None, image: str | None, audio: str | None) -> None:
    """Raise ValueError unless just one is there."""
    if sum(one is not None for one in (text, image, audio)) != 1:
        raise ValueError("expected exactly one of `text`, `image` and `audio`")


def file_of(image: str | None, audio: str | None) -> bytes:
    """The one file that is given in base64. Raises InputError for what is no base64, or an image under `audio` or the like."""
    data = decode_base64(audio or image or "")
    if is_wav(data) is not (audio is not None):
        raise InputError(
            "found no WAV file under `audio`, expected one" if audio is not None else "found a WAV file under `image`",
            advice="Give audio under `audio`, and images under `image`.",
        )
    return data


def decode_base64(value: str) -> bytes:
    """Decode base64, also from a `data:` URL. Raises InputError."""
    payload = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("found a file that is not base64, expected the file's bytes in base64") from None


class Receipt(BaseModel):
    """Where the decision stands in the ledger."""

    index: int
    leaf_hash: str
    tree_size: int
    proof: str = Field("", description="Where the proof is: the entry, its path, and a signed checkpoint that covers it.")


class Rule(BaseModel):
    """A rule that fired."""

    rule: str
    title: str
    action: str
    category: str
    because: str


class Evidence(BaseModel):
    """Why an output looks as it does, and where that is recorded."""

    decision: str
    action: Literal["allow", "label", "redact", "review", "block"]
    explanation: str
    rules: list[Rule]
    policy: str
    policy_version: int
    revision: str
    marks: list[dict[str, Any]]
    receipt: Receipt


class CheckAnswer(BaseModel):
    """What became of a content: `text`, or `image` or `audio` (base64), is there only when it may be shown."""

    action: Literal["allow", "label", "redact", "review", "block"]
    text: str | None = None
    image: str | None = None
    audio: str | None = None
    message: dict[str, str] = Field(default_factory=dict, description="What to tell the person, by language.")
    results: list[dict[str, Any]]
    genguard: Evidence
    aigc: dict[str, str] | None = Field(
        None, alias="AIGC", description="Label of a text under GB 45438; there only when the policy asks for it."
    )


def evidence(release: Release) -> dict[str, Any]:
    """The `genguard` object of an answer."""
    return evidence_of(release.decision, release.receipt)


def evidence_of(decision: Decision, receipt: types.Receipt) -> dict[str, Any]:
    """The same of a decision that was recorded before."""
    verdict = decision.verdict
    return Evidence(
        decision=str(decision.id),
        action=verdict.action.value,
        explanation=verdict.explanation,
        rules=[
            Rule(rule=one.rule, title=one.title, action=one.action.value, category=one.category, because=one.because)
            for one in verdict.fired
        ],
        policy=verdict.policy,
        policy_version=verdict.version,
        revision=verdict.revision,
        marks=[
            {"kind": mark.kind, "method": mark.method, "payload": mark.payload, "verified": mark.verified, "error": mark.error}
            for mark in decision.marks
        ],
        receipt=Receipt(
            index=receipt.index,
            leaf_hash=receipt.leaf_hash.hex(),
            tree_size=receipt.tree_size,
            proof=f"/v1/decisions/{decision.id}/proof",
        ),
    ).model_dump()


def evidence_headers(release: Release) -> dict[str, str]:
    """The same in two headers, for clients that only see the standard body."""
    receipt = release.receipt
    return {
        "x-genguard-decision": str(release.decision.id),
        "x-genguard-receipt": f"{receipt.index}:{receipt.leaf_hash.hex()}",
    }


def check_answer(release: Release, operator: Operator) -> CheckAnswer:
    """The answer of `/v1/check`."""
    content = release.content
    return CheckAnswer(
        action=release.verdict.action.value,
        text=content.text if content is not None and content.modality is Modality.TEXT else None,
        image=as_base64(content) if content is not None and content.modality is Modality.IMAGE else None,
        audio=as_base64(content) if content is not None and content.modality is Modality.AUDIO else None,
        message=dict(release.verdict.message),
        results=[result_fields(result) for result in release.decision.results],
        genguard=Evidence(**evidence(release)),
        AIGC=envelope(release, operator),
    )


def as_base64(content: Content) -> str:
    """The file of a content in base64."""
    return base64.b64encode(content.file).decode()


def result_fields(result: CheckResult) -> dict[str, Any]:
    """A check's result as plain fields."""
    return {
        "check": result.check,
        "use": result.use,
        "version": result.version,
        "status": result.status.value,
        "latency_us": result.latency_us,
        "error": result.error,
        "findings": [_finding_fields(finding) for finding in result.findings],
    }


def _finding_fields(finding: Finding) -> dict[str, Any]:
    fields: dict[str, Any] = {"category": finding.category, "label": finding.label, "score": finding.score / 1000}
    match finding.where:
        case Span(start, end):
            fields["span"] = [start, end]
        case Region(left, top, right, bottom):
            fields["region"] = [left, top, right, bottom]
    if finding.match:
        one = finding.match
        fields["match"] = {
            "bank": one.bank,
            "work": one.work,
            "title": one.title,
            "method": one.method,
            "distance": one.distance,
            "limit": one.limit,
        }
    return {**fields, "reason": finding.reason}


def message_of(release: Release, language: str = "en") -> str:
    """What a person is told instead of a withheld output."""
    messages = dict(release.verdict.message)
    return (
        messages.get(language)
        or messages.get(language.split("-", maxsplit=1)[0])
        or messages.get("en")
        or next(iter(messages.values()), "")
    )


STAGES = {"prompt": Stage.PROMPT, "output": Stage.OUTPUT}
