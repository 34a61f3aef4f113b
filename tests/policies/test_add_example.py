"""policies.add_example: an example more in a policy's file, and nothing else changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import PolicyError
from policies import load
from policies.add_example import add_example, with_example
from policies.load import open_policy

POLICY = """# head
policy: desk
version: 1
status: live

checks:
  hidden: {use: invisible_characters}   # what is measured
rules:
  - id: block   # with examples
    when: {hidden: any}
    action: block
    category: input
    tests:
      - passes: Plain.
      # the last one
      - passes: |
          Two
          lines.

  # flow
  - {id: flow, when: {all: [{hidden: any}, {tenant: a}]}, action: review, category: input, tests: [{passes: A}]}
  - {id: bare-flow, when: {all: [{hidden: any}, {tenant: b}]}, action: review, category: input}
  - id: bare
    when: {all: [{hidden: any}, {tenant: c}]}
    action: review   # no examples yet
    category: input

# marks come last
marks: {metadata: [iptc]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "desk.yaml").write_text(POLICY, "utf-8")
    return tmp_path / "desk.yaml"


@pytest.mark.parametrize("rule", ["block", "flow", "bare-flow", "bare"])
@pytest.mark.parametrize(
    "text", ['It\'s "fine": {really} # no comment', "他说：好。\nLine two\t\\", "\u200b\x85\U0001f600 - a: b"]
)
def test_an_example_is_added_and_all_else_stays(file, rule, text):
    """Comments, order, revision; every line of before is there, but the one that a flow collection stands on."""
    revision = load(str(file)).revision
    line = add_example(file, rule, "passes", text)
    after = open_policy(file)
    assert after.policy.revision == revision
    assert [one.at.line for one in after.tests if (one.rule, one.text) == (rule, text)] == [line]
    lines = file.read_text("utf-8").splitlines()
    lost = [one for one in POLICY.splitlines() if one not in lines]
    assert len(lost) == (1 if "flow" in rule else 0)
    add_example(file, rule, "flags", "again", stage="prompt")
    again = open_policy(file)
    assert [(one.expects, one.stage) for one in again.tests if one.text == "again"] == [("flags", "prompt")]


def test_a_file_with_other_line_ends_and_without_a_last_one_keeps_them(file):
    """As it came."""
    file.write_bytes(POLICY.partition("\n# marks")[0].rstrip().replace("\n", "\r\n").encode())
    add_example(file, "bare", "passes", "Fine.")
    data = file.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n")
    assert data.endswith(b'    tests:\r\n      - passes: "Fine."\r\n')


def test_a_rule_that_is_not_there_is_named(file):
    """And nothing is written."""
    with pytest.raises(PolicyError, match="no rule 'threat' in this file"):
        add_example(file, "threat", "passes", "x")
    with pytest.raises(PolicyError, match="cannot read the policy"):
        add_example(file.with_name("other.yaml"), "block", "passes", "x")
    assert file.read_text("utf-8") == POLICY
    assert [one.name for one in file.parent.iterdir()] == ["desk.yaml"]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.sampled_from(["block", "flow", "bare"]))
def test_any_text_comes_back(text, rule):
    """As the YAML parser reads it."""
    import yaml

    found = yaml.safe_load(with_example(POLICY, rule, "passes", text))
    tests = next(one for one in found["rules"] if one["id"] == rule)["tests"]
    assert tests[-1] == {"passes": text}
