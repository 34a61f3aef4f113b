"""Checks that do nothing, in a plain loop with a deadline around each."""

import asyncio

from playing import TEXT, Call, play


async def _nothing(text: str) -> tuple[bool, int]:
    return True, len(text)


def prepare(count: int) -> Call:
    """The loop."""

    async def call() -> None:
        for _ in range(count):
            async with asyncio.timeout(2):
                await _nothing(TEXT)

    return call


play(prepare)
