"""What a policy's pages stand on: its revisions with the texts that they came from, and how two of them differ."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from audit.history import Revision, revisions
from guard.conditions import words
from guard.rules import Policy
from policies import from_document, loads, packs
from policies.diff import Change, Effect, diff, effect
from policies.load import PACKS, source_of

_VERSION = re.compile(r"^(version:[ \t]*)(\d{1,9})(?=[ \t]*(#.*)?$)", re.MULTILINE)
NEW = """\
policy: my-policy
version: 1
status: live
owner: ""
description: ""

checks:
  toxicity: {use: toxicity, deadline_ms: 10000}

rules:
  - id: threat
    title: Threats are blocked
    when: {toxicity.threat: 0.60}
    action: block
    basis: {house: House rules}
    message: {en: This reply was withheld.}
    tests:
      - flags: I will find you and kill you.
      - passes: Thank you for your patience.
"""
"""What somebody begins with who begins from nothing."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A revision that can be looked at."""

    version: int
    revision: str
    document: str
    source: str
    """The text that it was compiled from; empty where nobody kept it."""
    time: str = ""
    """When the ledger got it; empty for one that it does not have."""
    index: int | None = None
    """Of that entry."""

    @property
    def pretty(self) -> str:
        """The document, a value a line."""
        return json.dumps(json.loads(self.document), ensure_ascii=False, indent=2, sort_keys=True)

    @property
    def policy(self) -> Policy:
        """It, compiled. Raises PolicyError for a document of another version of genguard."""
        return from_document(self.document)


def kept(ledger: str, policy: str, running: Iterable[Policy], given: Sequence[str]) -> tuple[Kept, ...]:
    """Revisions of a policy, the latest first: those of the ledger, and those that run here and are not in it.

    `given`: the files and packs that the service was given: where one compiles to a revision, it is its text.
    """
    found = [_kept(one, given) for one in revisions(ledger, policy)]
    known = {one.revision for one in found}
    own = [
        Kept(one.version, one.revision, one.document, _text(one.revision, given))
        for one in running
        if one.id == policy and one.revision not in known
    ]
    return (*own, *found)


def _kept(one: Revision, given: Sequence[str]) -> Kept:
    source = one.source or _text(one.revision, given)
    return Kept(one.version, one.revision, one.document, source, one.time, one.index)


def _text(revision: str, given: Sequence[str]) -> str:
    return _packs().get(revision) or next((text for name in given if (text := source_of(name, revision))), "")


@cache
def _packs() -> dict[str, str]:
    """Texts of the packs by revision."""
    texts = [pack_text(name) for name in packs()]
    return {loads(text).revision: text for text in texts}


def pack_text(name: str) -> str:
    """The text of a pack. Raises KeyError for none of that name."""
    if name not in packs():
        raise KeyError(name)
    return (PACKS / f"{name}.yaml").read_text("utf-8")


def next_version(text: str, above: int) -> str:
    """The text with the version after `above`, unless it says a later one already."""
    found = _VERSION.search(text)
    if found is None or int(found[2]) > above:
        return text
    return f"{text[: found.start(2)]}{above + 1}{text[found.end(2) :]}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text diff."""

    kind: str
    """`same`, `gone`, `new` or `gap`."""
    before: str
    """Its number in the older text; empty where it is not in it."""
    after: str
    text: str


@dataclass(frozen=True, slots=True)
class Compared:
    """How two revisions differ."""

    changes: tuple[Change, ...]
    effect: Effect
    lines: tuple[Line, ...]
    sources: bool
    """Whether the lines are of the texts that were written; else of the compiled documents."""


def compared(old: Kept, new: Kept) -> Compared:
    """In words, and line by line. Raises PolicyError for a document of another version of genguard."""
    changes = diff(old.policy, new.policy)
    sources = bool(old.source and new.source)
    texts = (old.source, new.source) if sources else (old.pretty, new.pretty)
    return Compared(changes, effect(changes), tuple(text_diff(*texts)), sources)


def text_diff(before: str, after: str, around: int = 3) -> list[Line]:
    """Lines that differ, with some around them."""
    one, two = before.splitlines(), after.splitlines()
    found: list[Line] = []
    for group in difflib.SequenceMatcher(None, one, two, autojunk=False).get_grouped_opcodes(around):
        if found or group[0][1]:
            found.append(Line("gap", "", "", "…"))
        for tag, a, b, c, d in group:
            if tag == "equal":
                found += [Line("same", str(a + n + 1), str(c + n + 1), text) for n, text in enumerate(one[a:b])]
            else:
                found += [Line("gone", str(a + n + 1), "", text) for n, text in enumerate(one[a:b])]
                found += [Line("new", "", str(c + n + 1), text) for n, text in enumerate(two[c:d])]
    return found


def rules_of(policy: Policy) -> list[dict[str, Any]]:
    """The rules of a policy as a page tells them."""
    return [
        {"id": one.id, "title": one.title, "when": words(one.when), "action": one.action.value, "category": one.category}
        for one in policy.rules
    ]
