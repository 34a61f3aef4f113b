"""How outputs leave under a loaded policy that are made piece by piece."""

from __future__ import annotations

from guard.streaming.plan import Plan, Seen, plan
from policies.loaded import LoadedPolicy


def stream_plan(loaded: LoadedPolicy) -> Plan:
    """The mode, and why it is none other."""
    seen = {name: Seen(one.whole, one.traits.places, frozenset(one.labels or ())) for name, one in loaded.checks.items()}
    return plan(loaded.policy, seen)
