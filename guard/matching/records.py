"""A work as a record: the line of a bank's file, the object that is hashed, and what is refused in both.

A bank's file is JSON Lines. Its first line names the format, each further line one work; what is empty is left out:

    {"format": "genguard-bank", "version": 2, "kind": "protected"}
    {"id": "…", "title": "…", "modality": "image", "owner": "…", "licence": "…", "terms": "…", "contact": "…",
     "valid_from": "2026-01-01", "valid_until": "2030-12-31", "territory": ["CN"], "thumbnail": "base64 of JPEG or PNG",
     "fingerprints": [{"method": "pdq", "view": "whole", "data": "base64"}]}

Version 1, which is still read, had `id`, `title`, `owner`, `licence` and `hashes`: method, then view, then hexadecimal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from guard.errors import InputError
from guard.matching.methods import METHODS
from guard.matching.works import Fingerprint, Work
from guard.types import Modality

FORMAT = "genguard-bank"
VERSION = 2
KINDS = ("protected", "cleared")
"""`protected`: whoever reproduces its works is told. `cleared`: look-alikes that never count as a match."""
TEXTS = ("id", "title", "owner", "licence", "terms", "contact")
RIGHTS = ("owner", "licence", "terms", "contact", "valid_from", "valid_until", "territory")
MOST_FINGERPRINTS = 1024
MAX_THUMBNAIL = 200_000
"""Bytes. It is shown beside an output, not published."""
_LONGEST = {"id": 200, "title": 1000, "owner": 1000, "licence": 1000, "terms": 10_000, "contact": 1000}
_HASH_BYTES = 32
HASHED = tuple(name for name, method in METHODS.items() if method.index == METHODS["pdq"].index)
"""Methods whose fingerprint is a hash of 256 bits; only these have a hexadecimal form."""
_NEEDED = ("id", "title", "fingerprints")
_FIELDS = {*TEXTS, *RIGHTS, "modality", "thumbnail", "fingerprints"}
_COUNTRY = re.compile(r"[A-Z]{2}")


def check_work(work: Work) -> Work:
    """The work itself. Raises InputError for one that could not be kept, found again or shown."""
    for name in TEXTS:
        _check_text(name, getattr(work, name))
    for name in ("id", "title"):
        if not getattr(work, name).strip():
            raise InputError(f"found a work without {name}, expected one")
    _check_rights(work)
    if work.thumbnail:
        _check_thumbnail(work.thumbnail)
    if not 1 <= len(work.fingerprints) <= MOST_FINGERPRINTS:
        raise InputError(f"found {len(work.fingerprints)} fingerprints, expected 1 to {MOST_FINGERPRINTS}")
    for one in work.fingerprints:
        _check_fingerprint(one, work.modality)
    return work


def check_kind(kind: str) -> None:
    """Raises InputError for a kind of bank that does not exist."""
    if kind not in KINDS:
        raise InputError(f"found kind of bank {kind[:40]!r}, expected {' or '.join(KINDS)}")


def record(work: Work) -> dict[str, Any]:
    """The work as its line of a bank's file."""
    found: dict[str, Any] = facts(work)
    if work.thumbnail:
        found["thumbnail"] = base64.b64encode(work.thumbnail).decode()
    found["fingerprints"] = [
        {"method": one.method, **({"view": one.view} if one.view else {}), "data": base64.b64encode(one.data).decode()}
        for one in work.fingerprints
    ]
    return found


def facts(work: Work) -> dict[str, Any]:
    """What is known of a work, without thumbnail and fingerprints; what is empty is left out."""
    found: dict[str, Any] = {name: value for name in TEXTS if (value := getattr(work, name))}
    found["modality"] = work.modality.value
    for name in ("valid_from", "valid_until"):
        day: date | None = getattr(work, name)
        if day is not None:
            found[name] = day.isoformat()
    return found | ({"territory": list(work.territory)} if work.territory else {})


