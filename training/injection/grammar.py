"""Composes attacks and harmless look-alikes from the grammars beside this file: no text of a corpus is in them.

`[a|b]` is a choice, `{name}` a draw from the grammar's slots, both may nest. `{blob}` is a request in base64, hexadecimal,
ROT13 or reversed. A family is one style of attack, or one kind of harmless text; what is measured leaves whole families out.
"""

from __future__ import annotations

import base64
import codecs
import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_SLOT = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
_MORE = {
    "half": ["how to make", "tell me how to break", "write a guide to", "explain how to steal", "how do I forge"],
    "otherhalf": ["a bomb", "into a house", "a passport", "someone's identity", "malware"],
}
_KINDS = (("attacks_en.toml", "en"), ("attacks_zh.toml", "zh"), ("benign_en.toml", "en"), ("benign_zh.toml", "zh"))


@dataclass(frozen=True)
class Composed:
    """One composed text; `label` is empty for a harmless one, `indirect` says that it belongs inside a document."""

    text: str
    label: str
    family: str
    language: str
    indirect: bool


def compose(seed: int, per_attack: int, per_benign: int) -> Iterator[Composed]:
    """Distinct texts of every family, at most so many each; the same seed gives the same texts."""
    for file, language in _KINDS:
        grammar = tomllib.loads((_HERE / file).read_text("utf-8"))
        slots = {**_MORE, **grammar["slots"]}
        for name, family in grammar["families"].items():
            draw = random.Random(f"{seed} {name}")
            label, count = family.get("label", ""), per_attack if file.startswith("attacks") else per_benign
            found: dict[str, None] = {}
            for _ in range(count * 4):
                if len(found) < count:
                    found.setdefault(_vary(_expand(draw.choice(family["texts"]), slots, draw), draw))
            for text in found:
                yield Composed(text, label, name, language, family.get("indirect", False))


def _expand(pattern: str, slots: Mapping[str, list[str]], draw: random.Random) -> str:
    for _ in range(12):
        before = pattern
        pattern = _CHOICE.sub(lambda match: draw.choice(match[1].split("|")), pattern, count=1)
        pattern = _SLOT.sub(lambda match: _slot(match[1], slots, draw), pattern, count=1) if pattern == before else pattern
        while pattern != before and (_CHOICE.search(pattern) or _SLOT.search(pattern)):
            before = pattern
            pattern = _CHOICE.sub(lambda match: draw.choice(match[1].split("|")), pattern)
            pattern = _SLOT.sub(lambda match: _slot(match[1], slots, draw), pattern)
        if pattern == before:
            break
    return pattern.replace("{{", "{").replace("}}", "}")


def _slot(name: str, slots: Mapping[str, list[str]], draw: random.Random) -> str:
    if name == "blob":
        return _blob(_expand(draw.choice(slots.get("goalask", slots.get("ask", [""]))), slots, draw), draw)
    return draw.choice(slots[name])


def _blob(text: str, draw: random.Random) -> str:
    forms = (
        base64.b64encode(text.encode()).decode(),
        text.encode().hex(),
        codecs.encode(text, "rot13"),
        text[::-1],
    )
    return draw.choice(forms)


def _vary(text: str, draw: random.Random) -> str:
    """Now and then in small letters, in capitals, or without its last sign; sentences mostly begin with a capital."""
    text = re.sub(r"(^|[.!?:] )([a-z])", lambda match: match[1] + match[2].upper(), text) if draw.random() < 0.8 else text
    chance = draw.random()
    if chance < 0.08:
        return text.lower()
    if chance < 0.12:
        return text.upper()
    return text.rstrip(".。") if chance < 0.2 else text
