"""audit/genguard_verify.py: one file that needs nothing of ours, and says what the program itself says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import genguard_verify, merkle
from audit.checkpoint import Checkpoint
from audit.proof import Proof
from guard.note import SigningKey

FILE = Path(genguard_verify.__file__)
KEY = SigningKey("genguard/test", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
BODIES = [f'{{"entry":{number}}}'.encode() for number in range(13)]
LEAVES = [merkle.leaf_hash(body) for body in BODIES]


def text_of(index, size=13):
    """A proof file."""
    head = Checkpoint(KEY.name, size, merkle.tree_root(LEAVES[:size])).signed(KEY)
    return str(Proof(index, tuple(merkle.inclusion_proof(LEAVES[:size], index)), head, BODIES[index]))


def test_it_imports_the_standard_library_and_cryptography_alone():
    """So it can be handed over with a proof."""
    names = set()
    for node in ast.walk(ast.parse(FILE.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names - set(sys.stdlib_module_names) == {"cryptography"}


@pytest.mark.parametrize("size", range(1, 14))
def test_it_agrees_for_every_entry_of_trees_of_any_size(tmp_path, size):
    """Proofs of ours are proven by it."""
    files = []
    for index in range(size):
        file = tmp_path / f"{index}.tlog-proof"
        file.write_text(text_of(index, size), "utf-8")
        files.append(str(file))
    assert genguard_verify.main([*files, "--key", str(KEY.public)]) == 0


def test_it_runs_alone_from_another_folder(tmp_path):
    """As a program, with the key in a file."""
    script = tmp_path / "genguard_verify.py"
    script.write_bytes(FILE.read_bytes())
    (tmp_path / "a.tlog-proof").write_text(text_of(4), "utf-8")
    (tmp_path / "key.txt").write_text(f"# of the ledger\n{KEY.public}\n", "utf-8")
    command = [sys.executable, "-I", str(script), "a.tlog-proof", "--key", "key.txt", "--show"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a.tlog-proof: proven: entry 4 of genguard/test, under the signed tree of 13 entries" in done.stdout
    assert '"entry": 4' in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("index 4", "index 5", 2),
        ("index 4", "index 13", 2),
        ("index 4", "index 04", 64),
        ("extra ey", "extra eX", 2),
        ("extra ", "other ", 64),
        ("\n13\n", "\n14\n", 4),
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2", 64),
    ],
)
def test_what_was_changed_is_not_proven(tmp_path, capsys, old, new, code):
    """With the code of the mistake; the other files are checked all the same."""
    good, bad = tmp_path / "good.tlog-proof", tmp_path / "bad.tlog-proof"
    good.write_text(text_of(4), "utf-8")
    assert old in text_of(4)
    bad.write_text(text_of(4).replace(old, new, 1), "utf-8")
    assert genguard_verify.main([str(bad), str(good), "--key", str(KEY.public)]) == code
    told = capsys.readouterr().out.splitlines()
    assert "NOT PROVEN" in told[0]
    assert "good.tlog-proof: proven" in told[1]


def test_wrong_keys_are_told(tmp_path, capsys):
    """Another key, one that is none, a file that is not there."""
    file = tmp_path / "a.tlog-proof"
    file.write_text(text_of(4), "utf-8")
    other = SigningKey(KEY.name, Ed25519PrivateKey.generate())
    assert genguard_verify.main([str(file), "--key", str(other.public)]) == 4
    assert genguard_verify.main([str(file), "--key", str(KEY.public)[:-4] + "AAA="]) == 64
    assert genguard_verify.main([str(file), "--key", "nowhere.txt"]) == 64
    assert genguard_verify.main([str(tmp_path / "none"), "--key", str(KEY.public)]) == 64
    assert "cannot use the key" in capsys.readouterr().err