def work_from(line: Any, version: int = VERSION) -> Work:
    """A work from its line. Raises InputError that says what was found and what was expected."""
    if not isinstance(line, dict):
        raise InputError(f"found a JSON {type(line).__name__}, expected an object")
    if version == 1:
        line = _upgraded(line)
    if not set(_NEEDED) <= set(line) <= _FIELDS:
        raise InputError(
            "found other fields than expected",
            advice=f"A work has {', '.join(_NEEDED)}, and may have {', '.join(sorted(_FIELDS - set(_NEEDED)))}.",
        )
    if not isinstance(line.get("thumbnail", ""), str):
        raise InputError("found a thumbnail of another type, expected a text")
    if not isinstance(line["fingerprints"], list):
        raise InputError("found fingerprints that are no list")
    known = {name: value for name, value in line.items() if name not in {"thumbnail", "fingerprints"}}
    prints = tuple(_fingerprint_from(one) for one in line["fingerprints"])
    return work_from_facts(known, _decoded("thumbnail", line.get("thumbnail", "")), prints)


def work_from_facts(known: Any, thumbnail: bytes, fingerprints: tuple[Fingerprint, ...]) -> Work:
    """The work that `facts` tells of, with what is kept of it besides. Raises InputError."""
    if not isinstance(known, dict) or not set(known) <= {*TEXTS, *RIGHTS, "modality"}:
        raise InputError("found other facts of a work than expected")
    if not all(isinstance(known.get(name, ""), str) for name in (*TEXTS, "modality")):
        raise InputError("found a field of another type, expected texts")
    return check_work(
        Work(
            **{name: known.get(name, "") for name in TEXTS},
            modality=modality_from(known.get("modality", "image")),
            valid_from=day_from("valid_from", known.get("valid_from", "")),
            valid_until=day_from("valid_until", known.get("valid_until", "")),
            territory=territory_from(known.get("territory", [])),
            thumbnail=thumbnail,
            fingerprints=fingerprints,
        )
    )


def header(kind: str) -> dict[str, Any]:
    """The first line of a bank's file."""
    return {"format": FORMAT, "version": VERSION, "kind": kind}


def header_from(line: Any) -> tuple[int, str]:
    """Version and kind that a first line names. Raises InputError for another format."""
    if line == {"format": FORMAT, "version": 1}:
        return 1, KINDS[0]
    if isinstance(line, dict) and line.get("kind") in KINDS and line == header(line["kind"]):
        return VERSION, line["kind"]
    raise InputError(
        f"found another format, expected {json.dumps(header(KINDS[0]))}",
        advice=f"The kind is {' or '.join(KINDS)}. Banks of other versions are not read: export the bank again.",
    )


def work_digest(work: Work) -> bytes:
    """SHA-256 over everything that is kept of a work."""
    content: dict[str, Any] = facts(work)
    content["fingerprints"] = [[one.method, one.view, hashlib.sha256(one.data).hexdigest()] for one in work.fingerprints]
    if work.thumbnail:
        content["thumbnail"] = hashlib.sha256(work.thumbnail).hexdigest()
    return hashlib.sha256(canonical(content)).digest()


