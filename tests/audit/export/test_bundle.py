"""A bundle proves its entries on a machine that has nothing of ours, and nothing that was changed passes."""

from __future__ import annotations

import asyncio
import io
import json
import random
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import cffi
import cryptography
import pytest
from ledger_examples import DOCUMENT, HIDDEN, REVISION, SECRET, decision

from audit import genguard_verify
from audit.database import reader_engine
from audit.events import OVERRIDE, Event
from audit.export.run import Order, export
from audit.log_key import need_log_key
from audit.notary import Notary
from audit.prove import prove
from guard.errors import LedgerError
from guard.types import Action


@pytest.fixture
def key(ledger):
    """The log's key."""
    return need_log_key(ledger.path, ledger.identity)


@pytest.fixture
def bundle(ledger, url, path, key, tmp_path):
    """Exports into a file; entries 0 and 1 are config and policy, then 30 decisions and what followed one of them."""
    made = [decision(list(Action)[number % 5], number=number, tenant=("acme", "beta")[number % 2]) for number in range(30)]
    for one in made:
        ledger.append_sync(one)
    ledger.record_sync(Event(OVERRIDE, "kim", {"outcome": "release"}, about=str(made[4].id), reason="wrong block"))

    def run(query="", name="evidence.zip", **more):
        note = Notary(reader_engine(path), path, key).sign()
        order = Order(url, "bundle", query, "kim", checkpoint=note, key=key.public, **more)
        return export(order, tmp_path / name, ledger.record_sync)

    return run


def files(path):
    """A bundle's files."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, changed):
    """A bundle with other files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in changed.items():
            archive.writestr(name, data)


def code(path, *arguments):
    """What the verifier ends with."""
    return genguard_verify.main([str(path), *arguments])


def test_a_bundle_holds_what_matched_what_followed_it_and_its_policy(bundle, key, capsys):
    """Nothing of the contents; the file is what the ledger says."""
    done = bundle("action:block tenant:acme")
    held = files(done.path)
    assert list(held) == sorted(held)
    entries = [json.loads(line) for line in held["entries.jsonl"].splitlines()]
    assert [one["kind"] for one in entries] == ["decision"] * 3 + ["override"]
    assert {one["verdict"]["action"] for one in entries[:3]} == {"block"}
    assert held[f"policies/{REVISION}.json"].decode() == DOCUMENT
    assert held["key.txt"].decode() == f"{key.public}\n"
    assert held["genguard_verify.py"] == Path(genguard_verify.__file__).read_bytes()
    everything = b"".join(held.values())
    assert SECRET.encode() not in everything
    assert HIDDEN.encode() not in everything
    assert code(done.path, "--key", str(key.public)) == 0
    told = capsys.readouterr().out
    assert "4 entries are in that log as they stand here: 3 decision, 1 override (3 block)" in told
    assert "not checked: whether more of the 33 entries match what was asked for" in told


def test_a_bundle_of_everything_is_complete(bundle, key, capsys):
    """Then no hash is needed besides the entries."""
    done = bundle(every_kind=True)
    assert files(done.path)["nodes.txt"] == b""
    assert code(done.path, "--key", str(key.public)) == 0
    assert "whether more of" not in capsys.readouterr().out


def test_without_a_key_it_says_that_the_bundle_vouches_for_itself(bundle, capsys):
    """It does not pass in silence."""
    assert code(bundle("action:redact").path) == 0
    assert "not checked: whose signature it is: the key came with the bundle" in capsys.readouterr().out


def test_it_verifies_with_nothing_but_python_and_cryptography(bundle, key, tmp_path):
    """A bare interpreter in another folder: no site packages, no environment, only the bundle's own verifier."""
    done = bundle("action:review")
    machine = tmp_path / "elsewhere"
    packages = machine / "packages"
    packages.mkdir(parents=True)
    for module in (cryptography, cffi):
        folder = Path(module.__file__).parent
        (packages / folder.name).symlink_to(folder)
        for extension in folder.parent.glob("_cffi_backend*"):
            if not (packages / extension.name).exists():
                (packages / extension.name).symlink_to(extension)
    (machine / "genguard_verify.py").write_bytes(files(done.path)["genguard_verify.py"])
    with zipfile.ZipFile(done.path) as archive:
        archive.extractall(machine / "unpacked")
    loaded = "sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    for what in (str(done.path), "unpacked"):
        program = (
            f"import sys; sys.path[:0] = [{str(packages)!r}, {str(machine)!r}]; import genguard_verify; "
            f"code = genguard_verify.main([{what!r}, '--key', {str(key.public)!r}]); print({loaded}); sys.exit(code)"
        )
        done_there = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], cwd=machine, env={}, capture_output=True, text=True, check=False
        )
        assert (done_there.returncode, done_there.stderr) == (0, "")
        assert "6 entries are in that log" in done_there.stdout
        assert set(json.loads(done_there.stdout.splitlines()[-1].replace("'", '"'))) <= {
            "__main__",
            "_cffi_backend",
            "_openssl",
            "cryptography",
            "genguard_verify",
        }


