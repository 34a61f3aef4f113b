"""`genguard eval` as a script would use it: output, exit codes, JSON, plots."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli

KEYS = {
    "roc_auc", "average_precision", "precision", "recall", "f2", "fp_per_1000", "ece", "texts_per_s", "latency_ms", "n",
    "positives", "threshold", "errors",
}  # fmt: skip
FILE = """text,label
You are a stupid idiot and nobody likes you.,1
I will find you and I will kill you.,1
"Shut up, you pathetic moron, nobody wants you here.",1
"Thank you for your patience, your parcel is on its way.",0
This film killed at the box office.,0
The invoice is overdue; please pay it by Friday.,0
"""
POLICY = """policy: desk
version: 3
status: live
checks:
  abuse: {use: toxicity}
rules:
  - {id: insult, when: {abuse.insult: 0.7}, action: block, category: harassment}
"""


@pytest.fixture
def genguard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command in a folder with a labelled file and a policy; gives its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.csv").write_text(FILE, "utf-8")
    (tmp_path / "desk.yaml").write_text(POLICY, "utf-8")

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        assert "idiot" not in written.out + written.err
        return SimpleNamespace(code=stopped.value.code, out=written.out, err=written.err)

    return run


def test_the_bundled_toxicity_model_tells_abuse_from_service(genguard, tmp_path):
    """In JSON, with a threshold for a wanted rate and both plots."""
    done = genguard(
        "eval", "toxicity", "posts.csv", "--text", "text", "--label", "label", "--json",
        "--choose-threshold", "0.01", "--plot", "plot.png",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    summary = json.loads(done.out)
    assert set(summary) >= KEYS
    assert (summary["n"], summary["positives"], summary["errors"], summary["threshold"]) == (6, 3, 0, 0.5)
    assert (summary["roc_auc"], summary["average_precision"], summary["f2"]) == (1, 1, 1)
    assert summary["fp_per_1000"] == 0
    assert 0 < summary["chosen"]["threshold"] < 0.6
    from PIL import Image

    with Image.open(tmp_path / "plot.png") as picture:
        picture.load()
        assert (picture.format, picture.width > picture.height > 400) == ("PNG", True)


def test_a_policys_check_is_measured_at_its_threshold(genguard):
    """For a person, as a table."""
    done = genguard("eval", "abuse", "posts.csv", "--text", "text", "--label", "label", "--policy", "desk.yaml", "--limit", "5")
    assert done.code == 0
    assert "insult 0.700 (policy desk version 3)" in done.out
    assert "5 of 5, 3 positive" in done.out
    assert "ROC AUC" in done.out


def test_spans_are_shown_by_type(genguard, tmp_path):
    """A table of types, and the types that the check does not know."""
    text = "Write to maria@example.com about room seven."
    spans = [{"label": "EMAIL_ADDRESS", "start": 9, "end": 26}, {"label": "ROOM", "start": 33, "end": 43}]
    (tmp_path / "mail.jsonl").write_text(json.dumps({"body": text, "spans": spans}) + "\n", "utf-8")
    done = genguard("eval", "pii", "mail.jsonl", "--text", "body", "--label", "spans", "--set", "entities=EMAIL_ADDRESS")
    assert done.code == 0
    assert "EMAIL_ADDRESS" in done.out
    assert "Types that the check does not have: ROOM" in done.out
    assert "maria" not in done.out
    mapped = genguard("eval", "pii", "mail.jsonl", "--text", "body", "--label", "spans", "--map", "ROOM=", "--json")
    assert json.loads(mapped.out)["spans"]["overlap"]["f2"] == 1


def test_rows_that_were_not_measured_are_told_on_standard_error(genguard, tmp_path):
    """Standard output stays JSON; when no row could be measured the failure is ours."""
    with (tmp_path / "posts.csv").open("a", encoding="utf-8") as stream:
        stream.write("a row without a label,\n")
    done = genguard("eval", "toxicity", "posts.csv", "--text", "text", "--label", "label", "--json")
    assert (done.code, json.loads(done.out)["errors"]) == (0, 1)
    assert "1 of 7 rows were not measured" in done.err
    assert "1 no label" in done.err
    (tmp_path / "null.jsonl").write_text('{"text": null, "label": 1}\n', "utf-8")
    done = genguard("eval", "toxicity", "null.jsonl", "--text", "text", "--label", "label")
    assert done.code == 70


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("posts.csv", "--label", "class"), "no column 'class', expected one of: text, label"),
        (("none.csv", "--label", "label"), "cannot read none.csv"),
        (("posts.csv", "--label", "text"), "one column named for both"),
        (("posts.csv", "--label", "label", "--positive", "2"), "no row with the label '2'"),
        (("posts.csv", "--label", "label", "--finding", "rude"), "no label 'rude'"),
        (("posts.csv", "--label", "label", "--threshold", "0"), "more than 0"),
        (("posts.csv", "--label", "label", "--choose-threshold", "5"), "expected 0 to 1"),
        (("posts.csv", "--label", "label", "--set", "model"), "expected NAME=VALUE"),
        (("posts.csv", "--label", "label", "--set", "colour=red"), "no parameter 'colour'"),
        (("posts.csv", "--label", "label", "--set", "report_from=2000"), "report_from is 2000"),
        (("posts.csv", "--label", "label", "--plot", "plot.pdf"), "expected .png"),
        (("posts.csv", "--label", "label", "--plot", "no/where.png"), "no folder"),
        (("posts.csv", "--label", "label", "--policy", "desk.yaml"), "no check 'toxicity', expected one of: abuse"),
        (("posts.csv", "--label", "label", "--limit", "0"), "--limit"),
        (("posts.csv",), "--label"),
    ],
)
def test_a_usage_error_exits_with_64(genguard, change, says):
    """And says what is wrong, on standard error alone."""
    refused = genguard("eval", "toxicity", "--text", "text", *change)
    assert (refused.code, refused.out) == (64, "")
    assert says in refused.err


def test_plots_without_their_library_name_the_extra(genguard, monkeypatch):
    """Before anything is measured."""
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else real(name, *rest))
    refused = genguard("eval", "toxicity", "posts.csv", "--text", "text", "--label", "label", "--plot", "plot.png")
    assert refused.code == 64
    assert "genguard[eval]" in refused.err


def test_an_unknown_check_and_a_model_that_is_not_there_are_told(genguard):
    """The names that exist, and no trace."""
    unknown = genguard("eval", "toxicty", "posts.csv", "--text", "text", "--label", "label")
    assert (unknown.code, "toxicity" in unknown.err) == (64, True)
    missing = genguard("eval", "toxicity", "posts.csv", "--text", "text", "--label", "label", "--set", "model=no/such/folder")
    assert missing.code == 70
    assert not missing.out
