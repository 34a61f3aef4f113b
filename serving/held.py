"""Hands out what persons released: makes the output ready, records it as a decision of its own, and gives it to who asked.

    decided (an entry) ─> content from the vault ─> edits, marks ─> decision, committed unless undone meanwhile ─> handed out

What was decided before a crash is made ready when it is next asked for. A step that is undone ends the handing out.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from audit.body import origin_from
from audit.query import Shown, Stored, show
from audit.review import State
from audit.review_codes import WITHHOLD
from audit.review_queue import case, state_of
from guard.errors import LedgerError, RefusedError
from guard.pipeline import Guard
from guard.types import Action, Content, Decision, Modality, Operator, Receipt, Reviewed
from policies import from_document

WAITING, RELEASED, WITHHELD, NOT_HELD = "waiting", "released", "withheld", "not_held"


class Appender(Protocol):
    """The ledger, as far as releasing needs it."""

    async def append(self, decision: Decision, /, unless: Callable[[Connection], str] | None = None) -> Receipt:
        """Commit a decision, unless a reason is found in its transaction."""


@dataclass(frozen=True, slots=True)
class Vaulted:
    """Where decisions and their contents are read."""

    url: str
    key_file: Path | None = None

    def show(self, decision: str) -> Shown:
        """One decision with its contents."""
        return show(self.url, decision, reveal=True, key_file=self.key_file)


@dataclass(frozen=True, slots=True)
class Answer:
    """What who asked is told. `shown` is the decision that released it, with the content when `status` is `released`."""

    status: str
    state: State
    shown: Shown | None = None
    content: Stored | None = None
    why: str = ""
    """Why it is withheld, or cannot be handed out."""


async def answer(guard: Guard, ledger: Appender, vault: Vaulted, decision: str) -> Answer:
    """How a held decision stands for who asked, with the content when it may leave.

    Raises LedgerError, also when what a person released cannot be made ready; QueryError for an unknown decision.
    """
    state = (await asyncio.to_thread(case, vault.url, decision)).state
    if state.leaves and not state.released:
        with suppress(RefusedError):  # somebody else made it ready, or undid it, in between
            await release(guard, ledger, vault, state)
        state = (await asyncio.to_thread(case, vault.url, decision)).state
    if not state.subject.held:
        return Answer(NOT_HELD, state)
    if not state.leaves or not state.released:
        return Answer(WITHHELD if state.outcome == WITHHOLD else WAITING, state)
    shown = await asyncio.to_thread(vault.show, state.released)
    assert shown.decision is not None, "only a decision releases"
    if shown.decision.verdict.action is Action.REVIEW:  # a mark that nobody set aside: that is for a person, too
        return await answer(guard, ledger, vault, state.released)
    content = next((one for one in shown.payloads if one.part == "released"), None)
    if not shown.decision.verdict.action.releases or content is None:
        return Answer(WITHHELD, state, shown, why=shown.decision.verdict.explanation)
    if content.data is None:
        return Answer(WITHHELD, state, shown, why=content.why)
    return Answer(RELEASED, state, shown, content)


async def release(guard: Guard, ledger: Appender, vault: Vaulted, state: State) -> None:
    """Make ready what a person released. Raises RefusedError when that does not hold any more, LedgerError, ModelError."""
    held = state.subject.decision
    shown = await asyncio.to_thread(vault.show, held)
    assert shown.decision is not None, "a held output is a decision"
    decision = replace(shown.decision, content=_content(shown))
    policy = await asyncio.to_thread(from_document, shown.document)
    said = _said(state)
    rules = {rule.rule for rule in decision.verdict.fired if rule.action is Action.REVIEW}
    rules |= set(decision.reviewed.rules) if decision.reviewed else set()
    judged = decision.context.time or decision.time
    reviewed = Reviewed(UUID(held), judged, tuple(sorted(rules)), said[1], said[2], said[0])

    def gone(connection: Connection) -> str:
        now = state_of(connection, held)
        return "" if (now.leaves, now.released, now.last) == (True, "", state.last) else "it was released or undone meanwhile"

    append: Callable[[Decision], Awaitable[Receipt]] = partial(ledger.append, unless=gone)
    await guard.release_held(decision, policy, reviewed, append)


def answer_fields(found: Answer, operator: Operator) -> dict[str, Any]:
    """The answer as plain fields, with `text`, `image` or `audio` (base64) when it is released, and `AIGC` where asked for."""
    from guard.marks.aigc import envelope_of
    from serving.schemas import evidence_of

    fields: dict[str, Any] = {"decision": found.state.subject.decision, "status": found.status}
    if found.why:
        fields["why"] = found.why
    if found.shown is not None and found.shown.decision is not None and found.shown.receipt is not None:
        fields["genguard"] = evidence_of(found.shown.decision, found.shown.receipt)
    if found.content is not None and found.content.data is not None:
        text = found.content.media_type.startswith("text/")
        data = found.content.data
        kind = found.content.media_type.partition("/")[0]
        fields |= {"text": _text(data)} if text else {kind: base64.b64encode(data).decode()}
        fields["media_type"] = found.content.media_type
        if found.shown is not None and found.shown.decision is not None:
            label = envelope_of(found.shown.decision, operator)
            fields |= {"AIGC": label} if label else {}
    return fields


def _said(state: State) -> tuple[int, str, str]:
    """The step by which it may leave: its index, by whom, why."""
    found = next((one for one in state.said if one.idx == state.last), None)
    return (found.idx, found.actor, found.code) if found else (state.last, state.barred[-1], "other")  # it was overruled


def _content(shown: Shown) -> Content:
    stored = next((one for one in shown.payloads if one.part == "original"), None)
    origin = origin_from(shown.body)
    if stored is None or stored.data is None or origin is None or shown.decision is None:
        why = stored.why if stored is not None else "nothing is stored"
        raise LedgerError(f"the content of decision {shown.body.get('id', '')} cannot be read: {why}")
    modality, stage = shown.decision.context.modality, shown.decision.context.stage
    data = _text(stored.data) if modality is Modality.TEXT else stored.data
    return Content(modality, data, stored.media_type, stage, origin, shown.decision.request)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
