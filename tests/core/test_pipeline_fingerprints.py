"""Released images get a fingerprint in passing: apart from everything else, and never as a condition of their release."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from guard import pipeline
from guard.chain import Chain
from guard.matching import likeness
from guard.pipeline import Guard
from guard.protocols import Check
from guard.rules import Found
from guard.types import Action, Request, Stage
from tests.fakes import ImageCheck, MemoryLedger, WordCheck, png, policy, rule, spec

PHOTO = (Path(__file__).parents[1] / "data" / "photos" / "kitchen.jpg").read_bytes()
CHECKS: Mapping[str, Check] = {"bad": WordCheck("bad"), "dark": ImageCheck()}


def guarded(action: Action = Action.REDACT, **fields: bool) -> tuple[Guard, MemoryLedger]:
    """A guard that blurs or withholds images with something black in them, as the photograph is."""
    operator = {"operator": "blur"} if action is Action.REDACT else {}
    rules = [rule(Action.BLOCK, Found("bad"), "insults"), rule(action, Found("dark"), "shade", **operator)]
    house = policy([spec(name, check, deadline_ms=20_000) for name, check in CHECKS.items()], rules)
    ledger = MemoryLedger()
    return Guard(house, ledger, chains={house.id: Chain(house, CHECKS)}, **fields), ledger


def test_a_released_image_gets_that_of_the_file_that_left() -> None:
    """After edits and marks, not of what came."""
    guard, ledger = guarded()
    release = asyncio.run(guard.check(PHOTO))
    assert release.content is not None
    assert release.content.file != PHOTO
    (decision,) = ledger.decisions
    assert likeness.fits(release.content.file, decision.fingerprint)
    assert decision.fingerprint not in repr(decision).encode("latin-1", "replace")


def test_what_is_no_released_output_gets_none() -> None:
    """Texts, prompts, what was withheld, what has too little detail; nothing at all when the operator wants none."""
    for guard, ledger in (guarded(Action.BLOCK), guarded(fingerprints=False)):
        for content in ("fine", "bad", PHOTO, png()):
            asyncio.run(guard.check(content))
        assert [decision.fingerprint for decision in ledger.decisions] == [b""] * 4
    guard, ledger = guarded()
    asyncio.run(guard.check(PHOTO, stage=Stage.PROMPT))
    assert ledger.decisions[0].fingerprint == b""


def test_texts_do_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is computed, on a thread of its own, others are released."""
    begun, go = threading.Event(), threading.Event()

    def slow(_data: bytes) -> bytes:
        begun.set()
        assert go.wait(20)
        return b"print"

    monkeypatch.setattr(likeness, "fingerprint", slow)
    guard, ledger = guarded()

    async def both() -> None:
        picture = asyncio.create_task(guard.check(PHOTO, request=Request("image")))
        await asyncio.to_thread(begun.wait, 20)
        await guard.check("fine", request=Request("text"))
        assert not picture.done()
        go.set()
        await picture

    asyncio.run(both())
    assert [(one.request.id, one.fingerprint) for one in ledger.decisions] == [("text", b""), ("image", b"print")]


def test_an_image_is_released_without_one_rather_than_not_at_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When computing it fails or hangs; the log says so, and not what the image was."""

    def failing(_data: bytes) -> bytes:
        raise ValueError("of the secret picture")

    guard, ledger = guarded()
    hang = threading.Event()
    for broken in (failing, lambda _data: bytes(hang.wait(20))):
        monkeypatch.setattr(likeness, "fingerprint", broken)
        monkeypatch.setattr(pipeline, "FINGERPRINT_DEADLINE_S", 0.2)
        with caplog.at_level(logging.WARNING, "guard.pipeline"):
            assert asyncio.run(guard.check(PHOTO)).content is not None
    hang.set()
    assert [decision.fingerprint for decision in ledger.decisions] == [b"", b""]
    assert caplog.text.count("an image gets no fingerprint") == 2
    assert "secret" not in caplog.text
