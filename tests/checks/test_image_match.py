"""The check that finds protected works in images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from guard.errors import InputError, ModelError, RegistryError
from guard.imaging import image_content
from guard.matching import bank as banks
from guard.matching.images import fingerprints, hash_score
from guard.matching.works import Work
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Region, Request, Stage

WORKS = Path(__file__).parents[2] / "training" / "diffusion" / "works"


def content(image: Image.Image) -> Content:
    return image_content(image, stage=Stage.OUTPUT, origin=CALLER, request=Request("r"))


def loaded(**parameters: object) -> Check:
    check = checks.make("image_match", parameters)
    check.load()
    return check


@pytest.fixture(scope="module")
def check() -> Check:
    return loaded()


def test_its_examples_hold(check: Check) -> None:
    """What it says it flags it flags, and what it says it passes it passes."""
    assert check.examples.flagged
    assert check.examples.clean
    assert all(scan.findings for scan in check(check.examples.flagged))
    assert not any(scan.findings for scan in check(check.examples.clean))


def test_it_is_a_check(check: Check) -> None:
    """It fits the protocol, and its digest is the bank's once it is loaded."""
    assert isinstance(check, Check)
    assert check.blocking
    assert frozenset({Modality.IMAGE}) == check.modalities
    assert set(check.labels) == {"matched", "cleared", "not_matchable"}
    assert set(check.labels.values()) == {"intellectual_property"}
    assert banks.load("protected-works").digest == check.digest
    assert not checks.make("image_match").digest


@pytest.mark.parametrize("name", sorted(path.stem for path in WORKS.glob("*.png")))
def test_every_bundled_work_is_found_in_its_copies(check: Check, name: str) -> None:
    """Small, turned, recompressed or on a page: the work is named, with distance and limit."""
    work = Image.open(WORKS / f"{name}.png").convert("RGB")
    page = Image.new("RGB", (700, 640), (250, 250, 250))
    page.paste(work, (90, 60))
    buffer = io.BytesIO()
    work.resize((200, 200)).save(buffer, "JPEG", quality=35)
    copies = [work, work.resize((96, 96)), work.transpose(Image.Transpose.TRANSVERSE), page, Image.open(buffer)]
    for copy, scan in zip(copies, check([content(copy) for copy in copies]), strict=True):
        (finding,) = scan.findings
        assert finding.match is not None
        assert name == finding.match.work
        assert finding.match.bank == "protected-works"
        assert finding.match.distance <= finding.match.limit
        assert hash_score(finding.match.distance) == finding.score
        assert Region(0, 0, copy.width, copy.height) == finding.where == scan.scanned
        assert finding.reason.startswith(f"{finding.match.method} distance {finding.match.distance} of at most")
        assert finding.match.title in finding.reason
    assert check([content(work)])[0].findings[0].score == 1000


@pytest.mark.parametrize(
    "picture", [Image.new("RGB", (300, 200), "white"), Image.effect_noise((20, 300), 80)], ids=["flat", "tiny"]
)
def test_a_picture_without_content_is_not_matchable(check: Check, picture: Image.Image) -> None:
    """It is neither matched nor called clean, and the reason says why."""
    (scan,) = check([content(picture)])
    (finding,) = scan.findings
    assert (finding.label, finding.category) == ("not_matchable", "intellectual_property")
    assert finding.reason.startswith("not matchable: the picture ")
    assert Region(0, 0, *picture.size) == scan.scanned == finding.where


def test_scores_fall_with_distance() -> None:
    """1000 for the same hash, 0 for what coincidence gives."""
    assert [hash_score(distance) for distance in (0, 31, 128, 256)] == [1000, 758, 0, 0]


def test_a_damaged_image_raises(check: Check) -> None:
    """It is never passed as clean."""
    for data in (b"no image", content(Image.effect_noise((90, 90), 50)).file[:2000]):
        with pytest.raises(InputError):
            check([Content(Modality.IMAGE, data, "image/png", Stage.OUTPUT, CALLER, Request("r"))])


