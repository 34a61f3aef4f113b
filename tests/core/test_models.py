"""guard.models: files that are what was published, or an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard import models
from guard.errors import ModelError
from guard.models import BUNDLED, files_digest, locate, sha256, write_manifest


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundled model `bundled/tiny` with two files, a card and a manifest."""
    monkeypatch.setattr(models, "BUNDLED", tmp_path)
    folder = tmp_path / "tiny"
    (folder / "tokens").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"\1\2\3")
    (folder / "tokens" / "vocab.txt").write_text("a\nb\n")
    (folder / "MODEL_CARD.md").write_text("# Tiny\n")
    write_manifest(folder, name="tiny", version="1", licence="Apache-2.0", training="python training/tiny/train.py")
    return folder


def test_a_sound_model_is_found_with_its_digest(bundled: Path) -> None:
    """By its bundled name and by its path, with the same digest."""
    found = locate("bundled/tiny")
    assert (found.name, found.version, found.path) == ("bundled/tiny", "1", bundled)
    assert found.digest == locate(str(bundled)).digest
    names = ("weights.safetensors", "tokens/vocab.txt")
    assert found.digest == files_digest({name: sha256(bundled / name) for name in names})


@pytest.mark.parametrize("name", ["weights.safetensors", "tokens/vocab.txt"])
def test_a_changed_byte_is_found(bundled: Path, name: str) -> None:
    """The file is named, with the digest it has and the one it should have."""
    file = bundled / name
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} has digest [0-9a-f]{{64}}, expected [0-9a-f]{{64}}"):
        locate("bundled/tiny")


def test_a_missing_file_is_found(bundled: Path) -> None:
    """Half a model is none."""
    (bundled / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="no such file"):
        locate("bundled/tiny")


def test_a_file_that_the_manifest_does_not_name_is_refused(bundled: Path) -> None:
    """A loader would read added settings or tokens, and the digest would not stand for them."""
    (bundled / "tokens" / "added_tokens.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokens/added_tokens\.json is not in manifest\.json"):
        locate("bundled/tiny")


def test_the_card_may_change(bundled: Path) -> None:
    """It is read by persons, not loaded."""
    before = locate("bundled/tiny").digest
    (bundled / "MODEL_CARD.md").write_text("# Tiny, explained better\n")
    assert locate("bundled/tiny").digest == before


def test_a_bundled_model_without_a_manifest_is_refused(bundled: Path) -> None:
    """Removing the manifest does not remove the proof."""
    (bundled / "manifest.json").unlink()
    with pytest.raises(ModelError, match=r"no manifest\.json"):
        locate("bundled/tiny")


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"version": "1"}', '{"version": "1", "files": 7}', "\ufffe"])
def test_a_manifest_that_cannot_be_read_is_a_model_error(bundled: Path, manifest: str) -> None:
    """Whatever is wrong with it."""
    (bundled / "manifest.json").write_text(manifest)
    with pytest.raises(ModelError, match="cannot be read"):
        locate("bundled/tiny")


def test_an_operators_own_folder_needs_no_manifest(tmp_path: Path) -> None:
    """Its digest covers what is there, and changes with any byte and any name."""
    (tmp_path / "config.json").write_text("{}")
    first = locate(str(tmp_path))
    assert first.version == ""
    (tmp_path / "config.json").write_text("{ }")
    second = locate(str(tmp_path))
    (tmp_path / "config.json").rename(tmp_path / "settings.json")
    assert len({first.digest, second.digest, locate(str(tmp_path)).digest}) == 3


def test_an_unknown_model_names_the_bundled_ones(bundled: Path) -> None:
    """As advice."""
    with pytest.raises(ModelError, match="no model folder for 'bundled/large'") as caught:
        locate("bundled/large")
    assert "bundled/tiny" in caught.value.diagnostics()


def test_every_bundled_model_is_what_its_manifest_says() -> None:
    """Each with a version, a licence, the command that makes it again, and a card."""
    for manifest in sorted(BUNDLED.glob("*/manifest.json")):
        record = json.loads(manifest.read_text("utf-8"))
        assert locate(f"bundled/{manifest.parent.name}").digest == files_digest(record["files"])
        assert record["version"]
        assert record["licence"]
        assert record["training"]
        assert (manifest.parent / "MODEL_CARD.md").read_text("utf-8").startswith("#")
