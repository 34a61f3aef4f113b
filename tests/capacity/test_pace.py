"""What is measured on a core whose pace changes."""

import os
from pathlib import Path

import pytest

from benchmarks.capacity import pace
from benchmarks.capacity.pace import Pace, Runs, watched


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of twenty times, two of them longer, at the seconds 1 to 20."""
    made = tmp_path / "laps"
    made.write_text("".join(f"{at} {150 if at in (11, 12) else 100}\n" for at in range(1, 21)) + "21 1", "utf-8")
    return made


def test_the_pace_of_a_time_is_the_mean_of_what_was_seen_in_it(file: Path) -> None:
    seen = Pace(file)
    assert (seen.usual_us, seen.slow(1, 10), seen.slow(10, 13), seen.slow(30, 40)) == (100, 1.0, 1.25, 1.0)
    with file.open("a") as more:
        more.write("20\n22 100\n")  # the rest of a line, and one more
    assert seen.slow(21, 22) == pytest.approx(1.1)
    assert Pace(file, usual_us=50).slow(1, 10) == 2.0


def test_a_run_is_repeated_until_it_is_left_alone_and_costs_are_divided_where_it_never_is(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, given = iter([1.3, 1.02, 1.4, 1.2, 1.3, 1.0]), iter(range(1, 7))
    seen = Pace(file)
    monkeypatch.setattr(Pace, "slow", lambda *_: next(told))
    monkeypatch.setattr(pace, "_AROUND_S", 0.0)
    found = Runs(3, seen)(lambda: 60.0 * next(given))
    assert found == [pytest.approx(120 / 1.02), pytest.approx(240 / 1.2), 360.0]
    assert (seen.told()["again"], pace.TRIES) == (3, 3)


def test_a_core_is_watched_for_as_long_as_something_is_measured_on_it() -> None:
    core = min(os.sched_getaffinity(0))
    with watched(core) as seen:
        one = seen.one(lambda: sum(range(1_000_000)))
        assert one.value == 499_999_500_000
        assert one.slow > 0.9
        assert 20 < seen.usual_us < 20_000