def test_the_same_ledger_and_checkpoint_give_the_same_bytes(bundle, url, path, key, ledger, tmp_path):
    """Two officers can compare digests."""
    bundle()
    note = Notary(reader_engine(path), path, key).sign()
    order = Order(url, "bundle", "action:block", "kim", checkpoint=note, key=key.public)
    first, second = (export(order, tmp_path / name, ledger.record_sync) for name in ("a.zip", "b.zip"))
    assert first.digest == second.digest


def test_entries_after_the_checkpoint_are_not_in_it(bundle, url, path, key, ledger, tmp_path):
    """Nothing that is not signed."""
    bundle()
    note = Notary(reader_engine(path), path, key).sign()
    ledger.append_sync(decision(Action.BLOCK, number=99))
    order = Order(url, "bundle", "request:req-99", "kim", checkpoint=note, key=key.public)
    done = export(order, tmp_path / "c.zip", ledger.record_sync)
    assert done.written.count == 0
    assert code(done.path) == 0


@pytest.mark.parametrize("query", ["", "action:block", "tenant:beta", "request:req-7", "action:allow,label"])
def test_no_changed_byte_of_entries_or_proof_passes(bundle, key, tmp_path, capsys, query):
    """Bytes of every file that is checked, one at a time, at random places."""
    held = files(bundle(query).path)
    chance = random.Random(7)
    target = tmp_path / "changed.zip"
    for name in ("entries.jsonl", "leaves.txt", "nodes.txt", "checkpoint.txt", f"policies/{REVISION}.json"):
        for place in chance.sample(range(len(held[name])), min(25, len(held[name]))):
            data = bytearray(held[name])
            data[place] ^= 1 << chance.randrange(8)
            rewrite(target, held | {name: bytes(data)})
            assert code(target, "--key", str(key.public)) in {2, 4, 64}, (name, place)
    capsys.readouterr()


def lines_of(held, name):
    """A file's lines with their ends."""
    return held[name].splitlines(keepends=True)


def test_entries_that_are_left_out_added_or_swapped_are_noticed(bundle, key, tmp_path, capsys):
    """And the entry is named where it can be."""
    held = files(bundle("action:block").path)
    target = tmp_path / "changed.zip"
    bodies, leaves = lines_of(held, "entries.jsonl"), lines_of(held, "leaves.txt")
    nodes = lines_of(held, "nodes.txt")
    changes = {
        "entry 6 was changed": {"entries.jsonl": b"".join([bodies[1], bodies[0], *bodies[2:]])},
        "is not in entries.jsonl": {"entries.jsonl": b"".join(bodies[:-1])},
        "entries.jsonl has more": {"leaves.txt": b"".join(leaves[:-1])},
        "more entries or hashes than": {"entries.jsonl": b"".join(bodies[1:]), "leaves.txt": b"".join(leaves[1:])},
        "more entries or hashes": {"nodes.txt": b"".join([*nodes, nodes[0]])},
        "too few hashes": {"nodes.txt": b"".join(nodes[:-1])},
        "not in order": {
            "leaves.txt": b"".join([leaves[1], leaves[0], *leaves[2:]]),
            "entries.jsonl": b"".join([bodies[1], bodies[0], *bodies[2:]]),
        },
        "it has no nodes.txt": {"nodes.txt": None},
    }
    for told, changed in changes.items():
        rewrite(target, {name: data for name, data in (held | changed).items() if data is not None})
        assert code(target, "--key", str(key.public)) in {2, 64}
        assert told in capsys.readouterr().out
    other = held | {f"policies/{'0' * 64}.json": DOCUMENT.encode()}
    rewrite(target, other)
    assert code(target, "--key", str(key.public)) == 2
    rewrite(target, {name: data for name, data in held.items() if not name.startswith("policies/")})
    assert code(target, "--key", str(key.public)) == 0
    assert f"which document revision {REVISION} is" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../../evil.py", "/etc/passwd", "policies/../x.json", "policies\\x.json", "README.txt"])