def canonical(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """The one JSON text that a value of strings, integers, lists and objects has."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def hash_from(text: str) -> bytes:
    """A hash of 256 bits from its hexadecimal form. Raises InputError."""
    try:
        value = bytes.fromhex(text) if text.isascii() and len(text) == 2 * _HASH_BYTES else b""
    except ValueError:
        value = b""
    if len(value) != _HASH_BYTES:
        raise InputError(f"found a malformed hash of {len(text)} characters, expected {2 * _HASH_BYTES} hexadecimal digits")
    return value


def modality_from(text: str) -> Modality:
    """Raises InputError for a modality that does not exist."""
    try:
        return Modality(text)
    except ValueError:
        raise InputError(f"found modality {text[:20]!r}, expected {' or '.join(Modality)}") from None


def day_from(name: str, text: Any) -> date | None:
    """A day from `2026-01-31`; None when it is empty. Raises InputError."""
    if text in {"", None}:
        return None
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise InputError(f"found {name} {str(text)[:20]!r}, expected a day such as 2026-01-31") from None


def territory_from(value: Any) -> tuple[str, ...]:
    """Country codes from a list, or from a text with spaces, commas or semicolons between them. Raises InputError."""
    codes = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(codes, (list, tuple)) or not all(isinstance(code, str) for code in codes):
        raise InputError("found a territory that is no list of country codes")
    return tuple(code.upper() for code in codes if code)


def _upgraded(line: dict[str, Any]) -> dict[str, Any]:
    """A line of version 1 as one of version 2. Raises InputError."""
    if not {"id", "title", "hashes"} <= set(line) <= {"id", "title", "owner", "licence", "hashes"}:
        raise InputError(
            "found other fields than expected", advice="A work has id, title and hashes, and may have owner and licence."
        )
    hashes = line["hashes"]
    if not isinstance(hashes, dict) or not all(isinstance(views, dict) for views in hashes.values()):
        raise InputError("found a field of another type, expected hashes by method and view")
    fingerprints = [
        {"method": method, "view": view, "data": base64.b64encode(hash_from(text if isinstance(text, str) else "")).decode()}
        for method, views in hashes.items()
        for view, text in views.items()
    ]
    return {name: value for name, value in line.items() if name != "hashes"} | {"fingerprints": fingerprints}


def _fingerprint_from(value: Any) -> Fingerprint:
    well = isinstance(value, dict) and {"method", "data"} <= set(value) <= {"method", "view", "data"}
    if not well or not all(isinstance(part, str) for part in value.values()):
        raise InputError("found a fingerprint of another form, expected method, view and data")
    return Fingerprint(value["method"], _decoded("fingerprint", value["data"]), value.get("view", ""))


def _check_rights(work: Work) -> None:
    if work.valid_from and work.valid_until and work.valid_until < work.valid_from:
        raise InputError(f"found valid_until {work.valid_until} before valid_from {work.valid_from}")
    for code in work.territory:
        if not _COUNTRY.fullmatch(code):
            raise InputError(f"found territory {code[:20]!r}, expected ISO 3166-1 codes of two capital letters, such as CN")


def _check_thumbnail(data: bytes) -> None:
    if not data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff")):
        raise InputError("found a thumbnail that is neither JPEG nor PNG")
    if len(data) > MAX_THUMBNAIL:
        raise InputError(f"found a thumbnail of {len(data)} bytes, expected at most {MAX_THUMBNAIL}")


def _check_fingerprint(one: Fingerprint, modality: Modality) -> None:
    if one.method not in METHODS or METHODS[one.method].modality is not modality:
        fit = ", ".join(name for name, method in METHODS.items() if method.modality is modality) or "none"
        raise InputError(f"found fingerprint method {one.method[:40]!r} of a work of {modality.value}, expected one of: {fit}")
    if one.method in HASHED and len(one.data) != _HASH_BYTES:
        raise InputError(f"found a {one.method} of {len(one.data)} bytes, expected {_HASH_BYTES}")
    _check_text("view", one.view, 40)


def _check_text(name: str, text: str, longest: int = 0) -> None:
    longest = longest or _LONGEST[name]
    if len(text) > longest:
        raise InputError(f"found {name} of {len(text)} characters, expected at most {longest}")
    # Line breaks and tabs may stand in terms; what steers a terminal, or is no text at all, nowhere.
    if not text.isprintable() and any(unicodedata.category(letter) in {"Cc", "Cs"} and letter not in "\n\t" for letter in text):
        raise InputError(f"found {name} with control characters, expected a text")


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"found a {name} that is no base64") from None
