"""Finds every mark in a file or text, whoever put it there: the one place that reads marks back.

A reader says what it can tell and no more. Anyone can write metadata, so it is a claim; a C2PA manifest is as good as its
signature; a visible label is recognised only when it was drawn here and nothing was changed. What a claim leads to, the ledger
has to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any
from uuid import UUID

from guard.errors import GenguardError, InputError
from guard.imaging import open_picture
from guard.marks import aigc, font, iptc, plate
from guard.marks.containers import media_type
from guard.marks.manifest import State, read_credential
from guard.marks.wording import PROFILES, Wording
from guard.sound import is_wav


class Standing(StrEnum):
    """What a reader can say of one kind of mark."""

    ABSENT = "absent"
    CANDIDATE = "candidate"
    """A payload that this reader gets from any image, marked or not: a mark only if the ledger knows it."""
    FOUND = "found"
    """It is there. Whether it says the truth is not for this reader to tell."""
    PROVEN = "proven"
    """It is there, and a signature shows that the file is as it was signed."""
    BROKEN = "broken"
    """It is there, and contradicts the file, or cannot be read."""


@dataclass(frozen=True, slots=True)
class Found:
    """One kind of mark in a file or text."""

    kind: str
    standing: Standing
    method: str = ""
    """How it is carried, or the state of a C2PA manifest."""
    decision: UUID | None = None
    """The decision that it names."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else it says, by its own names."""
    reasons: tuple[str, ...] = ()
    """Why it is broken, or less than it could be."""


def read_image(
    data: bytes, anchors: bytes = b"", *, watermark: str = "", key: bytes = b"", seconds: float = inf
) -> tuple[Found, ...]:
    """The C2PA manifest, AIGC object, IPTC source type and visible label of an image file, in this order, then its watermark.

    `anchors`: PEM certificates whose signers are trusted. `watermark`: the method to read with; empty: no look. `key`: of the
    method `tile`. `seconds`: how long a search for a watermark in an image whose geometry was changed may take.
    Raises InputError for bytes that do not begin as PNG, JPEG or WebP.
    """
    media_type(data)
    readers: dict[str, Callable[[], Found]] = {
        "c2pa": lambda: _credential(data, anchors),
        aigc.KIND: lambda: _aigc(aigc.read_aigc(data), aigc.IN_FILE),
        iptc.KIND: lambda: _source_type(iptc.read_source_type(data)),
        "label": lambda: _image_label(data),
    }
    found = tuple(_read(kind, reader) for kind, reader in readers.items())
    return (*found, read_hidden(data, watermark, key, seconds)) if watermark else found


def read_audio(data: bytes, anchors: bytes = b"") -> tuple[Found, ...]:
    """The C2PA manifest and the AIGC object of a WAV file. `anchors`: as for `read_image`.

    Raises InputError for bytes that do not begin as WAV.
    """
    if not is_wav(data):
        raise InputError("found bytes that are no WAV file")
    readers: dict[str, Callable[[], Found]] = {
        "c2pa": lambda: _credential(data, anchors),
        aigc.KIND: lambda: _aigc(aigc.read_aigc(data), aigc.IN_SOUND),
    }
    return tuple(_read(kind, reader) for kind, reader in readers.items())


def read_hidden(data: bytes, method: str, key: bytes = b"", seconds: float = inf) -> Found:
    """The watermark of one method in an image file; arguments as for `read_image`."""
    return _read("watermark", lambda: _watermark(data, method, key, seconds))


def read_text(text: str, envelope: str = "") -> tuple[Found, ...]:
    """The AIGC object and the visible label of a text. `envelope`: the JSON that came with it, if any."""
    readers: Mapping[str, Callable[[], Found]] = {
        aigc.KIND: lambda: _aigc(aigc.parse(envelope) if envelope else None, aigc.IN_ANSWER),
        "label": lambda: _text_label(text),
    }
    return tuple(_read(kind, reader) for kind, reader in readers.items())


def _read(kind: str, reader: Callable[[], Found]) -> Found:
    try:
        return reader()
    except InputError as error:
        return Found(kind, Standing.BROKEN, reasons=(str(error),))
    except GenguardError as error:
        return Found(kind, Standing.ABSENT, reasons=(f"cannot be looked for: {error}",))


def _credential(data: bytes, anchors: bytes) -> Found:
    found = read_credential(data, anchors)
    standing = {State.ABSENT: Standing.ABSENT, State.TAMPERED: Standing.BROKEN}.get(found.state, Standing.PROVEN)
    facts = {"signer": found.signer, "generator": found.generator, "ingredients": list(found.ingredients), **found.decision}
    decision = _uuid(str(found.decision.get("decision", "")))
    return Found("c2pa", standing, found.state.value, decision, {k: v for k, v in facts.items() if v}, found.reasons)


def _aigc(found: Mapping[str, str] | None, method: str) -> Found:
    if found is None:
        return Found(aigc.KIND, Standing.ABSENT)
    # Where another producer is named, the propagator's number is the one that may be ours.
    return Found(aigc.KIND, Standing.FOUND, method, _uuid(found.get("PropagateID") or found["ProduceID"]), found)


def _source_type(found: str | None) -> Found:
    if found is None:
        return Found(iptc.KIND, Standing.ABSENT)
    return Found(iptc.KIND, Standing.FOUND, "xmp", facts={"source_type": found.removeprefix(iptc.TERMS)})


def _watermark(data: bytes, method: str, key: bytes, seconds: float) -> Found:
    from guard.marks.tile_marker import read_tile
    from guard.marks.tile_search import Budget
    from guard.marks.watermark import DEFAULT, payload_in

    try:
        if method == DEFAULT:
            budget = Budget(seconds)
            found = read_tile(data, key, budget=budget)
            if found is None:
                short = (f"the search was ended after {seconds:g} s",) if budget.spent else ()
                return Found("watermark", Standing.ABSENT, method, reasons=short)
            facts = {"payload": found.payload.hex(), "surety": found.surety, "transform": found.transform}
            return Found("watermark", Standing.FOUND, method, facts=facts)
        payload = payload_in(data, method)
    except InputError as error:  # damaged, or of a size that the method does not take
        return Found("watermark", Standing.ABSENT, method, reasons=(f"cannot be looked for: {error}",))
    return Found("watermark", Standing.CANDIDATE, method, facts={"payload": payload})


def _image_label(data: bytes) -> Found:
    try:
        image = open_picture(data)
    except InputError as error:
        return Found("label", Standing.ABSENT, reasons=(f"cannot be looked for: {error}",))
    for name, profile in PROFILES.items():
        found = plate.find(image, profile.image.values(), profile.share, font.BUNDLED)
        if found is not None:
            number, place, laid = found
            return _label(name, place, list(profile.image)[number], " ".join(laid.lines))
    return Found("label", Standing.ABSENT)


def _text_label(text: str) -> Found:
    lines = text.strip().split("\n")
    for profile in PROFILES:
        for language, words in Wording(profile).text.items():
            for place, line in (("start", lines[0]), ("end", lines[-1])):
                if line.strip() == words:
                    return _label(profile, place, language, words)
    return Found("label", Standing.ABSENT)


def _label(profile: str, place: str, language: str, words: str) -> Found:
    return Found("label", Standing.FOUND, f"{profile}/{place}/{language}", facts={"text": words})


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
