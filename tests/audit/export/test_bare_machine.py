"""The bundle on a machine that has Python and `cryptography` alone: a virtual environment with nothing else in it."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from importlib.metadata import files
from pathlib import Path

import pytest
from ledger_examples import decision

from audit.export.run import Order, export
from audit.log_key import need_log_key
from audit.notary import Notary

NEEDED = ("cryptography", "cffi", "pycparser")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bundle_verifies_in_a_bare_virtual_environment(ledger, url, tmp_path):
    """Its own verifier, in another folder, finds nothing of ours: the environment cannot even import it."""
    for number in range(20):
        ledger.append_sync(decision(number=number))
    key = need_log_key(ledger.store, ledger.identity, tmp_path / "log.key")
    note = Notary(ledger.reader, ledger.store, key).sign()
    out = tmp_path / "evidence.zip"
    export(Order(url, "bundle", "request:req-7", "kim", checkpoint=note, key=key.public), out, ledger.record_sync)
    machine = tmp_path / "machine"
    python = bare_environment(machine / "env")
    with zipfile.ZipFile(out) as archive:
        archive.extract("genguard_verify.py", machine)
    listed = run([python, "-c", "import importlib.metadata as m; print(sorted(d.name for d in m.distributions()))"], machine)
    assert set(ast.literal_eval(listed.stdout)) <= set(NEEDED)
    assert run([python, "-c", "import audit"], machine).returncode == 1
    done = run([python, "genguard_verify.py", "--key", str(key.public), str(out)], machine)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 entries are in that log as they stand here" in done.stdout
    damaged = machine / "damaged.zip"
    with zipfile.ZipFile(out) as archive, zipfile.ZipFile(damaged, "w") as changed:
        for name in archive.namelist():
            data = archive.read(name)
            changed.writestr(name, data.replace(b"req-7", b"req-8") if name == "entries.jsonl" else data)
    assert run([python, "genguard_verify.py", "--key", str(key.public), str(damaged)], machine).returncode == 2


def bare_environment(folder: Path) -> str:
    """Made by `python -m venv`, without pip; the files of cryptography and what it needs are copied into it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for name in NEEDED:
        for file in files(name):
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(file.locate()).read_bytes())
    return str(folder / "bin" / "python")


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Without our environment's variables."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
