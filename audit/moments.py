"""Between which times entries are, so that a question about times reads few of them.

Table `moment` has the earliest and the latest time of each full span of 4096 entries. The transaction that adds a span's last
entry adds its row; retention, which empties times, makes the rows of what it touched again. They follow from the entries, and
the verifier makes each again. Entries are in the order of their commits, their times only nearly so: a row says what is in its
span, whatever the order.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, func, insert, inspect, literal_column, not_, or_, select, update

from audit.conditions import Window, condition, ends, within
from audit.grammar import Filter
from audit.models import metadata
from audit.projected import SPAN

_ENTRY, _HEAD, _MOMENT = metadata.tables["entry"], metadata.tables["head"], metadata.tables["moment"]


def add_moments(connection: Connection, size: int, count: int) -> None:
    """Store those of the spans that `count` entries, already added behind the first `size`, fill."""
    for span in range(size // SPAN, (size + count) // SPAN):
        earliest, latest = _ends(connection, span)
        connection.execute(insert(_MOMENT), {"idx": span, "earliest": earliest, "latest": latest})


def renew_moments(connection: Connection, start: int, stop: int) -> None:
    """Make those of the spans again that have some of the entries `start` to `stop`."""
    for span in range(start // SPAN, (stop - 1) // SPAN + 1):
        earliest, latest = _ends(connection, span)
        connection.execute(update(_MOMENT).where(_MOMENT.c.idx == span).values(earliest=earliest, latest=latest))


def has_moments(connection: Connection) -> bool:
    """Whether the ledger keeps them; one of before does once it was opened for writing."""
    return inspect(connection).has_table(_MOMENT.name)


def windows(connection: Connection, wanted: Sequence[Filter], size: int) -> list[Window] | None:
    """Where the entries are that filters on times allow: stretches of indices, in order and apart; nothing else has to be read.

    `size`: entries in the ledger. Where there is no row, as behind the last full span, entries are never left out. None when no
    filter is about times, or the ledger of before keeps no rows.
    """
    asked = [_may(one) for one in _about_times(wanted)]
    if not asked or not has_moments(connection):
        return None
    found, place = [], 0
    for span in connection.execute(select(_MOMENT.c.idx).where(not_(and_(*asked))).order_by(_MOMENT.c.idx)).scalars():
        if span * SPAN > place:
            found.append((place, span * SPAN))
        place = (span + 1) * SPAN
    return [*found, (place, size)] if place < size else found


def hull(connection: Connection, wanted: Sequence[Filter]) -> Window:
    """From the first to the last entry that filters on times allow; all entries where they allow any or none is there."""
    size: int = connection.execute(select(_HEAD.c.size)).scalar_one()
    found = windows(connection, wanted, size)
    if found is None:
        return 0, size
    if found and found[-1][0] == size // SPAN * SPAN:  # behind the last full span: a look at each
        asked = [condition(one) for one in _about_times(wanted)]
        if connection.execute(select(_ENTRY.c.idx).where(within(found[-1]), *asked).limit(1)).first() is None:
            found.pop()
    return (found[0][0], found[-1][1]) if found else (0, 0)


def _about_times(wanted: Sequence[Filter]) -> list[Filter]:
    return [one for one in wanted if one.key in {"since", "until", "created"} and not one.excluded]


def _may(one: Filter) -> ColumnElement[bool]:
    """Whether a span may have an entry that a filter on times allows."""
    if one.key == "since":
        return _MOMENT.c.latest >= one.values[0]
    if one.key == "until":
        return _MOMENT.c.earliest < one.values[0]
    pairs = [ends("created", value) for value in one.values]
    return or_(*[and_(_MOMENT.c.latest >= low, *([_MOMENT.c.earliest < high] if high else [])) for low, high in pairs])


def _ends(connection: Connection, span: int) -> tuple[str, str]:
    """The earliest and the latest time of a span."""
    # As an expression: else PostgreSQL walks the index on times from its beginning until it meets an entry of the span.
    time = _ENTRY.c.time.concat(literal_column("''"))
    found = select(func.min(time), func.max(time)).where(within((span * SPAN, (span + 1) * SPAN)))
    earliest, latest = connection.execute(found).one()
    return earliest, latest
