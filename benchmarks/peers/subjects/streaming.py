"""Checking a text while it is made: how long a reader waits, and what leaves before any check has read it."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.places import NEMO
from benchmarks.peers.subject import Cell, Player, Subject

PACE = 100
"""Tokens a second."""
CASE = f"{PACE} tokens/s"


def make(folder: Path) -> None:
    """One long answer of `benchmarks.stream`, in tokens: words with the space before them."""
    import re

    from benchmarks.stream import answers

    text = max(answers(16), key=len)
    (folder / "tokens.json").write_text(json.dumps(re.findall(r"\s*\S+", text)), "utf-8")


SUBJECT = Subject(
    "streaming",
    (CASE,),
    (
        Player(
            "genguard",
            "streaming_genguard",
            notes="`Guard.stream` in its window, with a check that does nothing, both decisions recorded in a ledger",
        ),
        Player("sentence by sentence", "streaming_sentences", notes="a sentence is held until it has ended and was checked"),
        Player(
            "NeMo Guardrails",
            "streaming_nemo",
            NEMO,
            "`LLMRails.stream_async` with an output rail that does nothing, as it comes: chunks of 200 tokens, 50 of context, "
            "`stream_first`: a chunk leaves before its rail has seen it",
        ),
        Player("NeMo Guardrails, checked first", "streaming_nemo_checked", NEMO, "the same with `stream_first` off"),
    ),
    (
        Cell("first character after, ms", "{first_ms:,.0f}", CASE),
        Cell("characters held back, median", "{held:,.0f}", CASE),
        Cell("at most", "{most:,.0f}", CASE),
        Cell("characters that left unread", "{unread:,.0f}", CASE),
        Cell("CPU a token, us", "{cpu_us:,.0f}", CASE),
    ),
    f"one answer at {PACE} tokens a second",
    make,
    runs=3,
)
