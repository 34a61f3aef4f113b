"""One output that is being made: takes its pieces, and says which text may leave."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import datetime
from time import monotonic, perf_counter
from weakref import WeakKeyDictionary

from guard import watching
from guard.admission import Limits
from guard.bench import Seat
from guard.chain import context_of
from guard.decide import decide
from guard.errors import InputError, TooLargeError
from guard.marks.label import TextLabel
from guard.redact import Keyed, Redactor
from guard.redaction_key import RedactionKey
from guard.streaming.frontier import Frontier
from guard.streaming.measuring import Measured, Measuring
from guard.streaming.plan import asks_length
from guard.text.sentences import Sentences
from guard.types import Action, CheckResult, Content, Span, Status, Verdict

STRIDE = 64
"""Code points after which the checks are asked anew between two ends of sentences."""
SLOW_S = 0.02
"""After a step between two ends of sentences that took longer, the next one is at the end of the sentence."""


class Window:
    """One choice. Calls come one after another."""

    def __init__(self, seat: Seat, empty: Content, time: datetime, key: RedactionKey | None, limits: Limits) -> None:
        """`empty`: the output before it has any text. `time`: when it is judged, from beginning to end."""
        self.seat = seat
        self._content, self._text = empty, empty.text
        self.time = time
        frontier = Frontier(seat.chain.checks, time, keyed=key is not None)
        self.measured = Measured(0, (), context_of(empty, time))
        self.verdict: Verdict | None = None
        self.steps = 0
        self.held = False
        """Whether a person will have to decide: nothing leaves until the whole text is judged."""
        self.sent = ""
        self.edited = ""
        """The judged text with its edits."""
        self._frontier, self._measuring = frontier, Measuring(seat.chain, frontier)
        self._redactor = Redactor(Keyed.of(key, empty.request) if key else None)
        self._limits = limits
        self._clean: Verdict | None = None
        """On this text where nothing was found in it, once that is known."""
        self._asked = self._ended = 0
        self._sentences = Sentences()
        self._took = 0.0
        self._came: deque[tuple[int, float]] = deque()
        """Where each piece that did not leave yet ends, and when it came."""
        labels = [one.marker for one in seat.marks if isinstance(one.marker, TextLabel) and one.marker.first]
        self._label = labels[0] if labels else None

    @property
    def text(self) -> str:
        """All of it so far."""
        return self._text

    @property
    def content(self) -> Content:
        """The same as a content."""
        if self._content.data is not self._text:
            self._content = replace(self._content, data=self._text)
        return self._content

    @content.setter
    def content(self, content: Content) -> None:
        self._content, self._text = content, content.text

    def add(self, piece: str) -> None:
        """Read on. Raises TooLargeError over the limit for texts, InputError for what is no Unicode text."""
        if len(self._text) + len(piece) > self._limits.text:
            raise TooLargeError(f"found an output of more than {self._limits.text} characters, expected at most so many")
        if not piece.isascii():
            try:
                piece.encode()
            except UnicodeEncodeError:
                raise InputError("found an unpaired surrogate in an output, expected Unicode text") from None
        self._text += piece
        if watching.watched():
            self._came.append((len(self._text), monotonic()))

    @property
    def due(self) -> bool:
        """Whether asking the checks can let something leave that could not before, and is worth it.

        It is where a sentence has ended, and STRIDE code points after the last time unless all that can leave before the next
        end of a sentence has, or the last time between two took longer than SLOW_S.
        """
        if self.held:
            return False
        if self._sentences(self._text, self._ended) > self._ended:
            return True
        return len(self._text) >= self._asked + STRIDE and self._took < SLOW_S and not self._measuring.waits

    async def step(self, *, ending: bool = False) -> Verdict:
        """Judge what is settled. Where the verdict releases, `edited` grows; `review` holds what follows."""
        ended = self._sentences(self._text, self._ended)
        between = ended == self._ended and not ending
        self._asked, self._ended = len(self._text), ended
        begun = perf_counter()
        measured = await self._measuring(self.content, ending=ending, between=between)
        self._took = perf_counter() - begun if between else 0.0  # the next one between sentences is tried again
        verdict = self._judged(measured)
        self.steps += 1
        self.held = self.held or verdict.action is Action.REVIEW
        if verdict.action.releases and (ending or not self.held):
            self.edited += self._redactor.upto(self.text, verdict.edits, measured.judged)
        if ending or verdict.action is Action.BLOCK or not self.held:
            self.measured, self.verdict = measured, verdict
            self._frontier.reach(measured.judged)
        return verdict

    def _judged(self, measured: Measured) -> Verdict:
        """As of `decide`. A text in which nothing was found is judged as its beginning was, in which nothing was either."""
        clean = all(_is_clean(one, measured.judged) for one in measured.results)
        if clean and self._clean is not None:
            return self._clean
        verdict = decide(self.seat.policy, measured.results, measured.context)
        if clean and not _asks_length(self.seat):
            self._clean = verdict
        return verdict

    def leaving(self) -> str:
        """What may leave of the text judged so far and has not; counts as sent."""
        ready = self._labelled()
        text = ready[len(self.sent) :] if ready.startswith(self.sent) else ""
        self.sent += text
        return text

    def waited(self) -> float:
        """How long ago, in seconds, the first of what was judged since the last call was made."""
        first = self._came[0][1] if self._came else monotonic()
        while self._came and self._came[0][0] <= self.measured.judged:
            self._came.popleft()
        return monotonic() - first

    def _labelled(self) -> str:
        """With the label in front, once it is clear that the text does not begin with one."""
        if self._label is None:
            return self.edited
        line = self.edited.lstrip()
        if not line or ("\n" not in line and len(line) <= self._label.longest):
            return ""
        return self._label.lead(self.edited, self.content.request.language) + self.edited


_asking: WeakKeyDictionary[Seat, bool] = WeakKeyDictionary()
"""What `asks_length` says of the policies of seats."""


def _asks_length(seat: Seat) -> bool:
    known = _asking.get(seat)
    if known is None:
        known = _asking[seat] = asks_length(seat.policy)
    return known


def _is_clean(result: CheckResult, judged: int) -> bool:
    """Whether a check read all of a text up to there and found nothing."""
    scanned = result.scanned
    read = isinstance(scanned, Span) and scanned.start == 0 and scanned.end >= judged
    return read and result.status is Status.OK and not result.findings
