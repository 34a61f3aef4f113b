"""A policy after it was compiled from its file: the values that `guard.decide` and `guard.chain` work on.

`policies.load` makes these; nothing here reads YAML. Conditions form a small tree, evaluated by `guard.decide`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from guard.types import Action, Modality, Stage, StreamMode

_WILD = re.compile(r"\[[^]]{1,200}\]|[*?]")
"""The parts of a pattern that stand for other characters."""


@dataclass(frozen=True, slots=True)
class ScoreAtLeast:
    """A check reported `label` (`*`: any) with at least this score, per mille."""

    check: str
    label: str
    score: int


@dataclass(frozen=True, slots=True)
class ScoreByLanguage:
    """A check reported `label` (`*`: any) with at least the score, per mille, that is set for the content's language."""

    check: str
    label: str
    scores: tuple[tuple[str, int], ...]
    """By language tag, sorted; `*` stands for all others and is always there. `zh` also covers `zh-Hans`."""

    def at(self, language: str) -> int:
        """The score for a language: that of the longest tag that it begins with."""
        known = {tag.lower(): score for tag, score in self.scores}
        tag = language.lower()
        while tag and tag not in known:
            tag = tag.rpartition("-")[0]
        return known[tag or "*"]


@dataclass(frozen=True, slots=True)
class Found:
    """A check reported one of these labels (empty: any), at whatever score."""

    check: str
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Attribute:
    """A fact of the context (`stage`, `modality`, `generator`, `tenant`, `language`) matches one of these patterns."""

    name: str
    patterns: tuple[str, ...]
    """Shell-style, case-sensitive: `*`, `?`, `[abc]`."""


@dataclass(frozen=True, slots=True)
class Length:
    """The content is at least, or less than, so long: code points of a text, bytes of a file."""

    at_least: int = 0
    below: int | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """The content was judged within a time: all that is set has to hold."""

    since: datetime | None = None
    until: datetime | None = None
    """The first moment after it."""
    days: frozenset[int] = frozenset()
    """Days of the week, Monday is 0; empty: all."""
    hours: tuple[int, int] | None = None
    """From minute to minute of a day, half-open; when the first is the later one, through midnight."""
    zone: str = "UTC"
    """IANA name of the time zone that days and hours are told in."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of several conditions; never empty."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of several conditions; never empty."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary of a condition."""

    condition: Condition


Condition = ScoreAtLeast | ScoreByLanguage | Found | Attribute | Length | Clock | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One line of a policy's `checks`."""

    name: str
    use: str
    """Name in `guard.registry.checks`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    deadline_ms: int = 2000
    on_failure: Action = Action.BLOCK
    """What follows when the check crashes, times out, was skipped or read only a part."""
    group: int = 1
    """Checks of one group run side by side; a group starts when the one before has not blocked yet."""
    stages: frozenset[Stage] = frozenset(Stage)
    modalities: frozenset[Modality] = frozenset(Modality)
    """What the check reads, taken from the check itself when the policy is compiled."""

    def applies(self, stage: Stage, modality: Modality) -> bool:
        """Whether the check has to answer for such a content."""
        return stage in self.stages and modality in self.modalities


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when it fires, and what follows."""

    id: str
    when: Condition
    action: Action
    category: str
    title: str = ""
    basis: str = ""
    operator: str = ""
    """For `redact`: what is done to the places found."""
    parameters: tuple[tuple[str, str], ...] = ()
    message: tuple[tuple[str, str], ...] = ()
    """What the person is told, by language."""
    basis_kind: str = ""
    """What `basis` is: `law`, `contract` or `house`; empty where the policy does not say."""


@dataclass(frozen=True, slots=True)
class MarkSpec:
    """One mark that released outputs carry."""

    use: str
    """Name in `guard.registry.markers`."""
    modality: Modality
    parameters: Mapping[str, Any] = field(default_factory=dict)
    on_unmarkable: Action = Action.BLOCK
    """What follows when an output cannot carry the mark: `block`, `review`, or `allow` it unmarked."""
    only_labelled: bool = False
    """Whether only outputs carry it at which a rule with the action `label` fires."""


@dataclass(frozen=True, slots=True)
class Exemption:
    """An exception: where rules do not count, who answers for that, and until when."""

    id: str
    rules: tuple[str, ...]
    """Ids of the rules that are set aside; at least one."""
    owner: str
    reason: str
    expires: datetime
    """The first moment at which it no longer holds."""
    when: Condition | None = None
    """Where it holds; None: wherever the policy does."""


@dataclass(frozen=True, slots=True)
class Previews:
    """How images are looked at while they are made."""

    rules: tuple[str, ...]
    """Ids of the rules that end a run when they fire on a preview and block; at least one."""
    every: int = 5
    """Steps from one preview to the next."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy. Two policies with one revision decide alike."""

    id: str
    version: int
    status: str
    revision: str
    """SHA-256 of `document`, hexadecimal."""
    document: str
    """Canonical JSON of the whole policy, from which it can be compiled again."""
    checks: tuple[CheckSpec, ...]
    rules: tuple[Rule, ...]
    marks: tuple[MarkSpec, ...] = ()
    generators: tuple[str, ...] = ("*",)
    """Patterns of the generators it applies to."""
    tenants: tuple[str, ...] = ("*",)
    """Patterns of the tenants it applies to."""
    owner: str = ""
    description: str = ""
    exceptions: tuple[Exemption, ...] = ()
    stream: StreamMode = StreamMode.WINDOW
    """How outputs leave that are made piece by piece, where `guard.streaming.plan` finds nothing against it."""
    previews: Previews | None = None
    """None: images are judged when they are finished, and never before."""

    def covers(self, generator: str, tenant: str) -> bool:
        """Whether the policy speaks for this generator and tenant."""
        return matches(generator, self.generators) and matches(tenant, self.tenants)


def choose(policies: Sequence[Policy], generator: str, tenant: str) -> Policy | None:
    """The policy that judges: of those that cover both, the one that says most precisely whom it speaks for.

    The tenant counts first, the generator after it, and then the order given. A name is more precise than a pattern, and of two
    patterns the one with more characters of its own is.
    """
    covering = [policy for policy in policies if policy.covers(generator, tenant)]
    return max(covering, key=lambda one: (_fit(tenant, one.tenants), _fit(generator, one.generators)), default=None)


def _fit(value: str, patterns: tuple[str, ...]) -> tuple[bool, int]:
    """How precisely patterns name a value: whether as a name, and the most characters that one of them gives literally."""
    held = [pattern for pattern in patterns if fnmatchcase(value, pattern)]
    return value in held, max((len(_WILD.sub("", pattern)) for pattern in held), default=0)


@lru_cache(maxsize=4096)
def matches(value: str, patterns: tuple[str, ...]) -> bool:
    """Whether a value matches one of several shell-style patterns, case-sensitively."""
    return any(fnmatchcase(value, pattern) for pattern in patterns)
