"""`Guard.stream`: events in order, what is recorded when, and every way a stream can end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from guard.chain import Chain
from guard.errors import GenerationError, LedgerError, ModelError
from guard.pipeline import Guard
from guard.protocols import Piece, StreamingGenerator
from guard.rules import Found, MarkSpec
from guard.streaming.events import Called, Delta, Ended
from guard.types import Action, Ending, Making, Modality, Request, Stage, StreamMode, TokenScore, ToolCall
from tests.fakes import CrashingCheck, ListGenerator, MemoryLedger, policy, rule, spec
from tests.streaming.streams import (
    FollowingWords,
    PieceGenerator,
    SentenceScore,
    Unfollowing,
    awaited,
    collect,
    ended,
    said,
)


def guard_of(ledger: Any = None, marks: Any = (), more: Any = (), **fields: Any) -> tuple[Guard, MemoryLedger]:
    """Redacts `secret`, blocks `kill` and a text with `dark`, holds `doubt`; `more`: further checks by name."""
    built: dict[str, Any] = {
        "words": FollowingWords("secret"),
        "bad": FollowingWords("kill"),
        "doubt": FollowingWords("doubt"),
        "score": SentenceScore("dark"),
        **dict(more),
    }
    rules = [
        rule(Action.REDACT, Found("words"), "cut"),
        rule(Action.BLOCK, Found("bad"), "threat", message=(("en", "Withheld."),)),
        rule(Action.REVIEW, Found("doubt"), "doubtful"),
        rule(Action.BLOCK, Found("score"), "tone"),
    ]
    made = policy([spec(name, one) for name, one in built.items()], rules, marks, **fields)
    ledger = ledger or MemoryLedger()
    return Guard(made, ledger, chains={made.id: Chain(made, built)}), ledger


@pytest.fixture(autouse=True)
def in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is judged before the next one is taken."""
    monkeypatch.setattr("guard.streaming.pieces.AHEAD", 1)


@awaited
async def test_a_clean_text_leaves_sentence_by_sentence_and_ends_after_its_commit() -> None:
    guard, ledger = guard_of()
    generator = PieceGenerator(["Your par", "cel left. It is ", "on its ", "way. Tha", "nks."])
    assert isinstance(generator, StreamingGenerator)
    events = await collect(guard, generator)
    assert next(event.text for event in events if isinstance(event, Delta)) == "Your parcel left."
    end = ended(events)
    assert events[-1] is end
    assert (end.ending, end.sent) == (Ending.COMPLETE, "Your parcel left. It is on its way. Thanks.")
    assert end.sent == said(events) == end.release.content.text
    decision = ledger.decisions[-1]
    assert end.release.decision is decision
    assert decision.stream.mode is StreamMode.WINDOW
    assert (decision.stream.judged, decision.stream.sent) == (43, 43)
    assert all(one.scanned.end == 43 for one in decision.results)


@awaited
async def test_the_ledger_knows_of_a_stream_before_its_first_character_leaves() -> None:
    guard, ledger = guard_of()
    request = Request("r1", tenant="acme", subject="s")
    async with aclosing(guard.stream(PieceGenerator(["One. ", "Two. "]), "say it", request=request)) as events:
        seen = [(type(event).__name__, len(ledger.openings), len(ledger.decisions)) async for event in events]
    assert seen[0] == ("Delta", 1, 1)  # the prompt's decision and the opening
    assert seen[-1] == ("Ended", 1, 2)
    opening = ledger.openings[0]
    assert opening.decision == ledger.decisions[-1].id
    assert opening.prompt == ledger.decisions[0].id == ledger.decisions[-1].parent
    assert (opening.request, opening.policy, opening.choice) == (request, "house", 0)


@awaited
async def test_nothing_leaves_when_the_opening_cannot_be_recorded() -> None:
    class NoOpenings(MemoryLedger):
        async def begin_stream(self, opening: Any, /) -> int:
            raise LedgerError("the disk is full")

    guard, _ = guard_of(NoOpenings())
    events: list[Any] = []
    generator = PieceGenerator(["One. ", "Two. "])
    with pytest.raises(LedgerError):
        await collect(guard, generator, into=events)
    assert events == []
    assert generator.closed


