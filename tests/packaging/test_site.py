"""The documentation site: it builds without a warning, asks nothing of other hosts, and tells of all that is registered."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from guard import registry
from service import create_app
from serving.settings import Settings
from sitegen import checks, places, routes

ROOT = Path(__file__).parents[2]


def test_it_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """`strict` makes a broken link, a missing anchor or a page outside the navigation a failure."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    loaded = [
        found
        for page in pages
        for found in re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=\"?(https?:[^\" >]+)", page.read_text("utf-8")
        )
    ]
    assert loaded == []
    front = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert re.search(r"href=\"?http.html", front)


def test_every_part_and_route_has_its_section() -> None:
    """With parameters as policies give them."""
    text = checks.page()
    for known in (registry.checks, registry.generators, registry.markers):
        assert [name for name in known.names() if f"\n### `{name}`\n" not in text] == []
    assert "| `how` | `'max' or 'mean' or 'weighted' or 'vote'` |" in text
    document = create_app(Settings.read(host="127.0.0.1")).openapi()
    text = routes.page(document)
    asked = [(path, method) for path, operations in document["paths"].items() for method in operations]
    assert [one for one in asked if f"\n## `{one[1].upper()} {one[0]}`\n" not in text] == []


def test_every_page_is_in_the_navigation() -> None:
    """Once."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    named = [page for part in config["nav"] for page in _pages(part)]
    written = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    assert sorted(named) == sorted(set(named))
    assert written - set(named) == set()


def _pages(part: object) -> list[str]:
    if isinstance(part, str):
        return [part]
    inner = part.values() if isinstance(part, dict) else part
    return [page for one in inner for page in _pages(one)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "led"),
    [
        ("[a](b.md)", "[a](b.md)"),
        ("[a](b.md#part)", "[a](b.md#part)"),
        ("[pack](../policies/packs/strict.yaml)", "[pack](packs/strict.md)"),
        ("see [the code](../service.py).", "see the code."),
        ("[gone](../nowhere.py)", "[gone](../nowhere.py)"),
        ("[out](https://example.org/x)", "[out](https://example.org/x)"),
        ("```\n[pack](../policies/packs/strict.yaml)\n```\n", "```\n[pack](../policies/packs/strict.yaml)\n```\n"),
    ],
)
def test_links_lead_to_pages(text: str, led: str) -> None:
    """Between pages, to files that became pages, and no further."""
    pages = {"docs/a.md": "a.md", "docs/b.md": "b.md", **places.outside()}
    assert places.linked(text, "docs/a.md", "a.md", pages) == led
