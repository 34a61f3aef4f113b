"""Processes to be killed: one that has everything loaded forks one for each order that it reads, and each does one job.

An order is a line of JSON on standard input: `job` (a function below), `url`, `out` (a file that the child says things into, a
line each), `point` and `nth` (the failpoint at which it kills itself), and what the job takes. The answer is the child's id.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledger_examples import DOCUMENT, REVISION, decision, picture

from audit import failpoints
from audit.anchor import FileAnchor
from audit.erasure import erase
from audit.export.run import Order, export
from audit.ledger import SqlLedger, open_ledger
from audit.log_key import need_log_key
from audit.notary import Notary
from audit.retention import prune
from audit.rotation import rotate_key
from guard.errors import GenguardError, LedgerError
from guard.types import Action

NOW = datetime(2026, 11, 27, tzinfo=UTC) + timedelta(days=1500)
CALLERS = 3


class Child:
    """A job in progress."""

    def __init__(self, order: dict) -> None:
        self.order, self.url = order, order["url"]
        self.out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.until = time.monotonic() + order.get("seconds", 20)
        self.left = order.get("count", 10**9)
        self.passed = 0
        self.lock = threading.Lock()
        self.done = threading.Event()

    def say(self, *words: object) -> None:
        """One line, whole or not at all; what is written outlives the process."""
        os.write(self.out, (" ".join(map(str, words)) + "\n").encode())

    def hook(self, name: str) -> None:
        """Die as if killed from outside: nothing is flushed, closed or rolled back."""
        if name == self.order["point"]:
            with self.lock:
                self.passed += 1
                if self.passed == self.order.get("nth", 1):
                    self.say("died", name)
                    os.kill(os.getpid(), signal.SIGKILL)
                    time.sleep(60)

    def open(self) -> SqlLedger:
        """Its ledger, with the policy of the examples in force."""
        opened = open_ledger(self.url, busy_timeout_ms=60_000)
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        self.say("opened")
        return opened

    def load(self, ledger: SqlLedger) -> list[threading.Thread]:
        """Callers that append until the job is done, and say each receipt."""
        threads = [
            threading.Thread(target=self._append, args=(ledger, n), daemon=True)
            for n in range(self.order.get("callers", CALLERS))
        ]
        for thread in threads:
            thread.start()
        return threads

    def _append(self, ledger: SqlLedger, caller: int) -> None:
        number = 0
        while not self.done.is_set() and time.monotonic() < self.until:
            with self.lock:
                self.left -= 1
                if self.left < 0:
                    return
            number += 1
            made = (picture if number % 5 == 0 else decision)(number=number, subject=f"load-{number % 7}")
            try:
                receipt = ledger.append_sync(made)
            except LedgerError:
                if not self.order.get("persistent"):
                    raise
                time.sleep(0.02)
                continue
            self.say("ack", receipt.index, receipt.decision, receipt.leaf_hash.hex(), receipt.tree_size, caller)


def write(child: Child) -> None:
    """Append until `count` or `seconds` are over."""
    ledger = child.open()
    for thread in child.load(ledger):
        thread.join()
    ledger.close()


def persist(child: Child) -> None:
    """`write`, by callers who do not mind errors."""
    child.order["persistent"] = True
    write(child)


def plain(child: Child) -> None:
    """Append texts of one subject, each announced before it is tried."""
    ledger = child.open()
    for number in range(10**6):
        words = f"the words that child {os.getpid()} of {child.order['subject']} wrote as number {number}"
        time = datetime.fromisoformat(child.order["time"])
        made = decision(Action.ALLOW, data=words, subject=child.order["subject"], time=time)
        child.say("try", made.id, words)
        child.say("did", ledger.append_sync(made).index)


def begin(child: Child) -> None:
    """Begin a ledger."""
    child.open().append_sync(decision())


def _beside_load(child: Child, job) -> None:
    ledger = child.open()
    threads = child.load(ledger)
    job(ledger)
    child.done.set()
    for thread in threads:
        thread.join()
    ledger.close()


def sign(child: Child) -> None:
    """Sign a few times, and say what was signed."""

    def job(ledger: SqlLedger) -> None:
        key = need_log_key(ledger.store, ledger.identity, Path(child.order["log_key"]))
        notary = Notary(ledger.reader, ledger.store, key, (FileAnchor(Path(child.order["anchor"])),))
        signed = 0
        while signed < 4:
            if (note := notary.sign()) is not None:
                signed += 1
                child.say("signed", note.split("\n")[1])

    _beside_load(child, job)


def forget(child: Child) -> None:
    """Erase a subject."""
    _beside_load(child, lambda ledger: child.say("erased", erase(ledger, "person-7", actor="ann", reason="asked for").index))


def drop(child: Child) -> None:
    """Apply retention."""
    _beside_load(child, lambda ledger: child.say("pruned", prune(ledger, 365, actor="ann", now=NOW).bodies))


def rotate(child: Child) -> None:
    """Change the master key."""
    _beside_load(child, lambda ledger: child.say("rotated", rotate_key(ledger, actor="ann").after))


def hand_over(child: Child) -> None:
    """Export everything as CSV."""

    def job(ledger: SqlLedger) -> None:
        done = export(Order(child.url, "csv", "", "kim"), Path(child.order["file"]), ledger.record_sync)
        child.say("exported", done.entry, done.digest)

    _beside_load(child, job)


JOBS = {job.__name__: job for job in (write, persist, plain, begin, sign, forget, drop, rotate, hand_over)}


def run(order: dict) -> None:
    """One job, and how it ended."""
    os.environ.update(order.get("environment", {}))
    child = Child(order)
    if order.get("point"):
        failpoints.hook = child.hook
    try:
        JOBS[order["job"]](child)
        child.say("ended")
    except GenguardError as error:
        child.say("failed", str(error).replace("\n", " "))
    except BaseException as error:  # noqa: BLE001 - the parent judges
        child.say("broke", type(error).__name__, str(error).replace("\n", " "))


def main() -> None:
    """Fork for each order."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to wait for them
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(json.loads(line))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
