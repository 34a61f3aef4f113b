"""Banks of works: what is registered, since when, and the snapshot that a check matches against.

A live bank is a folder with a catalogue (`guard.matching.catalogue`) and saved indexes; any process may change it while others
match against it. Bundled banks, and files that others hand over, are JSON Lines (`guard.matching.records`), read into memory.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from guard.errors import InputError, ModelError
from guard.matching import exchange
from guard.matching.catalogue import Catalogue, Outcome, Registered
from guard.matching.changing import Sharing, State
from guard.matching.methods import METHODS, index_class
from guard.matching.snapshot import Snapshot, WorkIndex
from guard.matching.works import Work

BUNDLED = Path(__file__).parent / "banks"
CATALOGUE = "catalogue.db"
INDEXES = "indexes"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a bank in the banks folder may be called."""
RELOADED_FROM = 20_000
"""Changes from which an index that somebody else may have saved is opened, instead of taking the changes one by one."""
_CHUNK = 1_000_000
_STALE_S = 3600.0
_opened: weakref.WeakValueDictionary[Path, Bank] = weakref.WeakValueDictionary()
_opening = threading.Lock()


class Shares(Protocol):
    """Keeps a bank the same on several machines."""

    def turn(self, bank: Bank) -> AbstractContextManager[Sharing]:
        """This bank's turn among all who change it: it has what the others changed, and whoever else changes it waits."""


