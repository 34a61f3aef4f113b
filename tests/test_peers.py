"""Measuring beside peers: players that need no environment of their own, what players find, and the tables of the page."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import keep, laid_out, render
from benchmarks.peers.measuring import measured
from benchmarks.peers.roster import SUBJECTS
from benchmarks.peers.subject import Cell, DisagreementError, Player, Subject, same, timed
from benchmarks.peers.subjects import callers, chain, pii
from benchmarks.peers.table import marks, put, rendered

ROOT = Path(__file__).parents[1]
OURS = [player for player in chain.PLAYERS if not player.place.requirements]


def _raw(players, **more):
    return {"machine": "m", "date": "d", "runs": 3, "compared": [], "players": players, **more}


def test_players_answer_and_are_told_in_a_table(tmp_path):
    raw = measured(chain.SUBJECT, OURS, tmp_path, 1)
    assert [player.name for player in OURS] == ["genguard", "asyncio"] == list(raw["players"])
    for one in raw["players"].values():
        assert {case: len(runs) for case, runs in one["runs"].items()} == dict.fromkeys(chain.CHECKS, 1)
        assert all(run[0]["cpu_us"] > 0 and run[0]["wall_us"] > 0 for run in one["runs"].values())
        assert one["start"]["resident_mib"] > 5
    raw["players"]["asyncio"] |= {"runs": {}, "errors": dict.fromkeys(chain.CHECKS, "a|b")}
    lines = rendered(raw, chain.SUBJECT).splitlines()
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in lines[0]
    assert {line.count("|") for line in lines[2:6]} == {len(chain.SUBJECT.cells) + 2}
    assert [line.split("|")[1].strip() for line in lines[4:6]] == ["genguard", "asyncio"]
    assert "none: a/b" in lines[5]


def test_a_start_is_measured_from_outside(tmp_path):
    cells = (Cell("after", "{wall_s:.2f}", "1"), Cell("held", "{pss_mib:.0f}", "1"))
    subject = Subject("start", ("1",), (OURS[1], Player("none", "missing")), cells, "s", fresh=True)
    raw = measured(subject, subject.players, tmp_path, 2)
    runs = raw["players"]["asyncio"]["runs"]["1"]
    assert len(runs) == 2
    assert all(run["wall_us"] >= run["cpu_us"] / 4 > 0 and run["rss_mib"] >= run["pss_mib"] > 1 for run in runs)
    assert list(raw["left_out"]) == ["none"]
    assert "none was left out:" in rendered(raw, subject)


def test_tables_hold_medians_and_say_what_is_absent():
    players = (Player("one", "x", notes="first"), Player("two", "y"))
    subject = Subject("s", ("a", "b"), players, (timed("a"), timed("b", "b", "ms", 1), Cell("start", "{import_s:.1f}")), "u")
    runs = {"a": [{"cpu_us": us, "wall_us": 2 * us} for us in (3.0, 1.0, 500.0)], "b": [{"cpu_us": 2500.0, "wall_us": 1e4}]}
    start = {"import_s": 0.25, "resident_mib": 1.0}
    raw = _raw({"two": {"start": start, "runs": {"b": runs["b"]}}, "one": {"start": start, "runs": runs}}, left_out={"x": "y"})
    raw["compared"] = ["All alike"]
    assert rendered(raw, subject) == (
        "m; d; medians of 3 runs; u.\n\n|  | a, CPU (wall) | b | start |\n| --- | ---: | ---: | ---: |\n"
        "| one | 3 (6) | 2.5 (10.0) | 0.2 |\n| two | – | 2.5 (10.0) | 0.2 |\n\nAll alike.\nx was left out: y.\n\n- one: first."
    )


def test_players_that_disagree_are_no_comparison():
    found = {"one": {"a": [1], "b": [2]}, "two": {"a": [1]}, "three": {"b": [3]}}
    assert same(found, ["one", "two"], ["a", "b"]) == 1
    with pytest.raises(DisagreementError, match=r"b: three found \[3\], one \[2\]"):
        same(found, ["one", "two", "three"], ["a", "b"])


def test_scores_of_one_classifier_may_differ_by_a_thousandth_and_no_more():
    scores = {"32": [[0.5, 0.1], [0.9, 0.0]]}
    near = {"32": [[0.5004, 0.1], [0.9, 0.0]]}
    names = callers.OURS, callers.THREADS, "Detoxify"
    told = callers.compare(dict(zip(names, (scores, near, {"32": [[0.0, 0.0]] * 2}), strict=True)))
    assert told == ["Scores of genguard, genguard's check on threads differ by 0.0004 at most"]
    with pytest.raises(DisagreementError, match=r"differ by 0\.0020"):
        callers.compare({callers.OURS: scores, callers.THREADS: {"32": [[0.5, 0.1], [0.9, 0.002]]}})


def test_hits_of_presidio_s_own_patterns_are_counted_and_not_compared():
    ours = {case: [[["EMAIL_ADDRESS", 0, 5, 1000]], []] for case in pii.CASES}
    (sentence,) = pii.compare({"genguard": ours, "Presidio": ours, pii.OWN: {"with": [[["URL", 0, 5]], [["URL", 1, 2]]]}})
    assert "the same 1 pieces" in sentence
    assert sentence.endswith(f"{pii.OWN} 2")
    with pytest.raises(DisagreementError, match="numbers: Presidio found"):
        pii.compare({"genguard": ours, "Presidio": {**ours, "numbers": [[], []]}})


def test_texts_of_the_callers_fit_one_window():
    longest = max(callers.texts(), key=len)
    assert len(longest.split()) < 80
    assert callers.texts() == callers.texts()


def test_a_page_keeps_what_stands_around_a_table(tmp_path):
    page, (first, last) = tmp_path / "page.md", marks("s")
    page.write_text(f"before\n{first}\nold\n{last}\nafter\n", "utf-8")
    put(page, "s", "new")
    assert page.read_text("utf-8") == f"before\n{first}\n\nnew\n\n{last}\nafter\n"
    with pytest.raises(ValueError, match="expected both"):
        put(page, "t", "new")


def test_raw_figures_of_other_subjects_stay(tmp_path):
    file = tmp_path / "raw.json"
    file.write_text(laid_out({"other": _raw({})}), "utf-8")
    keep(chain.SUBJECT, _raw({"genguard": {"runs": {"1": [{"cpu_us": 1.23456789}]}}}), "", file, None)
    found = json.loads(file.read_text("utf-8"))
    assert list(found) == ["other", "chain"]
    assert found["chain"]["players"]["genguard"]["runs"]["1"] == [{"cpu_us": 1.23457}]
    assert sum('"genguard"' in line and "cpu_us" in line for line in file.read_text("utf-8").splitlines()) == 1


def test_every_player_has_a_script_and_every_peer_one_version():
    folder = ROOT / "benchmarks" / "peers" / "players"
    scripts = {
        file.stem
        for file in folder.glob("*.py")
        if "\nplay(prepare)" in file.read_text() or "    play(prepare)" in file.read_text()
    }
    players = [player for subject in SUBJECTS for player in subject.players]
    assert {player.script for player in players} == scripts
    assert all(one.count("==") == 1 for player in players for one in player.place.requirements)
    assert all(cell.case in {"", *subject.cases} for subject in SUBJECTS for cell in subject.cells)
    assert len({subject.name for subject in SUBJECTS}) == len(SUBJECTS)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_the_page_has_the_tables_of_the_raw_figures(subject, tmp_path):
    raw = json.loads((ROOT / "benchmarks" / "peers" / "measured.json").read_text("utf-8"))
    told = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    page = tmp_path / "page.md"
    page.write_text(told, "utf-8")
    assert subject.name in raw
    render([subject], ROOT / "benchmarks" / "peers" / "measured.json", page)
    assert page.read_text("utf-8") == told
