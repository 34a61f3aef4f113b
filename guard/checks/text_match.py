"""Finds passages of registered texts and code in a text, and licence headers.

Verbatim runs, whatever stands between their letters, and reworded passages (`guard.matching.passages`). A run's distance is 0
and so is its limit; a reworded passage's is how many in a thousand of its word sequences the work does not have there, and the
limit how many may be missing. Scores, per mille: 1000 for a verbatim run; for a reworded one 500 at the least similarity that
counts, rising to 1000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from types import MappingProxyType

from guard.checks.licence_headers import headers
from guard.errors import ModelError, RegistryError
from guard.following import Progress
from guard.matching import bank as banks
from guard.matching.passages import OVERLAP, RUNS, SHORTEST_RUN, SIMILARITY, Follower, Kind, Passage, PassageMatcher
from guard.matching.snapshot import Snapshot
from guard.matching.works import Work, is_territory
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Examples, Finding, Match, Modality, Request, Scan, Span, Stage

BUNDLED_BANK = "protected-texts"
CATEGORY = "intellectual_property"
VERBATIM, NEAR, LICENCE_HEADER, CLEARED = "verbatim", "near", "licence_header", "cleared"
MAX_FINDINGS = 50
"""The longest passages, and as many licence headers, that are reported of one text."""


class TextMatch:
    """A `guard.protocols.Check` over one bank, and over another of cleared passages."""

    version = "1"
    modalities = frozenset({Modality.TEXT})
    blocking = True

    def __init__(
        self, bank: str, cleared: str, min_run: int, similarity: float, *, licence_headers: bool, territory: str
    ) -> None:
        """`cleared`: the name of the bank of cleared passages, or empty. `territory`: where matches count; empty: anywhere."""
        self._names = (bank, *([cleared] if cleared else ()))
        self._min_run, self._similarity = min_run, similarity
        self._licence_headers = licence_headers
        self._territory = territory
        self._banks: tuple[banks.Bank, ...] = ()
        self._digest = ""

    @property
    def labels(self) -> Mapping[str, str]:
        """Those that the parameters leave to be reported."""
        wanted = {VERBATIM: True, NEAR: self._similarity > 0, LICENCE_HEADER: self._licence_headers}
        wanted[CLEARED] = len(self._names) > 1
        return MappingProxyType({label: CATEGORY for label, is_wanted in wanted.items() if is_wanted})

    @property
    def digest(self) -> str:
        """Digest of the bank as it was loaded, and that of the cleared passages if there are any; empty before `load`."""
        return self._digest

    @property
    def examples(self) -> Examples:
        """A passage of the bundled bank, set otherwise, and texts that quote nothing; none for other banks."""
        if self._names != (BUNDLED_BANK,) or self._min_run > 150:
            return Examples((), ())
        return Examples(tuple(map(_text, _FLAGGED)), tuple(map(_text, _CLEAN)))

    def load(self) -> None:
        """Load the banks and compile the loops, which takes some seconds where no process did so before.

        Raises ModelError when a bank is missing or malformed, or holds nothing that can be found in a text.
        """
        loaded = tuple(banks.load(name) for name in self._names)
        snapshots = [bank.snapshot() for bank in loaded]
        wanted = {RUNS, *([OVERLAP] if self._similarity else [])}
        for snapshot in snapshots:
            if wanted.isdisjoint(snapshot.indexes):
                raise ModelError(
                    f"no work of bank {snapshot.bank!r} has a fingerprint by {' or '.join(sorted(wanted))}",
                    advice="Register texts in it: genguard bank add, genguard bank import.",
                )
        PassageMatcher(snapshots[0], self._min_run, self._similarity).match(_FLAGGED[0])
        self._banks, self._digest = loaded, " ".join(snapshot.digest for snapshot in snapshots)

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a text, each read whole. Raises ModelError before `load`."""
        if not self._banks:
            raise ModelError("the bank is not loaded", advice="Call load() before the first batch.")
        snapshots = [bank.snapshot() for bank in self._banks]
        matchers = [PassageMatcher(snapshots[0], self._min_run, self._similarity)]
        matchers += [PassageMatcher(snapshot, SHORTEST_RUN, 0) for snapshot in snapshots[1:]]
        digest, today = " ".join(snapshot.digest for snapshot in snapshots), datetime.now(UTC).date()
        return [self._scan(content.text, snapshots[0], matchers, digest, today) for content in batch]

    @property
    def whole(self) -> str:
        """Why it cannot follow a text: what is asked of all passages together."""
        if len(self._names) > 1:
            return "which part of a passage is cleared is known when the passage has ended"
        return "licence headers are looked for in all of a text" if self._licence_headers else ""

    def follow(self) -> _Following:
        """Passage by passage. Raises ModelError before `load`."""
        if not self._banks:
            raise ModelError("the bank is not loaded", advice="Call load() before the first text.")
        snapshot = self._banks[0].snapshot()
        follower = Follower(PassageMatcher(snapshot, self._min_run, self._similarity))
        today = datetime.now(UTC).date()
        return _Following(follower, lambda text, found: self._report(text, found, snapshot, [], snapshot.digest, today))

    def _scan(self, text: str, snapshot: Snapshot, matchers: Sequence[PassageMatcher], digest: str, today: date) -> Scan:
        return self._report(text, matchers[0].match(text), snapshot, matchers[1:], digest, today)

    def _report(
        self,
        text: str,
        passages: Iterable[Passage],
        snapshot: Snapshot,
        cleared_by: Sequence[PassageMatcher],
        digest: str,
        today: date,
    ) -> Scan:
        found = [(one, work) for one in passages if (work := snapshot.works[one.number]).counts(today, self._territory)]
        cleared = [one.span for one in cleared_by[0].match(text)] if found and cleared_by else []
        longest = sorted(found, key=lambda pair: (-pair[0].length, pair[0].span.start))[:MAX_FINDINGS]
        findings = [self._finding(text, snapshot.bank, one, work, cleared) for one, work in longest]
        findings += list(_licences(text))[:MAX_FINDINGS] if self._licence_headers else []
        findings.sort(key=lambda finding: finding.where.start if isinstance(finding.where, Span) else 0)
        return Scan(tuple(findings), Span(0, len(text)), digest)

    def _finding(self, text: str, bank: str, one: Passage, work: Work, cleared: Sequence[Span]) -> Finding:
        least = 0 if one.kind is Kind.VERBATIM else round(1000 * self._similarity)
        similar = round(1000 * one.similarity)
        method = RUNS if one.kind is Kind.VERBATIM else OVERLAP
        distance, limit = (0, 0) if one.kind is Kind.VERBATIM else (1000 - similar, 1000 - least)
        transform = "" if one.kind is Kind.VERBATIM else f"reworded: {similar / 10:.0f} % of its word sequences are kept"
        match = Match(bank, work.id, work.title, method, distance, limit, transform=transform, source=one.source)
        place = f"{one.part + ', ' if one.part else ''}characters {one.source.start} to {one.source.end}"
        how = "verbatim" if one.kind is Kind.VERBATIM else "reworded"
        reason = f"{one.length} characters {how} from '{work.title}' ({place}), at least {self._min_run} are reported"
        label, score = str(one.kind), 1000 if not least else 500 + (similar - least) * 500 // max(1, 1000 - least)
        if _left(text, one.span, cleared) < self._min_run:
            label, score, reason = CLEARED, 0, f"{reason}, and of a cleared passage"
        return Finding(CATEGORY, label, score, one.span, match, reason)


