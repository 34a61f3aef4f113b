"""The verifier's part for payloads and keys: rows against the hashes in the bodies, and by opening them where possible."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from audit.body import commitments
from audit.findable import findable
from audit.gaps import Gaps
from audit.vault import SealError, Vault, open_payload, sealed_digest, try_payload
from audit.verifier.report import Problems, Tally
from audit.verifier.source import Row, Source, SourceError

_KEYS_KEPT = 20_000
_READ = "SELECT idx, part, key, nonce, wrapped, ciphertext FROM payload WHERE idx >= ? AND idx < ? ORDER BY idx, part"
_OWNER = "SELECT tenant, subject, wrapped FROM subject_key WHERE id = ?"
_NO_OWNER: tuple[None, None, None] = (None, None, None)


class Expected(Struct, frozen=True, gc=False):
    """What a body says of one stored payload."""

    sealed: str
    commit: str
    size: int
    """Bytes."""
    tenant: str
    subject: str
    decision: str


class Released(Struct, frozen=True, gc=False):
    """An image that an entry released."""

    decision: str
    tenant: str
    subject: str
    part: str


def owner_of(says: Expected | Released) -> tuple[str, str]:
    """Tenant and subject, as columns have them."""
    return findable(says.tenant), findable(says.subject)


class Bodies:
    """What the bodies of a chunk of entries say of what lies apart from them."""

    __slots__ = ("images", "named", "payloads")

    def __init__(self) -> None:
        """Nothing yet."""
        self.named: dict[int, str] = {}
        """Entries whose bodies can be read, with their decision's id."""
        self.payloads: dict[tuple[int, str], Expected] = {}
        self.images: dict[int, Released] = {}

    def add(self, idx: int, body: Mapping[str, Any]) -> None:
        """An entry's body."""
        named = str(body.get("id", ""))
        self.named[idx] = named
        for part, block in commitments(body).items():
            tenant, subject = str(body["request"]["tenant"]), str(body["request"]["subject"])
            says = Expected(block["sealed"], block["commit"], block["bytes"], tenant, subject, str(UUID(named)))
            self.payloads[idx, part] = says
        if "released" in body and body["context"]["modality"] == "image":
            request = body["request"]
            self.images[idx] = Released(named, str(request["tenant"]), str(request["subject"]), body["released"]["part"])


