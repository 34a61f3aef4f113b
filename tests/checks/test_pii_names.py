"""Names, places and addresses in the `pii` check: what the bundled taggers find, which text each reads, and how they load."""

from __future__ import annotations

import json
import random
import shutil
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.checks import pii, pii_names
from guard.checks.name_growing import Growing
from guard.checks.name_tagger import REACH, TAGS, Name, NameTagger, Vocabulary, features, may_follow, tokens
from guard.checks.pii_plausible import plausible
from guard.errors import ModelError
from guard.models import BUNDLED
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.checks import pii_negatives

ALL = ["PERSON", "STREET_ADDRESS", "LOCATION", "ORGANIZATION"]


def _loaded(*languages, **parameters):
    check = checks.make("pii", {"languages": languages, "entities": ALL, **parameters})
    check.load()
    return check


@pytest.fixture(scope="module")
def both():
    return _loaded("en", "zh")


@pytest.fixture(scope="module")
def english():
    return _loaded("en")


@pytest.fixture(scope="module")
def chinese():
    return _loaded("zh")


@pytest.fixture(scope="module")
def tagger():
    return NameTagger.load(BUNDLED / "pii-ner-en")


def _found(check, text):
    (scan,) = check([Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))])
    return [(one.label, text[one.where.start : one.where.end]) for one in scan.findings]


@pytest.mark.parametrize(("text", "label", "value"), [
    ("My name is Maria Gonzalez.", "PERSON", "Maria Gonzalez"),
    ("i spoke to priya sharma about the refund", "PERSON", "priya sharma"),
    ("The appointment with DR. DABROWSKI is on Monday.", "PERSON", "DABROWSKI"),
    ("Dear Mr. Johnson, your claim was received.", "PERSON", "Johnson"),
    ("Best regards,\nAoife O'Brien\nSenior Accountant", "PERSON", "Aoife O'Brien"),
    ("The parcel for Nguyen Thi Lan was left with a neighbour.", "PERSON", "Nguyen Thi Lan"),
    ("Kwame Mensah and Yuki Tanaka signed the lease.", "PERSON", "Yuki Tanaka"),
    ("Please send it to 221B Baker Street, London NW1 6XE.", "STREET_ADDRESS", "221B Baker Street, London NW1 6XE"),
    ("I live at 74 Elm Street, Springfield, IL 62704.", "STREET_ADDRESS", "74 Elm Street, Springfield, IL 62704"),
    ("Ship to:\n55 Queen Street\nManchester\nM2 5HT", "STREET_ADDRESS", "55 Queen Street\nManchester\nM2 5HT"),
    ("Meine Adresse: Hauptstraße 12, 10827 Berlin", "STREET_ADDRESS", "Hauptstraße 12, 10827 Berlin"),
    ("We flew from Lisbon to Toronto.", "LOCATION", "Toronto"),
    ("She works for Siemens in the sales team.", "ORGANIZATION", "Siemens"),
])  # fmt: skip
def test_english_names_are_found_whole(both, text, label, value):
    """People of many countries, also in lower case; addresses with their towns, on one line or several."""
    assert (label, value) in _found(both, text)


@pytest.mark.parametrize(("text", "label", "value"), [
    ("我叫张伟，今年三十岁。", "PERSON", "张伟"),
    ("昨天李晓明和王芳一起去了北京。", "PERSON", "李晓明"),
    ("昨天李晓明和王芳一起去了北京。", "PERSON", "王芳"),
    ("收件人：欧阳静怡，电话13812345678", "PERSON", "欧阳静怡"),
    ("球员克里斯蒂亚诺·罗纳尔多打进两球。", "PERSON", "克里斯蒂亚诺·罗纳尔多"),
    ("尊敬的刘淑芬女士，您的保单已经生效。", "PERSON", "刘淑芬"),
    ("黄先生预订了今晚七点的位子。", "PERSON", "黄先生"),
    ("请联系John Smith处理退款。", "PERSON", "John Smith"),
    ("我住在北京市海淀区中关村大街27号1101室", "STREET_ADDRESS", "北京市海淀区中关村大街27号1101室"),
    ("寄到深圳市南山区科技园路8号阳光花园3栋502室，谢谢", "STREET_ADDRESS", "深圳市南山区科技园路8号阳光花园3栋502室"),
    ("他下周去上海出差。", "LOCATION", "上海"),
    ("她在杭州天宏科技有限公司工作。", "ORGANIZATION", "杭州天宏科技有限公司"),
])  # fmt: skip
def test_chinese_names_are_found_whole(both, text, label, value):
    """With and without a word that announces them; foreign and English names too."""
    assert (label, value) in _found(both, text)


