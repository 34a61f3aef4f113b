"""The documentation covers the whole language, and its examples load."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guard.taxonomy import CATEGORIES
from policies import load, loads
from policies.conditions import RESERVED
from policies.load import PACKS
from policies.mistake import Mistakes
from policies.schema import FILE, json_schema
from policies.source import Node, read

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policy.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
VALIDATOR = Draft202012Validator(json_schema())


def node(text: str) -> Node:
    """A policy as genguard reads YAML: dates and times stay text."""
    found = read(text, Mistakes("example"))
    assert found is not None
    return found


def _keys(schema: object) -> set[str]:
    if isinstance(schema, list):
        return {key for item in schema for key in _keys(item)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own | {key for value in schema.values() for key in _keys(value)}


@pytest.mark.parametrize("word", sorted(_keys(json_schema()) | set(RESERVED) | set(CATEGORIES)))
def test_every_word_of_the_language_is_explained(word: str) -> None:
    """Keys, conditions and categories stand in the page as code."""
    assert f"`{word}`" in PAGE


def whole(block: str) -> dict[str, Any]:
    """An example as a whole policy: a fragment replaces its part of the page's first one."""
    part, rest = node(block).plain(), node(BLOCKS[0]).plain()
    if "applies_to" not in part:
        rest.pop("applies_to")
    return part if "extends" in part else {**rest, **part}


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_of_the_page_loads(block: str, tmp_path: Path) -> None:
    """Examples with the name of a file in their first line are files, which others extend."""
    for other in BLOCKS:
        if named := re.match(r"# (\S+\.yaml)\n", other):
            (tmp_path / named[1]).write_text(other, "utf-8")
    file = tmp_path / "example.yaml"
    file.write_text(json.dumps(whole(block), ensure_ascii=False), "utf-8")
    assert load(file).rules


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_of_the_page_is_valid_for_an_independent_validator(block: str) -> None:
    """What an editor says of it while it is typed."""
    VALIDATOR.validate(whole(block))


def test_the_packs_and_the_example_of_the_readme_are_valid_for_an_independent_validator() -> None:
    """And they load."""
    for path in PACKS.glob("*.yaml"):
        text = path.read_text("utf-8")
        assert text.startswith("# yaml-language-server: $schema=../policy.schema.json\n")
        VALIDATOR.validate(node(text).plain())
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        VALIDATOR.validate(node(block).plain())
        loads(block)


def test_the_published_json_schema_is_current() -> None:
    """`python -m policies.schema` writes it."""
    assert json.loads(FILE.read_text("utf-8")) == json_schema()


@pytest.mark.parametrize("told", ["description", "examples"])
def test_every_key_of_the_json_schema_has_a_description_and_an_example(told: str) -> None:
    """Editors show them beside the completion."""
    schema = json_schema()
    holders = [schema, *schema["$defs"].values()]
    bare = [name for holder in holders for name, field in holder.get("properties", {}).items() if not field.get(told)]
    assert bare == []


def test_every_example_of_the_json_schema_is_valid() -> None:
    """For the key that it stands at."""
    schema = json_schema()
    for holder in (schema, *schema["$defs"].values()):
        for name, field in holder.get("properties", {}).items():
            for example in field["examples"]:
                found = list(Draft202012Validator({**field, "$defs": schema["$defs"]}).iter_errors(example))
                assert not found, f"{name}: {found}"


def test_every_reference_of_the_json_schema_resolves() -> None:
    """An editor that follows a reference finds something."""
    text = FILE.read_text("utf-8")
    for name in set(re.findall(r'"#/\$defs/(\w+)"', text)):
        assert name in json_schema()["$defs"]
