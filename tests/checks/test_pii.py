"""The `pii` check: what it finds, where, what it leaves alone, and that it stays offline and quick."""

from __future__ import annotations

import socket
import time
from importlib.metadata import version
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.checks import pii, pii_checksums, pii_engine, pii_spec
from guard.checks.pii_search import PatternSearch
from guard.errors import ModelError, RegistryError
from guard.protocols import Check
from guard.registry import checks
from guard.taxonomy import CATEGORIES
from guard.types import CALLER, Content, Modality, Request, Span, Stage
from tests.checks import pii_negatives


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """No test may open a connection or look a name up."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """A pipeline without a model: what remains are the patterns."""
    import spacy

    path = tmp_path_factory.mktemp("pipeline") / "nameless"
    spacy.blank("en").to_disk(path)
    return str(path)


@pytest.fixture(scope="module", params=["Presidio", "ours"])
def patterns(nameless, request):
    """The check in English and Chinese, patterns alone, by either search."""
    check = _loaded(languages=["en", "zh"], model=nameless)
    if request.param == "ours":
        check._search = PatternSearch(("en", "zh"), {}, (), check._entities, check.unbroken)
    return check


@pytest.fixture(scope="module")
def bundled():
    """The check as a policy gets it without parameters."""
    return _loaded()


def _loaded(**parameters):
    check = checks.make("pii", parameters)
    check.load()
    return check


def _content(text):
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))


def _found(check, text):
    (scan,) = check([_content(text)])
    assert Span(0, len(text)) == scan.scanned
    return [(finding.label, text[finding.where.start : finding.where.end]) for finding in scan.findings]


POSITIVE = (
    ("write to maria.gonzalez@example.com.", "EMAIL_ADDRESS", "maria.gonzalez@example.com"),
    ("mailto:o'hara+tag@mail.example.co.uk now", "EMAIL_ADDRESS", "o'hara+tag@mail.example.co.uk"),
    ("jörg.müller@example.de", "EMAIL_ADDRESS", "jörg.müller@example.de"),
    ("邮箱zhang@example.com谢谢", "EMAIL_ADDRESS", "zhang@example.com"),
    ("card 4539 1488 0343 6467 12 times", "CREDIT_CARD", "4539 1488 0343 6467"),
    ("卡号4111111111111111谢谢", "CREDIT_CARD", "4111111111111111"),
    ("amex 3782 822463 10005", "CREDIT_CARD", "3782 822463 10005"),
    ("6222-0000-0000-0000-103?", "CREDIT_CARD", "6222-0000-0000-0000-103"),
    ("to DE89 3704 0044 0532 0130 00 is fine", "IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
    ("GB33BUKB20201555555555", "IBAN_CODE", "GB33BUKB20201555555555"),
    ("from 10.0.0.1.", "IP_ADDRESS", "10.0.0.1"),
    ("IP是10.0.0.1。", "IP_ADDRESS", "10.0.0.1"),
    ("at 2001:db8:85a3::8a2e:370:7334", "IP_ADDRESS", "2001:db8:85a3::8a2e:370:7334"),
    ("mac 00:1B:44:11:3A:B7", "MAC_ADDRESS", "00:1B:44:11:3A:B7"),
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("phone +1 415 555 0134, ok", "PHONE_NUMBER", "+1 415 555 0134"),
    ("call (212) 555-0100 today", "PHONE_NUMBER", "(212) 555-0100"),
    ("001-455-475-0732x1480", "PHONE_NUMBER", "001-455-475-0732x1480"),
    ("call 020 7946 0958 2 times", "PHONE_NUMBER", "020 7946 0958"),
    ("her phone is 555-0134.", "PHONE_NUMBER", "555-0134"),
    ("my phone is 4155552671", "PHONE_NUMBER", "4155552671"),
    ("手机13812345678，", "PHONE_NUMBER", "13812345678"),
    ("座机010-12345678。", "PHONE_NUMBER", "010-12345678"),
    ("her ssn: 536-22-8471", "US_SSN", "536-22-8471"),
    ("ssn 536228471", "US_SSN", "536228471"),
    ("passport 912803456", "US_PASSPORT", "912803456"),
    ("nino AB 12 34 56 C", "UK_NINO", "AB 12 34 56 C"),
    ("nhs 943 476 5919", "UK_NHS", "943 476 5919"),
    ("身份证号11010519491231002X。", "CN_ID_CARD", "11010519491231002X"),
    ("身份证１１０１０５１９４９１２３１００２Ｘ号", "CN_ID_CARD", "１１０１０５１９４９１２３１００２Ｘ"),
    ("护照号E12345678", "CN_PASSPORT", "E12345678"),
    ("车牌京A·12345", "CN_LICENSE_PLATE", "京A·12345"),
    ("我叫张伟今年三十", "PERSON", "张伟"),
    ("联系人：欧阳小红，", "PERSON", "欧阳小红"),
    ("She moved to 12 High St, Flat 3B, last year.", "STREET_ADDRESS", "12 High St, Flat 3B"),
    ("registered at 77774 Douglas Summit, Joyfort. Anything else?", "STREET_ADDRESS", "77774 Douglas Summit, Joyfort"),
    ("to 1600 Pennsylvania Avenue, Washington, DC 20500.", "STREET_ADDRESS", "1600 Pennsylvania Avenue, Washington, DC 20500"),
    ("Write to P.O. Box 1234 today", "STREET_ADDRESS", "P.O. Box 1234"),
    ("我住在北京市海淀区中关村大街27号1101室", "STREET_ADDRESS", "北京市海淀区中关村大街27号1101室"),
)


CUED = (
    ("电话：+86 138-1234-5678", "PHONE_NUMBER", "+86 138-1234-5678"),
    ("或0086-13812345678。", "PHONE_NUMBER", "0086-13812345678"),
    ("请拨打400-810-8888", "PHONE_NUMBER", "400-810-8888"),
    ("Tel. 01 42 68 53 00", "PHONE_NUMBER", "01 42 68 53 00"),
    ("try 01.84.17.61.18 tonight", "PHONE_NUMBER", "01.84.17.61.18"),
    ("They're not answering at 99 668472", "PHONE_NUMBER", "99 668472"),
    ("089 72 63 41 office", "PHONE_NUMBER", "089 72 63 41"),
    ("ＴＥＬ：０７５５－８７６５４３２１", "PHONE_NUMBER", "０７５５－８７６５４３２１"),
    ("my social is 123456789", "US_SSN", "123456789"),
    ("the ITIN 912-70-1234", "US_ITIN", "912-70-1234"),
    ("UK passport number 533401372", "UK_PASSPORT", "533401372"),
    ("the German passport C01X00T47", "PASSPORT", "C01X00T47"),
    ("港澳通行证C12345678", "PASSPORT", "C12345678"),
    ("统一社会信用代码91110000802100433B", "CN_SOCIAL_CREDIT_CODE", "91110000802100433B"),
    ("粤AD12345停在门口", "CN_LICENSE_PLATE", "粤AD12345"),
    ("Her car (AB12 CDE) was parked", "LICENSE_PLATE", "AB12 CDE"),
    ("license plate 7ABC123", "LICENSE_PLATE", "7ABC123"),
    ("account number 000123456789", "BANK_ACCOUNT", "000123456789"),
    ("sort code 20-00-00", "BANK_ACCOUNT", "20-00-00"),
    ("对公账户1209 9999 1234 5678 901已冻结", "BANK_ACCOUNT", "1209 9999 1234 5678 901"),
    ("卡号6217 0001 2345 6789 012", "BANK_ACCOUNT", "6217 0001 2345 6789 012"),
    ("routing number 021000021", "ABA_ROUTING_NUMBER", "021000021"),
    ("MAC 001b.4411.3ab7", "MAC_ADDRESS", "001b.4411.3ab7"),
    ("at http://admin:s3cret@10.0.0.5:8080/path.", "URL_CREDENTIALS", "http://admin:s3cret@10.0.0.5:8080/path"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "CRYPTO", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    ("0x742d35Cc6634C0532925a3b844Bc454e4438f44e", "CRYPTO", "0x742d35Cc6634C0532925a3b844Bc454e4438f44e"),
    ("DOB: 1988-03-14", "DATE_OF_BIRTH", "1988-03-14"),
    ("She was born in Leeds on 14 March 1988.", "DATE_OF_BIRTH", "14 March 1988"),
    ("Bot: date of birth? User: 3/14/1988", "DATE_OF_BIRTH", "3/14/1988"),
    ("他1985年10月1日出生", "DATE_OF_BIRTH", "1985年10月1日"),
    ("生日是3月14日", "DATE_OF_BIRTH", "3月14日"),
    ("MRN#12345678", "MEDICAL_RECORD", "12345678"),
    ("Patient ID AHC-0933289", "MEDICAL_RECORD", "AHC-0933289"),
    ("住院号 0045123", "MEDICAL_RECORD", "0045123"),
    ("licence MORGA657054SM9IJ", "DRIVER_LICENSE", "MORGA657054SM9IJ"),
    ("driver’s license Y820-9283-4432", "DRIVER_LICENSE", "Y820-9283-4432"),
    ("驾驶证号330106123456", "DRIVER_LICENSE", "330106123456"),
    ("insurance policy #88291-LK", "INSURANCE_NUMBER", "88291-LK"),
    ("医保卡号：A12345678", "INSURANCE_NUMBER", "A12345678"),
    ("EIN 12-3456789", "TAX_ID", "12-3456789"),
    ("codice fiscale RSSMRA85T10A562S", "TAX_ID", "RSSMRA85T10A562S"),
    ("DNI 12345678Z", "TAX_ID", "12345678Z"),
    ("aadhaar 2341 2341 2346", "IN_AADHAAR", "2341 2341 2346"),
    ("PAN BNZPM2501F", "IN_PAN", "BNZPM2501F"),
    ("employee ID number 56789-T", "ID_NUMBER", "56789-T"),
    ("学号20190123，", "ID_NUMBER", "20190123"),
)


@pytest.mark.parametrize(("text", "entity", "value"), [*POSITIVE, *CUED])
def test_a_pattern_reports_exactly_the_personal_data(patterns, text, entity, value):
    """Entity type and place are those of the table, next to Latin and to Chinese text."""
    assert [(entity, value)] == _found(patterns, text)


NEGATIVE = (
    "There are 2 ways to get to The Great Park Run.",
    "Flight 204 over Crater Lake leaves at 6:30 on Main Street.",
    "It is $15 Park entry, or 3 Star Lodge points.",
    "Order 48213 shipped, order number 4155552671.",
    "Upgrade to v3.18.0; version 1.2.3.4 is old; the files are in S3.",
    "at 12:30:45 on 2024-01-15, 15/01/2024 or 10.05.2024",
    "total $1,234,567.89 for SKU-88123 and AB-123456",
    "std::vector<int> a::b and ::",
    "card 4539 1488 0343 6468",  # wrong check digit
    "DE89 3704 0044 0532 0130 01",  # wrong check digits
    "身份证110105194912310021",  # wrong check digit
    "身份证110105194913310021",  # no such month
    "a@b, @maria, maria@localhost",
    "999.1.1.1 and 1.2.3.4.5",
    "078-05-1120",  # printed in advertisements
    "the hotel has 415 rooms and 555 guests",
    "订单48213已发货，版本v3.18.0，共2024条。",
    "该路线全长27公里。",
)


@pytest.mark.parametrize("text", [*NEGATIVE, *pii_negatives.ENGLISH, *pii_negatives.CHINESE])
def test_what_only_looks_like_personal_data_is_left_alone(patterns, text):
    """Orders, versions, dates, amounts and numbers with a wrong checksum are no findings."""
    assert _found(patterns, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Sure, the account of Maria Gonzalez, maria.gonzalez@example.com, phone +1 415 555 0134, card 4539 1488 0343 6467.",
        "Contact: Maria Gonzalez, maria.gonzalez@example.com, +1 415 555 0134, 4539 1488 0343 6467",
    ],
)
def test_a_leak_in_a_service_dialogue_is_found_whole(bundled, text):
    """Name, address, number and card of one sentence are four findings, each at its place."""
    expected = {
        ("PERSON", "Maria Gonzalez"),
        ("EMAIL_ADDRESS", "maria.gonzalez@example.com"),
        ("PHONE_NUMBER", "+1 415 555 0134"),
        ("CREDIT_CARD", "4539 1488 0343 6467"),
    }
    assert expected == set(_found(bundled, text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("My name is Maria Gonzalez.", "Maria Gonzalez"),
        ("Dear Mr. Johnson, your claim was received.", "Johnson"),
        ("Your booking under the name Robert Miller is confirmed.", "Robert Miller"),
        ("Please tell Wei Zhang that the table is ready.", "Wei Zhang"),
    ],
)
def test_names_are_found_by_the_bundled_model(bundled, text, value):
    """People's names, given and family, of several origins."""
    assert ("PERSON", value) in _found(bundled, text)


