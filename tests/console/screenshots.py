"""Pictures of every page in both languages and both themes: `python -m tests.console.screenshots FOLDER`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from console.language import LANGUAGES
from tests.console.desk import demo, desk, person
from tests.console.pages import PAGES


def take(folder: Path, names: list[str]) -> None:
    """Take them of these pages; of all where none is named."""
    folder.mkdir(parents=True, exist_ok=True)
    program = os.environ.get("GENGUARD_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as place:
        demo(Path(place))
        _take(Path(place), folder, names or list(PAGES), program)


def _take(place: Path, folder: Path, names: list[str], program: str | None) -> None:
    with desk(place) as service, sync_playwright() as driver:
        service.held = service.hold()
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for name in names:
            for language in LANGUAGES:
                for theme in ("light", "dark"):
                    with person(service, browser, PAGES[name].who, language=language, theme=theme) as who:
                        page = who.open(PAGES[name].path(service))
                        page.wait_for_load_state("networkidle")
                        page.screenshot(path=folder / f"{name.replace(' ', '-')}-{language}-{theme}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2:])
