"""Chromium, and a service that it looks at; both started once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.console import axe
from tests.console.desk import Desk, Person, desk, person

MISSING = "found no chromium on this machine, expected Debian's package of that name (GENGUARD_CHROMIUM names another)"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = os.environ.get("GENGUARD_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip(MISSING)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("console")) as found:
        yield found


@pytest.fixture
def visit(service: Desk, browser: Browser) -> Iterator[Callable[..., Person]]:
    """Sit somebody down at a browser: `visit("officer")`; see `person`. The service first: its demo starts a loop."""
    with ExitStack() as stack:
        yield lambda who="", **given: stack.enter_context(person(service, browser, who, **given))


@pytest.fixture(scope="session")
def axe_script() -> str:
    found = axe.axe_script()
    if found is None:
        pytest.skip(axe.MISSING)
    return found


@pytest.fixture
def violations(axe_script: str) -> Callable[[Person], list[Any]]:
    """What axe-core finds on a page that is serious or critical (WCAG 2.2 A and AA)."""

    def found(who: Person) -> list[Any]:
        who.page.evaluate(axe_script)
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        report = who.page.evaluate("(tags) => axe.run({runOnly: tags})", tags)
        return [
            (one["id"], one["impact"], [(node["html"][:200], node.get("failureSummary", "")[:300]) for node in one["nodes"]])
            for one in report["violations"]
            if one["impact"] in {"serious", "critical"}
        ]

    return found
