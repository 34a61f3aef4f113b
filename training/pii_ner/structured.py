"""Measures the `pii` check on numbers, addresses of machines and dates of birth: `python training/pii_ner/structured.py`.

Texts are made from `structured_templates.py` with invented values (Faker, and makers here where a checksum counts); half of the
templates were never looked at while patterns were tuned. Prints precision, recall and F2 by type, held out and tuned, what was
missed with `--errors` (the tuned half alone), and false alarms per 1,000 texts of people with `--data` (or GENGUARD_DATA).

    python training/pii_ner/structured.py [--rounds 20] [--seed 3] [--errors] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import string
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from faker import Faker
from structured_templates import CHINESE, ENGLISH, NEUTRAL, NEUTRAL_CHINESE

from evaluation.labels import Labelled
from evaluation.spans import agreement, by_type
from guard.checks.pii_checksums import bech32
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

_GAP = re.compile(r"\{(!?)(\w+)(?::(\w+))?\}")
NAMES = ("PERSON", "LOCATION", "STREET_ADDRESS", "ORGANIZATION")
FAMILY = {
    "US_PASSPORT": "PASSPORT", "UK_PASSPORT": "PASSPORT", "CN_PASSPORT": "PASSPORT", "US_BANK_NUMBER": "BANK_ACCOUNT",
    "CN_LICENSE_PLATE": "LICENSE_PLATE", "US_ITIN": "TAX_ID", "IN_PAN": "TAX_ID",
}  # fmt: skip
"""Types that count as one: which country's a number is, is often a guess."""
TYPES = {
    "email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER", "card": "CREDIT_CARD", "iban": "IBAN_CODE", "ssn": "US_SSN",
    "itin": "TAX_ID", "nino": "UK_NINO", "nhs": "UK_NHS", "passport": "PASSPORT", "account": "BANK_ACCOUNT",
    "routing": "ABA_ROUTING_NUMBER", "ip": "IP_ADDRESS", "mac": "MAC_ADDRESS", "url": "URL_CREDENTIALS", "btc": "CRYPTO",
    "eth": "CRYPTO", "dob": "DATE_OF_BIRTH", "mrn": "MEDICAL_RECORD", "driver": "DRIVER_LICENSE", "plate": "LICENSE_PLATE",
    "pan": "TAX_ID", "aadhaar": "IN_AADHAAR", "ein": "TAX_ID", "fiscal": "TAX_ID", "policy": "INSURANCE_NUMBER",
    "cnid": "CN_ID_CARD", "uscc": "CN_SOCIAL_CREDIT_CODE",
}  # fmt: skip
OTHERS = {
    "presidio_synth": {
        **{one: one for one in ("CREDIT_CARD", "US_SSN", "EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "IP_ADDRESS")},
        "US_DRIVER_LICENSE": "DRIVER_LICENSE",
    },
    "pii_nano_en": {
        "EMAIL": "EMAIL_ADDRESS", "SSN": "US_SSN", "PHONE": "PHONE_NUMBER", "IBAN": "IBAN_CODE", "PAN": "TAX_ID",
        "CREDIT_CARD": "CREDIT_CARD", "AADHAR": "IN_AADHAAR", "PASSPORT": "PASSPORT", "PASSPORT_NUM": "PASSPORT",
        "PATIENT_ID": "MEDICAL_RECORD", "PID": "MEDICAL_RECORD", "INSURANCE_ID": "INSURANCE_NUMBER", "TAX_ID": "TAX_ID",
        "TAXID": "TAX_ID", "DRIVER_LICENSE": "DRIVER_LICENSE", "DRIVER_LICENSE_NUM": "DRIVER_LICENSE",
        "BANK_ACCOUNT": "BANK_ACCOUNT", "ACCOUNT_NUMBER": "BANK_ACCOUNT", "ACCOUNT": "BANK_ACCOUNT",
    },
}  # fmt: skip
"""Sets that other people made, with the types of theirs that have a counterpart; read while patterns were tuned."""
Maker = Callable[[random.Random], str]
_FAKERS = {name: Faker(name) for name in ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "zh_CN")}
_UPPER, _DIGITS = string.ascii_uppercase, string.digits
_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def shape(pattern: str) -> Maker:
    """A maker for a form: 9 a digit, 8 a digit but 0, A a capital letter, others as they are."""

    def make(draw: random.Random) -> str:
        pools = {"9": _DIGITS, "8": _DIGITS[1:], "A": _UPPER.replace("I", "").replace("O", "")}
        return "".join(draw.choice(pools[one]) if one in pools else one for one in pattern)

    return make


def either(*makers: Maker | str) -> Maker:
    """One of several makers or forms."""
    return lambda draw: (shape(one) if isinstance(one := draw.choice(makers), str) else one)(draw)


def faked(locales: str, provider: str, **options: object) -> Maker:
    def make(draw: random.Random) -> str:
        faker = _FAKERS[draw.choice(locales.split())]
        faker.seed_instance(draw.getrandbits(32))
        return str(getattr(faker, provider)(**options))

    return make


def completed(maker: Maker, right: Callable[[str], bool], digits: str = _DIGITS) -> Maker:
    """A maker that adds the check digit for which `right` holds, and begins again when there is none."""

    def make(draw: random.Random) -> str:
        while True:
            stem = maker(draw)
            for digit in digits:
                if right(stem + digit):
                    return stem + digit

    return make


def _luhn(text: str) -> bool:
    digits = [int(one) for one in reversed(text)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * one, 10)) for one in digits[1::2])) % 10 == 0


