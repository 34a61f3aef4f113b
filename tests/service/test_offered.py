"""Generators by name: registered ones, functions, and files that name more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.errors import RegistryError, SettingsError
from serving.offered import find, offered


def test_a_file_names_generators(tmp_path: Path) -> None:
    """YAML or JSON; each goes by its key."""
    file = tmp_path / "more.yaml"
    file.write_text(
        "generators:\n"
        "  support: {use: openai, base_url: http://localhost:1/v1, model: m, read_s: 5}\n"
        "  own: {use: 'python:tests.generators.functions:plain'}\n"
    )
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"generators": {"pictures": {"use": "gan", "model": "bundled/gan-digits"}}}))
    found = offered(["echo", str(file), str(other), "python:tests.generators.functions:reply"])
    assert {name: one.name for name, one in found.items()} == {
        name: name for name in ("echo", "support", "own", "pictures", "reply")
    }
    assert find("support", [str(file)]) is not None
    assert find("echo", []).name == "echo"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("generators:\n  a: {use: opnai, model: m}", r":2:12: found unknown generator 'opnai', .*did you mean 'openai'"),
        ("generators:\n  a: {use: openai}", r":2:12: found no parameter 'model'"),
        ("generators:\n  a: {use: openai, model: m, read_s: soon}", r":2:.*read_s"),
        ("generators:\n  a: {use: openai, model: m, colour: blue}", r":2:.*'colour'"),
        ("generators:\n  a: {use: openai, model: m, name: b}", r":2:.*its key"),
        ("generators:\n  a: {use: openai, model: m, base_url: nowhere}", r":2:.*base_url is no address"),
        ("generators:\n  a b: {use: echo}", r":2:3: found generator 'a b'"),
        ("generators:\n  a: {model: m}", r":2:.*no `use`"),
        ("generators:\n  a: {use: echo}\n  a: {use: gan}", r":3:.*'a'"),
        ("more: {}\ngenerators: {a: {use: echo}}", r":1:1: found key 'more'"),
        ("generators: {}", "no generators"),
        ("generators: [", ":1:"),
        ("generators: {a: {use: 'python:os.path'}}", "expected module:function"),
    ],
)
def test_a_file_with_mistakes_is_refused(tmp_path: Path, text: str, match: str) -> None:
    """With the line of each."""
    file = tmp_path / "more.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=match):
        offered([str(file)])


def test_a_name_stands_once(tmp_path: Path) -> None:
    """It is what policies and entries know a generator by."""
    file = tmp_path / "more.yaml"
    file.write_text("generators: {echo: {use: echo}}")
    with pytest.raises(SettingsError, match="'echo' is on offer twice"):
        offered(["echo", str(file)])
    with pytest.raises(SettingsError, match="no file that can be read"):
        offered([str(tmp_path / "missing.yaml")])
    with pytest.raises(RegistryError, match="unknown generator 'opnai'"):
        offered(["opnai"])
    with pytest.raises(SettingsError, match="its file says which"):
        find("echo", [str(file)], "model")
