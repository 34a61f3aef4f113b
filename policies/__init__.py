"""Policies: YAML files in, compiled `guard.rules.Policy` values out. YAML and pydantic load when the first file is read."""

from __future__ import annotations

from policies.document import from_document
from policies.load import load, loads, open_policy, packs

__all__ = ["from_document", "load", "loads", "open_policy", "packs"]
