"""Stages for Chinese: insults whose characters are parted, taken apart or spelled by sound, and homophones that stand for one.

The stand-ins are those for which the corpus COLD has evidence: at least five comments with them, of which most are offensive
(傻叉, 煞笔: 88 %; 尼玛: 83 %; 草泥马, 尼哥, cnm, tmd: about 80 %), and variants of those that mean nothing else (傻币, 艹尼玛).
Others (司马, 孝子) are as often names or words, and stay; so do the parts of a character that are words (女表, 女干部).
"""

from __future__ import annotations

import re

from guard.text.reading import Edit, Normalised, rewrite

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_HINT = re.compile(f"[{_HAN}]")
_TERMS = """
    傻逼 傻屄 傻叉 煞笔 脑残 智障 弱智 废物 垃圾 贱人 贱货 婊子 混蛋 混账 王八蛋 滚蛋 滚开 去死 白痴 蠢货 蠢猪 笨蛋 杂种 畜生
    人渣 骚货 荡妇 狗屎 狗东西 狗杂种 操你妈 草你妈 日你妈 他妈的 你妈的 妈逼 死全家 黑鬼 变态 恶心 弄死 杀了你 砍死 打死
    找死 死人妖 死基佬 母狗 公狗 败类 杂碎 臭婊子 臭不要脸 不要脸 神经病 二逼 装逼 猪脑子 没脑子 丑八怪 下贱 无耻 废柴
"""
_BETWEEN = r"[ \t\u3000*·•.\-_|~～+^#@&%/\\'\"＊＿＃＠…]{0,3}"
_PARTED = re.compile("|".join(_BETWEEN.join(term) for term in sorted(_TERMS.split(), key=len, reverse=True)))
_SPELLED = re.compile(f"(?<![{_HAN}])[{_HAN}]([ *·.\\-_|~])(?:[{_HAN}]\\1){{2,}}[{_HAN}](?![{_HAN}])")
_STAND_INS = {
    "煞笔": "傻逼", "傻叉": "傻逼", "傻比": "傻逼", "傻b": "傻逼", "傻B": "傻逼", "傻x": "傻逼", "傻X": "傻逼", "傻屄": "傻逼",
    "傻币": "傻逼", "煞比": "傻逼", "杀币": "傻逼", "沙币": "傻逼", "傻屌": "傻逼",
    "尼玛": "你妈", "草泥马": "操你妈", "特么": "他妈", "尼哥": "黑鬼",
    "艹尼玛": "操你妈", "草尼玛": "操你妈", "操尼玛": "操你妈", "曹尼玛": "操你妈",
    "日尼玛": "操你妈", "艹你妈": "操你妈",
    "马勒戈壁": "妈了个逼", "妈勒个逼": "妈了个逼", "踏马的": "他妈的", "王八旦": "王八蛋", "四全家": "死全家",
}  # fmt: skip
_LONG_FIRST = sorted(_STAND_INS, key=len, reverse=True)
_STAND_IN = re.compile("|".join(word + ("(?![A-Za-z])" if word[-1].isascii() else "") for word in _LONG_FIRST))
_INITIALS = re.compile(f"(?<=[{_HAN}])[sS][bB](?![A-Za-z0-9])|(?<![A-Za-z0-9])[sS][bB](?=[{_HAN}])")
_SHORT = {
    "cnm": "操你妈", "wcnm": "我操你妈", "nmsl": "你妈死了", "tmd": "他妈的", "mlgb": "妈了个逼", "nmb": "你妈逼",
    "shabi": "傻逼", "caonima": "操你妈", "naocan": "脑残", "zhizhang": "智障", "tamade": "他妈的", "nimasile": "你妈死了",
}  # fmt: skip
_SHORTENED = re.compile(f"(?<![A-Za-z0-9])(?:{'|'.join(sorted(_SHORT, key=len, reverse=True))})(?![A-Za-z0-9])")
_PARTS = {
    "弓虽女干": "强奸", "弓虽奸": "强奸", "强女干": "强奸", "贝戋": "贱", "女表子": "婊子", "你女马": "你妈", "他女马": "他妈",
    "亻尔女马": "你妈", "亻也女马": "他妈", "亻尔": "你", "亻也": "他", "犭者": "猪", "犭句": "狗", "氵衮": "滚", "歹匕": "死",
}  # fmt: skip
_APART = re.compile("|".join(sorted(_PARTS, key=len, reverse=True)))
_SOUNDS: dict[str, str] = dict(
    re.findall(
        r"(\w):(\w+)",
        """
    傻:sha 逼:bi 脑:nao 残:can 智:zhi 障:zhang 废:fei 物:wu 垃:la 圾:ji 贱:jian 人:ren 货:huo 婊:biao 混:hun 蛋:dan 王:wang
    八:ba 滚:gun 去:qu 死:si 白:bai 痴:chi 蠢:chun 猪:zhu 杂:za 种:zhong 畜:chu 生:sheng 渣:zha 骚:sao 荡:dang 妇:fu 狗:gou
    屎:shi 操:cao 草:cao 日:ri 你:ni 妈:ma 他:ta 全:quan 家:jia 黑:hei 鬼:gui 变:bian 态:tai 弄:nong 砍:kan 找:zhao 母:mu
    败:bai 类:lei 碎:sui 臭:chou 弱:ruo 下:xia 无:wu 耻:chi 笨:ben
        """,
    )
)
_UNSOUNDED = {"滚开", "打死", "人渣"}
_SOUNDED = {
    term: re.compile("".join(f"(?:{sign}|{_SOUNDS[sign]})" for sign in term), re.IGNORECASE)
    for term in _TERMS.split()
    if len(term) <= 4 and term not in _UNSOUNDED and all(sign in _SOUNDS for sign in term)
}
_BY_SOUND = re.compile("|".join(f"({found.pattern})" for found in _SOUNDED.values()), re.IGNORECASE)
_SOUNDED_TERMS = list(_SOUNDED)
_LATIN, _RUNS = re.compile("[A-Za-z]"), re.compile("[A-Za-z]{2,12}")
_SYLLABLES = set(_SHORT) | {
    "".join(_SOUNDS[sign] for sign in term[start:end])
    for term in _SOUNDED
    for start in range(len(term))
    for end in range(start + 1, len(term) + 1)
}


