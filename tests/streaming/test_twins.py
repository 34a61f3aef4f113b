"""`Guard.stream_sync`: the same events for code without an event loop."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from guard.errors import GenerationError
from guard.rules import MarkSpec
from guard.streaming.events import Called, Delta, Ended
from guard.types import Ending, Making, Modality, ToolCall
from tests.streaming.streams import PieceGenerator
from tests.streaming.test_streams import guard_of


def test_events_come_in_order_and_end() -> None:
    """As the awaited ones."""
    guard, ledger = guard_of()
    events = list(guard.stream_sync(PieceGenerator(["Your par", "cel left. It is secret", ". Bye."]), "say it"))
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "Your parcel left. It is ******. Bye."
    assert isinstance(events[-1], Ended)
    assert ledger.decisions[-1] is events[-1].release.decision


def test_a_reader_who_leaves_stops_the_generator() -> None:
    """What left is recorded when `close` returns."""
    guard, ledger = guard_of()
    generator = PieceGenerator([f"This is sentence {number}. " for number in range(500)])
    with closing(guard.stream_sync(generator, "say it")) as events:
        next(events)
    assert generator.closed
    assert ledger.decisions[-1].stream.ending is Ending.CANCELLED


def test_errors_are_raised_where_it_is_read() -> None:
    """After what had ended before."""
    guard, _ = guard_of()
    events = guard.stream_sync(PieceGenerator(["Good day. ", GenerationError("it broke")]), "say it")
    seen = []
    with pytest.raises(GenerationError, match="it broke"):
        seen.extend(iter(lambda: next(events), None))
    assert not [event for event in seen if isinstance(event, Called)]


def test_readers_on_several_threads_keep_apart() -> None:
    """One background loop serves them all."""
    guard, _ = guard_of()
    found: dict[int, str] = {}

    def read(number: int) -> None:
        generator = PieceGenerator([f"This is {number}. ", f"And this is {number}."])
        events = guard.stream_sync(generator, "say it")
        found[number] = "".join(event.text for event in events if isinstance(event, Delta))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {number: f"This is {number}. And this is {number}." for number in range(8)}


def test_no_mark_is_put_on_a_tool_call() -> None:
    """A label would break the arguments, which are JSON."""
    guard, ledger = guard_of(marks=(MarkSpec("label", Modality.TEXT, {"profile": "plain"}),))
    call = Making(finish="tool_calls", call=ToolCall("c1", "look_up"))
    (event,) = list(guard.stream_sync(PieceGenerator(['{"name": "x"}'], making=call), "say it"))
    assert event.release.content.text == '{"name": "x"}'
    assert ledger.decisions[-1].marks == ()
    said = list(guard.stream_sync(PieceGenerator(["Hello there."]), "say it"))
    assert said[-1].release.content.text != "Hello there."
