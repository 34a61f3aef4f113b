"""200 entries of every kind: whatever byte of whatever cell is changed, `verify` notices, and names the entry."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
from every_kind import SIZE
from tampering import BEYOND, TABLES, UNNAMED, batches

from audit.events import KINDS
from audit.models import metadata

ALL = 10**9
SINGLE = {("entry", "idx"), ("term", "idx"), ("payload", "idx"), ("fingerprint", "idx")}
"""Flipped one at a time, as are the cells of `UNNAMED` tables: what belongs where is changed by it."""


def columns_of(scene):
    """Cells by table and column."""
    found = defaultdict(list)
    for cell in scene.cells:
        found[cell.table, cell.column].append(cell)
    return found


def test_it_has_every_kind_of_entry_and_of_row(scene):
    """And it is sound, with gaps that are explained."""
    report = scene.check(anchored=True)
    assert (report.exit_code, report.problems, report.size) == (3, (), SIZE)
    assert [(gap.kind, gap.payloads, gap.bodies) for gap in report.gaps] == [("erasure", 8, 0), ("retention_prune", 0, 19)]
    assert report.checked["checkpoints"] == 2
    kinds = {cell.value.decode() for cell in scene.cells if (cell.table, cell.column) == ("entry", "kind")}
    assert kinds >= {*KINDS, "config", "policy_activate", "policy_rollout", "bank_change", "decision", "pruned"}
    assert columns_of(scene).keys() == {(table, column.name) for table in TABLES for column in metadata.tables[table].columns}


def by_the_tree_alone(cell) -> bool:
    """Whether nothing but the root tells of it: what is left of a dropped entry."""
    return cell.pruned and cell.column == "leaf"


def expected(cell) -> set[str]:
    """What a changed cell is told as, at its entry."""
    if cell.table != "entry":
        return {"payload": {"payload", "key"}, "term": {"term"}, "fingerprint": {"fingerprint"}}[cell.table]
    if cell.pruned:
        return {"body"}
    return {"leaf"} if cell.column in {"body", "leaf"} else {"column"}


def test_every_byte_of_every_cell_of_an_entry_is_noticed_by_its_name(scene):
    """A few places of each column; on a server, of every third."""
    flip_everywhere(scene, 2)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_byte_of_every_cell_of_an_entry_is_noticed_by_its_name_all(scene):
    """All 500,000 bytes; on a server 25 places of each column.

    One byte of each entry at a time: what is told of an entry's own cell follows from its row alone (`expected`), so that a
    change elsewhere neither hides it nor stands for it; another test below changes single bytes.
    """
    assert flip_everywhere(scene, ALL) > (20_000 if scene.on_server else 350_000)


def flip_everywhere(scene, places) -> int:
    chance, flipped, places = random.Random(11), 0, scene.few(places)
    for number, ((table, column), cells) in enumerate(columns_of(scene).items()):
        if table in UNNAMED or (table, column) in SINGLE or (scene.on_server and places == 1 and number % 3):
            continue
        todo = list(batches([cell for cell in cells if not by_the_tree_alone(cell)]))
        for place, some in chance.sample(todo, min(places, len(todo))):
            scene.restore()
            scene.flip([(cell, scene.flipped(cell, place, chance)) for cell in some])
            told = defaultdict(set)
            report = scene.check()
            assert len(report.problems) == report.problem_count, "more than are told"
            for problem in report.problems:
                if problem.what != "column" or problem.found.startswith(f"{column} "):
                    told[problem.idx].add(problem.what)
            missed = [cell for cell in some if not told[cell.idx] & expected(cell)]
            assert not missed, (table, column, place, missed[0])
            flipped += len(some)
    return flipped


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("each", [2, pytest.param(ALL, marks=pytest.mark.slow)])
def test_every_byte_of_the_cells_that_hold_it_together_is_noticed(scene, each):
    """Indices, head, keys, which ledger it is, and leaves of dropped entries: one byte at a time. `each`: a column."""
    chance, seen, refused, each = random.Random(12), Counter(), 0, scene.few(each)
    entries = {cell.idx: cell.value for cell in scene.cells if (cell.table, cell.column) == ("entry", "kind")}
    cells = [
        cell
        for cell in scene.cells
        if (cell.table in UNNAMED or (cell.table, cell.column) in SINGLE or by_the_tree_alone(cell))
        and (cell.table, cell.column) not in BEYOND
    ]
    chance.shuffle(cells)
    for cell in cells:
        for place in range(cell.places) if each == ALL else [chance.randrange(cell.places)]:
            seen[cell.table, cell.column] += 1
            if seen[cell.table, cell.column] > each:
                continue
            scene.restore()
            try:
                scene.flip([(cell, scene.flipped(cell, place, chance))])
            except scene.refused:
                refused += 1  # that index is another's, or it is no number of its size
                continue
            report = scene.check()
            assert report.exit_code == 2, (cell, place)
            if cell.table in {"entry", "term", "payload"} and not cell.pruned:
                assert cell.idx in {problem.idx for problem in report.problems}, (cell, place)
            if cell.table == "api_key":
                named = {entries.get(problem.idx) for problem in report.problems if problem.what == "api_key"}
                assert b"api_key" in named, (cell, place)
    assert refused < sum(seen.values()) / (2 if scene.on_server else 10)  # which knows types and sizes of numbers


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("count", [40, pytest.param(3000, marks=pytest.mark.slow)])
def test_single_bytes_of_any_cell_name_their_entry_first(scene, count):
    """Nothing else is changed: the first entry named is the one, but for entries that explain what is missing before."""
    chance = random.Random(13)
    explaining = {cell.idx for cell in scene.cells if cell.value in {b"erasure", b"retention_prune"}}
    cells = [
        cell for cell in scene.cells if cell.table in {"entry", "term", "payload"} and cell.column != "idx" and cell.places
    ]
    for _ in range(scene.few(count)):
        cell = chance.choice(cells)
        if by_the_tree_alone(cell):
            continue
        place = chance.randrange(cell.places)
        scene.restore()
        scene.flip([(cell, scene.flipped(cell, place, chance))])
        problems = scene.check().problems
        found = {problem.idx for problem in problems} if cell.idx in explaining else {problems[0].idx}
        assert cell.idx in found, (cell, place, problems[:3])


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("each", [4, pytest.param(ALL, marks=pytest.mark.slow)])
def test_any_row_that_is_deleted_is_noticed(scene, each):
    """Each alone, its terms and payloads left; fingerprints may go at any time."""
    chance, each = random.Random(14), scene.few(each)
    rows = defaultdict(set)
    for cell in scene.cells:
        rows[cell.table].add((cell.key, cell.idx))
    for table in sorted(rows.keys() - {"fingerprint"}):
        some = sorted(rows[table], key=repr)
        for key, idx in chance.sample(some, min(each, len(some))):
            scene.restore()
            scene.delete(table, key)
            report = scene.check()
            assert report.exit_code == 2, key
            if idx is not None:
                assert idx in {problem.idx for problem in report.problems}, (table, key)
