"""What checks say of themselves to those who write policies."""

from __future__ import annotations

import pytest

from guard.registry import checks
from guard.traits import PLAIN, Places, Traits, joined, traits_of

ENDPOINT = {"base_url": "https://moderation.example/v1", "model": "m"}
TOXIC = {"use": "toxicity", "model": "bundled/toxicity-en"}


@pytest.mark.parametrize(
    ("use", "parameters", "traits"),
    [
        ("toxicity", {}, Traits(Places.WORST, estimates=True, reports_from=100)),
        ("toxicity", {"model": "unbiased", "report_from": 50}, Traits(Places.WORST, True, 50, (("unbiased", "unbiased"),))),
        ("classifier", {"model": "o/n", "labels": {"x": "hate"}}, Traits(Places.WORST, True, 100, (("o/n", ""),))),
        ("prompt_injection", {}, Traits(Places.WORST, estimates=True, reports_from=100)),
        (
            "moderation_endpoint",
            ENDPOINT,
            Traits(Places.WHOLE, estimates=True, reports_from=100, endpoints=("https://moderation.example/v1/moderations",)),
        ),
        ("llm_judge", ENDPOINT, Traits(Places.WHOLE, endpoints=("https://moderation.example/v1/chat/completions",))),
        ("llm_judge", {"model": "o/n", "revision": "abc"}, Traits(Places.WHOLE, hub=(("o/n", "abc"),))),
        ("pii", {}, Traits(reports_from=400)),
        ("secrets", {"min_score": 700}, Traits(reports_from=700)),
        ("image_match", {}, PLAIN),
        (
            "fusion",
            {"members": {"a": TOXIC, "b": {**TOXIC, "use": "toxicity", "window_tokens": 64}}, "report_from": 200},
            Traits(Places.WORST, estimates=True, reports_from=200),
        ),
    ],
)
def test_bundled_checks_say_what_kind_they_are(use, parameters, traits):
    """Before anything is loaded."""
    assert traits_of(checks.make(use, parameters)) == traits


def test_a_check_that_says_nothing_is_the_plain_kind():
    """Third parties need not know of traits."""
    assert traits_of(object()) == PLAIN


def test_what_asks_others_is_as_bad_as_the_worst_of_them():
    """One member without places takes them from all."""
    parts = [Traits(), Traits(Places.NONE, hub=(("o/n", ""),)), Traits(Places.WORST, estimates=True, endpoints=("https://x",))]
    assert joined(parts) == Traits(Places.NONE, estimates=True, hub=(("o/n", ""),), endpoints=("https://x",))
