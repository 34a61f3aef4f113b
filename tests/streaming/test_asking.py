"""Who is asked about a growing text, when, and on which thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from guard.admission import Limits
from guard.bench import Seat
from guard.chain import Chain
from guard.decide import decide
from guard.following import Followable, Follower, MaybeQuick, Progress, is_by_sentence, is_quick
from guard.registry import checks
from guard.rules import Found, Length
from guard.streaming.frontier import Frontier
from guard.streaming.measuring import AT_ONCE, Measuring
from guard.streaming.window import Window
from guard.types import Action, Operator, Scan, Span, Status
from tests.fakes import FakeCheck, UnloadableCheck, policy, rule, spec, text
from tests.streaming.streams import FollowingWords, SentenceScore, awaited


class Trailing(FakeCheck):
    """Finds nothing, and settles all but the last characters; tells on which thread it was asked about how long a text."""

    whole = ""

    def __init__(self, behind: int, *, quick: bool = False) -> None:
        super().__init__()
        self.behind, self.quick = behind, quick
        self.asked: list[tuple[int, int]] = []

    def follow(self) -> Follower:
        return TrailingFollower(self)

    @property
    def lengths(self) -> list[int]:
        return [length for length, _ in self.asked]


class TrailingFollower:
    def __init__(self, check: Trailing) -> None:
        self.check, self.quick = check, check.quick

    def __call__(self, text: str, *, ending: bool) -> Progress:
        self.check.asked.append((len(text), threading.get_ident()))
        settled = len(text) if ending else max(0, len(text) - self.check.behind)
        return Progress(Scan((), Span(0, len(text))), settled)


def measuring(**built: FakeCheck) -> Measuring:
    chain = Chain(policy([spec(name, one) for name, one in built.items()]), built)
    return Measuring(chain, Frontier(chain.checks, datetime(2026, 1, 1, tzinfo=UTC), keyed=False))


@pytest.mark.parametrize(
    ("use", "quick", "by_sentence"),
    [
        ("secrets", True, False),
        ("invisible_characters", True, False),
        ("text_match", True, False),
        ("pii", False, False),
        ("toxicity", False, True),
    ],
)
def test_what_followers_say_of_themselves(use: str, quick: bool, by_sentence: bool) -> None:
    check = checks.make(use, {})
    assert isinstance(check, Followable)
    if use != "toxicity":  # it needs no weights to begin
        check.load()
    follower = check.follow()
    assert (is_quick(follower), is_by_sentence(follower)) == (quick, by_sentence)


def test_a_plain_function_says_nothing() -> None:
    follower = FollowingWords("a").follow()
    assert (is_quick(follower), is_by_sentence(follower)) == (False, False)


@awaited
async def test_who_is_quick_is_asked_on_the_event_loop() -> None:
    """From the second time on: the first one begins it, which may take longer."""
    quick, slow = Trailing(0, quick=True), Trailing(0)
    asking = measuring(quick=quick, slow=slow)
    for length in (3, 5, 8):
        await asking(text("x" * length), ending=length == 8)
    here = threading.get_ident()
    assert [thread == here for _, thread in quick.asked] == [False, True, True]
    assert all(thread != here for _, thread in slow.asked)
    assert quick.lengths == slow.lengths == [3, 5, 8]


@awaited
async def test_between_two_ends_only_those_are_asked_that_keep_something_back() -> None:
    near, far, score = Trailing(2), Trailing(8), SentenceScore("dark")
    asking = measuring(near=near, far=far, score=score)
    measured = await asking(text("It is here. An"), ending=False)  # the sentence is settled by all but `far`
    assert (measured.judged, asking.waits) == (6, False)
    measured = await asking(text("It is here. And so"), ending=False, between=True)
    assert (near.lengths, far.lengths, len(score.read)) == ([14], [14, 18], 1)
    assert (measured.judged, asking.waits) == (10, False)
    measured = await asking(text("It is here. And so on a"), ending=False, between=True)
    assert (near.lengths, far.lengths, len(score.read)) == ([14], [14, 18, 23], 1)
    assert (measured.judged, asking.waits) == (11, True)  # nothing more is settled before the sentence ends
    measured = await asking(text("It is here. And so on a."), ending=True)
    assert (near.lengths, far.lengths, len(score.read)) == ([14, 24], [14, 18, 23, 24], 2)
    assert measured.judged == 24


@awaited
async def test_without_scores_of_sentences_all_are_asked_each_time() -> None:
    near, far = Trailing(2), Trailing(8)
    asking = measuring(near=near, far=far)
    for length in (10, 20):
        measured = await asking(text("x" * length), ending=False, between=length == 20)
        assert (measured.judged, asking.waits) == (length - 8, False)
    assert near.lengths == far.lengths == [10, 20]


def _late() -> list[Scan]:
    threading.Event().wait(0.05)
    return [Scan((), Span(0, 4))]


def _failing() -> list[Scan]:
    raise ValueError("it was secret")


@pytest.mark.parametrize(
    ("call", "status", "told"),
    [
        (lambda: [Scan((), Span(0, 4))], Status.OK, ""),
        (_late, Status.TIMEOUT, "no answer within 1 ms"),
        (_failing, Status.FAILED, "ValueError"),
        (list, Status.FAILED, "ValueError"),
        (lambda: [Scan((), Span(0, 5))], Status.FAILED, "it read 0 to 5, expected a range inside 0 to 4"),
    ],
)
@awaited
async def test_a_call_on_the_event_loop_fails_closed(call: Callable[[], list[Scan]], status: Status, told: str) -> None:
    """As one on a thread does: late, with an error, with too few answers, or with one that cannot be."""
    check = FakeCheck()
    one = spec("one", check, deadline_ms=1 if status is Status.TIMEOUT else 10_000)
    (result,) = await Chain(policy([one]), {"one": check}).measure(one, [text("abcd")], call, here=True)
    assert result.status is status
    assert told in result.error
    assert "secret" not in result.error
    assert check.batches == []


@awaited
async def test_on_the_event_loop_is_where_a_call_is_made() -> None:
    check, threads = FakeCheck(), list[int]()
    one = spec("one", check, deadline_ms=10_000)
    chain = Chain(policy([one]), {"one": check})

    def call() -> list[Scan]:
        threads.append(threading.get_ident())
        return [Scan((), Span(0, 4))]

    for here in (True, False):
        (result,) = await chain.measure(one, [text("abcd")], call, here=here)
        assert result.status is Status.OK
    assert [thread == threading.get_ident() for thread in threads] == [True, False]
    assert check.loads == 1


@awaited
async def test_what_cannot_be_loaded_is_not_called() -> None:
    check = UnloadableCheck()
    one = spec("one", check)
    (result,) = await Chain(policy([one]), {"one": check}).measure(one, [text("abcd")], _failing, here=True)
    assert result.status is Status.FAILED
    assert "could not be loaded" in result.error


class Sometimes(Trailing):
    """Is quick while the text has no digit."""

    def follow(self) -> Follower:
        return SometimesFollower(self)


class SometimesFollower(TrailingFollower):
    def quickly(self, given: str, *, ending: bool) -> Progress | None:
        return None if any(map(str.isdigit, given)) else self(given, ending=ending)


@awaited
async def test_who_is_quick_at_times_is_asked_in_a_thread_where_it_says_nothing() -> None:
    sometimes = Sometimes(1)
    asking = measuring(sometimes=sometimes)
    judged = [(await asking(text(given), ending=False)).judged for given in ("x", "xx", "xx1", "xx1x")]
    here = threading.get_ident()
    assert [thread == here for _, thread in sometimes.asked] == [False, True, False, False]
    assert (sometimes.lengths, judged) == ([1, 2, 3, 4], [0, 1, 2, 3])


@awaited
async def test_what_fails_on_the_event_loop_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried again in a thread."""
    sometimes = Sometimes(0)
    asking = measuring(sometimes=sometimes)
    await asking(text("x"), ending=False)

    def fail(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(SometimesFollower, "quickly", fail)
    measured = await asking(text("xx"), ending=False)
    assert [one.status for one in measured.results] == [Status.FAILED]
    assert sometimes.lengths == [1]


@awaited
async def test_much_at_once_is_not_read_on_the_event_loop() -> None:
    quick, sometimes = Trailing(0, quick=True), Sometimes(0)
    asking = measuring(quick=quick, sometimes=sometimes)
    for length in (3, 4 + AT_ONCE, 5 + AT_ONCE):
        await asking(text("x" * length), ending=False)
    here = threading.get_ident()
    assert [thread == here for _, thread in quick.asked] == [False, False, True]
    assert [thread == here for _, thread in sometimes.asked] == [False, False, True]


def test_pii_without_names_is_quick_where_nothing_could_be_found() -> None:
    """And goes on where it was when something is."""
    check = checks.make("pii", {"languages": ("en", "zh"), "entities": ("EMAIL_ADDRESS", "PHONE_NUMBER")})
    check.load()
    assert isinstance(check, Followable)
    follower = check.follow()
    assert isinstance(follower, MaybeQuick)
    whole = "The parcel left today. Write to kim@example.com about it, and ask for the box that came before it. And now"
    quick = []
    for end in (22, 40, 60, 80, 105, len(whole)):
        given = whole[:end]
        said = follower.quickly(given, ending=end == len(whole))
        quick.append(said is not None)
        progress = said or follower(given, ending=end == len(whole))
        assert progress.scan.scanned == Span(0, end)
        assert [one.where for one in progress.scan.findings] == ([Span(32, 47)] if end > 47 else [])
    assert quick[0]
    assert not quick[2]
    assert not isinstance(checks.make("secrets", {}).follow(), MaybeQuick)  # type: ignore[attr-defined]


def test_names_are_found_on_the_event_loop_where_little_is_new() -> None:
    """What it says there is what it says in its thread, at each place."""
    check = checks.make("pii", {"languages": ("en", "zh")})
    check.load()
    assert isinstance(check, Followable)
    quick, slow = check.follow(), check.follow()
    assert isinstance(quick, MaybeQuick)
    prose = "Please ask Maria Gonzalez in Toronto. 王小明明天去杭州。\nThen it is over, Mr. Keller, and all is well. " * 4
    whole = f"{prose}Or write to kim@example.com about it. And so it ends."
    answered = 0
    for end in (*range(9, len(whole), 23), len(whole)):
        given, ending = whole[:end], end == len(whole)
        said = quick.quickly(given, ending=ending)
        answered += said is not None
        progress, expected = said or quick(given, ending=ending), slow(given, ending=ending)
        assert progress.settled == expected.settled
        assert progress.scan.scanned == expected.scan.scanned
        assert [(one.label, one.where) for one in progress.scan.findings] == [
            (one.label, one.where) for one in expected.scan.findings
        ]
    assert answered > 3
    long = check.follow()
    assert isinstance(long, MaybeQuick)
    assert long.quickly("word " * 100, ending=False) is None


@pytest.mark.parametrize("longer", [False, True])
@awaited
async def test_a_clean_text_is_judged_as_its_beginning_was_unless_its_length_counts(longer: bool) -> None:
    """Each verdict is the one that `decide` derives from the same results."""
    check = FollowingWords("secret")
    rules = [rule(Action.REDACT, Found("words"))]
    rules += [rule(Action.BLOCK, Length(60), "long")] if longer else []
    given = policy([spec("words", check)], rules)
    seat = Seat.build(given, Operator(), chain=Chain(given, {"words": check}))
    window, actions = Window(seat, text(""), datetime(2026, 1, 1, tzinfo=UTC), None, Limits()), []
    for piece in ("It is said. ", "All is well. ", "It is no secret. ", "And so it goes on and on. ", "It ends."):
        window.add(piece)
        verdict = await window.step()
        assert verdict == decide(given, window.measured.results, window.measured.context)
        actions.append(verdict.action)
    assert (Action.BLOCK in actions) == longer
    assert Action.REDACT in actions or longer
