"""Policy files with one mistake each, as authors make them: one message, at the right place, in words that help.

The first line of each file in `tests/data/policies/broken` says what is expected: `# expect: LINE:COLUMN: words of a message`,
with a file in front where the mistake is in one that it extends.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from policies import open_policy
from policies.mistake import Mistakes, PolicyFileError
from policies.schema import json_schema
from policies.source import read

FOLDER = Path(__file__).parents[1] / "data" / "policies" / "broken"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))
SEEN_BY_AN_EDITOR = (
    "status-misspelt",
    "key-misspelt",
    "check-without-use",
    "action-misspelt",
    "redact-without-operator",
    "per-cent",
    "language-star-missing",
    "length-at-most",
    "zone-alone",
    "basis-of-two-kinds",
    "list-without-items",
    "exception-that-asks-a-check",
    "expires-never",
    "override-in-words",
    "remove-as-a-list",
    "mark-switched-off",
    "no-version",
)
"""Broken files whose mistake is one of shape, so that an editor with the JSON Schema sees it too."""


def test_there_are_at_least_sixty_of_them() -> None:
    """The more kinds of mistakes, the better."""
    assert len(FILES) >= 60


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_has_exactly_the_mistake_that_it_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither more nor less, and a caret under it."""
    monkeypatch.chdir(FOLDER)  # so that messages name it as the author would
    place, words = Path(name).read_text("utf-8").splitlines()[0].removeprefix("# expect: ").split(": ", 1)
    with pytest.raises(PolicyFileError) as raised:
        open_policy(Path(name))
    (mistake,) = raised.value.mistakes
    assert str(mistake.at) == (place if ".yaml:" in place else f"{name}:{place}")
    assert words in mistake.message
    assert "expected" in mistake.message or "what is no YAML" in mistake.message
    lines = raised.value.diagnostics().splitlines()
    assert lines[2].index("^") - len("       | ") == mistake.at.column - 1


@pytest.mark.parametrize("name", SEEN_BY_AN_EDITOR)
def test_an_independent_validator_refuses_mistakes_of_shape(name: str) -> None:
    """With the published schema."""
    root = read((FOLDER / f"{name}.yaml").read_text("utf-8"), Mistakes(name))
    assert root is not None
    assert not Draft202012Validator(json_schema()).is_valid(root.plain())


def test_what_broken_files_extend_is_sound_but_for_its_own_mistake() -> None:
    """And valid for an independent validator."""
    assert open_policy(FOLDER / "parents" / "base.yaml").policy.id == "base"
    for path in (FOLDER / "parents").glob("*.yaml"):
        root = read(path.read_text("utf-8"), Mistakes(path.name))
        assert root is not None
        assert Draft202012Validator(json_schema()).is_valid(root.plain()) == (path.stem != "flawed")
