"""`genguard config`, and the file that all commands read."""

from __future__ import annotations

import json

import pytest

from serving.config.sources import example
from serving.settings import Settings


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables of ours before and, whatever commands set, after."""
    for name in (*Settings.model_fields, "config"):
        monkeypatch.setenv(f"GENGUARD_{name.upper()}", "")
        monkeypatch.delenv(f"GENGUARD_{name.upper()}")


def test_settings_are_shown_with_their_source(genguard, tmp_path, clean, monkeypatch):
    """For people and for programs; secrets masked."""
    (tmp_path / "genguard.toml").write_text('port = 81\napi_keys = "desk:kkkkkkkkkkkkkkkkkkkk"\n', "utf-8")
    monkeypatch.setenv("GENGUARD_MAX_TEXT", "7")
    shown = genguard("config", "show")
    assert (shown.code, "kkkk" in shown.out + shown.err) == (0, False)
    assert "81  (genguard.toml)" in shown.out
    assert "7  (environment GENGUARD_MAX_TEXT)" in shown.out
    assert "chmod 600" in shown.err
    answer = json.loads(genguard("config", "show", "--json").out)
    by_name = {one["name"]: one for one in answer["settings"]}
    assert tuple(by_name) == tuple(Settings.model_fields)
    assert by_name["port"] == {"name": "port", "value": 81, "source": "genguard.toml"}


def test_a_mistake_in_the_file_ends_with_64(genguard, tmp_path, clean):
    """Whatever the command is."""
    (tmp_path / "genguard.toml").write_text("prot = 81\n", "utf-8")
    for command in (("config", "show"), ("audit", "query"), ("serve",)):
        ended = genguard(*command)
        assert (ended.code, "did you mean 'port'?" in ended.err) == (64, True)


def test_commands_read_the_ledger_from_the_file(genguard, tmp_path, clean):
    """That of the working folder, or the one that --config names; an option comes first."""
    (tmp_path / "genguard.toml").write_text('ledger = "sqlite:///here.db"\n', "utf-8")
    assert "here.db" in genguard("audit", "query").err
    assert "given.db" in genguard("audit", "query", "--ledger", "sqlite:///given.db").err


def test_commands_read_the_file_that_is_named(genguard, tmp_path, clean):
    """Before the one of the working folder."""
    (tmp_path / "genguard.toml").write_text('ledger = "sqlite:///here.db"\n', "utf-8")
    (tmp_path / "other.toml").write_text('ledger = "sqlite:///there.db"\n', "utf-8")
    assert "there.db" in genguard("--config", "other.toml", "audit", "query").err


def test_the_example_is_printed(genguard, clean):
    """And nothing else."""
    assert genguard("config", "example").out == example(Settings)
