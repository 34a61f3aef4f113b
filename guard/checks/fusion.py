"""Several checks as one: their scores for each label are combined, and each member's score is on record.

A member that fails fails the fusion, unless the policy names a `quorum`: then labels are fused from the members that answered,
and a finding `member_failed` says which did not. A fused finding's reason holds the members' scores, and the rule by which they
were combined, so anyone can compute it again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from guard.checks.members import Members, labels_of
from guard.errors import CheckError, RegistryError, describe
from guard.following import Followable, Follower, Progress, why_whole
from guard.protocols import Check
from guard.registry import Recipe, checks
from guard.text.sentences import sentence_end
from guard.traits import Places, Traits, traits_of
from guard.types import Content, Examples, Finding, Modality, Place, Region, Scan, Span
from guard.workers import Worker

How = Literal["max", "mean", "weighted", "vote"]
By = Literal["label", "category"]
MEMBER_FAILED = "member_failed"
"""Label of the finding that says which member did not answer. Its score is 0: it is about the work, not about the content."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_HUNG_S = 60.0
"""When a member's thread is given up; no deadline of a policy is longer."""


@checks.register("fusion")
def fusion(
    *,
    members: Mapping[str, Recipe],
    how: How = "max",
    by: By = "label",
    weights: Mapping[str, float] | None = None,
    vote_from: int = 500,
    quorum: int | None = None,
    report_from: int = 100,
) -> Check:
    """The check; raises RegistryError for members that cannot be combined, or a parameter out of range.

    `members`: checks by names of the policy's own, each with `use` and its parameters. `how`: the highest score, the mean, the
    mean by `weights`, or the share of members (by `weights`, if given) that score `vote_from` per mille or more. `by`: scores
    with the same label are combined, or all of one category. A member counts for the labels it knows, with 0 where it reports
    nothing; members that take `report_from` are asked to report everything. `quorum`: how many members of each label have to
    answer; all, if left out. `report_from`: fused scores below it, per mille, are not reported.
    """
    built = {name: _make(name, recipe) for name, recipe in members.items()}
    if len(built) < 2:
        raise RegistryError(f"found {len(built)} members, expected at least 2")
    for name, value, low, high in (("vote_from", vote_from, 1, 1000), ("report_from", report_from, 0, 1000)):
        if not low <= value <= high:
            raise RegistryError(f"{name} is {value}, expected {low} to {high} per mille")
    if quorum is not None and not 1 <= quorum <= len(built):
        raise RegistryError(f"quorum is {quorum}, expected 1 to {len(built)}, the number of members")
    rule = Rule(how, by, _weights(built, how, weights), vote_from, report_from)
    return Fusion(built, {name: recipe["use"] for name, recipe in members.items()}, rule, quorum)


@dataclass(frozen=True, slots=True)
class Rule:
    """How members' scores become one."""

    how: How
    by: By
    weights: Mapping[str, float]
    """Of every member; all 1 where the policy gives none."""
    vote_from: int
    report_from: int

    def key(self, finding: Finding) -> str:
        """Under what a finding is combined."""
        return finding.label if self.by == "label" else finding.category

    def fuse(self, scores: Mapping[str, int]) -> int:
        """The fused score, per mille, of members' scores; there is at least one."""
        if self.how == "max":
            return max(scores.values())
        counted = {name: 1000 * (score >= self.vote_from) if self.how == "vote" else score for name, score in scores.items()}
        weight = sum(self.weights[name] for name in scores)
        return round(sum(self.weights[name] * score for name, score in counted.items()) / weight)

    def explain(self, scores: Mapping[str, int], absent: Sequence[str]) -> str:
        """The members' scores and how they were combined, for the record."""
        weighed = len(set(self.weights.values())) > 1
        told = [f"{name} {score}" + (f" (weight {self.weights[name]:g})" if weighed else "") for name, score in scores.items()]
        rules = {"max": "highest", "mean": "mean", "weighted": "weighted mean", "vote": f"share of votes from {self.vote_from}"}
        without = f"; without {', '.join(absent)}" if absent else ""
        return f"{rules[self.how]} of {', '.join(told)}{without}"