def _mod11(text: str) -> bool:
    return sum(weight * int(one) for weight, one in zip(range(10, 0, -1), text, strict=True)) % 11 == 0


def _aba(text: str) -> bool:
    return sum(weight * int(one) for weight, one in zip((3, 7, 1) * 3, text, strict=True)) % 10 == 0


def _resident(text: str) -> bool:
    values = [10 if one == "X" else int(one) for one in text]
    return sum(value * pow(2, 17 - place, 11) for place, value in enumerate(values)) % 11 == 1


def _credit_code(text: str) -> bool:
    values = [_CODE.index(one) for one in text]
    return (sum(value * pow(3, place, 31) for place, value in enumerate(values[:-1])) + values[-1]) % 31 == 0


def _verhoeff(text: str) -> bool:
    turned, state = "1576283094", 0
    for place, one in enumerate(reversed(text)):
        digit = int(one)
        for _ in range(place % 8):
            digit = int(turned[digit])
        sign = -1 if state >= 5 else 1
        state = (state + sign * digit) % 5 + 5 * ((state >= 5) != (digit >= 5))
    return state == 0


def grouped(maker: Maker, sizes: Sequence[int], marks: str = " - ") -> Maker:
    """The same in groups, with one of some marks between them (a blank in `marks` twice is twice as likely)."""

    def make(draw: random.Random) -> str:
        text, mark, place, parts = maker(draw), draw.choice([*marks, ""]), 0, []
        for size in sizes:
            parts.append(text[place : place + size])
            place += size
        return mark.join([*parts, text[place:]] if text[place:] else parts)

    return make


def _base58(draw: random.Random) -> str:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    raw = bytes([draw.choice([0, 5])]) + draw.randbytes(20)
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = alphabet[rest] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def _segwit(_draw: random.Random) -> str:
    return _draw.choice(
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0")
    )


def _date(form: str) -> Maker:
    return faked("en_US", "date", pattern=form)


def _ninos(draw: random.Random) -> str:
    return draw.choice(("AB", "CE", "JG", "PW", "SR", "WK", "YX", "LA", "HM")) + shape("999999")(draw) + draw.choice("ABCD")


def _password(draw: random.Random) -> str:
    return "".join(draw.choices(string.ascii_letters + _DIGITS + "!#%*", k=draw.randint(8, 14)))


def _url(draw: random.Random) -> str:
    scheme, host = draw.choice(("https", "ftp", "postgres", "redis", "mongodb", "http")), faked("en_US", "domain_name")(draw)
    return f"{scheme}://{faked('en_US', 'user_name')(draw)}:{_password(draw)}@{host}" + draw.choice(
        ("", "/data", ":8443/x?y=1")
    )


