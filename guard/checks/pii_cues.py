r"""Numbers and dates that mean nothing by themselves and are personal data after a word that says so: "MRN 4471829".

A cue is a word or phrase; between it and its value may stand punctuation, a few joining words ("is", "of the"), or, after a
phrase that leaves no doubt ("passport number"), any text without a digit. The pattern's group `value` is what is reported. Each
search starts at a cue, all gaps are bounded, and a cue is looked for only in texts that hold it and digits.
"""

from __future__ import annotations

from guard.checks import pii_checksums as sums
from guard.checks.pii_spec import Needs, PatternSpec

_NEAR = (
    r"(?:[^0-9A-Za-z\p{Han}]|(?:numbers?|no|nr|num|id|code|is|was|are|of|as|for|the|his|her|my|your|our|their|its|it|this|to|on"
    r"|at|has|been|changed|updated|reads|now|named|called|under|with|and|date|details)(?![A-Za-z])){0,12}?"
)
_FAR = r"[^0-9]{0,40}?"
_NEAR_ZH = (
    r"(?:[^0-9A-Za-z\p{Han}\n]|是|为|号码|号|编号|码|分别|如下|已?改为|已?更新为|请记录|记录为|显示为?|变更为|尾号"
    r"|您的|我的|他的|她的){0,6}?"
)
_START, _END = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_CODE = r"(?=(?:[A-Za-z./-]{0,8}[0-9]){%d})[A-Za-z0-9](?:[./-]?[A-Za-z0-9]){%d,23}"
_GROUPED = r"(?=(?:[0-9][ -]{0,2}){%d})[0-9]{1,12}(?:[ -]{1,2}[0-9]{2,8}){1,6}"

_YEAR = r"(?:1[89]|20)[0-9]{2}"
_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?)\.?"
)
_DAY = r"[0-3]?[0-9](?i:st|nd|rd|th)?"
DATE = (
    rf"(?:{_YEAR}[ ]?年[ ]?[01]?[0-9][ ]?月(?:[ ]?[0-3]?[0-9][ ]?[日号])?"
    rf"|{_YEAR}[./ -][01]?[0-9][./ -][0-3]?[0-9](?![0-9])|[0-3]?[0-9][./ -][0-3]?[0-9][./ -](?:{_YEAR}|[0-9]{{2}})(?![0-9])"
    rf"|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9])"
    rf"|{_MONTH}[ ]{{0,2}}{_DAY},?[ ]{{0,2}}'?(?:{_YEAR}|[0-9]{{2}}(?![0-9:]))"
    rf"|{_DAY}(?:[ ]of)?[ -]{{1,2}}{_MONTH},?[ -]{{1,2}}'?(?:{_YEAR}|[0-9]{{2}}(?![0-9:])))"
)
_DAY_OF_YEAR = (
    rf"(?:{_MONTH}[ ]{_DAY}(?![0-9:])|{_DAY}(?:[ ]of)?[ ]{_MONTH}(?![A-Za-z])"
    r"|[01]?[0-9][ ]?月[ ]?[0-3]?[0-9][ ]?[日号]?(?![0-9]))"
)


def _after(cues: str, gap: str, value: str, end: str = _END) -> str:
    """A pattern for a value after one of some cues, whose capitals do not count."""
    return rf"(?<![A-Za-z])(?i:{cues})(?![a-z]){gap}{_START}(?P<value>{value}){end}"


def _after_zh(cues: str, gap: str, value: str, end: str = _END) -> str:
    """The same for cues in Chinese, which may stand anywhere."""
    return rf"(?:{cues}){gap}{_START}(?P<value>{value}){end}"


def _cue(
    entity: str, name: str, words: str, *patterns: tuple[str, float], digits: int, first: bool = False, validate: object = None
) -> PatternSpec:
    """An entry of the table; `words`: what a text must have one of, in lower case, separated by blanks; `first`: of `Needs`."""
    return PatternSpec(
        entity,
        name,
        patterns,
        validate=validate,  # type: ignore[arg-type]
        needs=Needs(digits=digits, words=tuple(words.split()), first=first),
        not_after_code=True,
    )