class _Following:
    """One text's passages so far."""

    quick = True

    def __init__(self, follower: Follower, report: Callable[[str, list[Passage]], Scan]) -> None:
        self._follower, self._report = follower, report
        self._found: list[Passage] = []
        self._read = 0

    def __call__(self, text: str, *, ending: bool) -> Progress:
        """As `guard.following.Follower`: holds what may belong to a passage that goes on."""
        self._found += self._follower.feed(text[self._read :])
        self._read = len(text)
        self._found += self._follower.finish() if ending else []
        scan = self._report(text, self._found)
        return Progress(scan, len(text) if ending else min(len(text), self._follower.settled))


def _left(text: str, span: Span, cleared: Sequence[Span]) -> int:
    """Characters of the longest stretch of a passage that is not cleared; white space counts as one."""
    longest, start = 0, span.start
    for one in sorted([*cleared, Span(span.end, span.end)], key=lambda one: one.start):
        if one.end >= start:
            stop = max(start, min(one.start, span.end))
            longest, start = max(longest, len(" ".join(text[start:stop].split()))), max(start, one.end)
    return longest


def _licences(text: str) -> Iterator[Finding]:
    for one in headers(text):
        yield Finding(CATEGORY, LICENCE_HEADER, one.score, one.span, reason=one.reason)


_FLAGGED = (
    """SHE LAUGHED -- left a jar of honey on the sill
    and went back before the tide; and for nine days he entered the honey
    under “provisions”, a spoon at a time, until the jar was empty,
    and there was nothing more to enter ... but the hour at which he began to look at the causeway.""",
    """守灯塔的人每天只写一封信,写给从来没有来过的那个人.他写潮水几点退,写海鸥偷走了第几块饼干,写雾里有一条船把汽笛按得太久,
    像是在替谁道歉.信写好以后,他不寄,只把它折成船的样子,放进窗下的木盒.到了冬至那天,木盒再也合不上,他就把所有的船倒进海里,
    看它们排成一行,慢慢地朝没有名字的方向去.第二年春天,门缝里塞着一张湿透的纸,上面只有一句话:我都读完了,请继续写.""",
)
_CLEAN = (
    "The novel opens with a lighthouse keeper who writes everything down; the rest of this page is ours.",
    "Your parcel left the warehouse this morning and will be with you between nine and eleven tomorrow.",
    "这本书里有一个守灯塔的人，他每天写一封信，却从来不寄。",
)


def _text(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("example"))


@checks.register("text_match")
def text_match(
    *,
    bank: str = BUNDLED_BANK,
    cleared: str = "",
    min_run: int = 150,
    similarity: float = SIMILARITY,
    licence_headers: bool = False,
    territory: str = "",
) -> Check:
    """Passages of registered texts and code: a bank by name, or by the path of its file.

    `cleared`: a bank of passages that anyone may quote; what lies in one does not count. `min_run`: characters of the shortest
    passage that is reported, white space counted as one. `similarity`: the least share of a passage's word sequences that a
    reworded one keeps; 0: verbatim runs alone. `licence_headers`: also report SPDX tags, openings of licences, copyright lines.
    `territory`: works that are not protected there (a code of ISO 3166-1) do not match.

    Raises RegistryError for a minimum below what is certain to be found, or a similarity or a territory that is none.
    """
    PassageMatcher(Snapshot(bank, "", 0, {}, {}), min_run, similarity)
    if territory and not is_territory(territory):
        raise RegistryError(f"text_match: found territory {territory!r}, expected a code of ISO 3166-1 such as DE, or none")
    return TextMatch(bank, cleared, min_run, similarity, licence_headers=licence_headers, territory=territory)
