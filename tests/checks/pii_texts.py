"""Seeded texts with and without personal data of every kind, for comparing two ways to look for it."""

from __future__ import annotations

import random

_ENGLISH = (
    "the of and to in a is that it was for on are as with his they at be this from have or by one had not but "
    "what all were when your can said there use an each which she do how their if will up other about out many "
    "then them these so some her would make please order shipped client meeting account card phone passport born "
    "insurance routing number patient license plate tax id version invoice tracking ticket room model call at "
    "reach on is was "
)
_CHINESE = (
    "我们 今天 订单 已经 发货 请 联系 客服 电话 手机 号码 身份证号 银行卡号 账号 出生日期 生日 病历号 护照 车牌号 "
    "住在 是 为 的 了 ， 。 ： 版本 会议 上海 王小明 先生 驾驶证号 社保号 税号 统一社会信用代码 微信 邮箱 "
)
WORDS, CHINESE = _ENGLISH.split(), _CHINESE.split()
VALUES = (
    "maria.gonzalez@example.com", "jörg@example.de", "4539 1488 0343 6467", "4111111111111111",
    "6222-0000-0000-0000-103", "378282246310005", "4111 1111 1111 1112", "DE89 3704 0044 0532 0130 00",
    "gb33bukb20201555555555", "10.0.0.1", "1.2.3.4", "2001:db8:85a3::8a2e:370:7334", "fe80::1", "00:1B:44:11:3A:B7",
    "001b.4411.3ab7", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "0x52908400098527886E0F7030069857D2E4169EE7", "+1 415 555 0134", "(212) 555-0100", "001-455-475-0732x1480",
    "020 7946 0958", "555-0134", "4155552671", "13812345678", "+86 138-1234-5678", "010-12345678", "0755-87654321",
    "01.84.17.61.18", "07911 123456", "536-22-8471", "536 22 8471", "536228471", "912-70-1234", "912803456",
    "E12345678", "C01X00T47", "AB 12 34 56 C", "943 476 5919", "2341 2341 2346", "BNZPM2501F", "AB1234563",
    "11010519491231002X", "110105491231002", "91110000802100433B", "京A·12345", "粤AD12345", "使123456", "AB12 CDE",
    "7ABC123", "MORGA657054SM9IJ", "021000021", "12345678", "6217000123456789012", "20-00-00", "1988-03-14",
    "03/14/1988", "March 14, 1988", "14 March 1988", "1988年3月14日", "MRN 4471829", "AHC-0933289", "D245-938-19-203",
    "12-3456789", "RSSMRA85T10A562S", "12345678Z", "CP198753", "postgres://shop:Kq7xPz29@db.example.com:5432/shop",
    "https://example.com/items?id=4155552671", "张伟", "Maria Gonzalez", "12 High St, Flat 3B",
    "北京市海淀区中关村大街27号1101室", "P.O. Box 1234", "v3.18.0", "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "6f1f0ad4-0b8f-4c57-9d31-6f0b8f3f1f6e", "978-3-16-148410-0", "$1,234.56", "12:30:45", "3:16", "#1A2B3C", "RTX 4090",
    "S3",
)  # fmt: skip
CUES = (
    "UK passport", "phone", "tel.", "call me at", "card number", "SSN", "social security", "passport no.",
    "driver's license", "account number", "routing", "MRN", "patient ID", "DOB", "born on", "IBAN", "NINO",
    "NHS number", "PAN", "Aadhaar", "tax id", "policy number", "license plate", "MAC", "IP", "employee id",
    "order number", "tracking no.", "DNI", "sort code", "codice fiscale", "birthday", "手机号", "电话：", "身份证号码",
    "银行卡号", "账号是", "出生日期：", "病历号", "护照号", "车牌", "驾照", "医保卡号", "税号", "信用代码", "学号",
    "订单号",
)  # fmt: skip
NOISE = (
    " ", "  ", "\n", "，", ": ", " - ", "、", "\t", "", "", "/", "(", ")", "“", "😀", "\ud800", "ſ", "K", "İ", "ı",
    "７", "，的",
)  # fmt: skip


def texts(count: int, seed: int) -> list[str]:
    """`count` texts: a third without any value, the others with up to four values, some of them damaged."""
    draw = random.Random(seed)
    return [_text(draw) for _ in range(count)]


def _text(draw: random.Random) -> str:
    words, glue = (WORDS, " ") if draw.random() < 0.6 else (CHINESE, "")
    parts = [glue.join(draw.choices(words, k=draw.randint(2, 14)))]
    for _ in range(draw.choice((0, 0, 1, 1, 2, 4))):
        if draw.random() < 0.6:
            parts.append(draw.choice(CUES))
        parts.append(_damaged(draw, draw.choice(VALUES)) if draw.random() < 0.3 else draw.choice(VALUES))
        if draw.random() < 0.5:
            parts.append(glue.join(draw.choices(words, k=draw.randint(1, 6))))
    text = "".join(part + draw.choice(NOISE if draw.random() < 0.3 else (" ",)) for part in parts)
    return text.upper() if draw.random() < 0.1 else text.lower() if draw.random() < 0.1 else text


def _damaged(draw: random.Random, value: str) -> str:
    """The value with a character changed, a digit added, or its separators gone."""
    place = draw.randrange(len(value))
    return draw.choice(
        (
            value[:place] + draw.choice("0123456789X -.") + value[place + 1 :],
            value[:place] + draw.choice("0123456789") + value[place:],
            value.replace(" ", "").replace("-", ""),
            value[: max(4, place)],
            value.translate({code: code + 0xFEE0 for code in range(0x30, 0x3A)}),
        )
    )