_BIRTH = r"born|d\.?o\.?b\.?|date[ ]of[ ]birth|birth[ -]?dates?|birthday|day[ ]of[ ]birth|b-day|birth"
_PHONE = r"tele?phones?|phones?|tel|mobiles?|mob|cell(?:phone)?s?|fax|landline|whatsapp|hotline|ph|sms|handy|telefon|call-?back"
_CALL = (
    r"(?:call(?:ed|ing)?|text(?:ed|ing)?|dial(?:led|ed)?|ring|rang|reach(?:ed|able)?|contact(?:ed)?|message|phone)"
    r"(?:[ ][a-z']{1,12}){0,4}?[ ](?:on|at|under|via|by)|answer(?:ing|ed|s)?[ ](?:at|on)|messages?[ ](?:to|on|at)"
    r"|(?:call|dial|text|ring)(?:[ ](?:me|us|him|her|them|back))?"
)
_NO_IP = r"(?!(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9]))"
_EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?)[ ]?[0-9]{1,6})?"
_PHONE_VALUE = rf"{_NO_IP}[+(]?[0-9](?:[ ()/.-]{{0,2}}[0-9]){{5,12}}[0-9]{_EXTENSION}"
_PHONE_GROUPS = rf"{_NO_IP}(?!{DATE}|(?:[0-9]{{4}}[ .-]){{3}})[+(]?[0-9]{{2,4}}[)]?(?:[ .-][0-9]{{2,8}}){{1,4}}{_EXTENSION}"
_LINES = r"(?:office|fax|mobile|cell|desk|home|work|landline|direct|phone|tel)"
_ACCOUNT = (
    r"(?:(?:bank|checking|chequing|savings|current|deposit|beneficiary|payee|payroll|brokerage|loan|giro|member|wire)[ ]?)?"
    r"(?:account|acct|a/c|acc)[ ]?\.?[ ]?(?:numbers?|no\.?|nr\.?|num\.?|#|id)"
    r"|(?:bank|checking|chequing|savings|current|deposit|beneficiary)[ ]?(?:accounts?|acct|a/c|acc)|sort[ ]code[^0-9]{1,12}"
    r"[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}(?:,|;)?[ ](?:and[ ])?(?:account|acct)"
)
_ACCOUNT_VALUE = rf"(?!{DATE})(?:[A-Za-z]{{0,5}}-?[0-9]{{6,20}}[A-Za-z]?|{_GROUPED % 7})"
_CARD_WORD = rf"(?i:card|visa|mastercard|amex|卡号|信用卡|银行卡)[^0-9\n]{{0,20}}?{_START}"
_NUMBER_WORD = r"[ ]?(?:numbers?|no\.?|nr\.?|num\.?|#|ids?|identifiers?|code|identification)"

