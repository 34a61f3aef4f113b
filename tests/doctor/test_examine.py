"""What `doctor` finds in installations that something is wrong with."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from audit.ledger import open_ledger
from doctor import PARTS, Finding, Status, examine, ledger, machine, models, versions
from guard import models as weights
from guard.chain import Chain
from guard.keyfile import write_new_key
from serving.settings import Settings

POLICY = """policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets}
rules:
  - {id: secret, title: Secrets are blocked, when: {secrets: [PRIVATE_KEY]}, action: block, category: privacy}
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a small policy and a ledger in a file, which is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk.yaml").write_text(POLICY, "utf-8")
    url = f"sqlite:///{tmp_path / 'genguard.db'}"
    open_ledger(url).close()
    return Settings.read(policies=("desk.yaml",), ledger=url)


def found(settings: Settings, part: str) -> dict[str, Finding]:
    return {one.name: one for one in examine(settings, [part])}


def changed(settings: Settings, **given: object) -> Settings:
    return settings.model_copy(update=given)


def test_a_sound_installation(settings: Settings) -> None:
    """Nothing is bad; every part says something."""
    all_found = list(examine(settings))
    assert {one.part for one in all_found} == set(PARTS)
    assert [one for one in all_found if one.status is Status.BAD] == []
    assert all(one.advice for one in all_found if one.status is not Status.OK)
    assert found(settings, "machine")["disk speed"].facts["flush_ms"] > 0
    assert not list(Path(settings.ledger.removeprefix("sqlite:///")).parent.glob(".genguard-doctor-*"))


def test_packages_that_are_missing_or_old(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named with what was expected; extras are not asked for."""
    asked = ["torch>=99", "no-such-package>=1", 'absent ; extra == "eval"', "typer>=0.1"]
    monkeypatch.setattr(versions.metadata, "requires", lambda name: asked)
    told = found(settings, "versions")
    assert told["torch"].status is Status.BAD
    assert told["torch"].found.endswith("expected >=99")
    assert told["no-such-package"].found == "not installed, expected >=1"
    assert "absent" not in told
    assert "packages" not in told
    assert told["genguard"].found == metadata.version("genguard")


def test_a_model_that_was_changed(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte is enough; the others are still counted."""
    place = tmp_path / "bundled"
    for name in ("gan-digits", "vae-digits"):
        shutil.copytree(weights.BUNDLED / name, place / name)
    monkeypatch.setattr(weights, "BUNDLED", place)
    monkeypatch.setattr(models, "BUNDLED", place)
    file = place / "gan-digits" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    told = found(settings, "models")
    assert told["gan-digits"].status is Status.BAD
    assert "model.safetensors" in told["gan-digits"].found
    assert told["bundled"].facts["models"] == 1


def test_policies_that_cannot_judge(settings: Settings, tmp_path: Path) -> None:
    """A mistake, a file that is not there, a check without its model, and what lints say."""
    (tmp_path / "wrong.yaml").write_text(POLICY.replace("when: {secrets:", "when: {secret:"), "utf-8")
    absent = POLICY.replace("{use: secrets}", "{use: toxicity, model: nowhere/at-all}")
    (tmp_path / "absent.yaml").write_text(
        absent.replace("when: {secrets: [PRIVATE_KEY]}", "when: {secrets.toxicity: 0.5}"), "utf-8"
    )
    told = found(changed(settings, policies=("wrong.yaml", "none.yaml", "absent.yaml", "desk.yaml")), "policy")
    assert {told[name].status for name in ("wrong.yaml", "none.yaml", "absent.yaml")} == {Status.BAD}
    assert told["desk.yaml checks"].status is Status.OK
    assert found(changed(settings, policies=()), "policy")["policies"].status is Status.BAD


def test_a_check_that_cannot_be_loaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with its policy."""

    async def load(_chain: Chain) -> dict[str, str]:
        return {"secrets": "no memory left"}

    monkeypatch.setattr(Chain, "load", load)
    told = found(settings, "policy")
    assert told["desk.yaml.secrets"].status is Status.BAD
    assert told["desk.yaml.secrets"].found == "no memory left"
    assert "desk.yaml checks" not in told


def test_places_where_no_ledger_can_be(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder; a folder or a file that is not writable; a URL of no database."""
    told = found(changed(settings, ledger=f"sqlite:///{tmp_path}/no/genguard.db"), "ledger")
    assert told["database"].status is Status.BAD
    assert "no folder" in told["database"].found
    told = found(changed(settings, ledger="mysql://h/d"), "ledger")
    assert told["ledger"].status is Status.BAD
    monkeypatch.setattr(ledger.os, "access", lambda *_: False)
    assert "may not write" in found(settings, "ledger")["database"].found
    assert "not writable" in found(changed(settings, ledger=f"sqlite:///{tmp_path}/new.db"), "ledger")["database"].found


def test_a_ledger_of_before_and_a_clock_that_is_behind(settings: Settings) -> None:
    """Changes that are due are told, and entries of the future."""
    database = settings.ledger.removeprefix("sqlite:///")
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        for (trigger,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        connection.execute(text("UPDATE entry SET time = '2999-01-01T00:00:00.000000Z'"))
        connection.execute(text("UPDATE schema_version SET version_num = '0001'"))
    engine.dispose()
    told = found(settings, "ledger")
    assert told["tables"].status is Status.WARNING
    assert told["tables"].found.startswith("revision 0001")
    assert told["time"].status is Status.WARNING
    assert told["time"].facts["ahead_s"] > 10**9


def test_master_keys_that_are_lost_or_another(settings: Settings, tmp_path: Path) -> None:
    """Either keeps the service from starting."""
    key = tmp_path / "genguard.db.key"
    good = key.read_bytes()
    key.unlink()
    assert found(settings, "keys")["master key"].status is Status.BAD
    write_new_key(key)
    told = found(settings, "keys")["master key"]
    assert told.status is Status.BAD
    assert told.found.startswith("another one")
    key.write_bytes(good)
    key.chmod(0o640)
    told_of_file = found(settings, "keys")["master key file"]
    assert told_of_file.status is Status.WARNING
    assert "0640" in told_of_file.found
    assert "chmod 600" in told_of_file.advice


def test_other_keys(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of redactions, watermarks, checkpoints, certificates, callers: unusable ones are named by their place."""
    (tmp_path / "genguard.db.redaction.key").write_text("nonsense")
    (tmp_path / "genguard.db.log.key").write_text("nonsense")
    monkeypatch.setenv("GENGUARD_WATERMARK_KEY", "too short to be one")
    told = found(changed(settings, c2pa_key=tmp_path / "none.pem", host="0.0.0.0"), "keys")
    for name in ("redaction key", "log key", "watermark key", "key of the C2PA certificate", "API keys"):
        assert told[name].status is Status.BAD, name
    assert "too short to be one" not in json.dumps([one.found + one.advice for one in told.values()])


def test_a_part_that_breaks_keeps_no_other_from_being_looked_at(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said could be a secret: only its type is told."""

    def broken(_settings: Settings) -> list[Finding]:
        raise RuntimeError("hunter2")

    monkeypatch.setitem(PARTS, "machine", broken)
    told = list(examine(settings, ["machine", "ledger"]))
    assert told[0].found == "could not be looked at: RuntimeError"
    assert told[1].part == "ledger"


def test_a_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says is read, and where it says nothing that is told."""
    assert machine._clock().status in {Status.OK, Status.WARNING}
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda *_, **__: object())
    assert "cannot be told" in machine._clock().found
