"""Signatures over revisions of policies: signed notes that say a policy's name, version and revision.

The revision is the digest of all that decides, so the signature of a file holds whatever its comments and tests become, and for
the document in the ledger as well. Packs are part of the software: whoever trusts that trusts them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from guard.errors import SettingsError, SignatureError
from guard.note import Note, PublicKey, SigningKey, signers
from guard.rules import Policy
from policies.load import load, packs

SUFFIX = ".sig"
"""Of the file beside a policy file that holds its signatures."""
_ADVICE = "Sign it: genguard policy sign FILE --key KEY; or trust the signer's key in GENGUARD_POLICY_KEYS."


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures policies need."""

    keys: tuple[PublicKey, ...] = ()
    """One of them has to have signed; none: policies need no signature."""
    known: frozenset[str] = frozenset()
    """Revisions whose signature was verified elsewhere, such as beside the file."""
    needed: int = 1
    """How many of them have to have signed: with 2, no one person can put a policy in force."""

    @classmethod
    def read(cls, paths: Iterable[str | Path], needed: int = 1) -> Trust:
        """Public keys from files, a line each; empty lines and those with # are left out.

        Raises SettingsError, also when there are fewer keys than signatures needed.
        """
        found = tuple(dict.fromkeys(key for path in paths for key in _keys(Path(path))))
        if len({key.key for key in found}) < needed and (found or needed > 1):
            raise SettingsError(f"found {len(found)} public keys of policies, expected at least the {needed} that have to sign")
        return cls(found, needed=needed)

    def check(self, policy: Policy, signatures: Iterable[str]) -> tuple[str, ...]:
        """Who signed a policy; nobody where no signature is needed. `signatures`: notes, one of which has to hold.

        Raises SignatureError for a policy that is not signed, or wrongly, where it needs to be.
        """
        if not self.keys or policy.revision in self.known or policy.revision in _bundled():
            return ()
        notes = tuple(signatures)
        error = SignatureError(
            f"policy {policy.id!r} version {policy.version}, revision {policy.revision[:16]}, is not signed by a trusted key",
            advice=_ADVICE,
        )
        for note in notes:
            try:
                return self._signers(read_note(note, policy))
            except SignatureError as wrong:
                told = f"policy {policy.id!r} version {policy.version}, revision {policy.revision[:16]}: {wrong}"
                error = SignatureError(told, advice=_ADVICE)
        raise error

    def _signers(self, note: Note) -> tuple[str, ...]:
        found = signers(note, self.keys)
        if len({key.key for key in found}) < self.needed:
            raise SignatureError(f"found {len(found)} signatures of trusted keys, expected {self.needed}")
        return tuple(key.name for key in found)

    def check_file(self, policy: Policy, file: str | Path) -> str:
        """The note beside a policy's file, checked; empty when there is none and none is needed. Raises SignatureError."""
        note = read_signature(file)
        self.check(policy, [note] if note else [])
        if note:
            read_note(note, policy)  # without keys, too: a signature of another revision helps nobody
        return note


def statement(policy: Policy) -> str:
    """The text that is signed."""
    return f"genguard policy\n{policy.id}\n{policy.version}\n{policy.revision}\n"


def sign(policy: Policy, key: SigningKey, before: str = "") -> str:
    """A note with the key's signature; those of `before` are kept where they are for the same revision."""
    text = statement(policy)
    others = Note.parse(before) if before else Note(text, ())
    return str(key.sign(text, others.signatures if others.text == text else ()))


def read_note(note: str, policy: Policy) -> Note:
    """A note that is about this revision. Raises SignatureError for any other."""
    found = Note.parse(note)
    if found.text != statement(policy):
        raise SignatureError("the signature is for another policy, version or revision", advice=_ADVICE)
    return found


def read_signature(file: str | Path) -> str:
    """The note beside a policy file; empty when there is none. Raises SignatureError for one that cannot be read."""
    path = Path(f"{file}{SUFFIX}")
    try:
        return path.read_bytes().decode() if path.is_file() else ""
    except (OSError, UnicodeError) as error:
        raise SignatureError(f"cannot read the signature {path}: {type(error).__name__}") from None


def _keys(path: Path) -> list[PublicKey]:
    advice = "GENGUARD_POLICY_KEYS names files with lines as `genguard policy keygen` writes them into NAME.pub."
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise SettingsError(f"cannot read the public keys {path}: {why}", advice=advice) from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(PublicKey.parse(line))
            except SignatureError as error:
                raise SettingsError(f"{path}:{number}: {error}", advice=advice) from None
    if not found:
        raise SettingsError(f"{path}: found no public key, expected at least one", advice=advice)
    return found


@cache
def _bundled() -> frozenset[str]:
    """Revisions of the packs of this very version."""
    return frozenset(load(name).revision for name in packs())