@pytest.mark.parametrize("text", [
    "Please click Save, then Next, then Finish.",
    "My iPhone 15 Pro and the ThinkPad X1 arrived on Monday.",
    "In May and June we sold more than in April.",
    "Terms and Conditions apply. See Section 4.",
    "How do I reset my password? The app says Error 403.",
    "The Senior Engineer will call the Customer Service Team.",
    "Mark the date, bill the client and grant access.",
    "任何老师都可以报名，方便的话请回复。",
    "万一下雨怎么办？于是他走了，何必呢。",
    "高兴的事情很多，安全第一，常见问题如下。",
    "这款手机很好用，价格也不贵。",
])  # fmt: skip
def test_what_only_looks_like_a_name_is_left_alone(both, text):
    """Products, months, headings and common words of both languages are nobody."""
    assert [one for one in _found(both, text) if one[0] in {"PERSON", "STREET_ADDRESS"}] == []


MIXED = "Please call 张伟 at home.\n我叫John Smith，住在北京市海淀区中关村大街27号。\nHe lives at 12 High Street, Leeds."


def test_text_in_one_language_reads_the_same_with_both_listed(both, english, chinese):
    """The other model adds nothing to it and takes nothing away."""
    for text in (
        "Maria Gonzalez lives at 12 High Street, Leeds, and works for Acme Ltd.",
        "card 4539 1488 0343 6467",
        "",
    ):
        assert _found(english, text) == _found(both, text)
    for text in ("张伟住在北京市海淀区中关村大街27号。", "他在杭州天宏科技有限公司工作。", "，。！"):
        assert _found(chinese, text) == _found(both, text)


def test_no_model_reads_what_is_not_its_own(monkeypatch, both):
    """ASCII text never reaches the Chinese tagger, Chinese text never the English one."""
    read: list[tuple[str, str]] = []
    whole = NameTagger.__call__
    monkeypatch.setattr(NameTagger, "__call__", lambda self, text: read.append((self.lang, text)) or whole(self, text))
    _found(both, "Maria Gonzalez lives in Leeds.")
    _found(both, "张伟住在北京。")
    _found(both, "12:30, 4539 1488 0343 6467")
    assert read == [("en", "Maria Gonzalez lives in Leeds."), ("zh", "张伟住在北京。")]


def test_mixed_text_is_shared_line_by_line(both):
    """Each line is read by the tagger of its language; a Chinese name in an English line is found all the same."""
    found = _found(both, MIXED)
    assert ("PERSON", "John Smith") in found
    assert ("PERSON", "张伟") in found
    assert ("STREET_ADDRESS", "北京市海淀区中关村大街27号") in found
    assert ("STREET_ADDRESS", "12 High Street, Leeds") in found


def test_an_address_takes_in_the_places_next_to_it():
    """Parts that different recognizers found become one finding, across a comma or a line break, not across words."""
    text = "12 High St, Leeds\nUK\nand Oslo, 5 Mill Rd"
    hits = [
        pii._Hit(start, end, entity, 0.6, "A")
        for start, end, entity in ((0, 10, "STREET_ADDRESS"), (12, 17, "LOCATION"), (18, 20, "LOCATION"),
                                   (25, 29, "LOCATION"), (31, 40, "STREET_ADDRESS"))
    ]  # fmt: skip
    joined = pii.join_addresses(text, hits)
    assert [(one.entity, text[one.start : one.end]) for one in joined] == [
        ("STREET_ADDRESS", "12 High St, Leeds\nUK"),
        ("STREET_ADDRESS", "Oslo, 5 Mill Rd"),
    ]
    apart = [pii._Hit(0, 10, "STREET_ADDRESS", 0.6, "A"), pii._Hit(11, 16, "LOCATION", 0.9, "B")]
    assert apart == pii.join_addresses("12 High St\nLeeds is a city.", apart)
    people = [pii._Hit(0, 4, "LOCATION", 0.9, "B"), pii._Hit(4, 8, "PERSON", 0.9, "B")]
    assert people == pii.join_addresses("LimaAnna", people)


