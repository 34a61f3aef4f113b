"""Composes sentences that the corpora are short of: plain threats and insults as a chatbot would make them, sentences that name
a group and say nothing bad of it, and harmless sentences with violent words.

Every sentence is drawn from the lists in `phrases.toml` by the project's own rules; nothing is taken from a corpus. None of
them is a sentence of the check's examples (a test holds this), so that the examples show what was learnt.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

_PHRASES: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text("utf-8"))


def compose(seed: int) -> list[dict[str, object]]:
    """Rows with `text` and the six labels, each kind without repeats; the same seed gives the same rows."""
    draw = random.Random(seed)
    harmless = dict.fromkeys(("gold", "toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack"), 0.0)
    insult = {"toxicity": 1.0, "insult": 1.0, "threat": 0.0, "identity_attack": 0.0, "obscene": 0.0, "severe_toxicity": 0.0}
    threat = {"toxicity": 1.0, "threat": 1.0, "obscene": 0.0, "identity_attack": 0.0, "insult": 0.0}
    attack = {"toxicity": 1.0, "identity_attack": 1.0, "obscene": 0.0}
    plan = (
        (_insult, 900, insult),
        (_threat, 900, threat),
        (_attack, 350, attack),
        (_neutral, 1100, harmless),
        (_harmless, 900, harmless),
    )
    return [{"text": text, **labels} for make, count, labels in plan for text in _distinct(draw, make, count)]


def _distinct(draw: random.Random, make: Callable[[random.Random], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(count * 20):
        if len(found) == count:
            break
        found.setdefault(make(draw))
    return list(found)


def _one(draw: random.Random, of: Sequence[str]) -> str:
    return draw.choice(of)


def _insult(draw: random.Random) -> str:
    scorn, name, tail = _one(draw, _PHRASES["scorn"]), _one(draw, _PHRASES["names"]), _one(draw, _PHRASES["tails"])
    forms = (
        f"You are a {scorn} {name}{tail}.",
        f"You {scorn} {name}{tail}!",
        f"You're nothing but a {scorn} {name}{tail}.",
        f"Only a {name} would ask that, you {scorn} {name}.",
        f"You are so {scorn}{tail}.",
        f"What a {scorn} {name} you are{tail}.",
        f"Listen, {name}, I am done with you{tail}.",
        f"{name.capitalize()}! How {scorn} can you be?",
        f"I will not help a {scorn} {name} like you.",
        f"Thank you for calling. You sound like a {scorn} {name}{tail}.",
    )
    return draw.choice(forms)


def _threat(draw: random.Random) -> str:
    will, chase, harm, after = (
        _one(draw, _PHRASES["will"]),
        _one(draw, _PHRASES["pursuit"]),
        _one(draw, _PHRASES["harm"]),
        _one(draw, _PHRASES["after"]),
    )
    forms = (
        f"{will} {chase} and {harm}{after}.",
        f"{will} {harm}{after}.",
        f"Say that again and I'll {harm}.",
        f"I know where you live, {will.lower().replace('i ', 'I ')} {harm}{after}.",
        f"If you call here again, {will} {harm}.",
        f"Watch your back. {will} {harm}{after}.",
        f"You're dead. {will} {chase}{after}.",
        f"Someone should {harm}.",
    )
    return draw.choice(forms)


def _attack(draw: random.Random) -> str:
    group, bad = _one(draw, _PHRASES["plurals"]), _one(draw, _PHRASES["bad_group"])
    forms = (
        f"{group} {bad}.",
        f"I hate {group}, they {bad}.",
        f"All {group} {bad}, everyone knows it.",
        f"Keep {group} out, they {bad}.",
    )
    return draw.choice(forms)


def _neutral(draw: random.Random) -> str:
    who, plural, kin, fact, deed = (
        _one(draw, of)
        for of in (_PHRASES["groups"], _PHRASES["plurals"], _PHRASES["kin"], _PHRASES["facts"], _PHRASES["deeds"])
    )
    forms = (
        f"My {kin} is {who} and {deed}.",
        f"{plural.capitalize()} {fact}.",
        f"I am a {who} person and I love this city.",
        f"Is there a {who} community centre nearby?",
        f"As a {who} {kin}, she {deed}.",
        f"{who.capitalize()}.",
        f"I'm {who}.",
        f"I am {who}.",
        f"I am a {who} {kin} of two children.",
        f"We are a {who} family and we live here.",
        f"He is a {who} man who {deed}.",
        f"She told her {kin} that she is {who}.",
        f"My {who} {kin} {deed}.",
        f"Many {plural} {fact}.",
        f"The {who} {kin} of mine {deed}.",
        f"The article says that {plural} {fact}.",
    )
    return draw.choice(forms)


def _harmless(draw: random.Random) -> str:
    if draw.random() < 0.4:
        will, kindness = _one(draw, _PHRASES["will"][:6]), _one(draw, _PHRASES["kindness"])
        return f"{will} {kindness}{draw.choice(('', ' today', ' on Friday', ', if that suits you', ' soon'))}."
    who, doing, place, thing = (
        _one(draw, of) for of in (_PHRASES["who"], _PHRASES["doing"], _PHRASES["place"], _PHRASES["thing"])
    )
    start = draw.choice(("", "", "", "Honestly, ", "Well, ", "Hi. ", "Last week: "))
    return start + draw.choice(_PHRASES["violent_words"]).format(who=who, doing=doing, place=place, thing=thing)
