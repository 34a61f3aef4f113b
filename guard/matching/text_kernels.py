"""The loops over letters, compiled by numba when first used. Each is one plain function that calls none of the others.

Compiled code is cached beside this file, or where numba finds room; without room it is compiled in every process anew.
"""

# ruff: noqa: C901, PLR0912, PLR0915, PLR0917 - each loop is one function, and numba takes arrays one by one

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

GRAM, WINDOW = 24, 24
"""Letters hashed together, and hashes of which the least is kept: a run of GRAM + WINDOW - 1 letters always shares a hash."""
PERIOD = 8
"""Letters that repeat with a period up to this are no fingerprint: `aaaa`, `hahaha`."""
BACK = 64
"""How far before its first shared hash a run is followed, in letters; 23 are enough unless more runs are open than counted."""
BEHIND = BACK + WINDOW + 1
"""Letters before the next window that have to be at hand still."""
OPEN, POSTINGS, SCANNED = 64, 64, 4096
"""Runs followed at a time; entries of one hash that are tried, and looked at because some belong to retired works."""
MIXING = (
    _FACTOR := 0x9E3779B97F4A7C15,
    pow(_FACTOR, GRAM, 1 << 64),
    33,
    0xFF51AFD7ED558CCD,
    0xC4CEB9FE1A85EC53,
    (1 << 64) - 1,
    0,
)
"""Of the rolling hash modulo 2**64: its factor, that of a letter that leaves, MurmurHash3's last steps; no hash; the start."""
WORDS, SIGNS = 3, 5
"""Words, or characters of a script without spaces, in a sequence."""
CELL, TABLE, PROBES = 2048, 4096, 8
"""Of reworded passages: how far places may shift against one another, in characters; how many are followed at a time."""
COMMON = 64
"""Word sequences that stand in the works more often than this say nothing."""
DROP = 2500
"""A passage ends where its score has fallen so far below its best; a word sequence that is found adds nearly 1,000."""
(
    KEY, FIRST, LAST, SCORE, HITS, BEST, BEST_HITS, BEST_LAST, NEAR_START, NEAR_END, NEAR_COUNT_START, NEAR_COUNT_END,
    SOURCE_START, SOURCE_END, BEST_SOURCE_START, BEST_SOURCE_END, NEAR_DOC, BEST_FIRST, SHIFT, BEST_SHIFT, SEEN,
) = range(21)  # fmt: skip
SEEN_WORDS = 16
NEAR_FIELDS = SEEN + SEEN_WORDS
"""Columns of a passage that is followed. FIRST and LAST number the text's word sequences; BEST_…: when its score was best.
SHIFT: the sum of how far the work's places are from the text's. From SEEN on 1,024 bits say which of the work's sequences
hereabouts were found already: one that the text repeats counts once."""
DOC, OFFSET, START, END, COUNT_START, COUNT_END, PLACE_START, PLACE_END, BROKEN, FIELDS = range(10)
"""Columns of a run. START and END in letters of the text, COUNT_… in characters that count, PLACE_… in its code points."""


def read(
    points: Any,
    singles: Any,
    counts: Any,
    kinds: Any,
    firsts: Any,
    several: Any,
    known: Any,
    most: int,
    state: Any,
    codes: Any,
    places: Any,
    steps: Any,
    counted: Any,
) -> None:
    """Letters of code points, from `state[0]` on; stops at a point whose page is not known, or when the room is nearly used.

    `state`: next point, letters written, characters counted since the last letter, whether the point before is white space,
    characters counted up to the last letter, the text's code points before the first of these.
    """
    at, made, trailing, in_space, total, begin = state[0], state[1], state[2], state[3], state[4], state[5]
    room = len(codes) - 32
    while at < len(points) and made < room:
        point = points[at]
        if known[point >> 8] == 0:
            break
        kind = kinds[point]
        if kind == 1 or (kind == 2 and in_space == 0):
            trailing += 1
        in_space = 1 if kind == 2 else 0
        count = counts[point]
        for number in range(count):
            codes[made] = singles[point] if count == 1 else several[firsts[point] + number]
            places[made] = begin + at
            steps[made] = min(trailing, most)
            total += min(trailing, most)
            counted[made] = total
            trailing = 0
            made += 1
        at += 1
    state[0], state[1], state[2], state[3], state[4] = at, made, trailing, in_space, total


