r"""Patterns of personal numbers and addresses, as plain data; `guard.checks.pii_engine` runs them.

Here are those that their form gives away, perhaps with a word near them; `guard.checks.pii_cues` has those that mean nothing
without a word before them. All borders are look-arounds over ASCII letters and digits, never a `\b`: Chinese characters count
as word characters, so that `\b` finds no border between them and a number. Every repetition is bounded, so that no text makes a
pattern slow.

Sources: ISO 13616 (IBAN, lengths from the SWIFT registry), GB 11643-1999 (Chinese resident ID), GB 32100-2015 (unified social
credit code), GA 36-2018 (Chinese plates), SSA rules for SSN, HMRC rules for NINO, DVLA rules for plates and driver numbers.
"""

from __future__ import annotations

from guard.checks import pii_checksums as sums
from guard.checks.pii_cues import CHINESE_CUES, CUES, ENGLISH_CUES
from guard.checks.pii_spec import Needs, PatternSpec

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
    rf"(?<![0-9A-Za-z]|[0-9A-Za-z][.-])"
    rf"(?<!(?:version|release|firmware|build|sections?|clause|chapter|oid|driver|kernel|revision|rev|版本|固件|章节)"
    rf"[ :：号v]{{0,2}})"
    rf"(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9A-Za-z]|\.[0-9])"
)
_URL_CREDENTIALS = (
    r"(?<![0-9A-Za-z])[a-z][a-z0-9+.-]{1,20}://[^\s/@:<>${}]{1,64}:[^\s/@<>${}]{1,128}@"
    r"[\p{Latin}0-9_.\[\]:-]{1,253}(?:[/?#][!-~]{0,512}(?<![.,;:!?'\")\]}>]))?"
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
        needs=Needs(words=("@",)),
    ),
    PatternSpec(
        "CREDIT_CARD",
        "CardPattern",
        tuple((f"(?<![0-9A-Za-z]|[0-9][.-]){card}(?![0-9A-Za-z]|[.-][0-9])", 0.3) for card in _CARD),
        (
            "card",
            "cards",
            "visa",
            "mastercard",
            "amex",
            "maestro",
            "debit",
            "credit",
            "cc",
            "卡号",
            "银行卡",
            "信用卡",
            "储蓄卡",
        ),
        sums.card,
        needs=Needs(run=12),
        not_after_code=True,
    ),
    PatternSpec(
        "IBAN_CODE",
        "IbanPattern",
        ((f"{_NOT_AFTER_WORD}(?:{_IBAN}){_NOT_BEFORE_WORD}", 0.5),),
        validate=sums.iban,
        ignore_case=True,
        needs=Needs(digits=2),
    ),
    PatternSpec(
        "URL_CREDENTIALS", "UrlCredentialsPattern", ((_URL_CREDENTIALS, 0.98),), ignore_case=True, needs=Needs(words=("://",))
    ),
    PatternSpec(
        "IP_ADDRESS",
        "Ipv4Pattern",
        ((_IPV4, 0.6),),
        ignore_case=True,
        needs=Needs(run=4),
    ),
    PatternSpec(
        "IP_ADDRESS",
        "Ipv6Pattern",
        ((r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])", 0.6),),
        validate=sums.ipv6,
        needs=Needs(words=(":",)),
    ),
    PatternSpec(
        "MAC_ADDRESS",
        "MacPattern",
        ((r"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Za-z:-])", 0.6),),
        needs=Needs(like=":[0-9a-f]{2}:[0-9a-f]{2}:|-[0-9a-f]{2}-[0-9a-f]{2}-"),
    ),
    PatternSpec(
        "MAC_ADDRESS",
        "CiscoMacPattern",
        ((r"(?<![0-9A-Za-z.])(?=[0-9.]{0,13}[a-f])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![0-9A-Za-z.])", 0.5),),
        ignore_case=True,
        needs=Needs(like=r"\.[0-9a-f]{4}\."),
    ),
    PatternSpec(
        "CRYPTO",
        "BitcoinPattern",
        ((f"{_NOT_AFTER_WORD}[13LMDT][1-9A-HJ-NP-Za-km-z]{{25,33}}{_NOT_BEFORE_WORD}", 0.5),),
        validate=sums.base58check,
        needs=Needs(like="(?<![0-9a-z])[0-9a-z]{26}"),
    ),
    PatternSpec(
        "CRYPTO",
        "Bech32Pattern",
        ((f"{_NOT_AFTER_WORD}(?:bc1|ltc1)[02-9ac-hj-np-z]{{11,71}}{_NOT_BEFORE_WORD}", 0.7),),
        validate=sums.bech32,
        ignore_case=True,
        needs=Needs(words=("bc1", "ltc1")),
    ),
    PatternSpec(
        "CRYPTO",
        "EthereumPattern",
        ((f"{_NOT_AFTER_WORD}0[xX][0-9A-Fa-f]{{40}}{_NOT_BEFORE_WORD}", 0.7),),
        needs=Needs(words=("0x",)),
    ),
    PatternSpec(
        "PHONE_NUMBER",
        "InternationalPhonePattern",
        ((_INTERNATIONAL, 0.6),),
        ignore_case=True,
        needs=Needs(run=8),
    ),
    *CUES,
)
"""For every language."""

