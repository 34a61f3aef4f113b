"""Made-up prose for the tests of copied text: the same for the same seed, and nothing that anyone wrote."""

from __future__ import annotations

import random

_SYLLABLES = """
    b br c ch d dr f g gl h j k l m n p pl qu r s sh st t th tr v w z
    a ai e ea i o oa oo u
    b ck d g l ll m n nd nt p r rn s st t th x
"""
_STARTS, _MIDDLES, _ENDS = (line.split() for line in _SYLLABLES.strip().splitlines())


def words(seed: int, count: int) -> list[str]:
    """Words of one or two syllables, about a million different ones, frequent ones more often."""
    draw = random.Random(seed)

    def word() -> str:
        syllables = (draw.choice(_STARTS) + draw.choice(_MIDDLES) + draw.choice(_ENDS) for _ in range(draw.choice((1, 2))))
        return "".join(syllables)

    return [draw.choice(("the", "of", "and", "a", "to")) if draw.random() < 0.25 else word() for _ in range(count)]


def prose(seed: int, count: int) -> str:
    """So many words in sentences and paragraphs."""
    draw, made = random.Random(seed + 1), []
    sentence: list[str] = []
    for word in words(seed, count):
        sentence.append(word)
        if len(sentence) > 5 and draw.random() < 0.12:
            made.append(" ".join(sentence).capitalize() + draw.choice((".", ".", "!", "?", "; “so it is.”")))
            made.append("\n\n" if draw.random() < 0.2 else " ")
            sentence = []
    return "".join(made) + " ".join(sentence).capitalize() + "."


def chinese(seed: int, count: int) -> str:
    """So many characters of the 2,000 first ideographs, with commas and full stops."""
    draw = random.Random(seed)
    return "".join(
        "，。"[draw.random() < 0.3] if draw.random() < 0.08 else chr(0x4E00 + draw.randrange(2000)) for _ in range(count)
    )