def test_a_name_scores_its_probability(both):
    """Between the tagger's threshold and 990, so that a policy can ask for more."""
    (scan,) = both([Content(Modality.TEXT, "My name is Maria Gonzalez.", "text/plain", Stage.OUTPUT, CALLER, Request("test"))])
    assert all(400 <= one.score <= 990 for one in scan.findings)


def test_naming_a_model_leaves_the_others_out():
    """One model named is the only one; by default each language has its own, and one digest stands for all."""
    assert set(pii_names.load_names(("en", "zh"), "bundled/pii-ner-zh")[0]) == {"zh"}
    models, digest = pii_names.load_names(("en", "zh", "de"), None)
    assert set(models) == {"en", "zh"}
    alone = {pii_names.load_names((one,), None)[1] for one in ("en", "zh")}
    assert len({digest, *alone}) == 3
    assert pii_names.load_names(("de",), None) == ({}, "")


def test_a_model_whose_files_do_not_belong_together_is_refused(tmp_path):
    """Tables of another size, or a missing file, end in a ModelError and not in wrong names."""
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED / "pii-ner-en", folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["vocabulary"]["word"] = config["vocabulary"]["word"][:-1]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match="rows, expected"):
        NameTagger.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        NameTagger.load(folder)


@given(st.text(alphabet="ab Ä9.'\n张伟，·é-", max_size=60))
def test_tokens_are_in_order_and_leave_out_blanks_alone(text):
    """No letter, digit or mark is lost; every token has its five features."""
    spans = tokens(text)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert len(list(features(text, spans))) == len(spans)


def test_unknown_words_share_one_number():
    """What is in no vocabulary is 0, so that a rare name looks like any other rare name."""
    vocabulary = Vocabulary({name: ["the"] for name in ("word", "front", "back", "tail", "shape")}, {"lower": "the"})
    the, other = vocabulary.numbers("the zyx", tokens("the zyx"))
    assert (the[0], the[5], other[0], other[5]) == (1, 1, 0, 0)


def test_only_whole_names_can_be_tagged():
    """An inside tag needs its beginning, a beginning its end."""
    assert may_follow("O", "B-PERSON")
    assert may_follow("B-PERSON", "E-PERSON")
    assert not may_follow("O", "E-PERSON")
    assert not may_follow("B-PERSON", "E-LOCATION")
    assert not may_follow("I-PERSON", "O")
    assert len(TAGS) == 17


@pytest.mark.parametrize("piece", ["a", "a ", "Anna ", "张", "1", ". ", "\n", "ä\u0301", "😀", "Anna 张伟\n"])
def test_time_is_linear_in_the_length_of_a_text(both, piece):
    """Twelve thousand characters of anything take a fraction of a second."""
    started = time.process_time()
    _found(both, (piece * 12_000)[:12_000])
    assert time.process_time() - started < 4


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_growing_text_is_tagged_as_the_whole_of_it(language):
    """However it grows, and from wherever a pass begins: but for the order in which a processor adds."""
    tagger, draw = NameTagger.load(BUNDLED / f"pii-ner-{language}"), random.Random(3)
    pieces = (
        "Maria Keller",
        " lives in",
        " Leeds",
        ", 12 Oxford Street",
        "王小明",
        "和李娜明天去",
        "杭州",
        "\n",
        " ",
        "é",
        "\u0301",
        ". Then",
    )
    for _ in range(15):
        growing, text = Growing(tagger), ""
        for _ in range(20):
            text += "".join(draw.choice(pieces) for _ in range(draw.randint(0, 5)))
            spans = tokens(text)
            found = growing._read(text)
            assert (found is None) == (not spans)
            if spans:
                assert np.allclose(found, tagger.likely(text, spans), rtol=0, atol=1e-5)
    numbers = tagger.numbers(text, spans)
    whole = tagger.likely_of(numbers)
    for first in range(len(numbers) - REACH):
        part = tagger.likely_of(numbers[first:], from_begin=False)
        assert np.allclose(part, whole[first + REACH :], rtol=0, atol=1e-5)


def test_names_come_in_order_and_inside_the_text(tagger):
    """Places are code points, also behind characters outside the BMP."""
    text = "😀 Maria Gonzalez met Robert Miller in Toronto."
    names = tagger(text)
    assert names == sorted(names, key=lambda one: one.start_char)
    assert "Maria Gonzalez" in [text[one.start_char : one.end_char] for one in names]
    assert all(isinstance(one, Name) and 0 < one.score <= 1 for one in names)