_PHONE_WORDS = ("phone", "phones", "telephone", "cell", "cellphone", "mobile", "call", "called", "tel", "dial", "sms", "text",
                "whatsapp", "fax", "reach", "reached", "contact", "landline")  # fmt: skip
_NORTH_AMERICAN = (
    r"(?<![0-9A-Za-z+]|[0-9][.-])(?:(?:00)?1[ .-])?(?:\([2-9][0-9]{2}\) ?-?|[2-9][0-9]{2}[ .-])"
    r"[0-9]{3}[ .-][0-9]{4}(?:[ ,]{0,2}(?:x|ext\.?)[ ]?[0-9]{1,6})?(?![0-9A-Za-z]|[.-][0-9])"
)
_NINO = (
    rf"{_NOT_AFTER_WORD}(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?"
    rf"[0-9]{{2}}[ -]?[0-9]{{2}}[ -]?[0-9]{{2}}[ -]?[A-D]{_NOT_BEFORE_WORD}"
)

_BRITISH = (
    r"(?<![0-9A-Za-z+.,$€£#-])(?=[(]?(?:[0-9][ )-]{0,2}){9,10}[0-9](?![0-9]))"
    r"(?:[(]0[1-37-9][0-9]{1,4}[)]|0[1-37-9][0-9]{1,4})[ -]{1,2}[0-9]{3,8}(?:[ -][0-9]{3,4}){0,2}(?![0-9A-Za-z]|[ .-][0-9])"
)
_BRITISH_DRIVER = (
    rf"{_NOT_AFTER_WORD}[A-Z9]{{5}} ?[0-9][0156][0-9][0-3][0-9]{{2}} ?[A-Z9]{{2}}[A-Z0-9]? ?[A-Z0-9]{{2}}{_NOT_BEFORE_WORD}"
)
_EUROPEAN_PLATE = (
    rf"{_NOT_AFTER_WORD}(?:[A-HJ-PR-Y][A-HJ-PR-Y](?:0[1-9]|[1-7][0-9]) ?[A-HJ-PR-Z]{{3}}|[A-HJ-PR-TV-Z][0-9]{{1,3}} ?[A-Z]{{3}}"
    rf"|[A-HJ-NP-TV-Z]{{2}}-[0-9]{{3}}-[A-HJ-NP-TV-Z]{{2}}|[A-ZÄÖÜ]{{1,3}}-[A-Z]{{1,2}} ?[0-9]{{2,4}}){_NOT_BEFORE_WORD}"
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
        needs=Needs(run=7),
        not_after_code=True,
    ),
    PatternSpec(
        "PHONE_NUMBER",
        "EuropeanPhonePattern",
        (
            (_BRITISH, 0.45),
            (r"(?<![0-9A-Za-z+.,-])0[1-9](?:\.[0-9]{2}){4}(?![0-9A-Za-z]|[.-][0-9])", 0.5),  # France
            (r"(?<![0-9A-Za-z+.,-])0[1-9](?:[ -][0-9]{2}){4}(?![0-9A-Za-z]|[ .-][0-9])", 0.3),
        ),
        _PHONE_WORDS,
        needs=Needs(run=10),
    ),
    PatternSpec(
        "US_SSN",
        "SsnPattern",
        (
            (r"(?<![0-9A-Za-z.-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])", 0.5),
            (r"(?<![0-9A-Za-z.-])(?!000|666|9)[0-9]{3} (?!00)[0-9]{2} (?!0000)[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])", 0.3),
            (f"{_NOT_AFTER_WORD}(?!000|666|9)[0-9]{{3}}(?!00)[0-9]{{2}}(?!0000)[0-9]{{4}}{_NOT_BEFORE_WORD}", 0.05),
        ),
        ("social", "ssn", "ssns", "ssid", "ss#"),
        sums.ssn,
        needs=Needs(run=9),
    ),
    PatternSpec(
        "US_ITIN",
        "ItinPattern",
        ((r"(?<![0-9A-Za-z.-])9[0-9]{2}-(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])-[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])", 0.5),),
        ("itin", "taxpayer", "tax"),
        needs=Needs(run=9),
    ),
    PatternSpec(
        "US_PASSPORT",
        "UsPassportPattern",
        ((f"{_NOT_AFTER_WORD}[A-Z0-9][0-9]{{8}}{_NOT_BEFORE_WORD}", 0.1),),
        ("passport", "passports"),
        needs=Needs(run=8),
    ),
    PatternSpec(
        "US_BANK_NUMBER",
        "UsBankPattern",
        ((f"{_NOT_AFTER_WORD}[0-9]{{8,17}}{_NOT_BEFORE_WORD}", 0.05),),
        ("bank", "routing", "checking", "savings", "aba"),
        needs=Needs(run=8),
    ),
    PatternSpec(
        "UK_NINO",
        "NinoPattern",
        ((_NINO, 0.5),),
        ("insurance", "nino", "ni"),
        ignore_case=True,
        needs=Needs(digits=6),
    ),
    PatternSpec(
        "UK_NHS",
        "NhsPattern",
        ((r"(?<![0-9A-Za-z])[0-9]{3}([ -]?)[0-9]{3}\1[0-9]{4}(?![0-9A-Za-z])", 0.2),),
        ("nhs",),
        sums.nhs,
        needs=Needs(run=10),
        not_after_code=True,
    ),
    PatternSpec(
        "IN_AADHAAR",
        "AadhaarPattern",
        ((r"(?<![0-9A-Za-z]|[0-9][ -])[2-9][0-9]{3}([ -]?)[0-9]{4}\1[0-9]{4}(?![0-9A-Za-z]|[ -][0-9])", 0.3),),
        ("aadhaar", "aadhar", "uidai"),
        sums.aadhaar,
        needs=Needs(run=12),
        not_after_code=True,
    ),
    PatternSpec(
        "IN_PAN",
        "PanPattern",
        ((f"{_NOT_AFTER_WORD}[A-Z]{{3}}[ABCFGHLJPT][A-Z][0-9]{{4}}[A-Z]{_NOT_BEFORE_WORD}", 0.3),),
        ("pan", "permanent", "tax"),
        needs=Needs(run=4),
    ),
    PatternSpec(
        "MEDICAL_LICENSE",
        "DeaPattern",
        ((f"{_NOT_AFTER_WORD}[ABCDEFGHJKLMPRSTUX][A-Z9][0-9]{{7}}{_NOT_BEFORE_WORD}", 0.3),),
        ("dea", "medical", "license", "certificate", "prescriber"),
        sums.dea,
        needs=Needs(run=7),
    ),
    PatternSpec(
        "DRIVER_LICENSE",
        "BritishDriverPattern",
        ((_BRITISH_DRIVER, 0.5),),
        ("licence", "license", "driving", "driver", "driver's", "dvla"),
        needs=Needs(digits=6),
    ),
    PatternSpec(
        "LICENSE_PLATE",
        "EuropeanPlatePattern",
        ((_EUROPEAN_PLATE, 0.2),),
        (
            "plate",
            "plates",
            "registration",
            "registered",
            "reg",
            "vehicle",
            "car",
            "van",
            "truck",
            "lorry",
            "motorbike",
            "motorcycle",
            "taxi",
            "parked",
            "driving",
            "drives",
            "vrm",
            "sedan",
            "suv",
            "hatchback",
            "bmw",
            "audi",
            "ford",
            "vauxhall",
            "volvo",
            "toyota",
            "tesla",
            "honda",
            "volkswagen",
            "mercedes",
        ),
        needs=Needs(digits=1),
    ),
    PatternSpec(
        "TAX_ID",
        "FiscalCodePattern",
        ((f"{_NOT_AFTER_WORD}[A-Z]{{6}}[0-9]{{2}}[A-EHLMPRST][0-9]{{2}}[A-Z][0-9]{{3}}[A-Z]{_NOT_BEFORE_WORD}", 0.6),),
        ("fiscale", "fiscal", "tax"),
        ignore_case=True,
        needs=Needs(digits=7, like="[0-9]{2}[a-z][0-9]{2}[a-z][0-9]{3}[a-z]"),
    ),
    *ENGLISH_CUES,
)

