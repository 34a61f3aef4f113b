"""The bundled packs do what their own tests say, measured by the bundled models."""

from __future__ import annotations

import pytest

import policies
from policies import testing


@pytest.fixture(scope="module")
def pool() -> testing.Pool:
    """Models that several packs use are loaded once."""
    return testing.Pool()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pack", policies.packs())
def test_every_test_of_the_pack_passes(pack: str, pool: testing.Pool) -> None:
    """The examples beside its rules, and the suites beside the pack."""
    report = testing.run(policies.open_policy(pack), pool=pool)
    assert [(str(one.at), one.name, one.why) for one in report.results if one.outcome is not testing.Outcome.PASSED] == []
    assert report.ok
