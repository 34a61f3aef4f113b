r"""Patterns and checksums of personal numbers and addresses, as plain data; `guard.checks.pii_engine` runs them.

All borders are look-arounds over ASCII letters and digits, never a `\b`: Chinese characters count as word characters, so that
`\b` finds no border between them and a number. Every repetition is bounded, so that no text makes a pattern slow.

Sources: ISO/IEC 7812-1 (card numbers, Luhn), ISO 13616 (IBAN, lengths from the SWIFT registry), GB 11643-1999 (Chinese resident
ID; check digit ISO 7064 MOD 11-2), SSA rules for SSN, HMRC rules for NINO, UIDAI (Verhoeff), NHS Data Dictionary (modulus 11).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class PatternSpec:
    """One kind of personal data that a pattern finds."""

    entity: str
    name: str
    """Names the recognizer in findings."""
    patterns: tuple[tuple[str, float], ...]
    """Regular expressions of the `regex` module, each with its score from 0 to 1."""
    context: tuple[str, ...] = ()
    """Words before (Chinese: around) a match that raise its score by 0.35, to 0.4 at least."""
    validate: Callable[[str], bool | None] | None = None
    """True: certain, score 1. False: not that. None: the pattern's score stands."""
    ignore_case: bool = False


def luhn(text: str) -> bool:
    """Whether the digits of a card number have a valid check digit (ISO/IEC 7812-1)."""
    digits = [int(character) for character in reversed(text) if character.isdecimal()]
    doubled = (digit * 2 for digit in digits[1::2])
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


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


def base58check(text: str) -> bool:
    """Whether a Bitcoin address has the right checksum (first four bytes of the double SHA-256)."""
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


_NOT_AFTER_WORD, _NOT_BEFORE_WORD = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_IBAN_LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ XK LT LU MN", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_IBAN = "|".join(
    f"(?:{'|'.join(countries.split())})[0-9]{{2}}(?:[ -]?[A-Z0-9]){{{length - 4}}}"
    for length, countries in _IBAN_LENGTHS.items()
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_CARD = (
    r"[2-6][0-9]{3}([ .-]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}",  # 16 digits, in fours or in one
    r"[4-6][0-9]{3}([ .-]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}\1[0-9]{1,3}",  # 17 to 19
    r"3[47][0-9]{2}([ .-]?)[0-9]{6}\1[0-9]{5}",  # American Express
    r"(?:3[47][0-9]{2}|2131|1800)([ .-]?)[0-9]{4}\1[0-9]{4}\1[0-9]{3}",
    r"3(?:0[0-5]|[689][0-9])[0-9]([ .-]?)[0-9]{6}\1[0-9]{4}",  # Diners Club
    r"3(?:0[0-5]|[689][0-9])[0-9]([ .-]?)[0-9]{4}\1[0-9]{4}\1[0-9]{2}",
    r"(?:4[0-9]{12}|(?:2131|1800)[0-9]{11}|(?:5018|5020|5038|5[6-8][0-9]{2}|6304|6759|676[1-3])[0-9]{8,9})",
)

_EMAIL = (
    r"(?<![\p{Latin}0-9._%+-])[\p{Latin}0-9_](?:[\p{Latin}0-9._%+'-]{0,62}[\p{Latin}0-9_+-])?@"
    r"(?:[\p{Latin}0-9](?:[\p{Latin}0-9-]{0,61}[\p{Latin}0-9])?\.){1,6}[A-Za-z]{2,24}(?![\p{Latin}0-9-])"
)
_IPV4 = (
    rf"(?<![0-9A-Za-z]|[0-9A-Za-z][.-])(?<!(?:version|release|firmware|build|版本)[ :：]{{0,2}})"
    rf"(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9A-Za-z]|\.[0-9])"
)
_INTERNATIONAL = (
    r"(?<![0-9A-Za-z+])(?:\+|(?<![0-9][ -])00(?=[1-9][0-9]{0,2}[ .(/-]))[1-9](?:[ .()/-]{0,2}[0-9]){7,14}"
    r"(?:[ ,]{0,2}(?:x|ext\.?)[ ]?[0-9]{1,5})?(?![0-9])"
)

