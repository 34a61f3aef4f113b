"""All subjects, in the order in which they are measured and stand on the page."""

from __future__ import annotations

from benchmarks.peers.subjects import callers, chain, hashes, ledger, pii, replay, startup, streaming, watermark

SUBJECTS = (
    chain.SUBJECT,
    callers.SUBJECT,
    pii.SUBJECT,
    hashes.SUBJECT,
    watermark.SUBJECT,
    ledger.SUBJECT,
    replay.SUBJECT,
    streaming.SUBJECT,
    startup.NOTHING,
    startup.CLASSIFIER,
)
