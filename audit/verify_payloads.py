"""The verifier's part for payloads and keys: rows against the hashes in the bodies, and by opening them where possible."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, Protocol
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.body import commitments
from audit.gaps import Gaps
from audit.vault import SealError, Vault, open_payload, sealed_digest

_KEYS_KEPT = 1024


class Problems(Protocol):
    """Where problems go."""

    def __call__(self, idx: int | None, what: str, found: object, expected: object, decision: str = "") -> None:
        """Keep one."""


class Tally(Protocol):
    """Where counts go."""

    def __call__(self, what: str, number: int = 1) -> None:
        """Count."""


class PayloadChecker:
    """Checks payload rows chunk by chunk, then the subject keys. Holds one payload at a time."""

    def __init__(
        self, connection: sqlite3.Connection, vault: Vault | None, problem: Problems, tally: Tally, gaps: Gaps | None
    ) -> None:
        """`vault`: None when the master key is not there. `gaps`: what explains missing payloads; None: nothing does."""
        self._connection, self._vault, self._problem, self._tally = connection, vault, problem, tally
        self._gaps = gaps
        self._ciphers: OrderedDict[str, AESGCM | None] = OrderedDict()

    def chunk(self, start: int, stop: int, bodies: Mapping[int, Mapping[str, Any]], present: Collection[int]) -> None:
        """The payloads of entries `start` to `stop`. `bodies`: those that can be read; `present`: entries that are there."""
        expected: dict[tuple[int, str], Mapping[str, Any]] = {}
        for idx, body in bodies.items():
            for part, block in commitments(body).items():
                expected[idx, part] = block
        statement = (
            "SELECT idx, part, key, nonce, wrapped, ciphertext FROM payload WHERE idx >= ? AND idx < ? ORDER BY idx, part"
        )
        try:
            for idx, part, *row in self._connection.execute(statement, (start, stop)):
                if (idx, part) in expected and (by := self._gaps and self._gaps.erased(idx, bodies[idx])):
                    del expected[idx, part]
                    self._problem(
                        idx, "payload", f"a payload {part!r} of a subject that entry {by} erased", "none", _id(bodies[idx])
                    )
                elif (idx, part) in expected:
                    self._row(idx, part, row, expected.pop((idx, part)), bodies[idx])
                elif idx in bodies or idx not in present:
                    self._problem(idx, "payload", f"a payload row {part!r} that no entry names", "none", _id(bodies.get(idx)))
        except (sqlite3.Error, OverflowError) as error:
            self._problem(
                None, "payload", f"payloads of entries {start} to {stop - 1} cannot all be read ({error})", "readable rows"
            )
        for idx, part in expected:
            if self._gaps is not None and self._gaps.explain_payload(idx, bodies[idx]):
                continue
            self._problem(idx, "payload", f"no stored payload {part!r}", "the one that the body commits to", _id(bodies[idx]))

    def keys(self) -> None:
        """Subject keys: each opens and is in use, and each that is used is there."""
        used_by = "EXISTS (SELECT 1 FROM payload WHERE payload.key = subject_key.id)"
        found = self._connection.execute(f"SELECT id, tenant, subject, wrapped, {used_by} FROM subject_key")  # noqa: S608 - fixed text
        for key, tenant, subject, wrapped, used in found:
            self._tally("subject_keys")
            if not used:
                self._problem(None, "key", f"subject key {key!r} that no payload uses", "none")
            elif self._vault is not None:
                try:
                    self._vault.open_key(key, tenant, subject, wrapped)
                except (SealError, TypeError, ValueError):
                    self._problem(None, "key", f"subject key {key!r} that does not open", "one under the ledger's master key")

    def _row(self, idx: int, part: str, row: list[Any], block: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        key, nonce, wrapped, ciphertext = row
        named = _id(body)
        self._tally("payloads")
        if not isinstance(key, str) or not all(isinstance(value, bytes) for value in (nonce, wrapped, ciphertext)):
            self._problem(idx, "payload", f"a payload row {part!r} of other types", "bytes under a key id", named)
            return
        digest = sealed_digest(key, wrapped, nonce, ciphertext).hex()
        if digest != block["sealed"]:
            self._problem(
                idx, "payload", f"a stored payload {part!r} with digest {digest}", f"{block['sealed']}, as the body says", named
            )
            return
        stored = self._connection.execute("SELECT tenant, subject, wrapped FROM subject_key WHERE id = ?", (key,)).fetchone()
        if stored is None:
            self._problem(idx, "key", f"no subject key {key}", "the one that the payload is sealed under", named)
            return
        request = body["request"]
        if stored[:2] != (request["tenant"], request["subject"]):
            self._problem(
                idx, "key", f"subject key {key} of {stored[:2]!r}", f"{(request['tenant'], request['subject'])!r}", named
            )
            return
        cipher = self.cipher(key, *stored)
        if cipher is None:
            return
        try:
            data, commit = open_payload(cipher, UUID(body["id"]).bytes, part, wrapped, nonce, ciphertext)
        except SealError as error:
            self._problem(idx, "payload", f"a stored payload {part!r}: {error}", "one that opens", named)
            return
        self._tally("payloads_opened")
        if commit.hex() != block["commit"] or len(data) != block["bytes"]:
            self._problem(idx, "payload", f"a stored payload {part!r} with another commitment", "the body's", named)

    def released(self, idx: int, body: Mapping[str, Any]) -> bytes | None:
        """What an entry released; None when it is not stored any more or does not open."""
        part = body["released"]["part"]
        row = self._connection.execute(
            "SELECT p.wrapped, p.nonce, p.ciphertext, k.id, k.tenant, k.subject, k.wrapped FROM payload p "
            "JOIN subject_key k ON k.id = p.key WHERE p.idx = ? AND p.part = ?",
            (idx, part),
        ).fetchone()
        cipher = self.cipher(*row[3:]) if row else None
        if cipher is None:
            return None
        try:
            return open_payload(cipher, UUID(body["id"]).bytes, part, *row[:3])[0]
        except SealError:
            return None

    def cipher(self, key: str, tenant: str, subject: str, wrapped: bytes) -> AESGCM | None:
        """The subject key; None without a master key, and when it does not open (`keys` reports that, once)."""
        if self._vault is None:
            return None
        if key not in self._ciphers:
            try:
                self._ciphers[key] = self._vault.open_key(key, tenant, subject, wrapped)
            except (SealError, TypeError, ValueError):
                self._ciphers[key] = None
            if len(self._ciphers) > _KEYS_KEPT:
                self._ciphers.popitem(last=False)
        return self._ciphers[key]


def _id(body: Mapping[str, Any] | None) -> str:
    return "" if body is None else str(body.get("id", ""))
