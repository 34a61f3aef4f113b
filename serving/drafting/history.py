"""Which recorded decisions a draft is replayed over: for HTTP and for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from guard.errors import InputError
from guard.rules import Policy

if TYPE_CHECKING:
    from audit.grammar import Filter

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def wanted(ledger: str, draft: Policy | None, query: str, since: str = "", until: str = "") -> tuple[Filter, ...]:
    """Those of the draft's own name, unless the filters say of which policy or there are none.

    Raises InputError for filters that cannot be understood, LedgerError when the ledger cannot be read.
    """
    from audit.grammar import make_filter, parse
    from audit.history import judged_by

    found = list(parse(query))
    if since:
        found.append(make_filter("since", (moment(since, datetime.now(UTC)),)))
    if until:
        found.append(make_filter("until", (until,)))
    about = {"policy", "revision"} & {one.key for one in found}
    if draft is not None and not about and judged_by(ledger, draft.id):
        found.append(make_filter("policy", (draft.id,)))
    return tuple(found)


def moment(text: str, now: datetime) -> str:
    """A `--since` as the filter's value: `7d` is seven days before now. Anything but a span is left as it is."""
    span = _SPAN.fullmatch(text)
    if span is None:
        return text
    with suppress(OverflowError):
        return (now - timedelta(**{_UNITS[span[2]]: int(span[1])})).isoformat(timespec="seconds")
    raise InputError(f"found {text!r}, expected a time that the calendar has")


def filter_words(filters: Iterable[Filter]) -> list[str]:
    """Filters in their short form, one each."""
    return [("-" if one.excluded else "") + f"{one.key}:{','.join(one.values)}" for one in filters]
