"""Which requests a new revision of a policy judges while it is tried on a part of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Canary:
    """A revision that judges a share of what its policy covers."""

    revision: str
    share: int
    """Per cent, 1 to 99."""
    by: str
    """Of what: `requests`, or `tenants`, so that one tenant meets one revision."""


def takes(policy: str, canary: Canary, request: str, tenant: str) -> bool:
    """Whether a canary judges a request: its id, or its tenant, falls into the share.

    The number from 0 to 99 that an id falls on: the first eight bytes of SHA-256(policy 00 revision 00 id), as a fraction of
    2**64, times 100. A bigger share of one canary holds all of the smaller one.
    """
    key = tenant if canary.by == "tenants" else request
    digest = hashlib.sha256(f"{policy}\0{canary.revision}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") * 100 >> 64 < canary.share
