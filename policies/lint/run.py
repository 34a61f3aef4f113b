"""Runs all lints over a policy, and sets aside what comments allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from guard.errors import PolicyError
from guard.rules import Policy
from policies.lint.comments import Allowance, allowances
from policies.lint.registry import LINTS, Level, Lint, Note
from policies.lint.subject import Subject
from policies.loaded import LoadedPolicy
from policies.mistake import PolicyFileError, Position, pointer
from policies.source import Node

LOAD = Lint(
    "load",
    Level.ERROR,
    "A mistake for which the policy is not loaded.",
    "A policy that cannot be meant decides nothing: no service starts with it, and a running one keeps the last good revision. "
    "Comments do not allow such a mistake; docs/policy.md explains every key with an example.",
    lambda _: (),
)
"""What the mistakes of a file that cannot be loaded are reported as."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of one lint in one file."""

    lint: Lint
    at: Position
    message: str
    quote: str = ""
    """The line of the file; empty where there is none to show."""
    allowed: str = ""
    """The reason for which a comment allows it; empty: it counts."""

    def __str__(self) -> str:
        return f"{self.at}: {self.lint.level}: {self.message} [{self.lint.name}]"

    @property
    def pointer(self) -> str:
        """The line of the file with a caret under the place, beginning with a line feed; empty where it has no line."""
        return pointer(self.at, self.quote)


@dataclass(frozen=True, slots=True)
class Report:
    """What lints found in one policy file."""

    file: str
    policy: Policy | None
    """None for a file with mistakes."""
    findings: tuple[Finding, ...]
    """Those that count, in the order of lines."""
    allowed: tuple[Finding, ...] = ()
    """Those that comments allow."""

    def count(self, level: Level) -> int:
        """How many findings of a level count."""
        return sum(one.lint.level is level for one in self.findings)


def examine(
    loaded: LoadedPolicy,
    now: datetime,
    *,
    hub: bool = True,
    activating: bool = False,
    before: Policy | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Report:
    """Run all lints over a policy. No model is loaded.

    `now`, `hub`, `activating`, `before`: as of Subject. `texts`: the lines of its files, for comments and quotes; read from the
    disk when left out. Raises OSError for a file that is gone by now.
    """
    lines = _read(loaded) if texts is None else texts
    subject = Subject(loaded, now, hub, activating, before, allowances(lines))
    found = [(one, note) for one in LINTS.values() for note in one.run(subject)]
    findings = [_finding(one, note, lines, subject.allowances) for one, note in found]
    idle = LINTS["unused-allowance"]
    used = {(one.at, name) for _, name, one in _uses(found, subject.allowances)}
    for allowance in subject.allowances:
        unused = [name for name in allowance.names if name in LINTS and (allowance.at, name) not in used]
        if unused and allowance.reason:
            note = Note(allowance.at, f"a comment that allows {', '.join(unused)}", "a finding there that it is needed for")
            findings.append(_finding(idle, note, lines, ()))
    ordered = sorted(dict.fromkeys(findings), key=lambda one: (one.at.file != loaded.file, one.at, one.lint.name))
    counted = tuple(one for one in ordered if not one.allowed)
    return Report(loaded.file, loaded.policy, counted, tuple(one for one in ordered if one.allowed))


def mistaken(error: PolicyError, file: str) -> Report:
    """The report on a file that cannot be loaded: its mistakes, as findings of `load`. `file`: what was asked for."""
    if isinstance(error, PolicyFileError):
        found = tuple(Finding(LOAD, one.at, one.message, error.quote(one.at)) for one in error.mistakes)
        return Report(error.file, None, found)
    at = Position(error.file or file, error.line)
    return Report(at.file, None, (Finding(LOAD, at, str(error).removeprefix(f"{at}: ")),))


def _finding(one: Lint, note: Note, lines: Mapping[str, Sequence[str]], comments: Sequence[Allowance]) -> Finding:
    text = lines.get(note.at.file, ())
    quote = text[note.at.line - 1] if 0 < note.at.line <= len(text) else ""
    reason = next((allowance.reason for allowance in comments if _allows(allowance, one.name, note)), "")
    return Finding(one, note.at, note.message, quote, reason)


def _uses(found: Sequence[tuple[Lint, Note]], comments: Sequence[Allowance]) -> list[tuple[Note, str, Allowance]]:
    return [(note, one.name, allowance) for one, note in found for allowance in comments if _allows(allowance, one.name, note)]


def _allows(allowance: Allowance, name: str, note: Note) -> bool:
    places = [note.at] + ([note.scope] if note.scope else [])
    return (
        bool(allowance.reason)
        and name in allowance.names
        and any(place.file == allowance.at.file and place.line == allowance.line for place in places)
    )


def _read(loaded: LoadedPolicy) -> dict[str, list[str]]:
    """The lines of all files that the policy stands in."""
    files = dict.fromkeys((loaded.file, *sorted(files_of(loaded.root))))
    return {file: Path(file).read_text("utf-8-sig").splitlines() for file in files}


def files_of(node: Node) -> set[str]:
    """The files that a policy stands in: its own, and those that it extends."""
    inside = [entry.node for entry in node.entries.values()] + node.items
    own = {node.at.file, *(entry.at.file for entry in node.entries.values())}
    return own.union(*(files_of(one) for one in inside))
