"""Counts over a period, beside a count by hand."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, verdict

from audit.events import APPEAL, FEEDBACK, OVERRIDE, REVIEW, Event
from audit.grammar import QueryError
from audit.ledger import open_ledger
from audit.statistics import DIMENSIONS, Period, period_of, statistics
from guard.types import Action

NOVEMBER = Period.month("2026-11")


def at(day, hour=12, month=11):
    """A moment."""
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(shared_url):
    """Two hundred decisions of October to December, and what persons said of some."""
    chance = random.Random(11)
    found = []
    with open_ledger(shared_url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(200):
            action = chance.choice(list(Action))
            rule, category = chance.choice((("threat", "violence"), ("card-number", "privacy")))
            one = decision(action, number=number, tenant=chance.choice(("acme", "beta", "中文")))
            time = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(hours=chance.randrange(24 * 80))
            found.append(replace(one, time=time, verdict=verdict(action, rule, category)))
            opened.append_sync(found[-1])
    return shared_url, found


def by_hand(found, value, since, until):
    """Counts by value and action."""
    return Counter(
        (one_value, str(one.verdict.action)) for one in found if since <= one.time < until for one_value in value(one)
    )


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_counts_agree_with_a_count_by_hand(made, dimension):
    """Each dimension, now and before."""
    url, found = made
    value = {
        "rule": lambda one: {fired.rule for fired in one.verdict.fired},
        "category": lambda one: {fired.category for fired in one.verdict.fired},
        "generator": lambda one: [one.context.generator],
        "tenant": lambda one: [one.request.tenant],
        "policy": lambda one: [one.verdict.policy],
    }[dimension]
    counted = statistics(url, NOVEMBER).by[dimension]
    now = Counter({(one.value, action): number for one in counted for action, number in one.now.items()})
    before = Counter({(one.value, action): number for one in counted for action, number in one.before.items()})
    assert now == by_hand(found, value, NOVEMBER.since, NOVEMBER.until)
    assert before == by_hand(found, value, NOVEMBER.before, NOVEMBER.since)
    totals = [one.total + one.total_before for one in counted]
    assert totals == sorted(totals, reverse=True)


def test_totals_and_days_add_up(made):
    """And shares are parts of the total."""
    url, found = made
    counted = statistics(url, NOVEMBER)
    assert counted.total.total == sum(NOVEMBER.since <= one.time < NOVEMBER.until for one in found)
    assert counted.total.total_before == sum(NOVEMBER.before <= one.time < NOVEMBER.since for one in found)
    summed = sum((Counter(actions) for _, actions in counted.days), Counter())
    assert summed == Counter(counted.total.now)
    assert [day for day, _ in counted.days] == sorted({f"{one.time:%Y-%m-%d}" for one in found if one.time.month == 11})
    assert counted.share(counted.total.total) == 1
    assert counted.size == 202


def test_filters_and_the_tenant_narrow_it_down(made):
    """The tenant holds whatever the query says; few values are told when asked."""
    url, found = made
    counted = statistics(url, NOVEMBER, "tenant:acme,beta rule:threat", tenant="beta")
    assert [one.value for one in counted.by["tenant"]] == ["beta"]
    expected = [one for one in found if one.time.month == 11 and one.request.tenant == "beta" and one.verdict.fired]
    assert counted.total.total == sum(one.verdict.fired[0].rule == "threat" for one in expected)
    assert len(statistics(url, NOVEMBER, top=2).by["tenant"]) == 2


def test_an_empty_period_has_no_rates(made):
    """Nothing is divided by nothing."""
    empty = statistics(made[0], Period.month("2020-01"))
    assert (empty.total.total, empty.share(0), empty.days) == (0, 0.0, ())
    assert empty.persons.overturn_rate is None
    assert empty.persons.median_hours is None


def test_persons_overturn_uphold_undo_and_leave_waiting(ledger, url):
    """Each decision counts once, by what was said last; what was taken back does not count."""
    actions = (Action.BLOCK, Action.BLOCK, Action.ALLOW, Action.REVIEW, Action.REVIEW, Action.REVIEW, Action.BLOCK)
    made = [replace(decision(action, number=number), time=at(2)) for number, action in enumerate(actions)]
    for one in made:
        ledger.append_sync(one)

    def say(kind, about, when, reason="", **fields):
        return ledger.record_sync(Event(kind, "kim", fields, str(made[about].id), reason, time=when))

    say(APPEAL, 0, at(3), "not a threat", step="file")
    say(APPEAL, 0, at(4), "agreed", step="decide", outcome="release")
    say(REVIEW, 1, at(3), step="claim")
    say(REVIEW, 1, at(3), step="decide", outcome="withhold", code="right")
    say(REVIEW, 2, at(3), step="decide", outcome="withhold", code="missed")
    say(REVIEW, 3, at(3), step="decide", outcome="release", code="harmless")
    say(REVIEW, 4, at(30), step="claim")
    undone = say(OVERRIDE, 6, at(5), "mistaken", outcome="release")
    say(OVERRIDE, 6, at(6), "no, right", undoes=undone)
    say(FEEDBACK, 6, at(7), code="wrong_block")
    say(REVIEW, 5, at(2, month=12), step="decide", outcome="withhold", code="harm")
    persons = statistics(url, NOVEMBER).persons
    assert (persons.decided, persons.overturned, persons.overturn_rate) == (3, 2, 2 / 3)
    assert (persons.held_released, persons.held_withheld, persons.appeals, persons.feedback) == (1, 0, 1, 1)
    assert persons.median_hours == 24
    queue = statistics(url, NOVEMBER, now=at(5, month=12)).queue
    assert queue.waiting == 2, "one was decided, one in December"
    assert queue.oldest_hours == queue.median_hours == 28 * 24 + 12
    assert statistics(url, Period.month("2026-12")).persons.held_withheld == 1
    queue = statistics(url, Period.month("2026-12"), now=at(3, month=12)).queue
    assert (queue.waiting, queue.oldest_hours) == (1, 31 * 24), "the month is not over"


def test_periods_are_compared_with_the_one_before():
    """A month with a month, anything else with the same length."""
    assert Period.month("2026-03") == Period(at(1, 0, 3), at(1, 0, 4), at(1, 0, 2))
    assert Period.month("2026-01").before == datetime(2025, 12, 1, tzinfo=UTC)
    period, rest = period_of("tenant:acme since:2026-11-10 -action:allow,label until:2026-11-12", at(27))
    assert (period.since, period.until, period.before) == (at(10, 0), at(13, 0), at(7, 0))
    assert rest == 'tenant:"acme" -action:"allow","label"'
    assert period_of("", at(27))[0].since == at(27) - timedelta(days=30)


@pytest.mark.parametrize("text", ["2026", "2026-13", "november", "0001-01"])
def test_what_is_no_month_is_refused(text):
    """With the form that is expected."""
    with pytest.raises(QueryError, match="expected a month"):
        Period.month(text)


def test_an_empty_or_endless_period_is_refused(made):
    """Since after until; before the calendar begins; a time among the filters."""
    with pytest.raises(QueryError, match="is empty"):
        period_of("since:2026-11-10 until:2026-11-01", at(27))
    with pytest.raises(QueryError, match="before our time"):
        period_of("since:0500-01-01", at(27))
    with pytest.raises(QueryError, match="apart from the filters"):
        statistics(made[0], NOVEMBER, "since:2026-11-01")
