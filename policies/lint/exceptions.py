"""Lints on exceptions: over, soon over, endless, or without effect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from guard.rules import AllOf, Exemption
from guard.types import Action
from policies.implication import never
from policies.lint.registry import Level, Note, lint
from policies.lint.subject import Subject

_SOON, _LONG = timedelta(days=30), timedelta(days=366)


@lint(
    "expired-exception",
    Level.WARNING,
    "An exception is over.",
    why="""It no longer holds, and those whom it was made for are judged by the rule again. Renew it with a reason, or take it
    out.""",
)
def _expired_exception(subject: Subject) -> Iterator[Note]:
    for one in subject.policy.exceptions:
        if one.expires <= subject.now:
            yield Note(
                subject.exception(one.id, "expires"),
                f"exception {one.id!r}, which held until {_last(one):%Y-%m-%d}",
                "one that still holds, or none",
                subject.exception(one.id),
            )


@lint(
    "expiring-exception",
    Level.ADVICE,
    "An exception ends within 30 days.",
    why="""From that moment on the rule counts again, and what passed yesterday is withheld. Its owner should know in time,
    and renew it or prepare for its end.""",
)
def _expiring_exception(subject: Subject) -> Iterator[Note]:
    for one in subject.policy.exceptions:
        if subject.now < one.expires <= subject.now + _SOON:
            days = (one.expires - subject.now).days
            yield Note(
                subject.exception(one.id, "expires"),
                f"exception {one.id!r} of {one.owner}, which ends in {days} days",
                "its owner to know",
                subject.exception(one.id),
            )


@lint(
    "long-exception",
    Level.WARNING,
    "An exception holds for more than a year.",
    why="""What is to last that long is no exception: nobody looks at it again, and its owner and reason are gone before it is.
    Write it into the rule with `not`, or give it a date within a year at which somebody has to decide again.""",
)
def _long_exception(subject: Subject) -> Iterator[Note]:
    for one in subject.policy.exceptions:
        if one.expires > subject.now + _LONG:
            yield Note(
                subject.exception(one.id, "expires"),
                f"exception {one.id!r} until {_last(one):%Y-%m-%d}",
                "a date within a year, or `not` in the rule",
                subject.exception(one.id),
            )


@lint(
    "idle-exception",
    Level.WARNING,
    "An exception sets nothing aside.",
    why="""The rule only records (action `allow`), or the exception holds where the rule never fires. Whoever reads the policy
    believes that something is excepted. Correct its `when` or its `rules`, or take it out.""",
)
def _idle_exception(subject: Subject) -> Iterator[Note]:
    rules = {rule.id: rule for rule in subject.policy.rules}
    for one in subject.policy.exceptions:
        for rule in (rules[name] for name in one.rules if name in rules):
            apart = one.when is not None and never(AllOf((rule.when, one.when)), subject.checks)
            if rule.action is Action.ALLOW or apart:
                why = "never fires where the exception holds" if apart else "only records"
                yield Note(
                    subject.exception(one.id, "rules"),
                    f"exception {one.id!r} from rule {rule.id!r}, which {why}",
                    "a rule that it makes a difference to",
                    subject.exception(one.id),
                )


def _last(one: Exemption) -> datetime:
    """The last moment of an exception."""
    return one.expires - timedelta(microseconds=1)
