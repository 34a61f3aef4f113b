"""Keys of the ledger and roles in a running service: who gets in, with what right, and how soon no longer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from audit import api_keys
from audit.api_keys import find_key, make_key, revoke_key, rotate_key
from audit.ledger import open_ledger
from guard.errors import LedgerError, SettingsError
from service import create_app
from serving.identity import stored
from serving.identity.needs import Access, needs
from serving.identity.principals import settled_key
from serving.identity.roles import GRANTS, Permission, Role, permissions_of, sees_of
from serving.identity.stored import FRESH_S, StoredKeys
from tests.service.plain import KEY, bearer, plain


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A service that needs no model, and keys that cost little."""
    monkeypatch.setattr(api_keys, "COST", 2)
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    return plain(tmp_path)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds - 100.0)


class Counted:
    """Keys with a clock of ours, and how often scrypt ran and the ledger was asked."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time, self.tries, self.looks = Time(), 0, 0
        self.keys = StoredKeys(url, clock=self.time, now=self.time.now)
        whole = api_keys.ApiKey.opens

        def opens(key: Any, secret: str) -> bool:
            self.tries += 1
            return whole(key, secret)

        def look(url: str, ident: str) -> Any:
            self.looks += 1
            return find_key(url, ident)

        monkeypatch.setattr(api_keys.ApiKey, "opens", opens)
        monkeypatch.setattr(stored, "find_key", look)

    def name(self, token: str) -> str | None:
        found = asyncio.run(self.keys.principal(token))
        return found.name if found else None


def test_a_revoked_key_is_refused_within_two_seconds(settings, monkeypatch):
    """Until then it is remembered; scrypt ran once."""
    with open_ledger(settings.ledger) as ledger:
        made = make_key(ledger, "desk", ["caller"], actor="root")
        here = Counted(settings.ledger, monkeypatch)
        assert [here.name(made.token) for _ in range(5)] == ["desk"] * 5
        assert (here.tries, here.looks) == (1, 1)
        here.time.seconds += FRESH_S
        assert here.name(made.token) == "desk"
        assert (here.tries, here.looks) == (1, 2)
        revoke_key(ledger, "desk", actor="root")
        here.time.seconds += FRESH_S - 0.01
        assert here.name(made.token) == "desk"
        here.time.seconds += 0.02
        assert here.name(made.token) is None
        assert here.tries == 1


def test_a_key_ends_at_its_very_moment(settings, monkeypatch):
    """Also one that is remembered; and a replaced one after the overlap."""
    with open_ledger(settings.ledger) as ledger:
        made = make_key(ledger, "desk", ["caller"], actor="root")
        here = Counted(settings.ledger, monkeypatch)
        fresh = rotate_key(ledger, "desk", actor="root", overlap=timedelta(seconds=1))
        assert (here.name(made.token), here.name(fresh.token)) == ("desk", "desk")
        here.time.seconds += 1.1
        assert (here.name(made.token), here.name(fresh.token)) == (None, "desk")
        assert here.looks == 2, "the end was known"


def test_wrong_secrets_are_never_remembered_as_right(settings, monkeypatch):
    """With the id of a good key, with that of none, cut short, longer."""
    with open_ledger(settings.ledger) as ledger:
        made = make_key(ledger, "desk", ["caller"], actor="root")
        other = make_key(ledger, "till", ["caller"], actor="root")
    here = Counted(settings.ledger, monkeypatch)
    assert here.name(made.token) == "desk"
    mixed = made.key.prefix + other.token.removeprefix(other.key.prefix)
    for token in (mixed, mixed, made.token[:-1], made.token + "A", made.token.upper(), "gg_" + "0" * 12 + "_" + "a" * 43, ""):
        assert here.name(token) is None
    assert here.name(made.token) == "desk"
    assert made.token not in repr(here.keys._known)


def test_memory_of_keys_is_bounded(settings, monkeypatch):
    """The one used longest ago goes first."""
    monkeypatch.setattr(stored, "REMEMBERED", 2)
    with open_ledger(settings.ledger) as ledger:
        tokens = [make_key(ledger, f"desk-{number}", ["caller"], actor="root").token for number in range(3)]
    here = Counted(settings.ledger, monkeypatch)
    assert [here.name(one) for one in tokens] == ["desk-0", "desk-1", "desk-2"]
    assert len(here.keys._known) == 2


def test_a_key_that_cannot_be_looked_up_lets_nobody_in(settings, monkeypatch):
    """503, for it may well be a good one."""
    with open_ledger(settings.ledger) as ledger:
        made = make_key(ledger, "desk", ["caller"], actor="root")
    with TestClient(create_app(settings)) as client:

        def fail(*_: Any) -> None:
            raise LedgerError("the database is away")

        monkeypatch.setattr(stored, "find_key", fail)
        answer = client.get("/v1/models", headers=bearer(made.token))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")


def test_a_use_that_cannot_be_noted_is_no_reason_to_refuse(settings, monkeypatch):
    """A ledger that is full for a while must not lock everybody out of reading it."""
    with open_ledger(settings.ledger) as ledger:
        made = make_key(ledger, "desk", ["caller"], actor="root")
    here = Counted(settings.ledger, monkeypatch)

    def fail(*_: Any) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(stored, "touch", fail)
    assert here.name(made.token) == "desk"


def test_the_first_key_locks_a_service_on_loopback(settings):
    """Before, whoever is on the machine is its admin; afterwards nobody is without a key, not even when all are revoked."""
    with TestClient(create_app(settings)) as client:
        assert client.get("/v1/policies").status_code == 200
        assert client.get("/v1/policies", headers=bearer("unused")).status_code == 200
        ledger = client.app.state.wired.ledger
        made = make_key(ledger, "root", ["admin"], actor="root")
        client.app.state.callers.stored._looked = -100.0
        assert client.get("/v1/policies").status_code == 401
        assert client.get("/v1/policies", headers=bearer(made.token)).status_code == 200
        assert client.get("/healthz").status_code == 200
        revoke_key(ledger, "root", actor="root")
        client.app.state.callers.stored._known.clear()
        assert client.get("/v1/policies", headers=bearer(made.token)).status_code == 401
        assert client.get("/v1/policies").status_code == 401
    with TestClient(create_app(settings)) as client:
        assert client.get("/v1/policies").status_code == 401


def test_a_service_beyond_loopback_starts_with_keys_of_the_ledger(settings):
    """And without any only there."""
    outside = settings.model_copy(update={"host": "0.0.0.0"})
    with pytest.raises(SettingsError, match="no API keys") as caught:
        create_app(outside)
    assert "genguard key create" in caught.value.diagnostics()
    with open_ledger(settings.ledger) as ledger:
        made = make_key(ledger, "desk", ["caller"], actor="root", tenant="acme")
    with TestClient(create_app(outside)) as client:
        answer = client.post("/v1/check", json={"text": "Hi"}, headers=bearer(made.token))
        entry = client.get(f"/v1/decisions/{answer.headers['x-genguard-decision']}", headers=bearer(made.token)).json()["entry"]
    assert (entry["request"]["actor"], entry["request"]["tenant"]) == ("desk", "acme")
    assert find_key(settings.ledger, made.key.id).used is not None


def test_who_may_not_is_told_before_the_body_is_read(settings):
    """And nothing is recorded, however broken it is."""
    keys = f"eve+auditor:{KEY}"
    with TestClient(create_app(settings.model_copy(update={"api_keys": type(settings.api_keys)(keys)}))) as client:
        size = client.app.state.wired.ledger.size
        for body in (b"{", b" " * 9_000_000):
            answer = client.post("/v1/check", content=body, headers=bearer(KEY) | {"content-type": "application/json"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
            assert "auditor" in answer.json()["error"]["message"]
        assert client.app.state.wired.ledger.size == size


def test_a_route_without_a_declaration_keeps_the_service_from_starting(settings, monkeypatch):
    """Whoever adds one has to say who may call it; one of an included router counts, too."""
    app = create_app(settings)
    Access.of(app, {"/openapi.json": needs().dependency})

    @app.get("/v1/forgotten")
    async def forgotten() -> None: ...

    with pytest.raises(SettingsError, match=r"do not say who may call them: GET /v1/forgotten"):
        Access.of(app, {"/openapi.json": needs().dependency})
    from serving import own

    monkeypatch.setattr(own.router, "routes", [*own.router.routes])
    own.router.add_api_route("/also", forgotten, methods=["POST"])
    with pytest.raises(SettingsError, match="POST /v1/also"):
        create_app(settings)


def test_the_local_admin_is_for_no_name_of_the_network(settings):
    """A web page that lets its own name lead to this machine gets nothing."""
    with TestClient(create_app(settings)) as client:
        for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "testserver"):
            assert client.get("/v1/policies", headers={"host": host}).status_code == 200
        for host in ("evil.example", "evil.example:8000", "192.0.2.7", "127.0.0.1.evil.example", "[::1", "a]b"):
            assert client.get("/v1/policies", headers={"host": host}).status_code == 401
        for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
            assert client.get("/v1/policies", headers={"origin": origin}).status_code == 401
        assert client.get("/v1/policies", headers={"origin": "http://127.0.0.1:8000"}).status_code == 200


@pytest.mark.parametrize(
    ("entry", "name", "tenant", "roles", "sees"),
    [
        (f"desk:{KEY}", "desk", "", {"caller"}, "default"),
        (f"desk@acme:{KEY}", "desk", "acme", {"caller"}, "acme"),
        (f"kim+officer:{KEY}", "kim", "", {"officer"}, ""),
        (f"kim@acme+officer+author:{KEY}", "kim", "acme", {"officer", "author"}, "acme"),
        (f"ann@acme:{KEY}", "ann", "acme", {"caller", "reviewer"}, "acme"),
    ],
)
def test_keys_of_the_settings_say_who_and_what(entry, name, tenant, roles, sees):
    """Roles after the name and tenant; reviewers by a list of names, too."""
    found = settled_key(entry, 1, reviewers=("ann",), revealers=("ann",)).principal
    assert (found.name, found.tenant, found.roles, found.sees) == (name, tenant, roles, sees)
    assert found.may(Permission.REVEAL) is (name in {"ann", "kim"})


def test_a_role_that_is_none_is_refused():
    """With those that are."""
    with pytest.raises(SettingsError, match="API key 3: found the role 'king', expected some of caller, author") as caught:
        settled_key(f"desk+king:{KEY}", 3, reviewers=(), revealers=())
    assert KEY not in caught.value.diagnostics()


def test_roles_are_what_they_say():
    """What must hold of the table, whatever else is changed in it."""
    assert set(GRANTS) == set(Role)
    assert set().union(*GRANTS.values()) == set(Permission)
    writes = {
        Permission.GENERATE,
        Permission.COLLECT,
        Permission.OBJECT,
        Permission.SEARCHES,
        Permission.REVIEW,
        Permission.BANKS_WRITE,
        Permission.KEYS,
    }
    writes |= {
        Permission.POLICIES_WRITE,
        Permission.POLICIES_APPROVE,
        Permission.FORGET,
        Permission.BREAK_GLASS,
        Permission.REVEAL,
    }
    assert not GRANTS[Role.AUDITOR] & writes
    assert Permission.REVEAL not in GRANTS[Role.ADMIN]
    for permission in (Permission.KEYS, Permission.BREAK_GLASS):
        assert [role for role in Role if permission in GRANTS[role]] == [Role.ADMIN]
    assert [role for role in Role if Permission.POLICIES_WRITE in GRANTS[role]] == [Role.AUTHOR, Role.ADMIN]
    assert permissions_of(frozenset({Role.AUDITOR, Role.APPROVER})) == GRANTS[Role.AUDITOR] | GRANTS[Role.APPROVER]
    assert permissions_of(frozenset()) == frozenset()
    assert (sees_of("", {Role.CALLER}), sees_of("", {Role.CALLER, Role.AUDITOR}), sees_of("acme", {Role.ADMIN})) == (
        "default",
        "",
        "acme",
    )