def test_the_bundled_taggers_are_small_and_free_of_pickles():
    """At most 9 MB together, only JSON, Markdown and safetensors."""
    files = [entry for name in ("pii-ner-en", "pii-ner-zh") for entry in Path(BUNDLED / name).rglob("*") if entry.is_file()]
    assert sum(entry.stat().st_size for entry in files) <= 9_000_000
    assert {entry.suffix for entry in files} == {".json", ".md", ".safetensors"}


def test_nothing_in_the_negative_table_is_redacted_by_the_bundled_pack(both):
    """Codes, versions, hashes, books and orders, with the models of names too; Fibonacci was a person."""
    redacted = {"PERSON", "STREET_ADDRESS"}
    found = {
        text: hits
        for text in (*pii_negatives.ENGLISH, *pii_negatives.CHINESE)
        if (hits := [hit for hit in _found(both, text) if hit[0] in redacted and hit[1] != "Fibonacci"])
    }
    assert found == {}


@pytest.mark.parametrize(
    ("entity", "written", "expected"),
    [
        ("PERSON", "Li", True),
        ("PERSON", "LEE", True),
        ("PERSON", "PO", False),
        ("PERSON", "int", False),
        ("PERSON", "R2D2", False),
        ("PERSON", "王", False),
        ("PERSON", "王伟", True),
        ("LOCATION", "UK", True),
        ("LOCATION", "KMS", False),
        ("LOCATION", "Ulm", True),
        ("STREET_ADDRESS", "12 rue de la Paix", True),
        ("STREET_ADDRESS", "221b baker street", True),
        ("STREET_ADDRESS", "Hauptstraße 5, 80331 München", True),
        ("STREET_ADDRESS", "hegyalja út 98.", True),
        ("STREET_ADDRESS", "midtvollen 130", True),
        ("STREET_ADDRESS", "No. 7, Section 2, Zhongxiao East Road", True),
        ("STREET_ADDRESS", "1350 per tonne", False),
        ("STREET_ADDRESS", "495991b7852b85", False),
        ("STREET_ADDRESS", "Apache License 2.0, GPL-3", False),
        ("STREET_ADDRESS", "2. Results", False),
        ("STREET_ADDRESS", "Interstate 95", False),
        ("STREET_ADDRESS", "120 Highway 7", True),
        ("STREET_ADDRESS", "2. Ana Lopez\n3) Tom Baker", False),
        ("STREET_ADDRESS", "2. 14 Mill Lane", True),
        ("STREET_ADDRESS", "2 Mill Lane", True),
        ("STREET_ADDRESS", "杭州市西湖区文三路5号", True),
        ("STREET_ADDRESS", "阳光小区3号楼", True),
        ("STREET_ADDRESS", "约翰福音3章16节", False),
        ("STREET_ADDRESS", "国际标准书号978-7-115-", False),
        ("ORGANIZATION", "IBM", True),
    ],
)
def test_what_cannot_be_a_name_is_none(entity, written, expected):
    """By form alone, whatever the model's probability."""
    assert plausible(entity, written) is expected


class _Finds:
    """A tagger that takes one stretch of a text for a person."""

    lang = "en"

    def __init__(self, start, end):
        self._name = Name(start, end, "PERSON", 0.9)

    def __call__(self, text):
        return [self._name]


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("Patient Ana Lopez was seen.", "Patient Ana Lopez", ["Ana Lopez"]),
        ("Attn: Dr. Ana Lopez", "Attn: Dr. Ana Lopez", ["Ana Lopez"]),
        ("Cardholder name: Ana", "Cardholder", []),
        ("I met Ana Lopez. Tom left.", "Ana Lopez. Tom", ["Ana Lopez"]),
        ("Ask Ana B. Lopez.", "Ana B. Lopez", ["Ana B. Lopez"]),
        ("He is Col. Ana Lopez.", "Col. Ana Lopez", ["Col. Ana Lopez"]),
        ("Clientele Lopez", "Clientele Lopez", ["Clientele Lopez"]),
    ],
)
def test_a_person_is_no_longer_than_the_name(text, found, expected):
    """Fields and forms of address before it, and the next sentence, are no part of it."""
    start = text.index(found)
    names = pii_names.read(_Finds(start, start + len(found)), text)
    assert [text[one.start_char : one.end_char] for one in names] == expected
