"""Writes to a ledger until it is killed, and says each index on standard output after its receipt.

Arguments: URL, number of appends (0: for ever), callers at once, tenant.
"""

from __future__ import annotations

import asyncio
import os
import sys

from ledger_examples import DOCUMENT, REVISION, decision

from audit.ledger import open_ledger


async def main(url: str, count: int, callers: int, tenant: str) -> None:
    """Append from several tasks."""
    ledger = open_ledger(url, busy_timeout_ms=30_000)
    await ledger.activate("enterprise", 4, REVISION, DOCUMENT)
    numbers = iter(range(count or 10**9))

    async def work() -> None:
        for number in numbers:
            receipt = await ledger.append(decision(number=number, tenant=tenant))
            os.write(1, f"{receipt.index} {receipt.decision} {receipt.leaf_hash.hex()}\n".encode())

    await asyncio.gather(*[work() for _ in range(callers)])
    ledger.close()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
