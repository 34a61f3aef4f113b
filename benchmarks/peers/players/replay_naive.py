"""One decision after the other."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import orjson
from playing import Work, at_once, play

from audit.body import decision_from
from policies import load
from policies.rejudge import rederive

_DECISIONS = "FROM entry WHERE kind = 'decision'"


def opened(folder: Path) -> sqlite3.Connection:
    """The ledger's file."""
    return sqlite3.connect(f"file:{folder}/ledger.db?mode=ro", uri=True)


def entries(folder: Path) -> int:
    """How many decisions it holds."""
    with closing(opened(folder)) as connection:
        return int(connection.execute(f"SELECT count(*) {_DECISIONS}").fetchone()[0])


def prepare(case: str, folder: Path) -> Work:
    """The whole ledger under one draft, whose checks are those of its decisions."""
    draft = load(str(folder / f"{case}.yaml"))
    actions: Counter[tuple[str, str]] = Counter()

    def replayed() -> None:
        actions.clear()
        with closing(opened(folder)) as connection:
            for (body,) in connection.execute(f"SELECT body {_DECISIONS} ORDER BY idx DESC"):
                decision = decision_from(orjson.loads(body))
                actions[decision.verdict.action.value, rederive(draft, decision).action.value] += 1

    def tell() -> list[list[object]]:
        return sorted([before, after, count] for (before, after), count in actions.items() if before != after)

    return Work(at_once(replayed), entries(folder), tell)


if __name__ == "__main__":
    play(prepare)
