"""Shared by all tests: Hypothesis without deadlines (machines are slow at times), repeatable, and without files left behind."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "genguard", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("genguard")
