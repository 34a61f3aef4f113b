"""guard.rules.choose: which of several policies judges."""

from __future__ import annotations

from itertools import permutations

import pytest

from guard.rules import Policy, choose
from tests.fakes import policy


def named(name: str, tenants: tuple[str, ...] = ("*",), generators: tuple[str, ...] = ("*",)) -> Policy:
    return policy([], id=name, tenants=tenants, generators=generators)


POLICIES = (
    named("all"),
    named("s", ("s*",)),
    named("shops", ("shop-*",)),
    named("north", ("shop-north",)),
    named("north-gan", ("shop-north",), ("gan*",)),
    named("gan", ("*",), ("gan",)),
    named("several", ("*", "bank-?", "bank-[0-9]*")),
)


@pytest.mark.parametrize(
    ("generator", "tenant", "expected"),
    [
        ("echo", "acme", "all"),
        ("echo", "smith", "s"),
        ("echo", "shop-south", "shops"),
        ("echo", "shop-north", "north"),
        ("gan-2", "shop-north", "north-gan"),
        ("gan", "shop-south", "shops"),  # the tenant counts first
        ("gan", "acme", "gan"),
        ("echo", "bank-7", "several"),  # the best of its patterns counts
        ("echo", "other", "all"),
    ],
)
def test_the_policy_judges_that_names_tenant_and_generator_most_precisely(generator: str, tenant: str, expected: str) -> None:
    """The tenant first, then the generator; the order given only between equals."""
    given = [one for one in POLICIES if one.id != "several" or tenant.startswith("bank")]
    for ordered in (given, given[::-1]):
        assert getattr(choose(ordered, generator, tenant), "id", "") == expected


def test_between_equals_the_order_given_decides() -> None:
    """Also where patterns differ and are equally long."""
    same = (named("a", ("shop-*",)), named("b", ("*-shop",)), named("c", ("shop?*",)))
    for ordered in permutations(same[:2]):
        assert choose(ordered, "echo", "shop-shop") is ordered[0]
    assert choose(same[::-1], "echo", "shop-shop") is same[1]


def test_where_no_policy_covers_none_judges() -> None:
    """Then nothing leaves."""
    assert choose((named("north", ("shop-north",)),), "echo", "acme") is None
    assert choose((), "echo", "acme") is None
