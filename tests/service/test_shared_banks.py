"""Banks that several machines have: what is changed at one is at the others, with the same digest, or is not changed at all.

A machine is a banks folder here; all share one ledger in PostgreSQL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from postgres import MISSING, binaries, fresh_schema, statement

from audit.ledger import SqlLedger, open_ledger
from audit.query import query, show
from audit.verify import verify
from guard.errors import LedgerError, ModelError, RefusedError
from guard.matching import bank as banks
from guard.matching.bank import Bank
from guard.matching.batches import Opened, Parcel, Signed
from guard.matching.exchange import Item
from guard.matching.imports import Options, import_items
from serving.followed_banks import follow_all, take_in_all
from serving.shared_banks import SharedBanks, shared_banks
from serving.works import changing
from tests.matching.works import hashed, many

pytestmark = pytest.mark.skipif(binaries() is None and "GENGUARD_TEST_POSTGRES" not in os.environ, reason=MISSING)
ROOT = Path(__file__).parents[2]


@dataclass
class Machine:
    """A folder of banks, and who keeps it."""

    folder: Path
    ledger: SqlLedger
    shared: SharedBanks = field(init=False)

    def __post_init__(self) -> None:
        found = shared_banks(self.ledger)
        assert found is not None
        self.shared = found

    @contextmanager
    def here(self) -> Iterator[None]:
        """While what runs is on this machine."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GENGUARD_BANKS", str(self.folder))
            yield

    @contextmanager
    def changing(self, name: str = "works", kind: str = "") -> Iterator[Bank]:
        with self.here(), changing(name, self.ledger, kind=kind) as (bank, _):
            yield bank

    def add(self, *works: object, name: str = "works", actor: str = "ann") -> str:
        """Register works; the bank's digest."""
        with self.changing(name) as bank:
            bank.add(works, actor=actor, source="test")  # type: ignore[arg-type]
            return bank.digest

    def look(self) -> tuple[dict[str, str], dict[str, str]]:
        """Follow; what is missing, and what is wrong."""
        with self.here():
            behind, troubles = follow_all(self.shared)
            unfinished, refused = take_in_all(self.shared)
            return {**behind, **unfinished}, {**refused, **troubles}

    def follows(self) -> None:
        """Follow, to the end."""
        assert self.look() == ({}, {})

    def bank(self, name: str = "works") -> Bank:
        return banks.live(self.folder / name)

    def ids(self, name: str = "works") -> list[str]:
        return [one.work.id for one in self.bank(name).works()]


@dataclass
class Site:
    """A ledger and the machines that share it."""

    url: str
    ledger: SqlLedger
    folder: Path

    def machine(self, name: str) -> Machine:
        return Machine(self.folder / name, self.ledger)

    def changes(self, name: str = "works") -> list[object]:
        """What the ledger says of a bank, oldest first."""
        return [show(self.url, row.idx).bank_change for row in reversed(query(self.url, f"bank:{name}", limit=500).rows)]

    def tamper(self, text: str) -> None:
        """As somebody would who may do everything in the database."""
        statement(self.url, f"SET session_replication_role = replica; {text}")


