"""What Ray Data is given and gives back: pieces of IN, and results that are those of one process. No cluster is needed here."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.ledger import open_ledger
from bulk.results import Results
from bulk.run import Asked, run
from bulk.sources import open_source
from bulk.spread import Measured, Measurer, Piece, Spread, pieces
from guard.errors import InputError, ModelError
from guard.pipeline import Guard
from guard.sync import run_sync
from guard.types import Origin, Request
from policies import loads
from tests.fakes import png

TOKEN = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
POLICY = """policy: quick
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  works: {use: image_match, bank: protected-works, deadline_ms: 60000}
rules:
  - {id: token, when: {secrets: any}, action: redact, category: privacy, with: {operator: replace}}
  - {id: work, when: {works: matched}, action: block, category: intellectual_property}
"""


def sentences(count: int) -> list[str | None]:
    """Every seventh with a secret, every eleventh rude, one that is no text."""

    def one(at: int) -> str:
        said = TOKEN if at % 7 == 0 else "a stupid idiot, and I hate you" if at % 11 == 0 else "fine"
        return f"Number {at} is {said}."

    return [None if at == 3 else one(at) for at in range(count)]


def parts(folder: Path, count: int, *, group: int = 25) -> Path:
    """A table in three files, of which one is empty, and what writers leave behind."""
    texts, half = sentences(count), count // 2
    for name, some in (("day=1/a", texts[:half]), ("day=1/b", []), ("day=2/a", texts[half:])):
        file = folder / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        names = [f"n{at}" for at in range(len(some))]
        table = pa.table({"text": pa.array(some, pa.string()), "name": pa.array(names, pa.string())})
        pq.write_table(table, file, row_group_size=group)
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "half.parquet").write_bytes(b"PAR1")
    return folder


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for at in range(count):
        (folder / f"{at:03}.png").write_bytes(b"no image" if at == 1 else png(32, 32, (at % 256, 9, 200)))
    return folder


def in_turns(task, rows):
    """Measure here, as a pool of one would."""
    return chain.from_iterable(map(Measurer(task), rows))


def judged(tmp_path: Path, source, name: str, *, measure=None, start: Results | None = None, text: str = POLICY):
    """All results of a run, measured by the guard itself or as `measure` says."""
    policy = loads(text)
    kept = Measured(policy) if measure else None
    ledger = open_ledger(f"sqlite:///{tmp_path / name}.db")
    guard = Guard(policy, ledger, chains={policy.id: kept} if kept else None)
    asked = Asked("r", Request("bulk"), origin=Origin("caller"), batch=8)
    out = tmp_path / (name if source.modality.value == "image" else f"{name}.jsonl")
    try:
        with start or Results(out, {"modality": source.modality.value}) as results:
            contents = source
            if kept:
                contents = Spread(source, asked, guard.limits, {policy.id: kept}, around={}, measure=measure)
            run_sync(run(guard, contents, results, asked, f"sqlite:///{tmp_path / name}.db", lambda _: None))
            written = results.finish()
    finally:
        ledger.close()
    return [
        {key: value for key, value in json.loads(line).items() if key not in {"decision", "receipt"}}
        for line in written.read_text("utf-8").splitlines()
    ]


def test_pieces_cover_each_row_once(tmp_path):
    """Whatever the row groups; and the rest of them after a run that was cut off."""
    source = open_source(parts(tmp_path / "in", 2500, group=1100))
    found = pieces(source)
    assert [one.start for one in found] == [0, 1024, 1100, 1250, 2274, 2350]
    assert sum(one.count for one in found) == source.count == 2500
    assert found[1].skip == 1024
    (first, *rest) = pieces(source, 1030)
    assert first == Piece(1030, 70, found[1].files, 0, 1030)
    assert rest == found[2:]
    assert pieces(source, 2500) == []


def test_pieces_of_images(tmp_path):
    """By their paths, with what each is known by."""
    source = open_source(pictures(tmp_path / "in", 70))
    first, second = pieces(source)
    assert (first.start, first.count, second.start, second.count) == (0, 64, 64, 6)
    assert pieces(source, 66)[0].files[0][1] == "066.png"


def test_other_tables_are_not_cut(tmp_path):
    """They are read from their beginning only."""
    (tmp_path / "in.jsonl").write_text('{"text": "Good morning."}\n', "utf-8")
    with pytest.raises(InputError, match="expected Parquet"):
        pieces(open_source(tmp_path / "in.jsonl"))


def test_results_are_those_of_one_process(tmp_path):
    """Of texts in parts, one of them no text."""
    source = open_source(parts(tmp_path / "in", 90), key="name")
    alone = judged(tmp_path, source, "alone")
    assert alone == judged(tmp_path, source, "spread", measure=in_turns)
    assert [one["row"] for one in alone] == list(range(90))
    assert alone[3]["action"] == "refused"
    assert alone[7]["text"] == "Number 7 is [GITHUB_TOKEN]."


def test_images_are_judged_alike(tmp_path):
    """One file is none."""
    source = open_source(pictures(tmp_path / "in", 5))
    alone = judged(tmp_path, source, "alone")
    assert alone == judged(tmp_path, source, "spread", measure=in_turns)
    assert [one["action"] for one in alone] == ["allow", "refused", "allow", "allow", "allow"]


def test_a_run_that_was_cut_off_goes_on_with_what_is_missing(tmp_path):
    """What has a result is not measured again."""
    source = open_source(parts(tmp_path / "in", 60))
    seen: list[int] = []

    def breaks(task, rows):
        for row in in_turns(task, rows):
            if row["number"] == 40:
                raise ModelError("the cluster gave up")
            yield row

    def told(task, rows):
        seen.extend(row["start"] for row in rows)
        return in_turns(task, rows)

    with pytest.raises(ModelError):
        judged(tmp_path, source, "out", measure=breaks)
    found = judged(tmp_path, source, "out", measure=told)
    assert [one["row"] for one in found] == list(range(60))
    assert seen[0] > 0


def test_a_content_without_results_is_not_clean(tmp_path):
    """Its checks have failed, and the policy blocks."""
    source = open_source(parts(tmp_path / "in", 20))

    def forgetful(task, rows):
        for row in in_turns(task, rows):
            yield {**row, "results": ""} if row["number"] == 5 else row

    found = judged(tmp_path, source, "out", measure=forgetful)
    assert [one["row"] for one in found if one["action"] == "block"] == [5]


def test_rows_in_another_order_are_noticed(tmp_path):
    """Results would be another content's."""
    source = open_source(parts(tmp_path / "in", 20))
    with pytest.raises(ModelError, match="expected 0"):
        judged(tmp_path, source, "out", measure=lambda task, rows: reversed(list(in_turns(task, rows))))


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path):
    """Fewer rows than were counted."""
    source = open_source(parts(tmp_path / "in", 60))
    rows = pieces(source)
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "in" / "day=1" / "a.parquet")
    with pytest.raises(InputError, match="was changed"):
        judged(tmp_path, source, "out", measure=lambda task, _: in_turns(task, [
            {**{name: getattr(one, name) for name in Piece.__slots__}, "files": json.dumps(one.files)} for one in rows
        ]))  # fmt: skip
