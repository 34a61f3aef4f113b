"""Functions of one's own, for tests: plain and async, returning and yielding, well and badly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

from PIL import Image

from guard.types import Content


def reply(prompt: str, *, seed: int = 0, tone: str = "kind") -> Iterator[str]:
    """Words drawn by the seed."""
    rng = random.Random(f"{prompt} {seed}")
    yield f"{tone}:"
    for _ in range(4):
        yield f" {rng.choice(['one', 'two', '三', 'four'])}{rng.randrange(100)}"


async def reply_async(prompt: str, seed: int = 0) -> AsyncIterator[str]:
    for word in reply(prompt, seed=seed):
        await asyncio.sleep(0)
        yield word


def plain(prompt: str) -> str:
    return prompt.upper()


async def awaited(prompt: Content) -> str:
    return f"{prompt.request.id}: {prompt.text}"


def picture(_prompt: str, *, seed: int = 0) -> Image.Image:
    return Image.new("RGB", (300, 300), (seed % 256, 2, 3))


def broken(prompt: str) -> str:
    raise ValueError(prompt)


def seven(_prompt: str) -> Any:
    return 7


def no_image(_prompt: str) -> bytes:
    return b"no image"


def nothing() -> str:
    return ""
