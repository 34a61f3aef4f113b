"""audit.sampling: which decisions persons look at again, and how far they agree."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from ledger_examples import decision

from audit import review_steps as steps
from audit.sampling import Agreement, agreement, candidates, drawn
from guard.errors import InputError
from guard.types import Action

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def test_kappa_is_that_of_a_table_computed_by_hand():
    """50 decisions: both release 20, both withhold 15, 5 and 10 apart. p_o 0.7, p_e 0.5*0.6 + 0.5*0.4 = 0.5, kappa 0.4."""
    table = {
        ("release", "release"): 20,
        ("release", "withhold"): 5,
        ("withhold", "release"): 10,
        ("withhold", "withhold"): 15,
    }
    found = Agreement(table)
    assert (found.pairs, found.observed) == (50, pytest.approx(0.7))
    assert found.kappa == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ({}, None),
        ({("release", "release"): 9}, None),
        ({("release", "release"): 5, ("withhold", "withhold"): 5}, 1.0),
        ({("release", "withhold"): 5, ("withhold", "release"): 5}, -1.0),
        ({("release", "release"): 1, ("release", "withhold"): 1, ("withhold", "release"): 1, ("withhold", "withhold"): 1}, 0.0),
    ],
)
def test_kappa_at_its_ends(table, kappa):
    """Not defined where nothing varies."""
    assert Agreement(table).kappa == kappa


def test_a_sample_is_the_same_whoever_draws_it():
    """About the share asked for, and larger ones hold the smaller ones."""
    chance = random.Random(1)
    ids = [str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(20_000)]
    small, large = {one for one in ids if drawn(one, 0.01)}, {one for one in ids if drawn(one, 0.1)}
    assert 140 < len(small) < 260
    assert 1_850 < len(large) < 2_150
    assert small < large
    assert drawn("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", 1.0)


def test_a_sample_is_of_automatic_decisions_that_nobody_was_asked_about(ledger, url):
    """Once each; held ones wait anyway."""
    ids = [str(ledger.append_sync(decision(Action.REDACT, number=number)).decision) for number in range(4)]
    ledger.append_sync(decision(Action.REVIEW))
    other = str(ledger.append_sync(decision(Action.BLOCK, tenant="umbrella")).decision)
    assert candidates(url, 1.0, LONG_AGO) == [*ids, other]
    assert candidates(url, 1.0, LONG_AGO, tenant="umbrella") == [other]
    steps.sample(ledger, ids[0], "auditor")
    steps.feedback(ledger, ids[1], "app", "wrong_block")
    assert candidates(url, 1.0, LONG_AGO) == [*ids[2:], other]
    assert candidates(url, 1.0, datetime.now(UTC) + timedelta(days=1)) == []
    assert candidates(url, 0.5, LONG_AGO) == [one for one in [*ids[2:], other] if drawn(one, 0.5)]
    for rate in (0, 1.1):
        with pytest.raises(InputError, match="expected more than 0"):
            candidates(url, rate, LONG_AGO)


def test_agreement_counts_what_two_persons_said_and_stands(ledger, url):
    """Not what was undone, and no appeals."""

    def look(one: str, *said: str) -> None:
        steps.sample(ledger, one, "auditor", persons=2)
        for who, outcome in zip(("ann", "bob"), said, strict=False):
            steps.claim(ledger, one, who)
            steps.decide(ledger, one, who, outcome, "quality")

    ids = [str(ledger.append_sync(decision(Action.REDACT, number=number)).decision) for number in range(4)]
    look(ids[0], "release", "release")
    look(ids[1], "release", "withhold")
    look(ids[2], "withhold", "withhold")
    look(ids[3], "withhold")
    steps.undo(ledger, ids[2], "bob", "misread")
    steps.appeal(ledger, ids[1], "app", "please")
    steps.claim(ledger, ids[1], "cas")
    steps.decide(ledger, ids[1], "cas", "release", "quality", "so be it")
    assert agreement(url).table == {("release", "release"): 1, ("release", "withhold"): 1}
    assert agreement(url, queue="held").pairs == 0
    assert agreement(url, queue="quality", tenant="acme").pairs == 2
