"""Which files of the repository are pages of the site, and where a link from one to another leads."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = "docs"

_LINK = re.compile(r"(?<!!)\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^(?:```|~~~)", re.MULTILINE)


def outside() -> dict[str, str]:
    """Files beside `docs/` that become pages: page by file, both relative to their root."""
    pages = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}
    pages |= {f"policies/packs/{file.name}": f"packs/{file.stem}.md" for file in _found("policies/packs/*.yaml")}
    cards = _found("guard/models/bundled/*/MODEL_CARD.md")
    pages |= {file.relative_to(ROOT).as_posix(): f"quality/models/{file.parent.name}.md" for file in cards}
    pages["deploy/genguard.example.toml"] = "reference/settings.md"
    return pages


def _found(pattern: str) -> list[Path]:
    return sorted(ROOT.glob(pattern))


def page_text(file: str) -> str:
    """A file beside `docs/` as Markdown: what is no Markdown stands in a block."""
    path = ROOT / file
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        return text
    title = f"Pack `{path.stem}`" if path.suffix == ".yaml" else "Settings"
    return f"# {title}\n\n```{path.suffix[1:]}\n{text.rstrip()}\n```\n"


def linked(text: str, home: str, page: str, pages: Mapping[str, str]) -> str:
    """A page's text with its links leading to pages.

    `home`: the file that the text is of, `page`: where it stands in the site, `pages`: page by file, both from their root. A
    link to a file that is no page is kept as its label; one to what is not there stays, for the builder to warn of.
    """

    def lead(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or re.match(r"[a-z][a-z0-9+.-]*:", target):
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(home), target))
        if file in pages:
            way = posixpath.relpath(pages[file], posixpath.dirname(page) or ".")
            return f"[{match['label']}]({way}{'#' + anchor if anchor else ''})"
        return match["label"] if (ROOT / file).exists() else match[0]

    return outside_fences(text, lambda part: _LINK.sub(lead, part))


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """A text changed everywhere but in its blocks of code."""
    parts, at, inside = [], 0, False
    for fence in _FENCE.finditer(text):
        parts.append(text[at : fence.start()] if inside else change(text[at : fence.start()]))
        at, inside = fence.start(), not inside
    parts.append(text[at:] if inside else change(text[at:]))
    return "".join(parts)