GENERIC = (
    PatternSpec(
        "EMAIL_ADDRESS",
        "EmailPattern",
        ((_EMAIL, 0.95),),
        ignore_case=True,
    ),
    PatternSpec(
        "CREDIT_CARD",
        "CardPattern",
        tuple((f"(?<![0-9A-Za-z]|[0-9][.-]){card}(?![0-9A-Za-z]|[.-][0-9])", 0.3) for card in _CARD),
        validate=luhn,
    ),
    PatternSpec(
        "IBAN_CODE", "IbanPattern", ((f"{_NOT_AFTER_WORD}(?:{_IBAN}){_NOT_BEFORE_WORD}", 0.5),), validate=iban, ignore_case=True
    ),
    PatternSpec(
        "IP_ADDRESS",
        "Ipv4Pattern",
        ((_IPV4, 0.6),),
        ignore_case=True,
    ),
    PatternSpec(
        "IP_ADDRESS",
        "Ipv6Pattern",
        ((r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])", 0.6),),
        validate=ipv6,
    ),
    PatternSpec(
        "MAC_ADDRESS",
        "MacPattern",
        ((r"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Za-z:-])", 0.6),),
    ),
    PatternSpec(
        "CRYPTO",
        "BitcoinPattern",
        ((f"{_NOT_AFTER_WORD}[13][1-9A-HJ-NP-Za-km-z]{{25,33}}{_NOT_BEFORE_WORD}", 0.5),),
        validate=base58check,
    ),
    PatternSpec("CRYPTO", "Bech32Pattern", ((f"{_NOT_AFTER_WORD}bc1[02-9ac-hj-np-z]{{11,71}}{_NOT_BEFORE_WORD}", 0.7),)),
    PatternSpec(
        "PHONE_NUMBER",
        "InternationalPhonePattern",
        ((_INTERNATIONAL, 0.6),),
        ignore_case=True,
    ),
)
"""For every language."""

_PHONE_WORDS = ("phone", "phones", "telephone", "cell", "cellphone", "mobile", "call", "called", "tel", "dial", "sms", "text",
                "whatsapp", "fax", "reach", "reached", "contact", "landline")  # fmt: skip
_NORTH_AMERICAN = (
    r"(?<![0-9A-Za-z+]|[0-9][.-])(?:(?:00)?1[ .-])?(?:\([2-9][0-9]{2}\) ?-?|[2-9][0-9]{2}[ .-])"
    r"[0-9]{3}[ .-][0-9]{4}(?:[ ,]{0,2}(?:x|ext\.?)[ ]?[0-9]{1,6})?(?![0-9A-Za-z]|[.-][0-9])"
)
_NINO = (
    rf"{_NOT_AFTER_WORD}(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?"
    rf"[0-9]{{2}} ?[0-9]{{2}} ?[0-9]{{2}} ?[A-D]{_NOT_BEFORE_WORD}"
)

ENGLISH = (
    PatternSpec(
        "PHONE_NUMBER",
        "NorthAmericanPhonePattern",
        (
            (_NORTH_AMERICAN, 0.5),
            (r"(?<![0-9A-Za-z+]|[0-9][ .-])[2-9][0-9]{2}-[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])", 0.1),  # without the area code
        ),
        _PHONE_WORDS,
        ignore_case=True,
    ),
    PatternSpec(
        "US_SSN",
        "SsnPattern",
        (
            (r"(?<![0-9A-Za-z.-])(?!000|666|9)[0-9]{3}([ -])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])", 0.5),
            (f"{_NOT_AFTER_WORD}(?!000|666|9)[0-9]{{3}}(?!00)[0-9]{{2}}(?!0000)[0-9]{{4}}{_NOT_BEFORE_WORD}", 0.05),
        ),
        ("social", "ssn", "ssns", "ssid", "ss#"),
        ssn,
    ),
    PatternSpec(
        "US_ITIN",
        "ItinPattern",
        ((r"(?<![0-9A-Za-z.-])9[0-9]{2}-(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])-[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])", 0.5),),
        ("itin", "taxpayer", "tax"),
    ),
    PatternSpec(
        "US_PASSPORT", "UsPassportPattern", ((f"{_NOT_AFTER_WORD}[A-Z0-9][0-9]{{8}}{_NOT_BEFORE_WORD}", 0.1),), ("passport",)
    ),
    PatternSpec(
        "US_BANK_NUMBER",
        "UsBankPattern",
        ((f"{_NOT_AFTER_WORD}[0-9]{{8,17}}{_NOT_BEFORE_WORD}", 0.05),),
        ("bank", "routing", "checking", "savings", "aba"),
    ),
    PatternSpec(
        "UK_NINO",
        "NinoPattern",
        ((_NINO, 0.5),),
        ("insurance", "nino", "ni"),
    ),
    PatternSpec(
        "UK_NHS", "NhsPattern", ((r"(?<![0-9A-Za-z])[0-9]{3}([ -]?)[0-9]{3}\1[0-9]{4}(?![0-9A-Za-z])", 0.2),), ("nhs",), nhs
    ),
    PatternSpec(
        "IN_AADHAAR",
        "AadhaarPattern",
        ((r"(?<![0-9A-Za-z]|[0-9][ -])[2-9][0-9]{3}([ -]?)[0-9]{4}\1[0-9]{4}(?![0-9A-Za-z]|[ -][0-9])", 0.3),),
        ("aadhaar", "aadhar", "uidai"),
        aadhaar,
    ),
    PatternSpec(
        "IN_PAN",
        "PanPattern",
        ((f"{_NOT_AFTER_WORD}[A-Z]{{3}}[ABCFGHLJPT][A-Z][0-9]{{4}}[A-Z]{_NOT_BEFORE_WORD}", 0.3),),
        ("pan", "permanent", "tax"),
    ),
    PatternSpec(
        "MEDICAL_LICENSE",
        "DeaPattern",
        ((f"{_NOT_AFTER_WORD}[ABCDEFGHJKLMPRSTUX][A-Z9][0-9]{{7}}{_NOT_BEFORE_WORD}", 0.3),),
        ("dea", "medical", "license", "certificate", "prescriber"),
        dea,
    ),
)

