"""The wheel as a user gets it: everything in it, nothing else, and at work in an empty folder without the repository."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
import zipfile
from pathlib import Path

import httpx
import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
MOST = 70_000_000
"""Bytes of the wheel."""
pytestmark = pytest.mark.timeout(600)
LEFT_OUT = ("tests", "training", "benchmarks", "docs", "scripts", "sitegen", ".ci")
DEPENDENCIES = sysconfig.get_paths()["purelib"]


def sources() -> list[str]:
    """What is under version control; in a copy without it, all that is no product of work."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        return [name for name in told if (ROOT / name).is_file()]
    made = {".venv", "build", "dist", "demo-out", "__pycache__", "genguard.egg-info"}
    files = (file.relative_to(ROOT) for file in ROOT.rglob("*") if file.is_file())
    return [str(file) for file in files if made.isdisjoint(file.parts)]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source distribution, and the wheel that was built from it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in sources():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield out
    shutil.rmtree(tree)
    shutil.rmtree(out)


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of an environment that has the wheel, and the packages it needs from the one that runs the tests."""
    place = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "dependencies.pth").write_text(DEPENDENCIES + "\n", "utf-8")  # not read for .pth files of its own
    yield place / "bin"
    shutil.rmtree(place)


@pytest.fixture
def empty(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """An empty folder, and an environment with an empty HOME that says nothing of the repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GENGUARD_", "PYTHON"))}
    folder = tmp_path / "work"
    folder.mkdir()
    return folder, {**kept, "HOME": str(tmp_path)}


def test_it_holds_all_that_is_needed_and_no_more(built: Path, wheel: Path) -> None:
    """Weights, packs, pages, types; no tests, no scripts of training; small enough to be handed around."""
    assert wheel.stat().st_size < MOST
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    data = [name for name in sources() if name.split("/")[0] not in LEFT_OUT and "/" in name and not name.endswith(".py")]
    data = [name for name in data if not name.startswith((".", "deploy/"))]
    assert [name for name in data if name not in names] == []
    code = [name for name in sources() if name.endswith(".py") and name.split("/")[0] not in LEFT_OUT]
    assert [name for name in code if name not in names] == []
    assert not [name for name in names if name.split("/")[0] in LEFT_OUT or "__pycache__" in name]
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    assert {"pyproject.toml", "LICENSE", "NOTICE", "README.md", "service.py", "cli.py"} <= inside


def test_a_demo_in_an_empty_folder(installed: Path, empty: tuple[Path, dict[str, str]]) -> None:
    """Models, policy, ledger, proof: from the wheel alone."""
    folder, environment = empty
    command = [str(installed / "genguard"), "demo"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (folder / "demo-out" / "genguard.db").is_file()


def test_a_service_in_an_empty_folder(installed: Path, empty: tuple[Path, dict[str, str]]) -> None:
    """It answers, blocks, and ends when it is told to; `doctor` and the verifier find nothing wrong with what it left."""
    folder, environment = empty
    port = free_port()
    genguard = str(installed / "genguard")
    command = [genguard, "serve", "--port", str(port), "--policy", "enterprise", "--generators", "language"]
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            _wait(http, service, folder / "log")
            asked = {"model": "language", "messages": [{"role": "user", "content": "I need a table for two tonight."}]}
            answer = http.post("/v1/chat/completions", json=asked).raise_for_status()
            assert answer.headers["x-genguard-receipt"]
            blocked = http.post("/v1/check", json={"text": "I will kill you."}).raise_for_status().json()
            assert blocked["action"] == "block"
            assert http.get("/verify").raise_for_status().text.lower().startswith("<!doctype html>")
    finally:
        service.send_signal(signal.SIGTERM)
        ended = service.wait(100)
    assert ended in {0, -signal.SIGTERM}, (folder / "log").read_text("utf-8")[-3000:]
    looked = _run([genguard, "doctor", "--json", "--only", "models", "--only", "ledger", "--only", "keys"], folder, environment)
    assert json.loads(looked.stdout)["well"] is True
    assert _run([genguard, "audit", "verify"], folder, environment).returncode == 0
    assert _run([str(installed / "genguard-verify"), "--help"], folder, environment).returncode == 0


def _wait(http: httpx.Client, service: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until and service.poll() is None:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(log.read_text("utf-8")[-3000:])


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
