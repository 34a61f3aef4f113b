"""Settings: which of their sources comes first, what is refused and in which words, and the file to begin with."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from guard.errors import SettingsError
from serving.config.file import SPREAD, spread
from serving.config.sources import HEADINGS, MASK, example, notices, origins, settings_of
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
SECRET = "s" * 20


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An empty working folder without variables of ours; gives what writes its genguard.toml."""
    monkeypatch.chdir(tmp_path)
    for name in (*Settings.model_fields, "config"):
        monkeypatch.delenv(f"GENGUARD_{name.upper()}", raising=False)
    return SimpleNamespace(write=lambda text, name="genguard.toml": (tmp_path / name).write_text(text, "utf-8"), path=tmp_path)


def test_what_is_given_comes_before_variables_these_before_the_file(place, monkeypatch):
    """And each says where it comes from."""
    place.write('port = 1\nhost = "::1"\nmax_text = 11\nreviewers = ["ann", "bob"]\n')
    monkeypatch.setenv("GENGUARD_PORT", "2")
    monkeypatch.setenv("GENGUARD_HOST", "127.0.0.2")
    found = Settings.read(port=3)
    assert (found.port, found.host, found.max_text, found.max_image) == (3, "127.0.0.2", 11, 5_000_000)
    assert found.reviewers == ("ann", "bob")
    assert origins(Settings, {"port": 3}) == {
        "port": "command line",
        "host": "environment GENGUARD_HOST",
        "max_text": "genguard.toml",
        "reviewers": "genguard.toml",
    }


def test_the_file_may_lie_elsewhere_and_must_be_there_then(place, monkeypatch):
    """GENGUARD_CONFIG names it; the one in the working folder is left alone."""
    place.write("port = 1\n")
    place.write("port = 2\n", "other.toml")
    monkeypatch.setenv("GENGUARD_CONFIG", "other.toml")
    assert Settings.read().port == 2
    monkeypatch.setenv("GENGUARD_CONFIG", "missing.toml")
    with pytest.raises(SettingsError, match=r"missing\.toml: cannot be read: No such file"):
        Settings.read()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1\n", r"genguard\.toml: found the key 'prot', expected a setting; did you mean 'port'\?"),
        ("GENGUARD_PORT = 1\n", r"found the key 'GENGUARD_PORT', expected a setting; did you mean 'port'\?"),
        ("max-text = 1\n", r"did you mean 'max_text'\?"),
        ("[http]\nport = 1\n", "found a table 'http', expected keys alone"),
        ("port = 1\nport = 2\n", r"genguard\.toml: found what is no TOML"),
        ("port = \n", "found what is no TOML: .*line 1"),
        ('port = "many"\n', r"genguard\.toml: port: found 'many', expected a valid integer"),
        ("port = 70000\n", r"genguard\.toml: port: found '70000', expected less than or equal to 65535"),
        ('witness_policy = "maybe"\n', r"genguard\.toml: witness_policy: found 'maybe', expected 'warn' or 'require'"),
        ("max_text = 0\nmax_image = 0\n", "max_text: found '0', .*; genguard.toml: max_image: found '0'"),
    ],
)
def test_mistakes_in_the_file_are_told_with_file_and_key(place, text, told):
    """What was found, what was expected, what to do."""
    place.write(text)
    with pytest.raises(SettingsError, match=told) as caught:
        Settings.read()
    assert caught.value.advice


def test_mistakes_are_told_by_the_name_of_their_source(place, monkeypatch):
    """A variable, or an option."""
    monkeypatch.setenv("GENGUARD_PORT", "0")
    with pytest.raises(SettingsError, match="GENGUARD_PORT: found '0', expected greater"):
        Settings.read()
    with pytest.raises(SettingsError, match="--max-text: found '-1', expected greater"):
        Settings.read(port=1, max_text=-1)


@pytest.mark.parametrize("text", [f"api_keys = {SECRET!r}, {SECRET!r}", f'port = "{SECRET}"', f'api_keys = ["{SECRET}"]'])
def test_mistakes_never_quote_what_may_be_a_secret(place, text):
    """Not even one that stands in the wrong place."""
    place.write(text)
    with pytest.raises(SettingsError) as caught:
        Settings.read()
    assert SECRET not in caught.value.diagnostics()


def test_a_file_that_is_no_text_is_refused(place):
    """As one that is far too long."""
    (place.path / "genguard.toml").write_bytes(b"port = \xff")
    with pytest.raises(SettingsError, match="no UTF-8"):
        Settings.read()
    (place.path / "genguard.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(SettingsError, match="more than 1000000 bytes"):
        Settings.read()


def test_secrets_are_masked(place):
    """Keys, and the password of a ledger's address."""
    found = Settings.read(ledger=f"postgresql://me:{SECRET}@db/genguard", api_keys=f"a:{SECRET}", webhook_secret="")
    shown = {one.name: one.value for one in settings_of(found, {})}
    assert (shown["api_keys"], shown["webhook_secret"]) == (MASK, "")
    assert shown["ledger"] == "postgresql://me:***@db/genguard"
    assert SECRET not in str(shown)
    broken = settings_of(Settings.read(ledger=f"postgresql//{SECRET}"), {})
    assert SECRET not in str(broken)


def test_what_is_probably_a_mistake_is_told(place, monkeypatch):
    """A variable of ours that is no setting, and a file with secrets that others may read."""
    monkeypatch.setenv("GENGUARD_POLICYS", "mine")
    place.write(f'api_keys = "a:{SECRET}"\n')
    (place.path / "genguard.toml").chmod(0o644)
    told = [line for line in notices(Settings) if "POLICYS" in line or "secret" in line]
    assert told[0] == "the variable GENGUARD_POLICYS is no setting; did you mean 'policies'?"
    assert "chmod 600" in told[1]
    (place.path / "genguard.toml").chmod(0o600)
    assert not [line for line in notices(Settings) if "secret" in line]


def test_the_example_has_every_setting_and_can_be_used(place):
    """As it is, with nothing set; and with every comment taken away from its keys."""
    text = example(Settings)
    place.write(text)
    assert origins(Settings) == {}
    bare = "\n".join(
        line.removeprefix("#") if line.startswith("#") and line[1:2].isalpha() else line for line in text.splitlines()
    )
    assert tuple(tomllib.loads(bare)) == tuple(Settings.model_fields)
    place.write(bare)
    defaults = Settings.model_construct()
    same = [name for name, field in Settings.model_fields.items() if field.default not in (None, SecretStr(""))]
    assert all(getattr(Settings.read(), name) == getattr(defaults, name) for name in same)


def test_every_setting_says_what_it_is_and_headings_stand_before_settings():
    """Nothing is in the example without words."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
    assert set(HEADINGS) | SPREAD <= set(Settings.model_fields)


def test_the_example_that_is_checked_in_is_of_now():
    """`genguard config example > deploy/genguard.example.toml` writes it."""
    assert (ROOT / "deploy" / "genguard.example.toml").read_text("utf-8") == example(Settings)


def test_what_the_core_reads_from_the_environment_comes_from_the_file_too(place, monkeypatch):
    """Unless the environment says otherwise."""
    import os

    monkeypatch.setattr(os, "environ", dict(os.environ) | {"GENGUARD_LEDGER": "sqlite:///mine.db"})
    place.write('ledger = "sqlite:///file.db"\nbanks = "works"\nport = 9\n')
    spread(tuple(Settings.model_fields))
    assert (os.environ["GENGUARD_LEDGER"], os.environ["GENGUARD_BANKS"]) == ("sqlite:///mine.db", "works")
    assert "GENGUARD_PORT" not in os.environ