_PROVINCE = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|91)"
_SURNAME = (
    "(?:欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯|"
    "[王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾韦付方白"
    "邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤])"
)
_NAME_CUE = "姓名|名字|联系人|收件人|收货人|户名|持卡人|乘客|患者|投保人|申请人|我叫|名叫|叫做|他叫|她叫|客户[:：]|本人"
_AFTER_NAME = r"(?=[^\p{Han}]|$|[的是今先女小在来住和也有电手身已将于联与])"
_NOT_IN_ADDRESS = "我你他她它在是住到于的请往寄送为址"
_PLATE = (
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z]"
    r"[·. ]?[A-HJ-NP-Z0-9]{4,5}[A-HJ-NP-Z0-9挂学警](?![0-9A-Za-z])"
)
_CN_ADDRESS = (
    rf"(?:(?![{_NOT_IN_ADDRESS}])\p{{Han}}){{2,24}}(?:路|街|道|巷|胡同|弄)[0-9]{{1,5}}[号弄]"
    r"(?:[0-9A-Za-z\p{Han}-]{0,12}?(?:室|单元|号楼|房|层))?"
)

_STREET_SUFFIX = (
    "Alley|Ave|Avenue|Blvd|Boulevard|Bypass|Causeway|Close|Court|Crescent|Ct|Drive|Dr|Expressway|Freeway|Highway|Hwy|Lane|Ln|"
    "Mews|Motorway|Parkway|Pkwy|Pl|Place|Plaza|Rd|Road|Roads|Skyway|Square|St|Street|Streets|Terrace|Throughway|Trail|Turnpike|Way"
)
_OTHER_SUFFIX = (
    "Bend|Branch|Bridge|Brook|Circle|Common|Corner|Cove|Creek|Crest|Crossing|Dale|Drives|Estate|Estates|Extension|Falls|Ferry|"
    "Field|Fields|Flat|Ford|Forest|Fork|Forks|Fort|Garden|Gardens|Gateway|Glen|Green|Grove|Harbor|Haven|Heights|Hill|Hills|"
    "Hollow|Inlet|Island|Isle|Junction|Key|Knoll|Knolls|Lake|Lakes|Landing|Light|Loaf|Lock|Locks|Lodge|Loop|Mall|Manor|Meadow|"
    "Meadows|Mill|Mills|Mission|Mount|Mountain|Oval|Overpass|Park|Pass|Passage|Path|Pike|Pine|Pines|Plain|Plains|Point|Points|"
    "Port|Ports|Prairie|Radial|Ranch|Rapid|Rapids|Rest|Ridge|River|Route|Row|Run|Shoal|Shoals|Shore|Shores|Spring|Springs|Spur|"
    "Station|Stravenue|Stream|Summit|Trace|Track|Trafficway|Tunnel|Underpass|Union|Valley|Viaduct|View|Views|Villa|Village|Ville|"
    "Vista|Walk|Well|Wells"
)
_WORD = r"[A-Z][A-Za-z'-]{0,20}"
_HOUSE = rf"(?<![0-9A-Za-z$€£#.,:/-])[0-9]{{1,6}}[A-Za-z]?(?:-[0-9]{{1,4}})? (?:{_WORD}\.? ){{1,4}}?"
_FLAT = r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor)\.? ?[0-9A-Za-z]{1,6}(?![0-9A-Za-z]))?"
_TOWN = rf"(?:, {_WORD}(?: {_WORD}){{0,2}}(?:, [A-Z]{{2}}(?![A-Za-z]))?(?: [0-9]{{5}}(?:-[0-9]{{4}})?(?![0-9]))?)"
_PO_BOX = r"(?<![0-9A-Za-z])P\.? ?O\.? ?Box [0-9]{1,7}(?![0-9A-Za-z])"
STREET_ADDRESSES = (
    PatternSpec(
        "STREET_ADDRESS",
        "StreetAddressPattern",
        (
            (rf"{_HOUSE}(?:{_STREET_SUFFIX})(?![A-Za-z0-9]){_FLAT}{_TOWN}?", 0.6),
            (rf"{_HOUSE}(?:{_OTHER_SUFFIX})(?![A-Za-z0-9]){_FLAT}{_TOWN}", 0.6),
            (_PO_BOX, 0.6),
        ),
        ("address", "live", "lives"),
    ),
)
"""House number, one to four capitalised words, a street suffix (those of USPS Publication 28, appendix C1), perhaps a town.

A suffix that is also an everyday word has to be followed by a town.
"""

