"""`Guard.guarded`: functions whose outputs pass the policy before their callers see them."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from PIL import Image

from guard.errors import GenerationError, LedgerError, ParameterError, WithheldError
from guard.types import Action, Decision, Receipt, Request, Stage
from tests.core.test_pipeline import guarded
from tests.fakes import MemoryLedger, png


def test_a_function_returns_what_the_policy_lets_out():
    """Edited, and recorded under the function's name."""
    guard, ledger = guarded()

    @guard.guarded
    def greet(name: str) -> str:
        """Says hello."""
        return f"hello {name}"

    assert greet("anna") == "hello [NAME]"
    assert (greet.__name__, greet.__doc__) == ("greet", "Says hello.")
    (decision,) = ledger.decisions
    assert (decision.verdict.action, decision.context.generator, decision.context.stage) == (
        Action.REDACT,
        "greet",
        Stage.OUTPUT,
    )


def test_a_coroutine_function_stays_one():
    """Awaited on the caller's loop."""
    guard, _ = guarded()
    threads = []

    @guard.guarded(name="greeter")
    async def greet(name: str) -> str:
        threads.append(threading.get_ident())
        return f"hello {name}"

    assert asyncio.run(greet("anna")) == "hello [NAME]"
    assert threads == [threading.get_ident()]


def test_the_prompt_is_judged_first_and_handed_on_as_it_left():
    """A blocked one never reaches the function; positional, by keyword or by default."""
    guard, ledger = guarded()
    asked = []

    @guard.guarded(prompt="question", request=lambda given: Request("r", subject=given["who"]))
    def answer(who: str, question: str = "anna?") -> str:
        asked.append(question)
        return "yes"

    assert answer("s1", "is anna there?") == answer("s1", question="is anna there?") == answer("s1") == "yes"
    assert asked == ["is [NAME] there?", "is [NAME] there?", "[NAME]?"]
    assert {one.request.subject for one in ledger.decisions} == {"s1"}
    with pytest.raises(WithheldError, match="withheld by insults") as caught:
        answer("s1", "bad words")
    assert len(asked) == 3
    assert caught.value.release.decision.context.stage is Stage.PROMPT
    assert "bad words" not in str(caught.value)


def test_what_is_returned_for_what_is_withheld_is_the_authors_choice():
    """A value, or a callable that gets the release."""
    guard, _ = guarded()

    def rude() -> str:
        return "bad words"

    assert guard.guarded(rude, withheld="")() == ""
    assert guard.guarded(rude, withheld=None)() is None
    assert guard.guarded(rude, withheld=lambda release: dict(release.verdict.message)["en"])() == "No insults."
    with pytest.raises(WithheldError):
        guard.guarded(rude)()


def test_images_come_back_as_images():
    """A PIL image as one, a file's bytes as bytes; edited on the way."""
    guard, ledger = guarded()
    dark = Image.open(io.BytesIO(png(32, 32, (0, 0, 0))))

    @guard.guarded
    def paint() -> Image.Image:
        return dark

    made = paint()
    assert isinstance(made, Image.Image)
    assert made.size == (32, 32)
    assert isinstance(guard.guarded(png, name="file")(), bytes)
    assert ledger.decisions[0].verdict.action is Action.REDACT


@pytest.mark.parametrize("made", [None, 7, ["text"], {"text": "x"}])
def test_what_cannot_be_judged_is_not_returned(made: Any):
    """An error rather than an unguarded value."""
    guard, ledger = guarded()
    with pytest.raises(GenerationError, match="expected a str"):
        guard.guarded(lambda: made, name="odd")()
    assert not ledger.decisions


def test_mistakes_are_told_where_the_decorator_stands():
    """A prompt that is no parameter, a function that yields."""
    guard, _ = guarded()
    with pytest.raises(ParameterError, match="found no parameter 'text'"):
        guard.guarded(lambda question: question, prompt="text")

    def pieces() -> Any:
        yield "a"

    with pytest.raises(ParameterError, match="yields"):
        guard.guarded(pieces)


def test_nothing_is_returned_unrecorded():
    """A ledger that fails is the caller's error; so is the function's own."""

    class Full(MemoryLedger):
        async def append(self, decision: Decision, /) -> Receipt:
            raise LedgerError(f"no room for {decision.id}")

    guard, _ = guarded(Full())
    with pytest.raises(LedgerError, match="no room"):
        guard.guarded(lambda: "hello", name="greet")()

    def broken() -> str:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        guard.guarded(broken)()


def test_many_callers_at_once_get_their_own():
    """From threads without loops of their own."""
    guard, _ = guarded()
    found: Mapping[int, str] = {}

    @guard.guarded
    def say(number: int) -> str:
        return f"anna {number}"

    def ask(number: int) -> None:
        found[number] = say(number)  # type: ignore[index]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {number: f"[NAME] {number}" for number in range(16)}
