"""Which role may call which route: the table that docs/access.md holds, made from what the routes declare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from serving.identity.needs import Access, Declared
from serving.identity.principals import Principal
from serving.identity.roles import Role

BEGIN, END = "<!-- begin: genguard config access-table -->", "<!-- end -->"
YES, WHOLE, NO, MAYBE = "yes", "whole", "–", "setting"
"""A cell: whoever has the role; only keys without a tenant; nobody; where the operator opens it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One route."""

    method: str
    path: str
    stranger: str
    """Whether it answers without a key."""
    cells: dict[Role, str]


def access_rows(access: Access) -> tuple[Row, ...]:
    """All routes, by path."""
    found = [_row(one, method) for one in access.routes for method in sorted(one.methods - {"HEAD"}) or ["any"]]
    return tuple(sorted(found, key=lambda row: (row.path, row.method)))


def _row(route: Declared, method: str) -> Row:
    stranger = YES if route.open else MAYBE if route.strangers else NO
    return Row(method, route.path, stranger, {role: _cell(route, role) for role in Role})


def _cell(route: Declared, role: Role) -> str:
    roles = frozenset({role})
    if route.lack(Principal("any", roles, "some")) == "":
        return YES
    whole = Principal("any", roles)
    return WHOLE if not whole.sees and route.lack(whole) == "" else NO


def access_table(access: Access) -> str:
    """The table in Markdown, between its marks."""
    return "\n".join(_lines(access)) + "\n"


def _lines(access: Access) -> Iterator[str]:
    yield BEGIN
    yield f"| route | no key | {' | '.join(Role)} |"
    yield f"|---|---|{'---|' * len(Role)}"
    for row in access_rows(access):
        yield f"| `{row.method} {row.path}` | {row.stranger} | {' | '.join(row.cells.values())} |"
    yield END
