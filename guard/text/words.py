"""Words that people disguise, and the few that help to tell where a word ends. The project's own lists.

Being in a list blocks nothing: it only says which word a masked one stands for. What it means is measured by a check.
"""

from __future__ import annotations

from functools import cache

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
_COMMON = (
    "a i you are is am was were be an the so such that this your yours my me we they them he she his her it its and or but if "
    "of to in on at for from with by as not no do does did will would can could should shall must have has had get go come "
    "off up out down over stop shut just like want who what why how when where all every one nobody everyone people man woman "
    "little big fat old piece sack waste space mouth face head life time again here there now then really very total complete "
    "absolute know think say said make find leave alone away hell yourself myself face legs break him us our their go sick "
    "back good bad more most only ever never than too even about into"
)
COMMON = frozenset(_COMMON.split())
"""Frequent short words that stand beside the disguised ones when a whole sentence is spelled out."""

_WORDS = tuple(_STEMS.split())
MASKED: frozenset[str] = frozenset(stem + ending for stem in _WORDS for ending in _ENDINGS)
LONGEST = max(map(len, MASKED | COMMON))
SHORTEST_INSIDE = 4


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


def word_ends(letters: str) -> set[int]:
    """Where words end in lower-case letters written without spaces.

    As few letters as can be stay outside of known words, then as few words as can be are taken; letters outside stay together.
    """
    best: list[tuple[int, int, int]] = [(0, 0, 0)]  # letters outside, words, where the last piece begins
    for end in range(1, len(letters) + 1):
        outside, words, _ = best[end - 1]
        found = (outside + 1, words + 1, end - 1)
        for start in range(max(0, end - LONGEST), end):
            piece = letters[start:end]
            if piece in MASKED or piece in COMMON:
                found = min(found, (best[start][0], best[start][1] + 1, start))
        best.append(found)
    pieces: list[tuple[int, int]] = []
    end = len(letters)
    while end:
        start = best[end][2]
        pieces.append((start, end))
        end = start
    pieces.reverse()
    known = [letters[start:end] in MASKED or letters[start:end] in COMMON for start, end in pieces]
    return {end for number, (_, end) in enumerate(pieces[:-1]) if known[number] or known[number + 1]}
