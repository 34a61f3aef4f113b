"""What a ledger keeps besides decisions: changes of what they are made with. A part of `guard.types`, which gives its names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class BankChange:
    """What was changed in a bank of works, as it is recorded."""

    bank: str
    kind: str
    """`protected` or `cleared`."""
    before: str
    """Digest of the bank before the change, hexadecimal."""
    after: str
    """Digest after it: the one that decisions name which were made with it."""
    added: int
    """Works that were registered."""
    retired: int
    """Works that were retired."""
    works: tuple[str, ...]
    """Ids of the first few of them."""
    actor: str
    source: str
    """Where the works came from, in a word or two: the name of a file."""
    changed: datetime
    """When the bank had it."""
    rows: str = ""
    """SHA-256, hexadecimal, of the rows that carry it to others that have the bank; empty for a bank of one machine."""


class Step(StrEnum):
    """What a rollout entry does with a revision of a policy."""

    ACTIVATE = "activate"
    """It judges from now on; a canary ends."""
    CANARY = "canary"
    """It judges a share of what the policy covers."""
    SHADOW = "shadow"
    """It decides beside the one in force; recorded, never enforced."""
    STOP = "stop"
    """Its canary, its shadow or its proposal ends."""
    ROLLBACK = "rollback"
    """It judges again, as it did before; a canary ends."""
    PROPOSE = "propose"
    """It waits for somebody else's approval."""
    APPROVE = "approve"
    """What was proposed happens."""
    RETIRE = "retire"
    """No revision of this policy judges any more."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One step of bringing a revision of a policy into force, or out of it, as it is recorded."""

    policy: str
    """The policy's id."""
    version: int
    revision: str
    """The revision that the step is about; the ledger has its document."""
    step: Step
    author: str
    """Who took the step; with `approve` who had proposed it."""
    reason: str
    time: datetime
    share: int = 0
    """With a canary, proposed or not: how much it judges, in per cent, 1 to 99; else 0."""
    by: str = ""
    """With a canary: of what the share is, `requests` or `tenants`; else empty."""
    approver: str = ""
    """With `approve`: who approved."""
    previous: str = ""
    """The revision that judged before; empty when there was none."""
    signature: str = ""
    """A signed note over the revision; empty for none."""
