"""What the log says of keys of the service: which there are, of whom, until when, and which were withdrawn, from entries alone.

Rows of `api_key` change, so no tree covers them. The entry of a key says all that must not: with it a row is compared here, by
the verifier, and before a key opens anything. `used` is in no entry: that a row tells when it was last used cannot be proven.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from msgspec import Struct

from audit.body import time_string
from audit.events import Event

MADE, ROTATED, REVOKED = "made", "rotated", "revoked"
"""What the field and term `step` says of a key."""
COLUMNS = ("id", "name", "tenant", "roles", "salt", "digest", "cost", "made", "expires", "revoked", "used")
"""Those of `api_key`."""
_HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d:00:00\.000000Z")
_DIGEST = re.compile("[0-9a-f]{64}")


class KeyStep(Struct, frozen=True, tag=True):
    """A key was made, took another's place, or was withdrawn; fields that the entry lacks are empty."""

    idx: int
    step: str
    key: str
    time: str
    name: str = ""
    tenant: str = ""
    roles: str = ""
    digest: str = ""
    """See `secret_digest`."""
    expires: str = ""
    replaces: str = ""
    """Id of the key before."""
    ends: str = ""
    """When that one ends."""


def step_of(idx: int, event: Event) -> KeyStep:
    """What an entry of kind `api_key` says."""
    fields = event.fields
    texts = {name: str(fields.get(name, "")) for name in ("step", "key", "name", "digest", "expires", "replaces", "ends")}
    roles = fields.get("roles", ())
    listed = ",".join(roles) if isinstance(roles, tuple) else ""
    return KeyStep(idx, time=time_string(event.time), tenant=event.tenant, roles=listed, **texts)


def secret_digest(salt: bytes, digest: bytes, cost: int) -> str:
    """SHA-256 over how a key's secret is compared, hexadecimal. Of a secret of 256 bits it tells no more than scrypt's hash."""
    return sha256(f"genguard/v1/api-key {cost} {salt.hex()} {digest.hex()}".encode()).hexdigest()


@dataclass(slots=True)
class Recorded:
    """A key as the entries say it is; of each value that may change, the entry that says so."""

    made: KeyStep
    expires: str
    ended: int
    revoked: str = ""
    withdrawn: int = -1

    def misfits(self, row: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
        """Where a row, whatever its cells hold, is not as recorded: the entry, what was found, what is expected."""
        made, idx = self.made, self.made.idx
        cells: dict[str, tuple[int, str | None]] = {
            "name": (idx, made.name),
            "tenant": (idx, made.tenant),
            "roles": (idx, made.roles),
            "made": (idx, made.time),
            "expires": (self.ended, self.expires or None),
            "revoked": (self.withdrawn if self.revoked else idx, self.revoked or None),
        }
        for column, (entry, value) in cells.items():
            if row[column] != value:
                yield entry, f"{column} {row[column]!r}", f"{value!r}, as the entry says"
        salt, digest, cost = row["salt"], row["digest"], row["cost"]
        typed = isinstance(salt, bytes) and isinstance(digest, bytes) and type(cost) is int
        if not typed or secret_digest(salt, digest, cost) != made.digest:
            yield idx, "another salt, hash or cost", "those that the entry has the digest of"
        used = row["used"]
        if used is not None and not (isinstance(used, str) and _HOUR.fullmatch(used)):
            yield idx, f"used {used!r}", "an hour, or none"


@dataclass(slots=True)
class KeyRecord:
    """Keys by their id, as the entries so far say."""

    keys: dict[str, Recorded] = field(default_factory=dict)

    def follow(self, step: KeyStep) -> str:
        """Go on with the next entry. Returns what it says that cannot be; empty when it can.

        That a key was withdrawn which no entry made is no fault: so ends a row that somebody slipped in.
        """
        known = self.keys.get(step.key)
        if step.step == REVOKED:
            if known is not None and not known.revoked:
                known.revoked, known.withdrawn = step.time, step.idx
            return ""
        if step.step not in {MADE, ROTATED} or not step.key or not _DIGEST.fullmatch(step.digest):
            return f"an entry of a key with step {step.step!r}, key {step.key!r} and digest {step.digest!r}"
        if known is not None:
            return f"key {step.key!r}, which entry {known.made.idx} made"
        self.keys[step.key] = Recorded(step, step.expires, step.idx)
        return self._replaced(step) if step.step == ROTATED else ""

    def _replaced(self, step: KeyStep) -> str:
        """A key in another's place has its name, tenant and roles."""
        before = self.keys.get(step.replaces)
        if before is None or before is self.keys[step.key]:
            return f"a key in the place of {step.replaces!r}, which no entry before made"
        before.expires, before.ended = step.ends, step.idx
        old, new = ((one.name, one.tenant, one.roles) for one in (before.made, step))
        return f"a key of {new} in the place of one of {old}" if old != new else ""
