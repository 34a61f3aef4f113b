"""What changed between two policies, in words, and whether each change makes verdicts stricter.

`stricter` and `looser` are claimed where they follow for every content: from the same answers of the checks, no verdict gets
weaker, or none gets stronger, by this change alone. `same` changes no action. Everything else is `unknown`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any

from guard.rules import CheckSpec, Exemption, MarkSpec, Policy, Rule
from guard.types import Action, Modality, Stage
from policies.compare import Shift, finds, renamed, shifts
from policies.document import canonical


class Effect(StrEnum):
    """What a change does to verdicts."""

    STRICTER = "stricter"
    LOOSER = "looser"
    SAME = "same"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference of two policies."""

    part: str
    """`policy`, `check`, `rule`, `exception` or `mark`."""
    name: str
    """Which one; empty for the policy's head."""
    what: str
    """In words: `threshold of toxicity.threat 0.60 -> 0.50`."""
    effect: Effect
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.part} {self.name}: {self.what}" if self.name else f"{self.part}: {self.what}"


def diff(old: Policy, new: Policy) -> tuple[Change, ...]:
    """Every difference from one policy to another; empty exactly when their revisions are the same."""
    if old.revision == new.revision:
        return ()
    names = _check_names(old.checks, new.checks)
    moved = replace(
        old,
        rules=tuple(replace(rule, when=renamed(rule.when, names)) for rule in old.rules),
        exceptions=tuple(replace(one, when=one.when and renamed(one.when, names)) for one in old.exceptions),
    )
    found = (*_head(old, new), *_checks(old, new, names), *_rules(moved, new), *_exceptions(moved, new), *_marks(old, new))
    if not found and set(old.rules) == set(new.rules):
        found = (Change("policy", "", "order of rules", Effect.SAME),)
    return found or (Change("policy", "", "written in another form", Effect.UNKNOWN),)


def effect(changes: Iterable[Change]) -> Effect:
    """What several changes do together."""
    found = {change.effect for change in changes} - {Effect.SAME}
    return Effect.SAME if not found else found.pop() if len(found) == 1 else Effect.UNKNOWN


def _by_strength(before: int, after: int) -> Effect:
    return Effect.SAME if before == after else Effect.STRICTER if after > before else Effect.LOOSER


def _changed(part: str, name: str, key: str, before: Any, after: Any, effect: Effect) -> Iterator[Change]:
    if before != after:
        told = (_told(before), _told(after))
        yield Change(part, name, f"{key} {told[0] or 'none'} -> {told[1] or 'none'}", effect, *told)


def _told(value: Any) -> str:
    if isinstance(value, str | bool | int) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=list)
    return "[" + ", ".join(map(_told, value)) + "]"


# --- the head --------------------------------------------------------------------------------------------------------


def _head(old: Policy, new: Policy) -> Iterator[Change]:
    for key, before, after, does in (
        ("id", old.id, new.id, Effect.SAME),
        ("version", old.version, new.version, Effect.SAME),
        ("status", old.status, new.status, Effect.UNKNOWN),
        ("owner", old.owner, new.owner, Effect.SAME),
        ("generators", old.generators, new.generators, Effect.UNKNOWN),
        ("tenants", old.tenants, new.tenants, Effect.UNKNOWN),
    ):
        yield from _changed("policy", "", key, before, after, does)
    if old.description != new.description:
        yield Change("policy", "", "description changed", Effect.SAME, old.description, new.description)


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_names(old: tuple[CheckSpec, ...], new: tuple[CheckSpec, ...]) -> dict[str, str]:
    """What each old check is called now: by its name, else by what it measures."""
    taken = {spec.name for spec in new}
    names = {spec.name: spec.name for spec in old if spec.name in taken}
    free = [spec for spec in new if spec.name not in names]
    for spec in old:
        if spec.name not in names:
            same = next((one for one in free if _measures(one) == _measures(spec)), None)
            if same is not None:
                free.remove(same)
                names[spec.name] = same.name
    return names


def _measures(spec: CheckSpec) -> str:
    return canonical({"use": spec.use, "parameters": spec.parameters})