CHINESE = (
    PatternSpec(
        "CN_ID_CARD",
        "CnResidentIdPattern",
        (
            (
                rf"{_NOT_AFTER_WORD}{_PROVINCE}[0-9]{{4}}(?:18|19|20)[0-9]{{2}}[01][0-9][0-3][0-9]{{4}}[0-9Xx]{_NOT_BEFORE_WORD}",
                0.6,
            ),
        ),
        ("身份证", "证件"),
        cn_resident_id,
    ),
    PatternSpec(
        "CN_ID_CARD",
        "CnOldResidentIdPattern",
        ((rf"{_NOT_AFTER_WORD}{_PROVINCE}[0-9]{{13}}{_NOT_BEFORE_WORD}", 0.2),),
        ("身份证", "证件"),
        cn_resident_id_old,
    ),
    PatternSpec(
        "PHONE_NUMBER",
        "CnMobilePattern",
        ((r"(?<![0-9A-Za-z+]|[0-9][.-])(?:86[ -]?)?1[3-9][0-9]([ -]?)[0-9]{4}\1[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])", 0.6),),
        ("手机", "电话", "联系", "致电", "拨打", "微信"),
    ),
    PatternSpec(
        "PHONE_NUMBER",
        "CnLandlinePattern",
        (
            (
                r"(?<![0-9A-Za-z+-])[(（]?0(?:10|2[0-9]|[3-9][0-9]{2})[)） -]{1,2}[2-8][0-9]{6,7}(?:[-转][0-9]{1,6})?(?![0-9])",
                0.6,
            ),
            (r"(?<![0-9A-Za-z+-])0(?:10|2[0-9]|[3-9][0-9]{2})[2-8][0-9]{6,7}(?![0-9A-Za-z])", 0.2),
        ),
        ("电话", "座机", "固话", "联系", "致电", "拨打", "传真"),
    ),
    PatternSpec(
        "CN_PASSPORT",
        "CnPassportPattern",
        ((rf"{_NOT_AFTER_WORD}(?:E[A-HJ-NP-Z]|[EGDSPH])[0-9]{{7,8}}{_NOT_BEFORE_WORD}", 0.2),),
        ("护照", "通行证"),
        ignore_case=True,
    ),
    PatternSpec(
        "CN_LICENSE_PLATE",
        "CnPlatePattern",
        ((_PLATE, 0.6),),
    ),
    PatternSpec(
        "PERSON",
        "CnNamePattern",
        (
            (rf"(?<=(?:{_NAME_CUE})[是为叫:： ]{{0,2}}){_SURNAME}\p{{Han}}{{1,2}}?{_AFTER_NAME}", 0.75),
            (rf"(?<=(?:{_NAME_CUE})[是为叫:： ]{{0,2}}){_SURNAME}(?!\p{{Han}}{{1,2}}?{_AFTER_NAME})\p{{Han}}{{2}}", 0.7),
            (rf"{_SURNAME}\p{{Han}}{{0,2}}(?:先生|女士|小姐|老师|医生|经理|律师|教授)", 0.6),
        ),
    ),
    PatternSpec(
        "STREET_ADDRESS",
        "CnAddressPattern",
        ((_CN_ADDRESS, 0.7),),
    ),
)

BY_LANGUAGE = {"en": (*ENGLISH, *STREET_ADDRESSES), "zh": CHINESE}
PHONE_CONTEXT = {"en": _PHONE_WORDS, "zh": ("手机", "电话", "联系", "致电", "拨打")}
PHONE_REGIONS = {
    "en": ("US", "GB"), "zh": ("CN",), "de": ("DE", "AT", "CH"), "fr": ("FR", "BE", "CH"), "es": ("ES", "MX"), "it": ("IT",),
    "pt": ("BR", "PT"), "nl": ("NL",), "pl": ("PL",), "sv": ("SE",), "da": ("DK",), "fi": ("FI",), "nb": ("NO",), "tr": ("TR",),
    "ru": ("RU",), "uk": ("UA",), "ja": ("JP",), "ko": ("KR",), "hi": ("IN",), "id": ("ID",), "vi": ("VN",), "th": ("TH",),
}  # fmt: skip
"""Languages that can be listed, with the regions whose national telephone numbers are understood in them."""
