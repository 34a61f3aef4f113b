"""guard.stand_ins and guard.names: the same person, the same stand-in, all through a conversation."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.names import ENDINGS, HAN, LATIN, MARKS, SYLLABLES, parts
from guard.redact import Keyed, redact_text
from guard.redaction_key import RedactionKey
from guard.stand_ins import StandIns
from guard.types import Edit, Span

KEY = RedactionKey(bytes(range(32)))
HERE, ELSEWHERE = Keyed(KEY, "default", "conversation 1"), Keyed(KEY, "default", "conversation 2")
LATIN_NAME = r"[A-Z][a-z]{8}"


def pseudonymised(text: str, *values: tuple[str, str], keyed: Keyed = HERE) -> str:
    """The text with every occurrence of these (label, value) replaced by stand-ins."""
    edits = [
        Edit(Span(found.start(), found.end()), "pseudonymise", label, "r")
        for label, value in values
        for found in re.finditer(re.escape(value), text)
    ]
    return redact_text(text, edits, keyed)


def one(label: str, value: str, keyed: Keyed = HERE) -> str:
    return pseudonymised(value, (label, value), keyed=keyed)


def person(value: str, keyed: Keyed = HERE) -> str:
    return one("PERSON", value, keyed)


# --- what they look like -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "value", "form"),
    [
        ("PERSON", "Maria Keller", f"{LATIN_NAME} {LATIN_NAME}"),
        ("PERSON", "Keller", LATIN_NAME),
        ("PERSON", "Мария Келлер", f"{LATIN_NAME} {LATIN_NAME}"),
        ("PERSON", "王小明", f"[{MARKS}]某[{MARKS}]{{2}}"),
        ("PERSON", "小明", f"某[{MARKS}]{{2}}"),
        ("PERSON", "王先生", f"[{MARKS}]某"),
        ("PERSON", "玛丽亚·凯勒", f"某[{MARKS}]{{2}}·某[{MARKS}]{{2}}"),
        ("PERSON", "...", r"\[PERSON-[0-9a-f]{8}\]"),
        ("PERSON", "Dr.", r"\[PERSON-[0-9a-f]{8}\]"),
        ("EMAIL_ADDRESS", "maria@mail.example", r"person-[0-9]{6}@example\.org"),
        ("PHONE_NUMBER", "+1 212 867 5309", r"\+1 [2-7][0-9]{2}-555-01[0-9]{2}"),
        ("PHONE_NUMBER", "+44 20 7946 0958", r"\+1 [2-7][0-9]{2}-555-01[0-9]{2}"),
        ("PHONE_NUMBER", "13812345678", r"000-[0-9]{4}-[0-9]{4}"),
        ("PHONE_NUMBER", "＋86 138 1234 5678", r"000-[0-9]{4}-[0-9]{4}"),
        ("CREDIT_CARD", "4111 1111 1111 1111", r"\[CREDIT_CARD-[0-9a-f]{8}\]"),
        ("matched [x]:y", "some words", r"\[matched__x__y-[0-9a-f]{8}\]"),
    ],
)
def test_a_stand_in_fits_the_type_and_the_script(label: str, value: str, form: str) -> None:
    """And holds nothing of the value."""
    made = one(label, value)
    assert re.fullmatch(form, made)
    assert value not in made


def test_invented_names_can_be_told_apart() -> None:
    """Syllables of two letters and endings of three: a name is put together in one way only."""
    assert {len(one) for one in SYLLABLES} == {2}
    assert {len(one) for one in ENDINGS} == {3}
    for pieces in (SYLLABLES, ENDINGS, MARKS):
        assert len(set(pieces)) == len(pieces)


def test_no_chinese_family_name_is_a_mark_of_an_invented_one() -> None:
    """`蓝某` in a report is a person whose family name was left: it is no stand-in."""
    assert not [one for one in MARKS if [part.kind for part in parts(one)] != ["given"]]
    assert person("蓝某") != "蓝某"


# --- the same, and different -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "value", "same"),
    [
        ("PERSON", "Maria Keller", "MARIA  KELLER"),
        ("PERSON", "Maria Keller", "Ｍａｒｉａ　Ｋｅｌｌｅｒ"),
        ("PERSON", "Maria Keller", "Dr. Maria Keller"),
        ("PERSON", "Maria Keller", "Maria Keller's"),
        ("PERSON", "Maria Keller", "Ma\u200bria Keller,"),
        ("PERSON", "王小明", "王小明先生"),
        ("PERSON", "王小明", "王 小明"),
        ("EMAIL_ADDRESS", "maria@mail.example", "Maria@MAIL.example"),
        ("PHONE_NUMBER", "+1 212 867 5309", "(212) 867-5309"),
        ("PHONE_NUMBER", "13812345678", "+86 138-1234-5678"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "4111111111111111"),
        ("STREET_ADDRESS", "12 Station Road", "12  station road"),
    ],
)
def test_spellings_of_one_value_share_a_stand_in(label: str, value: str, same: str) -> None:
    """In another text of the conversation as well: nothing is remembered, all is drawn again."""
    assert one(label, value) == one(label, same)


def test_another_conversation_tenant_or_key_gives_other_stand_ins() -> None:
    """What is known from one conversation tells nothing about another."""
    others = (ELSEWHERE, Keyed(KEY, "acme", "conversation 1"), Keyed(RedactionKey(bytes(32)), "default", "conversation 1"))
    for label, value in (("PERSON", "Maria Keller"), ("EMAIL_ADDRESS", "a@mail.example"), ("US_SSN", "536-22-8726")):
        assert len({one(label, value, keyed) for keyed in (HERE, *others)}) == 4


def test_the_parts_of_a_name_keep_their_stand_ins() -> None:
    """`Keller` is known without `Maria`, in this text and in the next; a relative keeps the family name."""
    first, last = person("Maria Keller").split()
    assert (person("Keller"), person("Mrs Keller"), person("maria")) == (last, last, first)
    assert person("Thomas Keller").endswith(f" {last}")
    assert person("Maria Weber").startswith(f"{first} ")
    assert person("Keller Maria") == f"{last} {first}"


def test_a_chinese_given_name_is_known_where_the_full_name_stands_too() -> None:
    """Even one that begins with a family name; without the full name that one cannot be told from a full name."""
    text = "高山河来了。高山河先生，山河，高先生。"
    out = pseudonymised(text, ("PERSON", "高山河"), ("PERSON", "，山河"[1:]), ("PERSON", "高先生"))
    full = out.split("来了")[0]
    assert out == f"{full}来了。{full}先生，某{full.split('某')[1]}，{full[0]}某。"
    compound = pseudonymised("欧阳娜娜和娜娜", ("PERSON", "欧阳娜娜"), ("PERSON", "娜娜")).split("和")
    assert compound[0].endswith(compound[1])
    assert person("小明") != person("高明")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("王小明", ["family 王", "given 小明"]),
        ("欧阳娜娜", ["family 欧阳", "given 娜娜"]),
        ("小王", ["family 王"]),
        ("老李", ["family 李"]),
        ("陈老师", ["family 陈"]),
        ("晓彤", ["given 晓彤"]),
        ("Maria de la Cruz", ["name maria", "name de", "name la", "name cruz"]),
        ("Anna-Lena O'Brien's", ["name anna-lena", "name o'brien"]),
        ("Prof. Dr. Weber", ["name weber"]),
        ("Jack Lord", ["name jack", "name lord"]),
        ("Harry Connick, Jr.", ["name harry", "name connick"]),
        ("王总", ["family 王"]),
        ("王建工", ["family 王", "given 建工"]),
        ("", []),
    ],
)
def test_names_are_taken_apart(name: str, expected: list[str]) -> None:
    assert [f"{part.kind} {part.text}" for part in parts(name)] == expected


def test_two_values_of_one_text_never_share_a_stand_in() -> None:
    """More Chinese families than there are short stand-ins for them, and a thousand of each other kind."""
    families = [
        f"{name}伟"
        for name in "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈"
        "钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷黎史龙陶贺顾毛郝龚邵万覃武钱戴严莫孔向常汤康易乔赖施洪樊兰"
    ]
    values = [("PERSON", name) for name in families]
    values += [("PERSON", f"x{number}") for number in range(1000)]
    values += [("EMAIL_ADDRESS", f"x{number}@mail.example") for number in range(1000)]
    values += [("PHONE_NUMBER", f"212867{number:04d}") for number in range(1000)]
    values += [("PHONE_NUMBER", f"1381234{number:04d}") for number in range(1000)]
    values += [("US_SSN", f"536-22-{number:04d}") for number in range(1000)]
    draw = StandIns(KEY, "default", "conversation 1", values)
    made = [draw.of(label, value) for label, value in values]
    assert len(set(made)) == len(values)
    assert [draw.of(label, value) for label, value in reversed(values)] == made[::-1]


def test_more_values_than_stand_ins_release_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message quotes none of them."""
    monkeypatch.setattr("guard.stand_ins._AREAS", [201])
    draw = StandIns(KEY, "default", "conversation 1", ())

    def all_of_them() -> list[str]:
        return [draw.of("PHONE_NUMBER", f"2128675{number}") for number in range(300, 401)]

    with pytest.raises(ValueError, match="more values of kind 'phone'") as caught:
        all_of_them()
    assert "212867" not in str(caught.value)


