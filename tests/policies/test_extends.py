"""Policies that build on others: what is taken over, what is changed, and where mistakes are reported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from guard.rules import Found, Policy, Rule
from guard.types import Action
from policies import from_document, load, loads, open_policy
from policies.compose import MAX_PARENTS
from policies.load import PACKS
from policies.mistake import PolicyFileError

BASE = """\
policy: base
version: 7
status: deprecated
owner: base-owner
description: The base.
applies_to: {generators: [gan]}
lists: {partners: [acme]}
checks:
  toxicity: {use: toxicity, deadline_ms: 5000, window_tokens: 64}
  pii: {use: pii, languages: [en, zh]}
rules:
  - id: threat
    title: Threats
    when: {toxicity.threat: 0.6}
    action: block
    tests: [{flags: I will kill you.}, {passes: A killer film.}]
  - id: card
    when: {pii: CREDIT_CARD, not: {tenant: $partners}}
    action: redact
    with: {operator: mask, keep_last: 4}
exceptions:
  - {id: pilot, rules: [card], owner: privacy, reason: Pilot., expires: 2026-12-31}
marks:
  watermark: {image: true}
  metadata: [iptc]
"""
HEAD = "policy: child\nversion: 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE, "utf-8")
    return tmp_path


def child(folder: Path, text: str, *, extends: str = "base.yaml", name: str = "child.yaml") -> Policy:
    (folder / name).write_text(f"{HEAD}extends: {extends}\n{text}", "utf-8")
    return load(folder / name)


def mistakes(folder: Path, text: str, **more: Any) -> list[str]:
    with pytest.raises(PolicyFileError) as raised:
        child(folder, text, **more)
    return [str(mistake).replace(f"{folder}/", "") for mistake in raised.value.mistakes]


def rule(policy: Policy, name: str) -> Rule:
    return next(one for one in policy.rules if one.id == name)


def test_a_child_has_all_parts_of_its_parent_and_none_of_its_head(folder: Path) -> None:
    """Name, version, status, owner, description and scope are the child's own."""
    policy, base = child(folder, ""), load(folder / "base.yaml")
    assert (policy.rules, policy.checks, policy.exceptions) == (base.rules, base.checks, base.exceptions)
    assert {mark.use for mark in policy.marks} == {"watermark", "iptc"}
    assert (policy.id, policy.version, policy.status) == ("child", 1, "draft")
    assert (policy.owner, policy.description, policy.generators) == ("", "", ("*",))


def test_its_document_stands_alone(folder: Path) -> None:
    """A decision derives again without any file."""
    policy = child(folder, "rules: [{id: threat, override: true, action: review}]")
    (folder / "base.yaml").unlink()
    assert from_document(policy.document) == policy
    assert "extends" not in policy.document
    assert "override" not in policy.document


def test_own_parts_are_added_after_those_of_the_parent(folder: Path) -> None:
    """In every section."""
    policy = child(
        folder,
        """\
lists: {more: [beta]}
checks: {works: {use: image_match, bank: protected-works}}
rules:
  - {id: work, when: {works: matched, tenant: $more}, action: block}
exceptions:
  - {id: other, rules: [work, threat], owner: me, reason: Other., expires: 2026-12-31}
marks:
  c2pa: true
""",
    )
    assert [one.id for one in policy.rules] == ["threat", "card", "work"]
    assert {one.name for one in policy.checks} == {"toxicity", "pii", "works"}
    assert [one.id for one in policy.exceptions] == ["pilot", "other"]
    assert {mark.use for mark in policy.marks} == {"watermark", "iptc", "c2pa"}


def test_overriding_changes_the_keys_that_are_given(folder: Path) -> None:
    """All others stay, at the rule's place in the order."""
    (folder / "child.yaml").write_text(
        f"""{HEAD}extends: base.yaml
checks:
  toxicity: {{override: true, deadline_ms: 900}}
rules:
  - id: threat
    override: true
    when: {{toxicity.threat: 0.4}}
    tests: [{{flags: You die tonight.}}]
  - id: card
    override: true
    action: review
    with: {{operator: replace}}
exceptions:
  - {{id: pilot, override: true, expires: 2027-06-30}}
""".replace("    action: review\n", ""),
        "utf-8",
    )
    loaded = open_policy(folder / "child.yaml")
    policy = loaded.policy
    threat, card = policy.rules
    assert (threat.id, threat.title, threat.action) == ("threat", "Threats", Action.BLOCK)
    assert threat.when == rule(loads(BASE.replace("toxicity.threat: 0.6", "toxicity.threat: 0.4")), "threat").when
    assert (card.action, card.operator, card.parameters) == (Action.REDACT, "replace", ())
    assert [test.text for test in loaded.tests] == ["You die tonight."]
    spec = next(one for one in policy.checks if one.name == "toxicity")
    assert (spec.deadline_ms, spec.parameters) == (900, {"window_tokens": 64})
    assert (policy.exceptions[0].expires.isoformat(), policy.exceptions[0].reason) == ("2027-07-01T00:00:00+00:00", "Pilot.")
    assert loaded.place_of("threat").file == str(folder / "child.yaml")


