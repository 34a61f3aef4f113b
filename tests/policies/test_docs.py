"""The documentation covers the whole language, and its examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from guard.taxonomy import CATEGORIES
from policies import loads
from policies.conditions import RESERVED
from policies.schema import FILE, json_schema

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policy.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


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


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_of_the_page_loads(block: str) -> None:
    """A fragment replaces its part of the page's whole policy."""
    whole, part = yaml.safe_load(BLOCKS[0]), yaml.safe_load(block)
    if "applies_to" not in part:
        whole.pop("applies_to")
    loads(yaml.safe_dump({**whole, **part}, allow_unicode=True))


def test_the_published_json_schema_is_current() -> None:
    """`python -m policies.schema` writes it."""
    import json

    assert json.loads(FILE.read_text("utf-8")) == json_schema()


def test_every_key_of_the_json_schema_has_a_description() -> None:
    """Editors show it beside the completion."""
    schema = json_schema()
    holders = [schema, *schema["$defs"].values()]
    bare = [name for holder in holders for name, field in holder.get("properties", {}).items() if "description" not in field]
    assert bare == []


def test_every_reference_of_the_json_schema_resolves() -> None:
    """An editor that follows a reference finds something."""
    text = FILE.read_text("utf-8")
    for name in set(re.findall(r'"#/\$defs/(\w+)"', text)):
        assert name in json_schema()["$defs"]