class Bank:
    """A bank. Safe to use from several threads."""

    def __init__(self, name: str, catalogue: Catalogue, folder: Path | None = None) -> None:
        """Use `load`, `for_change` or `memory`."""
        self.name = name
        self.folder = folder
        self._catalogue = catalogue
        self._inode = _inode(catalogue.path)
        self._lock = threading.RLock()
        self._version: tuple[int, int] | None = None
        self._state: State | None = None
        self._indexes: dict[str, WorkIndex] = {}
        self._snapshot: Snapshot | None = None
        self.shares: Shares | None = None
        """Through which it is changed, where several machines have it."""

    @classmethod
    def memory(cls, name: str, kind: str = "protected") -> Bank:
        """A bank that is gone with the object."""
        return cls(name, Catalogue.memory(kind))

    @classmethod
    def open(cls, folder: Path, *, kind: str | None = None) -> Bank:
        """The bank in a folder, begun as one of that `kind` if one is named and there is none. Raises ModelError."""
        return cls(folder.name, Catalogue.open(folder / CATALOGUE, kind=kind), folder)

    def close(self) -> None:
        """Let go of the file. Snapshots that were taken can no longer look works up."""
        self._catalogue.close()

    @property
    def kind(self) -> str:
        """`protected` or `cleared`."""
        return self.catalogue.kind

    @property
    def catalogue(self) -> Catalogue:
        """The database; opened again when another file has taken its place, as after a backup was put back."""
        path = self._catalogue.path
        if path is not None and (found := _inode(path)) != self._inode:
            with self._lock:
                if found != self._inode:
                    self._catalogue = Catalogue.open(path)
                    self._inode, self._version, self._state = found, None, None
        return self._catalogue

    @property
    def digest(self) -> str:
        """Names the history up to now, hexadecimal."""
        return self.catalogue.state().head.hex()

    def __len__(self) -> int:
        """Works that are registered and not retired."""
        return self.catalogue.state().size

    # --- matching -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The bank as it is now, with what other processes have changed; some microseconds when nothing has changed.

        Raises ModelError when the bank cannot be read.
        """
        with self._lock:
            catalogue = self.catalogue
            version = catalogue.version()
            if self._snapshot is None or version != self._version:
                self._advance(catalogue, catalogue.state())
                self._version = version
            assert self._snapshot is not None
            return self._snapshot

    def _advance(self, catalogue: Catalogue, state: State) -> None:
        before = self._state
        if before is not None and before.head == state.head:
            return
        follows = before is not None and 0 <= state.seq - before.seq < RELOADED_FROM and _is_past(catalogue, before)
        indexes: dict[str, WorkIndex] = {}
        for method in catalogue.methods():
            if follows and before is not None:
                known = self._indexes.get(method) or index_class(method).empty(method)
                found = _forward(catalogue, known, method, before, state)
            else:
                found = self._built(catalogue, method, state)
            if len(found):
                indexes[method] = found
        self._indexes, self._state = indexes, state
        self._snapshot = Snapshot(self.name, state.head.hex(), state.size, indexes, WorksAt(catalogue, state))

    def _built(self, catalogue: Catalogue, method: str, state: State) -> WorkIndex:
        """An index from what was saved last and what came since; from the catalogue alone where nothing usable was saved."""
        kind = index_class(method)
        for folder in self._saved(method):
            base = _base(catalogue, folder, state)
            if base is None:
                continue
            try:
                return _forward(catalogue, kind.open(method, folder), method, base, state)
            except ModelError:
                shutil.rmtree(folder, ignore_errors=True)  # damaged, or removed by who saved a newer one
        found = _forward(catalogue, kind.empty(method), method, catalogue.state(0), state).compacted()
        if len(found) >= METHODS[method].saved_from:
            self._save(found, method, state)
        return found

    def tidy(self) -> None:
        """Save the indexes that have grown much since they were saved. For those who have changed the bank."""
        if self.folder is None:
            return
        snapshot = self.snapshot()
        for method, index in list(snapshot.indexes.items()):
            least = METHODS[method].saved_from
            if len(index) < least or index.pending <= max(least, len(index) // 8):
                continue
            compact = index.compacted()
            state = self.catalogue.state_of(bytes.fromhex(snapshot.digest))
            if state is None or not self._save(compact, method, state):
                continue
            with self._lock:
                if self._snapshot is snapshot:
                    self._indexes = {**self._indexes, method: compact}
                    snapshot = replace(snapshot, indexes=self._indexes)
                    self._snapshot = snapshot

    def _save(self, index: WorkIndex, method: str, state: State) -> bool:
        """Whether it could be written: a folder that only others may write to is no reason to fail."""
        if self.folder is None:
            return False
        home = self.folder / INDEXES
        target = home / f"{method}-{state.seq:010}-{state.head.hex()[:16]}"
        try:
            home.mkdir(mode=0o700, exist_ok=True)
            if not target.exists():
                index.save(target)
            for folder in self._saved(method):
                if folder.name < target.name:
                    shutil.rmtree(folder, ignore_errors=True)  # who has mapped its files keeps them
            for partial in home.glob("*.partial"):
                if time.time() - partial.stat().st_mtime > _STALE_S:
                    shutil.rmtree(partial, ignore_errors=True)
        except OSError:
            return target.is_dir()
        return True

    def _saved(self, method: str) -> list[Path]:
        """Folders of saved indexes, newest first."""
        if self.folder is None:
            return []
        name = re.compile(re.escape(method) + r"-\d{10}-[0-9a-f]{16}")
        return sorted((one for one in (self.folder / INDEXES).glob("*") if name.fullmatch(one.name)), reverse=True)

    # --- works --------------------------------------------------------------------------------------------------------

    def add(
        self, works: Iterable[Work | tuple[Work, bytes]], *, actor: str = "", source: str = "", again: bool = False
    ) -> Outcome:
        """Register works at once, or none of them. See `Catalogue.add`.

        `source`: where they come from, in a word or two. Raises InputError for a malformed work, ModelError when the bank
        cannot be written, LedgerError when a bank that several machines have cannot be changed for all of them.
        """
        given = [one if isinstance(one, tuple) else (one, b"") for one in works]
        # In memory there is no history to date: the same works in the same order have the same digest, as in a file.
        time = None if self.folder else ""
        with self._turn() as sharing:
            return self.catalogue.add(given, actor=actor, source=source, again=again, time=time, sharing=sharing)

    def retire(self, ids: Sequence[str], *, actor: str = "", source: str = "retire") -> int:
        """Retire works: they stay in the history and never match again. Returns how many there were. Raises as `add`."""
        with self._turn() as sharing:
            time = None if self.folder else ""
            return self.catalogue.retire(ids, actor=actor, source=source, time=time, sharing=sharing)

    def works(
        self, *, at: str = "", after: int = 0, limit: int | None = None, query: str = "", whole: bool = False
    ) -> Iterator[Registered]:
        """Works in the order in which they were registered. `at`: those of that digest. `whole`: with fingerprints.

        `after`: only numbers past this one. `query`: what id, title or owner has to contain. Raises InputError for a digest
        that is not of this bank.
        """
        return self.catalogue.works(self._at(at), after=after, limit=limit, query=query, whole=whole)

    def find(self, work: str, *, at: str = "") -> Registered | None:
        """The work of an id, retired or not; None when there never was one. Raises InputError for an unknown digest."""
        return self.catalogue.find(work, self._at(at))

    def registered(self, digest: str) -> Iterator[Registered]:
        """Works that were registered when the bank had that digest. Raises InputError when it never had."""
        return self.works(at=digest)

    def was_registered(self, work: str, digest: str) -> bool:
        """Whether a work was registered, and not retired, when the bank had that digest. Raises InputError."""
        at = self.state(digest)
        found = self.catalogue.find(work, at)
        return found is not None and (found.retired is None or found.retired > at.seq)

    def state(self, digest: str = "") -> State:
        """How far the history went when the bank had a digest; the latest for the empty one. Raises InputError."""
        return self._at(digest) or self.catalogue.state()

    def write(self, path: Path) -> int:
        """Write the bank as JSON Lines; return the number of works. A reader sees the old file or the new one."""
        with exchange.replacing(path) as stream:
            return exchange.write((one.work for one in self.works(whole=True)), self.kind, self.name, "jsonl", stream)

    def _turn(self) -> AbstractContextManager[Sharing | None]:
        return nullcontext() if self.shares is None else self.shares.turn(self)

    def _at(self, digest: str) -> State | None:
        """The state that a digest, or the beginning of one, names; None for the empty one."""
        if not digest:
            return None
        found = self.catalogue.state_from(digest[:64])  # a decision may name the digest of cleared works after it
        if found is None:
            raise InputError(
                f"bank {self.name!r} never had digest {digest[:64]!r}", advice="`genguard bank show` lists its digests."
            )
        return found


class WorksAt(Mapping[int, Work]):
    """The works of a snapshot, read from the catalogue one by one, with all that is kept of them."""

    def __init__(self, catalogue: Catalogue, state: State) -> None:
        self._catalogue = catalogue
        self._state = state

    def __getitem__(self, number: int) -> Work:
        found = self._catalogue.work(number)
        if found is None or found.added > self._state.seq or (found.retired is not None and found.retired <= self._state.seq):
            raise KeyError(number)
        return found.work

    def __iter__(self) -> Iterator[int]:
        return (one.number for one in self._catalogue.works(self._state))

    def __len__(self) -> int:
        return self._state.size


def banks_folder() -> Path:
    """Where live banks are: GENGUARD_BANKS, by default `banks` in the working directory."""
    return Path(os.environ.get("GENGUARD_BANKS") or "banks").absolute()


def names() -> dict[str, str]:
    """Every bank that a name finds, with where it is: `live` or `bundled`."""
    live = {path.parent.name: "live" for path in banks_folder().glob(f"*/{CATALOGUE}") if NAME.fullmatch(path.parent.name)}
    return dict(sorted(({path.stem: "bundled" for path in BUNDLED.glob("*.jsonl")} | live).items()))


def load(name: str, *, empty: bool = False) -> Bank:
    """A bank by name (in the banks folder, else bundled), or by the path of its folder or file.

    Raises ModelError for one that is not there, has a malformed line (named by file and line), or, unless `empty` is
    allowed, holds no works: nothing would ever match it.
    """
    bank = _found(name)
    if not empty and not len(bank):
        raise ModelError(
            f"bank {name!r} holds no works, so nothing would ever match it", advice="Add works, or drop the check."
        )
    return bank


def for_change(name: str, *, kind: str = "") -> tuple[Bank, str]:
    """A bank to be changed, and what was done to make it so, in words: begun anew, or copied from a bundled one.

    Raises InputError for a name that cannot be used or a bank of another kind, ModelError when it cannot be opened.
    """
    if not NAME.fullmatch(name) and not _is_path(name):
        raise InputError(
            f"found bank name {name[:80]!r}, expected letters, digits, - and _", advice="Or give the path of a bank's folder."
        )
    folder = folder_of(name)
    said = ""
    if not (folder / CATALOGUE).is_file():
        if folder.is_file():
            raise InputError(
                f"{name} is a file, expected a bank's folder", advice="Import it into a bank: genguard bank import."
            )
        bundled = BUNDLED / f"{name}.jsonl"
        if not _is_path(name) and bundled.is_file():
            _copy(bundled, folder)
            said = f"copied the bundled bank {name} to {folder}: from now on this copy is used"
        else:
            said = f"begun the {kind or 'protected'} bank {folder}"
    bank = live(folder, kind=kind or "protected")  # which also ends what a process that died has begun
    if kind and bank.kind != kind:
        raise InputError(
            f"bank {name!r} is {bank.kind}, expected {kind}", advice="A bank's kind never changes: use another bank."
        )
    return bank, said


def _found(name: str) -> Bank:
    if NAME.fullmatch(name):
        if (banks_folder() / name / CATALOGUE).is_file():
            return live(banks_folder() / name)
        path = BUNDLED / f"{name}.jsonl"
    else:
        path = Path(name)
        if (path / CATALOGUE).is_file():
            return live(path.absolute())
    if not path.is_file():
        raise ModelError(f"no bank {name!r}", advice=f"Banks are: {', '.join(names()) or 'none'}; otherwise give a path.")
    return read(path)


def read(path: Path) -> Bank:
    """A bank in memory from JSON Lines. Raises ModelError that names file and line."""
    try:
        bank = Bank.memory(path.stem, exchange.kind_of(path) or "protected")
        _fill(bank, path)
    except InputError as error:
        raise ModelError(str(error), advice=error.advice) from None
    return bank


def _fill(bank: Bank, path: Path) -> None:
    """Add every work of a file, with no time and no actor: the same file gives the same digest everywhere."""
    seen: set[str] = set()
    items = exchange.read(path) if path.suffix == ".jsonl" else iter(())
    while chunk := list(itertools.islice(items, 10_000)):
        for item in chunk:
            work = item.work
            if work is None or work.id in seen:
                what = item.error or f"found work {item.id or work.id if work else ''!r} twice, expected each id once"
                message, _, advice = what.partition("\n")
                raise ModelError(f"{path.name}:{item.line}: {message}", advice=advice)
            seen.add(work.id)
        bank.catalogue.add([(item.work, b"") for item in chunk if item.work], source=path.stem, time="")


def _copy(file: Path, folder: Path) -> None:
    """A live bank with the works of a file, which is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        bank = Bank.open(made, kind=exchange.kind_of(file) or "protected")
        _fill(bank, file)
        bank.catalogue.close()
        made.rename(folder)
    except OSError:
        if not (folder / CATALOGUE).is_file():  # else another process was first
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def live(folder: Path, *, kind: str | None = None) -> Bank:
    """The open bank of a folder, one a process, so that its indexes are in memory once.

    Begun as one of that `kind` if one is named and there is none. Raises ModelError.
    """
    with _opening:
        bank = _opened.get(folder)
        if bank is None:
            bank = _opened[folder] = Bank.open(folder, kind=kind)
        elif kind is not None and not (folder / CATALOGUE).is_file():  # it was moved away while it was open
            Catalogue.open(folder / CATALOGUE, kind=kind).close()
        return bank


