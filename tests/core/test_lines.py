"""guard.lines: turns between tenants, like with like, and room for everybody."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.lines import Full, Lines

_numbers = count()


@dataclass(eq=False)
class Entry:
    """A ticket of a tenant."""

    tenant: str
    kind: int = 0
    number: int = field(default_factory=lambda: next(_numbers))


def waiting(*entries: Entry) -> Lines[Entry]:
    lines: Lines[Entry] = Lines()
    for entry in entries:
        lines.add([entry], 1000)
    return lines


def served(lines: Lines[Entry]) -> list[Entry]:
    found = []
    while (entry := lines.first()) is not None:
        found.append(entry)
    return found


def test_every_second_batch_is_of_the_tenant_whose_turn_it_is() -> None:
    """Whoever sends most has the other half, as long as theirs is the oldest."""
    lines = waiting(*(Entry("many") for _ in range(6)), Entry("one"), Entry("two"), Entry("two"))
    tenants = [entry.tenant for entry in served(lines)]
    assert tenants == ["many", "many", "one", "many", "two", "many", "two", "many", "many"]


def test_a_rare_kind_is_begun_when_it_is_the_oldest() -> None:
    """However often its tenant, and all others, are served with what is common."""
    lines = waiting(*(Entry(name) for name in "ab"), Entry("a", 7), *(Entry(name) for name in "abababab"))
    lines.first()  # the turn of a
    assert [lines.like(0) is not None for _ in range(6)] == [True] * 6
    second = lines.first()
    assert second is not None
    assert second.kind == 7


def test_a_tenants_own_entries_keep_their_order() -> None:
    """Also across kinds."""
    entries = [Entry("a", kind) for kind in (1, 0, 1, 2, 0)]
    assert served(waiting(*entries)) == entries


def test_like_entries_are_taken_from_all_lines_in_turns() -> None:
    """Those without one keep their turn."""
    lines = waiting(Entry("a", 1), Entry("a", 1), Entry("b", 2), Entry("c", 1), Entry("c", 1))
    first = lines.first()
    assert first is not None
    taken = [first]
    while (entry := lines.like(1)) is not None:
        taken.append(entry)
    assert [entry.tenant for entry in taken] == ["a", "c", "a", "c"]
    assert [entry.tenant for entry in served(lines)] == ["b"]


def test_a_full_queue_takes_nothing_from_its_own_tenant() -> None:
    """All or none: a caller of three finds no room where two fit."""
    lines = waiting(*(Entry("a") for _ in range(8)))
    with pytest.raises(Full):
        lines.add([Entry("a") for _ in range(3)], 10)
    assert len(lines) == 8
    assert lines.add([Entry("a") for _ in range(2)], 10) == []


def test_the_longest_line_gives_way_to_others_newest_first() -> None:
    """Until the newcomer's line would be the longest."""
    mine = [Entry("many") for _ in range(6)]
    lines = waiting(*mine, *(Entry("some") for _ in range(4)))
    assert lines.add([Entry("few")], 10) == [mine[5]]
    assert lines.add([Entry("few")], 10) == [mine[4]]
    assert lines.add([Entry("few")], 10) == [mine[3]]
    with pytest.raises(Full):
        lines.add([Entry("few"), Entry("few")], 10)
    assert Counter(entry.tenant for entry in lines) == {"many": 3, "some": 4, "few": 3}


def test_more_than_there_is_room_for_is_taken_while_nobody_waits() -> None:
    """Otherwise a long batch would never be served."""
    lines: Lines[Entry] = Lines()
    assert lines.add([Entry("a") for _ in range(20)], 10) == []
    assert len(lines) == 20


def test_what_was_taken_out_is_not_served() -> None:
    """A caller who is gone leaves no hole."""
    entries = [Entry("a", number % 2) for number in range(6)]
    lines = waiting(*entries)
    lines.remove(entries[0])
    lines.discard([entries[0], entries[3], Entry("b")])
    with pytest.raises(ValueError, match="does not wait"):
        lines.remove(entries[3])
    assert served(lines) == [entries[1], entries[2], entries[4], entries[5]]
    assert len(lines) == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("first"), st.just(""), st.just(0), st.just(0)),
        st.tuples(st.just("like"), st.just(""), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("remove"), st.just(""), st.just(0), st.integers(0, 9)),
    ),
    max_size=60,
)


@given(steps)
def test_nothing_is_lost_doubled_or_mixed_up(todo: list[tuple[str, str, int, int]]) -> None:
    """Whatever is done, each entry leaves once: served, taken out or given way; and the bound holds."""
    lines: Lines[Entry] = Lines()
    inside: list[Entry] = []
    for what, tenant, kind, number in todo:
        if what == "add":
            new = [Entry(tenant, kind) for _ in range(number)]
            try:
                given_way = lines.add(new, 8)
            except Full:
                own = sum(entry.tenant == tenant for entry in inside)
                others = Counter(entry.tenant for entry in inside if entry.tenant != tenant)
                assert max(others.values(), default=0) <= own + number + 3
            else:
                assert all(entry in inside and entry.tenant != tenant for entry in given_way)
                inside = [entry for entry in inside if entry not in given_way] + new
        elif what == "remove":
            if number < len(inside):
                lines.remove(inside.pop(number))
        else:
            taken = lines.first() if what == "first" else lines.like(kind)
            assert (taken is None) == (not [one for one in inside if what == "first" or one.kind == kind])
            if taken is not None:
                assert what == "first" or taken.kind == kind
                older = [one for one in inside if one.tenant == taken.tenant and one.number < taken.number]
                assert not [one for one in older if what == "first" or one.kind == kind]
                inside.remove(taken)
        assert len(lines) == len(inside) <= 8
        assert sorted(entry.number for entry in lines) == sorted(entry.number for entry in inside)