class Fusion(Members):
    """Asks its members side by side; those that compute one after another, when none of them waits for a network."""

    def __init__(self, members: Mapping[str, Check], uses: Mapping[str, str], rule: Rule, quorum: int | None) -> None:
        """`uses`: the registered name of each member's check. Raises RegistryError for members that have nothing in common."""
        super().__init__(members, uses)
        self._rule, self._quorum = rule, quorum
        self.modalities = frozenset[Modality].intersection(*(check.modalities for check in members.values()))
        if not self.modalities:
            read = "; ".join(f"{name} reads {', '.join(sorted(check.modalities))}" for name, check in members.items())
            raise RegistryError(f"found members that read nothing in common ({read}), expected all to read text, or images")
        self._knowing = _knowing(members, rule)
        self.labels: Mapping[str, str] = _labels(members, rule) | ({MEMBER_FAILED: "operation"} if quorum is not None else {})
        self.blocking = all(check.blocking for check in members.values())
        self._workers = {name: Worker(f"genguard-member-{name}") for name, check in members.items() if check.blocking}

    @property
    def examples(self) -> Examples:
        """Those of the first member."""
        return next(iter(self._members.values())).examples

    @property
    def traits(self) -> Traits:
        """As good as the worst of the members."""
        return replace(super().traits, reports_from=self._rule.report_from)

    def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan] | Awaitable[Sequence[Scan]]:
        """One Scan a content. Raises CheckError when members failed, and the quorum does not allow it.

        It allows it for one content at a time: a batch of more fails, and the chain asks for each of them alone.
        """
        if not self.blocking:
            return self._ask(batch)
        answers: dict[str, Sequence[Scan] | str] = {}
        for name, check in self._members.items():
            try:
                answers[name] = _believed(check, len(batch), cast("Sequence[Scan]", check(batch)))
            except Exception as error:  # noqa: BLE001 - recorded as that member's failure
                answers[name] = describe(error)
        return self._fuse(len(batch), answers)

    @property
    def whole(self) -> str:
        """Why it has to see all of a text: a member does, or finds one thing after the other, whose scores count together."""
        for name, check in self._members.items():
            if why := why_whole(check):
                return f"member {name!r}: {why}"
            if traits_of(check).places is not Places.WORST:
                return f"member {name!r} finds one thing after the other, and what it finds later counts for all of them"
        return ""

    def follow(self) -> Follower:
        """Sentence by sentence, each member through its own follower."""
        followers = {name: cast("Followable", check).follow() for name, check in self._members.items()}
        return _Following(followers, self._of_text)

    def _of_text(self, answers: Mapping[str, Scan | str]) -> Scan:
        """What members said of one text, or why one did not; raises as a call does."""
        believed: dict[str, Sequence[Scan] | str] = {}
        for name, answer in answers.items():
            try:
                believed[name] = answer if isinstance(answer, str) else _believed(self._members[name], 1, [answer])
            except CheckError as error:
                believed[name] = describe(error)
        return self._fuse(1, believed)[0]

    async def _ask(self, batch: Sequence[Content]) -> Sequence[Scan]:
        answers = await asyncio.gather(*(self._answer(name, check, batch) for name, check in self._members.items()))
        return self._fuse(len(batch), dict(zip(self._members, answers, strict=True)))

    async def _answer(self, name: str, check: Check, batch: Sequence[Content]) -> Sequence[Scan] | str:
        try:
            if check.blocking:
                scans = await self._workers[name].run(lambda: cast("Sequence[Scan]", check(batch)), _HUNG_S)
            else:
                scans = await cast("Awaitable[Sequence[Scan]]", check(batch))
            return _believed(check, len(batch), scans)
        except Exception as error:  # noqa: BLE001 - recorded as that member's failure
            return describe(error)

    def _fuse(self, count: int, answers: Mapping[str, Sequence[Scan] | str]) -> list[Scan]:
        failed = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
        scans = {name: answer for name, answer in answers.items() if not isinstance(answer, str)}
        if failed and (count > 1 or not self._suffices(scans)):
            told = "; ".join(f"member {name!r} failed: {why}" for name, why in failed.items())
            raise CheckError(told)
        missed = [Finding("operation", MEMBER_FAILED, 0, reason=f"{name} failed: {why}") for name, why in failed.items()]
        return [
            self._scan({name: answer[index] for name, answer in scans.items()}, missed, list(failed)) for index in range(count)
        ]

    def _suffices(self, answered: Iterable[str]) -> bool:
        """Whether of each label's members enough have answered: the quorum, or all where fewer know it."""
        there = set(answered)
        return self._quorum is not None and all(
            len(there & set(names)) >= min(self._quorum, len(names)) for names in self._knowing.values()
        )

    def _scan(self, scans: Mapping[str, Scan], missed: Sequence[Finding], failed: Sequence[str]) -> Scan:
        found = [finding for key in self._knowing for finding in self._findings(key, scans, failed)]
        return Scan((*found, *missed), _common([cast("Place", scan.scanned) for scan in scans.values()]))

    def _findings(self, key: str, scans: Mapping[str, Scan], failed: Sequence[str]) -> Iterator[Finding]:
        """The fused finding of a label, once for every place where a member found it: all have to go where it is redacted."""
        knowing = [name for name in self._knowing[key] if name in scans]
        found = {name: [one for one in scans[name].findings if self._rule.key(one) == key] for name in knowing}
        scores = {name: max((one.score for one in findings), default=0) for name, findings in found.items()}
        fused = self._rule.fuse(scores)
        if fused < self._rule.report_from:
            return
        reason = self._rule.explain(scores, [name for name in failed if name in self._knowing[key]])
        strongest = sorted((one for findings in found.values() for one in findings), key=lambda one: -one.score)
        telling = [one for one in strongest if one.score >= self._rule.report_from] or strongest[:1]
        places: dict[Place | None, Finding | None] = {one.where: one for one in reversed(telling)} or {None: None}
        for where, one in reversed(places.items()):
            yield Finding(self.labels[key], key, fused, where, one.match if one else None, reason)