def has_chinese(text: str) -> bool:
    """Whether a stage of this module has anything to look at."""
    return not text.isascii() and _HINT.search(text) is not None


def parted(reading: Normalised) -> Normalised:
    """`傻*逼`, `傻 逼`, and four or more characters that are spelled out with the same sign between all of them."""
    text = reading.text
    if text.isascii() or not _HINT.search(text):
        return reading
    places = {
        place
        for pattern in (_PARTED, _SPELLED)
        for match in pattern.finditer(text)
        for place in range(*match.span())
        if not _HINT.match(text[place])
    }
    edits: list[Edit] = [(place, place + 1, "") for place in sorted(places)]
    return rewrite(reading, edits) if edits else reading


def taken_apart(reading: Normalised) -> Normalised:
    """`贝戋人`, `弓虽女干`: characters written as their parts."""
    text = reading.text
    if text.isascii() or not _HINT.search(text):
        return reading
    edits: list[Edit] = [(*match.span(), _PARTS[match.group()]) for match in _APART.finditer(text)]
    return rewrite(reading, edits) if edits else reading


def by_sound(reading: Normalised) -> Normalised:
    """`垃ji`, `sha逼`: insults of which some characters are spelled by sound, and beside Chinese also `shabi`, `nmsl`."""
    text = reading.text
    if text.isascii() or not any(run.lower() in _SYLLABLES for run in _RUNS.findall(text)) or not _HINT.search(text):
        return reading
    edits: list[Edit] = [(*match.span(), _SHORT[match.group()]) for match in _SHORTENED.finditer(text)]
    for match in _BY_SOUND.finditer(text):
        start, end = match.span()
        whole = not (_LATIN.match(text, start) and start and _LATIN.match(text, start - 1))
        whole = whole and not (_LATIN.match(text, end - 1) and _LATIN.match(text, end))
        if whole and _LATIN.search(match.group()) and _HINT.search(match.group()):
            edits.append((start, end, _SOUNDED_TERMS[int(match.lastindex or 0) - 1]))
    return rewrite(reading, sorted(edits)) if edits else reading


def stand_ins(reading: Normalised) -> Normalised:
    """The insults for which homophones and initials stand."""
    text = reading.text
    if text.isascii() or not _HINT.search(text):
        return reading
    found = [(*match.span(), _STAND_INS[match.group()]) for match in _STAND_IN.finditer(text)]
    found += [(*match.span(), "傻逼") for match in _INITIALS.finditer(text)]
    edits: list[Edit] = sorted(found)
    return rewrite(reading, edits) if edits else reading
