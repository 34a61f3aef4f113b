"""One entry, looked at slowly: body, leaf, columns, terms, and what its kind has to fit to. It names all that is wrong.

What `audit.verifier.typed` reads is not looked at here; what this finds wrong, that does not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import Any

from audit import merkle
from audit.body import (
    ACTIVATION,
    BANK_CHANGE,
    CONFIG,
    DECISION,
    POLICY_ROLLOUT,
    bank_change_from,
    commitments,
    decision_from,
    rollout_from,
)
from audit.canonical import loads
from audit.events import API_KEY, KEY_ROTATION, LOG, Event, event_from
from audit.gaps import PRUNED, Gaps
from audit.key_record import step_of
from audit.projected import ENTRY_COLUMNS, project, terms
from audit.review_codes import RELEASE
from audit.verifier.course import Freed, Let, Notes, Rekeyed, Rolled
from audit.verifier.report import Findings
from guard.errors import LedgerError


class CarefulReader:
    """Looks at entries one by one."""

    def __init__(self, ledger: Mapping[str, Any] | None, gaps: Gaps | None) -> None:
        """`ledger`: the row that says which ledger this is, where it can be read. `gaps`: what explains what is missing."""
        self._ledger, self._gaps = ledger, gaps

    def entry(
        self, idx: int, row: tuple[Any, ...], facts: AbstractSet[tuple[Any, Any]], found: Findings, notes: Notes
    ) -> tuple[bytes, dict[str, Any] | None, bool]:
        """The leaf that goes into the tree, the body as far as it can be read, and whether retention dropped it."""
        columns = dict(zip(ENTRY_COLUMNS, row, strict=True))
        leaf, data = columns["leaf"], columns["body"]
        named = columns["decision"] if isinstance(columns["decision"], str) else ""
        found.tally("entries")
        if columns["kind"] == ACTIVATION and isinstance(columns["revision"], str):
            # A damaged one is told here, not again at each of its decisions.
            notes.documented(idx, columns["revision"].encode("utf-8", "backslashreplace").decode())
        good_leaf = isinstance(leaf, bytes) and len(leaf) == merkle.HASH_SIZE
        if not isinstance(data, bytes):
            pruned = good_leaf and data is None and not facts and self._pruned(idx, columns, found)
            if not pruned:
                found.problem(idx, "body", "no body", "the bytes that were hashed", named)
            return leaf if good_leaf else bytes(merkle.HASH_SIZE), None, pruned
        computed = merkle.leaf_hash(data)
        if computed != leaf:
            shown = leaf.hex() if isinstance(leaf, bytes) else repr(leaf)
            found.problem(idx, "leaf", f"a body that hashes to {computed.hex()}", f"the leaf hash {shown}", named)
        found.tally("body_bytes", len(data))
        return leaf if good_leaf else computed, self._body(idx, data, columns, facts, found, notes, named), False

    def _body(
        self,
        idx: int,
        data: bytes,
        columns: Mapping[str, Any],
        facts: AbstractSet[tuple[Any, Any]],
        found: Findings,
        notes: Notes,
        named: str,
    ) -> dict[str, Any] | None:
        try:
            body = loads(data)
            expected, expected_terms = project(body), terms(body)
            decision = decision_from(body).id if body["kind"] == DECISION else None
            commitments(body)
            self._kind(idx, body, str(decision or ""), found, notes)
        except (LedgerError, KeyError, TypeError, AttributeError) as error:
            found.problem(idx, "body", f"a body that cannot be read ({error})", "canonical JSON of a known kind", named)
            return None
        named = str(decision or "") or named
        for name, value in expected.items():
            if type(columns[name]) is not type(value) or columns[name] != value:
                found.problem(idx, "column", f"{name} {columns[name]!r}", f"{value!r}, as the body says", named)
        if facts != expected_terms:
            added, absent = sorted(facts - expected_terms, key=repr), sorted(expected_terms - facts, key=repr)
            found.problem(idx, "term", added, absent, named)
        found.tally("terms", len(facts))
        return body

    def _pruned(self, idx: int, columns: Mapping[str, Any], found: Findings) -> bool:
        """Whether retention dropped the body, by an entry that says so, and all that would follow from it."""
        left = {name: value for name, value in columns.items() if name not in {"idx", "leaf"} and value is not None}
        if left != PRUNED or self._gaps is None or not self._gaps.explain_body(idx):
            return False
        found.tally("pruned")
        return True

    def _kind(self, idx: int, body: Mapping[str, Any], named: str, found: Findings, notes: Notes) -> None:
        """What each kind of entry has to fit to."""
        if (idx == 0) != (body["kind"] == CONFIG):
            expected = "kind config at index 0, and only there"
            found.problem(idx, "body", f"an entry of kind {body['kind']}", expected, named)
        elif body["kind"] == CONFIG:
            self._config(idx, body, found)
        elif body["kind"] == ACTIVATION:
            found.tally("policies")
            notes.documented(idx, body["revision"], body["policy"], body["version"])
            if sha256(str(body["document"]).encode()).hexdigest() != body["revision"]:
                found.problem(idx, "policy", "a document with another digest", f"revision {body['revision']}")
        elif body["kind"] == DECISION:
            _decided(idx, body, named, notes)
        elif body["kind"] == BANK_CHANGE:
            bank_change_from(body)
            found.tally("bank_changes")
        elif body["kind"] == POLICY_ROLLOUT:
            notes.steps.append(Rolled(idx, rollout_from(body)))
            found.tally("rollouts")
        else:
            _happened(idx, event_from(body), notes)
            found.tally("events")

    def _config(self, idx: int, body: Mapping[str, Any], found: Findings) -> None:
        """Entry 0 says what table `ledger` says."""
        for name in ("ledger", "database_schema", "key_id"):
            if self._ledger is not None and self._ledger[name] != body.get(name):
                told = f"{name} {self._ledger[name]!r} in table ledger"
                found.problem(idx, "column", told, f"{body.get(name)!r}, as the body says")


def _happened(idx: int, event: Event, notes: Notes) -> None:
    """What later entries, or rows, have to fit to."""
    if event.fields.get("outcome") == RELEASE:
        notes.steps.append(Freed(idx, event.about))
    if event.kind == KEY_ROTATION and event.fields.get("what") == LOG:
        notes.steps.append(Rekeyed(idx, str(event.fields.get("before")), str(event.fields.get("after"))))
    if event.kind == API_KEY:
        notes.steps.append(step_of(idx, event))


def _decided(idx: int, body: Mapping[str, Any], named: str, notes: Notes) -> None:
    """A decision has the documents of all policies that spoke."""
    verdict = body["verdict"]
    if not by_no_policy(verdict["policy"], verdict["revision"], verdict["action"]):
        notes.used(idx, verdict["revision"], named)
    for shadow in body.get("shadows", ()):
        notes.used(idx, shadow["verdict"]["revision"], named)
    if (person := body.get("reviewed")) is not None:
        notes.steps.append(Let(idx, person["entry"], person["held"], named))


def by_no_policy(policy: str, revision: str, action: str) -> bool:
    """Whether a decision was refused before any policy was asked."""
    return (policy, revision, action) == ("", "", "block")