@pytest.mark.parametrize(
    "text",
    [
        "Order 48213 was shipped on Monday; the client is at v3.18.0 and the files are in S3.",
        "Sure, I can help with that. What date would you like?",
        "Dear Customer, thank you for your message.",
        "Your ticket AB-20931 is closed. Anything else?",
        "AGENT: Anything else I can help with?\nUSER: No, that is all. Thank you.",
    ],
)
def test_the_bundled_model_leaves_ordinary_service_talk_alone(bundled, text):
    """Product codes, versions and courtesies are no names."""
    assert _found(bundled, text) == []


@pytest.mark.parametrize("languages", [["en"], ["zh"], ["en", "zh"], ["de"]])
def test_the_check_keeps_its_contract(languages):
    """It is a Check, its labels are known before `load`, and its examples behave as they say."""
    check = checks.make("pii", {"languages": languages})
    assert isinstance(check, Check)
    assert check.labels
    assert set(check.labels.values()) == {"privacy"} <= CATEGORIES.keys()
    check.load()
    for content, scan in zip(check.examples.flagged, check(check.examples.flagged), strict=True):
        assert scan.findings, content.text
        assert {finding.label for finding in scan.findings} <= check.labels.keys()
    for content, scan in zip(check.examples.clean, check(check.examples.clean), strict=True):
        assert scan.findings == (), content.text