def _checks(old: Policy, new: Policy, names: Mapping[str, str]) -> Iterator[Change]:
    after = {spec.name: spec for spec in new.checks}
    for spec in old.checks:
        if spec.name not in names:
            yield Change("check", spec.name, f"removed ({spec.use})", _coverage(spec, new, Effect.LOOSER), spec.use)
    for before, now in names.items():
        spec = next(one for one in old.checks if one.name == before)
        if before != now:
            yield Change("check", before, f"is called {now}", Effect.SAME, before, now)
        yield from _check(spec, after[now])
    for spec in new.checks:
        if spec.name not in names.values():
            yield Change("check", spec.name, f"new ({spec.use})", _coverage(spec, old, Effect.STRICTER), "", spec.use)


def _coverage(spec: CheckSpec, other: Policy, effect: Effect) -> Effect:
    """Whether a check more or less also decides if a content is read at all: what no check reads is blocked."""
    situations = [one for one in product(Stage, Modality) if one[0] is not Stage.PROMPT and spec.applies(*one)]
    alone = any(not any(rest.applies(*one) for rest in other.checks) for one in situations)
    if alone:
        return Effect.UNKNOWN
    return Effect.SAME if spec.on_failure is Action.ALLOW else effect


def _check(old: CheckSpec, new: CheckSpec) -> Iterator[Change]:
    name = new.name
    yield from _changed("check", name, "use", old.use, new.use, Effect.UNKNOWN)
    for key in sorted({*old.parameters, *new.parameters}):
        yield from _changed("check", name, key, old.parameters.get(key), new.parameters.get(key), Effect.UNKNOWN)
    follows = _by_strength(old.on_failure.strength, new.on_failure.strength)
    yield from _changed("check", name, "on_failure", old.on_failure.value, new.on_failure.value, follows)
    yield from _changed("check", name, "deadline_ms", old.deadline_ms, new.deadline_ms, Effect.UNKNOWN)
    yield from _changed("check", name, "group", old.group, new.group, Effect.UNKNOWN)
    yield from _changed("check", name, "stages", sorted(old.stages), sorted(new.stages), Effect.UNKNOWN)
    yield from _changed("check", name, "modalities", sorted(old.modalities), sorted(new.modalities), Effect.UNKNOWN)


# --- rules -----------------------------------------------------------------------------------------------------------


def _rules(old: Policy, new: Policy) -> Iterator[Change]:
    before, after = {rule.id: rule for rule in old.rules}, {rule.id: rule for rule in new.rules}
    added = [rule for rule in new.rules if rule.id not in before]
    for rule in old.rules:
        if rule.id in after:
            yield from _rule(rule, after[rule.id])
            continue
        same = next((one for one in added if replace(one, id=rule.id) == rule), None)
        if same is not None and not _watched(rule.id, old, new) and not _watched(same.id, old, new):
            added.remove(same)
            yield Change("rule", rule.id, f"is called {same.id}", Effect.SAME, rule.id, same.id)
        else:
            does = Effect.SAME if rule.action is Action.ALLOW else Effect.LOOSER
            yield Change("rule", rule.id, f"removed ({rule.action.value})", does, rule.action.value)
    for rule in added:
        does = Effect.SAME if rule.action is Action.ALLOW else Effect.STRICTER
        yield Change("rule", rule.id, f"new ({rule.action.value})", does, "", rule.action.value)


def _watched(rule: str, *policies: Policy) -> bool:
    """Whether an exception names this rule."""
    return any(rule in one.rules for policy in policies for one in policy.exceptions)


def _rule(old: Rule, new: Rule) -> Iterator[Change]:
    name = new.id
    pair = {old.action, new.action}
    # A redaction without a place blocks, so beside `review` it is at times the stricter one.
    does = _by_strength(old.action.strength, new.action.strength)
    does = Effect.UNKNOWN if pair == {Action.REDACT, Action.REVIEW} else does
    yield from _changed("rule", name, "action", old.action.value, new.action.value, does)
    for shift in shifts(old.when, new.when):
        yield Change("rule", name, shift.what, _of_shift(shift, old, new), shift.before, shift.after)
    for key, before, after in (
        ("title", old.title, new.title),
        ("category", old.category, new.category),
        ("basis", f"{old.basis_kind} {old.basis}".strip(), f"{new.basis_kind} {new.basis}".strip()),
    ):
        yield from _changed("rule", name, key, before, after, Effect.SAME)
    if pair == {Action.REDACT}:
        yield from _changed("rule", name, "operator", old.operator, new.operator, Effect.UNKNOWN)
        yield from _changed("rule", name, "with", dict(old.parameters), dict(new.parameters), Effect.UNKNOWN)
    for language in sorted({*dict(old.message), *dict(new.message)}):
        told, tells = dict(old.message).get(language, ""), dict(new.message).get(language, "")
        if told != tells:
            verb = "added" if not told else "removed" if not tells else "changed"
            yield Change("rule", name, f"message in {language} {verb}", Effect.SAME, told, tells)


