"""The errors of genguard.

    GenguardError
    ├── PolicyError            a policy file cannot be used; knows file and line
    ├── SettingsError          settings that cannot be used
    ├── SignatureError         a signature that is missing, malformed, or does not hold
    ├── InputError             a prompt, text or image that is not what it says
    │   ├── TooLargeError      over a limit
    │   └── ParameterError     a generation parameter that is unknown or out of range
    ├── RegistryError          an unknown, duplicate or broken check, generator or marker
    ├── ModelError             weights that are missing, of another digest, or cannot be loaded
    ├── CheckError             a check made of others that could not do its work
    ├── EndpointError          a service over HTTP that cannot be asked, or whose answer cannot be used
    ├── BusyError              too much waits already; knows when to ask again
    ├── DeadlineError          a request's deadline passed before it was done
    ├── GenerationError        a generator failed; nothing was made
    ├── WithheldError          for callers who asked for an output itself: the policy withholds it. Has the release
    └── LedgerError            a decision could not be committed; nothing is released
        ├── LedgerFullError    the queue of decisions waiting for their commit is full
        └── RefusedError       a step that may not be recorded any more, such as a claim on what somebody has

A blocked output is a verdict, not an error. `str(error)` says what was found and what was expected; `diagnostics()` says what
to do about it. Neither ever quotes content.
"""

from __future__ import annotations

from typing import Any


class GenguardError(Exception):
    """Base of all errors of genguard."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        """`message`: what was found and what was expected. `advice`: what to do."""
        super().__init__(message)
        self.advice = advice

    def diagnostics(self) -> str:
        """Message and advice, for a person."""
        return f"{self}\n{self.advice}" if self.advice else str(self)

    def plain(self) -> str:
        """The same without words of whoever asked, for answers that others may keep."""
        return self.diagnostics()


class PolicyError(GenguardError):
    """A policy file cannot be used."""

    def __init__(self, message: str, *, file: str = "", line: int = 0, advice: str = "") -> None:
        """`line` counts from 1; 0 when the mistake has no line."""
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message, advice=advice)
        self.file = file
        self.line = line


class SettingsError(GenguardError):
    """Settings that cannot be used."""


class SignatureError(GenguardError):
    """A signature that is missing, malformed, or does not hold."""


class InputError(GenguardError):
    """A prompt, text or image that is not what it says."""


class TooLargeError(InputError):
    """An input over a limit."""


class ParameterError(InputError):
    """A generation parameter that is unknown or out of range."""


class RegistryError(GenguardError):
    """An unknown, duplicate or broken check, generator or marker."""


class ModelError(GenguardError):
    """Weights that are missing, of another digest, or cannot be loaded."""


class CheckError(GenguardError):
    """A check made of others that could not do its work."""


class EndpointError(GenguardError):
    """A service over HTTP that cannot be asked, or whose answer cannot be used."""


class BusyError(GenguardError):
    """Too much waits already for a check or a generator: nothing was begun, and nothing is recorded."""

    def __init__(self, message: str, *, retry_after_s: int = 1, advice: str = "") -> None:
        """`retry_after_s`: after how many seconds it is worth to ask again, as far as one can tell."""
        super().__init__(message, advice=advice)
        self.retry_after_s = retry_after_s


class DeadlineError(GenguardError):
    """A request's deadline passed before it was done: what was not made by then is not made."""


class GenerationError(GenguardError):
    """A generator failed; nothing was made."""


class WithheldError(GenguardError):
    """The policy withholds what a function made, or was asked; raised where only the output itself could be returned."""

    def __init__(self, message: str, *, release: Any = None, advice: str = "") -> None:
        """`release`: the `guard.types.Release` without content; its `verdict` says why."""
        super().__init__(message, advice=advice)
        self.release = release

    @classmethod
    def of(cls, release: Any) -> WithheldError:
        """The error about a release without content."""
        verdict = release.verdict
        rules = ", ".join(one.rule for one in verdict.fired) or verdict.policy
        return cls(f"withheld by {rules} ({verdict.action.value}), decision {release.decision.id}", release=release)


class LedgerError(GenguardError):
    """A decision could not be committed; nothing is released."""


class RefusedError(LedgerError):
    """A step that may not be recorded any more: somebody was faster, or it is not this person's to take."""


class LedgerFullError(LedgerError):
    """The queue of decisions waiting for their commit is full."""


def describe(error: BaseException) -> str:
    """An error in words that quote no content, for a record or a log: our own messages never do, a stranger's might."""
    return f"{type(error).__name__}: {error}" if isinstance(error, GenguardError) else type(error).__name__