@pytest.fixture
def site(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    keys = tmp_path / "keys"
    keys.mkdir()
    monkeypatch.setenv("GENGUARD_KEY_FOLDER", str(keys))
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    url = fresh_schema(postgres)
    with open_ledger(url) as ledger:
        yield Site(url, ledger, tmp_path)


def test_a_change_at_one_is_at_the_other(site: Site) -> None:
    """Registered, retired, registered again: the same works, digests, times and actors, once in the ledger."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(3))
    two.follows()
    assert two.ids() == ["w0", "w1", "w2"]
    with two.changing() as bank:
        assert bank.retire(["w1", "nobody"], actor="bea") == 1
    one.follows()
    digest = one.add(hashed("w1", 9), actor="carl")
    two.follows()
    assert (two.ids(), two.bank().digest) == (["w0", "w2", "w1"], digest)
    assert [(state.actor, state.time, state.source) for state in two.bank().catalogue.batches(0)] == [
        (state.actor, state.time, state.source) for state in one.bank().catalogue.batches(0)
    ]
    assert two.bank().catalogue.rehash() == one.bank().catalogue.rehash()
    told = [(one.actor, one.added, one.retired, one.works) for one in site.changes()]  # type: ignore[attr-defined]
    assert told == [("ann", 3, 0, ("w0", "w1", "w2")), ("bea", 0, 1, ("w1",)), ("carl", 1, 0, ("w1",))]
    report = verify(site.url)
    assert (report.ok, report.checked["bank_batches"], report.checked["bank_changes"]) == (True, 3, 3)


def test_a_new_machine_builds_its_banks(site: Site) -> None:
    """Of both kinds, with all that is kept of a work; where a file was fingerprinted elsewhere, it is not again."""
    one, two = site.machine("one"), site.machine("two")
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
    rich = replace(
        hashed("rich", 4), owner="Müller", licence="CC", terms="ask\nfirst", territory=("CN", "DE"), thumbnail=picture
    )
    one.add(rich)
    with one.changing() as bank:
        bank.add([(hashed("file", 5), b"made from")], actor="ann")
    with one.changing("others", "cleared") as bank:
        bank.add(many(2))
    two.follows()
    assert [banks.live(two.folder / name).kind for name in ("works", "others")] == ["protected", "cleared"]
    found = two.bank().find("rich")
    assert found is not None
    assert found.work == rich
    with two.changing() as bank:
        assert bank.add([(hashed("file", 6), b"made from")]).same == 1
    two.follows()
    assert len(site.changes()) == 2


def test_a_change_begins_with_what_others_changed(site: Site) -> None:
    """Also where the folder is empty, and the bank is of another kind than a new one would be."""
    one, two = site.machine("one"), site.machine("two")
    with one.changing(kind="cleared") as bank:
        bank.add(many(2))
    with two.changing() as bank:
        assert bank.kind == "cleared"
        assert bank.add([hashed("w0", 0), hashed("w1", 7), hashed("new", 3)]).taken == [1]
    assert two.ids() == ["w0", "w1", "new"]
    with one.changing() as bank:
        bank.add([hashed("more", 4)])
    assert one.ids() == ["w0", "w1", "new", "more"]
    assert verify(site.url).ok


def test_machines_that_change_a_bank_at_once_take_turns(site: Site) -> None:
    """Nothing is lost, and all come to the same digest."""
    program = (
        "import sys\nfrom audit.ledger import open_ledger\nfrom serving.works import changing\n"
        "from tests.matching.works import hashed\n"
        "with open_ledger(sys.argv[1], busy_timeout_ms=60_000) as ledger:\n"
        "    for number in range(8):\n"
        "        with changing('works', ledger) as (bank, _):\n"
        "            bank.add([hashed(f'two-{number}', number)], actor='two')\n"
    )
    one, two, three = (site.machine(name) for name in ("one", "two", "three"))
    one.add(hashed("begun", 99))
    other = subprocess.Popen([sys.executable, "-c", program, site.url], cwd=ROOT, env=_environment(two))
    count = 0
    while other.poll() is None or count < 8:
        one.add(hashed(f"one-{count}", count))
        count += 1
    assert other.returncode == 0
    for machine in (one, two, three):
        machine.follows()
    assert len({machine.bank().digest for machine in (one, two, three)}) == 1
    expected = ["begun", *(f"one-{number}" for number in range(count)), *(f"two-{number}" for number in range(8))]
    assert sorted(three.ids()) == sorted(expected)
    assert verify(site.url).ok


def test_what_cannot_be_recorded_is_not_changed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither here nor there; and the next change goes on as if nothing had been."""
    one = site.machine("one")
    digest = one.add(*many(1))

    def fails(*_: object, **__: object) -> None:
        raise LedgerError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(site.ledger, "register_sync", fails)
        with pytest.raises(LedgerError, match="is away"):
            one.add(hashed("lost", 5))
    assert (one.bank().digest, one.ids()) == (digest, ["w0"])
    one.add(hashed("found", 6))
    assert one.ids() == ["w0", "found"]
    assert len(site.changes()) == 2


def test_a_change_that_was_committed_elsewhere_only_comes_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process, or the disk, failed between the two commits."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(1))
    register = site.ledger.register_sync

    def dies(*given: object, **more: object) -> None:
        register(*given, **more)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site.ledger, "register_sync", dies)
        with pytest.raises(KeyboardInterrupt):
            one.add(hashed("half", 5))
    assert one.ids() == ["w0"]
    two.follows()
    assert two.ids() == ["w0", "half"]
    one.follows()
    assert one.ids() == ["w0", "half"]