def test_the_digest_stands_for_the_pipeline_in_use(bundled, patterns):
    """Two pipelines have two digests; patterns alone have none."""
    assert len(bundled.digest) == 64
    assert bundled.digest != patterns.digest
    assert _loaded(languages=["de"]).digest == ""


def test_reasons_never_quote_the_text(bundled):
    """A reason names the entity type and the recognizer."""
    (scan,) = bundled([_content("My name is Maria Gonzalez, card 4539 1488 0343 6467.")])
    assert {"PERSON found by NameModel", "CREDIT_CARD found by CardPattern"} == {one.reason for one in scan.findings}
    assert [one.score == 1000 for one in scan.findings] == [one.label == "CREDIT_CARD" for one in scan.findings]


def test_context_raises_a_score(patterns):
    """A telling word before a number counts, although the tokenizer has no lemmas."""
    plain, told = patterns([_content("it is 536-22-8471"), _content("social security 536-22-8471")])
    assert (plain.findings[0].score, told.findings[0].score) == (500, 850)


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("Please charge my card number 4111 1111 1111 1112.", "CREDIT_CARD"),
        ("My IBAN is GB82 WEST 1234 5698 7654 33", "IBAN_CODE"),
        ("身份证号110105194912310021", "CN_ID_CARD"),
        ("统一社会信用代码91110000802100433C", "CN_SOCIAL_CREDIT_CODE"),
    ],
)
def test_a_wrong_checksum_after_a_telling_word_is_reported_on_request_alone(nameless, text, entity):
    """Its score is 350: below the default threshold."""
    assert [entity] == [label for label, _ in _found(_loaded(model=nameless, languages=["en", "zh"], min_score=350), text)]
    assert _found(_loaded(model=nameless, languages=["en", "zh"]), text) == []


