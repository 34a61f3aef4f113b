"""Values of which a decision needs many or that every decision needs, made in a third of the time that their classes take.

A frozen dataclass sets each of its fields through a call. Here an object of a plain class with the same slots takes its fields
and becomes one of the frozen class then, before anyone sees it: nothing tells it from one that was made the usual way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.types import Action, CheckResult, Edit, Finding, FiredRule, Place, Status, Verdict

if TYPE_CHECKING:
    QuickResult = CheckResult
    QuickVerdict = Verdict
else:

    class QuickResult:
        """Makes a CheckResult; takes what that takes, by place, and all of it."""

        __slots__ = CheckResult.__slots__

        def __init__(  # noqa: PLR0917 - as CheckResult
            self,
            check: str,
            use: str,
            version: str,
            digest: str,
            status: Status,
            findings: tuple[Finding, ...],
            scanned: Place | None,
            latency_us: int,
            error: str,
        ) -> None:
            self.check = check
            self.use = use
            self.version = version
            self.digest = digest
            self.status = status
            self.findings = findings
            self.scanned = scanned
            self.latency_us = latency_us
            self.error = error
            self.__class__ = CheckResult

    class QuickVerdict:
        """Makes a Verdict; takes what that takes, by place, and all of it."""

        __slots__ = Verdict.__slots__

        def __init__(
            self,
            action: Action,
            fired: tuple[FiredRule, ...],
            explanation: str,
            policy: str,
            version: int,
            revision: str,
            edits: tuple[Edit, ...],
            message: tuple[tuple[str, str], ...],
        ) -> None:
            self.action = action
            self.fired = fired
            self.explanation = explanation
            self.policy = policy
            self.version = version
            self.revision = revision
            self.edits = edits
            self.message = message
            self.__class__ = Verdict
