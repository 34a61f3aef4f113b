"""Measures peers and genguard side by side, subject by subject.

    python -m benchmarks.peers [--folder build/peers] [--runs 5] [--only SUBJECT]...
        [--player NAME]... [--raw FILE] [--page docs/benchmarks.md] [--render]

Makes an environment for each peer from the package index (minutes, gigabytes, once), starts all players of a subject, and then
asks one after the other, round by round, so that whatever else the machine does falls on all alike. Computing time is that of
the player's process. Where players are to find the same, their answers are compared before anything is measured; a subject
whose players disagree is not told, and the exit status is 1. Raw figures and the page keep what is not measured anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.measuring import measured
from benchmarks.peers.roster import SUBJECTS
from benchmarks.peers.subject import DisagreementError, Subject
from benchmarks.peers.table import put, rendered

_LINES = 3
"""Levels of the raw figures that have lines of their own: subjects, what is told of each, players."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/peers"), help="environments of the peers, and material")
    parser.add_argument("--runs", type=int, default=5, help="of each player and case, at most")
    parser.add_argument("--only", action="append", default=[], choices=[one.name for one in SUBJECTS], help="may be repeated")
    parser.add_argument("--player", action="append", default=[], help="its name; may be repeated; nothing is kept then")
    parser.add_argument("--raw", type=Path, help="a file for the raw figures, as JSON")
    parser.add_argument("--page", type=Path, help="a page with the marks between which the tables are put")
    parser.add_argument("--render", action="store_true", help="measure nothing: put what the raw figures hold into the page")
    asked = parser.parse_args()
    subjects = [one for one in SUBJECTS if not asked.only or one.name in asked.only]
    if asked.render:
        if not asked.raw or not asked.page:
            parser.error("--render needs --raw and --page")
        render(subjects, asked.raw, asked.page)
        return 0
    begun, wrong = time.monotonic(), False
    for number, subject in enumerate(subjects, 1):
        print(
            f"== {subject.name} ({number} of {len(subjects)}, after {time.monotonic() - begun:.0f} s)",
            file=sys.stderr,
            flush=True,
        )
        players = [one for one in subject.players if not asked.player or one.name in asked.player]
        try:
            raw = measured(subject, players, asked.folder.resolve(), asked.runs)
        except DisagreementError as error:
            print(f"{subject.name}: not told, for its players disagree: {error}", file=sys.stderr)
            wrong = True
            continue
        text = rendered(raw, subject)
        print(f"\n{text}\n", flush=True)
        if not asked.player:
            keep(subject, raw, text, asked.raw, asked.page)
    print(f"all of it took {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return int(wrong)


def keep(subject: Subject, raw: dict[str, Any], text: str, file: Path | None, page: Path | None) -> None:
    """Put the figures of one subject among those of the others."""
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        file.write_text(laid_out({**kept, subject.name: raw}), "utf-8")
    if page:
        put(page, subject.name, text)


def render(subjects: Sequence[Subject], file: Path, page: Path) -> None:
    """Put the tables of all subjects that were measured into a page."""
    raw = json.loads(file.read_text("utf-8"))
    for subject in subjects:
        if subject.name in raw:
            put(page, subject.name, rendered(raw[subject.name], subject))


def laid_out(value: Any, depth: int = 0) -> str:
    """JSON with a player a line, and figures of six digits."""
    if isinstance(value, dict) and depth < _LINES:
        inner = ",\n".join(f"{' ' * (depth + 1)}{json.dumps(key)}: {laid_out(one, depth + 1)}" for key, one in value.items())
        return f"{{\n{inner}\n{' ' * depth}}}" + ("\n" if depth == 0 else "")
    return json.dumps(_short(value), ensure_ascii=False)


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_short(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