def test_weak_findings_are_left_out_below_min_score(nameless):
    """`min_score` is per mille and inclusive."""
    text = "it is 536-22-8471"
    assert _found(_loaded(model=nameless, min_score=500), text) == [("US_SSN", "536-22-8471")]
    assert _found(_loaded(model=nameless, min_score=501), text) == []


def test_only_the_entities_asked_for_are_reported(nameless):
    """`entities` limits labels, findings and examples alike."""
    check = _loaded(model=nameless, entities=["EMAIL_ADDRESS"])
    assert dict(check.labels) == {"EMAIL_ADDRESS": "privacy"}
    assert _found(check, "a@b.co 4539 1488 0343 6467") == [("EMAIL_ADDRESS", "a@b.co")]
    assert len(check.examples.flagged) == 1


def test_organisations_are_reported_on_request_alone():
    """ORGANIZATION is no personal data by itself."""
    assert "ORGANIZATION" not in checks.make("pii").labels
    assert "ORGANIZATION" in checks.make("pii", {"entities": ["ORGANIZATION"]}).labels


def test_national_numbers_of_further_regions_can_be_asked_for(nameless):
    """`phone_regions` adds to those of the languages."""
    text = "try 030 901820 in the morning"
    assert _found(_loaded(model=nameless), text) == []
    assert _found(_loaded(model=nameless, phone_regions=["DE"]), text) == [("PHONE_NUMBER", "030 901820")]