# --- prompt and reply --------------------------------------------------------------------------------------------------

PEOPLE = (
    ("PERSON", "Maria Keller"),
    ("PERSON", "王小明"),
    ("EMAIL_ADDRESS", "maria@mail.example"),
    ("PHONE_NUMBER", "+1 212 867 5309"),
    ("PHONE_NUMBER", "13812345678"),
    ("US_SSN", "536-22-8726"),
)


@pytest.mark.parametrize(("label", "value"), PEOPLE)
def test_a_reply_that_repeats_a_stand_in_keeps_it(label: str, value: str) -> None:
    """The prompt's stand-in is found as a person again: whole, in other letters, and where only a piece of it is found."""
    made = one(label, value)
    assert one(label, made) == made
    assert pseudonymised(f"找{made}。", (label, made)) == f"找{made}。"
    piece = made.split()[-1][1:-1]
    assert pseudonymised(f"For {made}.", (label, piece)) == f"For {made}."


def test_parts_and_other_spellings_of_a_stand_in_are_known() -> None:
    """A model may answer the first name alone, in capitals, with a title, or write a number in its own way."""
    first, last = person("Maria Keller").split()
    assert person(f"Mr {last.upper()}") == last
    assert person(f"{first}'s") == first
    chinese = person("王小明")
    assert person(f"{chinese[:2]}先生") == chinese[:2]
    assert person(chinese[1:]) == chinese[1:]
    digits = re.sub(r"[^0-9]", "", one("PHONE_NUMBER", "+1 212 867 5309"))[1:]
    assert one("PHONE_NUMBER", f"({digits[:3]}) {digits[3:6]}-{digits[6:]}") == f"+1 {digits[:3]}-{digits[3:6]}-{digits[6:]}"
    assert one("PHONE_NUMBER", one("PHONE_NUMBER", "13812345678").replace("-", " ")).startswith("000-")


