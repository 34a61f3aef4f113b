"""Decisions for the tests of the ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

from guard.types import (
    Action,
    CheckResult,
    Content,
    Context,
    Decision,
    Edit,
    Finding,
    FiredRule,
    Mark,
    Match,
    Modality,
    Origin,
    Region,
    Request,
    Span,
    Stage,
    Status,
    Verdict,
)

DOCUMENT = json.dumps({"policy": "enterprise", "rules": ["card-number", "threat"]}, separators=(",", ":"))
REVISION = sha256(DOCUMENT.encode()).hexdigest()
SECRET = "card 4111 1111 1111 1111 of Zoë Quibbleworth"
HIDDEN = "card **** **** **** 1111 of Zoë Quibbleworth"


def text(data: str, request: Request, stage: Stage = Stage.OUTPUT) -> Content:
    """A text made by a language model."""
    origin = Origin("language", "bundled/service-gpt", "ab" * 32, (("seed", "7"), ("temperature", "0.8")))
    return Content(Modality.TEXT, data, "text/plain", stage, origin, request)


def image(data: bytes, request: Request) -> Content:
    """An image made by a diffusion model; nothing here decodes it."""
    return Content(Modality.IMAGE, data, "image/png", Stage.OUTPUT, Origin("diffusion", "marks"), request)


def picture(number: int, data: bytes = b"\x89PNG picture", **more) -> Decision:
    """A decision that released an image, with a fingerprint."""
    content = image(data, Request(f"req-{number}", "acme", "key-1", more.pop("subject", "subject-9"), "en"))
    seen = Context(Stage.OUTPUT, Modality.IMAGE, "diffusion", "acme", "en", content.length)
    fields = {"content": content, "released": content, "context": seen, "request": content.request}
    return decision(Action.ALLOW, number=number, **{**fields, "fingerprint": b"print of " + data[:20], **more})


def verdict(action: Action, rule: str = "card-number", category: str = "privacy", **more) -> Verdict:
    """A verdict with one fired rule; `allow` with none."""
    fired = (FiredRule(rule, "Card numbers are masked", action, category, "House rules 2", f"pii found {rule}"),)
    return Verdict(
        action,
        () if action is Action.ALLOW else fired,
        "because a rule fired",
        "enterprise",
        4,
        REVISION,
        message=(("zh", "该回复已被拦截。"), ("en", "Withheld.")),
        **more,
    )


def decision(action: Action = Action.REDACT, *, number: int = 0, data: str = "", tenant: str = "acme", **more) -> Decision:
    """A decision on a text, with every kind of field filled."""
    request = Request(f"req-{number}", tenant, "key-1", more.pop("subject", "subject-9"), "en")
    content = text(data or f"{SECRET} #{number}", request)
    released = {Action.ALLOW: content, Action.REDACT: text(f"{HIDDEN} #{number}", request)}.get(action)
    results = (
        CheckResult(
            "pii",
            "pii",
            "1",
            "cd" * 32,
            Status.OK,
            (
                Finding("privacy", "CREDIT_CARD", 990, Span(5, 24), reason="checksum is right"),
                Finding("privacy", "PERSON", 610),
            ),
            Span(0, 44),
            812,
        ),
        CheckResult(
            "works",
            "image_match",
            "2",
            "",
            Status.TIMEOUT,
            (
                Finding(
                    "intellectual_property", "matched", 1000, Region(0, 0, 64, 64), Match("bank", "w1", "Blue", "pdq", 12, 31)
                ),
            ),
            error="no answer within 500 ms",
        ),
    )
    edits = (Edit(Span(5, 24), "mask", "CREDIT_CARD", "card-number", (("keep_last", "4"),)),) if action is Action.REDACT else ()
    time = datetime(2026, 11, 22, 9, 30, 15, 250, tzinfo=UTC)
    fields = {
        "id": uuid4(),
        "time": time,
        "content": content,
        "context": Context(Stage.OUTPUT, Modality.TEXT, "language", tenant, "en", content.length, time),
        "request": request,
        "results": results,
        "verdict": verdict(action, edits=edits),
        "released": released,
        "marks": (Mark("watermark", "dwtDctSvd", f"{number:016x}", True),),
        "parent": UUID("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"),
    }
    return Decision(**(fields | more))
