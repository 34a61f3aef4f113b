"""Every mistake in a policy file is named with its line, what was found and what was expected."""

from __future__ import annotations

import re

import pytest

from guard.errors import PolicyError
from policies import loads
from tests.policies.mistake_cases import BASE, CASES


def test_the_base_of_all_cases_is_a_good_policy() -> None:
    """Each case differs from a policy that loads by its one mistake."""
    assert loads(BASE).version == 3


@pytest.mark.parametrize(("old", "new", "line", "fragment"), CASES.values(), ids=CASES)
def test_a_mistake_is_named_with_its_line(old: str, new: str, line: int, fragment: str) -> None:
    """The message has the file, the line, what was found, and what was expected."""
    assert BASE.count(old) == 1
    with pytest.raises(PolicyError) as raised:
        loads(BASE.replace(old, new), file="house.yaml")
    place = rf"house\.yaml:{line}:[1-9][0-9]*: " if line else r"house\.yaml: "
    named = [text for text in str(raised.value).splitlines() if re.match(place, text) and fragment in text]
    assert named, str(raised.value)


ONE_ONLY = sorted(set(CASES) - {"checks as a list", "bad name", "reserved name", "duplicate check", "missing key of a rule"})


@pytest.mark.parametrize("name", ONE_ONLY)
def test_one_mistake_makes_one_message(name: str) -> None:
    """A mistake does not drag others with it that its author did not make."""
    old, new, line, _ = CASES[name]
    with pytest.raises(PolicyError) as raised:
        loads(BASE.replace(old, new))
    lines = {mistake.line for mistake in raised.value.mistakes}  # type: ignore[attr-defined]
    assert lines <= {line, 0} | ({1} if name == "missing key" else set()), str(raised.value)


def test_all_mistakes_of_a_file_are_reported_together() -> None:
    """Shape and meaning, in checks, rules and marks, in the order of lines; the error's line is the first one's."""
    text = BASE
    for name in ("status", "unknown parameter", "unknown label", "redact without with", "text watermark switched off"):
        text = text.replace(CASES[name][0], CASES[name][1])
    with pytest.raises(PolicyError) as raised:
        loads(text, file="house.yaml")
    places = [line.split(" ")[0] for line in str(raised.value).splitlines()]
    assert places == ["house.yaml:3:9:", "house.yaml:9:5:", "house.yaml:13:12:", "house.yaml:18:13:", "house.yaml:23:34:"]
    assert raised.value.file == "house.yaml"
    assert raised.value.line == 3
    assert "docs/policy.md" in raised.value.diagnostics()


def test_a_caret_shows_the_place() -> None:
    """Under the line of the file, also after characters that are two places wide."""
    text = BASE.replace("  - id: work", "  - {title: 受保护, idd: work}\n  - id: work")
    with pytest.raises(PolicyError) as raised:
        loads(text, file="house.yaml")
    lines = raised.value.diagnostics().splitlines()
    at = next(place for place, line in enumerate(lines) if "unknown key 'idd'" in line)
    assert lines[at].startswith("house.yaml:20:18: ")
    assert lines[at + 1] == "    20 |   - {title: 受保护, idd: work}"
    assert lines[at + 2] == "       |" + " " * (lines[at + 1].index("idd") - 8 + 3) + "^"


@pytest.mark.parametrize("key", ["checks", "rules"])
@pytest.mark.parametrize("value", ["", " {}", " []", " 5", " text"])
def test_a_policy_without_checks_or_rules_is_refused(key: str, value: str) -> None:
    """Nothing could follow from it, so it must not seem to protect."""
    start = BASE.index(f"{key}:\n")
    rest = BASE[start:].split("\n", 1)[1]
    end = next((index for index, line in enumerate(rest.split("\n")) if line and not line.startswith(" ")), None)
    after = "\n".join(rest.split("\n")[end:]) if end is not None else ""
    with pytest.raises(PolicyError, match=f"for '{key}', expected"):
        loads(BASE[:start] + f"{key}:{value}\n" + after)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "5", "text", "[]", "{}", "--- \n...\n", "- policy: x"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    """An empty file is a mistake like any other."""
    with pytest.raises(PolicyError, match="expected a mapping that begins with"):
        loads(text)


def test_a_file_over_the_size_limit_is_refused() -> None:
    """Before anything in it is read."""
    with pytest.raises(PolicyError, match="more than 1000000 bytes"):
        loads("#" * 1_000_001)


def test_aliases_that_multiply_are_refused() -> None:
    """Nine levels of nine aliases would be hundreds of millions of values."""
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    with pytest.raises(PolicyError, match="more than 50000 values"):
        loads(text)


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    """A value cannot hold itself."""
    with pytest.raises(PolicyError, match="an anchor of that name that ends before it"):
        loads("policy: &a [*a]\n")


def test_thousands_of_mistakes_are_reported_in_reasonable_time_and_length() -> None:
    """A generated file that went wrong does not hang its author's editor."""
    checks = "".join(f"  check-{n}: {{use: pi}}\n" for n in range(3000))
    rules = "".join(f"  - {{id: rule-{n}, when: {{chek-{n}: any}}, action: block}}\n" for n in range(3000))
    with pytest.raises(PolicyError) as raised:
        loads(f"policy: big\nversion: 1\nchecks:\n{checks}rules:\n{rules}")
    assert len(raised.value.mistakes) == 6000  # type: ignore[attr-defined]
    assert len(str(raised.value)) < 100_000
    assert str(raised.value).endswith("and 5900 more")


def test_bytes_that_are_no_utf8_are_refused_with_their_line() -> None:
    """The reader never guesses an encoding."""
    with pytest.raises(PolicyError, match=r"x\.yaml:2: found bytes that are no UTF-8"):
        loads(b"policy: house\nowner: \xff\n", file="x.yaml")


def test_control_characters_in_names_cannot_forge_lines_of_a_message() -> None:
    """What a file hides is spelt out where a message repeats it."""
    text = BASE.replace("  works: {", '  "works\\nhouse.yaml:1: found": {')
    with pytest.raises(PolicyError) as raised:
        loads(text, file="house.yaml")
    assert len(str(raised.value).splitlines()) == len(raised.value.mistakes)  # type: ignore[attr-defined]


def test_long_values_are_cut_in_messages() -> None:
    """A page pasted into the wrong place does not become a page of error."""
    with pytest.raises(PolicyError) as raised:
        loads(BASE.replace("status: live", f"status: {'x' * 5000}"))
    assert len(str(raised.value)) < 300
