"""What MkDocs calls while it builds: adds the pages that are made, and leads links between files to pages."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from sitegen import checks, places, routes

MADE = ("reference/checks.md", "reference/routes.md")
"""Pages that are made from the code."""


def on_files(files: Files, config: Any) -> Files:
    """Add what is not in `docs/`."""
    for file, page in places.outside().items():
        files.append(File.generated(config, page, content=places.page_text(file)))
    files.append(File.generated(config, MADE[0], content=checks.page()))
    files.append(File.generated(config, MADE[1], content=routes.page(_description())))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Lead its links to pages."""
    del config
    outside = places.outside()
    pages = {f"{places.DOCS}/{file.src_uri}": file.src_uri for file in files.documentation_pages()}
    homes = {made: home for home, made in outside.items()}
    home = homes.get(page.file.src_uri, f"{places.DOCS}/{page.file.src_uri}")
    return places.linked(markdown, home, page.file.src_uri, pages | outside)


def _description() -> dict[str, Any]:
    from service import create_app
    from serving.settings import Settings

    return create_app(Settings.read(host="127.0.0.1")).openapi()
