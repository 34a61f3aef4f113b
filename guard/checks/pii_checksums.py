"""Checksums and plausibility of personal numbers. True: certain; False: not that kind of number; None: may well be.

Sources: ISO/IEC 7812-1 (card numbers, Luhn), ISO 13616 (IBAN), GB 11643-1999 (Chinese resident ID; check digit ISO 7064
MOD 11-2), GB 32100-2015 (unified social credit code, MOD 31), SSA rules for SSN, ABA routing numbers (weights 3, 7, 1), UIDAI
(Verhoeff), NHS Data Dictionary (modulus 11), BIP 173 and BIP 350 (Bech32), Spanish DNI (modulus 23).
"""

from __future__ import annotations

import ipaddress
import re
from datetime import date
from hashlib import sha256

_DATE_LIKE = re.compile(
    r"(?:19|20)[0-9]{2}[ ./-][0-9]{1,2}[ ./-][0-9]{1,2}|[0-9]{1,2}[ ./-][0-9]{1,2}[ ./-](?:19|20)?[0-9]{2}"
    r"|(?:19|20)[0-9]{2}(?:[ ./-]{1,3}(?:19|20)[0-9]{2})+|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
)


def luhn(text: str) -> bool:
    """Whether the digits of a card number have a valid check digit (ISO/IEC 7812-1)."""
    digits = [int(character) for character in reversed(text) if character.isdecimal()]
    doubled = (digit * 2 for digit in digits[1::2])
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


def card(text: str) -> bool | None:
    """The same for card numbers, Chinese resident IDs aside; with 12 or 13 digits, as barcodes have, it proves little."""
    if not luhn(text) or (len(text) == 18 and text.isdecimal() and cn_resident_id(text)):
        return False
    return True if sum(character.isdecimal() for character in text) > 13 else None


def iban(text: str) -> bool:
    """Whether an IBAN's check digits are right (ISO 7064 MOD 97-10)."""
    compact = "".join(character for character in text.upper() if character.isalnum())
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def cn_resident_id(text: str) -> bool:
    """Whether 18 characters are a Chinese resident ID: region, date of birth, check digit (GB 11643-1999)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    check = "10X98765432"[sum(weight * int(digit) for weight, digit in zip(weights, text[:17], strict=True)) % 11]
    return _is_date(text[6:14]) and text[17].upper() == check


def cn_resident_id_old(text: str) -> bool | None:
    """Rules out 15-digit resident IDs (before 1999, no check digit) without a date of birth."""
    return None if _is_date("19" + text[6:12]) else False


def social_credit_code(text: str) -> bool:
    """Whether 18 characters are a Chinese unified social credit code (GB 32100-2015, MOD 31)."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    values = [alphabet.index(character) for character in text.upper()]
    return (sum(value * pow(3, place, 31) for place, value in enumerate(values[:17])) + values[17]) % 31 == 0


def routing_number(text: str) -> bool | None:
    """Rules out American routing numbers whose checksum or Federal Reserve district is wrong; one in ten is right by chance."""
    digits = [int(character) for character in text if character.isdecimal()]
    district = 10 * digits[0] + digits[1]
    right = (3 * sum(digits[0::3]) + 7 * sum(digits[1::3]) + sum(digits[2::3])) % 10 == 0
    return None if right and (district <= 12 or 21 <= district <= 32 or 61 <= district <= 72 or district == 80) else False


def spanish_id(text: str) -> bool | None:
    """Rules out Spanish DNI and NIE whose letter is wrong."""
    digits = {"X": "0", "Y": "1", "Z": "2"}.get(text[0].upper(), text[0]) + "".join(filter(str.isdecimal, text[1:]))
    return None if "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == text[-1].upper() else False


def not_a_date(text: str) -> bool | None:
    """Rules out calendar dates, years in a row ("2019 2020") and IPv4 addresses."""
    return False if _DATE_LIKE.fullmatch(text) else None


def ssn(text: str) -> bool | None:
    """Rules out social security numbers that are never issued, and those printed in advertisements."""
    digits = "".join(character for character in text if character.isdecimal())
    return False if digits in {"078051120", "219099999"} or len(set(digits)) == 1 else None


def nhs(text: str) -> bool | None:
    """Rules out numbers whose NHS check digit (modulus 11) is wrong; a right one is common among telephone numbers."""
    digits = [int(character) for character in text if character.isdecimal()]
    remainder = 11 - sum(weight * digit for weight, digit in zip(range(10, 1, -1), digits[:9], strict=True)) % 11
    return None if remainder % 11 == digits[9] and remainder != 10 else False


def aadhaar(text: str) -> bool | None:
    """Rules out numbers whose Verhoeff check digit is wrong; one number in ten has a right one by chance."""
    state = 0
    for place, character in enumerate(reversed([one for one in text if one.isdecimal()])):
        digit = int(character)
        for _ in range(place % 8):
            digit = _VERHOEFF_TURN[digit]
        state = _dihedral(state, digit)
    return None if state == 0 else False


def dea(text: str) -> bool | None:
    """Rules out DEA registration numbers whose check digit is wrong."""
    digits = [int(character) for character in text[2:]]
    return None if (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 == digits[6] else False


def ipv6(text: str) -> bool | None:
    """Rules out what only looks like an IPv6 address, such as times and scopes in source code."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return None if text.count(":") > 2 and address.packed.count(0) < 15 and any(one.isdigit() for one in text) else False


def bech32(text: str) -> bool:
    """Whether a Bitcoin address of the newer form has the right checksum (BIP 173, BIP 350)."""
    alphabet, generators = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    prefix, _, data = text.lower().rpartition("1")
    values = [ord(one) >> 5 for one in prefix] + [0] + [ord(one) & 31 for one in prefix] + [alphabet.find(one) for one in data]
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(generators):
            state ^= generator * (top >> place & 1)
    return min(values) >= 0 and state in {1, 0x2BC830A3} and text in {text.lower(), text.upper()}


def base58check(text: str) -> bool:
    """Whether an address of Bitcoin, Litecoin, Dogecoin or Tron has the right checksum: the first bytes of SHA-256, twice."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number = 0
    for character in text:
        number = number * 58 + alphabet.index(character)
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return sha256(sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def _is_date(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


_VERHOEFF_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _dihedral(left: int, right: int) -> int:
    """Product in the dihedral group of order ten."""
    if left < 5:
        return (left + right) % 5 + 5 * (right >= 5)
    return (left - right) % 5 + 5 * (right < 5)
