"""Asks the players of a subject in turns, round by round."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import home_of, python_of
from benchmarks.peers.places import TOLD
from benchmarks.peers.station import Station
from benchmarks.peers.subject import Player, Subject

_MOST_CALLS = 3000
_QUICK_US = 100_000
"""A call below this is timed three times over before it is said how long one takes."""


def measured(subject: Subject, players: Sequence[Player], folder: Path, runs: int) -> dict[str, Any]:
    """Raw figures of all runs. Players that cannot be installed or started are named, and left out.

    Raises DisagreementError when those that were to find the same did not.
    """
    runs = min(runs, subject.runs) if subject.runs else runs
    material = folder / "material" / (subject.shelf or subject.name)
    material.mkdir(parents=True, exist_ok=True)
    subject.make(material)
    contest = _Contest(subject, home_of(folder), material, runs)
    contest.install(players, folder)
    if subject.fresh:
        contest.from_starts()
    else:
        contest.in_turns()
    return {
        "machine": machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "runs": runs,
        "compared": list(subject.compare(contest.told)),
        "players": contest.found,
        "left_out": contest.left_out,
    }


def machine() -> str:
    """The processor, its cores and the Python, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


@dataclass
class _Contest:
    """One subject while it is measured."""

    subject: Subject
    home: Path
    material: Path
    runs: int
    ready: dict[str, tuple[Player, Path]] = field(default_factory=dict)
    """Players and their interpreters."""
    found: dict[str, Any] = field(default_factory=dict)
    """Figures by player."""
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each player found, by case."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Players that could not be had, and why."""

    def install(self, players: Sequence[Player], folder: Path) -> None:
        """Make the environments that are not there yet."""
        for player in players:
            try:
                self.ready[player.name] = player, python_of(player.place, folder)
            except subprocess.CalledProcessError as error:
                self._leave_out(player, f"its packages could not be installed ({error})")

    def in_turns(self) -> None:
        """All players wait beside one another, and are asked one after the other."""
        with self._started(list(self.ready)) as stations:
            for one in stations:
                self.found[one.player.name] = {"start": one.start, "runs": {}, "versions": one.versions(TOLD)}
            for case in self.subject.cases:
                calls = self._calls(case, stations)
                playing = [one for one in stations if one.player.name in calls]
                for one in playing:
                    if "found" in (answer := one.found(case)):
                        self.told.setdefault(one.player.name, {})[case] = answer["found"]
                self._rounds(case, playing, calls)

    def _rounds(self, case: str, stations: Sequence[Station], calls: Mapping[str, int]) -> None:
        for number in range(self.runs):
            begun = time.perf_counter()
            for one in stations:
                answer = one.measure(case, calls[one.player.name])
                player = self.found[one.player.name]
                player["runs"].setdefault(case, []).append(answer)
                player["resident_mib"] = answer["resident_mib"]
            _say(f"{self.subject.name}, {case}: run {number + 1} of {self.runs}, {time.perf_counter() - begun:.1f} s")

    def from_starts(self) -> None:
        """Each run is a process of its own. One more comes first, which fills the system's cache of files."""
        for number in range(self.runs + 1):
            begun = time.perf_counter()
            for name in list(self.ready):
                with self._started([name]) as stations:
                    for one in stations:
                        self._first(one, keep=number > 0)
            _say(f"{self.subject.name}: run {number} of {self.runs}, {time.perf_counter() - begun:.1f} s")

    def _first(self, station: Station, *, keep: bool) -> None:
        """A first call, with what it took since the process was started."""
        (case,) = self.subject.cases
        player = self.found.setdefault(station.player.name, {"start": station.start, "runs": {}})
        answer = station.measure(case, 1)
        if "error" in answer:
            player.setdefault("errors", {})[case] = answer["error"]
        elif keep:
            taken = {"wall_us": station.since_start() * 1e6, "cpu_us": answer["spent_s"] * 1e6}
            player["runs"].setdefault(case, []).append(answer | taken | station.held_mib())
            player["versions"] = station.versions(TOLD)

    def _calls(self, case: str, stations: Sequence[Station]) -> dict[str, int]:
        """How many calls each player is asked for at once, from how long its second ones took: the first may load something."""
        calls = {}
        for one in stations:
            answer = one.measure(case, 1)
            if "call_us" in answer:
                answer = one.measure(case, 1)
            if answer.get("call_us", _QUICK_US) < _QUICK_US:
                answer = one.measure(case, 3)
            if "error" in answer:
                self.found[one.player.name].setdefault("errors", {})[case] = answer["error"]
            elif "absent" not in answer:
                calls[one.player.name] = max(1, min(_MOST_CALLS, int(self.subject.enough_us / answer["call_us"])))
        return calls

    @contextmanager
    def _started(self, names: Sequence[str]) -> Iterator[list[Station]]:
        stations: list[Station] = []
        try:
            for player, python in (self.ready[name] for name in names):
                try:
                    stations.append(Station(player, python, self.home, self.material))
                except RuntimeError as error:
                    self._leave_out(player, str(error))
                    del self.ready[player.name]
            yield stations
        finally:
            for one in stations:
                one.close()

    def _leave_out(self, player: Player, why: str) -> None:
        _say(f"{self.subject.name}: {player.name} is left out: {why}")
        self.left_out[player.name] = why.strip().splitlines()[-1]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
