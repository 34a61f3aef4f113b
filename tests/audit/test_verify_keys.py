"""Keys of the service against the log: what somebody who can write to the table does is told, and opens nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from audit import api_keys, verify
from audit.api_keys import ApiKey, all_keys, find_key, has_keys, make_key, revoke_key, rotate_key, split, touch
from audit.canonical import loads
from audit.events import API_KEY, Event, Value
from audit.key_record import COLUMNS, KeyRecord, KeyStep, secret_digest
from audit.ledger import SqlLedger, open_ledger
from audit.models import API_KEYS, SCHEMA
from audit.query import find_row, reading
from audit.stores import open_store
from guard.errors import RefusedError

OTHER = {
    "name": "other",
    "tenant": "",
    "roles": "admin",
    "salt": b"s" * 16,
    "digest": b"d" * 32,
    "cost": 3,
    "made": "2026-01-01T00:00:00.000000Z",
    "expires": "2099-01-01T00:00:00.000000Z",
    "revoked": None,
    "used": "yesterday",
}
"""What a thief puts into a row, by column."""


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least that scrypt takes."""
    monkeypatch.setattr(api_keys, "COST", 2)


@pytest.fixture
def ledger(url):
    with open_ledger(url) as opened:
        yield opened


class Keys:
    """A key that was replaced (`old`), its successor (`new`) and one that was withdrawn (`gone`)."""

    def __init__(self, ledger: SqlLedger) -> None:
        end = datetime.now(UTC) + timedelta(days=9)
        self.old = make_key(ledger, "desk", ["caller", "reviewer"], actor="root", tenant="acme", expires=end)
        self.new = rotate_key(ledger, "desk", actor="root", overlap=timedelta(hours=1))
        self.gone = make_key(ledger, "till", ["caller"], actor="root")
        self.revocation = ledger.size
        revoke_key(ledger, "till", actor="root")


def change(url: str, *statements: Any) -> None:
    with open_store(url).writer(5000).connect() as connection, connection.begin():
        for statement in statements:
            connection.execute(statement)


def row_of(url: str, key: ApiKey) -> dict[str, Any]:
    with open_store(url).writer(5000).connect() as connection:
        return dict(connection.execute(select(API_KEYS).where(API_KEYS.c.id == key.id)).mappings().one())


def told(url: str) -> list[tuple[str, int | None]]:
    return [(problem.what, problem.idx) for problem in verify.verify(url).problems]


def test_keys_are_as_the_entries_say(ledger, url):
    """However often they are used, which is in no entry, and said so."""
    keys = Keys(ledger)
    touch(url, keys.new.key.id, datetime.now(UTC))
    report = verify.verify(url)
    assert (report.problems, report.checked["api_keys"]) == ((), 3)
    assert any("last used" in one for one in report.unchecked)
    assert [find_key(url, one.key.id).state(datetime.now(UTC)) for one in (keys.old, keys.new, keys.gone)] == [
        "live",
        "live",
        "revoked",
    ]


def test_the_entry_of_a_key_has_no_secret(ledger, url):
    """Only a digest over what its row has."""
    made = make_key(ledger, "desk", ["caller"], actor="root")
    with reading(url) as connection:
        body = bytes(find_row(connection, made.entry)["body"])
    fields, key = loads(body)["fields"], made.key
    assert fields["digest"] == secret_digest(key.salt, key.digest, key.cost)
    assert not [one for one in (split(made.token)[1], key.salt.hex(), key.digest.hex()) if one.encode() in body]


def test_a_changed_cell_names_the_entry_and_opens_nothing(ledger, url):
    """Each column, of a key that is good; `expires` of the one that was replaced is told at that entry."""
    keys = Keys(ledger)
    for column in sorted({*COLUMNS} - {"id", "revoked"}):
        idx = keys.new.entry if column == "expires" else keys.old.entry
        for one, entry in ((keys.old, idx), (keys.new, keys.new.entry)):
            before = row_of(url, one.key)
            change(url, update(API_KEYS).where(API_KEYS.c.id == one.key.id).values({column: OTHER[column]}))
            assert told(url) == [("api_key", entry)], column
            assert find_key(url, one.key.id) is None, column
            change(url, update(API_KEYS).where(API_KEYS.c.id == one.key.id).values({column: before[column]}))
    assert told(url) == []


def test_bytes_that_move_between_salt_and_hash_are_noticed(ledger, url):
    """Together they would be the same."""
    made = make_key(ledger, "desk", ["caller"], actor="root")
    whole = made.key.salt + made.key.digest
    change(url, update(API_KEYS).values(salt=whole[:15], digest=whole[15:]))
    assert told(url) == [("api_key", made.entry)]


def test_a_key_that_is_good_again_is_named_by_its_revocation(ledger, url):
    """And stays refused; so is one whose revocation came at another time."""
    keys = Keys(ledger)
    for value in (None, OTHER["made"]):
        change(url, update(API_KEYS).where(API_KEYS.c.id == keys.gone.key.id).values(revoked=value))
        assert told(url) == [("api_key", keys.revocation)]
        assert find_key(url, keys.gone.key.id) is None
    change(url, update(API_KEYS).where(API_KEYS.c.id == keys.new.key.id).values(revoked=OTHER["made"]))
    assert set(told(url)) == {("api_key", keys.revocation), ("api_key", keys.new.entry)}


