"""How a decision stands with persons, written down as a list of rules, to hold `audit.review` against."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field


@dataclass
class Naive:
    """One decision. Each step returns whether it may be taken."""

    held: bool
    open: bool = False
    appealing: bool = False
    decided: bool = False
    outcome: str = ""
    holder: str = ""
    barred: list[str] = field(default_factory=list)
    appealed: bool = False
    undoable: Naive | None = None

    def __post_init__(self) -> None:
        self.open = self.held

    def claim(self, who: str) -> bool:
        good = self.open and who not in self.barred and self.holder in {"", who}
        if good:
            self.holder = who
        return good

    def give_back(self, who: str) -> bool:
        good = self.open and self.holder == who
        if good:
            self.holder = ""
        return good

    def decide(self, who: str, outcome: str) -> bool:
        good = self.open and self.holder == who
        if good:
            self._turn(who, open=False, appealing=False, decided=True, outcome=outcome)
        return good

    def appeal(self, who: str) -> bool:
        good = not self.open and not self.appealed and who not in self.barred
        if good:
            self._turn(who, open=True, appealing=True, appealed=True)
        return good

    def overrule(self, who: str, outcome: str) -> bool:
        good = self.decided and not self.open and who not in self.barred and outcome != self.outcome
        if good:
            self._turn(who, outcome=outcome)
        return good

    def undo(self, who: str) -> bool:
        if self.undoable is None or self.barred[-1] != who:
            return False
        vars(self).update(vars(self.undoable))
        self.holder = ""
        return True

    def look(self) -> bool:
        """Feedback or a sample: it waits from then on, and what was decided before can no longer be undone."""
        if not self.open:
            self.open, self.decided, self.holder, self.undoable = True, False, "", None
        return True

    @property
    def phase(self) -> str:
        if self.open:
            return "appealed" if self.appealing else "waiting"
        return "decided" if self.decided else "automatic"

    def _turn(self, who: str, **after: object) -> None:
        before = deepcopy(self)
        vars(self).update(after, holder="", undoable=before, barred=[*self.barred, who])
