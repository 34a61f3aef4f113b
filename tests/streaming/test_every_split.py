"""Property: for every split into pieces, what leaves is the beginning of what a run over the whole text releases."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import pytest

from guard.admission import Limits
from guard.bench import Seat
from guard.chain import Chain, context_of
from guard.checks.fusion import Fusion, Rule
from guard.decide import decide
from guard.protocols import Check
from guard.redact import redact
from guard.registry import checks
from guard.rules import CheckSpec, Found, Policy
from guard.streaming.plan import plan_of
from guard.streaming.window import Window
from guard.types import CALLER, Action, Content, Modality, Operator, Request, Span, Stage, StreamMode, Verdict
from tests.fakes import policy, rule
from tests.streaming.streams import FollowingWords, SentenceScore

NOW = datetime(2026, 11, 28, tzinfo=UTC)
CLEAN = (
    "Your parcel left the warehouse this morning. ",
    "We open at nine.\n",
    "包裹已经发出，请注意查收。",
    "The price is 3.14 euros, e.g. in May. ",
    "谢谢您的耐心等待！",
    "Is it e\u0301te\u0301 or été? ",
    "👨‍👩‍👧 waves. ",
    "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "hello ",
    "a",
    "。",
    "\r\n",
    "\n\n",
    " ",
    "12 ",
    "नमस्ते ",
    "שלום\u200f, ",
    "Order 48213 ",
    "my email is ",
    "The card ",
    "password: ",
    "sk-",
    "4111 ",
    "x@",
    "http://",
    "[",
    "secre",
    "kil",
    "\u0301",
    "\u200d",
    "🇩🇪",
)
CUT = (
    "secret",
    "Secret",
    "postgres://shop:Kq7xPz29@db.example.com:5432/shop",
    "密码是Kq7xPz29，",
    "AKIAQ3EGZQ7PLMN4XYZA",
    "ig\u200bnore",
    "\u200b\u200b\u200b",
    "\U000e0068\U000e0069",
    "a\u0335\u0336\u0337\u0338",
    "\u202eabc\u202c",
    "\u2066x",
    "Thanks 😀\U000e0101\U000e0102\U000e0103",
    "-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8wggE7AgEAAkEAq7BF\n-----END PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMDAyIn0.abc-DEF_123",
)
BLOCKED = ("kill", "KILL ", "dark ")
PERSONAL = (
    "4111 1111 1111 1111",
    "maria.keller@example.com",
    "+1 415 555 0134",
    "DE89 3704 0044 0532 0130 00",
    "11010519491231002X",
    "13812345678",
    "Maria Gonzalez",
    "王小明先生",
    "12 Main Street, Springfield, IL 62704",
    "born on 14 March 1988",
    "MRN is 4471829",
    "192.168.0.12",
)


def seat_of(built: Mapping[str, Check], blocking: Sequence[str] = ()) -> Seat:
    """What `blocking` finds is blocked, what the others find is removed, replaced or masked."""
    operators = ("remove", "replace", "mask")
    rules = [
        rule(Action.BLOCK, Found(name), name)
        if name in blocking
        else rule(Action.REDACT, Found(name), name, operator=operators[n % 3])
        for n, name in enumerate(built)
    ]
    made: Policy = policy(
        [CheckSpec(name, name, modalities=one.modalities, deadline_ms=60_000) for name, one in built.items()], rules
    )
    assert plan_of(made, built).mode is StreamMode.WINDOW
    return Seat.build(made, Operator(), chain=Chain(made, built))


def text_of(draw: random.Random, parts: Sequence[Sequence[str]]) -> str:
    """Some parts in a row, mostly clean ones."""
    return "".join(draw.choice(draw.choice(parts[1:]) if draw.random() < 0.3 else parts[0]) for _ in range(draw.randint(1, 14)))


def content_of(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("r"))


async def at_once(seat: Seat, text: str) -> tuple[Verdict, str | None]:
    """The verdict on a whole text, and what it releases."""
    content = content_of(text)
    (results,) = await seat.chain.run([content], NOW)
    verdict = decide(seat.policy, results, context_of(content, NOW))
    return verdict, redact(content, verdict.edits).text if verdict.action.releases else None


async def in_pieces(seat: Seat, text: str, draw: random.Random) -> tuple[Verdict, Window]:
    """The same, made in random pieces; asked after each, or when it is due."""
    window = Window(seat, content_of(""), NOW, None, Limits())
    place, always = 0, draw.random() < 0.7
    while place < len(text):
        step = draw.choice((1, 1, 2, 3, 7, 30, 80))
        window.add(text[place : place + step])
        place += step
        if always or window.due:
            verdict = await window.step()
            if verdict.action is Action.BLOCK:
                return verdict, window
            window.leaving()
    return await window.step(ending=True), window


async def holds(seat: Seat, text: str, draw: random.Random, blocks: Sequence[str] = BLOCKED) -> None:
    """Nothing leaves that a run over the whole text would have cut, edited or blocked."""
    whole, released = await at_once(seat, text)
    verdict, window = await in_pieces(seat, text, draw)
    told = f"{text!r}: sent {window.sent!r} of {released!r}"
    if released is not None:
        assert verdict.action.releases, told
        assert released.startswith(window.sent), told
        assert window.edited == released, told
        assert [one.rule for one in verdict.fired] == [one.rule for one in whole.fired], told
        assert set(verdict.edits) == set(whole.edits), told
        return
    assert verdict.action is Action.BLOCK, told
    content = content_of(text)
    (results,) = await seat.chain.run([content], NOW)
    blocking = {rule.id for rule in seat.policy.rules if rule.action is Action.BLOCK}
    spans = [one.where for result in results if result.check in blocking for one in result.findings]
    first = min((span.start for span in spans if isinstance(span, Span) and span.start), default=len(text))
    edits = [edit for edit in _edits(seat, results, text) if isinstance(edit.where, Span)]
    clean = redact(content, edits).text
    assert clean.startswith(window.sent), told
    assert len(window.sent) <= len(redact(content_of(text[:first]), [e for e in edits if e.where.end <= first]).text), told


def _edits(seat: Seat, results, text):
    """What the rules that redact make of a text that another rule blocks."""
    rules = tuple(one for one in seat.policy.rules if one.action is Action.REDACT)
    names = {one.when.check for one in rules}
    specs = tuple(one for one in seat.policy.checks if one.name in names)
    milder = policy(specs, rules)
    mine = [one for one in results if one.check in names]
    return decide(milder, mine, context_of(content_of(text), NOW)).edits


def run(cases: int, seed: int, seat: Seat, parts: Sequence[Sequence[str]]) -> None:
    async def all_of_them() -> None:
        for number in range(cases):
            draw = random.Random(seed + number)
            await holds(seat, text_of(draw, parts), draw)

    asyncio.run(all_of_them())


def built(*uses: str, **given: Check) -> dict[str, Check]:
    made = {use: checks.make(use) for use in uses} | given
    for one in made.values():
        one.load()
    return made


def words() -> Seat:
    given = {"words": FollowingWords("secret"), "bad": FollowingWords("kill"), "score": SentenceScore("dark")}
    return seat_of(built("secrets", "invisible_characters", **given), ["bad", "score"])


def without_scores() -> Seat:
    given = {"words": FollowingWords("secret"), "bad": FollowingWords("kill")}
    return seat_of(built("secrets", "invisible_characters", **given), ["bad"])


def fused() -> Seat:
    """A fusion of two that score sentences, beside checks whose findings are cut."""
    members = {"one": SentenceScore("dark"), "two": SentenceScore("kill")}
    rule = Rule("max", "label", dict.fromkeys(members, 1.0), 500, 100)
    given = {"words": FollowingWords("secret"), "score": Fusion(members, dict.fromkeys(members, "sentence"), rule, None)}
    return seat_of(built("secrets", **given), ["score"])


SEATS: tuple[Callable[[], Seat], ...] = (words, without_scores, fused)


@pytest.mark.parametrize("make", SEATS)
def test_what_leaves_is_the_beginning_of_what_a_whole_run_releases(make: Callable[[], Seat]) -> None:
    run(700, 1, make(), (CLEAN, CUT, BLOCKED))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("make", SEATS)
def test_ten_thousand_texts_each(make: Callable[[], Seat]) -> None:
    run(10_000, 1_000_000, make(), (CLEAN, CUT, BLOCKED))


@pytest.mark.parametrize("operation", ["remove"])
def test_passages_of_protected_texts(operation: str) -> None:
    from guard.checks.text_match import _FLAGGED

    parts = tuple(text[start:end] for text in _FLAGGED for start, end in ((0, None), (0, 120), (40, 260), (100, 400)))
    run(60, 1, seat_of(built("text_match"), ["text_match"]), (CLEAN, parts))


def personal() -> Seat:
    one = checks.make("pii", {"languages": ("en", "zh")})
    return seat_of(built(pii=one))


def test_personal_data() -> None:
    run(40, 1, personal(), (CLEAN, PERSONAL))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_texts_with_personal_data() -> None:
    run(1000, 1_000_000, personal(), (CLEAN, PERSONAL))