def test_what_has_no_meaning_any_more_goes_with_what_gave_it_one(folder: Path) -> None:
    """How to redact, when nothing is redacted; the parameters of a check, when it is another one."""
    text = "rules: [{id: card, override: true, action: block}]\nchecks: {toxicity: {override: true, use: pii}}\n"
    policy = child(folder, text.replace("}}", ", entities: [PERSON]}}") + "remove: {rules: [threat]}\n")
    assert (rule(policy, "card").action, rule(policy, "card").operator) == (Action.BLOCK, "")
    spec = next(one for one in policy.checks if one.name == "toxicity")
    assert (spec.use, spec.deadline_ms, spec.parameters) == ("pii", 5000, {"entities": ("PERSON",)})


def test_what_is_removed_may_be_defined_anew(folder: Path) -> None:
    """The way to replace a part as a whole, and to change lists and marks."""
    policy = child(
        folder,
        """\
remove: {rules: [threat], exceptions: pilot, lists: [partners], marks: [watermark, metadata], checks: [toxicity]}
lists: {partners: [beta]}
checks: {toxicity: {use: toxicity}}
rules: [{id: threat, when: {toxicity.threat: 0.9}, action: review}]
""",
    )
    assert [one.id for one in policy.rules] == ["card", "threat"]
    assert rule(policy, "threat").title == ""
    assert policy.marks == ()
    assert policy.exceptions == ()
    assert '"patterns":["beta"]' in policy.document  # the parent's rule reads the child's list
    assert "window_tokens" not in policy.document


def test_a_name_that_the_parent_has_is_a_mistake_that_says_where(folder: Path) -> None:
    """Nothing is overridden by chance."""
    text = """\
lists: {partners: [x]}
checks: {pii: {use: pii}}
rules: [{id: card, when: {pii: PERSON}, action: block}]
exceptions: [{id: pilot, rules: [card], owner: me, reason: r, expires: 2026-12-31}]
marks: {metadata: [aigc]}
"""
    found = mistakes(folder, text)
    named = ["list 'partners'", "check 'pii'", "rule 'card'", "exception 'pilot'", "mark 'metadata'"]
    places = ["4:9", "5:10", "6:14", "7:19", "8:9"]
    defined = ["7:9", "10:3", "17:9", "22:10", "25:3"]
    for line, name, place, at in zip(found, named, places, defined, strict=True):
        assert line.startswith(f"child.yaml:{place}: found {name}, which base.yaml:{at} defines, expected "), line


@pytest.mark.parametrize(
    ("remove", "place", "words"),
    [
        ("{}", "4:9", "found nothing under 'remove', expected one of: rules, checks, lists, marks, exceptions"),
        ("{ruels: [threat]}", "4:10", "unknown key 'ruels', expected one of: rules"),
        ("{rules: []}", "4:17", "an empty list for 'rules', expected at least one entry"),
        ("{rules: [5]}", "4:18", "5 for 'rules', expected text"),
        ("{marks: [lable]}", "4:18", "did you mean 'label'?"),
        ("{marks: [label]}", "4:18", "no mark 'label' that could be removed, expected one of: watermark, metadata"),
    ],
)
def test_what_cannot_be_removed_is_one_mistake(folder: Path, remove: str, place: str, words: str) -> None:
    """With what could be."""
    (found,) = mistakes(folder, f"remove: {remove}")
    assert found.startswith(f"child.yaml:{place}: "), found
    assert words in found


def test_mistakes_of_a_parent_are_reported_in_its_file(folder: Path) -> None:
    """Unknown keys and parts that are wrong, with the line there; what the child leaves out is not looked at."""
    (folder / "base.yaml").write_text(BASE.replace("status: deprecated", "statsu: x").replace("threat: 0.6", "thread: 0.6"))
    found = mistakes(folder, "")
    assert [line.split(" found ")[0] for line in found] == ["base.yaml:3:1:", "base.yaml:14:12:"]
    (folder / "base.yaml").write_text(BASE.replace("threat: 0.6", "thread: 0.6"))
    assert [one.id for one in child(folder, "remove: {rules: [threat]}").rules] == ["card"]


def test_a_parent_need_not_be_a_whole_policy(folder: Path) -> None:
    """A file of lists or checks that several policies share."""
    (folder / "base.yaml").write_text("lists: {cards: [CREDIT_CARD]}\n")
    text = "checks: {pii: {use: pii}}\nrules: [{id: a, when: {pii: $cards}, action: block}]"
    assert child(folder, text).rules[0].when == Found("pii", frozenset({"CREDIT_CARD"}))


