"""The check of protected works over banks of photographs: parts, cleared look-alikes, validity, territory, refresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from PIL import Image

from guard.checks import image_match
from guard.imaging import image_content
from guard.matching.snapshot import Snapshot, snapshot_of
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Request, Scan, Stage
from tests.matching.photos import bank, page, photo, work


class Live:
    """A bank that changes."""

    def __init__(self, held: Snapshot) -> None:
        self.held = held

    def snapshot(self) -> Snapshot:
        return self.held


Make = Callable[..., Check]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A loaded check over these banks."""

    def made(banks: dict[str, Live], **parameters: object) -> Check:
        monkeypatch.setattr(image_match.banks, "load", banks.__getitem__)
        check = checks.make("image_match", parameters)
        check.load()
        return check

    return made


def content(picture: Image.Image) -> Content:
    return image_content(picture, stage=Stage.OUTPUT, origin=CALLER, request=Request("r"))


def scan(check: Check, picture: Image.Image) -> Scan:
    (answer,) = check([content(picture)])  # type: ignore[misc]
    return answer


def labels(check: Check, picture: Image.Image) -> list[tuple[str, str]]:
    return [(one.label, one.match.work) for one in scan(check, picture).findings if one.match]


def tinted(picture: Image.Image) -> Image.Image:
    """A look-alike: the same scene with another half."""
    other = picture.copy()
    other.paste(photo("sea").resize((100, 320)), (0, 0))
    return other


def test_a_part_of_a_work_is_matched(make: Make) -> None:
    """With place, odds and transformation; unless only the first stage is asked for."""
    crop = photo("chapel").crop((90, 60, 310, 300)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (finding,) = scan(make({"b": Live(bank())}, bank="b"), crop).findings
    assert finding.match is not None
    assert (finding.label, finding.match.work, finding.match.method) == ("matched", "chapel", "local")
    assert finding.match.transform.startswith("mirrored, cropped to ")
    assert finding.match.chance
    assert scan(make({"b": Live(bank())}, bank="b", local=False), crop).findings == ()


def test_a_cleared_look_alike_is_not_matched(make: Make) -> None:
    """What is at least as close to a cleared work is reported as cleared; the protected work itself still matches."""
    alike = tinted(photo("chapel"))
    cleared = snapshot_of("ok", [work("alike", alike)], digest="c1")
    check = make({"b": Live(bank()), "ok": Live(cleared)}, bank="b", cleared="ok")
    assert ("matched", "chapel") in labels(make({"b": Live(bank())}, bank="b"), alike)
    assert labels(check, alike) == [("cleared", "chapel")]
    assert labels(check, photo("chapel")) == [("matched", "chapel")]
    assert "cleared work" in scan(check, alike).findings[0].reason
    assert scan(check, alike).digest == "d1 c1" == check.digest


def test_a_protected_work_beside_a_cleared_one_is_matched(make: Make) -> None:
    """A cleared work excuses its own place in a picture, no other."""
    cleared = snapshot_of("ok", [work("pebbles")], digest="c1")
    check = make({"b": Live(bank()), "ok": Live(cleared)}, bank="b", cleared="ok")
    both = page((700, 400), (photo("pebbles"), (20, 40)), (photo("chapel"), (360, 40)))
    assert labels(check, both) == [("matched", "chapel"), ("cleared", "pebbles")]
    assert labels(check, page((700, 400), (photo("pebbles"), (200, 40)))) == [("cleared", "pebbles")]


@pytest.mark.parametrize(
    ("facts", "territory", "matches"),
    [
        ({}, "DE", True),
        ({"territory": ("DE", "FR")}, "DE", True),
        ({"territory": ("DE", "FR")}, "US", False),
        ({"territory": ("DE", "FR")}, "", True),
        ({"valid_until": date(2001, 1, 1)}, "", False),
        ({"valid_from": date(2100, 1, 1)}, "", False),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_works_match_where_and_while_they_are_valid(
    make: Make, facts: dict[str, object], territory: str, matches: bool, whole: bool
) -> None:
    """Out of its dates or territory a work is not reported, by either stage."""
    held = snapshot_of("b", [work("chapel", **facts)], digest="d")
    picture = photo("chapel") if whole else photo("chapel").crop((60, 60, 310, 300))
    found = labels(make({"b": Live(held)}, bank="b", territory=territory), picture)
    assert found == ([("matched", "chapel")] if matches else [])


def test_a_bank_that_changes_is_matched_as_it_is(make: Make) -> None:
    """The next batch sees what was added and retired, and its digest goes into the scan."""
    live = Live(bank())
    check = make({"b": live}, bank="b")
    assert labels(check, photo("sea")) == []
    live.held = snapshot_of("photos", [work("sea")], digest="d2")
    assert labels(check, photo("sea")) == [("matched", "sea")]
    assert labels(check, photo("chapel")) == []
    assert scan(check, photo("sea")).digest == "d2"
    assert check.digest == "d1"


def test_a_bank_of_details_alone_is_matched(make: Make) -> None:
    """Works without hashes are found by the second stage."""
    held = snapshot_of("b", [work("kitchen", methods=["local"])], digest="d")
    assert labels(make({"b": Live(held)}, bank="b"), photo("kitchen")) == [("matched", "kitchen")]