@awaited
async def test_no_end_without_its_commit() -> None:
    guard, ledger = guard_of()
    events: list[Any] = []
    with pytest.raises(LedgerError):
        await collect(guard, PieceGenerator(["One. ", "Two. "]), into=events, then=lambda: setattr(ledger, "broken", True))
    assert [type(event) for event in events] == [Delta]


@awaited
async def test_what_a_rule_cuts_never_leaves() -> None:
    guard, _ = guard_of()
    events = await collect(guard, PieceGenerator(["This is sec", "ret. And a SEC", "RET too."]))
    assert said(events) == "This is ******. And a ****** too."
    assert ended(events).release.verdict.action is Action.REDACT


@awaited
async def test_a_block_ends_the_stream_with_the_message_of_its_rule() -> None:
    guard, ledger = guard_of()
    generator = PieceGenerator(["All is well. ", "I will ki", "ll you. ", *["And more. "] * 20])
    events = await collect(guard, generator)
    end = ended(events)
    assert said(events) == end.sent == "All is well. I will "
    assert end.ending is Ending.BLOCKED
    assert end.release.content is None
    assert dict(end.release.verdict.message) == {"en": "Withheld."}
    assert generator.closed
    assert generator.made < 8
    decision = ledger.decisions[-1]
    assert decision.content.text.startswith("All is well. I will kill you.")
    assert (decision.stream.ending, decision.stream.sent) == (Ending.BLOCKED, 20)


@awaited
async def test_a_score_of_the_whole_text_is_asked_at_the_end_of_each_sentence() -> None:
    guard, _ = guard_of()
    events = await collect(guard, PieceGenerator(["One. Two", " is here. It is da", "rk. Three."]))
    assert said(events) == "One. Two is here."
    assert ended(events).ending is Ending.BLOCKED


@awaited
async def test_review_holds_what_follows_and_the_whole_text_is_decided_on() -> None:
    guard, ledger = guard_of()
    events = await collect(guard, PieceGenerator(["One is sure. ", "I doubt it. ", "And more. "]))
    end = ended(events)
    assert said(events) == "One is sure. I "
    assert (end.ending, end.release.content) == (Ending.HELD, None)
    assert ledger.decisions[-1].content.text == "One is sure. I doubt it. And more. "
    assert ledger.decisions[-1].verdict.action is Action.REVIEW


@pytest.mark.parametrize("on_failure", [Action.BLOCK, Action.REVIEW, Action.ALLOW])
@awaited
async def test_a_check_that_fails_on_the_way_follows_on_failure(on_failure: Action) -> None:
    class Fails(CrashingCheck):
        whole = ""

        def follow(self) -> Any:
            from guard.following import BySentence
            from tests.fakes import text

            return BySentence(lambda so_far: self.scan(text(so_far)))

    check = Fails("boom")
    built = {"frail": check}
    made = policy([spec("frail", check, on_failure=on_failure)], [rule(Action.BLOCK, Found("frail"))])
    ledger = MemoryLedger()
    guard = Guard(made, ledger, chains={made.id: Chain(made, built)})
    # the prompt is judged as well, and holds no such word
    events = await collect(guard, PieceGenerator(["One. ", "Then boom. ", "Then more. "]))
    end, expected = ended(events), {Action.BLOCK: Ending.BLOCKED, Action.REVIEW: Ending.HELD, Action.ALLOW: Ending.COMPLETE}
    assert end.ending is expected[on_failure]
    assert said(events) == ("One. Then boom. Then more. " if on_failure is Action.ALLOW else "One.")
    assert any(one.status.value == "failed" for one in ledger.decisions[-1].results)


@awaited
async def test_a_failing_generator_is_recorded_with_what_left_and_then_raised() -> None:
    guard, ledger = guard_of()
    events: list[Any] = []
    generator = PieceGenerator(["One. ", "Two is se", ConnectionError("gone")])
    with pytest.raises(GenerationError, match="ConnectionError"):
        await collect(guard, generator, into=events)
    end = ended(events)
    assert (end.ending, end.sent) == (Ending.FAILED, "One.")
    decision = ledger.decisions[-1]
    assert decision.content.text == decision.released.text == "One."
    assert decision.stream.ending is Ending.FAILED
    assert generator.closed


