"""Words that people disguise, the project's own list, and frequent words, which tell where a word ends.

`frequent.txt` is made from public-domain books by `training/words/frequent.py`, most frequent first. Being in a list blocks
nothing: it only says which word a masked one stands for. What it means is measured by a check.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from math import log

_STEMS = (
    "fuck shit bitch ass asshole cunt cock dick pussy bastard whore slut nigger nigga faggot fag retard twat crap damn "
    "idiot moron stupid dumb loser imbecile fool pathetic worthless useless ugly disgusting scum trash garbage pig rat liar "
    "coward creep jerk clown parasite kill killed murder die dead hurt hate rape stab shoot strangle hang choke bleed blood "
    "suicide bomb burn vermin subhuman filthy dirty tits boobs dyke tranny kike spic chink gook paki wanker wank bollocks "
    "prick arse arsehole douche skank slag hoe bullshit motherfucker motherfucking dumbass jackass dipshit shithead dickhead "
    "fuckface cocksucker goddamn muslim jew gay black women lesbian immigrant throat house leech failure brainless ignorant "
    "clueless miserable ridiculous hopeless vile lazy incompetent spineless dimwit halfwit nobody freak psycho lunatic"
)
_ENDINGS = ("", "s", "es", "ed", "er", "ers", "ing", "in", "y", "ty", "ting", "ted", "ter")
EXPECTED = frozenset(("fuck", "shit", "bitch", "cunt", "nigger", "fucking"))
"""What a single letter and stars stand for."""
_WORDS = tuple(_STEMS.split())
MASKED: frozenset[str] = frozenset(stem + ending for stem in _WORDS for ending in _ENDINGS)
LONGEST = max(map(len, MASKED))
SHORTEST_INSIDE = 4
_MASKED_RANK = 2000
_UNKNOWN = 12.0
"""What a letter outside of known words costs: more than any word."""


@cache
def of_length(length: int) -> tuple[str, ...]:
    """Masked words of that many letters, the likeliest first: in the order of the list, plain forms before endings."""
    words = dict.fromkeys(stem + ending for ending in _ENDINGS for stem in _WORDS)
    return tuple(word for word in words if len(word) == length)


def has_masked(letters: str) -> bool:
    """Whether a masked word of at least four letters stands somewhere in these lower-case ones, or is all of them."""
    if letters in MASKED:
        return True
    return any(
        letters[start:end] in MASKED
        for start in range(len(letters))
        for end in range(start + SHORTEST_INSIDE, min(len(letters), start + LONGEST) + 1)
    )


@cache
def _costs() -> dict[str, float]:
    """How surprising a word is: the frequent ones by Zipf's law from their rank, the masked ones as if of middling rank."""
    ranked = (files("guard.text") / "frequent.txt").read_text("utf-8").split()
    scale = log(len(ranked))
    costs = {word: log((rank + 1) * scale) for rank, word in enumerate(ranked)}
    middling = log(_MASKED_RANK * scale)
    return costs | {word: min(middling, costs.get(word, middling)) for word in MASKED if len(word) >= SHORTEST_INSIDE}


def is_frequent(word: str) -> bool:
    """Whether it is among the frequent or the masked words."""
    return word in _costs()


def word_ends(letters: str) -> set[int]:
    """Where words end in lower-case letters written without spaces: the least surprising words that make them up.

    Letters outside of known words stay together, and so does what is short enough for one word and not made of known ones.
    """
    costs = _costs()
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost so far, and where the last piece begins
    for end in range(1, len(letters) + 1):
        found = (best[end - 1][0] + _UNKNOWN, end - 1)
        for start in range(max(0, end - LONGEST), end):
            cost = costs.get(letters[start:end])
            if cost is not None:
                found = min(found, (best[start][0] + cost, start))
        best.append(found)
    pieces: list[tuple[int, int]] = []
    end = len(letters)
    while end:
        pieces.append((best[end][1], end))
        end = best[end][1]
    pieces.reverse()
    known = [letters[start:end] in costs for start, end in pieces]
    if len(letters) <= LONGEST and not all(known):
        return set()
    return {end for number, (_, end) in enumerate(pieces[:-1]) if known[number] or known[number + 1]}