def _cn_id(draw: random.Random) -> str:
    area = draw.choice(("110101", "310115", "440305", "330106", "510107", "420111", "610113", "210202"))
    return completed(lambda one: area + _date("%Y%m%d")(one) + shape("999")(one), _resident, _DIGITS + "X")(draw)


def _company(draw: random.Random) -> str:
    return draw.choice(("91110108MA", "92310115MA", "9144030071", "52500000MJ")) + shape("9999999")(draw)


_CARD = completed(either("4" + "9" * 14, "51" + "9" * 13, "22218" + "9" * 10, "6011" + "9" * 11), _luhn)
_UNION = completed(either("62" + "9" * 13, "62" + "9" * 16), _luhn)
_PLATE = "京沪粤浙苏川鄂湘鲁豫"
MAKERS: dict[str, Maker] = {
    "email": faked("en_US en_GB de_DE fr_FR es_ES", "email"),
    "phone:us": faked("en_US", "phone_number"),
    "phone:uk": faked("en_GB", "phone_number"),
    "phone:eu": faked("de_DE fr_FR es_ES it_IT nl_NL", "phone_number"),
    "phone:intl": either("+49 30 8999999", "+33 1 99 99 99 99", "+44 20 8999 9999", "+1-899-899-9999", "+39 06 8999 9999"),
    "phone:cn": either("13999999999", "+86 15999999999", "177-9999-9999"),
    "phone:mobile": either("13999999999", "159 9999 9999", "188-9999-9999", "17799999999"),
    "phone:landline": either("010-69999999", "0755 89999999", "(021) 59999999", "0571-8999999"),
    "phone:plus86": either("+86 13999999999", "0086-15999999999", "+86-10-69999999", "+86 159 9999 9999"),
    "card": grouped(_CARD, (4, 4, 4)),
    "card:amex": grouped(completed(either("34" + "9" * 12, "37" + "9" * 12), _luhn), (4, 6)),
    "card:union": grouped(_UNION, (4, 4, 4, 4), "  "),
    "iban": grouped(faked("en_GB de_DE fr_FR es_ES it_IT nl_NL", "iban"), (4,) * 4, "  "),
    "iban:plain": faked("en_GB de_DE fr_FR es_ES it_IT nl_NL", "iban"),
    "ssn": faked("en_US", "ssn"),
    "ssn:plain": lambda draw: faked("en_US", "ssn")(draw).replace("-", ""),
    "itin": lambda draw: f"9{draw.randint(10, 99)}-{draw.choice((50, 65, 70, 78, 85, 90, 94))}-{draw.randint(1000, 9999)}",
    "nino": grouped(_ninos, (2, 2, 2, 2), "  "),
    "nino:plain": _ninos,
    "nhs": grouped(completed(shape("899999999"), _mod11), (3, 3)),
    "passport:us": either("899999999", "A89999999"),
    "passport:uk": shape("899999999"),
    "passport:de": either("C01X99X99", "CFG89H9K9", "L8TV99T99"),
    "passport:fr": shape("89AA99999"),
    "passport:cn": either("E89999999", "EA9999999", "G89999999"),
    "account": either("89999999", "8999999999", "899999999999", "00899 99999 99"),
    "account:zh": either("8999999999999999", "3301 9999 9999 9999 999", "6899999999999", "1209999999999999999"),
    "routing": completed(either("02199999", "06199999", "12199999", "32199999"), _aba),
    "ip": faked("en_US", "ipv4_public"),
    "ip:v6": faked("en_US", "ipv6"),
    "mac": faked("en_US", "mac_address"),
    "mac:dash": lambda draw: faked("en_US", "mac_address")(draw).replace(":", "-").upper(),
    "url": _url,
    "btc": _base58,
    "btc:bech": _segwit,
    "eth": lambda draw: "0x" + draw.randbytes(20).hex(),
    "dob": either(_date("%m/%d/%Y"), _date("%d.%m.%Y"), _date("%Y-%m-%d"), _date("%d-%m-%y"), _date("%d %b %Y")),
    "dob:long": either(_date("%d %B %Y"), _date("%B %d, %Y")),
    "dob:iso": _date("%Y-%m-%d"),
    "dob:zh": _date("%Y年%m月%d日"),
    "mrn": either("8999999", "MR-899999", "A8999999", "89-99-99", "H89999"),
    "mrn:zh": either("89999999", "ZY899999", "M20239999", "0089999"),
    "driver:us": either("A8999999", "A899-9999-9999", "899999999", "AA899999"),
    "driver:uk": either("MORGA657054SM9AA", "SMITH812129JA9AB", "JONES710238TR9AV"),
    "driver:cn": either("110105199001019999", "330106899999"),
    "plate:uk": either("AB51 AAA", "LK19 AAA", "YD67AAA"),
    "plate:us": either("8AAA999", "AAA-8999", "AAA 8999"),
    "plate:cn": lambda draw: draw.choice(_PLATE) + shape(draw.choice(("A·99999", "A99A99", "BA9999", "C99999")))(draw),
    "plate:green": lambda draw: draw.choice(_PLATE) + shape(draw.choice(("AD99999", "AF99999", "B99999D")))(draw),
    "pan": lambda draw: shape("AAA")(draw) + draw.choice("PCHF") + shape("A9999A")(draw),
    "aadhaar": grouped(completed(shape("49999999999"), _verhoeff), (4, 4), "  "),
    "ein": shape("89-9999999"),
    "fiscal": faked("it_IT", "ssn"),
    "policy": either("AA-899999", "AAA8999999", "8999-9999-99", "A899999999"),
    "policy:zh": either("8999999999", "A89999999", "PZ8999999999"),
    "cnid": _cn_id,
    "uscc": completed(_company, _credit_code, _CODE),
    "order": either("89999", "8999999", "8999999999", "202389999"),
    "amount": either("$89.99", "8,999.99 EUR", "£899"),
    "date": either(_date("%d/%m/%Y"), _date("%Y-%m-%d"), _date("%B %d")),
    "time": shape("10:25"),
    "number": either("8", "89", "899"),
    "version": either("v8.99.9", "8.9.9-rc8"),
    "code": either("AB-89999", "AAA8999", "X8999-AA9", "SKU-899999"),
    "isbn": faked("en_US", "isbn13"),
    "hex": lambda draw: draw.randbytes(20).hex(),
    "uuid": faked("en_US", "uuid4"),
}  # fmt: skip