def test_a_later_turn_that_holds_name_and_stand_in_joins_them() -> None:
    """A history repeats what the person wrote and what was answered: both are one person still."""
    made = person("Maria Keller")
    text = f"USER: I am Maria Keller\nAGENT: Hello {made}"
    assert pseudonymised(text, ("PERSON", "Maria Keller"), ("PERSON", made)) == f"USER: I am {made}\nAGENT: Hello {made}"


def test_a_name_that_only_looks_like_a_stand_in_gets_one() -> None:
    """The ending is a keyed check: of sixteen names of that shape one passes, and none is known in another conversation."""
    shapes = [f"Velamo{ending}" for ending in ENDINGS]
    assert sum(person(name) == name for name in shapes) == 1
    made = person("Keller")
    assert person(made, ELSEWHERE) != made or person("Maria Keller", ELSEWHERE).split()[1] == made


@pytest.mark.parametrize("form", ["[{}-21f31b07]", "[MARIA-{}]", "person-{}@example.org", "某{}", "000-{}"])
def test_nothing_hides_in_the_form_of_a_stand_in(form: str) -> None:
    """Whoever writes a value inside what looks like one has it replaced."""
    for number, value in enumerate(("Maria", "MARIA", "maria@mail.example", "王小明", "4111 1111 1111 1111")):
        text = form.format(value)
        out = pseudonymised(text, (("PERSON", "PERSON", "EMAIL_ADDRESS", "PERSON", "CREDIT_CARD")[number], value))
        assert value not in out


@given(
    st.text(st.sampled_from("aàЯ王小明高先生 .'-·1@"), min_size=1, max_size=12),
    st.sampled_from(("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN")),
)
def test_every_value_gets_a_stand_in_that_is_known_again(value: str, label: str) -> None:
    """Never an empty one, never the value itself, and never another one when it is read again."""
    made = one(label, value)
    assert made
    assert made != value
    assert one(label, made) == made or made.startswith("[")
    assert LATIN.search(made) or HAN.search(made) or re.search(r"[0-9a-f]{4}", made)


def test_hostile_texts_do_not_take_long() -> None:
    """Looking for stand-ins, and taking names apart, is linear."""
    started = time.process_time()
    for piece in ("岚", "某岚", "velamo", "person-1", "+1 201-555-0", "[a", "!", "a!", "000-"):
        hostile = (piece * (20_000 // len(piece)))[:20_000] + "b"
        pseudonymised(hostile, ("PERSON", hostile))
        redact_text(hostile, [Edit(Span(index, index + 1), "pseudonymise", "PERSON", "r") for index in range(0, 2000, 2)], HERE)
    assert time.process_time() - started < 10
