"""Stages for Chinese: insults whose characters are parted, sentences spelled out, and homophones that stand for an insult.

The stand-ins are those for which the corpus COLD has evidence: at least five comments with them, of which most are offensive
(傻叉, 煞笔: 88 %; 尼玛: 83 %; 草泥马, 尼哥: about 80 %). Others (司马, 孝子) are as often names or words, and stay.
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
    "尼玛": "你妈", "草泥马": "操你妈", "特么": "他妈", "尼哥": "黑鬼",
}  # fmt: skip
_STAND_IN = re.compile("|".join(word + ("(?![A-Za-z])" if word[-1].isascii() else "") for word in _STAND_INS))
_INITIALS = re.compile(f"(?<=[{_HAN}])[sS][bB](?![A-Za-z0-9])|(?<![A-Za-z0-9])[sS][bB](?=[{_HAN}])")


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


def stand_ins(reading: Normalised) -> Normalised:
    """The insults for which homophones and initials stand."""
    text = reading.text
    if text.isascii() or not _HINT.search(text):
        return reading
    found = [(*match.span(), _STAND_INS[match.group()]) for match in _STAND_IN.finditer(text)]
    found += [(*match.span(), "傻逼") for match in _INITIALS.finditer(text)]
    edits: list[Edit] = sorted(found)
    return rewrite(reading, edits) if edits else reading