def winnow(codes: Any, base: int, state: Any, numbers: Any, values: Any, positions: Any, hashes: Any) -> int:
    """Select the least hash of each window, the rightmost of equals, and say how many were selected.

    `codes` begin with letter `base` of the text. `state`: the next window, the last letter selected (-1: none). `numbers`:
    MIXING. `values`: room for all hashes.
    """
    first = state[0] - base
    grams = len(codes) - first - GRAM + 1
    if grams < WINDOW:
        return 0
    factor, power, shift, one, other, none, rolled = numbers
    same = [0] * (PERIOD + 1)
    for end in range(first, len(codes)):
        rolled = rolled * factor + codes[end]
        if end - first >= GRAM:
            rolled -= codes[end - GRAM] * power
        periodic = False
        for period in range(1, PERIOD + 1):
            if end - period >= first and codes[end] == codes[end - period]:
                same[period] += 1
                periodic = periodic or same[period] >= GRAM - period
            else:
                same[period] = 0
        if end - first >= GRAM - 1:
            mixed = (rolled ^ (rolled >> shift)) * one
            mixed = (mixed ^ (mixed >> shift)) * other
            values[end - first - GRAM + 1] = none if periodic else mixed ^ (mixed >> shift)
    made, best, last = 0, -1, state[1]
    for window in range(grams - WINDOW + 1):
        if best < window:
            best = window
            for place in range(window + 1, window + WINDOW):
                if values[place] <= values[best]:
                    best = place
        elif values[window + WINDOW - 1] <= values[best]:
            best = window + WINDOW - 1
        if values[best] != none and base + first + best > last:
            last = base + first + best
            positions[made] = last
            hashes[made] = values[best]
            made += 1
    state[0] += grams - WINDOW + 1
    state[1] = last
    return made


