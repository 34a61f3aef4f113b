"""The bundled weights: every byte against its manifest."""

from __future__ import annotations

from collections.abc import Iterator

from doctor.finding import Finding, bad, ok
from guard.errors import ModelError
from guard.models import BUNDLED, locate
from serving.settings import Settings

PART = "models"


def look(_settings: Settings) -> Iterator[Finding]:
    """Each model whose files are not those that were published, or how many are."""
    names = [folder.name for folder in sorted(BUNDLED.iterdir()) if folder.is_dir()] if BUNDLED.is_dir() else []
    size = good = 0
    for name in names:
        try:
            found = locate(f"bundled/{name}")
        except ModelError as error:
            yield bad(PART, name, str(error), error.advice)
            continue
        good += 1
        size += sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file())
    if not names:
        yield bad(PART, "bundled", "found no bundled model, expected some", "Install genguard again.")
    elif good:
        yield ok(
            PART, "bundled", f"{good} models of {size / 1e6:.0f} MB, as published: {', '.join(names)}", models=good, bytes=size
        )
