"""What an audio says, judged as text: the words that its generator was made to say, by checks that read texts.

It hears nothing: it reads `Content.transcript`, which a text-to-speech generator takes from the prompt that was judged, after
its redactions. An audio without one (music, a file that was made elsewhere) was not read, and the policy's `on_failure` says
what follows. What is found has no place in the audio, so it can be blocked or held, and not cut out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from guard.checks.members import Members, labels_of
from guard.errors import CheckError, RegistryError
from guard.protocols import Check
from guard.registry import Recipe, checks
from guard.sound import encode_wav
from guard.types import CALLER, Content, Examples, Finding, Modality, Request, Scan, Span, Stage


@checks.register("transcript")
def transcript(*, members: Mapping[str, Recipe]) -> Check:
    """The check; raises RegistryError for members that do not read texts here, or that disagree on a label's category.

    `members`: checks of text by names of the policy's own, each with `use` and its parameters. A label that several have is
    found when one of them finds it.
    """
    if not members:
        raise RegistryError("found no members, expected at least one check of texts")
    built = {name: _make(name, recipe) for name, recipe in members.items()}
    return Transcript(built, {name: recipe["use"] for name, recipe in members.items()})


class Transcript(Members):
    """Asks its members one after the other."""

    modalities = frozenset({Modality.AUDIO})
    blocking = True

    def __init__(self, members: Mapping[str, Check], uses: Mapping[str, str]) -> None:
        """`uses`: the registered name of each member's check. Raises RegistryError where members disagree on a label."""
        super().__init__(members, uses)
        self.labels: Mapping[str, str] = labels_of(members)

    @property
    def examples(self) -> Examples:
        """Those of the first member, spoken."""
        given = next(iter(self._members.values())).examples
        return Examples(tuple(map(_spoken, given.flagged)), tuple(map(_spoken, given.clean)))

    def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan]:
        """One Scan an audio: what any member finds in its words. Raises CheckError when a member fails or leaves words out."""
        texts = [_words(content) for content in batch if content.transcript]
        told: list[list[Finding]] = [[] for _ in texts]
        for name, check in self._members.items() if texts else ():
            scans = cast("Sequence[Scan]", check(texts))
            for text, found, scan in zip(texts, told, scans, strict=True):
                if scan.scanned != Span(0, text.length):
                    raise CheckError(f"member {name!r} did not read all of the words")
                found += [replace(one, where=None, match=None) for one in scan.findings]
        findings = iter(told)
        return [
            Scan(tuple(next(findings)), Span(0, content.length)) if content.transcript else Scan((), None) for content in batch
        ]


def _words(content: Content) -> Content:
    return Content(Modality.TEXT, content.transcript, "text/plain", content.stage, content.origin, content.request)


def _spoken(text: Content) -> Content:
    """An example: the words of a text, with a moment of silence for their sound."""
    silence = encode_wav(b"\x00" * 320, 16_000)
    said = text.text
    return Content(Modality.AUDIO, silence, "audio/wav", Stage.OUTPUT, CALLER, Request("example"), transcript=said)


def _make(name: str, recipe: Recipe) -> Check:
    """Build a member. Raises RegistryError for one that cannot be used, and whatever its factory raises."""
    use = recipe.get("use")
    if not isinstance(use, str) or use == "transcript":
        found = "a transcript" if use == "transcript" else "no `use`"
        raise RegistryError(f"member {name!r}: found {found}, expected `use` with the name of a check of texts")
    check = checks.make(use, {key: value for key, value in recipe.items() if key != "use"})
    if Modality.TEXT not in check.modalities:
        reads = ", ".join(sorted(check.modalities))
        raise RegistryError(f"member {name!r}: found a check that reads {reads}, expected one that reads text")
    if not check.blocking:
        raise RegistryError(f"member {name!r}: found check {use!r}, which asks a service, expected one that computes here")
    return check
