"""Texts as columns hold them: what a database cannot store, or not index, is written in another way, on both alike.

PostgreSQL stores no NUL in a text, and indexes none of more than about 2700 bytes. The body holds the text as it was.
"""

from __future__ import annotations

from hashlib import sha256

MOST = 1000
"""Bytes of UTF-8, so that two of them fit into one row of an index."""
SAFE = MOST // 4
"""Characters that are never more bytes than that."""
_KEPT = 900


def findable(text: str) -> str:
    """The text with U+FFFD for each NUL; if long, its beginning and 128 bits of its SHA-256. Of what it gave, itself."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if len(text) <= SAFE:
        return text
    data = text.encode("utf-8", "replace")
    return text if len(data) <= MOST else data[:_KEPT].decode("utf-8", "ignore") + "…" + sha256(data).hexdigest()[:32]
