"""Roles and what each may do: the one table that everything else asks.

A principal with several roles may do what any of them may. Whose data it sees is another matter: its tenant says that.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import cache


class Role(StrEnum):
    """What somebody is there for."""

    CALLER = "caller"
    """An application: has contents generated and judged, for its own tenant alone."""
    AUTHOR = "author"
    """Writes policies and tries them."""
    APPROVER = "approver"
    """Lets happen what an author proposed."""
    OFFICER = "officer"
    """Answers for compliance: reveals, exports, erases, sets holds, keeps banks, overrules."""
    REVIEWER = "reviewer"
    """Decides what waits for a person."""
    AUDITOR = "auditor"
    """Looks at everything but contents, and changes nothing."""
    ADMIN = "admin"
    """Runs the installation. Sees contents only by breaking the glass."""


class Permission(StrEnum):
    """What can be allowed."""

    GENERATE = "generate"
    """Have contents generated and judged; ask what is on offer."""
    COLLECT = "collect"
    """Get what was held and then released, for the tenant that asked for it."""
    VERIFY = "verify"
    """Ask where a content comes from."""
    DECISIONS = "decisions"
    """Look decisions up, count them."""
    SEARCHES = "searches"
    """Keep searches under names, for all who see all tenants."""
    PROOFS = "proofs"
    """Get checkpoints and proofs."""
    REVEAL = "reveal"
    """See stored content, recorded first."""
    BREAK_GLASS = "break_glass"
    """See stored content in an emergency, recorded as that."""
    EXPORT = "export"
    """Get entries as a file, recorded."""
    REVIEW_STATUS = "review_status"
    """See how a decision stands."""
    OBJECT = "object"
    """Appeal, say that a decision was wrong, and take one's own latest step back."""
    REVIEW_QUEUE = "review_queue"
    """See what waits for a person."""
    REVIEW = "review"
    """Claim, decide, overrule."""
    POLICIES = "policies"
    """See policies and their history."""
    POLICIES_WRITE = "policies_write"
    """Write policies; activate, try and propose them."""
    POLICIES_APPROVE = "policies_approve"
    """Approve what somebody else proposed."""
    BANKS = "banks"
    """Look works up and match."""
    BANKS_WRITE = "banks_write"
    """Change banks and export them."""
    FORGET = "forget"
    """Erase a subject, prune, set and lift holds."""
    KEYS = "keys"
    """Make, rotate and revoke API keys."""
    SETTINGS = "settings"
    """See settings and health."""


_P, _R = Permission, Role
_EVERYBODY = frozenset({_P.VERIFY, _P.DECISIONS, _P.PROOFS, _P.REVIEW_STATUS, _P.BANKS})
_STAFF = _EVERYBODY | {_P.OBJECT, _P.POLICIES, _P.SEARCHES}

GRANTS: dict[Role, frozenset[Permission]] = {
    _R.CALLER: _EVERYBODY | {_P.GENERATE, _P.COLLECT, _P.OBJECT},
    _R.AUTHOR: _STAFF | {_P.GENERATE, _P.POLICIES_WRITE},
    _R.APPROVER: _STAFF | {_P.POLICIES_APPROVE},
    _R.OFFICER: _STAFF | {_P.REVEAL, _P.EXPORT, _P.REVIEW_QUEUE, _P.REVIEW, _P.BANKS_WRITE, _P.FORGET},
    _R.REVIEWER: _STAFF | {_P.REVEAL, _P.REVIEW_QUEUE, _P.REVIEW},
    _R.AUDITOR: _EVERYBODY | {_P.EXPORT, _P.REVIEW_QUEUE, _P.POLICIES, _P.SETTINGS},
    _R.ADMIN: frozenset(_P) - {_P.REVEAL},
}
"""What each role may do."""


@cache
def permissions_of(roles: frozenset[Role]) -> frozenset[Permission]:
    """What any of these roles may do."""
    return frozenset().union(*(GRANTS[role] for role in roles))


def sees_of(tenant: str, roles: Iterable[Role]) -> str:
    """The tenant whose data somebody sees: their own where one is named. Empty, all tenants, is for staff without one."""
    return tenant or ("default" if set(roles) <= {Role.CALLER} else "")