def fill(template: str, draw: random.Random) -> tuple[str, list[Labelled]]:
    """The text of a template, and the spans of its personal data."""
    text, spans, place = "", [], 0
    for gap in _GAP.finditer(template):
        text += template[place : gap.start()]
        kind, how = gap[2], gap[3]
        value = MAKERS[f"{kind}:{how}" if how else kind](draw)
        if not gap[1]:
            spans.append(Labelled(TYPES[kind], len(text), len(text) + len(value)))
        text, place = text + value, gap.end()
    return (text + template[place:]).replace("{{", "{").replace("}}", "}"), spans


def corpus(templates: Sequence[str], rounds: int, draw: random.Random) -> tuple[list[str], list[list[Labelled]]]:
    """Each template, filled `rounds` times."""
    filled = [fill(template, draw) for template in templates for _ in range(rounds)]
    return [text for text, _ in filled], [spans for _, spans in filled]


def found_in(check: Check, texts: Sequence[str]) -> list[list[Labelled]]:
    """What the check finds, names aside, under the types' common names."""
    contents = [Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("evaluation")) for text in texts]
    return [
        [
            Labelled(FAMILY.get(one.label, one.label), one.where.start, one.where.end)
            for one in scan.findings
            if one.label not in NAMES
        ]
        for scan in check(contents)
    ]