def _forward(catalogue: Catalogue, index: WorkIndex, method: str, after: State, until: State) -> WorkIndex:
    """An index with what changed between two states."""
    gone = {number for number in catalogue.retired(after, until) if number <= after.number}
    if gone:
        index = index.without(gone)
    entries = catalogue.entries(method, after, until)
    while chunk := list(itertools.islice(entries, _CHUNK)):
        index = index.extended(chunk)
    return index


def _base(catalogue: Catalogue, folder: Path, state: State) -> State | None:
    """The state that a saved index is of; None when it is not of this history, or later."""
    seq, head = folder.name.split("-")[-2:]
    try:
        found = catalogue.state(int(seq))
    except ModelError:
        return None
    return found if found.head.hex().startswith(head) and found.seq <= state.seq else None


def _is_past(catalogue: Catalogue, state: State) -> bool:
    """Whether a state is of this catalogue's history: a backup that was put back may end before it."""
    found = catalogue.state_of(state.head)
    return found is not None and found.seq == state.seq


def folder_of(name: str) -> Path:
    """The folder of a live bank, there or not, by name or path."""
    return Path(name).absolute() if _is_path(name) else banks_folder() / name


def _is_path(name: str) -> bool:
    return os.sep in name


def _inode(path: Path | None) -> tuple[int, int]:
    if path is None:
        return (0, 0)
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)