def test_packs_and_files_in_other_folders_are_extended(folder: Path) -> None:
    """Paths are seen from the file that names them."""
    (folder / "deep").mkdir()
    (folder / "deep" / "middle.yaml").write_text(
        f"{HEAD}extends: ../base.yaml\nrules: [{{id: card, override: true, title: Cards}}]"
    )
    assert rule(child(folder, "", extends="deep/middle.yaml"), "card").title == "Cards"
    assert len(child(folder, "", extends="enterprise").rules) == len(load("enterprise").rules)
    assert rule(child(folder, "", extends=str(folder / "base.yaml")), "card").title == ""


def test_several_parents_are_put_together(folder: Path) -> None:
    """In their order; a file that two of them extend is there once."""
    (folder / "one.yaml").write_text(
        f"{HEAD}extends: base.yaml\nrules: [{{id: one, when: {{toxicity.insult: 0.5}}, action: block}}]"
    )
    (folder / "two.yaml").write_text(
        f"{HEAD}extends: base.yaml\nrules: [{{id: two, when: {{toxicity.obscene: 0.5}}, action: block}}]"
    )
    assert [one.id for one in child(folder, "", extends="[one.yaml, two.yaml]").rules] == ["threat", "card", "one", "two"]
    (folder / "two.yaml").write_text(f"{HEAD}rules: [{{id: card, when: {{toxicity.obscene: 0.5}}, action: block}}]")
    (found,) = mistakes(folder, "", extends="[one.yaml, two.yaml]")
    assert found.startswith("child.yaml:3:21: found rule 'card' in two parents (base.yaml:17:9 and two.yaml:3:14), expected")


@pytest.mark.parametrize(
    ("extends", "place", "words"),
    [
        ("child.yaml", "child.yaml:3:10", "extends itself (child.yaml)"),
        ("./../{name}/child.yaml", "child.yaml:3:10", "extends itself ("),
        ("bass.yaml", "child.yaml:3:10", "No such file or directory), expected a policy file; did you mean 'base.yaml'?"),
        (".", "child.yaml:3:10", "(not a regular file), expected a policy file"),
        ("pipe.yaml", "child.yaml:3:10", "(not a regular file), expected a policy file"),
        ('"base.yaml\\0"', "child.yaml:3:10", "(ValueError), expected a policy file"),
        ("base", "child.yaml:3:10", "the policy 'base', expected one of the packs ("),
        ("[base.yaml, 5]", "child.yaml:3:22", "5 for 'extends', expected the name of a pack, the path of a file, or a list"),
        ("[]", "child.yaml:3:10", "an empty list for 'extends', expected the name of a pack"),
        ("{{file: base.yaml}}", "child.yaml:3:10", "a mapping for 'extends', expected the name of a pack"),
        ("big.yaml", "big.yaml", "more than 1000000 bytes, expected a smaller file"),
        ("list.yaml", "list.yaml:1:1", "a list, expected a mapping that begins with"),
    ],
)
def test_a_parent_that_cannot_be_read_is_the_only_mistake(folder: Path, extends: str, place: str, words: str) -> None:
    """Nothing sensible could be said of the rest."""
    os.mkfifo(folder / "pipe.yaml")
    (folder / "big.yaml").write_text("#" * 1_000_001)
    (folder / "list.yaml").write_text("- a\n")
    (found,) = mistakes(folder, "rules: [{id: new, override: true}]", extends=extends.format(name=folder.name))
    assert found.startswith(f"{place}: "), found
    assert words in found


def test_chains_of_parents_end(folder: Path) -> None:
    """Eight in a row are enough for anybody, and a fan of them is read once each."""
    for step in range(MAX_PARENTS + 1):
        parent = "base.yaml" if step == 0 else f"[step{step - 1}.yaml, ./step{step - 1}.yaml]"
        (folder / f"step{step}.yaml").write_text(f"{HEAD}extends: {parent}\n")
    assert child(folder, "", extends=f"step{MAX_PARENTS - 2}.yaml").rules
    found = mistakes(folder, "", extends=f"step{MAX_PARENTS}.yaml")
    assert "too many files that extend one another" in found[0]
    assert all("too many files" in line for line in found)


def test_a_policy_that_is_no_file_extends_packs_only() -> None:
    """A text that somebody sent reads no file of this machine."""
    assert loads(f"{HEAD}extends: enterprise\n").rules == load("enterprise").rules
    with pytest.raises(PolicyFileError, match=r"policy:3:10: found the file .* expected one of the packs"):
        loads(f"{HEAD}extends: {PACKS / 'enterprise.yaml'}\n")


def test_parents_change_the_revision(folder: Path) -> None:
    """The revision is that of the whole."""
    before = child(folder, "").revision
    (folder / "base.yaml").write_text(BASE.replace("deadline_ms: 5000", "deadline_ms: 5001"))
    assert child(folder, "").revision != before
