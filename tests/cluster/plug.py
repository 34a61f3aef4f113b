"""A check of a third party, installed for replicas alone: it finds a word, and waits when it is told to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from guard.registry import checks
from guard.types import CALLER, Content, Examples, Finding, Modality, Request, Scan, Span, Stage

WAITS = "please wait"


class Plug:
    """Finds `secret`. Given WAITS, it leaves its process id in the folder and waits until there is a file `go`.

    Asked to leave its name, it only does that."""

    version, digest, blocking = "1", "", True
    modalities = frozenset({Modality.TEXT})
    labels: Mapping[str, str] = {"word": "privacy"}

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    @property
    def examples(self) -> Examples:
        made = [Content(Modality.TEXT, one, "text/plain", Stage.OUTPUT, CALLER, Request("r")) for one in ("a secret", "a word")]
        return Examples((made[0],), (made[1],))

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        return [self._scan(one) for one in batch]

    def _scan(self, content: Content) -> Scan:
        if WAITS in content.text:
            (self._folder / f"{os.getpid()}.waits").touch()
            while not (self._folder / "go").exists():
                time.sleep(0.02)
        if "leave your name" in content.text:
            (self._folder / f"{os.getpid()}.here").touch()
        at = content.text.find("secret")
        found = () if at < 0 else (Finding("privacy", "word", 1000, Span(at, at + 6)),)
        return Scan(found, Span(0, content.length))


@checks.register("plug")
def plug(*, folder: str = "") -> Plug:
    """`folder`: where it leaves its process id."""
    return Plug(folder)
