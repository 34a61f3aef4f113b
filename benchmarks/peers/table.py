"""What was measured as a table of Markdown, put into a page between two marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.roster import Peer

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def rendered(raw: Mapping[str, Any], roster: Sequence[Peer]) -> str:
    """The table of a run: medians of computing and wall time a call, start-up and memory, and the notes."""
    counts = raw["checks"]
    head = ["checks:", *(f"{count}, CPU (wall)" for count in counts), "import, CPU s", "resident, MiB"]
    lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    played = [peer for peer in roster if peer.name in raw["peers"]]
    for peer in played:
        one = raw["peers"][peer.name]
        cells = [_cell(one, str(count)) for count in counts]
        lines.append(_row([_called(peer), *cells, f"{one['start']['import_s']:.1f}", f"{one['resident_mib']:.0f}"]))
    told = [f"- {peer.name}: {peer.notes}." for peer in played]
    return "\n".join(
        [f"{raw['machine']}; {raw['date']}; medians of {raw['runs']} runs; microseconds a call.", "", *lines, "", *told]
    )


def put(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page. Raises ValueError when it has none."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: found no {BEGIN} before an {END}, expected both")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _called(peer: Peer) -> str:
    version = peer.requirements[0].partition("==")[2] if peer.requirements else ""
    return f"{peer.name} {version}".rstrip()


def _cell(one: Mapping[str, Any], count: str) -> str:
    """Computing and wall time, or what the peer said instead."""
    if count not in one["runs"]:
        return f"none: {one['errors'][count]}".replace("|", "/")
    computed, wall = (median(run[unit] for run in one["runs"][count]) for unit in ("cpu_us", "wall_us"))
    return f"{computed:,.0f} ({wall:,.0f})"
