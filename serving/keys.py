"""`/v1/keys`: what `genguard key` does, for admins without a tenant: keys made, replaced and withdrawn, each by an entry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from audit.api_keys import ApiKey, NewKey, all_keys, make_key, revoke_key, rotate_key
from serving.identity.needs import needs
from serving.identity.roles import Permission, Role
from serving.wiring import Wired

router = APIRouter(prefix="/v1/keys", tags=["genguard"], dependencies=[needs(Permission.KEYS, whole=True)])
_SECRET = {"cache-control": "no-store"}
MAX_DAYS = 3650


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=2000)


class KeyBody(_Body):
    """Whom a key is for, and what they may do."""

    name: str = Field(max_length=64, description="Recorded as the actor of what is done with it.")
    roles: list[Role] = Field(min_length=1, max_length=10)
    tenant: str = Field("", max_length=64, description="Empty: all tenants, for staff.")
    days: int | None = Field(None, ge=1, le=MAX_DAYS, description="How long it is good; until it is revoked when left out.")


class RotateBody(_Body):
    """How long the old one is good besides."""

    overlap_hours: int = Field(24, ge=0, le=24 * 365)
    days: int | None = Field(None, ge=1, le=MAX_DAYS)


class RevokeBody(_Body):
    """Why it is withdrawn."""


@router.get("", response_model=None)
def list_keys(http: HttpRequest) -> dict[str, Any]:
    """Every key there ever was, the oldest first; no secrets. Those of the settings are not among them."""
    return {"keys": [key_fields(one) for one in all_keys(_wired(http).ledger_url)]}


@router.post("", response_model=None, status_code=201)
def make(body: KeyBody, http: HttpRequest) -> JSONResponse:
    """Make a key. `key` in the answer is the secret, told this once; 409 when a live key has the name."""
    roles = sorted({role.value for role in body.roles})
    made = make_key(
        _wired(http).ledger,
        body.name,
        roles,
        actor=_actor(http),
        tenant=body.tenant,
        expires=_end(body.days),
        reason=body.reason,
    )
    return JSONResponse(_new(made), 201, _SECRET)


@router.post("/{key}/rotate", response_model=None, status_code=201)
def rotate(key: str, body: RotateBody, http: HttpRequest) -> JSONResponse:
    """Make a key in the place of another, with its name, tenant and roles."""
    made = rotate_key(
        _wired(http).ledger,
        key[:64],
        actor=_actor(http),
        overlap=timedelta(hours=body.overlap_hours),
        expires=_end(body.days),
        reason=body.reason,
    )
    return JSONResponse(_new(made), 201, _SECRET)


@router.post("/{key}/revoke", response_model=None)
def revoke(key: str, body: RevokeBody, http: HttpRequest) -> dict[str, Any]:
    """Withdraw a key by its id, or all live ones of a name: running services refuse it within two seconds."""
    return {"revoked": [one.id for one in revoke_key(_wired(http).ledger, key[:64], actor=_actor(http), reason=body.reason)]}


def key_fields(key: ApiKey) -> dict[str, Any]:
    """A key as plain fields, without its secret. Times are RFC 3339 in UTC, to the minute."""
    moments = {name: getattr(key, name) for name in ("made", "expires", "revoked", "used")}
    return {
        "id": key.id,
        "prefix": key.prefix,
        "name": key.name,
        "tenant": key.tenant,
        "roles": list(key.roles),
        "state": key.state(datetime.now(UTC)),
        **{name: value.isoformat(timespec="minutes") if value is not None else None for name, value in moments.items()},
    }


def _new(made: NewKey) -> dict[str, Any]:
    return {**key_fields(made.key), "entry": made.entry, "key": made.token}


def _end(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)


def _wired(http: HttpRequest) -> Wired:
    wired: Wired = http.app.state.wired
    return wired


def _actor(http: HttpRequest) -> str:
    actor: str = http.state.request.actor
    return actor
