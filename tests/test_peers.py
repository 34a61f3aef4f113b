"""Measuring beside peers: the players that need no environment of their own, and the table of what they took."""

import sys
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import CHECKS, measure
from benchmarks.peers.roster import ROSTER
from benchmarks.peers.table import BEGIN, END, put, rendered

OURS = [peer for peer in ROSTER if not peer.requirements]


def test_players_answer_and_are_told_in_a_table(tmp_path: Path) -> None:
    raw = measure(OURS, tmp_path, 1)
    assert [peer.name for peer in OURS] == ["genguard", "asyncio"] == list(raw["peers"])
    for one in raw["peers"].values():
        assert [len(one["runs"][str(count)]) for count in CHECKS] == [1] * len(CHECKS)
        assert all(run[0]["cpu_us"] > 0 and run[0]["wall_us"] > 0 for run in one["runs"].values())
        assert one["start"]["resident_mib"] > 5
    raw["peers"]["asyncio"] |= {"runs": {}, "errors": dict.fromkeys(map(str, CHECKS), "a|b")}
    lines = rendered(raw, ROSTER).splitlines()
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in lines[0]
    assert lines[2].count("|") == len(CHECKS) + 4
    assert [line.split("|")[1].strip() for line in lines[4:6]] == ["genguard", "asyncio"]
    assert "none: a/b" in lines[5]


def test_a_page_keeps_what_stands_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    put(page, "new")
    assert page.read_text("utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("none", "utf-8")
    with pytest.raises(ValueError, match="expected both"):
        put(page, "new")


def test_every_peer_has_a_player_and_one_version() -> None:
    folder = Path(__file__).parents[1] / "benchmarks" / "peers" / "players"
    assert {f"{peer.player}.py" for peer in ROSTER} == {file.name for file in folder.glob("with_*.py")}
    assert all(one.count("==") == 1 for peer in ROSTER for one in peer.requirements)
