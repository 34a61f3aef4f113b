"""No expression that reads what strangers send takes long: each is run on texts that are made from it to slow it down."""

from __future__ import annotations

import ast
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import regex

from audit.grammar import MAX_LENGTH
from guard.checks import secrets as secrets_check
from guard.errors import ModelError
from guard.registry import checks
from guard.text.patience import Patience
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.security.patterns import Used, attacks, calls, used

pytestmark = pytest.mark.timeout(600)
SIZE, LARGE = 20_000, 50_000
"""Characters of a text, by default and at most."""
QUICK_S = 0.05
"""Of computing. What takes less is not looked at more closely: a quadratic expression takes several times that."""
LIMIT_S = 1.0
"""Where a search is given up: counted as that long."""
GROWTH = 10.0
"""A text four times as long takes 4 times as long by a linear expression, and 16 by a quadratic one."""
SAMPLE = 8
"""Texts an expression by default."""
SHORT = {
    "audit.grammar._QUOTED": MAX_LENGTH,  # reads queries, which are not longer
}
BUILT = {  # calls whose expression is put together; why none is slow
    ("guard/checks/invisible_characters.py", "finditer"): "a class",
    ("guard/checks/pii_engine.py", "compile"): "the recognizers' table, looked at here; has a time limit",
    ("guard/checks/pii_lists.py", "compile"): "a policy's: literals, or under a time limit",
    ("guard/checks/pii_lists.py", "match"): "a class",
    ("guard/checks/pii_prefilter.py", "search"): "the table's `like`, looked at here",
    ("guard/checks/pii_search.py", "compile"): "the recognizers' table, looked at here; has a time limit",
    ("guard/checks/secrets.py", "compile"): "the formats' table, looked at here; has a time limit",
    ("guard/matching/bank.py", "compile"): "an escaped name and digits",
    ("guard/text/beginnings.py", "compile"): "the same table without look-arounds; reads five characters",
    ("guard/text/characters.py", "match"): "a class",
    ("guard/text/unfinished.py", "compile"): "the same tables, under a time limit",
    ("generators/prompting.py", "search"): "reads the product's own messages",
    ("policies/new.py", "fullmatch"): "of `guard.rules`, looked at here or a class",
    ("policies/pack_text.py", "sub"): "reads packs that are shipped",
    ("policies/scores.py", "fullmatch"): "a class",
    ("serving/identity/needs.py", "compile"): "an escaped path",
    ("serving/origin.py", "findall"): "reads pages that are shipped",
}


@cache
def everything() -> list[Used]:
    """Found once."""
    return [one for one in used() if isinstance(one.pattern.pattern, str)]


class Late(BaseException):
    """The time of a search is over; nothing on the way may catch it."""


@contextmanager
def given_up() -> Iterator[None]:
    """Stop what computes for longer: `re` looks at signals while it searches."""

    def stop(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def seconds(one: Used, text: str) -> float:
    """Of computing, for finding everything, or for what the product asks of this expression."""
    began = time.process_time()
    limit = {"timeout": LIMIT_S} if isinstance(one.pattern, regex.Pattern) else {}
    try:
        with given_up():
            if one.how == "finditer":
                for _ in one.pattern.finditer(text, **limit):
                    pass
            else:
                getattr(one.pattern, one.how)(text, **limit)
    except (Late, TimeoutError):
        return LIMIT_S
    return time.process_time() - began


def is_slow(one: Used, text: str) -> bool:
    """Whether a text takes noticeably long, and time grows by more than the text, however often it is measured."""
    last = seconds(one, text)
    if last < QUICK_S or last == LIMIT_S:
        return last == LIMIT_S
    last = min(last, seconds(one, text), seconds(one, text))
    quarter = text[: len(text) // 4] + text[-1]
    before = min(seconds(one, quarter) for _ in range(3))
    return last > QUICK_S and last > GROWTH * before


def slow_ones(size: int, sample: int | None) -> list[str]:
    """Names of slow expressions, with what makes them slow."""
    found = []
    for one in everything():
        texts = attacks(one.pattern, min(size, SHORT.get(one.name, size)), sample)
        found += [f"{one.name}: {text[:60]!r}" for text in texts if is_slow(one, text)]
    return found


def test_all_expressions_are_looked_at() -> None:
    """Those of modules, of calls and of both tables; where one is put together, it is known why that does no harm."""
    assert len(everything()) > 350
    assert {one.name.partition(":")[0] for one in everything() if ": " in one.name} == {"secrets", "pii"}
    built = {(file, call.func.attr) for file, call in calls() if not isinstance(call.args[0], ast.Constant)}
    built -= {("policies/pack_text.py", "sub")}
    assert built | {("policies/pack_text.py", "sub")} == BUILT.keys()
    assert {one.name for one in everything()} >= SHORT.keys()


def test_the_measure_sees_what_is_slow() -> None:
    """By texts made from the expression alone: exponential, quadratic, and quadratic by beginning anew; not what is linear."""
    slow = [re.compile(one) for one in (r"(?:a|a|aa)+\d$", r"\s+\n", "<b>.*?</b>")]
    for pattern in (*slow, regex.compile(r"(?:a|a|aa)+\d$"), regex.compile("x[^y]*y")):
        assert any(is_slow(Used("slow", pattern), text) for text in attacks(pattern, SIZE)), pattern
    for pattern in map(re.compile, (r"a+\d?", r"(?<![a-z])[a-z]+(?:-[a-z]+)+", "[^@]{1,64}@")):
        assert not any(is_slow(Used("quick", pattern), text) for text in attacks(pattern, SIZE)), pattern


def test_no_text_makes_an_expression_slow() -> None:
    """A sample for each."""
    assert slow_ones(SIZE, SAMPLE) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_text_makes_an_expression_slow_at_all() -> None:
    """All texts, as long as a text may be."""
    assert slow_ones(LARGE, None) == []


def content(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("r"))


def test_secrets_that_take_long_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails, so that the text does not look clean."""
    check: Any = checks.make("secrets", {})
    monkeypatch.setattr(secrets_check, "_TIMEOUT_S", 0.0)
    with pytest.raises(ModelError, match="secrets: the formats took longer"):
        check([content("ghp_" + "a" * 40)])


def test_expressions_share_their_time() -> None:
    """Many that are nearly too slow are too slow together."""
    patience = Patience(0.05)

    def search() -> None:
        for _ in range(10_000):
            regex.search(r"(?:a|a|aa)+\d$", "a" * 18, timeout=patience.left())

    with pytest.raises(TimeoutError):
        search()
