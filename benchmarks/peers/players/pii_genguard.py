"""The check `pii`, its patterns alone."""

import json
from pathlib import Path

from playing import Work, at_once, play

from guard.checks.pii_patterns import BY_LANGUAGE, GENERIC
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

LANGUAGES = ("en", "zh")
MODELS = {"PERSON", "STREET_ADDRESS"}
"""What a model finds where one is there."""


def entities() -> tuple[str, ...]:
    """What patterns find."""
    specs = [*GENERIC, *(spec for language in LANGUAGES for spec in BY_LANGUAGE[language])]
    return tuple(sorted({spec.entity for spec in specs} - MODELS | {"PHONE_NUMBER"}))


def prepare(case: str, folder: Path) -> Work:
    """One text a call of the check."""
    check = checks.make("pii", {"languages": LANGUAGES, "entities": entities()})
    check.load()
    batches = [[content(text)] for text in json.loads((folder / f"{case}.json").read_text("utf-8"))]

    def tell() -> list[object]:
        scans = [scan for batch in batches for scan in check(batch)]
        return [sorted([one.label, one.where.start, one.where.end, one.score] for one in scan.findings) for scan in scans]

    return Work(at_once(lambda: [check(batch) for batch in batches]), len(batches), tell)


def content(text: str) -> Content:
    """As a generator's output."""
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("1"))


if __name__ == "__main__":
    play(prepare)
