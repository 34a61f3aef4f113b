"""Who looks at stored content is recorded before anything is shown: one `access` entry each time."""

from __future__ import annotations

from audit.events import ACCESS, Event, Value
from audit.holds import need_reason
from audit.ledger import SqlLedger
from audit.query import Shown


def record_access(
    ledger: SqlLedger,
    actor: str,
    reason: str,
    *,
    about: str = "",
    parts: tuple[str, ...] = (),
    query: str = "",
    count: int = 0,
    tenant: str = "",
    subject: str = "",
    break_glass: bool = False,
) -> int:
    """Record that somebody is about to see content; return the entry's index. Show it only after this returned.

    `about`: the decision; `parts`: which of its content. `query`, `count`: the search, when it is about several. `break_glass`:
    that it is not somebody's right, and was taken in an emergency. Raises InputError without a reason, LedgerError.
    """
    fields: dict[str, Value] = {"parts": parts, "query": query, "count": count, "break_glass": break_glass}
    stated = {name: value for name, value in fields.items() if value}
    reason = need_reason(reason, "reveal content")
    return ledger.record_sync(Event(ACCESS, actor, stated, about=about, reason=reason, tenant=tenant, subject=subject))


def record_reveal(ledger: SqlLedger, shown: Shown, actor: str, reason: str, *, break_glass: bool = False) -> int:
    """`record_access` for all stored content of one decision."""
    request = shown.body.get("request", {})
    return record_access(
        ledger,
        actor,
        reason,
        about=str(shown.body.get("id", "")),
        parts=tuple(one.part for one in shown.payloads),
        tenant=request.get("tenant", ""),
        subject=request.get("subject", ""),
        break_glass=break_glass,
    )
