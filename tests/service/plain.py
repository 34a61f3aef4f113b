"""A service of a test that needs no model: one policy, a ledger of its own, the generator `echo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from serving.settings import Settings

POLICY = """
policy: desk
version: 1
status: live
checks:
  hidden: {use: invisible_characters}
rules:
  - {id: hidden, when: {hidden: any}, action: block, category: input}
"""
KEY = "k" * 24
HOME = "http://127.0.0.1:8000"
"""Where a browser finds it."""


def plain(folder: Path, policy: str = POLICY, **given: Any) -> Settings:
    """Settings of one that keeps its policy and its ledger in a folder."""
    file = folder / "policy.yaml"
    file.write_text(policy, "utf-8")
    known = {"policies": (str(file),), "ledger": f"sqlite:///{folder / 'ledger.db'}", "generators": ("echo",)}
    return Settings(**{**known, **given})


def browser(app: Any) -> TestClient:
    """One that follows nothing by itself."""
    return TestClient(app, base_url=HOME, follow_redirects=False)


def bearer(token: str) -> dict[str, str]:
    """A header that shows a key or a token."""
    return {"authorization": f"Bearer {token}"}
