"""The implicit label of the Chinese labelling measures (GB 45438-2025): a JSON object under the key `AIGC`.

Image files carry it in XMP (namespace `http://www.tc260.org.cn/ns/AIGC/1.0/`, property `AIGC`), WAV files in a RIFF chunk with
the id `AIGC`, answers of the API as an object of that name beside the text. ContentProducer comes from the operator and is
never invented; ProduceID is the id of the decision, which is found in the ledger again. A file that names another producer
keeps that name: the operator is its propagator then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from guard.errors import InputError, SettingsError
from guard.marks import xmp
from guard.marks.containers import read_xmp, write_xmp
from guard.protocols import Marker
from guard.registry import markers
from guard.sound import chunk_of, is_wav, with_chunk
from guard.types import Content, Decision, Mark, Marking, Modality, Operator, Release

KIND = "aigc"
PROPERTY = xmp.Property("http://www.tc260.org.cn/ns/AIGC/1.0/", "TC260", "AIGC")
FIELDS = ("Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2")
LABELS = {"1": "generated", "2": "possibly generated", "3": "suspected to be generated"}
IN_FILE, IN_SOUND, IN_ANSWER = "xmp", "riff", "envelope"
CHUNK = b"AIGC"
"""Id of the chunk of a WAV file."""
_NAMES = (("ContentProducer", "ProduceID"), ("ContentPropagator", "PropagateID"))
_MOST = 500
"""Characters of a field that is read."""


def describe(producer: str, decision: UUID, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """The object for an output. `known`: the one that its file bears; another producer's stays, with us as propagator."""
    if known and known["ContentProducer"] not in {"", producer}:
        return {**known, "ContentPropagator": producer, "PropagateID": str(decision)}
    return {"Label": "1", "ContentProducer": producer, "ProduceID": str(decision)}


def parse(text: str) -> dict[str, str]:
    """The object that a JSON text holds: its known fields. Raises InputError for anything but an object of strings."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("found an AIGC label that is not JSON, expected an object of strings") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) and len(value) <= _MOST for value in found.values()):
        raise InputError("found an AIGC label of another shape, expected an object of strings")
    if not {"Label", "ContentProducer", "ProduceID"} <= set(found):
        raise InputError("found an AIGC label without Label, ContentProducer or ProduceID, expected all three")
    return {name: found[name] for name in FIELDS if name in found}


def read_aigc(data: bytes) -> dict[str, str] | None:
    """The object that an image or WAV file bears; None when it bears none. Raises InputError for a damaged file or object."""
    if is_wav(data):
        chunk = chunk_of(data, CHUNK)
        return None if chunk is None else parse(chunk.decode("utf-8", "replace"))
    value = xmp.value_of(read_xmp(data), PROPERTY)
    return None if value is None else parse(value)


def envelope(release: Release, operator: Operator) -> dict[str, str] | None:
    """The object that an answer with this text carries; None when nothing is released or the policy asks for none."""
    return envelope_of(release.decision, operator) if release.content is not None else None


def envelope_of(decision: Decision, operator: Operator) -> dict[str, str] | None:
    """The same of a decision that was recorded before, and whose text is released now."""
    asked = any(mark.kind == KIND and mark.method == IN_ANSWER and mark.verified for mark in decision.marks)
    return describe(operator.content_producer, decision.id) if asked else None


class FileLabel:
    """A `guard.protocols.Marker` for image and audio files. Keeps no state between calls."""

    kind = KIND

    def __init__(self, producer: str, modality: Modality = Modality.IMAGE) -> None:
        self.producer = producer
        self.modality = modality

    def load(self) -> None:
        """Nothing is needed."""

    def __call__(self, content: Content, marking: Marking, /) -> tuple[Content, Mark]:
        """Write the object into the file's XMP or chunk and read it back. Raises InputError for a file that cannot take it."""
        value = _json(describe(self.producer, marking.decision, _known(content) or _known(marking.source)))
        if content.modality is Modality.AUDIO:
            file, method = with_chunk(content.file, CHUNK, value.encode()), IN_SOUND
        else:
            file, method = write_xmp(content.file, xmp.put(read_xmp(content.file), PROPERTY, value)), IN_FILE
        marked, mark = replace(content, data=file), Mark(self.kind, method, marking.decision.hex, verified=True)
        why = self.reread(marked, mark)
        return (content, replace(mark, verified=False, error=why)) if why else (marked, mark)

    def reread(self, content: Content, mark: Mark, /) -> str:
        """Read the file's own object."""
        found, ours = read_aigc(content.file) or {}, (self.producer, str(UUID(mark.payload)))
        named = ours in {(found.get(who), found.get(which)) for who, which in _NAMES}
        return "" if named else "the AIGC object cannot be read from the file as it was written"


class AnswerLabel:
    """A `guard.protocols.Marker` for texts, which have no file to carry it: answers of the API do (`envelope`)."""

    kind = KIND
    modality = Modality.TEXT

    def __init__(self, producer: str) -> None:
        self.producer = producer

    def load(self) -> None:
        """Nothing is needed."""

    def __call__(self, content: Content, marking: Marking, /) -> tuple[Content, Mark]:
        """Leave the text as it is: the object goes beside it."""
        mark = Mark(self.kind, IN_ANSWER, marking.decision.hex, verified=True)
        return content, replace(mark, error=why, verified=False) if (why := self.reread(content, mark)) else mark

    def reread(self, _content: Content, mark: Mark, /) -> str:
        """Read the object that answers are given. Raises InputError when it is none."""
        known = parse(_json(describe(self.producer, UUID(mark.payload))))
        return "" if known["ProduceID"] == str(UUID(mark.payload)) else "the AIGC object is not readable"


@markers.register(KIND)
def aigc(*, _modality: Modality = Modality.IMAGE, _operator: Operator | None = None) -> Marker:
    """Label outputs for machines as GB 45438 asks. Raises SettingsError when the operator is known and has no name."""
    if _operator is not None and not _operator.content_producer:
        raise SettingsError(
            "found no content producer, expected one: the policy's `metadata: [aigc]` names who provides the service",
            advice="Set GENGUARD_CONTENT_PRODUCER to the provider's name or 27-character code. It is never made up.",
        )
    producer = _operator.content_producer if _operator else ""
    return AnswerLabel(producer) if _modality is Modality.TEXT else FileLabel(producer, _modality)


def _json(fields: Mapping[str, str]) -> str:
    return json.dumps({name: fields[name] for name in FIELDS if name in fields}, ensure_ascii=False, separators=(",", ":"))


def _known(content: Content) -> dict[str, str] | None:
    """The object of a file that came with one; one that cannot be read is not kept."""
    try:
        return None if content.modality is Modality.TEXT else read_aigc(content.file)
    except InputError:
        return None