def _of_shift(shift: Shift, old: Rule, new: Rule) -> Effect:
    """What a rule that fires more or less often does. A redaction blocks what it finds without a place to cut."""
    if shift.way == 0 or new.action is Action.ALLOW:
        return Effect.SAME
    redacts = new.action is Action.REDACT
    if shift.way is None or (redacts and (shift.gives_findings or not (finds(old.when) and finds(new.when)))):
        return Effect.UNKNOWN
    return Effect.STRICTER if shift.way > 0 else Effect.LOOSER


# --- exceptions and marks --------------------------------------------------------------------------------------------


def _exceptions(old: Policy, new: Policy) -> Iterator[Change]:
    before, after = {one.id: one for one in old.exceptions}, {one.id: one for one in new.exceptions}
    for name, one in before.items():
        if name in after:
            yield from _exception(one, after[name])
        else:
            yield Change("exception", name, f"removed (for {', '.join(one.rules)})", Effect.STRICTER)
    for name, one in after.items():
        if name not in before:
            told = f"new (for {', '.join(one.rules)} until {one.expires:%Y-%m-%d})"
            yield Change("exception", name, told, Effect.LOOSER)


def _exception(old: Exemption, new: Exemption) -> Iterator[Change]:
    more, fewer = set(new.rules) - set(old.rules), set(old.rules) - set(new.rules)
    for rules, verb, does in ((more, "also for", Effect.LOOSER), (fewer, "no longer for", Effect.STRICTER)):
        for rule in sorted(rules):
            yield Change("exception", new.id, f"{verb} rule {rule}", does)
    if old.expires != new.expires:
        does = Effect.LOOSER if new.expires > old.expires else Effect.STRICTER
        yield from _changed("exception", new.id, "expires", f"{old.expires:%Y-%m-%d}", f"{new.expires:%Y-%m-%d}", does)
    if old.when is not None and new.when is not None:
        for shift in shifts(old.when, new.when):
            does = _LOOSENS.get(shift.way, Effect.UNKNOWN)
            yield Change("exception", new.id, shift.what, does, shift.before, shift.after)
    elif old.when != new.when:
        held = new.when is None
        told = "holds wherever the policy does" if held else "holds on a condition only"
        yield Change("exception", new.id, told, Effect.LOOSER if held else Effect.STRICTER)
    yield from _changed("exception", new.id, "owner", old.owner, new.owner, Effect.SAME)
    if old.reason != new.reason:
        yield Change("exception", new.id, "reason changed", Effect.SAME, old.reason, new.reason)


_LOOSENS: dict[int | None, Effect] = {1: Effect.LOOSER, -1: Effect.STRICTER, 0: Effect.SAME}


def _marks(old: Policy, new: Policy) -> Iterator[Change]:
    before, after = ({(spec.use, spec.modality): spec for spec in policy.marks} for policy in (old, new))
    for (use, modality), spec in before.items():
        name = f"{use} ({modality.value})"
        if (use, modality) in after:
            yield from _mark(name, spec, after[use, modality])
        else:
            yield Change("mark", name, "removed", _marking(spec, Effect.LOOSER))
    for (use, modality), spec in after.items():
        if (use, modality) not in before:
            yield Change("mark", f"{use} ({modality.value})", "new", _marking(spec, Effect.STRICTER))


def _marking(spec: MarkSpec, effect: Effect) -> Effect:
    """A mark that may be missing changes no verdict of its own, and still stands in the way of others."""
    return Effect.UNKNOWN if spec.on_unmarkable is Action.ALLOW else effect


def _mark(name: str, old: MarkSpec, new: MarkSpec) -> Iterator[Change]:
    follows = _by_strength(old.on_unmarkable.strength, new.on_unmarkable.strength)
    yield from _changed("mark", name, "on_unmarkable", old.on_unmarkable.value, new.on_unmarkable.value, follows)
    for key in sorted({*old.parameters, *new.parameters}):
        yield from _changed("mark", name, key, old.parameters.get(key), new.parameters.get(key), Effect.UNKNOWN)
    only = Effect.LOOSER if new.only_labelled else Effect.STRICTER
    yield from _changed("mark", name, "only_labelled", old.only_labelled, new.only_labelled, only)