def follow(
    codes: Any,
    places: Any,
    counted: Any,
    base: int,
    seeds: Any,
    lows: Any,
    highs: Any,
    docs: Any,
    offsets: Any,
    starts: Any,
    lengths: Any,
    exact: Any,
    live: Any,
    store: Any,
    least: int,
    frontier: int,
    ending: int,
    runs: Any,
    state: Any,
    closed: Any,
) -> None:
    """Follow runs that the text shares with the works, from seed `state[1]` on; stops early when `closed` is nearly full.

    `counted`: characters that count up to each letter (included). `frontier`: no later seed stands before it. `ending`: -1
    while the text goes on, otherwise the characters that count after its last letter. `state`: runs that are open, next seed,
    runs closed. Only runs of `least` letters are written to `closed`. Works with `exact` 0 are known by hashes alone: their
    runs are what the hashes cover, and the letters around that may belong to them count towards their length.
    """
    opened, seed, done = state[0], state[1], state[2]
    size = base + len(codes)
    while seed <= len(seeds) and done + OPEN < len(closed):
        at = frontier if seed == len(seeds) else seeds[seed]
        limit = size if seed == len(seeds) else at + GRAM
        kept = 0
        for number in range(opened):
            doc, end = runs[number, DOC], runs[number, END]
            if exact[doc] == 1 and runs[number, BROKEN] == 0:
                theirs = starts[doc] + runs[number, OFFSET] - runs[number, START]
                stop = runs[number, START] + lengths[doc] - runs[number, OFFSET]
                while end < min(limit, stop) and codes[end - base] == store[theirs + end]:
                    end += 1
                runs[number, BROKEN] = 1 if end < limit else 0
                runs[number, END] = end
                runs[number, PLACE_END] = places[end - 1 - base] + 1
            slack = 0 if exact[doc] == 1 else WINDOW - 1
            if end + slack < size:
                before = counted[end + slack - base] - 1
                runs[number, COUNT_END] = max(before, counted[end - 1 - base])
            else:
                runs[number, COUNT_END] = counted[len(codes) - 1] + max(ending, 0)
            over = end < at if exact[doc] == 0 else runs[number, BROKEN] == 1 and end < at + GRAM
            if over or (ending >= 0 and seed == len(seeds)):
                if end - runs[number, START] >= least:
                    for field in range(FIELDS):
                        closed[done, field] = runs[number, field]
                    done += 1
            else:
                for field in range(FIELDS):
                    runs[kept, field] = runs[number, field]
                kept += 1
        opened = kept
        if seed < len(seeds):
            tried, entry, high = 0, lows[seed], min(highs[seed], lows[seed] + SCANNED)
            while entry < high and tried < POSTINGS and opened < OPEN:
                doc, offset = docs[entry], offsets[entry]
                entry += 1
                if doc < 0 or doc >= len(starts) or live[doc] == 0 or offset < 0 or offset + GRAM > lengths[doc]:
                    continue
                tried += 1
                known = False
                for number in range(opened):
                    if runs[number, DOC] == doc and runs[number, OFFSET] - runs[number, START] == offset - at:
                        known = True
                        if exact[doc] == 0:
                            runs[number, END] = at + GRAM
                            runs[number, PLACE_END] = places[at + GRAM - 1 - base] + 1
                if known:
                    continue
                begin, end = at, at + GRAM
                if exact[doc] == 1:
                    theirs = starts[doc] + offset - at
                    farthest = max(0, at - BACK, at - offset)
                    while begin > farthest and codes[begin - 1 - base] == store[theirs + begin - 1]:
                        begin -= 1
                    end = at
                    while end < at + GRAM and codes[end - base] == store[theirs + end]:
                        end += 1
                    if end < at + GRAM:
                        continue
                around = begin - 1 if exact[doc] == 1 else begin - WINDOW
                runs[opened, DOC], runs[opened, OFFSET] = doc, offset - (at - begin)
                runs[opened, START], runs[opened, END], runs[opened, BROKEN] = begin, end, 0
                runs[opened, COUNT_START] = counted[around - base] if around >= 0 else 0
                runs[opened, PLACE_START] = places[begin - base]
                runs[opened, PLACE_END] = places[end - 1 - base] + 1
                opened += 1
        seed += 1
    state[0], state[1], state[2] = opened, seed, done


def repeats(codes: Any) -> int:
    """Whether any GRAM letters in a row repeat with a period up to PERIOD: 1 or 0."""
    for period in range(1, PERIOD + 1):
        same = 0
        for letter in range(period, len(codes)):
            same = same + 1 if codes[letter] == codes[letter - period] else 0
            if same >= GRAM - period:
                return 1
    return 0


def shingle(
    codes: Any,
    places: Any,
    counted: Any,
    steps: Any,
    ending: int,
    numbers: Any,
    state: Any,
    ring: Any,
    words: Any,
    hashes: Any,
    found: Any,
) -> int:
    """Hash the word sequences that are complete, and say how many they are.

    `state`: whether a word is open, words completed, whether the last letter is of a script without spaces. `ring`: of the open
    word (row 8) and the last eight its place, its end, and the same in characters that count. `words`: their hashes.
    `found`: places and counts of each sequence, as in `ring`.
    """
    factor, _, shift, one, other, _, zero = numbers
    opened, completed, before = state[0], state[1], state[2]
    made = 0
    for letter in range(len(codes) + 1):
        apart, alone = ending == 1, False
        if letter < len(codes):
            code = codes[letter]
            alone = 0x2E80 <= code < 0xAC00 or 0xF900 <= code < 0xFB00 or 0x0E00 <= code < 0x1100 or 0x1780 <= code < 0x1800
            apart = steps[letter] > 1 or alone or before == 1
        if apart and opened == 1:
            row = completed % 8
            words[row] = words[8]
            for field in range(4):
                ring[row, field] = ring[8, field]
            completed += 1
            size = SIGNS if before == 1 else WORDS
            if completed >= size:
                rolled = zero
                for number in range(completed - size, completed):
                    rolled = (rolled ^ words[number % 8]) * factor
                    rolled ^= rolled >> shift
                mixed = (rolled ^ (rolled >> shift)) * one
                mixed = (mixed ^ (mixed >> shift)) * other
                mixed ^= mixed >> shift
                first = (completed - size) % 8
                hashes[made] = mixed
                found[made, 0], found[made, 1] = ring[first, 0], ring[row, 1]
                found[made, 2], found[made, 3] = ring[first, 2], ring[row, 3]
                made += 1
            opened = 0
        if letter < len(codes):
            if opened == 0:
                opened = 1
                words[8] = zero
                ring[8, 0], ring[8, 2] = places[letter], counted[letter] - 1
            words[8] = (words[8] + codes[letter]) * factor
            ring[8, 1], ring[8, 3] = places[letter] + 1, counted[letter]
            before = 1 if alone else 0
    state[0], state[1], state[2] = opened, completed, before
    return made