def test_a_zip_that_would_write_elsewhere_is_refused_and_nothing_is_unpacked(bundle, tmp_path, capsys, name):
    """Names that leave the folder, and one that is there twice."""
    held = files(bundle("action:block").path)
    target = tmp_path / "slip.zip"
    rewrite(target, held)
    before = sorted(tmp_path.iterdir())
    with (
        zipfile.ZipFile(target, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate") if name in held else io.StringIO(),
    ):
        archive.writestr(name, b"evil")
    assert code(target) == 64
    assert "that no bundle has" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_bundle_is_told(tmp_path, capsys):
    """A damaged zip, an empty folder, another zip."""
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("key.txt", b"x" * 1000)
    data = bytearray(broken.read_bytes())
    data[40] ^= 1
    broken.write_bytes(bytes(data))
    (tmp_path / "empty").mkdir()
    assert code(broken) == 64
    assert code(tmp_path / "empty") == 64
    assert "it has no key.txt" in capsys.readouterr().out


@pytest.mark.parametrize("size", range(1, 18))
def test_shared_proofs_agree_with_the_tree_for_every_choice_of_leaves(size):
    """Against the tree over all leaves, whatever is taken; `nodes` made here naively."""
    from audit import merkle

    leaves = [merkle.leaf_hash(bytes([number])) for number in range(size)]
    chance = random.Random(size)

    def nodes(low, high, taken):
        if not any(low <= one < high for one in taken):
            return [merkle.tree_root(leaves[low:high])]
        if high - low == 1:
            return []
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        return nodes(low, middle, taken) + nodes(middle, high, taken)

    for _ in range(60):
        taken = sorted(chance.sample(range(size), chance.randrange(size + 1)))
        given = nodes(0, size, taken)
        found = genguard_verify.shared_root(size, iter([(one, leaves[one]) for one in taken]), iter(given))
        assert found == merkle.tree_root(leaves)


def test_entries_whose_bodies_retention_dropped_stay_in_the_proof(bundle, path, key, url, ledger, tmp_path, capsys):
    """Their hashes are proven, and the report says that no more is."""
    bundle()
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER entry_no_update")
        raw.execute("UPDATE entry SET body = NULL WHERE idx IN (3, 7, 8)")
    done = bundle(name="pruned.zip")
    held = files(done.path)
    assert held["leaves.txt"].count(b" gone\n") == 3
    assert json.loads(held["manifest.json"])["gone"] == 3
    assert "Of 3 entries retention has dropped the text" in held["README.txt"].decode()
    assert code(done.path, "--key", str(key.public)) == 0
    assert "the hashes of 3 more entries are in that log; their bodies are not here" in capsys.readouterr().out
    for form in ("csv", "jsonl", "dsa", "ocsf"):
        made = export(Order(url, form, "", "kim"), tmp_path / f"pruned.{form}", ledger.record_sync)
        assert made.written.count + sum((made.written.left_out or {}).values()) == 30
    assert (tmp_path / "pruned.jsonl").read_bytes().count(b'"entry":null}') == 3


def test_a_log_that_was_rewritten_is_not_exported(bundle, path, url, key, ledger, tmp_path):
    """The checkpoint is of another log."""
    bundle()
    note = Notary(reader_engine(path), path, key).sign()
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER entry_no_update")
        raw.execute("UPDATE entry SET leaf = zeroblob(32) WHERE idx = 5")
    order = Order(url, "bundle", "action:block", "kim", checkpoint=note, key=key.public)
    with pytest.raises(LedgerError, match="another root than the checkpoint"):
        export(order, tmp_path / "b.zip", ledger.record_sync)
    assert not list(tmp_path.glob("*b.zip*"))


def test_logs_of_more_than_a_tile_are_proven_too(ledger, path, url, key, tmp_path):
    """Where hashes of inner nodes are computed from tiles: single entries, ranges, and one proof file."""
    for number in range(0, 700, 100):
        drafts = [decision(Action.BLOCK, number=number + one, content=None, released=None) for one in range(100)]
        asyncio.run(_append(ledger, drafts))
    note = Notary(reader_engine(path), path, key).sign()
    for query in ("request:req-1", "request:req-300,req-301,req-699", "-request:req-256", ""):
        order = Order(url, "bundle", query, "kim", checkpoint=note, key=key.public)
        done = export(order, tmp_path / f"{len(query)}.zip", ledger.record_sync)
        assert code(done.path, "--key", str(key.public)) == 0
    for index in (2, 255, 256, 511, 512, 701):
        assert prove(url, index, note).verify([key.public]).size == 702


async def _append(ledger, decisions):
    await asyncio.gather(*map(ledger.append, decisions))
