"""The policies that the service would judge by: can they be loaded, what do lints say, are their checks ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from doctor.finding import Finding, bad, ok, warning
from guard.errors import PolicyError
from policies import open_policy
from policies.lint import Level, examine
from policies.loaded import LoadedPolicy
from serving.settings import Settings

PART = "policy"


def look(settings: Settings) -> Iterator[Finding]:
    """Each policy that the settings name."""
    if not settings.policies:
        yield bad(PART, "policies", "the settings name none, expected at least one", "Set GENGUARD_POLICIES=enterprise.")
    for name in settings.policies:
        try:
            loaded = open_policy(name)
        except PolicyError as error:
            yield bad(PART, name, str(error), error.advice)
            continue
        yield _linted(name, loaded)
        yield from _ready(name, loaded)


def _linted(name: str, loaded: LoadedPolicy) -> Finding:
    report = examine(loaded, datetime.now(UTC))
    policy = loaded.policy
    found = f"{policy.id} version {policy.version}, {len(policy.checks)} checks, {len(policy.rules)} rules"
    errors, warnings = report.count(Level.ERROR), report.count(Level.WARNING)
    if errors or warnings:
        advice = f"Run `genguard policy lint {name}`."
        return warning(PART, name, f"{found}; lints: {errors} errors, {warnings} warnings", advice)
    return ok(PART, name, found, checks=len(policy.checks), rules=len(policy.rules))


def _ready(name: str, loaded: LoadedPolicy) -> Iterator[Finding]:
    """Loads every check, as the service does at its start."""
    from guard.chain import Chain

    began = time.perf_counter()
    chain = Chain(loaded.policy)
    troubles = asyncio.run(chain.load())
    took = time.perf_counter() - began
    for check, why in troubles.items():
        yield bad(
            PART, f"{name}.{check}", why, "Until it is mended, what this check should have read follows its `on_failure`."
        )
    if not troubles:
        yield ok(PART, f"{name} checks", f"{len(chain.checks)} loaded in {took:.1f} s", load_s=round(took, 3))
