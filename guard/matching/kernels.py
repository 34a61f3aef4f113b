"""Loops over hashes of 256 bits, compiled by numba. A hash is a row of four 64-bit words, its bits numbered from the highest.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", 2012): the bits are
cut into chunks, and each chunk has a table of who has which value there. Choose a number t(c) of at least -1 for each chunk c,
such that all t(c) + 1 add up to r + 1. Then two hashes that differ in at most r bits differ in at most t(c) bits of some chunk:
otherwise they would differ in t(c) + 1 bits of each, and so in r + 1 of all. The choice is free ("general pigeonhole" in Qin et
al., "GPH: similarity search in Hamming space", 2018): each query takes the cheapest next step until r + 1 steps are done.

Compiled when this module is first imported, then kept beside it or, where that folder cannot be written, in numba's own cache.
No function trusts what it reads from a file: a table that points outside of its arrays is reported, never followed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from guard.compiled import compiled

WORDS = 4
"""64-bit words of a hash."""
DAMAGED = -1
"""Returned instead of a count when a table points outside of its arrays."""
STEP = 24.0
"""What one look into a table, or one candidate, costs, in rows of a scan: 17 to 40 at 100,000 to 10 million rows."""
_BLOCK = 1024
"""Rows that are compared with all queries before the next ones are read: 32 KiB."""
_BATCH = 4096
"""Looks, and candidates, that are collected before they are followed, so that the processor waits for many at once."""
_PARTS = 10
"""Bits by which rows are dealt out before they are sorted into a table, so that its writes stay in the processor's cache."""
_NEVER = 1e300

_u8 = np.uint64
_ROWS = types.Array(types.uint64, 2, "C", readonly=True)
_OFFSETS = types.Array(types.uint32, 1, "C", readonly=True)
_LAYOUT = types.Array(types.int64, 1, "C", readonly=True)
_FOUND = types.int64[::1]


_part: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit
"""Compiled as part of what calls it."""
_instruction: Callable[[Callable[..., Any]], Callable[..., Any]] = intrinsic


@_instruction
def _ones(_context: Any, value: Any) -> Any:
    """How many bits are set."""
    return value(value), lambda _, builder, __, given: builder.ctpop(given[0])


@_instruction
def _zeros_below(_context: Any, value: Any) -> Any:
    """How many bits are clear below the lowest set one."""
    return value(value), lambda context, builder, _, given: builder.cttz(given[0], context.get_constant(types.boolean, 1))


