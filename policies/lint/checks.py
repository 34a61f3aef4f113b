"""Lints on what is measured: checks that nobody asks, that leave a gap, or that need what may not be there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from guard.rules import CheckSpec
from guard.types import Action, Modality, Stage
from policies.lint.registry import Level, Note, lint
from policies.lint.subject import Subject, labels, measures
from policies.mistake import listed

_SHORT_MS = 100
"""A deadline below it is missed by a model on a busy machine, not by a slow model alone."""
_CHOSEN = ("labels", "entities", "kinds", "categories")
"""Parameters by which an author says what a check is to report."""
_MADE = frozenset({Stage.OUTPUT, Stage.CHUNK})


@lint(
    "fails-open",
    Level.WARNING,
    "A check that fails lets the output pass unread.",
    why="""With `on_failure: allow` a crash, a missed deadline or a missing model counts as if nothing had been found. Whoever
    can make the check fail, with a text that is long or odd enough, gets around it. Use `block`, or `review` where a person
    can look.""",
)
def _fails_open(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        if spec.on_failure is Action.ALLOW:
            yield Note(subject.check(spec.name, "on_failure"), "on_failure 'allow'", "`block` or `review`", at)


@lint(
    "unused-check",
    Level.WARNING,
    "No rule asks a check.",
    why="""It costs its time on every content, its failures block outputs, and what it finds changes nothing. Write the rule
    that was meant, or take the check out.""",
)
def _unused_check(subject: Subject) -> Iterator[Note]:
    asked = {measure.check for rule in subject.policy.rules for measure, _ in measures(rule.when)}
    for spec, at in subject.specs():
        if spec.name not in asked:
            yield Note(at, f"check {spec.name!r}, which no rule asks", "a rule that does, or no such check")


@lint(
    "duplicate-check",
    Level.WARNING,
    "Two checks measure the same.",
    why="""The same check with the same parameters runs twice on the same content. One is enough for any number of rules.""",
)
def _duplicate_check(subject: Subject) -> Iterator[Note]:
    for (one, place), (other, at) in combinations(subject.specs(), 2):
        if one.use == other.use and dict(one.parameters) == dict(other.parameters) and one.stages & other.stages:
            found = f"check {other.name!r}, which measures the same as {one.name!r} on line {place.line}"
            yield Note(at, found, "one check for all rules, or other parameters")


@lint(
    "needs-hub",
    Level.WARNING,
    "A check needs a model from a hub, and no hub can be reached.",
    why="""The model is no part of genguard and no folder on this machine. Unless it is in the local cache already, the check
    cannot be loaded, and the policy does not run. Name a bundled model or a folder, or fill the cache where there is a network.
    Reported with `--no-hub`, and where HF_HUB_OFFLINE is set.""",
)
def _needs_hub(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        for name, _ in () if subject.hub else subject.traits(spec.name).hub:
            yield Note(
                subject.check(spec.name, "model"),
                f"model {name!r}, which needs a hub",
                "a bundled model (`bundled/NAME`), or the folder of one",
                at,
            )


@lint(
    "unpinned-model",
    Level.ADVICE,
    "A model from a hub is not pinned to a revision.",
    why="""Whoever owns the model can publish other weights under its name: the same policy then decides otherwise on the next
    machine that fetches it. `revision` with a commit keeps it as it was when the thresholds were chosen.""",
)
def _unpinned_model(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        for name, revision in subject.traits(spec.name).hub:
            if not revision:
                found = f"model {name!r} of a hub without a revision"
                yield Note(subject.check(spec.name, "model"), found, "`revision`: a commit", at)


@lint(
    "sends-out",
    Level.ADVICE,
    "A check sends contents to a service.",
    why="""Prompts and outputs leave this machine for the address that the check names, before anything is redacted. That may be
    what was agreed with those whose data it is; this line is for the one who has to know.""",
)
def _sends_out(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        for address in subject.traits(spec.name).endpoints:
            yield Note(
                subject.check(spec.name, "base_url"),
                f"check {spec.name!r}, which sends contents to {address}",
                "an agreement that covers it, or a check on this machine",
                at,
            )


_UNREAD = (
    (Stage.PROMPT, Modality.TEXT, "prompts reach the generator unread"),
    (Stage.OUTPUT, Modality.TEXT, "every text is blocked"),
    (Stage.CHUNK, Modality.TEXT, "every streamed text is blocked"),
    (Stage.OUTPUT, Modality.IMAGE, "every image is blocked"),
    (Stage.OUTPUT, Modality.AUDIO, "every audio is blocked"),
)


@lint(
    "unread-stage",
    Level.ADVICE,
    "No check reads a kind of content.",
    why="""Outputs that no check reads are blocked, so that nothing leaves unread; prompts that no check reads go on to the
    generator. Where such contents occur, add a check that reads them; where they do not, nothing is wrong.""",
)
def _unread_stage(subject: Subject) -> Iterator[Note]:
    # Few services make audio: it is told only where the policy names a generator that does.
    made = {one.modality for one in subject.generators() or ()} or {Modality.TEXT, Modality.IMAGE}
    made |= {Modality.AUDIO} if "audio" in subject.policy.generators else set()
    for stage, modality, follows in _UNREAD:
        occurs = stage is Stage.PROMPT or modality in made
        if occurs and not any(spec.applies(stage, modality) for spec in subject.policy.checks):
            kind = f"{modality.value} at stage {stage.value}"
            yield Note(subject.head("checks"), f"no check that reads {kind}: {follows}", "one, where such contents occur")


@lint(
    "idle-check",
    Level.WARNING,
    "A check reads what no generator of the policy makes.",
    why="""`applies_to` names generators that make texts alone, or images alone, and the check reads only the other kind of
    output. It never runs, and no rule on it ever fires. Correct `applies_to`, or take the check out.""",
)
def _idle_check(subject: Subject) -> Iterator[Note]:
    made = {one.modality for one in subject.generators() or ()}
    for spec, at in subject.specs() if made else ():
        prompts = spec.applies(Stage.PROMPT, Modality.TEXT)
        if not prompts and (made.isdisjoint(spec.modalities) or _MADE.isdisjoint(spec.stages)):
            kinds, found = listed(sorted(spec.modalities)), listed(sorted(made))
            yield Note(
                at, f"check {spec.name!r}, which reads {kinds}, for generators that make {found}", "a check that reads these"
            )


@lint(
    "late-timeout",
    Level.WARNING,
    "A check waits for its service longer than its deadline.",
    why="""`timeout_ms` is for all tries together. From `deadline_ms` on the check counts as failed whatever it would have
    answered, so later tries are sent for nothing. Give `timeout_ms` less than `deadline_ms`.""",
)
def _late_timeout(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        timeout = spec.parameters.get("timeout_ms")
        if subject.traits(spec.name).endpoints and isinstance(timeout, int) and timeout >= spec.deadline_ms:
            yield Note(
                subject.check(spec.name, "timeout_ms"),
                f"timeout_ms {timeout} with deadline_ms {spec.deadline_ms}",
                "less than the deadline",
                at,
            )


@lint(
    "short-deadline",
    Level.ADVICE,
    "A model or a service has next to no time.",
    why="""A check that misses its deadline counts as failed, and with `on_failure: block` its output is blocked. Less than a
    tenth of a second is missed on a machine that is busy for a moment. Give a deadline that is only missed when something is
    wrong.""",
)
def _short_deadline(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        if _heavy(subject, spec) and spec.deadline_ms < _SHORT_MS:
            place = subject.check(spec.name, "deadline_ms")
            yield Note(place, f"deadline_ms {spec.deadline_ms} for a model", f"{_SHORT_MS} or more", at)


@lint(
    "costly-first",
    Level.ADVICE,
    "A service is asked before checks that are done here.",
    why="""A later group starts only when no rule has blocked so far. With the services in the last group, what the checks on
    this machine block is neither sent out nor paid for.""",
)
def _costly_first(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        later = [
            other
            for other, _ in subject.specs()
            if other.group > spec.group and not subject.traits(other.name).endpoints and _blocks(subject, other.name)
        ]
        if subject.traits(spec.name).endpoints and later:
            found = f"check {spec.name!r}, which asks a service, in an earlier group than {later[0].name!r}"
            yield Note(subject.check(spec.name, "group"), found, "it in a later group", at)


@lint(
    "unasked-label",
    Level.WARNING,
    "A check is told to report a label that no rule asks for.",
    why="""The policy itself lists the label among those that count, and no rule does anything with it. Write the rule that is
    missing, or take the label out of the check's parameters.""",
)
def _unasked_label(subject: Subject) -> Iterator[Note]:
    for spec, at in subject.specs():
        known = subject.loaded.checks[spec.name]
        asked = [one for rule in subject.policy.rules for one, _ in measures(rule.when) if one.check == spec.name]
        chosen = next((name for name in _CHOSEN if name in spec.parameters), None)
        missing = sorted(set(known.labels or ()) - {label for one in asked for label in labels(one, known)})
        if asked and chosen and missing:
            found = f"{listed(missing)} in {chosen!r} of check {spec.name!r}, which no rule asks for"
            yield Note(subject.check(spec.name, chosen), found, "a rule that does, or only what is asked for", at)


def _heavy(subject: Subject, spec: CheckSpec) -> bool:
    traits = subject.traits(spec.name)
    return traits.estimates or bool(traits.hub) or bool(traits.endpoints)


def _blocks(subject: Subject, check: str) -> bool:
    """Whether what a check finds can block."""
    return any(
        rule.action is Action.BLOCK and any(one.check == check for one, _ in measures(rule.when))
        for rule in subject.policy.rules
    )
