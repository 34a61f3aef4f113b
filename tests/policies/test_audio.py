"""Audio in a policy: what marks it, what cannot be done to it, and what lints say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from guard.rules import MarkSpec
from guard.types import Modality
from policies import loads, open_policy, packs
from policies.lint import examine
from policies.load import read_policy
from policies.mistake import PolicyFileError

pytestmark = pytest.mark.usefixtures("real_parts")

SPOKEN = """policy: spoken
version: 1
status: live
applies_to: {{generators: [{generator}]}}
checks:
  keys: {{use: secrets}}
  words: {{use: transcript, members: {{keys: {{use: secrets}}}}}}
rules:
  - {{id: said, when: {{words: PRIVATE_KEY}}, {action}}}
  - {{id: written, when: {{keys: PRIVATE_KEY}}, action: block, tests: [{{passes: "Hello"}}]}}
{more}
"""


def spoken(action: str = "action: block", more: str = "", generator: str = "audio") -> str:
    return SPOKEN.format(action=action, more=more, generator=generator)


def codes(text: str) -> dict[str, str]:
    loaded = read_policy(text, file="spoken.yaml")
    report = examine(loaded, datetime(2026, 11, 28, tzinfo=UTC), texts={"spoken.yaml": text.splitlines()})
    return {one.lint.name: one.message for one in report.findings}


def test_marks_that_audio_can_carry_are_put_on_it_where_a_check_reads_it() -> None:
    """The AIGC object and C2PA; watermark, label and source type are for others."""
    marks = "marks: {watermark: {image: true}, label: {profile: eu}, metadata: [aigc, iptc], c2pa: true}"
    policy = loads(spoken(more=marks))
    assert [one.use for one in policy.marks if one.modality is Modality.AUDIO] == ["aigc", "c2pa"]
    assert MarkSpec("aigc", Modality.TEXT) in policy.marks


def test_policies_without_audio_are_what_they_were() -> None:
    """Nothing of audio is in the documents of the packs, so no revision changes."""
    for pack in packs():
        assert '"audio"' not in open_policy(pack).policy.document


def test_nothing_is_cut_out_of_audio() -> None:
    """A redaction on what was said is refused by its line; one that asks both kinds needs a modality."""
    with pytest.raises(PolicyFileError) as caught:
        loads(spoken("action: redact, with: {operator: mask}"))
    assert "operator 'mask' for audio" in str(caught.value)
    assert "nothing can be cut out of audio" in str(caught.value)
    for operator in ("pixelate", "remove"):
        with pytest.raises(PolicyFileError, match="for audio"):
            loads(spoken(f"action: redact, with: {{operator: {operator}}}"))


def test_a_transcript_has_members_that_read_text_here() -> None:
    """Anything else is told by its line."""
    for members, told in (
        ("{}", "a mapping of names to checks"),
        ("{works: {use: image_match, bank: protected-works}}", "reads image, expected one that reads text"),
        ("{again: {use: transcript, members: {keys: {use: secrets}}}}", "expected `use` with the name of a check of texts"),
        ("{far: {use: moderation_endpoint, base_url: 'http://127.0.0.1:9/v1', model: m}}", "which asks a service"),
    ):
        with pytest.raises(PolicyFileError, match=told):
            loads(spoken().replace("members: {keys: {use: secrets}}", f"members: {members}"))


def test_examples_are_texts_and_images() -> None:
    """A rule on audio alone takes none, and no lint asks for one."""
    found = codes(spoken())
    assert not {"no-image-example", "unread-stage"} & {code for code, text in found.items() if "'said'" in text}
    with pytest.raises(PolicyFileError, match="a text for a rule that holds for audio only, expected no example"):
        loads(spoken('action: block, tests: [{flags: "x"}]'))


def test_lints_tell_what_audio_leaves_without() -> None:
    """A label and a watermark; not what it carries, and nothing where no audio is read."""
    marks = "marks: {label: {profile: eu}, metadata: [aigc]}"
    assert "a mark, label, that audio leaves without" in codes(spoken(more=marks))["unmarked-audio"]
    assert "unmarked-audio" not in codes(spoken(more="marks: {metadata: [aigc]}"))
    silent = spoken(more=marks).replace("{use: transcript, members: {keys: {use: secrets}}}", "{use: secrets, group: 2}")
    assert "unmarked-audio" not in codes(silent)


def test_lints_tell_that_audio_is_blocked_where_nothing_reads_it() -> None:
    """For a policy that names the generator; others are not bothered."""
    silent = spoken().replace("{use: transcript, members: {keys: {use: secrets}}}", "{use: secrets, group: 2}")
    assert "audio at stage output: every audio is blocked" in codes(silent)["unread-stage"]
    assert "audio" not in json.dumps(codes(silent.replace("[audio]", '["*"]')))
