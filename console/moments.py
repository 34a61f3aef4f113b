"""Times on pages: UTC from here, which a script turns into the viewer's zone, with UTC on hover."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup


def moment(value: str | datetime, shape: str = "minute") -> Markup:
    """A time as an element. `shape`: `day`, `minute` or `second`, or `ago` for how long it has been.

    Raises ValueError for a text that is no ISO 8601 time.
    """
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    at = (at.replace(tzinfo=UTC) if at.tzinfo is None else at).astimezone(UTC)
    exact = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    shown = f"{at:%Y-%m-%d}" if shape == "day" else exact
    return Markup('<time datetime="{}" data-shape="{}" title="{}">{}</time>').format(at.isoformat(), shape, exact, shown)
