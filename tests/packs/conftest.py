"""The examples of all packs, measured once."""

from __future__ import annotations

import pytest

from tests.packs.measuring import NAMES, Answers, measure, opened, variants


@pytest.fixture(scope="session")
def answers() -> Answers:
    """What the checks of all packs, and of policies begun from them, answer for their examples."""
    return measure([one for pack in NAMES for one in (opened(pack), *variants(pack))])
