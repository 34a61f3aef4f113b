"""Lints on what a rule says to people: titles, messages, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from guard.traits import Places
from guard.types import Action
from policies.lint.registry import Level, Note, lint
from policies.lint.subject import Subject, labels, measures
from policies.mistake import listed

_HOLDS = (Action.REVIEW, Action.BLOCK)


@lint(
    "no-title",
    Level.ADVICE,
    "A rule has no title.",
    why="""Whoever reads a decision months later sees the rule's id and its title. A few words save them the search for the
    policy file of that day.""",
)
def _no_title(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        if not rule.title:
            yield Note(subject.rule(rule.id, "id"), f"rule {rule.id!r} without a title", "`title`: the rule in a few words", at)


@lint(
    "no-basis",
    Level.ADVICE,
    "A rule does not say what it rests on.",
    why="""A person whose content was withheld, an auditor and a regulator ask the same question: on what ground? `basis` names
    the law, the contract or the house rule, and stands in every decision that the rule takes part in.""",
)
def _no_basis(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        if not rule.basis:
            expected = "`basis`: a law, a contract, a house rule"
            yield Note(subject.rule(rule.id, "id"), f"rule {rule.id!r} without a basis", expected, at)


@lint(
    "no-message",
    Level.WARNING,
    "A rule that withholds outputs does not say what the person is told.",
    why="""Without a message the person reads that the output was withheld, or is held for review, and not why: they cannot
    put it right, and ask. Write it in every language that the policy speaks.""",
)
def _no_message(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        if rule.action in _HOLDS and not rule.message:
            yield Note(
                subject.rule(rule.id, "action"),
                f"action {rule.action.value!r} without a message",
                "`message`: what the person is told, by language",
                at,
            )


@lint(
    "no-translation",
    Level.WARNING,
    "A message lacks a language that the messages of other rules have.",
    why="""Whoever asks in that language gets the message in another one, for this rule alone. Say it in the same languages
    everywhere.""",
)
def _no_translation(subject: Subject) -> Iterator[Note]:
    spoken = list(dict.fromkeys(language for rule in subject.policy.rules for language, _ in rule.message))
    for rule, at in subject.rules():
        missing = sorted(set(spoken) - {language for language, _ in rule.message})
        if rule.message and missing:
            yield Note(
                subject.rule(rule.id, "message"), f"a message without {listed(missing)}", "it, as other rules have it", at
            )


@lint(
    "unseen-message",
    Level.WARNING,
    "A rule has a message that nobody is ever shown.",
    why="""Messages are shown where an output is withheld: by rules with the action `review` or `block`, and by a redaction that
    has nothing to cut. A rule that lets outputs pass has nobody to tell it to. Take the message out, or correct the action.""",
)
def _unseen_message(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        if rule.action in (Action.ALLOW, Action.LABEL) and rule.message:
            found = f"a message on a rule with the action {rule.action.value!r}"
            yield Note(subject.rule(rule.id, "message"), found, "it on `review` and `block` only", at)


@lint(
    "odd-category",
    Level.ADVICE,
    "A rule's category is none of those of the labels it asks for.",
    why="""Statistics, reports and filters count decisions by the rule's category. One that has nothing to do with what was
    found puts them in the wrong place; it may be meant, where a policy names harms in its own way.""",
)
def _odd_category(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        asked = [one for one, negated in measures(rule.when) if not negated]
        known = {
            (subject.loaded.checks[one.check].labels or {})[label]
            for one in asked
            for label in labels(one, subject.loaded.checks[one.check])
        }
        if known and rule.category not in known:
            found = f"category {rule.category!r} on labels of {listed(sorted(known))}"
            yield Note(subject.rule(rule.id, "category"), found, "a category that they have, or a comment that says why", at)


_PLACES = {
    Places.WORST: "that tells one place a label, and leaves the others in",
    Places.WHOLE: "that judges a content as a whole, so all of it would be replaced",
    Places.NONE: "that tells no places, so that every output is blocked",
}


@lint(
    "redacts-without-places",
    Level.WARNING,
    "A rule redacts what a check finds that does not tell where each thing is.",
    why="""A redaction needs the place of every single thing that is to go. A classifier tells where a label scored highest: the
    other places leave. A judge or a moderation service answers for the whole content: all of it is replaced. Block or hold
    such outputs for review, and redact on checks that find things one by one, such as `pii` and `secrets`.""",
)
def _redacts_without_places(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        asked = dict.fromkeys(one.check for one, negated in measures(rule.when) if not negated)
        for check in asked if rule.action is Action.REDACT else ():
            places = subject.traits(check).places
            if places is not Places.EACH:
                yield Note(
                    subject.rule(rule.id, "action"),
                    f"a redaction of what check {check!r} finds, {_PLACES[places]}",
                    "a check that finds things one by one, or action `block` or `review`",
                    at,
                )