def test_a_check_that_was_not_loaded_raises() -> None:
    """No bank, no answer."""
    with pytest.raises(ModelError, match="not loaded"):
        checks.make("image_match")([content(Image.new("RGB", (10, 10)))])


def faint(shift: int = 0) -> Image.Image:
    """A picture of little contrast, whose PDQ quality is poor."""
    picture = Image.new("RGB", (256, 256), (232, 232, 232))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((50 + shift, 70, 180 + shift, 190), fill=(206, 206, 206))
    pen.polygon([(120, 40 + shift), (220, 220), (150, 230)], fill=(190, 190, 200))
    return picture


def made_bank(methods: tuple[str, ...] = ("pdq", "phash"), **pictures: Image.Image) -> banks.Bank:
    """A bank in memory of pictures by their ids."""
    bank = banks.Bank.memory("b")
    for name, picture in pictures.items():
        bank.add([Work(name, name.title(), fingerprints=fingerprints(picture, methods))])
    return bank


def test_pdq_has_to_be_surer_where_detail_is_low(tmp_path: Path) -> None:
    """The limit is halved, and the reason says so."""
    name = str(tmp_path / "b.jsonl")
    made_bank(faint=faint()).write(tmp_path / "b.jsonl")
    (finding,) = loaded(bank=name, methods=["pdq"], pdq_limit=31, pdq_quality=101)([content(faint())])[0].findings
    assert finding.match is not None
    assert finding.match.limit == 15
    assert "low detail" in finding.reason
    (finding,) = loaded(bank=name, methods=["pdq"], pdq_limit=31, pdq_quality=0)([content(faint())])[0].findings
    assert finding.match is not None
    assert finding.match.limit == 31
    assert "low detail" not in finding.reason


def test_several_works_are_reported_nearest_first(tmp_path: Path) -> None:
    """One finding a work, by its best method."""
    made_bank(**{f"s{shift}": faint(shift) for shift in (6, 0, 3)}).write(tmp_path / "b.jsonl")
    (scan,) = loaded(bank=str(tmp_path / "b.jsonl"), pdq_limit=99, phash_limit=99, pdq_quality=0)([content(faint())])
    found = [finding.match.work for finding in scan.findings if finding.match]
    assert found[0] == "s0"
    assert len(found) == len(set(found))
    assert sorted((f.score for f in scan.findings), reverse=True) == [f.score for f in scan.findings]


def test_a_bank_that_no_method_covers_is_refused(tmp_path: Path) -> None:
    """Works that could never be found are an error when the bank is loaded."""
    bank = made_bank(("dhash",), a=faint())
    bank.write(tmp_path / "b.jsonl")
    with pytest.raises(ModelError, match="no work of bank 'b'"):
        loaded(bank=str(tmp_path / "b.jsonl"))
    assert loaded(bank=str(tmp_path / "b.jsonl"), methods=["dhash"]).digest == bank.digest


@pytest.mark.parametrize(
    "parameters",
    [
        {"methods": []},
        {"methods": ["md5"]},
        {"methods": "ahash"},
        {"pdq_limit": 128},
        {"phash_limit": -1},
        {"unknown": 1},
        {"details": 2},
        {"false_match_rate": 0},
        {"territory": "Germany"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, object]) -> None:
    """No method, an unknown one, or a limit at which unrelated pictures match."""
    with pytest.raises(RegistryError):
        checks.make("image_match", parameters)


def test_an_unknown_bank_is_refused_when_loaded() -> None:
    """With the banks there are."""
    with pytest.raises(ModelError, match="no bank 'nowhere'"):
        loaded(bank="nowhere")


def test_unrelated_pictures_pass(check: Check) -> None:
    """Noise, gradients and stripes match nothing."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    pictures = [
        Image.effect_noise((256, 256), 80),
        Image.fromarray(ramp),
        Image.fromarray(np.where(ramp // 16 % 2, 255, 0).astype(np.uint8)),
    ]
    assert [scan.findings for scan in check([content(picture) for picture in pictures])] == [()] * 3
