"""genguard's replay."""

from pathlib import Path

from playing import Work, at_once, play
from replay_naive import entries

from audit.columns import history
from audit.history import documents
from policies import load
from policies.replay import Replay, Summary


def prepare(case: str, folder: Path) -> Work:
    """The whole ledger under one draft."""
    url, draft = f"sqlite:///{folder}/ledger.db", load(str(folder / f"{case}.yaml"))

    last: list[Summary] = []

    def replayed() -> None:
        replay = Replay(draft, documents(url), examples=0)
        with history(url) as found:
            for batch in found.batches():
                replay.add(batch)
        last[:] = [replay.summary()]

    def tell() -> list[list[object]]:
        return sorted([one.before, one.after, one.count] for one in last[0].flips)

    return Work(at_once(replayed), entries(folder), tell)


play(prepare)
