"""Which kinds of personal data a text can hold at all: one cheap pass, so that no pattern runs that cannot match.

The answer leaves nothing out: each kind's needs (`guard.checks.pii_spec.Needs`) follow from its patterns, and a test compares
the findings with those of all recognizers over thousands of texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from guard.checks.pii_spec import Needs

_RUN = re.compile(r"[0-9](?:[^0-9A-Za-z]{0,3}[0-9])*")
_DIGIT = re.compile("[0-9]")
_DIGITS = frozenset("0123456789")
WIDEST = 40
"""Code points of the longest word, and of what the widest quick pattern finds, that data without digits needs."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What is asked of a text."""

    lower: str
    digits: int
    run: int

    def meet(self, needs: Needs) -> bool:
        """Whether the text has all that this kind of data needs."""
        return (
            self.digits >= needs.digits
            and self.run >= needs.run
            and (not needs.words or self._has_any(needs.words))
            and (not needs.like or re.search(needs.like, self.lower) is not None)
        )

    def _has_any(self, words: Iterable[str]) -> bool:
        for word in words:  # noqa: SIM110 - `any` takes thrice as long
            if word in self.lower:
                return True
        return False


def traits(text: str, since: int = 0, clear: int = 0) -> Traits:
    """The traits of a text; its runs of digits are looked for only where it has digits.

    `since`: where what is wanted begins at the earliest. The digits of a match are in what is found. `clear`: before which code
    point nothing stands that is needed; without digits only what may go on from there is read.
    """
    if _DIGIT.search(text, since) is None:
        return Traits(text[max(0, clear - WIDEST) :].lower(), 0, 0)
    runs = [sum(map(_DIGITS.__contains__, run)) for run in _RUN.findall(text)]
    return Traits(text.lower(), sum(runs), max(runs))


class Prefilter:
    """Knows, by entity type, what the recognizers of one language need."""

    def __init__(self, needs: Iterable[tuple[str, Needs]], entities: Iterable[str]) -> None:
        """`needs`: entity types with the needs of each of their recognizers; `entities`: those that are asked for."""
        known: dict[str, list[Needs]] = {}
        for entity, one in needs:
            known.setdefault(entity, []).append(one)
        self._needs: Mapping[str, tuple[Needs, ...]] = {
            entity: () if Needs() in known.get(entity, [Needs()]) else tuple(dict.fromkeys(known[entity]))
            for entity in entities
        }
        self._without_digits = {
            entity: tuple(one for one in needs if not one.digits and not one.run)
            for entity, needs in self._needs.items()
            if not needs or not all(one.digits or one.run for one in needs)
        }

    def possible(self, text: str) -> list[str]:
        """The entity types that may be found in the text; those without needs are always among them."""
        return self.among(traits(text))

    def among(self, found: Traits) -> list[str]:
        """The same for a text with these traits."""
        asked = self._needs if found.digits else self._without_digits
        return [entity for entity, needs in asked.items() if not needs or any(map(found.meet, needs))]
