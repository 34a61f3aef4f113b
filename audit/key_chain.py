"""From a key of a log that is trusted to those that followed it: each change of the key as a proof that stands alone.

A *handover* is the proof (`audit.proof`) of the `key_rotation` entry that names both keys, under a checkpoint of exactly the
entries up to it that both keys signed. So the old key vouches for the new one by name, the new one shows that it is there,
and the size at which one ends and the other begins is in the tree. A chain is a text of handovers, one after the other.

Whoever held the old key when it leaked can still sign trees of sizes up to the handover, and a handover of his own making to
those who were never shown this one: hand the chain on by the way that the key itself went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from audit.canonical import loads
from audit.checkpoint import Known, Tenure
from audit.events import KEY_ROTATION, LOG, event_from
from audit.proof import HEADER, Proof
from guard.errors import LedgerError, SignatureError
from guard.note import PublicKey

MAX_CHAIN = 1_000
"""Handovers that are read."""


def handovers(chain: str) -> tuple[str, ...]:
    """The proofs in a chain, oldest first. Raises SignatureError for a text that is none."""
    parts = [f"{HEADER}\n{part}" for part in chain.split(f"{HEADER}\n")]
    if parts.pop(0) != f"{HEADER}\n" or len(parts) > MAX_CHAIN:
        raise SignatureError("found no chain of keys, expected proofs one after another, as `genguard audit key chain` prints")
    return tuple(parts)


def follow(trusted: Iterable[Known], chain: str) -> tuple[Tenure, ...]:
    """The keys that are trusted once a chain was followed, each with the sizes that it signs.

    Handovers between keys that nobody trusts are passed over: they give nothing. Raises SignatureError for one of a trusted
    key that does not hold, and for two of one key.
    """
    known = {str(one.key): one for one in (item if isinstance(item, Tenure) else Tenure(item) for item in trusted)}
    for text in handovers(chain) if chain else ():
        proof = Proof.parse(text)
        before, after = named(proof)
        old, new = known.get(str(before)), known.get(str(after))
        if old is not None:
            size = _checked(proof, before, after)
            if old.last is not None and (old.last, new and new.first) != (size, size):
                raise SignatureError(f"found a second handover of the key {before.name}+{before.key_id.hex()}, expected one")
            known[str(before)] = replace(old, last=size)
            known[str(after)] = Tenure(after, size, new.last if new is not None else None)
        elif new is not None:
            known[str(after)] = replace(new, first=_checked(proof, after, after))
    return tuple(known.values())


def oldest(chain: str) -> Iterator[PublicKey]:
    """The key that a chain begins with."""
    for text in handovers(chain)[:1] if chain else ():
        yield named(Proof.parse(text))[0]


def named(proof: Proof) -> tuple[PublicKey, PublicKey]:
    """The keys before and after, as a handover's entry names them; nothing was verified yet. Raises SignatureError."""
    try:
        event = event_from(loads(proof.body))
    except (LedgerError, KeyError, TypeError, AttributeError):
        event = None
    if event is None or event.kind != KEY_ROTATION or event.fields.get("what") != LOG:
        raise SignatureError("found a proof of another entry in the chain, expected one of a change of the log's key")
    before, after = (PublicKey.parse(str(event.fields.get(name, ""))) for name in ("before", "after"))
    if before == after or before.name != after.name:
        raise SignatureError("found a handover between keys of different logs, or of one key to itself")
    return before, after


def _checked(proof: Proof, *both: PublicKey) -> int:
    """The size at which the key changes, once its proof holds and each of these keys signed it."""
    for key in both:
        head = proof.verify([key], origin=key.name)
    if head.size != proof.index + 1:
        raise SignatureError(f"found a handover at entry {proof.index} under {head.size} entries, expected it to be the last")
    return head.size
