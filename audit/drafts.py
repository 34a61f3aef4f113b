"""Drafts of what is recorded besides decisions, each with what has to hold for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection

from audit.body import activation_body, bank_change_body, rollout_body, rollout_fault
from audit.events import Event, event_body
from audit.transaction import Draft, draft_of
from guard.errors import LedgerError
from guard.types import BankChange, Decision, Rollout

NO_POLICY = "none"
"""Stands for the revision of a refusal that was made without a policy, and of what no policy made."""

Check = Callable[[Connection], str]
Effect = Callable[[Connection], None]


def happening(event: Event, unless: Check | None, effect: Effect | None) -> Draft:
    """Of an event; `unless` and `effect` as in `SqlLedger.record`."""
    draft = draft_of(event_body(event))
    draft.revision, draft.unless, draft.effect = NO_POLICY, unless, effect
    return draft


def registration(change: BankChange, unless: Check | None = None, effect: Effect | None = None) -> Draft:
    """Of a change of a bank; of one that several machines have with what carries it to them."""
    draft = draft_of(bank_change_body(change, datetime.now(UTC)))
    if effect is None:
        draft.registers = change.after
    else:
        draft.revision, draft.unless, draft.effect = NO_POLICY, unless, effect
    return draft


def step(rollout: Rollout) -> Draft:
    """Of a step of a policy's rollout. Raises LedgerError for one that cannot be."""
    if fault := rollout_fault(rollout):
        raise LedgerError(f"found a rollout of policy {rollout.policy!r} that cannot be: {fault}")
    draft = draft_of(rollout_body(rollout))
    draft.revision, draft.rolls_out = rollout.revision, rollout
    return draft


def activation(policy: str, version: int, revision: str, document: str, source: str = "") -> Draft:
    """Of a policy document. Raises LedgerError when `revision` is not its SHA-256."""
    digest = sha256(document.encode()).hexdigest()
    if digest != revision:
        raise LedgerError(
            f"policy {policy!r}: its document has SHA-256 {digest}, its revision says {revision}",
            advice="A revision is the SHA-256 of the document's UTF-8 bytes, hexadecimal.",
        )
    draft = draft_of(activation_body(policy, version, revision, document, datetime.now(UTC), source))
    draft.activates = revision
    return draft


def no_revision(decision: Decision) -> str:
    """NO_POLICY for a refusal that no policy made, such as "no policy covers this generator"; else empty, which is refused."""
    refused = decision.verdict.policy == "" and decision.released is None and not decision.verdict.action.releases
    return NO_POLICY if refused else ""


def payload_size(decision: Decision) -> int:
    """Bytes, or code points, of a decision's contents."""
    content, released = decision.content, decision.released
    return (content.length if content is not None else 0) + (released.length if released is not None else 0)
