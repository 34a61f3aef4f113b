"""guard.ids: UUID version 7."""

from __future__ import annotations

import threading
import time
from uuid import RFC_4122, UUID

import pytest

from guard.ids import uuid7


def test_ids_are_version_7_of_the_standard_variant() -> None:
    """As RFC 9562 lays them out."""
    made = uuid7()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert abs((made.int >> 80) - time.time_ns() // 1_000_000) < 10_000


def test_ids_are_unique_and_sorted_as_they_are_made() -> None:
    """Many more than fit into one millisecond's counter."""
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert [str(one) for one in made] == sorted(str(one) for one in made)


def test_ids_of_several_threads_are_unique() -> None:
    """Each thread's own are sorted as well."""
    made: dict[int, list[UUID]] = {}

    def work(number: int) -> None:
        made[number] = [uuid7() for _ in range(2_000)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one == sorted(one) for one in made.values())
    assert len({one for several in made.values() for one in several}) == 8_000


def test_a_clock_that_is_set_back_does_not_set_ids_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last millisecond is used on, and when its counter is full, the next one is borrowed."""
    before = uuid7()
    monkeypatch.setattr("guard.ids.time.time_ns", lambda: 1_000_000_000)
    made = [before, *(uuid7() for _ in range(5_000))]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
