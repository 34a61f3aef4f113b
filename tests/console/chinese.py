"""What is English on a page of another language, and nobody's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from playwright.sync_api import Page

from policies.load import PACKS

LEFT = r"""() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const place = walk.currentNode.parentElement;
    const own = place.closest("script, style, noscript, textarea, pre, .mirror, table.lines, [lang=en]");
    if (!own) found.push(walk.currentNode.textContent);
  }
  for (const name of ["title", "aria-label", "placeholder", "alt"]) {
    for (const one of document.querySelectorAll(`[${name}]`)) found.push(one.getAttribute(name));
  }
  return found.map((one) => one.replace(/\s+/g, " ").trim());
}"""
"""Texts of a page and of its elements' names; but for policies as they are written, and what says that it is English."""
SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}")


def _written(value: Any) -> Iterator[str]:
    """All texts of a policy."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _written(one)
    elif isinstance(value, list):
        for one in value:
            yield from _written(one)
    elif isinstance(value, str):
        yield value


OWN = sorted(
    {
        *_written(yaml.safe_load((PACKS / "enterprise.yaml").read_text("utf-8"))),
        *("Kestrel Quay Lines", "drawn for this project, title and owner are invented"),  # of a bank's work
        "genguard audit verify",  # a command
    },
    key=len,
    reverse=True,
)
"""What somebody wrote, the longest first."""


def english(page: Page, *own: str) -> list[str]:
    """Sentences of a page, with everything unfolded, that are English and nobody's own. `own`: more that somebody wrote."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = []
    for text in dict.fromkeys(page.evaluate(LEFT)):
        rest = text
        for one in (*own, *OWN):
            rest = rest.replace(one, "")
        if SENTENCE.search(rest):
            found.append(text)
    return found
