"""Holds each sentence until it has ended and a check that does nothing has read it."""

import re
from pathlib import Path

from playing import Work, play
from streaming import Watch

_END = re.compile(r"[.?!]$")


async def _nothing(_text: str) -> bool:
    return True


def prepare(case: str, folder: Path) -> Work:
    """Check and let go at the end of each sentence."""
    watch = Watch(case, folder)

    async def stream() -> None:
        sentence, read = "", 0
        async for token in watch.paced():
            sentence += token
            if _END.search(sentence):
                await _nothing(sentence)
                read += len(sentence)
                watch.checked(read)
                watch.released(sentence)
                sentence = ""
        if sentence:
            await _nothing(sentence)
            watch.checked(read + len(sentence))
            watch.released(sentence)

    return watch.work(stream)


play(prepare)
