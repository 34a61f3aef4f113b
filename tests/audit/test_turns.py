"""Python's threads take short turns while a commit runs, and nothing looks for garbage."""

from __future__ import annotations

import gc
import sys

import pytest

from audit.turns import SHORT_S, no_collection, short_turns


@pytest.fixture(autouse=True)
def _usual():
    """The setting of before, whatever a test does."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_turns_are_short_until_the_last_block_is_left():
    sys.setswitchinterval(0.005)
    with short_turns():
        with short_turns():
            assert sys.getswitchinterval() == pytest.approx(SHORT_S)
        assert sys.getswitchinterval() == pytest.approx(SHORT_S)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_a_failure_leaves_it_as_it_was():
    sys.setswitchinterval(0.004)
    with pytest.raises(ZeroDivisionError), short_turns():
        raise ZeroDivisionError
    assert sys.getswitchinterval() == pytest.approx(0.004)


@pytest.mark.parametrize("theirs", [0.0001, 0.05])
def test_what_the_application_asks_for_is_kept(theirs):
    """Turns that are shorter already, and those that somebody sets in between."""
    sys.setswitchinterval(0.0001)
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(0.0001)
    assert sys.getswitchinterval() == pytest.approx(0.0001)
    sys.setswitchinterval(0.005)
    with short_turns():
        sys.setswitchinterval(theirs)
    assert sys.getswitchinterval() == pytest.approx(theirs)


def test_nothing_collects_until_the_last_block_is_left():
    assert gc.isenabled()
    with no_collection():
        with no_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), no_collection():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    try:
        with no_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