@pytest.mark.parametrize(
    "parameters",
    [
        {"languages": []},
        {"languages": ["tlh"]},
        {"entities": ["NO_SUCH"]},
        {"entities": []},
        {"entities": ["CN_ID_CARD"]},
        {"min_score": 1001},
        {"min_scores": 1},
    ],
)
def test_impossible_parameters_are_refused(parameters):
    """Before anything is loaded, with what was found and expected."""
    with pytest.raises(RegistryError, match="expected"):
        checks.make("pii", parameters)


def test_a_missing_pipeline_is_an_error_and_never_a_download():
    """The message names the pipeline, the advice says what to do."""
    with pytest.raises(ModelError, match="en_core_web_lg") as caught:
        _loaded(model="en_core_web_lg")
    assert "Install the package" in caught.value.advice


def test_a_pipeline_for_another_language_is_an_error(nameless):
    """A pipeline that was named on purpose is never silently unused."""
    with pytest.raises(ModelError, match="'en', expected one of: zh"):
        _loaded(languages=["zh"], model=nameless)


def test_a_broken_pipeline_is_a_model_error(tmp_path):
    """A folder that spaCy cannot load is reported as such."""
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        _loaded(model=str(tmp_path))


def test_use_before_load_raises():
    """Nothing is answered without a model."""
    with pytest.raises(ModelError, match="before it was loaded"):
        checks.make("pii")([_content("hello")])


def test_a_pattern_that_runs_out_of_time_raises(monkeypatch):
    """A text that was not searched to its end never looks clean."""
    monkeypatch.setattr(pii_engine, "_TIMEOUT_S", 0.05)
    spec = pii_spec.PatternSpec("X", "SlowPattern", ((r"(?:a|a|aa)+\d$", 0.5),))
    with pytest.raises(ModelError, match="SlowPattern"):
        pii_engine._pattern_recognizer(spec, "en").analyze("a" * 5000, ["X"])


@pytest.mark.parametrize("text", ["", " \n\t", "\ud800", "\ud83d alone \udc00", "😀" * 50, "\x00\ufffe", "e\u0301" * 20])
def test_odd_texts_are_read_like_any_other(patterns, text):
    """Empty texts, lone surrogates, emoji, control and combining characters."""
    assert _found(patterns, text) == []


def test_places_are_code_points_of_the_original(patterns):
    """Characters outside the BMP, lone surrogates and full-width forms before a finding do not shift it."""
    assert _found(patterns, "😀😀\ud800，　ａ@b.co") == [("EMAIL_ADDRESS", "ａ@b.co")]


@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        "1 ",
        "4539 ",
        "a:",
        "+1",
        "😀",
        "_",
        "(",
        "a@b.co ",
        "415-555-2671 ",
        "市",
        "word ",
        "born ",
        "account number ",
        "phone: ",
        "出生",
        "https://a:",
        "passport 1",
        "card ",
        "京A",
        "DL ",
        "x=1&",
        "12-",
        "DOB 1/1/",
        "bc1q",
    ],
)
def test_time_is_linear_in_the_length_of_a_text(patterns, piece):
    """Whatever was slow for a tokenizer or a pattern ends in a fraction of a second, not in minutes."""
    started = time.process_time()
    patterns([_content((piece * 12_000)[:12_000])])
    assert time.process_time() - started < 4


def test_a_hundred_thousand_characters_are_read_to_the_end(patterns):
    """Long texts are no reason to fail, and the last character counts."""
    text = "word " * 19_998 + " a@b.co"
    assert _found(patterns, text) == [("EMAIL_ADDRESS", "a@b.co")]


