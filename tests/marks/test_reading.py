"""guard.marks.reading: every mark in a file or text, and no more said of it than its reader can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from guard.errors import InputError
from guard.marks import order
from guard.marks.reading import Found, Standing, read_image, read_text
from guard.rules import MarkSpec
from guard.types import CALLER, Content, Modality, Operator, Request, Stage
from tests.fakes import marking, png, text
from tests.marks.conftest import FORMS, WATERMARK_KEY, file

DECISION = UUID("01900000-0000-7000-8000-0000a5c3f00f")


def marked(operator: Operator, form: str = "PNG", **label: str) -> bytes:
    given = Content(Modality.IMAGE, file(form), FORMS[form], Stage.OUTPUT, CALLER, Request("r", language="zh"))
    specs = [MarkSpec(kind, Modality.IMAGE, label if kind == "label" else {}) for kind in ("label", "aigc", "iptc", "c2pa")]
    content, marks = order.put_on(order.plan(specs, operator), given, marking(DECISION, given), lambda marker: marker.load())
    assert all(mark.verified for mark in marks)
    return content.file


def by_kind(found: tuple[Found, ...]) -> dict[str, Found]:
    return {one.kind: one for one in found}


@pytest.mark.parametrize("form", FORMS)
def test_all_marks_of_a_file_are_found(form: str, development: Operator) -> None:
    """With the decision they name and what they say; a development signer is named as such."""
    found = by_kind(read_image(marked(development, form, profile="gb45438", position="bottom")))
    assert list(found) == ["c2pa", "aigc", "iptc", "label"]
    assert (found["c2pa"].standing, found["c2pa"].method) == (Standing.PROVEN, "untrusted")
    assert found["c2pa"].reasons == ("signed with a certificate for development",)
    assert found["c2pa"].decision == found["aigc"].decision == DECISION
    assert found["aigc"].facts["ContentProducer"] == "Test provider"
    assert found["iptc"].facts == {"source_type": "trainedAlgorithmicMedia"}
    assert (found["label"].standing, found["label"].facts) == (Standing.FOUND, {"text": "AI生成"})
    assert found["label"].method.endswith("/bottom/zh")


def test_a_trusted_signer_is_named(chain: Callable[..., Any]) -> None:
    """By the anchors that the caller brings."""
    operator, root = chain()
    found = by_kind(read_image(marked(operator, profile="eu"), root))["c2pa"]
    assert (found.method, found.facts["signer"], found.reasons) == ("trusted", "Signer Ltd", ())


@pytest.mark.parametrize("form", FORMS)
def test_an_unmarked_file_has_none(form: str) -> None:
    """Nothing is seen where nothing is."""
    assert {one.standing for one in read_image(file(form))} == {Standing.ABSENT}


def test_a_changed_file_is_called_broken(development: Operator) -> None:
    """And what its manifest says is not passed on; its metadata still is, as a claim."""
    data = bytearray(marked(development, profile="plain"))
    data[bytes(data).index(b"&quot;Test provider") + 8] ^= 2
    found = by_kind(read_image(bytes(data)))
    assert (found["c2pa"].standing, found["c2pa"].method, found["c2pa"].decision) == (Standing.BROKEN, "tampered", None)
    assert "assertion.dataHash.mismatch" in found["c2pa"].reasons
    assert found["aigc"].standing is Standing.FOUND
    assert "cannot be looked for" in found["label"].reasons[0]  # a PNG with a wrong checksum is opened by no viewer


def test_a_keyed_watermark_is_found_or_it_is_not(development: Operator) -> None:
    """Unlike the others it tells a marked image from an unmarked one, and says what happened to it."""
    given = Content(Modality.IMAGE, file("PNG"), FORMS["PNG"], Stage.OUTPUT, CALLER, Request("r"))
    marked_file = order.make("watermark", {}, Modality.IMAGE, development)(given, marking(DECISION, given))[0].file
    found = by_kind(read_image(marked_file, watermark="tile", key=WATERMARK_KEY))["watermark"]
    assert (found.standing, found.method) == (Standing.FOUND, "tile")
    assert found.facts["payload"] == DECISION.hex[-16:]
    assert found.facts["surety"] > 5
    other = by_kind(read_image(marked_file, watermark="tile", key=b"o" * 32))["watermark"]
    assert (other.standing, dict(other.facts)) == (Standing.ABSENT, {})


def test_a_watermark_is_a_candidate_until_the_ledger_knows_it() -> None:
    """Its payload is read from any image of a size that the method takes."""
    given = Content(Modality.IMAGE, file("PNG"), "image/png", Stage.OUTPUT, CALLER, Request("r"))
    marked_file = order.make("watermark", {"method": "dwtDctSvd"}, Modality.IMAGE)(given, marking(DECISION, given))[0].file
    found = by_kind(read_image(marked_file, watermark="dwtDctSvd"))["watermark"]
    assert (found.standing, found.facts) == (Standing.CANDIDATE, {"payload": "a5c3f00f"})
    assert by_kind(read_image(file("PNG"), watermark="dwtDctSvd"))["watermark"].standing is Standing.CANDIDATE
    assert by_kind(read_image(png(64, 64), watermark="dwtDctSvd"))["watermark"].standing is Standing.ABSENT


def test_bytes_that_are_no_image_raise() -> None:
    """The named error."""
    with pytest.raises(InputError):
        read_image(b"text")


def test_a_text_is_read_with_what_came_beside_it(development: Operator) -> None:
    """Label and envelope; an envelope of another shape is broken, one without a number of ours names no decision."""
    given = replace(text("Hello."), request=Request("r", language="en"))
    labelled, _ = order.make("label", {"profile": "eu"}, Modality.TEXT)(given, marking(DECISION, given))
    envelope = f'{{"Label":"1","ContentProducer":"x","ProduceID":"{DECISION}"}}'
    found = by_kind(read_text(labelled.text, envelope))
    assert (found["label"].method, found["aigc"].decision, found["aigc"].method) == ("eu/end/en", DECISION, "envelope")
    assert {one.standing for one in read_text("Hello.")} == {Standing.ABSENT}
    assert by_kind(read_text("Hello.", "[1]"))["aigc"].standing is Standing.BROKEN
    assert by_kind(read_text("x", '{"Label":"1","ContentProducer":"x","ProduceID":"n-1"}'))["aigc"].decision is None
