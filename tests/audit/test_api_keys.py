"""audit.api_keys: keys are made, replaced and withdrawn, each step on record, and no secret is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from audit import api_keys
from audit.api_keys import all_keys, find_key, has_keys, make_key, revoke_key, rotate_key, split, touch
from audit.ledger import open_ledger
from audit.query import query, show
from audit.stores import open_store
from audit.verify import verify
from guard.errors import InputError, RefusedError


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """The least that scrypt takes: what it costs is not looked at here."""
    monkeypatch.setattr(api_keys, "COST", 2)


@pytest.fixture
def ledger(url):
    with open_ledger(url) as opened:
        yield opened


def test_a_key_opens_with_its_secret_alone(ledger, url):
    """Of which the ledger keeps a salted hash."""
    made = make_key(ledger, "desk", ["caller", "reviewer"], actor="root", tenant="acme", reason="new desk")
    ident, secret = split(made.token)
    found = find_key(url, ident)
    assert (found.name, found.tenant, found.roles, found.used) == ("desk", "acme", ("caller", "reviewer"), None)
    assert found.opens(secret)
    assert not found.opens(secret[:-1] + ("A" if secret[-1] != "A" else "B"))
    other = make_key(ledger, "till", ["caller"], actor="root")
    assert not other.key.opens(secret)
    assert other.key.salt != found.salt
    assert find_key(url, "0" * 12) is None


def test_no_secret_is_anywhere_in_the_ledger_or_in_what_is_printed(ledger, url):
    """Not in rows, bodies or representations."""
    made = make_key(ledger, "desk", ["caller"], actor="root")
    secret = split(made.token)[1]
    assert secret not in repr(made) + repr(all_keys(url))
    store = open_store(url)
    if store.path is not None:
        files = [file for file in store.path.parent.iterdir() if file.name.startswith(store.path.name)]
        assert files
        assert not [file for file in files if secret.encode() in file.read_bytes()]


def test_each_step_is_an_entry(ledger, url):
    """With who, whose and which; the ledger stays sound."""
    made = make_key(ledger, "desk", ["caller"], actor="root", tenant="acme", expires=datetime.now(UTC) + timedelta(days=9))
    fresh = rotate_key(ledger, "desk", actor="root", overlap=timedelta(hours=1), reason="yearly")
    gone = revoke_key(ledger, fresh.key.id, actor="kim", reason="lost")
    assert [one.id for one in gone] == [fresh.key.id]
    rows = query(url, "kind:api_key").rows
    events = [show(url, row.idx).event for row in reversed(rows)]
    assert [(one.actor, one.fields["step"], one.fields["key"], one.tenant) for one in events] == [
        ("root", "made", made.key.id, "acme"),
        ("root", "rotated", fresh.key.id, "acme"),
        ("kim", "revoked", fresh.key.id, "acme"),
    ]
    assert (events[1].fields["replaces"], events[1].reason) == (made.key.id, "yearly")
    assert [row.idx for row in query(url, f"kind:api_key key:{made.key.id}").rows] == [made.entry]
    assert verify(url).ok


def test_a_replaced_key_is_good_for_the_overlap(ledger, url):
    """Then it is expired; the new one keeps roles, tenant and end."""
    end = datetime.now(UTC) + timedelta(days=9)
    made = make_key(ledger, "desk", ["caller"], actor="root", tenant="acme", expires=end)
    fresh = rotate_key(ledger, made.key.prefix, actor="root", overlap=timedelta(hours=1))
    assert (fresh.key.name, fresh.key.tenant, fresh.key.roles, fresh.key.expires) == ("desk", "acme", ("caller",), end)
    old = find_key(url, made.key.id)
    now = datetime.now(UTC)
    assert (old.state(now), old.state(now + timedelta(hours=2))) == ("live", "expired")
    assert fresh.token != made.token
    again = rotate_key(ledger, "desk", actor="root", overlap=timedelta(days=99))
    assert find_key(url, fresh.key.id).expires == end, "an overlap makes no key live longer"
    assert again.key.expires == end


def test_a_withdrawn_key_stays_so_and_frees_the_name(ledger, url):
    """A name takes all its live keys."""
    first = make_key(ledger, "desk", ["caller"], actor="root")
    second = rotate_key(ledger, "desk", actor="root", overlap=timedelta(hours=1))
    assert {one.id for one in revoke_key(ledger, "desk", actor="root")} == {first.key.id, second.key.id}
    assert {one.state(datetime.now(UTC)) for one in all_keys(url)} == {"revoked"}
    for step in (
        lambda: revoke_key(ledger, "desk", actor="root"),
        lambda: rotate_key(ledger, "desk", actor="root", overlap=timedelta(0)),
        lambda: rotate_key(ledger, first.key.id, actor="root", overlap=timedelta(0)),
    ):
        with pytest.raises(InputError, match="no live key"):
            step()
    make_key(ledger, "desk", ["caller"], actor="root")


def test_a_name_has_one_key_unless_it_is_rotated(ledger):
    """Two people under one name could pass for each other."""
    make_key(ledger, "desk", ["caller"], actor="root")
    with pytest.raises(RefusedError, match="'desk' is in use"):
        make_key(ledger, "desk", ["admin"], actor="root")


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "a@b", "a+b", "-a", "x" * 65, "名"])
def test_names_that_could_mislead_are_refused(ledger, name):
    """Also as a tenant's."""
    with pytest.raises(InputError, match="found the name"):
        make_key(ledger, name, ["caller"], actor="root")
    if name:
        with pytest.raises(InputError, match="found the name"):
            make_key(ledger, "desk", ["caller"], actor="root", tenant=name)


def test_an_end_that_is_over_is_refused(ledger):
    """A key that never was good helps nobody."""
    with pytest.raises(InputError, match="as the key's end"):
        make_key(ledger, "desk", ["caller"], actor="root", expires=datetime.now(UTC) - timedelta(seconds=1))


def test_use_is_noted_by_the_hour_and_never_backwards(ledger, url):
    """Nobody needs to know more closely."""
    made = make_key(ledger, "desk", ["caller"], actor="root")
    noon = datetime(2026, 11, 28, 12, 34, 56, tzinfo=UTC)
    touch(url, made.key.id, noon)
    touch(url, made.key.id, noon - timedelta(hours=3))
    assert find_key(url, made.key.id).used == datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_ledgers_without_keys_and_of_before_have_none(url):
    """And no ledger at all."""
    assert not has_keys(url)
    with open_ledger(url) as opened:
        assert not has_keys(url)
        with open_store(url).writer(5000).connect() as connection, connection.begin():
            connection.exec_driver_sql("DROP TABLE api_key")
        assert (has_keys(url), all_keys(url), find_key(url, "0" * 12)) == (False, (), None)
        del opened
    with open_store(url).writer(5000).connect() as connection, connection.begin():
        connection.exec_driver_sql("DROP TABLE schema_version")
    with open_ledger(url) as opened:
        make_key(opened, "desk", ["caller"], actor="root")
    assert has_keys(url)
    assert verify(url).ok


@pytest.mark.parametrize(
    "token", ["", "gg_", "gg_0123456789ab_short", "sk-0123", "gg_0123456789AB_" + "a" * 43, "gg_" + "0" * 12 + "_" + "é" * 43]
)
def test_what_is_no_key_is_told_by_its_form(token):
    """Before anything is looked up."""
    assert split(token) is None