@_part
def _distance(codes: Any, row: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Bits in which a row differs from the four words of a query."""
    return _ones(codes[row, 0] ^ a) + _ones(codes[row, 1] ^ b) + _ones(codes[row, 2] ^ c) + _ones(codes[row, 3] ^ d)


@_part
def _value(codes: Any, row: Any, start: Any, width: Any) -> Any:
    """`width` bits (1 to 63) of a row from bit `start` on, as a number."""
    word, skipped = start >> 6, start & 63
    value = codes[row, word] << _u8(skipped)
    if skipped + width > 64:
        value |= codes[row, word + 1] >> _u8(64 - skipped)
    return value >> _u8(64 - width)


@_part
def _next_mask(mask: Any) -> Any:
    """The next greater number with as many bits set (Gosper's)."""
    low = mask & (~mask + _u8(1))
    carried = mask + low
    return ((carried ^ mask) >> (_zeros_below(low) + _u8(2))) | carried


@compiled(types.int64(_ROWS, _ROWS, types.int64, types.int64[:, ::1]))
def scan(codes: Any, queries: Any, radius: Any, found: Any) -> Any:
    """Compare every row with every query. `found` gets (row, distance, query) for each row that is within the radius of any.

    The query is the nearest one. Returns how many there are; only as many as `found` has rows are written.
    """
    count = 0
    nearest = np.full(_BLOCK, _u8(radius + 1))
    which = np.empty(_BLOCK, np.int64)
    for begin in range(0, codes.shape[0], _BLOCK):
        size = min(_BLOCK, codes.shape[0] - begin)
        block = codes[begin : begin + size]
        hit = False
        for query in range(queries.shape[0]):
            a, b, c, d = queries[query, 0], queries[query, 1], queries[query, 2], queries[query, 3]
            for place in range(size):
                distance = _distance(block, place, a, b, c, d)
                if distance <= _u8(radius):
                    hit = True
                    if distance < nearest[place]:
                        nearest[place] = distance
                        which[place] = query
        if not hit:
            continue
        for place in range(size):
            if nearest[place] <= _u8(radius):
                if count < found.shape[0]:
                    found[count, 0] = begin + place
                    found[count, 1] = np.int64(nearest[place])
                    found[count, 2] = which[place]
                count += 1
                nearest[place] = _u8(radius + 1)
    return count


@compiled(types.void(_ROWS, types.int64, types.int64, types.uint64[::1], types.uint32[::1], types.uint32[::1]))
def tabulate(codes: Any, start: Any, width: Any, scratch: Any, offsets: Any, ids: Any) -> None:
    """Sort row numbers by the value of a chunk: those with value v get to `ids[offsets[v] : offsets[v + 1]]`, ascending.

    `scratch`: one word a row. `offsets`: 2**width + 1 zeros. `ids`: one a row; empty if the rows stand in that order anyway.
    """
    rows = codes.shape[0]
    coarse = max(width - _PARTS, 0)
    ends = np.zeros((1 << (width - coarse)) + 1, np.int64)
    for row in range(rows):
        ends[np.int64(_value(codes, row, start, width) >> _u8(coarse)) + 1] += 1
    for part in range(1, ends.shape[0]):
        ends[part] += ends[part - 1]
    for row in range(rows):
        value = _value(codes, row, start, width)
        share = np.int64(value >> _u8(coarse))
        scratch[ends[share]] = (value << _u8(32)) | _u8(row)
        ends[share] += 1
    for place in range(rows):
        offsets[np.int64(scratch[place] >> _u8(32)) + 1] += np.uint32(1)
    for value in range(1, offsets.shape[0]):
        offsets[value] += offsets[value - 1]
    if ids.shape[0] == 0:
        return
    # While its rows are placed, a value's offset moves on to its end, which is the next value's; all are moved back afterwards.
    for place in range(rows):
        value = np.int64(scratch[place] >> _u8(32))
        ids[offsets[value]] = np.uint32(scratch[place] & _u8(0xFFFFFFFF))
        offsets[value] += np.uint32(1)
    for value in range(offsets.shape[0] - 1, 0, -1):
        offsets[value] = offsets[value - 1]
    offsets[0] = 0


@_part
def _cheapest(prices: Any) -> Any:
    best = 0
    for chunk in range(1, prices.shape[0]):
        if prices[chunk] < prices[best]:
            best = chunk
    return best


@compiled(types.float64(_LAYOUT, types.int64, types.int64))
def forecast(widths: Any, rows: Any, radius: Any) -> Any:
    """What `search` would cost a query, in rows of a scan, if all values were equally frequent."""
    looks = np.ones(widths.shape[0])
    taken = np.zeros(widths.shape[0])
    prices = np.empty(widths.shape[0])
    for chunk in range(widths.shape[0]):
        prices[chunk] = STEP * (1.0 + rows / 2.0 ** widths[chunk])
    total = 0.0
    for _ in range(radius + 1):
        chunk = _cheapest(prices)
        total += prices[chunk]
        grown = (widths[chunk] - taken[chunk]) / (taken[chunk] + 1.0)
        looks[chunk] *= grown
        taken[chunk] += 1.0
        prices[chunk] = STEP * looks[chunk] * (1.0 + rows / 2.0 ** widths[chunk]) if grown > 0 else _NEVER
    return total


class Tables(NamedTuple):
    """Hashes with their tables. The rows stand in the order of the first chunk's values, so `ids` has no part for it."""

    codes: Any
    """(rows, 4)."""
    starts: Any
    """First bit of each chunk."""
    widths: Any
    """Bits of each chunk."""
    places: Any
    """Where each chunk's table begins in `offsets`."""
    offsets: Any
    ids: Any
    """Of all chunks but the first, `tabulate` each."""


class _Room(NamedTuple):
    """Of one search, used again for each step."""

    low: Any
    """Where the entries of a value begin, look by look."""
    high: Any
    """Where they end."""
    rows: Any
    """Candidates."""
    values: Any
    """Of the query, by chunk."""
    taken: Any
    """Steps already taken, by chunk: values that differ in fewer bits have been searched."""


_TABLES = types.NamedTuple((_ROWS, _LAYOUT, _LAYOUT, _LAYOUT, _OFFSETS, _OFFSETS), Tables)


@_part
def _look(tables: Any, chunk: Any, mask: Any, room: Any) -> Any:
    """Look up values that differ from the query's in the bits of `mask` and those that follow, as many as there is room for.

    Returns how many, and the next mask; 0 at the end. Minus one for the number if a table is damaged.
    """
    place, value = _u8(tables.places[chunk]), room.values[chunk]
    end = _u8(1) << _u8(tables.widths[chunk])
    size, wrong = 0, False
    while size < _BATCH:
        at = place + (value ^ mask)
        room.low[size], room.high[size] = tables.offsets[at], tables.offsets[at + _u8(1)]
        wrong |= (room.high[size] < room.low[size]) | (room.high[size] > tables.codes.shape[0])
        size += 1
        mask = _next_mask(mask) if mask else end
        if mask >= end:
            return DAMAGED if wrong else size, _u8(0)
    return DAMAGED if wrong else size, mask


@_part
def _gather(tables: Any, chunk: Any, room: Any, look: Any, entry: Any, size: Any) -> Any:
    """Collect candidates from entry `entry` of look `look` on, as many as there is room for.

    Returns how many, and the look and entry to go on with. Minus one for the number if a table is damaged.
    """
    rows = tables.codes.shape[0]
    held, greatest = 0, np.uint32(0)
    while look < size and held < _BATCH:
        stop = min(np.int64(room.high[look]), entry + _BATCH - held)
        for one in range(entry, stop):
            row = np.uint32(one) if chunk == 0 else tables.ids[(chunk - 1) * rows + one]
            room.rows[held] = row
            greatest = max(greatest, row)
            held += 1
        entry = stop
        if stop == room.high[look]:
            look += 1
            entry = np.int64(room.low[look]) if look < size else stop
    return DAMAGED if held and greatest >= rows else held, look, entry


@_part
def _verify(tables: Any, held: Any, room: Any, words: Any, radius: Any, found: Any, count: Any) -> Any:
    """Compare the candidates. Those within the radius that no earlier step has found go to `found` from `count` on.

    Returns the new count; only as many as `found` has rows are written.
    """
    a, b, c, d = words
    for one in range(held):
        row = _u8(room.rows[one])
        distance = _distance(tables.codes, row, a, b, c, d)
        if distance <= _u8(radius):
            known = False
            for chunk in range(room.values.shape[0]):
                apart = _ones(_value(tables.codes, row, tables.starts[chunk], tables.widths[chunk]) ^ room.values[chunk])
                known |= np.int64(apart) < room.taken[chunk]
            if not known:
                if count < found.shape[0]:
                    found[count, 0] = np.int64(row)
                    found[count, 1] = np.int64(distance)
                count += 1
    return count


@_part
def _step(tables: Any, chunk: Any, room: Any, words: Any, radius: Any, found: Any, count: Any) -> Any:
    """Search one chunk for values that differ in one more bit than before.

    Returns the new count, or minus one if a table is damaged; and how many candidates there were.
    """
    mask = (_u8(1) << _u8(room.taken[chunk])) - _u8(1)
    followed = 0
    while True:
        size, mask = _look(tables, chunk, mask, room)
        if size < 0:
            return DAMAGED, followed
        look, entry = 0, np.int64(room.low[0])
        while look < size:
            held, look, entry = _gather(tables, chunk, room, look, entry, size)
            if held < 0:
                return DAMAGED, followed
            followed += held
            count = _verify(tables, held, room, words, radius, found, count)
        if mask == 0:
            return count, followed


@_part
def _one(tables: Any, room: Any, words: Any, radius: Any, budget: Any, found: Any, count: Any) -> Any:
    """Search for one query. Returns the new count, or minus one if a table is damaged; and whether the budget sufficed."""
    rows, chunks = tables.codes.shape[0], tables.widths.shape[0]
    looks, prices = np.ones(chunks), np.empty(chunks)
    for chunk in range(chunks):
        place = tables.places[chunk] + np.int64(room.values[chunk])
        prices[chunk] = STEP * (1.0 + np.float64(tables.offsets[place + 1]) - np.float64(tables.offsets[place]))
        room.taken[chunk] = 0
    spent, before = 0.0, count
    for _ in range(radius + 1):
        chunk = _cheapest(prices)
        spent += prices[chunk]
        if spent > budget:
            return before, False
        count, followed = _step(tables, chunk, room, words, radius, found, count)
        if count < 0:
            return count, False
        # What the next step will meet is judged by this one, and by what is usual where this one was short.
        density = (followed + rows / 2.0 ** tables.widths[chunk]) / (looks[chunk] + 1.0)
        grown = (tables.widths[chunk] - room.taken[chunk]) / (room.taken[chunk] + 1.0)
        looks[chunk] *= grown
        room.taken[chunk] += 1
        prices[chunk] = STEP * looks[chunk] * (1.0 + density) if grown > 0 else _NEVER
    return count, True


@compiled(types.int64(_TABLES, _ROWS, types.int64, types.float64, types.int64[:, ::1], types.uint8[::1]))
def search(tables: Any, queries: Any, radius: Any, budget: Any, found: Any, unfinished: Any) -> Any:
    """Rows within the radius of each query, by the tables. `found` gets (row, distance, query), for each query each row once.

    A query that would cost more than `budget`, in rows of a scan, is left out and marked in `unfinished`. Returns how many were
    found; only as many as `found` has rows are written. Returns DAMAGED for a table that points outside.
    """
    chunks = tables.widths.shape[0]
    room = _Room(
        np.empty(_BATCH, np.uint32),
        np.empty(_BATCH, np.uint32),
        np.empty(_BATCH, np.uint32),
        np.empty(chunks, np.uint64),
        np.empty(chunks, np.int64),
    )
    count = 0
    for query in range(queries.shape[0]):
        words = (queries[query, 0], queries[query, 1], queries[query, 2], queries[query, 3])
        for chunk in range(chunks):
            room.values[chunk] = _value(queries, query, tables.starts[chunk], tables.widths[chunk])
        before = count
        count, done = _one(tables, room, words, radius, budget, found, count)
        if count < 0:
            return DAMAGED
        unfinished[query] = not done
        found[before:count, 2] = query
    return count