class _Following:
    """One text, as all members see it at the ends of its sentences."""

    by_sentence = True

    def __init__(self, followers: Mapping[str, Follower], fuse: Callable[[Mapping[str, Scan | str]], Scan]) -> None:
        self._followers, self._fuse = followers, fuse
        self._last: Progress | None = None

    def __call__(self, text: str, *, ending: bool) -> Progress:
        """As `guard.following.Follower`. Raises CheckError as a call does."""
        if self._last is not None and not ending and sentence_end(text, self._last.settled) == self._last.settled:
            return self._last
        answers: dict[str, Scan | str] = {}
        places = []
        for name, follower in self._followers.items():
            try:
                progress = follower(text, ending=ending)
                answers[name] = progress.scan
                places.append(progress.settled)
            except Exception as error:  # noqa: BLE001 - recorded as that member's failure
                answers[name] = describe(error)
        self._last = Progress(self._fuse(answers), len(text) if ending else min(places))
        return self._last


def _make(name: str, recipe: Recipe) -> Check:
    """Build a member. Raises RegistryError for a name or a recipe that cannot be used, and whatever its factory raises."""
    if not _NAME.fullmatch(name):
        raise RegistryError(f"found a member named {name!r}, expected lower-case letters, digits, '-' and '_'")
    use = recipe.get("use")
    if not isinstance(use, str) or use == "fusion":
        found = "a fusion" if use == "fusion" else "no `use`"
        raise RegistryError(f"member {name!r}: found {found}, expected `use` with the name of another check")
    parameters = {key: value for key, value in recipe.items() if key != "use"}
    if "report_from" in checks.signature(use).parameters:
        parameters.setdefault("report_from", 0)
    return checks.make(use, parameters)


def _weights(members: Iterable[str], how: How, given: Mapping[str, float] | None) -> dict[str, float]:
    names = list(members)
    if given is None:
        if how == "weighted":
            raise RegistryError(f"found no weights, expected one for each of: {', '.join(names)}")
        return dict.fromkeys(names, 1.0)
    if how not in {"weighted", "vote"}:
        raise RegistryError(f"found weights with how {how!r}, expected them with 'weighted' or 'vote'")
    if set(given) != set(names):
        raise RegistryError(f"found weights for {', '.join(given) or 'nobody'}, expected one for each of: {', '.join(names)}")
    if not all(0 < weight < 1e6 for weight in given.values()):
        raise RegistryError("found a weight out of range, expected numbers above 0 and below 1000000")
    return {name: float(given[name]) for name in names}


def _labels(members: Mapping[str, Check], rule: Rule) -> dict[str, str]:
    """The fused labels with their categories. Raises RegistryError where members disagree on one."""
    if rule.by == "category":
        return {category: category for check in members.values() for category in check.labels.values()}
    return labels_of(members, "Map the label to another name in that member, or combine `by: category`.")


def _knowing(members: Mapping[str, Check], rule: Rule) -> dict[str, list[str]]:
    """The members that know each fused label. Raises RegistryError when no two of them share one."""
    known = {name: set(check.labels if rule.by == "label" else check.labels.values()) for name, check in members.items()}
    knowing = {key: [name for name in known if key in known[name]] for key in _labels(members, rule)}
    if all(len(names) < 2 for names in knowing.values()):
        told = "; ".join(f"{name}: {', '.join(sorted(labels)[:6])}" for name, labels in known.items())
        raise RegistryError(
            f"found no {rule.by} that two members share ({told}), expected one: there is nothing to combine",
            advice="Map the members' labels to the same names, or combine `by: category`.",
        )
    return knowing


def _believed(check: Check, count: int, scans: Sequence[Scan]) -> Sequence[Scan]:
    """A member's answer, after what the chain asks of a check's answer was asked of it. Raises CheckError."""
    if len(scans) != count:
        raise CheckError(f"found {len(scans)} scans, expected {count}")
    for scan in scans:
        if scan.scanned is None:
            raise CheckError("it read nothing")
        for finding in scan.findings:
            if finding.label not in check.labels or check.labels[finding.label] != finding.category:
                raise CheckError("found a label or category that it does not declare")
            if type(finding.score) is not int or not 0 <= finding.score <= 1000:
                raise CheckError("found a score that is no whole number from 0 to 1000")
    return scans


def _common(places: Sequence[Place]) -> Place:
    """What all members have read."""
    if all(isinstance(place, Span) for place in places):
        spans = cast("Sequence[Span]", places)
        start = max(span.start for span in spans)
        return Span(start, max(start, min(span.end for span in spans)))
    regions = cast("Sequence[Region]", places)
    left, top = max(region.left for region in regions), max(region.top for region in regions)
    return Region(
        left, top, max(left, min(region.right for region in regions)), max(top, min(region.bottom for region in regions))
    )
