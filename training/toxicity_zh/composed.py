"""Composes Chinese sentences that the corpora are short of, and exchanges the groups that a sentence names.

Plain insults, threats and attacks; sentences that name a group and say nothing bad of it; service questions; harmless sentences
with violent words. All are drawn from `phrases.toml` by the project's own rules, none from a corpus.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

_PHRASES = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text("utf-8"))
_GROUPS: dict[str, list[str]] = _PHRASES["groups"]
_PLAIN: dict[str, list[str]] = _PHRASES["plain"]
_FOUL: dict[str, list[str]] = _PHRASES["foul"]
_HATE: dict[str, list[str]] = _PHRASES["hate"]
_MILD: dict[str, list[str]] = _PHRASES["mild"]
_KIND_WORDS: dict[str, list[str]] = _PHRASES["kind"]
_SERVE: dict[str, list[str]] = _PHRASES["serve"]
_PAIRS: str = _PHRASES["forms"]["traditional"]
_TRADITIONAL = str.maketrans(_PAIRS[::2], _PAIRS[1::2])
_ALL_GROUPS = [group for kind in _GROUPS.values() for group in kind]
_KIND = {group: kind for kind, groups in _GROUPS.items() for group in groups}
MILD = 0.15
"""The target of rude words that are aimed at nobody, or at a thing."""
_NAMED = re.compile("|".join(sorted(map(re.escape, _ALL_GROUPS), key=len, reverse=True)))


def compose(seed: int) -> list[tuple[str, float]]:
    """(text, toxicity 0 or 1), each text once; the same seed gives the same rows."""
    draw = random.Random(seed)
    plan = (
        (_insult, 700, 1.0),
        (_threat, 350, 1.0),
        (_attack, 500, 1.0),
        (_hate, 1600, 1.0),
        (_slur, 400, 1.0),
        (_neutral, 1400, 0.0),
        (_kind, 1300, 0.0),
        (_quoted, 800, 0.0),
        (_ordinary, 900, 0.0),
        (_service, 2200, 0.0),
        (_mild, 300, MILD),
    )
    return [(text, label) for make, count, label in plan for text in _distinct(draw, make, count)]


def exchange_groups(text: str, draw: random.Random) -> str:
    """The text with every group it names exchanged for another of its kind, the same one each time.

    The corpora rail at some groups far more than at others; what is said decides, not of whom.
    """
    chosen: dict[str, str] = {}
    return _NAMED.sub(lambda found: chosen.setdefault(found[0], draw.choice(_GROUPS[_KIND[found[0]]])), text)


def traditional(text: str) -> str:
    """The text with its commonest simplified characters as they are written in Taiwan and Hong Kong."""
    return text.translate(_TRADITIONAL)


def variants() -> list[tuple[str, str]]:
    """Each of those characters: simplified, traditional."""
    return list(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))


def _distinct(draw: random.Random, make: Callable[[random.Random], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(count * 20):
        if len(found) == count:
            break
        found.setdefault(make(draw))
    return list(found)


def _insult(draw: random.Random) -> str:
    name, scorn, curse = draw.choice(_FOUL["names"]), draw.choice(_FOUL["scorn"]), draw.choice(_FOUL["curses"])
    forms = (
        f"你这个{name}",
        f"你就是个{name}，{scorn}",
        f"{curse}，{name}",
        f"真是个{name}，{scorn}！",
        f"你们这群{name}{curse}",
        f"{name}，{curse}！",
        f"这种{name}也配说话？{scorn}",
        f"你{scorn}",
        f"他真是个{name}",
        f"{curse}！",
        f"跟你这种{name}没什么好说的",
    )
    return draw.choice(_PLAIN["openings"][:5]) + draw.choice(forms)


def _threat(draw: random.Random) -> str:
    tail = draw.choice(("", "", "，" + draw.choice(_FOUL["names"]), "，你等着", "！", "，别以为我不敢"))
    before = draw.choice(("", "", "", draw.choice(_PLAIN["service"]) + "。", draw.choice(_FOUL["curses"]) + "，"))
    return before + draw.choice(_FOUL["threats"]) + tail


def _attack(draw: random.Random) -> str:
    form = draw.choice(_FOUL["attacks"])
    return form.format(
        g=draw.choice(_ALL_GROUPS),
        n=draw.choice(_FOUL["names"]),
        s=draw.choice(_FOUL["scorn"]),
        c=draw.choice(_FOUL["curses"]),
    )


def _neutral(draw: random.Random) -> str:
    group, other = draw.choice(_ALL_GROUPS), draw.choice(_ALL_GROUPS)
    kin, work, deed = draw.choice(_PLAIN["kin"]), draw.choice(_PLAIN["work"]), draw.choice(_PLAIN["deeds"])
    place, topic = draw.choice(_PLAIN["places"]), draw.choice(_PLAIN["topics"])
    forms = (
        f"我是{group}",
        f"我是{group}，也是{work}",
        f"他是{group}，{deed}",
        f"我的{kin}是{group}，{deed}",
        f"我们{place}有很多{group}",
        f"想了解{group}的{topic}",
        f"{group}和{other}一起{deed}",
        f"有一位{group}{work}{deed}",
        f"请介绍一下{group}的{topic}",
        f"{group}的{topic}有哪些特点？",
        f"她嫁给了一个{group}，两个人{deed}",
        f"{place}里新来的{work}是{group}",
        draw.choice(_PLAIN["counter"]).format(g=group),
    )
    return draw.choice(_PLAIN["openings"]) + draw.choice(forms) + draw.choice(_PLAIN["endings"])


def _ordinary(draw: random.Random) -> str:
    body = draw.choice(_PLAIN["violent"] if draw.random() < 0.5 else _PLAIN["service"])
    more = "，" + draw.choice(_PLAIN["service"]) if draw.random() < 0.3 else ""
    return draw.choice(_PLAIN["openings"]) + body + more + draw.choice(_PLAIN["endings"])


def _hate(draw: random.Random) -> str:
    kind = draw.choice([kind for kind in _HATE if kind not in ("slurs", "named")])
    said = draw.choice(_HATE[kind]).format(g=draw.choice(_ALL_GROUPS))
    return draw.choice(_PLAIN["openings"][:4]) + said + draw.choice(("", "", "。", "！", "，真的。", "，别不承认"))


def _slur(draw: random.Random) -> str:
    return draw.choice(_HATE["named"]).format(s=draw.choice(_HATE["slurs"])) + draw.choice(
        ("", "。", "！", "，" + draw.choice(_FOUL["curses"]))
    )


def _kind(draw: random.Random) -> str:
    words = draw.choice(_KIND_WORDS[draw.choice(("love", "negated", "report"))]).format(g=draw.choice(_ALL_GROUPS))
    return draw.choice(_PLAIN["openings"][:4]) + words + draw.choice(_PLAIN["endings"][:4])


def _quoted(draw: random.Random) -> str:
    said = draw.choice((_attack, _hate, _hate, _slur, _insult))(draw).rstrip("。！？")
    return draw.choice(_KIND_WORDS["reject"]).format(q=said) + draw.choice(("", "。"))


def _service(draw: random.Random) -> str:
    body = draw.choice(_SERVE["who"]) + "的" + draw.choice(_SERVE["thing"]) + draw.choice(_SERVE["act"])
    if draw.random() < 0.35:
        body = draw.choice(_SERVE["plain"])
    return draw.choice(_PLAIN["openings"][:8]) + body + draw.choice(_PLAIN["endings"])


def _mild(draw: random.Random) -> str:
    more = draw.choice(("", "", "，" + draw.choice(_PLAIN["service"])))
    return draw.choice(_MILD[draw.choice(("objects", "oaths"))]) + more + draw.choice(("", "。", "！", "啊", "，哈哈"))
