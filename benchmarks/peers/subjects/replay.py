"""A draft policy over recorded decisions: column by column, beside one decision after the other; the same flips of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from benchmarks.peers.subject import Cell, Findings, Player, Subject, same

ENTRIES = 100_000
DRAFT = ("toxicity.threat: 0.50", "toxicity.threat: 0.30")
CASE = "draft"


def make(folder: Path) -> None:
    """A ledger as of `benchmarks.replay`, and drafts."""
    from benchmarks.replay import fill, policy_text
    from policies import loads

    text = policy_text()
    if DRAFT[0] not in text:
        raise ValueError(f"the policy has no {DRAFT[0]!r}, expected it for the draft")
    (folder / f"{CASE}.yaml").write_text(text.replace(*DRAFT), "utf-8")
    stamp, wanted = folder / "filled.json", json.dumps([ENTRIES, sha256(text.encode()).hexdigest()])
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    for old in folder.glob("ledger.db*"):
        old.unlink()
    fill(f"sqlite:///{folder}/ledger.db", folder / "ledger.db", loads(text), ENTRIES)
    stamp.write_text(wanted, "utf-8")


def compare(found: Findings) -> Sequence[str]:
    """Both see the same decisions flip."""
    same(found, list(found), [CASE])
    flips = next((one[CASE] for one in found.values()), [])
    return [f"Of {ENTRIES:,} decisions both see the same {sum(count for *_, count in flips):,} flip"]


SUBJECT = Subject(
    "replay",
    (CASE,),
    (
        Player(
            "genguard", "replay_genguard", notes="`policies.replay` over columns that are read from the bodies of the entries"
        ),
        Player(
            "one by one",
            "replay_naive",
            notes="each body decoded by orjson, each decision built and decided anew by `guard.decide`",
        ),
    ),
    (
        Cell("decisions/s", "{rate_s:,.0f}", CASE),
        Cell("CPU a decision, us", "{cpu_us:.1f}", CASE),
        Cell("resident, MiB", "{resident_mib:.0f}", CASE),
    ),
    f"{ENTRIES:,} decisions in SQLite under fourteen rules, one threshold changed",
    make,
    compare,
    runs=3,
)