def test_a_follower_that_is_killed_goes_on(site: Site) -> None:
    """In the middle of a batch: what is there is whole."""
    one, two = site.machine("one"), site.machine("two")
    digests = [one.add(*many(40, 40 * number)) for number in range(5)]
    program = (
        "import os, sys\nfrom audit.ledger import open_ledger\nfrom guard.matching import changing\n"
        "from serving.followed_banks import follow_all\nfrom serving.shared_banks import shared_banks\n"
        "insert, count = changing.insert, [0]\n"
        "def dies(*given):\n"
        "    count[0] += 1\n"
        "    found = insert(*given)\n"
        "    if count[0] == 3:\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return found\n"
        "changing.insert = dies\n"
        "with open_ledger(sys.argv[1]) as ledger:\n"
        "    follow_all(shared_banks(ledger))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, site.url], cwd=ROOT, env=_environment(two), check=False)
    assert done.returncode == -9
    assert (two.bank().digest, len(two.ids())) == (digests[1], 80)
    two.follows()
    assert (two.bank().digest, len(two.ids())) == (digests[-1], 200)
    assert two.bank().catalogue.rehash().hex() == digests[-1]


def _environment(machine: Machine) -> dict[str, str]:
    """Of a process on a machine."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "GENGUARD_BANKS": str(machine.folder)}


def test_workers_of_a_machine_share_its_folder(site: Site) -> None:
    """Whichever is first makes the changes; a change of one is there for all."""
    one, again, two = site.machine("one"), site.machine("one"), site.machine("two")
    two.add(*many(2))
    one.follows()
    again.follows()
    again.add(hashed("more", 5))
    one.follows()
    assert one.ids() == ["w0", "w1", "more"]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("data = set_byte(data, 90, get_byte(data, 90) # 1)", "cannot be made here"),
        ("data = substr(data, 1, length(data) - 1)", "cut off"),
        ("digest = repeat('0', 64)", "is not what entry"),
        ("bank = 'other'", ""),
        ("piece = 1", "are not whole"),
    ],
)
def test_rows_that_were_changed_are_not_followed(site: Site, what: str, told: str) -> None:
    """The bank stays at what was sound, the notice says why, and the verifier names the entry."""
    one, two = site.machine("one"), site.machine("two")
    digest = one.add(*many(2))
    two.follows()
    one.add(hashed("more", 5))
    last = query(site.url, "kind:bank_change").rows[0].idx
    site.tamper(f"UPDATE bank_batch SET {what} WHERE idx = {last}")
    behind, troubles = two.look()
    assert behind == {}
    assert told in troubles["other" if "other" in what else "works"]
    assert (two.bank().digest, two.ids()) == (digest, ["w0", "w1"])
    report = verify(site.url)
    assert [(problem.idx, problem.what) for problem in report.problems] == [(last, "bank")]


def test_a_batch_beside_another_entry_is_noticed(site: Site) -> None:
    """Where there is none, and where there is one of another kind."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(1))
    last = query(site.url, "kind:bank_change").rows[0].idx
    for place, told in ((last + 1000, "which is not there"), (0, "bank's change")):
        site.tamper(f"UPDATE bank_batch SET idx = {place}")
        assert told in two.look()[1]["works"]
        assert {(problem.idx, problem.what) for problem in verify(site.url).problems} >= {(place, "bank")}


def test_a_batch_that_is_missing_is_noticed(site: Site) -> None:
    """Where others of the bank are there; a bank that was dropped as a whole is told, and is not begun anew from a copy."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(1))
    middle = one.add(hashed("middle", 5))
    end = one.add(hashed("end", 6))
    site.tamper(f"DELETE FROM bank_batch WHERE digest = '{middle}'")
    assert "works" in two.look()[1]
    assert two.ids() == ["w0"]
    assert [problem.what for problem in verify(site.url).problems] == ["bank"]
    site.tamper(f"DELETE FROM bank_batch WHERE idx < (SELECT idx FROM bank_batch WHERE digest = '{end}')")
    assert [problem.what for problem in verify(site.url).problems] == ["bank", "bank"]
    statement(site.url, "DELETE FROM bank_batch")
    report = verify(site.url)
    assert report.ok
    assert "bank 'works' was dropped" in " ".join(report.unchecked)
    assert "fewer changes" in one.look()[1]["works"]
    with pytest.raises(RefusedError, match="fewer changes"):
        one.add(hashed("more", 7))
    (one.folder / "works").rename(one.folder / "aside")
    one.add(hashed("anew", 8))
    assert one.ids() == ["anew"]
    report = verify(site.url)
    assert (report.ok, report.checked["bank_batches"]) == (True, 1)
    assert "bank 'works' was dropped" in " ".join(report.unchecked)


def test_a_copy_that_went_another_way_is_left_and_told(site: Site) -> None:
    """Nothing is changed through it; once its folder is moved away, the ledger's bank takes its place, open or not."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(2))
    own = banks.live(two.folder / "works", kind="protected")
    own.add([hashed("own", 7)], actor="bea")
    assert "another history" in two.look()[1]["works"]
    assert [work.work.id for work in own.works()] == ["own"]
    with pytest.raises(RefusedError, match="another history") as refused:
        two.add(hashed("more", 8))
    assert "move its folder away" in refused.value.advice
    (two.folder / "works").rename(two.folder / "aside")
    two.follows()
    assert two.ids() == ["w0", "w1"]
    assert [work.work.id for work in own.works()] == ["w0", "w1"]  # which a check may hold
    assert "aside" in {one.name for one in two.folder.iterdir()}


def test_a_bank_of_before_is_taken_in(site: Site) -> None:
    """Its whole history, batch by batch; a machine with the beginning of it follows, and one with more adds that."""
    one, two, three = (site.machine(name) for name in ("one", "two", "three"))
    old = banks.live(one.folder / "works", kind="protected")
    for number in range(3):
        old.add([hashed(f"w{number}", number)], actor="ann", source="list.csv")
        if number == 1:
            old._catalogue.close()
            copy = three.folder / "works"
            copy.parent.mkdir()
            subprocess.run(["cp", "-r", str(one.folder / "works"), str(copy)], check=True)
            old._catalogue = type(old._catalogue).open(one.folder / "works" / "catalogue.db")
    three.follows()
    assert len(site.changes()) == 2
    one.follows()
    assert [(one.added, one.source, bool(one.rows)) for one in site.changes()] == [(1, "list.csv", True)] * 3  # type: ignore[attr-defined]
    for machine in (two, three):
        machine.follows()
        assert machine.bank().digest == old.digest
    assert verify(site.url).ok


def test_a_bundled_bank_is_copied_once(site: Site) -> None:
    """The works that came with the program are the same everywhere, and so is their digest."""
    one, two = site.machine("one"), site.machine("two")
    one.add(hashed("own", 1), name="protected-works")
    two.add(hashed("own-2", 2), name="protected-works")
    one.follows()
    assert one.bank("protected-works").digest == two.bank("protected-works").digest
    assert {"own", "own-2"} < set(one.ids("protected-works"))


def test_a_shared_bank_is_changed_through_its_ledger_alone(site: Site, tmp_path: Path) -> None:
    """Another ledger, or none, is refused; so is a copy of the folder that another ledger takes for its own."""
    one = site.machine("one")
    one.add(*many(1))
    path = str(one.folder / "works")
    with (
        open_ledger(f"sqlite:///{tmp_path / 'other.db'}") as other,
        changing(path, other) as (bank, _),
        pytest.raises(ModelError, match="shared through the ledger"),
    ):
        bank.add([hashed("more", 5)])
    with pytest.raises(ModelError, match="shared through the ledger"):
        Bank.open(one.folder / "works").retire(["w0"])
    assert one.ids() == ["w0"]


def test_a_name_that_leads_out_of_the_folder_is_not_followed(site: Site) -> None:
    """Whatever the rows say."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(1))
    site.tamper("UPDATE bank_batch SET bank = '../outside'")
    assert "expected letters" in two.look()[1]["../outside"]
    assert not (two.folder.parent / "outside").exists()


def test_a_folder_that_cannot_be_written_to_is_told(site: Site) -> None:
    """And the other banks go on."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(1))
    one.add(*many(1), name="others")
    two.folder.mkdir()
    (two.folder / "others").write_text("in the way")
    behind, troubles = two.look()
    assert (behind, list(troubles)) == ({}, ["others"])
    assert "cannot follow the ledger: File exists" in troubles["others"]
    assert two.ids() == ["w0"]


def test_rows_cannot_be_changed_by_mistake(site: Site) -> None:
    """They may go, with the bank."""
    site.machine("one").add(*many(1))
    with pytest.raises(Exception, match="rows cannot be changed"):
        statement(site.url, "UPDATE bank_batch SET piece = 7")


def test_a_large_import_is_followed_piece_by_piece(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of an import, and one that is larger than a piece; who has no time goes on where he was."""
    monkeypatch.setattr("guard.matching.imports.BATCH", 200)
    monkeypatch.setattr("guard.matching.imports.PATIENCE_S", 600.0)
    one, two = site.machine("one"), site.machine("two")
    large = [replace(hashed(f"large-{seed}", seed), thumbnail=b"\xff\xd8\xff" + os.urandom(199_000)) for seed in range(16)]
    with one.changing() as bank:
        bank.add(large)
        items = (Item(number, work) for number, work in enumerate(many(600)))
        assert import_items(bank, "list.csv", items, Options("ann")).added == 600
    assert statement(site.url, "SELECT count(*), max(piece) FROM bank_batch") == [(7, 3)]
    behind = {"works": ""}
    looks = 0
    while behind:
        with two.here():
            behind, troubles = follow_all(two.shared, seconds=0.05)
        assert troubles == {}
        looks += 1
        assert looks < 1000
    assert (two.bank().digest, len(two.ids())) == (one.bank().digest, 616)
    assert [one.work for one in two.bank().works(limit=16, whole=True)] == large


def test_what_was_changed_at_the_same_time_is_refused(site: Site) -> None:
    """Should the turn have been lost, the ledger's own lock is still there."""
    one, two = site.machine("one"), site.machine("two")
    one.add(*many(1))
    two.follows()
    with one.here(), one.shared.turn(one.bank()) as sharing, two.here():
        late = two.bank()
        late.catalogue.add(
            [(hashed("late", 4), b"")], sharing=replace(sharing, carry=lambda changed: two.shared._carry(late, changed))
        )
        with one.here(), pytest.raises(RefusedError, match="others changed it meanwhile"):
            one.bank().catalogue.add([(hashed("lost", 5), b"")], sharing=sharing)
    one.follows()
    assert one.ids() == ["w0", "late"]


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x09not json!", b"\xff\xff\xff\xff{"])
def test_bytes_that_are_no_batch_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="batch of changes"):
        Opened([data])


def test_a_batch_comes_back_from_its_bytes() -> None:
    """However they are cut."""
    signed = Signed("2026-01-02T03:04:05.000006Z", "ann", "list.csv")
    changes = [(hashed("a", 1), b"x"), (replace(hashed("b", 2), thumbnail=b"\xff\xd8\xff0"), b""), "a"]
    with Parcel(signed, changes) as parcel:  # type: ignore[arg-type]
        data = b"".join(parcel.pieces())
        for cut in (1, 7, 1000):
            opened = Opened(data[at : at + cut] for at in range(0, len(data), cut))
            assert (opened.signed, list(opened.changes()), opened.digest()) == (signed, changes, parcel.digest)
        with pytest.raises(ModelError, match="cut off"):
            list(Opened([data[:-3]]).changes())
