"""Labelled files: what can be read, and what is refused without a word of its content."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest

from evaluation.labels import Labelled, holds_spans, read_classes, read_spans
from evaluation.reader import Row, read
from guard.errors import InputError

SECRET = "the-secret-sentence nobody may see"


def put(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def rows(*labels: object) -> list[Row]:
    return [Row(number, "a text of some length", label) for number, label in enumerate(labels, start=1)]


def table(path: Path, **columns: list[object]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)
    return path


def test_csv_jsonl_and_parquet_give_the_same_rows(tmp_path):
    """Quotation marks, line breaks, a byte order mark and Chinese included."""
    texts = ['He said "no", twice', "two\nlines", "你好，世界"]
    quoted = "".join('"{}"\t{}\n'.format(text.replace('"', '""'), number) for number, text in enumerate(texts))
    files = [
        put(tmp_path / "a.csv", "\ufefftext,label\n" + quoted.replace("\t", ",")),
        put(tmp_path / "a.tsv", "text\tlabel\n" + quoted),
        put(
            tmp_path / "a.jsonl",
            "\n\n".join(json.dumps({"text": text, "label": str(number)}) for number, text in enumerate(texts)),
        ),
        table(tmp_path / "a.parquet", label=["0", "1", "2"], other=[1, 2, 3], text=texts),
    ]
    for file in files:
        assert [(row.number, row.text, row.label) for row in read(file, "text", "label")] == [
            (1, texts[0], "0"),
            (2, texts[1], "1"),
            (3, texts[2], "2"),
        ], file.suffix
        assert len(read(file, "text", "label", 2)) == 2


def test_empty_fields_are_missing_labels_and_kept_texts(tmp_path):
    """An empty text is a text; an empty label, null and NaN are none."""
    file = put(tmp_path / "a.csv", "text,label\n,1\nhello,\n")
    assert [(row.text, row.label) for row in read(file, "text", "label")] == [("", "1"), ("hello", None)]
    file = table(tmp_path / "a.parquet", text=["a", None], label=[float("nan"), 1.0])
    assert [(row.text, row.label) for row in read(file, "text", "label")] == [("a", None), (None, 1.0)]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", "", "empty file"),
        ("a.csv", "text,label\n", "no rows"),
        ("a.csv", f"text,class\n{SECRET},1\n", "no column 'label', expected one of: text, class"),
        ("a.csv", f"{SECRET},1\n{SECRET},0\n", "no column 'text'"),
        ("a.csv", f"text,label\n{SECRET},1,2\n", "line 2: found 3 fields"),
        ("a.csv", f'text,label\n"{SECRET}"x,1\n', "line 2: found no CSV"),
        ("a.csv", f'text,label\n"{SECRET},1\n', "found no CSV"),
        ("a.csv", f"text,text,label\n{SECRET},{SECRET},1\n", "2 columns named 'text'"),
        ("a.csv", b"text,label\n\xff\xfe\x00\x01,1\n", "no UTF-8"),
        ("a.jsonl", "", "no rows"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n\xff", "no UTF-8"),
        ("a.jsonl", '{"text": "' + SECRET + '", label}', "line 1: found no JSON"),
        ("a.jsonl", f'["{SECRET}"]', "found list, expected one object a line"),
        ("a.jsonl", '{"text": "' + SECRET + '"}', "no column 'label'"),
        ("a.jsonl", '{"text": 5, "label": 1}', "row 1: found int in column 'text'"),
        ("a.jsonl", "[" * 100_000, "line 1"),
        ("a.parquet", b"PAR1 but nothing else", "no Parquet"),
        ("a.parquet", b"", "no Parquet"),
        ("a.xlsx", b"PK", "known ending"),
    ],
)
def test_a_bad_file_is_refused_without_quoting_it(tmp_path, name, data, says):
    """The message names the place and what was expected."""
    with pytest.raises(InputError) as refused:
        read(put(tmp_path / name, data), "text", "label")
    assert says in str(refused.value)
    assert "secret" not in refused.value.diagnostics()


def test_a_missing_file_and_one_column_for_both_are_refused(tmp_path):
    """As mistakes of the caller."""
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "none.csv", "text", "label")
    with pytest.raises(InputError, match="two different"):
        read(tmp_path / "none.csv", "text", "text")


def test_parquet_without_its_library_names_the_extra(tmp_path, monkeypatch):
    """CSV and JSONL need none."""
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    file = put(tmp_path / "a.parquet", b"PAR1")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError) as refused:
        read(file, "text", "label")
    assert "genguard[eval]" in refused.value.diagnostics()
    assert len(read(put(tmp_path / "a.csv", "text,label\nhello,1\n"), "text", "label")) == 1


def test_classes_that_speak_for_themselves_need_no_help():
    """1, true, 1.0 and "toxic" are positive; a row without a label stays one."""
    assert read_classes(rows(1, 0, None)) == [True, False, None]
    assert read_classes(rows("1.0", "0")) == [True, False]
    assert read_classes(rows(True, False)) == [True, False]
    assert read_classes(rows(" Toxic", "non-toxic")) == [True, False]
    assert read_classes(rows("0", "0")) == [False, False]


def test_ambiguous_classes_are_listed():
    """With how often each occurs; `--positive` settles it."""
    unclear = rows("hate", "offensive", "neither", "neither")
    with pytest.raises(InputError, match=r"'neither' \(2\), 'hate' \(1\), 'offensive' \(1\)"):
        read_classes(unclear)
    assert read_classes(unclear, ("Hate", "offensive")) == [True, True, False, False]
    with pytest.raises(InputError, match="no row with the label 'toxic'"):
        read_classes(unclear, ("toxic",))
    with pytest.raises(InputError, match="cannot tell"):
        read_classes(rows(2, 0))
    with pytest.raises(InputError, match="no label in any row"):
        read_classes(rows(None, None))


def test_values_that_look_like_content_are_not_listed():
    """Someone may have named the wrong column."""
    for wrong in (rows(SECRET + " and so on and on", "0"), rows(*(f"secret {number}" for number in range(50)))):
        with pytest.raises(InputError) as refused:
            read_classes(wrong)
        assert "secret" not in refused.value.diagnostics()


def test_spans_come_as_json_or_as_lists_under_either_names():
    """`[]` says that there is nothing to find."""
    as_text = '[{"entity_type": "PERSON", "start_position": 0, "end_position": 4, "entity_value": "x"}]'
    given = rows(as_text, [{"label": "GPE", "start": 2, "end": 5}], "[]", None)
    assert holds_spans(given)
    assert read_spans(given) == [(Labelled("PERSON", 0, 4),), (Labelled("GPE", 2, 5),), (), None]
    assert read_spans(given, {"GPE": "LOCATION", "PERSON": ""}) == [(), (Labelled("LOCATION", 2, 5),), (), None]
    assert not holds_spans(rows("1", "0"))


@pytest.mark.parametrize(
    "label",
    [
        "[{",
        "{}",
        '["PERSON"]',
        '[{"label": "PERSON", "start": 0}]',
        '[{"label": 5, "start": 0, "end": 2}]',
        '[{"label": "PERSON", "start": "0", "end": 2}]',
        '[{"label": "PERSON", "start": 0.5, "end": 2}]',
        '[{"label": "PERSON", "start": NaN, "end": 2}]',
        '[{"label": "PERSON", "start": 4, "end": 4}]',
        '[{"label": "PERSON", "start": 0, "end": 999}]',
    ],
)
def test_spans_that_cannot_be_are_refused_with_their_row(label):
    """Row 2, and what was expected."""
    with pytest.raises(InputError, match="row 2: "):
        read_spans(rows("[]", label))
