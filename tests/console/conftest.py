"""Chromium, and a service that it looks at; both started once."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import placed
from tests.console import axe
from tests.console.desk import Desk, Person, demo, desk, person

MISSING = "found no chromium on this machine, expected Debian's package of that name (GENGUARD_CHROMIUM names another)"


WAITS_S = max(600, 2 * placed.START_S)
"""Of one test with its fixtures: the first waits for the demo, which busy machines take minutes for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of this folder time."""
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(WAITS_S))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module: its event loop runs in the thread of the tests, where tests of other modules run loops of their own."""
    found = os.environ.get("GENGUARD_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip(MISSING)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def service(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("console")
    shutil.copytree(demo_folder, folder, dirs_exist_ok=True)
    with desk(folder) as found:
        found.held = found.hold()
        yield found


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo left, made once for all processes that share the tests: to be copied."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "console-demo"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            part = place.with_suffix(".part")
            demo(part)
            part.rename(place)
    return place


@pytest.fixture(autouse=True)
def _banks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Banks are found by the environment, which is this process's: those of the service while its tests run."""
    if "service" in request.fixturenames:
        monkeypatch.setenv("GENGUARD_BANKS", str(request.getfixturevalue("service").folder / "banks"))


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