def chain(
    found: Any,
    lows: Any,
    highs: Any,
    docs: Any,
    offsets: Any,
    starts: Any,
    lengths: Any,
    live: Any,
    begins: Any,
    ends: Any,
    toll: int,
    least: int,
    ending: int,
    table: Any,
    state: Any,
    closed: Any,
) -> None:
    """Follow passages with many of the works' word sequences, from sequence `state[0]` on; stops when `closed` is nearly full.

    A sequence that is found adds `1000 - toll` to the score of its passage, one that is not takes `toll` away. `state`: next
    sequence, sequences counted so far in the text, passages closed. Those with `least` sequences found are written to `closed`.
    """
    at, ordinal, done = state[0], state[1], state[2]
    while at < len(found) and done + 2 * COMMON < len(closed) - TABLE:
        common = 0
        for entry in range(lows[at], min(highs[at], lows[at] + SCANNED)):
            doc = docs[entry]
            if 0 <= doc < len(starts):
                common += live[doc]
        if common <= COMMON:
            ordinal += 1
            for entry in range(lows[at], highs[at]):
                doc, offset = docs[entry], offsets[entry]
                if doc < 0 or doc >= len(starts) or live[doc] == 0 or offset < 0 or offset >= lengths[doc]:
                    continue
                begin, end = begins[starts[doc] + offset], ends[starts[doc] + offset]
                for tiling in range(2):
                    cell = (begin - found[at, 0] + tiling * (CELL // 2)) // CELL
                    key = (doc << 32) | ((cell * 2 + tiling) & 0xFFFFFFFF)
                    slot, free = (key ^ (key >> 29) ^ (key >> 47)) * 0x2545F491 & 0x7FFFFFFFFFFFFFFF, -1
                    slot ^= slot >> 20
                    mine = -1
                    for probe in range(PROBES):
                        row = (slot + probe) % TABLE
                        lost = toll * (ordinal - table[row, LAST] - 1)
                        score = table[row, SCORE] - lost
                        over = table[row, HITS] == 0 or score <= 0 or table[row, BEST] - score > DROP
                        if not over and table[row, KEY] == key:
                            mine = row
                        if over and free < 0:
                            free = row
                    if mine < 0 and free < 0:
                        continue
                    if mine < 0:
                        mine = free
                        if table[mine, BEST_HITS] >= least and table[mine, HITS] > 0:
                            for field in range(NEAR_FIELDS):
                                closed[done, field] = table[mine, field]
                            done += 1
                        table[mine, KEY], table[mine, NEAR_DOC] = key, doc
                        table[mine, FIRST], table[mine, LAST] = ordinal, ordinal - 1
                        table[mine, SCORE], table[mine, HITS], table[mine, BEST], table[mine, SHIFT] = 0, 0, 0, 0
                        for field in range(SEEN, NEAR_FIELDS):
                            table[mine, field] = 0
                        table[mine, NEAR_START], table[mine, NEAR_COUNT_START] = found[at, 0], found[at, 2]
                        table[mine, SOURCE_START], table[mine, SOURCE_END] = begin, end
                    elif table[mine, LAST] == ordinal:
                        continue
                    table[mine, SCORE] -= toll * (ordinal - table[mine, LAST] - 1)
                    table[mine, LAST] = ordinal
                    word, bit = SEEN + ((offset >> 6) & (SEEN_WORDS - 1)), 1 << (offset & 63)
                    if table[mine, word] & bit:
                        table[mine, FIRST] += 1
                        continue
                    table[mine, word] |= bit
                    table[mine, SEEN + ((word - SEEN + SEEN_WORDS // 2) & (SEEN_WORDS - 1))] = 0
                    table[mine, SCORE] += 1000 - toll
                    table[mine, HITS] += 1
                    table[mine, SHIFT] += begin - found[at, 0]
                    table[mine, SOURCE_START] = min(table[mine, SOURCE_START], begin)
                    table[mine, SOURCE_END] = max(table[mine, SOURCE_END], end)
                    if table[mine, SCORE] > table[mine, BEST]:
                        table[mine, BEST], table[mine, BEST_HITS] = table[mine, SCORE], table[mine, HITS]
                        table[mine, BEST_FIRST], table[mine, BEST_LAST] = table[mine, FIRST], ordinal
                        table[mine, NEAR_END], table[mine, NEAR_COUNT_END] = found[at, 1], found[at, 3]
                        table[mine, BEST_SHIFT] = table[mine, SHIFT]
                        table[mine, BEST_SOURCE_START] = table[mine, SOURCE_START]
                        table[mine, BEST_SOURCE_END] = table[mine, SOURCE_END]
        at += 1
    if at == len(found):
        for row in range(TABLE):
            if table[row, HITS] > 0:
                score = table[row, SCORE] - toll * (ordinal - table[row, LAST])
                if ending == 1 or score <= 0 or table[row, BEST] - score > DROP:
                    if table[row, BEST_HITS] >= least:
                        for field in range(NEAR_FIELDS):
                            closed[done, field] = table[row, field]
                        done += 1
                    table[row, HITS] = 0
    state[0], state[1], state[2] = at, ordinal, done


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The machine code of a function of this module."""
    from numba import types

    from guard.compiled import compiled as compile_for

    def array(kind: Any, *, readonly: bool = False, dimensions: int = 1) -> Any:
        return types.Array(kind, dimensions, "C", readonly=readonly)

    u8, u16, i32, i64, u64 = types.uint8, types.uint16, types.int32, types.int64, types.uint64
    given = {kind: array(kind, readonly=True) for kind in (u8, u16, types.uint32, i32, i64, u64)}
    table = array(i64, dimensions=2)
    signatures = {
        "read": types.void(
            given[types.uint32], given[u16], given[u8], given[u8], given[i32], given[u16], given[u8], i64, array(i64),
            array(u16), array(i64), array(u8), array(i64),
        ),
        "winnow": i64(given[u16], i64, array(i64), types.UniTuple(u64, 7), array(u64), array(i64), array(u64)),
        "repeats": i64(given[u16]),
        "follow": types.void(
            given[u16], given[i64], given[i64], i64, given[i64], given[i64], given[i64], given[i32], given[i32], given[i64],
            given[i64], given[u8], given[u8], given[u16], i64, i64, i64, array(i64, dimensions=2), array(i64),
            array(i64, dimensions=2),
        ),
        "shingle": i64(
            given[u16], given[i64], given[i64], given[u8], i64, types.UniTuple(u64, 7), array(i64), table, array(u64),
            array(u64), table,
        ),
        "chain": types.void(
            array(i64, readonly=True, dimensions=2), given[i64], given[i64], given[i32], given[i32], given[i64], given[i64],
            given[u8], given[i32], given[i32], i64, i64, i64, table, array(i64), table,
        ),
    }  # fmt: skip
    return compile_for(signatures[function.__name__])(function)