def table(title: str, found: list[list[Labelled]], expected: list[list[Labelled]]) -> None:
    print(f"\n### {title}\n\n| type | spans | precision | recall | F2 |\n|---|---|---|---|---|")
    rows = {**by_type(found, expected), "all": agreement(found, expected)}
    for name, one in rows.items():
        scores = one.overlap
        count = scores.true_positives + scores.false_negatives
        print(f"| {name} | {count} | {_figure(scores.precision)} | {_figure(scores.recall)} | {_figure(scores.f2)} |")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def errors(texts: Sequence[str], found: list[list[Labelled]], expected: list[list[Labelled]]) -> Iterator[str]:
    for text, mine, theirs in zip(texts, found, expected, strict=True):
        for one in theirs:
            if not any(other.type == one.type and other.start < one.end and one.start < other.end for other in mine):
                yield f"missed {one.type} {text[one.start : one.end]!r} in {text!r}"
        for one in mine:
            if not any(other.type == one.type and other.start < one.end and one.start < other.end for other in theirs):
                yield f"false {one.type} {text[one.start : one.end]!r} in {text!r}"


def alarms(check: Check, data: Path, limit: int) -> None:
    """Findings among texts of people in which nobody marked personal data."""
    print("\n| set | texts | with a finding, per 1,000 | findings by type |\n|---|---|---|---|")
    for name, file in (("banking77_benign", "data.parquet"), ("sgd_dialogues", "data.parquet"), ("books_public_domain", "")):
        texts = _texts(data / name, file, limit)
        found = found_in(check, texts)
        counts = Counter(one.type for spans in found for one in spans)
        listed = ", ".join(f"{kind} {count}" for kind, count in counts.most_common()) or "-"
        print(f"| {name} | {len(texts)} | {1000 * sum(map(bool, found)) / len(texts):.1f} | {listed} |")


def others(check: Check, data: Path) -> None:
    """The check on sets of other people; findings of types that a set does not label are left out."""
    for name, types in OTHERS.items():
        rows = pd.read_parquet(data / name / "data.parquet")
        expected = [
            [
                Labelled(types[one["entity_type"]], one["start_position"], one["end_position"])
                for one in json.loads(spans)
                if one["entity_type"] in types
            ]
            for spans in rows.spans
        ]
        wanted = {one.type for spans in expected for one in spans}
        found = [[one for one in spans if one.type in wanted] for spans in found_in(check, list(rows.text))]
        table(name, found, expected)


def _texts(folder: Path, file: str, limit: int) -> list[str]:
    if file:
        return list(pd.read_parquet(folder / file, columns=["text"]).text.sample(limit, random_state=3))
    with zipfile.ZipFile(folder / "books.zip") as archive:
        books = "\n\n".join(archive.read(name).decode() for name in sorted(archive.namelist()) if name.endswith(".md"))
    paragraphs = [one for one in books.split("\n\n") if len(one) > 80]
    return random.Random(3).sample(paragraphs, min(limit, len(paragraphs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--only", choices=("made", "others", "alarms"))
    parser.add_argument("--limit", type=int, default=3000, help="texts of each set of --data")
    parser.add_argument("--data", type=Path, default=os.environ.get("GENGUARD_DATA"))
    args = parser.parse_args()
    assert bech32(_segwit(random.Random(0)))
    check = checks.make("pii", {"languages": ("en", "zh")})
    check.load()
    print(f"`{check.version}`, {args.rounds} fillings a template, seed {args.seed}")
    if args.only in (None, "made"):
        made(check, args.rounds, args.seed, args.errors)
    if args.data and args.only in (None, "others"):
        others(check, args.data)
    if args.data and args.only in (None, "alarms"):
        alarms(check, args.data, args.limit)


def made(check: Check, rounds: int, seed: int, explain: bool) -> None:
    """Both halves of the templates, in each language and together."""
    for title, part in (("held out", 1), ("tuned on", 0)):
        both: tuple[list[list[Labelled]], list[list[Labelled]]] = ([], [])
        for language, templates in (("English", (*ENGLISH, *NEUTRAL)), ("Chinese", (*CHINESE, *NEUTRAL_CHINESE))):
            texts, expected = corpus(templates[part::2], rounds, random.Random(f"{seed} {title} {language}"))
            found = found_in(check, texts)
            table(f"{language}, {title}", found, expected)
            both[0].extend(found)
            both[1].extend(expected)
            if explain and title == "tuned on":
                print("", *dict.fromkeys(errors(texts, found, expected)), sep="\n")
        table(f"both, {title}", *both)


if __name__ == "__main__":
    main()