def test_a_key_that_was_slipped_in_is_told_and_opens_nothing(ledger, url):
    """Under an id of its own, or under that of a good key; nor can it be rotated into one that is on record."""
    keys = Keys(ledger)
    row = row_of(url, keys.new.key)
    change(url, insert(API_KEYS).values(row | {"id": "0" * 12, "roles": "admin"}))
    assert told(url) == [("api_key", None)]
    assert find_key(url, "0" * 12) is None
    with pytest.raises(RefusedError, match="not what its entries say"):
        rotate_key(ledger, "0" * 12, actor="root", overlap=timedelta(0))
    assert [one.id for one in revoke_key(ledger, "0" * 12, actor="root")] == ["0" * 12]
    assert told(url) == [("api_key", None)]
    change(url, delete(API_KEYS).where(API_KEYS.c.id == "0" * 12))
    assert told(url) == [], "a row that is gone needs no more than the entry that withdrew it"
    change(url, delete(API_KEYS).where(API_KEYS.c.id == keys.old.key.id), insert(API_KEYS).values(row | {"id": "1" * 12}))
    assert told(url) == [("api_key", keys.old.entry), ("api_key", None)]


def test_no_more_roles_come_by_way_of_a_rotation(ledger, url):
    """Neither from a changed row, nor by an entry that says so."""
    made = make_key(ledger, "desk", ["caller"], actor="root")
    change(url, update(API_KEYS).values(roles="admin"))
    with pytest.raises(RefusedError, match="not what its entries say"):
        rotate_key(ledger, "desk", actor="root", overlap=timedelta(0))
    change(url, update(API_KEYS).values(roles="caller"))
    digest = secret_digest(b"salt", b"hash", 2)
    fields: dict[str, Value] = {"step": "rotated", "key": "2" * 12, "name": "desk", "roles": ("admin",), "digest": digest}
    index = ledger.record_sync(Event(API_KEY, "eve", fields | {"replaces": made.key.id, "ends": OTHER["expires"]}))
    assert ("api_key", index) in told(url)


def test_rows_that_are_gone_are_told_and_lock_nobody_in(ledger, url):
    """A service on loopback does not take an emptied table for one that never had a key."""
    keys = Keys(ledger)
    change(url, delete(API_KEYS))
    assert told(url) == [("api_key", one.entry) for one in (keys.old, keys.new, keys.gone)]
    assert (has_keys(url), all_keys(url), find_key(url, keys.new.key.id)) == (True, (), None)


def test_a_table_that_is_gone_is_told_though_the_ledger_says_it_is_older(ledger, url):
    """The entries say that there were keys."""
    made = make_key(ledger, "desk", ["caller"], actor="root")
    ledger.close()
    with open_store(url).writer(5000).connect() as connection, connection.begin():
        connection.exec_driver_sql("DROP TABLE api_key")
        connection.execute(update(SCHEMA).values(version_num="0006"))
    assert told(url) == [("api_key", made.entry)]
    assert has_keys(url)


GOOD: dict[str, Any] = {"step": "made", "key": "a" * 12, "digest": "0" * 64, "name": "desk", "roles": "caller"}


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([{"step": "lent"}], "step 'lent'"),
        ([{"key": ""}], "key ''"),
        ([{"digest": ""}], "digest ''"),
        ([{}, {}], "which entry 0 made"),
        ([{"step": "rotated", "replaces": "b" * 12}], "'bbbbbbbbbbbb', which no entry before made"),
        ([{"step": "rotated", "replaces": "a" * 12}], "'aaaaaaaaaaaa', which no entry before made"),
        ([{}, {"step": "rotated", "key": "b" * 12, "replaces": "a" * 12, "tenant": "acme"}], "in the place of one of"),
        ([{"step": "revoked"}], ""),
        ([{}, {"step": "revoked"}, {"step": "revoked"}], ""),
    ],
)
def test_entries_that_do_not_follow_from_those_before_are_faults(steps: list[Mapping[str, str]], fault: str):
    """A key is made once, and replaced by one like it; that it was withdrawn twice says no more than once."""
    record = KeyRecord()
    faults = [record.follow(KeyStep(idx, time=str(idx), **(GOOD | dict(step)))) for idx, step in enumerate(steps)]
    assert faults[:-1] == [""] * (len(steps) - 1)
    assert fault in faults[-1] if fault else not faults[-1]
    if len(steps) == 3:
        assert record.keys["a" * 12].revoked == "1"


def test_several_processes_tell_the_same(monkeypatch, ledger, url):
    """Steps of keys travel between them."""
    keys = Keys(ledger)
    chance = random.Random(5)
    for number in range(chance.randrange(20, 30)):
        make_key(ledger, f"till-{number}", ["caller"], actor="root")
    change(url, update(API_KEYS).where(API_KEYS.c.id == keys.old.key.id).values(roles="admin"))
    one = verify.verify(url, jobs=1)
    monkeypatch.setattr(verify, "MANY", 1)
    monkeypatch.setattr(verify, "STRETCH", 8)
    two = verify.verify(url, jobs=2)
    assert (two.processes, two.problems, two.checked) == (2, one.problems, one.checked)
    assert [problem.idx for problem in one.problems] == [keys.old.entry]
