"""How events around decisions are shown: reviews, appeals, reveals, exports, erasures."""

from __future__ import annotations

from audit.events import KINDS, Event


def event_facts(event: Event) -> list[tuple[str, str]]:
    """An event as lines of a name and a value."""
    facts = {
        "what": KINDS[event.kind].title,
        "by": event.actor,
        "about": event.about,
        "tenant": event.tenant,
        "subject": event.subject,
        "reason": event.reason,
    }
    for name, value in event.fields.items():
        facts[name.replace("_", " ")] = ", ".join(value) if isinstance(value, tuple) else str(value)
    return [(name, fact) for name, fact in facts.items() if fact]
