"""Where the watermark key comes from, and that a lost one is never replaced in silence."""

from __future__ import annotations

import base64
import io
import stat
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from starlette.testclient import TestClient

from guard.errors import SettingsError
from guard.marks.tile_marker import read_tile
from service import create_app
from serving.settings import Settings
from serving.watermarking import find_watermark_key

POLICY = """
policy: desk
version: 1
status: live
checks: {works: {use: image_match, bank: protected-works, deadline_ms: 60000}}
rules: [{id: copy, when: {works: matched}, action: block}]
marks: {watermark: {image: true}}
"""


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENGUARD_WATERMARK_KEY", raising=False)


def settings(tmp_path: Path, **given: object) -> Settings:
    file = tmp_path / "desk.yaml"
    file.write_text(POLICY, "utf-8")
    return Settings(policies=(str(file),), ledger=f"sqlite:///{tmp_path / 'ledger.db'}", generators=("echo",), **given)


def checked(client: TestClient) -> tuple[bytes, str]:
    """A released picture, and the payload that its decision records."""
    page = Image.new("RGB", (300, 260), "#f4efe2")
    ImageDraw.Draw(page).ellipse((40, 30, 200, 230), fill="#1f4fa0")
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    answer = client.post("/v1/check", json={"image": base64.b64encode(buffer.getvalue()).decode()}).json()
    (mark,) = answer["genguard"]["marks"]
    return base64.b64decode(answer["image"]), mark["payload"]


def test_the_key_is_made_once_beside_the_ledger(tmp_path: Path) -> None:
    """For its owner alone; what one run marked the next one reads."""
    wanted = settings(tmp_path)
    files = []
    for _ in range(2):
        with TestClient(create_app(wanted)) as client:
            files.append(checked(client))
    key = find_watermark_key(wanted.ledger)
    assert stat.S_IMODE((tmp_path / "ledger.db.watermark.key").stat().st_mode) == 0o600
    assert [read_tile(data, key).payload.hex() for data, _ in files] == [payload for _, payload in files]
    assert files[0][1] != files[1][1]


def test_a_key_that_was_lost_is_not_replaced(tmp_path: Path) -> None:
    """A new one would read none of the images that are out."""
    with TestClient(create_app(settings(tmp_path))) as client:
        checked(client)
    file = tmp_path / "ledger.db.watermark.key"
    file.rename(tmp_path / "kept.key")
    with pytest.raises(SettingsError, match="cannot read the watermark key file"), TestClient(create_app(settings(tmp_path))):
        pass
    assert not file.exists()
    with TestClient(create_app(settings(tmp_path, watermark_key_file=tmp_path / "kept.key"))) as client:
        assert checked(client)[1]


def test_a_key_in_the_environment_is_used_and_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As base64; what is no key is refused without being shown."""
    secret = bytes(range(32))
    monkeypatch.setenv("GENGUARD_WATERMARK_KEY", base64.b64encode(secret).decode())
    with TestClient(create_app(settings(tmp_path))) as client:
        data, payload = checked(client)
    assert read_tile(data, secret).payload.hex() == payload
    assert not (tmp_path / "ledger.db.watermark.key").exists()
    monkeypatch.setenv("GENGUARD_WATERMARK_KEY", "no key at all")
    with pytest.raises(SettingsError, match="GENGUARD_WATERMARK_KEY does not hold") as caught:
        find_watermark_key("sqlite:///none.db")
    assert "no key at all" not in caught.value.diagnostics()


def test_a_policy_without_keyed_marks_makes_no_key(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    Path(wanted.policies[0]).write_text(POLICY.replace("image: true", "image: {method: dwtDctSvd}"), "utf-8")
    with TestClient(create_app(wanted)) as client:
        assert checked(client)[1]
    assert not (tmp_path / "ledger.db.watermark.key").exists()