@awaited
async def test_a_failure_of_ours_is_one_too() -> None:
    guard, ledger = guard_of()
    with pytest.raises(ModelError):
        await collect(guard, PieceGenerator(["One. ", "Two is se", ModelError("the weights are gone")]))
    assert ledger.decisions[-1].stream.ending is Ending.FAILED


@awaited
async def test_a_failure_before_anything_was_judged_is_recorded_too() -> None:
    guard, ledger = guard_of()
    with pytest.raises(GenerationError):
        await collect(guard, PieceGenerator(["One", ConnectionError("gone")]))
    decision = ledger.decisions[-1]
    assert (decision.content, decision.released) == (None, None)
    assert (decision.stream.ending, decision.stream.sent) == (Ending.FAILED, 0)


@awaited
async def test_a_reader_who_leaves_stops_the_generator_and_what_left_is_recorded() -> None:
    guard, ledger = guard_of()
    generator = PieceGenerator([f"This is sentence {number}. " for number in range(200)])
    async with aclosing(guard.stream(generator, "say it")) as events:
        async for event in events:
            assert isinstance(event, Delta)
            break
    assert generator.closed
    assert generator.made < 100
    decision = ledger.decisions[-1]
    assert decision.stream.ending is Ending.CANCELLED
    assert decision.released.text == event.text
    assert len(asyncio.all_tasks()) == 1


@awaited
async def test_a_cancelled_task_records_what_left() -> None:
    guard, ledger = guard_of()
    generator = PieceGenerator([f"This is sentence {number}. " for number in range(200)])
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(guard.stream(generator, "say it")) as events:
            async for _ in events:
                begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator.closed
    assert ledger.decisions[-1].stream.ending is Ending.CANCELLED
    assert len(asyncio.all_tasks()) == 1


@awaited
async def test_a_slow_reader_slows_the_generator() -> None:
    guard, _ = guard_of()
    generator = PieceGenerator([f"This is sentence {number}. " for number in range(500)])
    async with aclosing(guard.stream(generator, "say it")) as events:
        await anext(events)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert generator.made <= 4


@awaited
async def test_choices_are_told_apart() -> None:
    guard, ledger = guard_of()
    events = await collect(guard, PieceGenerator(["One. ", "Two. "], ["I kill. ", "More. "], ["Un. ", "Deux. "]), n=3)
    assert [said(events, number) for number in range(3)] == ["One. Two. ", "I ", "Un. Deux. "]
    assert [ended(events, number).ending.value for number in range(3)] == ["complete", "blocked", "complete"]
    assert len({one.decision for one in ledger.openings}) == 3


@awaited
async def test_a_refused_prompt_never_reaches_the_generator() -> None:
    guard, _ = guard_of()
    generator = PieceGenerator(["One."])
    events = await collect(guard, generator, "kill")
    assert [type(event) for event in events] == [Ended]
    assert ended(events).ending is Ending.BLOCKED
    assert generator.made == 0


@awaited
async def test_tool_calls_are_judged_whole() -> None:
    call = Making(finish="tool_calls", call=ToolCall("c1", "look_up"))
    guard, ledger = guard_of()
    events = await collect(guard, PieceGenerator(['{"name": "secret"}'], making=call))
    (event,) = events
    assert isinstance(event, Called)
    assert event.release.content.text == '{"name": "******"}'
    assert ledger.decisions[-1].parent == ledger.decisions[0].id


@awaited
async def test_a_choice_that_was_stopped_calls_no_tools() -> None:
    class Calls(PieceGenerator):
        async def stream(self, prompts: Any, parameters: Any, marks: Any = (), /) -> Any:
            making = Making(call=ToolCall("c1", "look_up"))
            call = replace(self.content("{}", 0, prompts[0]), making=making)
            for piece in (Piece(0, "I kill you all, and then more. "), Piece(0, "", call), Piece(1, "", call)):
                yield 0, piece

    guard, _ = guard_of()
    events = await collect(guard, Calls(), n=3)
    assert [(type(event), event.choice) for event in events if not isinstance(event, Delta)] == [(Ended, 0), (Called, 1)]


@pytest.mark.parametrize("text", ["One. Two.", "A secret."])
@awaited
async def test_scores_that_spell_a_text_stay_with_one_that_was_not_edited(text: str) -> None:
    guard, _ = guard_of()
    making = Making(output_tokens=3, scores=(TokenScore("One", -0.1),))
    told = ended(await collect(guard, PieceGenerator([text], making=making))).making
    assert told is not None
    assert (told.output_tokens, bool(told.scores)) == (3, "secret" not in text)


