"""`genguard key`: keys are printed once, listed without secrets, replaced and withdrawn."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from audit import api_keys
from audit.api_keys import find_key, split
from guard.errors import InputError
from terminal.api_keys import moment, span

LEDGER = ("--ledger", "sqlite:///ledger.db")


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """The least that scrypt takes."""
    monkeypatch.setattr(api_keys, "COST", 2)
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)


def test_a_key_is_printed_once_and_opens(genguard):
    """On standard output, alone, so that a script can take it."""
    made = genguard("key", "create", "desk", "--role", "caller", "--role", "reviewer", "--tenant", "acme", *LEDGER)
    assert made.code == 0
    ident, secret = split(made.out.strip())
    found = find_key("sqlite:///ledger.db", ident)
    assert (found.name, found.tenant, found.roles, found.opens(secret)) == ("desk", "acme", ("caller", "reviewer"), True)
    for shown in (genguard("key", "list", *LEDGER), genguard("key", "list", "--json", *LEDGER)):
        assert (ident in shown.out, secret in shown.out + shown.err) == (True, False)


def test_a_key_is_replaced_and_withdrawn(genguard):
    """The list says how each stands."""
    first = json.loads(genguard("key", "create", "desk", "--role", "caller", "--expires", "90d", "--json", *LEDGER).out)
    second = json.loads(genguard("key", "rotate", "desk", "--overlap", "0m", "--json", *LEDGER).out)
    assert (first["state"], second["state"], second["entry"]) == ("live", "live", first["entry"] + 1)
    states = {one["id"]: one["state"] for one in json.loads(genguard("key", "list", "--json", *LEDGER).out)["keys"]}
    assert states == {first["id"]: "expired", second["id"]: "live"}
    assert json.loads(genguard("key", "revoke", "desk", "--json", *LEDGER).out) == {"revoked": [second["id"]]}
    again = genguard("key", "revoke", "desk", *LEDGER)
    assert (again.code, "no live key 'desk'" in again.err) == (64, True)
    assert genguard("audit", "verify", *LEDGER).code == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("desk", "--role", "king"), "king"),
        (("desk",), "--role"),
        (("two words", "--role", "caller"), "found the name"),
        (("desk", "--role", "caller", "--expires", "soon"), "found the time 'soon'"),
        (("desk", "--role", "caller", "--expires", "2020-01-01"), "as the key's end"),
    ],
)
def test_mistakes_make_no_key(genguard, given, told):
    """64, and what was expected."""
    ended = genguard("key", "create", *given, *LEDGER)
    assert (ended.code, ended.out, told in ended.err) == (64, "", True)


def test_without_keys_the_list_says_how_to_make_one(genguard):
    """In words."""
    genguard("key", "create", "desk", "--role", "caller", *LEDGER)
    assert genguard("key", "list", "--ledger", "sqlite:///none.db").code == 70


def test_times_are_read():
    """Lengths and days, in UTC unless a zone is given."""
    assert (span("90d"), span("12h"), span("30m")) == (timedelta(days=90), timedelta(hours=12), timedelta(minutes=30))
    assert moment("2027-06-30") == datetime(2027, 6, 30, tzinfo=UTC)
    assert abs(moment("1h") - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    for text in ("", "9", "d", "-1d", "1y", "999999d"):
        with pytest.raises(InputError, match="found the time"):
            span(text)