def test_data_anywhere_in_a_long_text_is_found_at_its_place(patterns):
    """Windows overlap, so that none cuts a finding in two."""
    for before in range(3960, 4010, 7):
        text = "word " * (before // 5) + "x" * (before % 5) + " 4539 1488 0343 6467 " + "word " * 900 + "a@b.co"
        assert _found(patterns, text) == [("CREDIT_CARD", "4539 1488 0343 6467"), ("EMAIL_ADDRESS", "a@b.co")]


def test_a_batch_answers_as_its_texts_do_alone(patterns):
    """One Scan a content, in order, whatever the neighbours are."""
    contents = [_content(text) for text, *_ in POSITIVE] + [_content("")]
    assert [patterns([content])[0] for content in contents] == patterns(contents)


@given(st.text(alphabet="ab \n", max_size=12_000))
def test_windows_cover_a_text_and_overlap(text):
    """No character is left out, and each window begins inside the one before."""
    ranges = list(pii.cut(text))
    assert sum(end - start for start, end in ranges) >= len(text)
    assert (not text) or (ranges[0][0], ranges[-1][1]) == (0, len(text))
    assert all(one[0] < other[0] < one[1] < other[1] for one, other in pairwise(ranges))


def _hit(start, end, entity, score=0.5):
    return pii._Hit(start, end, entity, score, "R")


def test_overlapping_hits_are_merged_without_uncovering_any():
    """Inside a stronger hit: gone; of one type: one; of two types: both."""
    assert [_hit(0, 9, "EMAIL_ADDRESS")] == pii.merge([_hit(0, 9, "EMAIL_ADDRESS"), _hit(0, 4, "PERSON", 0.85)])
    assert [_hit(0, 9, "PERSON")] == pii.merge([_hit(0, 5, "PERSON"), _hit(4, 9, "PERSON")])
    card, place = _hit(3, 9, "CREDIT_CARD", 1.0), _hit(0, 20, "LOCATION", 0.85)
    assert [place, card] == pii.merge([card, place])
    assert [card] == pii.merge([card, _hit(4, 9, "PHONE_NUMBER")])


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.sampled_from(["PERSON", "CREDIT_CARD", "PHONE_NUMBER"]))))
def test_merging_keeps_every_character_covered(spans):
    """What any recognizer hit is still covered after merging, and nothing else is."""
    hits = [_hit(start, start + length, entity) for start, length, entity in spans]
    covered = {place for hit in hits for place in range(hit.start, hit.end)}
    assert covered == {place for hit in pii.merge(hits) for place in range(hit.start, hit.end)}


@pytest.mark.parametrize(
    ("validate", "right", "wrong"),
    [
        (pii_checksums.luhn, "4539 1488 0343 6467", "4539 1488 0343 6476"),
        (pii_checksums.iban, "GB33BUKB20201555555555", "GB33BUKB20201555555556"),
        (pii_checksums.cn_resident_id, "11010519491231002X", "110105194912310021"),
        (pii_checksums.base58check, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
        (pii_checksums.nhs, "943 476 5919", "943 476 5918"),
        (pii_checksums.aadhaar, "2341 2341 2346", "2341 2341 2347"),
        (pii_checksums.dea, "AB1234563", "AB1234564"),
        (pii_checksums.card, "6222 0000 0000 0000 103", "6222 0000 0000 0000 104"),
        (pii_checksums.social_credit_code, "91350100M000100Y43", "91350100M000100Y44"),
        (pii_checksums.routing_number, "021000021", "021000022"),
        (pii_checksums.spanish_id, "X1234567L", "X1234567M"),
        (pii_checksums.bech32, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"),
        (pii_checksums.not_a_date, "2024-13", "2024-01-15"),
    ],
)
def test_checksums_tell_right_from_wrong(validate, right, wrong):
    """Published example numbers pass; one changed digit does not."""
    assert validate(right) is not False
    assert validate(wrong) is False


def test_its_version_is_read_from_files_once(nameless, monkeypatch):
    """It is part of every result, and of each step of a stream: reading it takes as long as reading a text does."""
    known = _loaded(model=nameless).version
    assert all(f"{name} {version(name)}" in known for name in ("presidio-analyzer", "spacy", "phonenumbers"))

    def refuse(_name):
        raise AssertionError("the libraries' files were read again")

    monkeypatch.setattr(pii, "version", refuse)
    assert _loaded(model=nameless).version == known
