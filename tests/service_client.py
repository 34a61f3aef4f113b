"""The application in this process, with a small policy: for tests of what stands around routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from guard.protocols import Generator
from service import create_app
from serving.settings import Settings
from serving.wiring import Wired, wire

POLICY = """
policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
rules:
  - {id: held, when: {secrets: AWS_ACCESS_KEY}, action: review, category: privacy, basis: House rules 1}
  - id: token
    when: {secrets: GITHUB_TOKEN}
    action: redact
    category: privacy
    basis: House rules 2
    with: {operator: replace}
"""


@contextmanager
def served(
    folder: Path,
    *,
    policy: str = POLICY,
    generators: Mapping[str, Generator] | None = None,
    around: Callable[[Wired], None] | None = None,
    **given: Any,
) -> Iterator[TestClient]:
    """Start it, and stop it. `generators`: more of them; `around`: changes what it is made of."""
    folder.mkdir(exist_ok=True)
    (folder / "desk.yaml").write_text(policy, "utf-8")
    known = {"policies": (str(folder / "desk.yaml"),), "ledger": f"sqlite:///{folder / 'ledger.db'}", "generators": ("echo",)}

    def make(asked: Settings) -> Wired:
        wired = wire(asked)
        wired = replace(wired, generators={**wired.generators, **(generators or {})})
        if around is not None:
            around(wired)
        return wired

    with TestClient(create_app(Settings(**{**known, **given}), make=make), raise_server_exceptions=False) as client:
        yield client
