"""What was measured as tables of Markdown, each put into a page between two marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.subject import Cell, Subject


def marks(subject: str) -> tuple[str, str]:
    """Between which the table of a subject stands."""
    return f"<!-- {subject}: begin -->", f"<!-- {subject}: end -->"


def rendered(raw: Mapping[str, Any], subject: Subject) -> str:
    """The table of a subject: medians, what was found, and the notes.

    `raw`: of `benchmarks.peers.measuring.measured`.
    """
    head = ["", *(cell.heading for cell in subject.cells)]
    played = [player for player in subject.players if player.name in raw["players"]]
    lines = [_row(head), _row(["---", *["---:"] * len(subject.cells)])]
    for player in played:
        one = raw["players"][player.name]
        lines.append(_row([player.called, *(_cell(one, cell) for cell in subject.cells)]))
    told = [f"- {player.name}: {player.notes}." for player in played if player.notes]
    first = f"{raw['machine']}; {raw['date']}; medians of {raw['runs']} runs; {subject.unit}."
    found = [f"{sentence}." for sentence in raw["compared"]]
    left = [f"{name} was left out: {why}." for name, why in raw.get("left_out", {}).items()]
    return "\n\n".join(["\n".join(part) for part in ([first], lines, [*found, *left], told) if part])


def put(page: Path, subject: str, text: str) -> None:
    """Replace what stands between the marks of a subject. Raises ValueError when the page has none."""
    first, last = marks(subject)
    before, begin, rest = page.read_text("utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{page}: found no {first} before an {last}, expected both")
    page.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}", "utf-8")


def medians(player: Mapping[str, Any], case: str) -> dict[str, float]:
    """Of each figure over the runs of a case, with times in other units beside those in microseconds."""
    runs = player["runs"][case]
    found = {name: median(run[name] for run in runs) for name in runs[0]}
    return found | {
        "cpu_ms": found["cpu_us"] / 1e3,
        "wall_ms": found["wall_us"] / 1e3,
        "cpu_s": found["cpu_us"] / 1e6,
        "wall_s": found["wall_us"] / 1e6,
        "rate_s": 1e6 / found["wall_us"],
    }


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(player: Mapping[str, Any], cell: Cell) -> str:
    """A figure, or what the player said instead."""
    if not cell.case:
        return cell.form.format(
            **player["start"] | {"resident_mib": player.get("resident_mib", player["start"]["resident_mib"])}
        )
    if error := player.get("errors", {}).get(cell.case):
        return f"none: {error}".replace("|", "/").replace("\n", " ")
    if cell.case not in player["runs"]:
        return "–"
    return cell.form.format(**medians(player, cell.case))
