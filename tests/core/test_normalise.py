"""Disguised text is read as it is meant, its places map back, and ordinary text in any script stays as it is."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.text.normalise import Undisguised, normalise, readings
from guard.text.reading import rewrite, unchanged
from guard.types import Span

HOSTILE = st.text(
    st.sampled_from(
        "idotIDOTfuckaszlh1!0$@*#4 .-_·\u200b\u200d\u0301\u0336\u202eіоаѕοｉ𝓲ⓘ🅐傻逼 ，мЯé\u0e01\ufe0f\U000e0041ﬁ①\n"
    )
)
ANY = st.one_of(st.text(), HOSTILE)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("You are an 1d10t.", "You are an idiot."),
        ("What a w0rthless 1oser", "What a worthless loser"),
        ("f*ck you", "fuck you"),
        ("F**K OFF", "FUCK OFF"),
        ("@ss, a$$hole, $hit, sh!t!", "ass, asshole, shit, shit!"),
        ("I will k1ll y0u", "I will kill you"),
        ("you i d i o t", "you idiot"),
        ("y o u a r e a n i d i o t", "you are an idiot"),
        ("Y o u  a r e  s t u p i d", "You  are  stupid"),
        ("i.d.i.o.t i-d-i-o-t i_d_i_o_t", "idiot idiot idiot"),
        ("1 d 1 0 t", "idiot"),
        ("id-iot, st.upid", "idiot, stupid"),
        ("you idiooooot", "you idiot"),
        ("IDIOOOOT", "IDIOT"),
        ("іdіоt", "idiot"),
        ("yоu аrе а mοrοn", "you are a moron"),
        ("ɪᴅɪᴏᴛ", "idiot"),
        ("ｉｄｉｏｔ 𝓲𝓭𝓲𝓸𝓽 ⓘⓓⓘⓞⓣ", "idiot idiot idiot"),
        ("🅘🅓🅘🅞🅣", "IDIOT"),
        ("i\u200bd\u2060i\u00ado\ufefft", "idiot"),
        ("\u202eidiot\u202c", "idiot"),
        ("i\U000e0061d\ufe0fiot", "idiot"),
        ("i̶d̶i̶o̶t̶", "idiot"),
        ("i\u0301\u0334\u0316d\u0352\u0311i\u0340\u0341\u0342ot", "idiot"),
        ("你这个傻*逼", "你这个傻逼"),
        ("傻 逼，滚.蛋", "傻逼，滚蛋"),
        ("你 是 傻 子", "你是傻子"),
        ("煞笔 草泥马", "傻逼 操你妈"),
        ("你真是个sb", "你真是个傻逼"),
        ("ＳＢ东西", "傻逼东西"),
        ("你就是个垃ji，wang八蛋", "你就是个垃圾，王八蛋"),
        ("快去si吧，你妈，nmsl", "快去死吧，你妈，你妈死了"),
        ("艹尼玛，傻币", "操你妈，傻逼"),
        ("贝戋人，给我氵衮", "贱人，给我滚"),
        ("亻尔女马被弓虽女干了", "你妈被强奸了"),
    ],
)
def test_a_disguise_is_read_as_it_is_meant(written, meant):
    """One reading with stretched letters written once."""
    assert normalise(written).text == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Thank you for your patience; the parcel (No. 7) will arrive on Tuesday at 10:30 a.m., won't it?",
        "Write to joe.b@ss.example.com, b4tm4n@host.org or https://sh1t.example.com/a$$?x=f*ck!",
        "It costs $5k, US$20, €3.50 or $100; the board is 5'10\" by 6'2\", 4x4, 10km, 3pm, 2nd.",
        "Order XJ4S5-A55H0, Galaxy A55, SKU B00B5-1D10T, Boeing 747, H2O, CO2, B2B, S3, R2D2, x86, win10.",
        "Version 1.2.3, v2.0.1rc1, i18n, k8s, a11y, 0x1f4a5, 3D, MP3, COVID-19, ISO-8859-1.",
        "for i in range(10): total += a*b - a*s; print(f'{x!r}') if a != b else f(*args)",
        "SELECT * FROM t WHERE a=$1 AND b_c <> '@x';  export PATH=$HOME/bin:$PATH",
        "#MeToo #covid19 @ssociates @joe C# C++ F# .NET",
        "A B C D",
        "a b c d",
        "1 2 3 4 5",
        "J. R. R. Tolkien, U.S.A., F.B.I., e.g., i.e., a.k.a., Ph.D.",
        "Louis XIII, Chapter VIII, MMXXIII, www.example.com, AAA batteries, XXX",
        "state-of-the-art, rock'n'roll, well-known, x-ray, T-shirt, and/or",
        "p*** < 0.01, *emphasis*, **bold**, a footnote*",
        "你好，世界！价格：￥100（含税），让·雷诺、张三/李四…… 北京-上海 “引号”《书名》",
        "我去了 北京 和 上海，人之初 性本善。他 去 了",
        "司马光和孝子的故事，沙比尔先生。",
        "女干部都戴女表，新款女马靴，TMD 系统和 CNM 公司，按 gun 开关，找 ren 老师，猪zhu是拼音。",
        "Привет, как дела? Он сказал, что это сор.",
        "Слово «сор» and the word Москва in English.",
        "Γειά σου Κόσμε, ο καιρός είναι καλός",
        "مرحبا بالعالم، می‌خواهم كتاب",
        "नमस्ते दुनिया, क्‍ष और श्री",
        "สวัสดีชาวโลก, שָׁלוֹם עוֹלָם",
        "안녕하세요 ㅋㅋㅋ",
        "α-helix, 5 μm, β = 0.3, π",
        "Café Zürich, naïve, São Paulo, Việt Nam, ẹ̀kọ́, kadın",
        "❤️ 👩‍👩‍👧 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ™ № ½ m² 1º",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    """Prose, prices, codes, addresses, code, lists, initials and other scripts: no second reading at all."""
    reading = normalise(text)
    assert reading.text == text
    assert reading.offsets == [(place, place + 1) for place in range(len(text))]
    assert readings(text) == ()


@given(ANY)
@settings(max_examples=400, deadline=None)
def test_every_place_maps_inside_the_original_and_all_of_it_in_order(text):
    """Ranges are not empty, do not go back, and leave no gap."""
    reading = normalise(text)
    offsets = reading.offsets
    assert len(offsets) == len(reading.text)
    if not offsets:
        return
    assert (offsets[0][0], offsets[-1][1]) == (0, len(text))
    assert all(0 <= start < end <= len(text) for start, end in offsets)
    for before, after in pairwise(offsets):
        assert before[0] <= after[0] <= before[1] <= after[1]


@given(ANY)
@settings(max_examples=400, deadline=None)
def test_a_reading_is_read_as_itself(text):
    """Nothing is left to undo."""
    once = normalise(text).text
    assert normalise(once).text == once


@given(ANY, st.data())
@settings(max_examples=200, deadline=None)
def test_a_place_and_its_way_back_enclose_it(text, data):
    """Forwards and back again a span grows at most by what belongs together."""
    reading = normalise(text)
    end = data.draw(st.integers(0, len(reading.text)))
    start = data.draw(st.integers(0, end))
    there = reading.to_original(Span(start, end))
    back = reading.to_normalised(there)
    assert 0 <= there.start <= there.end <= len(text)
    if start < end:
        assert back.start <= start < end <= back.end


@settings(deadline=None)
@given(st.from_regex(r"[A-Z]?[a-z]{2}( [bcdfg][aeiou]{2}[lmnr]){0,20}[.?!]?", fullmatch=True))
def test_plain_words_stay_and_cost_no_second_reading(text):
    """Identity, offsets included."""
    assert not normalise(text).changed
    assert normalise(text).offsets == [(place, place + 1) for place in range(len(text))]


def test_a_word_in_the_reading_is_found_where_it_was_written():
    """What was left out belongs to the letter before it."""
    text = "Well, you i\u200bd.i.0.t, go!"
    reading = normalise("Well, you i d i o t, go!")
    start = reading.text.index("idiot")
    place = reading.to_original(Span(start, start + 5))
    assert reading.original[place.start : place.end] == "i d i o t"
    assert reading.to_normalised(place) == Span(start, start + 5)
    assert reading.alters(Span(start, start + 5))
    assert not reading.alters(Span(0, start))
    assert normalise(text).changed


def test_stretched_letters_have_two_readings():
    """`idiooot` was `idiot`, `asssshole` was `asshole`."""
    assert [reading.text for reading in readings("you assssshole")] == ["you ashole", "you asshole"]
    assert [reading.text for reading in readings("1d10t")] == ["idiot"]


def test_an_edit_of_another_length_maps_as_a_whole():
    """Both letters of a ligature stand where it stands."""
    reading = rewrite(unchanged("aﬁb"), [(1, 2, "fi")])
    assert (reading.text, reading.offsets) == ("afib", [(0, 1), (1, 2), (1, 2), (2, 3)])


def test_what_is_left_out_at_the_beginning_belongs_to_the_first_that_stays():
    """And a text of nothing visible has an empty reading."""
    assert normalise("\u200b\u200bno").offsets == [(0, 3), (3, 4)]
    nothing = normalise("\u200b\u200b")
    assert nothing.text == ""
    assert nothing.to_original(Span(0, 0)) == Span(2, 2)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "ab",
        "i ",
        "i.",
        "!a",
        "1a",
        "a*",
        "\u0301",
        "a\u0301\u0301",
        "\u200b",
        "ｉ",
        "о",
        "аb",
        "傻*",
        "我 ",
        "sha",
        "操cao",
        "女",
        "a1@",
        "@a.",
        "a-",
    ],
)
def test_time_grows_with_the_length_and_no_faster(piece):
    """Repetitions that make careless patterns go back and forth."""
    started = time.thread_time()
    normalise((piece * 60_000)[:60_000])
    assert time.thread_time() - started < 10


PARTS = (
    "the ", "parcel ", "i d i o t ", "i", "-", "d", "sh!t ", "1d10t", "idiooot", "5pm ", "3rd ", "é", "“", "\u0301",
    "\u0301\u0301", "\u200b", " ", "\n", "six-day ", "st.upid ", "example.com ", "i  d  i", "\u0430", "傻", " - ", "\uff46",
    "a b ", "c ", "*", "f*ck ", "\xa0", "K",
)  # fmt: skip


def test_a_growing_text_that_is_called_undisguised_has_no_other_reading():
    """However it grows; and plain prose is called so."""
    called = 0
    for number in range(1500):
        draw = random.Random(number)
        undisguised, text = Undisguised(), ""
        pool = PARTS if number % 2 else (*PARTS[:2], *draw.sample(PARTS, 5))
        for _ in range(draw.randint(1, 9)):
            text += "".join(draw.choice(pool) for _ in range(draw.randint(1, 3)))
            if undisguised(text):
                called += 1
                assert readings(text) == (), text
    assert called > 500
    undisguised, prose = Undisguised(), "It’s a six-day trip — for a day, or so; café at 5pm (v2), 20% off. " * 3
    assert all(undisguised(prose[:end]) for end in range(0, len(prose), 7))


def test_another_text_is_read_from_its_beginning():
    undisguised = Undisguised()
    assert undisguised("a plain text that goes on ")
    assert undisguised("another plain text ")
    assert not undisguised("i d i o t ")