CUES = (
    _cue(
        "DATE_OF_BIRTH",
        "BirthDateCue",
        "born dob d.o.b birth b-day",
        (_after(_BIRTH, r"[^0-9\n]{0,24}?", DATE), 0.85),
        (_after(r"birthday|b-day", _NEAR, _DAY_OF_YEAR), 0.6),
        (_after(_BIRTH, r"[^0-9]{0,40}?[:?][ \n]{1,2}(?:[A-Za-z]{1,8}[:,]?[ ']{1,2}){0,4}", DATE), 0.7),
        digits=1,
    ),
    _cue(
        "CREDIT_CARD",
        "CardCue",
        "card visa mastercard amex 卡号 信用卡 银行卡",
        (_CARD_WORD + r"(?P<value>[2-6][0-9]{3}([ -]?)[0-9]{4}\2[0-9]{4}\2[0-9]{4})(?![0-9A-Za-z])", 0.35),
        (_CARD_WORD + r"(?P<value>[2-6][0-9]{3}([ -]?)[0-9X*•x]{4}\2[0-9X*•x]{4}\2[0-9]{4})(?![0-9A-Za-z])", 0.35),
        digits=8,
        first=True,
    ),
    _cue(
        "IBAN_CODE",
        "IbanCue",
        "iban",
        (_after("iban", r"[^0-9]{0,24}?", r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}"), 0.35),
        digits=2,
    ),
    _cue(
        "MEDICAL_RECORD",
        "MedicalRecordCue",
        "mrn medical patient chart health hospital encounter 病历 病案 住院 门诊 就诊 患者 病人 诊疗 就医 体检",
        (
            _after(
                rf"mrn|(?:medical|health|patient|clinical)(?:'s|s)?[ ]?(?:records?|chart|file)?{_NUMBER_WORD}|medical[ ]record"
                rf"|patient[ ](?:mrn|record|file)|(?:hospital|chart|encounter|admission){_NUMBER_WORD}",
                _FAR,
                _CODE % (5, 4),
            ),
            0.7,
        ),
        (
            _after_zh(
                "(?:病历本?|病案|住院|门诊|就诊卡?|患者|病人|诊疗卡?|就医|体检)(?:编号|号码|卡号|号|ID|id|编码|序号)",
                _NEAR_ZH,
                _CODE % (4, 3),
            ),
            0.7,
        ),
        digits=4,
    ),
)
"""For every language."""

ENGLISH_CUES = (
    _cue(
        "PHONE_NUMBER",
        "PhoneCue",
        "phone tel mobile mob cell fax landline whatsapp hotline ph sms handy call text dial ring rang reach contact message"
        " answer number registered office desk home work direct",
        (_after(_PHONE, r"[^0-9\n]{0,24}?", _PHONE_VALUE), 0.6),
        (_after(_CALL, r"[: ]{1,2}", _PHONE_VALUE), 0.6),
        (
            _after(
                _PHONE,
                rf"{_NUMBER_WORD}?[^0-9]{{0,28}}?[:?][ \n]{{1,2}}(?:[A-Za-z]{{1,8}}[:,]?[ ']{{1,2}}){{0,4}}",
                _PHONE_VALUE,
            ),
            0.6,
        ),
        (_after(rf"number|numbers|registered|{_LINES}", r"(?:[ ](?:is|was|on|at|to))?[ :]{1,2}", _PHONE_GROUPS), 0.5),
        (rf"(?<![0-9A-Za-z+])(?P<value>{_PHONE_GROUPS}|[0-9]{{9,11}})[ -]{{1,2}}[(]?(?i:{_LINES})(?![A-Za-z])", 0.5),
        digits=6,
        validate=sums.not_a_date,
    ),
    _cue(
        "US_SSN",
        "SsnCue",
        "ssn social",
        (_after(r"ssns?|social[ ]security|social", r"[^0-9\n*Xx]{0,32}?", r"[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4}"), 0.6),
        digits=9,
        validate=sums.ssn,
    ),
    _cue(
        "BANK_ACCOUNT",
        "AccountCue",
        "account acct a/c acc sort",
        (_after(_ACCOUNT, _FAR, _ACCOUNT_VALUE), 0.65),
        (
            _after(r"accounts?|acct|a/c|acc", _NEAR, rf"(?!{DATE})(?:[A-Za-z]{{0,5}}[0-9]{{8,18}}[A-Za-z]?|{_GROUPED % 9})"),
            0.62,
        ),
        (_after(r"sort[ ]code", _NEAR, r"[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}"), 0.6),
        digits=6,
    ),
    _cue(
        "ABA_ROUTING_NUMBER",
        "RoutingCue",
        "routing aba rtn transit",
        (_after(r"routing|aba|rtn|transit", _FAR, r"[0-9]{9}|[0-9]{4}-[0-9]{4}-[0-9]"), 0.75),
        digits=9,
        validate=sums.routing_number,
    ),
    _cue(
        "US_PASSPORT",
        "PassportCue",
        "passport",
        (_after(r"passports?", _FAR, r"[A-Z0-9][0-9]{8}"), 0.6),
        digits=8,
    ),
    _cue(
        "UK_PASSPORT",
        "UkPassportCue",
        "passport",
        (_after(r"(?:uk|british|gbr|united[ ]kingdom)[ ]passports?", _FAR, r"[0-9]{9}"), 0.75),
        digits=9,
    ),
    _cue(
        "PASSPORT",
        "OtherPassportCue",
        "passport",
        (
            _after(
                r"passports?",
                _FAR,
                r"(?!(?i:[A-Z][0-9]{8}|[0-9]{9})(?![0-9A-Za-z]))(?=(?:[A-Za-z]{0,4}[0-9]){4})[A-Za-z0-9]{7,11}",
            ),
            0.65,
        ),
        (_after(r"passports?", _FAR, r"[A-Z]{0,2}[ ]?[0-9]{2,4}(?:[ ][0-9]{2,4}){1,3}"), 0.5),
        digits=4,
        validate=sums.not_a_date,
    ),
    _cue(
        "DRIVER_LICENSE",
        "DriverLicenseCue",
        "licen dl dln",
        (
            _after(
                rf"(?:driver|driving|operator)(?:'s|’s|s'|s)?[ -]?(?:licen[cs]es?|permit)|licen[cs]e{_NUMBER_WORD}"
                rf"|dl{_NUMBER_WORD}|dln|dl",
                _FAR,
                rf"(?:DL[: ]{{1,2}})?{_CODE % (5, 5)}|[A-Z]?[0-9]{{2,4}}(?:[ -][0-9]{{2,5}}){{1,4}}",
            ),
            0.65,
        ),
        digits=5,
        validate=sums.not_a_date,
    ),
    _cue(
        "INSURANCE_NUMBER",
        "InsuranceCue",
        "insurance policy health medicare medicaid member subscriber insured hicn mbi",
        (
            _after(
                rf"(?:insurance|medicare|medicaid|health[ ]plan|member(?:ship)?|subscriber|insured|policy)"
                rf"[ ]?(?:policy|plan|card|member|beneficiary|claim|holder)?{_NUMBER_WORD}|insurance[ ]policy|hicn|mbi",
                _FAR,
                _CODE % (4, 4),
            ),
            0.6,
        ),
        digits=4,
        validate=sums.not_a_date,
    ),
    _cue(
        "TAX_ID",
        "TaxCue",
        "tax tin ein fein atin utr vat steuer nif dni nie cuit cpf cnpj codice fiscal employer",
        (
            _after(
                rf"tax(?:[ ]?payer)?(?:'s)?(?:[ ](?:id|identification|reference|file|registration))?{_NUMBER_WORD}?"
                rf"|tin|f?ein|atin|utr|vat{_NUMBER_WORD}?|steuer-?(?:id|nummer|identifikationsnummer)|cuit|cpf|cnpj"
                rf"|employer[ ]identification{_NUMBER_WORD}|codice[ ]fiscale|fiscal{_NUMBER_WORD}",
                r"[^0-9\n.!?]{0,32}?",
                rf"[0-9]{{2}}-[0-9]{{7}}|{_CODE % (7, 7)}|[0-9]{{2,3}}(?:[ ][0-9]{{3}}){{2,3}}",
            ),
            0.6,
        ),
        digits=7,
        validate=sums.not_a_date,
    ),
    _cue(
        "TAX_ID",
        "SpanishIdCue",
        "dni nie nif",
        (_after(r"dni|nie|nif", _FAR, r"[XYZ0-9][0-9]{7}-?[A-Za-z]"), 0.75),
        digits=7,
        validate=sums.spanish_id,
    ),
    _cue(
        "ID_NUMBER",
        "IdCue",
        "id identity identification voter employee staff student national citizen resident insurance sin visa",
        (
            _after(
                rf"(?:national|government|citizen|voter|employee|staff|student|resident|residence|social[ ]insurance)[ ]?"
                rf"(?:id|identity|identification|insurance|permit)?[ ]?(?:card)?{_NUMBER_WORD}"
                rf"|(?:identity|identification|id)[ ](?:card|document){_NUMBER_WORD}?"
                r"|id[ ](?:number|no\.?|nr\.?|#)|identification[ ]number",
                _NEAR,
                _CODE % (5, 4),
            ),
            0.5,
        ),
        digits=5,
        validate=sums.not_a_date,
    ),
    _cue(
        "LICENSE_PLATE",
        "PlateCue",
        "plate registration reg vrm tag vehicle",
        (
            _after(
                r"(?:(?:licen[cs]e|number|vehicle|registration|car)[ ]?)?plates?(?:[ ]?(?:numbers?|no\.?|#))?"
                r"|(?:vehicle|car)[ ]reg(?:istration)?(?:[ ](?:number|no\.?|mark|plate))?|registration[ ](?:number|mark|plate)"
                r"|reg\.?[ ](?:number|no\.?|plate)|vrm|tag[ ]number",
                r"[^0-9\n.!?]{0,28}?",
                r"(?=[A-Z0-9ÄÖÜ -]{0,6}[0-9])(?=[0-9 -]{0,6}[A-Z])(?:[A-Z]{2}[0-9]{2} ?[A-Z]{3}"
                r"|[A-ZÄÖÜ0-9]{1,4}[ ·-][A-Z0-9]{1,4}(?:[ -][A-Z0-9]{1,4})?|[A-Z0-9]{5,8})",
            ),
            0.6,
        ),
        digits=1,
    ),
)

_ACCOUNT_ZH = r"(?:账号|帐号|账户|帐户|户头|开户号)(?:号码|号)?"
_CARD_ZH = r"(?:银行|借记|信用|储蓄|工资)?卡(?:号码|号)"
_SHORT_ZH = r"[^0-9\n。；]{0,12}?"
_UNIONPAY = r"62[0-9]{14,17}|62[0-9]{2}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{1,3})?"

CHINESE_CUES = (
    _cue(
        "PHONE_NUMBER",
        "CnPhoneCue",
        "电话 手机 座机 固话 传真 致电 拨打 来电 热线 微信 联系方式 客服",
        (
            _after_zh(r"(?:电话|手机|座机|固话|传真|致电|拨打|来电|热线|联系方式|微信)(?:号码|号)?", _NEAR_ZH, _PHONE_VALUE),
            0.6,
        ),
        (_after_zh(r"电话|手机|热线|致电|拨打|客服", r"[^0-9\n]{0,10}?", r"[48]00[ -]?[0-9]{3,4}[ -]?[0-9]{3,4}"), 0.5),
        digits=7,
        validate=sums.not_a_date,
    ),
    _cue(
        "BANK_ACCOUNT",
        "CnAccountCue",
        "账号 帐号 账户 帐户 户头 开户号 卡号",
        (_after_zh(_ACCOUNT_ZH, _SHORT_ZH, rf"[0-9]{{9,30}}|{_GROUPED % 9}"), 0.6),
        (_after_zh(_CARD_ZH, _SHORT_ZH, _UNIONPAY), 0.5),
        digits=9,
        validate=sums.not_a_date,
    ),
    _cue(
        "CN_ID_CARD",
        "CnResidentIdCue",
        "身份证 公民身份",
        (
            _after_zh(
                r"(?:身份证|公民身份)(?:号码|号)",
                _SHORT_ZH,
                r"[1-9][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]{4}[0-9Xx]",
            ),
            0.35,
        ),
        digits=17,
    ),
    _cue(
        "CN_SOCIAL_CREDIT_CODE",
        "CnSocialCreditCue",
        "信用代码 信用码",
        (
            _after_zh(
                "信用(?:代码|码)",
                r"[^0-9A-Za-z\n。；]{0,8}?",
                r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}",
            ),
            0.35,
        ),
        digits=6,
    ),
    _cue(
        "PASSPORT",
        "CnOtherPassportCue",
        "护照 通行证 台胞证 回乡证",
        (
            _after_zh(
                "(?:护照|通行证|台胞证|回乡证)(?:号码|号|编号)?",
                _NEAR_ZH,
                r"(?=(?:[A-Za-z]{0,4}[0-9]){4})[A-Za-z0-9]{7,11}",
            ),
            0.5,
        ),
        digits=4,
        validate=sums.not_a_date,
    ),
    _cue(
        "DRIVER_LICENSE",
        "CnDriverLicenseCue",
        "驾驶证 驾照 驾驶执照",
        (
            _after_zh(
                "(?:驾驶证|驾照|驾驶执照)(?:档案)?(?:编号|号码|号|证号)?",
                _NEAR_ZH,
                r"[0-9]{17}[0-9Xx]|[0-9]{12,15}|[A-Z]{1,3}[0-9]{6,12}",
            ),
            0.65,
        ),
        digits=6,
    ),
    _cue(
        "INSURANCE_NUMBER",
        "CnInsuranceCue",
        "社保 医保 保单 社会保障 保险单 参保 医疗保险",
        (
            _after_zh(
                "(?:社保|医保|保单|社会保障|保险单|参保|医疗保险)(?:卡|个人|人)?(?:编号|号码|卡号|号|账号)",
                _NEAR_ZH,
                _CODE % (5, 4),
            ),
            0.6,
        ),
        digits=5,
    ),
    _cue(
        "TAX_ID",
        "CnTaxCue",
        "税号 纳税",
        (_after_zh("税号|纳税人?识别号|纳税人?识别码", _NEAR_ZH, _CODE % (8, 14)), 0.6),
        digits=8,
    ),
    _cue(
        "ID_NUMBER",
        "CnIdCue",
        "证件 学号 工号 员工 军官证 居住证 学生证 准考证",
        (
            _after_zh(
                "(?:证件|军官证|居住证|学生证|准考证|员工)(?:编号|号码|号)|学号|工号",
                _NEAR_ZH,
                _CODE % (4, 4),
            ),
            0.5,
        ),
        digits=4,
    ),
    _cue(
        "LICENSE_PLATE",
        "CnPlateCue",
        "车牌 牌照 牌号",
        (
            _after_zh(
                "(?:车牌|牌照|牌号)(?:号码|号)?",
                _NEAR_ZH,
                r"(?=[A-Z -]{0,5}[0-9])[A-Z0-9]{1,4}[ -]?[A-Z0-9]{2,5}",
            ),
            0.45,
        ),
        digits=1,
    ),
    _cue(
        "DATE_OF_BIRTH",
        "CnBirthDateCue",
        "生",
        (_after_zh("出生年月日?|出生日期|出生于|出生|生日|生于|诞生|降生", r"[^0-9\n，。；]{0,10}?", DATE, ""), 0.85),
        (_after_zh("生日", r"[^0-9\n。；]{0,8}?", _DAY_OF_YEAR, ""), 0.6),
        (rf"{_START}(?P<value>{DATE})[^0-9A-Za-z，。；,\n]{{0,8}}?(?:出生|生人|降生|诞生)", 0.8),
        digits=2,
    ),
)
