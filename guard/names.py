"""Names of people taken apart, and the invented names that stand in for their parts.

Invented names are made to be told from real ones, because a reply repeats the stand-ins that its prompt held:

- in Latin letters three syllables and an ending, such as `Velamoris`; the ending is a keyed check of the syllables (`StandIns`
  computes it), so a real name of that shape is not taken for a stand-in but once in sixteen times;
- in Chinese characters with 某 ("someone"), which no real name holds: `岚某` for a family name, `某溪松` for a given name,
  `岚某溪松` for both.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

SYLLABLES = (
    *("ba", "be", "bo", "da", "de", "do", "la", "le", "li", "lo", "ma", "me", "mi", "mo", "na", "ne", "no", "ra", "re", "ri"),
    *("ro", "sa", "se", "si", "so", "ta", "te", "to", "va", "ve", "vi", "vo", "za", "ze", "zo", "ya", "ye", "yo"),
)
ENDINGS = ("lan", "ren", "vin", "dor", "mir", "nel", "ras", "tin", "wen", "zar", "lis", "mon", "rel", "sen", "von", "din")
LATIN = re.compile(
    rf"(?<![A-Za-z])((?:{'|'.join(SYLLABLES)}){{3}})({'|'.join(ENDINGS)})(?![A-Za-z])",
    re.IGNORECASE,
)
"""What may be an invented name: syllables, ending."""

MARKS = (
    "岚霁汐岩溪川峰泽湖星月辰虹霜雪露霖松竹菊荷莲枫桐杉槐榕樱茶禾穗稻苔芦黛青紫橙银铜玉琥珀珊瑚砚墨笔琴弦笛鼓帆舟桨锚岛礁港"
    "桥塔亭阁窗灯烛鹤鹭雁鸥鹰鹿麟鲸鲤蝶蝉萤"
)
"""Characters of invented names: things of nature and of the house, none of them a usual family name."""
SOMEONE = "某"
HAN = re.compile(rf"[{MARKS}]{{1,3}}{SOMEONE}(?:[{MARKS}]{{2}}){{0,3}}|{SOMEONE}(?:[{MARKS}]{{2}}){{1,3}}")
"""An invented Chinese name, whole or a part."""

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_TITLES = frozenset({
    *("mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "doctor", "sir", "madam", "dame", "lord", "lady", "rev"),
    *("herr", "frau", "monsieur", "madame", "mme", "señor", "señora", "sra"),
})  # fmt: skip
_AFTER = frozenset({"jr", "sr", "phd", "md", "esq"})
_HAN_TITLES = re.compile(
    r"(?:先生|女士|小姐|太太|夫人|老师|教授|博士|医生|大夫|护士|经理|总监|主任|主管|律师|警官|法官|师傅|同学|同志|校长|院长|部长"
    r"|局长|书记|总裁)$"
)
_AFTER_A_FAMILY_NAME = "总工"
"""Titles that may also end a given name."""
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石"
    "金韦贾夏付方邹熊白孟秦邱侯江尹薛闫阎段雷黎史龙陶贺顾毛郝龚邵万覃武钱戴严莫孔向常汤康易乔赖施洪樊兰殷翟安倪牛温季俞章鲁葛伍"
    "申尤毕聂柴齐梅庄詹焦邢颜涂岳翁包耿关邬祝路房甘左柳凌骆纪涛盛霍解柯阮蒲欧单池瞿裴费游翟辛管祁靳卜冉蓝劳司楼娄谷桑闵宁"
)
_COMPOUND = frozenset({
    *("欧阳", "上官", "司马", "诸葛", "东方", "皇甫", "尉迟", "公孙", "慕容", "令狐", "夏侯", "司徒", "长孙", "宇文", "轩辕"),
    *("司空", "端木", "南宫", "独孤", "西门", "澹台", "呼延", "东郭", "百里", "钟离", "申屠", "闻人", "赫连"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a name that gets its own stand-in."""

    kind: str
    """`name` in most scripts; `family` and `given` where a Chinese name shows which it is; `invented`: a Chinese stand-in."""
    text: str
    """Case-folded, in normal width."""


def plain(text: str) -> str:
    """A value in the one spelling that all its spellings share: NFKC, folded case, single spaces, no invisible characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(one for one in folded if unicodedata.category(one) != "Cf").split())


def is_han(text: str) -> bool:
    """Whether a text holds a Chinese character."""
    return _HAN.search(text) is not None


def parts(name: str, given: frozenset[str] = frozenset()) -> tuple[Part, ...]:
    """Take a person's name apart, without titles. `given`: Chinese given names that other full names of the text hold.

    Words of a Latin name are parts alike, so `Keller` and `Maria` are found in `Maria Keller` without knowing which is which.
    """
    found: list[Part] = []
    words = [word for word in re.split(r"[\s·•・‧]+", plain(name)) if word]
    while words and _bare(words[0]) in _TITLES:
        words = words[1:]
    while len(words) > 1 and _bare(words[-1]) in _AFTER:
        words = words[:-1]
    for word in words:
        if HAN.fullmatch(untitled(word)):
            found.append(Part("invented", untitled(word)))
        elif is_han(word):
            found += _han_parts(word, given)
        elif bare := _bare(word):
            found.append(Part("name", bare))
    return tuple(found)


def _bare(word: str) -> str:
    """A word without what stands around its letters, and without a possessive ending."""
    letters = [index for index, one in enumerate(word) if one.isalnum()]
    bare = word[letters[0] : letters[-1] + 1] if letters else ""
    return next((bare[:-2] for ending in ("'s", "’s", "`s") if bare.endswith(ending)), bare)


def untitled(word: str) -> str:
    """A Chinese name without the title after it."""
    if len(word) > 1 and word[-1] in _AFTER_A_FAMILY_NAME and word[:-1] in _SURNAMES | _COMPOUND:
        return word[:-1]
    return _HAN_TITLES.sub("", word) if len(word) > 1 else word


def _han_parts(word: str, given: frozenset[str]) -> tuple[Part, ...]:
    name = untitled(word)
    if not name:
        return ()
    if name in given:
        return (Part("given", name),)
    if len(name) == 2 and name[0] in "老小阿" and name[1] in _SURNAMES:
        return (Part("family", name[1]),)
    size = 2 if name[:2] in _COMPOUND else 1 if name[0] in _SURNAMES else 0
    pieces = (Part("family", name[:size]), Part("given", name[size:]))
    return tuple(piece for piece in pieces if piece.text)