_PROVINCE = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|91)"
_SURNAME = (
    "(?:欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯|"
    "[王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾韦付方白"
    "邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤])"
)
_TITLES = "先生|女士|小姐|老师|医生|经理|律师|教授"
_NAME_CUE = "姓名|名字|联系人|收件人|收货人|户名|持卡人|乘客|患者|投保人|申请人|我叫|名叫|叫做|他叫|她叫|客户[:：]|本人"
_AFTER_NAME = r"(?=[^\p{Han}]|$|[的是今先女小在来住和也有电手身已将于联与])"
_NOT_IN_ADDRESS = "我你他她它在是住到于的请往寄送为址"
_PLATE_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = (
    rf"(?:[{_PLATE_PROVINCES}][A-HJ-NP-Z][·•・.\- ]?(?!DP[0-9]{{4}}|[BC]2[BC])"
    r"(?:(?=(?:[A-Z]{0,2}[0-9]){3})[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳]|[A-HJK][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[A-HJK])"
    r"|[京沪粤][A-Z]?[0-9]{5}使|使[0-9]{6})(?![0-9A-Za-z年])"
)
_CN_MOBILE = r"(?<![0-9A-Za-z+]|[0-9][.-])(?:(?:00)?86[ )-]{0,2})?1[3-9][0-9]([ -]?)[0-9]{4}\1[0-9]{4}(?![0-9A-Za-z]|[.-][0-9])"
_SOCIAL_CREDIT = (
    rf"{_NOT_AFTER_WORD}[1-9ANY][1-9]"
    rf"{_PROVINCE}[0-9]{{4}}[0-9A-HJ-NPQRTUWXY]{{10}}{_NOT_BEFORE_WORD}"
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
        needs=Needs(digits=1),
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
        sums.cn_resident_id,
        needs=Needs(run=17),
    ),
    PatternSpec(
        "CN_ID_CARD",
        "CnOldResidentIdPattern",
        ((rf"{_NOT_AFTER_WORD}{_PROVINCE}[0-9]{{13}}{_NOT_BEFORE_WORD}", 0.2),),
        ("身份证", "证件"),
        sums.cn_resident_id_old,
        needs=Needs(run=15),
        not_after_code=True,
    ),
    PatternSpec(
        "PHONE_NUMBER",
        "CnMobilePattern",
        ((_CN_MOBILE, 0.6),),
        ("手机", "电话", "联系", "致电", "拨打", "微信"),
        needs=Needs(run=11),
        not_after_code=True,
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
        needs=Needs(run=9),
        not_after_code=True,
    ),
    PatternSpec(
        "CN_PASSPORT",
        "CnPassportPattern",
        ((rf"{_NOT_AFTER_WORD}(?:E[A-HJ-NP-Z]|[EGDSPH])[0-9]{{7,8}}{_NOT_BEFORE_WORD}", 0.2),),
        ("护照", "通行证", "passport"),
        ignore_case=True,
        needs=Needs(run=7),
    ),
    PatternSpec(
        "CN_LICENSE_PLATE",
        "CnPlatePattern",
        ((_PLATE, 0.6),),
        ignore_case=True,
        needs=Needs(digits=3, words=(*_PLATE_PROVINCES, "使")),
    ),
    PatternSpec(
        "CN_SOCIAL_CREDIT_CODE",
        "CnSocialCreditCodePattern",
        ((_SOCIAL_CREDIT, 0.5),),
        validate=sums.social_credit_code,
        ignore_case=True,
        needs=Needs(digits=7),
    ),
    *CHINESE_CUES,
    PatternSpec(
        "PERSON",
        "CnNamePattern",
        (
            (rf"(?<=(?:{_NAME_CUE})[是为叫:： ]{{0,2}}){_SURNAME}\p{{Han}}{{1,2}}?{_AFTER_NAME}", 0.75),
            (rf"(?<=(?:{_NAME_CUE})[是为叫:： ]{{0,2}}){_SURNAME}(?!\p{{Han}}{{1,2}}?{_AFTER_NAME})\p{{Han}}{{2}}", 0.7),
            (rf"{_SURNAME}\p{{Han}}{{0,2}}(?:{_TITLES})", 0.6),
        ),
        needs=Needs(words=tuple(f"{_NAME_CUE}|{_TITLES}".replace("[:：]", "").split("|"))),
    ),
    PatternSpec(
        "STREET_ADDRESS",
        "CnAddressPattern",
        ((_CN_ADDRESS, 0.7),),
        needs=Needs(digits=1, words=("号", "弄")),
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
