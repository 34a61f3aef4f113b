"""The last word that stands."""

from __future__ import annotations

import pytest

from audit.events import APPEAL, OVERRIDE, REVIEW
from audit.outcomes import Words


def decide(outcome, number=1, rounds=1):
    """A person's decision, of several where several have to."""
    return REVIEW, {"step": "decide", "outcome": outcome, "round": number, "rounds": rounds}


@pytest.mark.parametrize(
    ("entries", "last"),
    [
        ([], ""),
        ([(REVIEW, {"step": "claim"})], ""),
        ([decide("release")], "release"),
        ([decide("release"), (OVERRIDE, {"outcome": "withhold"})], "withhold"),
        ([decide("release"), (OVERRIDE, {"outcome": "withhold"}), (OVERRIDE, {"undoes": 1})], "release"),
        ([(APPEAL, {"step": "file"})], ""),
        ([decide("withhold"), (APPEAL, {"step": "decide", "outcome": "release"})], "release"),
        ([decide("release", 1, 2)], ""),
        ([decide("release", 1, 2), decide("release", 2, 2)], "release"),
        ([decide("withhold", 1, 2), decide("release", 2, 2)], "withhold"),
        ([decide("withhold"), decide("release", 1, 2)], "withhold"),
        ([decide("perhaps")], ""),
    ],
)
def test_the_last_word_is_that_of_all_persons_who_have_to_speak(entries, last):
    """What was taken back does not count, and neither does half a decision."""
    words = Words()
    for idx, (kind, fields) in enumerate(entries):
        words.add(idx, kind, fields)
    assert words.last == last
