"""The Chinese model of the toxicity check: its own examples, what it flags, and what it must leave alone."""

import json
import shutil

import pytest

from guard.errors import ModelError
from guard.models import BUNDLED
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

ENGLISH = BUNDLED / "toxicity-en"


def content(text):
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))


def with_examples(folder, text):
    """A folder that has labels and examples, and nothing that could be loaded."""
    folder.mkdir()
    shutil.copy(ENGLISH / "config.json", folder)
    (folder / "examples.json").write_text(text, "utf-8")
    return checks.make("toxicity", {"model": str(folder)})


def test_a_model_folder_brings_its_own_examples(tmp_path):
    """A model of another language cannot be held to English sentences."""
    given = {"flagged": ["Du Trottel."], "clean": ["Guten Tag.", "Bis morgen."]}
    examples = with_examples(tmp_path / "german", json.dumps(given)).examples
    assert [example.text for example in examples.flagged] == given["flagged"]
    assert [example.text for example in examples.clean] == given["clean"]


def test_without_its_own_a_model_has_the_english_examples():
    """As the bundled English model and the published variants do."""
    english, published = (
        checks.make("toxicity", {"model": model}).examples for model in ("bundled/toxicity-en", "multilingual")
    )
    assert [example.text for example in published.flagged] == [example.text for example in english.flagged]
    assert any("idiot" in example.text for example in english.flagged)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", '{"flagged": ["a"]}', '{"flagged": "a", "clean": ["b"]}', '{"flagged": [], "clean": ["b"]}'],
    ids=["empty", "list", "number", "half", "string", "none"],
)
def test_examples_of_another_form_are_refused_by_name(tmp_path, text):
    """The error names the folder and the form, and quotes nothing."""
    check = with_examples(tmp_path / "own", text)
    with pytest.raises(ModelError, match=r"own: .*examples\.json"):
        _ = check.examples