class PayloadChecker:
    """Checks payload rows chunk by chunk, then the subject keys. Holds one payload at a time."""

    def __init__(self, source: Source, vault: Vault | None, gaps: Gaps | None) -> None:
        """`vault`: None when the master key is not there. `gaps`: what explains missing payloads; None: nothing does."""
        self._source, self._vault, self._gaps = source, vault, gaps
        self._named, self._bytes = "", b""
        self._owners: OrderedDict[str, tuple[str | None, str | None, AESGCM | None]] = OrderedDict()

    def chunk(self, start: int, stop: int, bodies: Bodies, present: Collection[int], problem: Problems, tally: Tally) -> None:
        """The payloads of entries `start` to `stop`. `present`: entries that are there."""
        expected, seen, opened, gaps = bodies.payloads, 0, 0, self._gaps
        erasures = gaps is not None and gaps.erases
        try:
            for row in self._source.each(_READ, (start, stop)):
                says = expected.pop(row[:2], None)
                if says is None:
                    idx, part = row[:2]
                    if idx in bodies.named or idx not in present:
                        problem(
                            idx, "payload", f"a payload row {part!r} that no entry names", "none", bodies.named.get(idx, "")
                        )
                    continue
                if erasures and gaps is not None and (by := gaps.erased(row[0], says.tenant, says.subject)):
                    idx, part = row[:2]
                    found = f"a payload {part!r} of a subject that entry {by} erased"
                    problem(idx, "payload", found, "none", says.decision)
                    continue
                seen += 1
                opened += self._row(row, says, problem)
        except SourceError as error:
            found = f"payloads of entries {start} to {stop - 1} cannot all be read ({error})"
            problem(None, "payload", found, "readable rows")
        if seen:
            tally("payloads", seen)
        if opened:
            tally("payloads_opened", opened)
        for (idx, part), says in expected.items():
            if gaps is None or not gaps.explain_payload(idx, says.tenant, says.subject):
                problem(idx, "payload", f"no stored payload {part!r}", "the one that the body commits to", says.decision)

    def keys(self, problem: Problems, tally: Tally) -> None:
        """Subject keys: each opens and is in use, and each that is used is there."""
        used_by = "EXISTS (SELECT 1 FROM payload WHERE payload.key = subject_key.id)"
        found = self._source.rows(f"SELECT id, tenant, subject, wrapped, {used_by} FROM subject_key")  # noqa: S608 - fixed text
        for key, tenant, subject, wrapped, used in found:
            tally("subject_keys")
            if not used:
                problem(None, "key", f"subject key {key!r} that no payload uses", "none")
            elif self._vault is not None:
                try:
                    self._vault.open_key(key, tenant, subject, wrapped)
                except (SealError, TypeError, ValueError):
                    problem(None, "key", f"subject key {key!r} that does not open", "one under the ledger's master key")

    def _row(self, row: Row, says: Expected, problem: Problems) -> bool:
        """One row; whether it was opened."""
        idx, part, key, nonce, wrapped, ciphertext = row
        named = says.decision
        if type(key) is not str or not type(nonce) is type(wrapped) is type(ciphertext) is bytes:
            problem(idx, "payload", f"a payload row {part!r} of other types", "bytes under a key id", named)
            return False
        digest = sealed_digest(key, wrapped, nonce, ciphertext).hex()
        if digest != says.sealed:
            found = f"a stored payload {part!r} with digest {digest}"
            problem(idx, "payload", found, f"{says.sealed}, as the body says", named)
            return False
        tenant, subject, cipher = self._owners.get(key) or self.owner(key)
        if (tenant != says.tenant or subject != says.subject) and (tenant, subject) != owner_of(says):
            if tenant is None:
                problem(idx, "key", f"no subject key {key}", "the one that the payload is sealed under", named)
            else:
                problem(idx, "key", f"subject key {key} of {(tenant, subject)!r}", f"{owner_of(says)!r}", named)
            return False
        if cipher is None:
            return False
        try:
            size, commit = try_payload(cipher, self._id(named), part, wrapped, nonce, ciphertext)
        except SealError as error:
            problem(idx, "payload", f"a stored payload {part!r}: {error}", "one that opens", named)
            return False
        if commit.hex() != says.commit or size != says.size:
            problem(idx, "payload", f"a stored payload {part!r} with another commitment", "the body's", named)
        return True

    def _id(self, named: str) -> bytes:
        """The bytes of a decision's id: payloads of one entry come together."""
        if named != self._named:
            self._named, self._bytes = named, bytes.fromhex(named.replace("-", ""))
        return self._bytes

    def released(self, idx: int, image: Released) -> bytes | None:
        """What an entry released; None when it is not stored any more or does not open."""
        found = self._source.rows(
            "SELECT wrapped, nonce, ciphertext, key FROM payload WHERE idx = ? AND part = ?", (idx, image.part)
        )
        cipher = self.owner(found[0][3])[2] if found else None
        if cipher is None:
            return None
        try:
            return open_payload(cipher, UUID(image.decision).bytes, image.part, *found[0][:3])[0]
        except SealError:
            return None

    def owner(self, key: str) -> tuple[str | None, str | None, AESGCM | None]:
        """Tenant, subject and cipher of a subject key; no tenant when it is gone.

        No cipher without a master key, and when it does not open (`keys` reports that, once).
        """
        found = self._owners.get(key)
        if found is None:
            found = self._owners[key] = self._look_up(key)
            if len(self._owners) > _KEYS_KEPT:
                self._owners.popitem(last=False)
        return found

    def _look_up(self, key: str) -> tuple[str | None, str | None, AESGCM | None]:
        rows = self._source.rows(_OWNER, (key,))
        if not rows:
            return _NO_OWNER
        tenant, subject, wrapped = rows[0]
        cipher = None
        if self._vault is not None:
            try:
                cipher = self._vault.open_key(key, tenant, subject, wrapped)
            except (SealError, TypeError, ValueError):
                cipher = None
        return tenant, subject, cipher
