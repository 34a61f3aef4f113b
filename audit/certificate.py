"""A certificate of erasure: a signed note that says what was destroyed, and which entry of which ledger says the same.

    genguard/erasure@v1
    ledger <origin of its checkpoints>
    entry <index> <leaf hash, base64>
    subject <JSON string>
    tenant <JSON string, empty: of every tenant>
    time <RFC 3339, UTC>
    keys <n>
    payloads <n>
    fingerprints <n>
    overwritten <yes or no>

It is signed with the key that signs the ledger's checkpoints. The leaf ties it to the log: `audit prove` proves that entry.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from audit.body import time_string
from audit.checkpoint import Known, Tenure
from audit.erasure import Erased
from audit.events import ERASURE
from audit.query import show
from guard.errors import SignatureError
from guard.note import Note, SigningKey, signers

HEADER = "genguard/erasure@v1"
_NAMES = ("ledger", "entry", "subject", "tenant", "time", "keys", "payloads", "fingerprints", "overwritten")
_ENTRY = re.compile(r"(0|[1-9][0-9]{0,18}) ([A-Za-z0-9+/]{43}=)")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says."""

    origin: str
    index: int
    leaf: bytes
    subject: str
    tenant: str
    time: str
    keys: int
    payloads: int
    fingerprints: int
    overwritten: bool
    """Whether the bytes were overwritten in the files when it was signed."""

    @classmethod
    def of(cls, erased: Erased, origin: str) -> Certificate:
        """The certificate of an erasure."""
        event = erased.event
        return cls(
            origin,
            erased.index,
            erased.leaf,
            event.subject,
            event.tenant,
            time_string(event.time),
            erased.count("keys"),
            erased.count("payloads"),
            erased.count("fingerprints"),
            not erased.trouble,
        )

    @property
    def text(self) -> str:
        """The text that is signed."""
        values = (
            self.origin,
            f"{self.index} {base64.b64encode(self.leaf).decode()}",
            json.dumps(self.subject),
            json.dumps(self.tenant),
            self.time,
            *(str(count) for count in (self.keys, self.payloads, self.fingerprints)),
            "yes" if self.overwritten else "no",
        )
        return "\n".join([HEADER, *(f"{name} {value}" for name, value in zip(_NAMES, values, strict=True))]) + "\n"

    def signed(self, key: SigningKey) -> str:
        """The certificate as a signed note."""
        return str(key.sign(self.text))

    @classmethod
    def verified(cls, note: str, known: Iterable[Known]) -> Certificate:
        """Read one that a known key signed under its own ledger's name, at a size that it signs. Raises SignatureError."""
        tenures = [one if isinstance(one, Tenure) else Tenure(one) for one in known]
        read = Note.parse(note)
        keys = signers(read, [one.key for one in tenures])
        found = cls.parse(read.text)
        if found.origin not in {key.name for key in keys}:
            raise SignatureError(f"found a certificate of {found.origin[:200]!r} signed by another ledger's key")
        if not any(one.covers(found.index + 1) for one in tenures if one.key in keys):
            raise SignatureError(f"found a certificate of entry {found.index} by a key that was not the log's then")
        return found

    @classmethod
    def parse(cls, text: str) -> Certificate:
        """Read the text of a note. Raises SignatureError for what is no certificate."""
        found = _parsed(text)
        if found is None or found.text != text:
            raise SignatureError(f"found no certificate of erasure, expected {HEADER!r} and the lines of one")
        return found

    def differs(self, source: str) -> str:
        """How the ledger at this URL says otherwise; empty when it says the same. Raises QueryError without the entry."""
        shown = show(source, self.index)
        if shown.leaf != self.leaf or shown.event is None or shown.event.kind != ERASURE:
            return f"entry {self.index} is another one"
        told = Certificate.of(Erased(self.index, shown.event, shown.leaf, "" if self.overwritten else "no"), self.origin)
        return "" if told == self else f"entry {self.index} says otherwise"


def certify(erased: Erased, key: SigningKey) -> str:
    """The signed certificate of an erasure; `key` bears the name of its ledger (`audit.log_key`)."""
    return Certificate.of(erased, key.name).signed(key)


def _parsed(text: str) -> Certificate | None:
    header, *lines = text.removesuffix("\n").split("\n")
    values = dict(line.partition(" ")[::2] for line in lines)
    entry = _ENTRY.fullmatch(values.get("entry", ""))
    if header != HEADER or tuple(values) != _NAMES or entry is None:
        return None
    try:
        return Certificate(
            values["ledger"],
            int(entry[1]),
            base64.b64decode(entry[2]),
            str(json.loads(values["subject"])),
            str(json.loads(values["tenant"])),
            values["time"],
            int(values["keys"]),
            int(values["payloads"]),
            int(values["fingerprints"]),
            values["overwritten"] == "yes",
        )
    except (ValueError, RecursionError):  # the latter for lists in lists without end
        return None
