"""The tables of docs/packs.md, from the packs themselves: `python -m policies.catalogue` writes them again after a change."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from guard.rules import Policy
from guard.taxonomies import TAXONOMIES
from guard.types import Action
from policies.coverage import coverage
from policies.load import load, packs

FILE = Path(__file__).parents[1] / "docs" / "packs.md"

_SECTION = re.compile(
    r"(<!-- begin (\w+), made by `python -m policies.catalogue` -->\n)(?:(?!<!-- ).)*(<!-- end -->)", re.DOTALL
)


def contents() -> str:
    """Every pack: what for, what it asks, what follows, which marks."""
    rows = [
        (
            f"[`{policy.id}`](../policies/packs/{policy.id}.yaml)",
            policy.description,
            ", ".join(f"`{use}`" for use in dict.fromkeys(spec.use for spec in policy.checks)),
            _actions(policy),
            ", ".join(dict.fromkeys(mark.use.replace("_", " ") for mark in policy.marks)) or "none",
        )
        for policy in map(load, packs())
    ]
    return _table(("pack", "what it is for", "checks", "rules", "marks"), rows)


def coverages() -> str:
    """How many items of each outside taxonomy the rules of each pack act on."""
    counts = [f"{taxonomy.title} ({len(taxonomy.items)})" for taxonomy in TAXONOMIES.values()]
    rows = [
        (f"`{policy.id}`", *(str(len(coverage(policy, taxonomy).covered)) for taxonomy in TAXONOMIES))
        for policy in map(load, packs())
    ]
    return _table(("pack", *counts), rows)


def risks() -> str:
    """The 31 risks of GB/T 45654-2025 under the pack `cn-labelling`."""
    report = coverage(load("cn-labelling"), "gb45654")
    rows = [
        (one.item.code, one.item.title, _codes(one.rules) or f"none: {one.gap}", _codes(one.checks)) for one in report.items
    ]
    return _table(("risk", "what", "rules", "checks"), rows)


def page(text: str) -> str:
    """The page with its tables as they are now. Raises KeyError for a section that nothing here makes."""
    return _SECTION.sub(lambda found: f"{found[1]}{_SECTIONS[found[2]]()}{found[3]}", text)


def _actions(policy: Policy) -> str:
    counts = Counter(rule.action for rule in policy.rules)
    return ", ".join(f"{counts[action]} {action.value}" for action in reversed(Action) if counts[action])


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


_SECTIONS: dict[str, Callable[[], str]] = {"contents": contents, "coverages": coverages, "risks": risks}


def main() -> None:
    """Write the tables into docs/packs.md."""
    FILE.write_text(page(FILE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
