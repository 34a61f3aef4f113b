"""Checks that do nothing, in a plain loop with a deadline around each."""

import asyncio
from pathlib import Path

from playing import TEXT, Call, play


async def _nothing(text: str) -> tuple[bool, int]:
    return True, len(text)


def prepare(case: str, _folder: Path) -> Call:
    """The loop."""
    count = int(case)

    async def call() -> None:
        for _ in range(count):
            async with asyncio.timeout(2):
                await _nothing(TEXT)

    return call


play(prepare)
