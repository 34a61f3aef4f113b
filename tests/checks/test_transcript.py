"""Speech judged by the words it was made to say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from guard.checks.transcript import Transcript, transcript
from guard.errors import CheckError, RegistryError
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Scan, Span, Stage
from tests.sounds import wav

CARD = "The card is 4111 1111 1111 1111, thank you."
PEOPLE = {"use": "pii", "languages": ["en"]}


def said(words: str, stage: Stage = Stage.OUTPUT) -> Content:
    return Content(Modality.AUDIO, wav(), "audio/wav", stage, CALLER, Request("r", language="en"), transcript=words)


def scans(check: Check, *contents: Content) -> list[Scan]:
    return list(cast("list[Scan]", check(list(contents))))


def test_what_members_find_is_found_in_the_audio_without_a_place() -> None:
    """Each in its own words, in the order of the batch; those without words were not read."""
    check = transcript(members={"people": PEOPLE, "keys": {"use": "secrets"}})
    check.load()
    first, music, last = scans(check, said(CARD), said(""), said("Good morning."))
    assert [(one.label, one.where) for one in first.findings] == [("CREDIT_CARD", None)]
    assert first.scanned == last.scanned == Span(0, len(wav()))
    assert last.findings == ()
    assert (music.findings, music.scanned) == ((), None)
    assert "4111" not in repr(first)


def test_it_names_its_members_and_their_models() -> None:
    """Another member, or another model of one, is another version or digest."""
    one, two = transcript(members={"a": PEOPLE}), transcript(members={"a": {"use": "toxicity"}})
    assert "a: pii" in one.version
    assert one.version != two.version
    assert set(one.labels) == set(checks.make("pii", {"languages": ["en"]}).labels)


class Careless:
    """Reads the first words alone."""

    labels = {"bad": "violence"}  # noqa: RUF012
    modalities = frozenset({Modality.TEXT})
    version, digest, blocking = "1", "", True

    def __init__(self, category: str = "violence") -> None:
        self.labels = {"bad": category}

    def load(self) -> None:
        raise ValueError("no model")

    def __call__(self, batch: Any) -> list[Scan]:
        return [Scan((), Span(0, 1)) for _ in batch]


def test_a_member_that_leaves_words_out_fails_it() -> None:
    """So does one that cannot be loaded; the policy's `on_failure` decides then."""
    check = Transcript({"it": cast("Check", Careless())}, {"it": "careless"})
    with pytest.raises(CheckError, match="member 'it' did not read all of the words"):
        check([said("Hello")])
    with pytest.raises(CheckError, match="member 'it' could not be loaded: ValueError"):
        check.load()


def test_members_agree_on_what_a_label_means() -> None:
    """Or it could not be recorded under one category."""
    several = {"a": cast("Check", Careless()), "b": cast("Check", Careless("hate"))}
    with pytest.raises(RegistryError, match="label 'bad' with category violence and, at member 'b', hate"):
        Transcript(several, dict.fromkeys(several, "careless"))


def test_its_members_see_stage_and_request() -> None:
    """As if the words had been the output; the sound itself is nobody's text."""
    seen: list[Content] = []

    class Watching(Careless):
        def __call__(self, batch: Any) -> list[Scan]:
            seen.extend(batch)
            return [Scan((), Span(0, one.length)) for one in batch]

    check = Transcript({"it": cast("Check", Watching())}, {"it": "watching"})
    given = said("Hello")
    scans(check, given, replace(given, transcript=""))
    assert [(one.text, one.stage, one.request) for one in seen] == [("Hello", Stage.OUTPUT, given.request)]
