"""Lints on marks that outputs cannot carry."""

from __future__ import annotations

from collections.abc import Iterator

from guard.protocols import TokenGenerator
from guard.rules import MarkSpec
from guard.types import Action, Modality, Stage
from policies.lint.registry import Level, Note, lint
from policies.lint.subject import Subject
from policies.mistake import Position, listed

_TEXT_WATERMARK = "text_watermark"
_MADE = (Stage.OUTPUT, Stage.CHUNK)
_PATHS = {"watermark": ("watermark", "image"), _TEXT_WATERMARK: ("watermark", "text"), "label": ("label",), "c2pa": ("c2pa",)}


def _place(subject: Subject, mark: MarkSpec) -> Position:
    return subject.head("marks", *_PATHS.get(mark.use, ("metadata",)))


@lint(
    "idle-mark",
    Level.WARNING,
    "A mark is for outputs that the policy never lets out.",
    why="""Outputs of that kind are read by no check, so they are blocked, or no generator that `applies_to` names makes them.
    The mark looks like a promise, and nothing ever bears it. Add the check that is missing, or take the mark out.""",
)
def _idle_mark(subject: Subject) -> Iterator[Note]:
    made = {one.modality for one in subject.generators() or ()} or set(Modality)
    read = {one for one in Modality if any(spec.applies(stage, one) for spec in subject.policy.checks for stage in _MADE)}
    for use in dict.fromkeys(mark.use for mark in subject.policy.marks):
        kinds = [mark for mark in subject.policy.marks if mark.use == use]
        if any(mark.modality in made & read for mark in kinds):
            continue  # a mark for texts and images is written in one line
        modality = kinds[0].modality
        why = f"no check reads {modality.value}s" if modality in made else f"its generators make {listed(sorted(made))}s"
        found = f"a mark for {modality.value}s, which never leave: {why}"
        yield Note(_place(subject, kinds[0]), found, "marks on outputs that are made and read")


@lint(
    "unmarked-audio",
    Level.ADVICE,
    "Audio does not carry a mark that the policy asks for.",
    why="""Watermarks, labels that people see, and IPTC's source type are for texts and images; audio carries the AIGC object of
    GB 45438 and a C2PA manifest. The law that asks for a visible label may ask for a spoken one, which is not put in here: have
    whoever plays the sound say it.""",
)
def _unmarked_audio(subject: Subject) -> Iterator[Note]:
    if not any(spec.applies(Stage.OUTPUT, Modality.AUDIO) for spec in subject.policy.checks):
        return
    for use in dict.fromkeys(mark.use for mark in subject.policy.marks):
        kinds = [mark for mark in subject.policy.marks if mark.use == use]
        if all(mark.modality is not Modality.AUDIO for mark in kinds):
            found = f"a mark, {use}, that audio leaves without"
            yield Note(_place(subject, kinds[0]), found, "`metadata: [aigc]` or `c2pa: true`, where audio is to bear a mark")


@lint(
    "unmarkable-text",
    Level.WARNING,
    "A text watermark is asked of generators that cannot put it in.",
    why="""It is put in while a model draws its tokens, so only models that run in this process carry it. The generators that
    `applies_to` names do not draw tokens here: their texts stay unmarked, or are blocked with `on_unmarkable: block`. Use a
    visible label or metadata for them.""",
)
def _unmarkable_text(subject: Subject) -> Iterator[Note]:
    texts = [one for one in subject.generators() or () if one.modality is Modality.TEXT]
    for mark in subject.policy.marks:
        if mark.use == _TEXT_WATERMARK and texts and not any(isinstance(one, TokenGenerator) for one in texts):
            names = listed(one.name for one in texts)
            found = f"a text watermark for {names}, which cannot carry it"
            yield Note(_place(subject, mark), found, "a generator that draws tokens in this process, or a `label`")


@lint(
    "watermark-blocks",
    Level.ADVICE,
    "Texts that do not show their watermark are withheld.",
    why="""A reply that is too short or too predictable shows no watermark, which is no fault of its own. With `on_unmarkable:
    block` or `review` most short answers do not leave; by default they do, and the ledger says that they bear no mark.""",
)
def _watermark_blocks(subject: Subject) -> Iterator[Note]:
    for mark in subject.policy.marks:
        if mark.use == _TEXT_WATERMARK and mark.on_unmarkable is not Action.ALLOW:
            place = subject.head("marks", "watermark", "text", "on_unmarkable")
            found = f"on_unmarkable {mark.on_unmarkable.value!r} on a text watermark, which short texts do not show"
            yield Note(place, found, "`allow`, or readiness to withhold short answers")