@awaited
async def test_a_text_over_the_limit_ends_where_it_is_reached() -> None:
    from guard.admission import Limits

    guard, ledger = guard_of()
    guard.limits = Limits(text=30)
    events = await collect(guard, PieceGenerator(["One. Two. ", "Three. Four. ", "Five. Six. Seven. "]))
    assert ended(events).ending is Ending.BLOCKED
    assert said(events) == "One. Two. Three. Four."
    assert ledger.decisions[-1].verdict.fired[0].rule == "input-too-large"


@awaited
async def test_half_a_surrogate_is_refused() -> None:
    guard, _ = guard_of()
    events = await collect(guard, PieceGenerator(["One. ", "Two \ud83d", "\ude00. "]))
    assert said(events) == "One."
    assert ended(events).ending is Ending.BLOCKED


@awaited
async def test_another_text_than_the_pieces_is_a_failure() -> None:
    class Liar(PieceGenerator):
        def content(self, text: str, choice: int, prompt: Any) -> Any:
            return super().content(text + " And a lie.", choice, prompt)

    guard, _ = guard_of()
    with pytest.raises(GenerationError, match="another text"):
        await collect(guard, Liar(["One. ", "Two."]))


# --- buffered --------------------------------------------------------------------------------------------------------


@awaited
async def test_a_policy_may_ask_for_the_whole_text() -> None:
    guard, ledger = guard_of(stream=StreamMode.BUFFER)
    events = await collect(guard, PieceGenerator(["One is se", "cret. ", "Two. "]))
    assert [type(event) for event in events] == [Delta, Ended]
    assert said(events) == "One is ******. Two. "
    assert ledger.openings == []


@awaited
async def test_a_failure_is_on_record_where_nothing_left() -> None:
    guard, ledger = guard_of(stream=StreamMode.BUFFER)
    events: list[Any] = []
    with pytest.raises(GenerationError):
        await collect(guard, PieceGenerator(["One. ", ConnectionError("gone")]), into=events)
    assert (ended(events).ending, said(events)) == (Ending.FAILED, "")
    assert (ledger.decisions[-1].stream.mode, ledger.decisions[-1].content) == (StreamMode.BUFFER, None)
    assert ledger.openings == []


@awaited
async def test_a_check_that_cannot_follow_makes_the_text_wait_for_its_end() -> None:
    guard, _ = guard_of(more={"other": Unfollowing()})
    plan = guard.streams(PieceGenerator(), Request("r"))
    assert plan is not None
    assert plan.mode is StreamMode.BUFFER
    assert plan.reasons[0].startswith("check 'other': ")
    events = await collect(guard, PieceGenerator(["All is well. ", "I kill. "]))
    assert (said(events), ended(events).ending) == ("", Ending.BLOCKED)


@awaited
async def test_a_generator_without_pieces_is_judged_whole() -> None:
    guard, _ = guard_of()
    events = await collect(guard, ListGenerator("One is secret."))
    assert [type(event) for event in events] == [Delta, Ended]
    assert said(events) == "One is ******."


# --- marks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", ["start", "end"])
@awaited
async def test_a_label_is_where_a_whole_text_has_it(position: str) -> None:
    marks = [MarkSpec("label", Modality.TEXT, {"position": position})]
    guard, ledger = guard_of(marks=marks)
    events = await collect(guard, PieceGenerator(["Your parcel ", "left this morning. It is on its ", "way.\n", "\n"]))
    whole = await guard.check("Your parcel left this morning. It is on its way.\n\n", stage=Stage.OUTPUT)
    assert said(events) == whole.content.text == ended(events).release.content.text
    assert [mark.verified for mark in ledger.decisions[-2].marks] == [True]


@awaited
async def test_a_text_that_begins_with_its_label_gets_no_second_one() -> None:
    guard, _ = guard_of(marks=[MarkSpec("label", Modality.TEXT, {"position": "start"})])
    text = "This text was generated by AI.\n\nYour parcel left."
    assert said(await collect(guard, PieceGenerator([text[:9], text[9:28], text[28:40], text[40:]]))) == text
