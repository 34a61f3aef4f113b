"""Judges values that may be secrets: placeholders, checksums, structure, randomness. Pure functions over one match.

A judge takes the match, whose group `secret` is the value, and the score of its format. It answers a score per mille, 0 where
the value is no secret.

Sources: GitHub and npm on their token formats (30 random characters, then their CRC-32 in base 62), RFC 7515 and 7519 (JWS and
JWT), RFC 7617 (Basic), RFC 7468 and 5958 (PEM and PKCS #8), Discord's developer reference (a token begins with its user's id).
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections import Counter
from math import log2
from typing import Any

import regex as re  # of the standard library, 3.11.2 (Debian 12) gets possessive repetitions wrong

SECRET = "secret"  # noqa: S105 - the name of a group
UNPROVEN = 600
"""Per mille for a value of the right format whose checksum or structure is wrong."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "zyxwvutsrqponmlkjihgfedcba",
    "01234567890123",
    "09876543210",
    "qwertyuiopasdfghjklzxcvbnm",
)
_ORDERED = frozenset(
    row[start : start + length] for row in _ROWS for length in range(5, 11) for start in range(len(row) - length + 1)
)
# Literals searched one by one: an alternation of them is fifty times slower.
_INSIDE = (
    "example", "placeholder", "changeme", "change_me", "change-me", "change me", "replaceme", "replace_", "replace-",
    "redacted", "removed", "dummy", "not-a-real", "not_a_real", "notareal", "insert-", "insert_", "xxxxx", "***", "...",
    "----", "____", "…", "•",
)  # fmt: skip
_APART = (
    "your",
    "fake",
    "sample",
    "todo",
    "fixme",
    "mask",
    "foobar",
    "foo_bar",
    "undefined",
    "null",
    "none",
    "true",
    "false",
    "xxx",
)
_STAND_IN = re.compile(
    r"(?<![a-z])(?:your|(?:fake|sample|todo|fixme|mask(?:ed)?|foo_?bar|undefined|null|none|true|false)(?![a-z]))"
    r"|(?<![a-z0-9])x{3,4}(?![a-z0-9])"
)
# Base 64 of a thousand characters spells short words by chance; none of these.
_KEY_STAND_IN = re.compile(r"\.{3}|…|\*|<|x{10}|redacted|placeholder|example|your[-_ ]?private|private[-_ ]?key", re.IGNORECASE)
_VARIABLE = re.compile(
    r"[$%#@]?[{<(\[]|\$[A-Za-z_]|%[A-Za-z_]{1,64}%$|__\w{1,64}__$|.{0,64}(?:\{\{|\$\{|\$\(|<%|:=)"  # filled in later
    r"|(?:[A-Za-z_]\w{0,64}(?:\.|->|::|\?\.)){0,8}[A-Za-z_]\w{0,64}[(\[]"  # a call, an index
    r"|[.~]{0,2}/|[A-Za-z]:\\|[a-z][a-z0-9+.-]{1,20}://|arn:|\w+/\w+(?:/\w+)*\.\w{1,5}$",  # a place
    re.ASCII,
)
_ATTRIBUTE = re.compile(r"(?:[A-Za-z_]\w{0,64}(?:\.|->|::|\?\.)){1,8}[A-Za-z_]\w{0,64}[;,)]?$", re.ASCII)
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{32,128}|[0-9A-F]{32,128})$")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HASH = re.compile(
    r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{56}|[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128})$"
    r"|\$(?:2[abxy]|1|5|6|y|argon2(?:id|i|d)|scrypt|pbkdf2[a-z0-9-]{0,10})\$|(?:pbkdf2|bcrypt|scrypt|argon2)[a-z0-9_]{0,12}\$"
    r"|(?:md5|sha-?(?:1|224|256|384|512))[:-]|\{S?SHA[0-9]{0,3}\}"
)
_DATED = re.compile(r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|v?[0-9]{1,4}(?:\.[0-9]{1,6}){1,3}(?:[-+].{0,32})?$")
_WORD = r"(?:[A-Z]?[a-z']{1,24}+|[A-Z]{1,24}+|[0-9]{1,4}+)"
_WORDS = re.compile(rf"{_WORD}(?:[-_./:]{{1,2}}+{_WORD}){{0,64}}+[.!?]?$")
_CHUNK = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_SMALL = re.compile("[a-z]")
_CAPITAL = re.compile("[A-Z]")
_DIGIT = re.compile("[0-9]")
_MARK = re.compile(r"[^\w]")
_STRONG = re.compile(r"[!@#$%^&*?~+=]")
_EMAIL = re.compile(r"[^@\s]{1,64}@[A-Za-z0-9-]{1,64}(?:\.[A-Za-z0-9-]{1,64}){1,8}$")
_CURSOR = re.compile(
    r"(?:next|page|sync|continuation|cursor|csrf|xsrf|public|max|min|num|total|eos|bos|pad|unk|cls|sep)[A-Za-z]{0,5}[_ .-]?$",
    re.IGNORECASE,
)
_NAMING = re.compile(r"password|passwd|passphrase|pwd|secret|token|api_?key|credential", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[a-z_$][a-z0-9_]*$|[A-Z_][A-Z0-9_]*$|[a-z]+(?:[A-Z][a-z]+)+[0-9]?$")
_WEAK = frozenset(
    {"pass", "pswd", "pw", "user", "username", "root", "admin", "hidden", "secure", "login", "string", "integer", "mypass"}
)


def entropy(value: str) -> float:
    """Shannon entropy of the characters of a value, in bits a character."""
    return -sum(count / len(value) * log2(count / len(value)) for count in Counter(value).values())


def is_stand_in(value: str) -> bool:
    """Whether a value only shows where a secret goes: a placeholder, or a few characters over and over."""
    lowered = value.lower()
    return (
        len(set(value)) < min(5, len(value))
        or any(word in lowered for word in _INSIDE)
        or (any(word in lowered for word in _APART) and _STAND_IN.search(lowered) is not None)
    )


def is_ordered(value: str) -> bool:
    """Whether a value holds a row of the alphabet, the digits or the keyboard: five characters, in long values ten."""
    lowered = value[:128].lower()
    length = min(10, max(5, len(value) - 2))
    return any(lowered[start : start + length] in _ORDERED for start in range(len(lowered) - length + 1))


def by_format(match: re.Match[str], score: int) -> int:
    """For formats with a prefix of their own: any value that is no stand-in."""
    value = match[SECRET]
    body = value[4:] if len(value) > 12 else value
    if is_stand_in(body) or entropy(body) < 2.5:
        return 0
    return min(score, UNPROVEN) if is_ordered(body) else score


def by_digits(match: re.Match[str], score: int) -> int:
    """For prefixes that ordinary identifiers may begin with too: letters and digits have to be mixed."""
    value = match[SECRET]
    mixed = any(one.isdigit() for one in value[4:]) and any(one.isalpha() for one in value[4:])
    return by_format(match, score) if mixed and not _WORDS.match(value) else 0


def aws_key_id(match: re.Match[str], score: int) -> int:
    """AWS writes access key ids in base 32."""
    proven = not set(match[SECRET]) & set("0189")
    return by_format(match, score if proven else min(score, UNPROVEN))


def mixed_case(match: re.Match[str], score: int) -> int:
    """For values without a prefix, found beside a key id: base 64, neither hexadecimal nor words."""
    value = match[SECRET]
    classes = sum(one is not None for one in (_SMALL.search(value), _CAPITAL.search(value), _DIGIT.search(value)))
    return by_format(match, score) if classes == 3 and entropy(value) > 3.5 else 0


def crc_base62(match: re.Match[str], score: int) -> int:
    """GitHub and npm: the last six characters are the CRC-32 of the thirty before them, in base 62."""
    body = match[SECRET].rpartition("_")[2]
    if body[-6:] == base62(zlib.crc32(body[:-6].encode())):
        return 1000
    return by_format(match, min(score, UNPROVEN))


def base62(number: int) -> str:
    """Six digits of base 62, zeros in front."""
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def jwt(match: re.Match[str], score: int) -> int:
    """A header that is a JSON object with `alg` (RFC 7515), and a payload that is one unless it is encrypted or detached."""
    parts = match[SECRET].split(".")
    header = _json(parts[0])
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        return 0
    if len(parts) == 5:  # JWE: everything after the header is encrypted
        return score if "enc" in header else 0
    if not parts[2] and header["alg"].lower() != "none":
        return 0
    return score if isinstance(_json(parts[1]), dict) else UNPROVEN


def discord(match: re.Match[str], score: int) -> int:
    """The first part is the id of the bot, in base 64."""
    raw = _decoded(match[SECRET].partition(".")[0])
    return by_format(match, score) if raw is not None and raw.isdigit() and 16 <= len(raw) <= 20 else 0


def basic(match: re.Match[str], score: int) -> int:
    """User and password, joined with a colon, in base 64 (RFC 7617)."""
    raw = _decoded(match[SECRET])
    try:
        user, colon, password = (raw or b"").decode().partition(":")
    except UnicodeDecodeError:
        return 0
    return score if colon and user.isprintable() and password and not is_stand_in(password) else 0


def private_key(match: re.Match[str], score: int) -> int:
    """A block whose body is base 64 of a key's length; 1000 where it is closed and holds a known structure."""
    body = match["body"] or match["open"] or ""
    plain = re.sub(r"\\[nr]|[^A-Za-z0-9+/=]", "", re.sub(r"(?m)^[ \t>|#*]{0,8}[A-Za-z-]{4,20}: .{0,200}$", "", body))
    if len(plain) < 48 or len(set(plain)) < 16 or _KEY_STAND_IN.search(body):
        return 0
    known = plain.startswith(("MI", "MC", "MH", "MF", "ME", "MG", "b3BlbnNzaC1rZXktdjE", "lQ", "lF", "lI", "xc", "xV", "xX"))
    return 1000 if known and match["body"] else score


def url_password(match: re.Match[str], score: int) -> int:
    """Passwords in URLs: not where the word `password` or a variable stands, nor the user's own name."""
    value = match[SECRET]
    lowered = value.lower()
    if is_stand_in(value) or _VARIABLE.match(value) or lowered in _WEAK or lowered == match["user"].lower():
        return 0
    if _NAMING.search(value) and (_IDENTIFIER.match(value) or value.isalpha()):
        return 0
    return score if len(value) >= 3 else 0


def password(match: re.Match[str], score: int) -> int:
    """Values given to a password: two kinds of characters at least, no words, names, paths, hashes or dates."""
    value = match[SECRET]
    kinds, digits = _kinds(value), value.isdigit()
    if not 6 <= len(value) <= 400 or (not digits and (kinds < 2 or (kinds < 3 and _NAMING.search(value) is not None))):
        return 0
    if is_stand_in(value) or is_ordered(value) or _unlikely(value) or value.lower() in _WEAK:
        return 0
    if digits:
        return score + 100 if len(value) <= 12 else 0
    if _WORDS.match(value) or (value.isalpha() and not _irregular(value)):  # a name of two words, such as a type's
        return 0
    return min(900, score + 50 * kinds + 5 * len(value))


def spoken(match: re.Match[str], score: int) -> int:
    """What stands behind the word `password` alone: in quotes, or such that nothing but a password looks like it."""
    value = match[SECRET]
    odd = _kinds(value) >= 3 and (_STRONG.search(value) is not None or len(_CHUNK.findall(value)) >= 5)
    return password(match, score) if (match["quote"] or odd) and not _EMAIL.match(value) else 0


def key(match: re.Match[str], score: int) -> int:
    """Values given to a key, a secret or a token: long, random, and neither words nor UUID."""
    value = match[SECRET]
    hexadecimal = _HEXADECIMAL.match(value) is not None
    if len(value) < 12 or not (hexadecimal or _irregular(value)) or not any(one.isalpha() for one in value):
        return 0
    if _CURSOR.search(match.string[max(0, match.start() - 24) : match.start()]) or is_stand_in(value) or is_ordered(value):
        return 0
    if (_unlikely(value) and not hexadecimal) or _WORDS.match(value) or (len(value) < 16 and _kinds(value) < 3):
        return 0
    bits = entropy(value)
    return min(900, score + round(100 * (bits - 3.0)) + 50 * (len(value) >= 24)) if bits >= 3.0 else 0


def _unlikely(value: str) -> bool:
    return (
        _VARIABLE.match(value) is not None
        or (_ATTRIBUTE.match(value) is not None and not _irregular(value, 2.9))
        or _UUID.fullmatch(value) is not None
        or _HASH.match(value) is not None
        or _DATED.match(value) is not None
    )


def _kinds(value: str) -> int:
    """Kinds of characters; a capital in front and a mark at the end are those of any sentence."""
    inner = value[1:]
    found = (_SMALL.search(value), _CAPITAL.search(inner), _DIGIT.search(value), _MARK.search(value[:-1]))
    return sum(one is not None for one in found)


def _irregular(value: str, most: float = 3.3) -> bool:
    """Whether words, capitals and numbers in it have no more than `most` characters on average: those of identifiers have."""
    sample = value[:96]
    return len(sample) <= most * len(_CHUNK.findall(sample))


def _decoded(text: str) -> bytes | None:
    """Base 64 in either alphabet, padded or not; None where it is none."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _json(part: str) -> Any:
    raw = _decoded(part)
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return None
