"""Composes sentences in pairs that differ in what they do, not in the words they use: hate, and its look-alikes.

Hate in many forms (contempt, dehumanisation, threats, exclusion, insinuation, negated praise, hateful questions, hate by a
pronoun), and beside each form what uses the same words without it: plain and kind mentions of a group, hate that is denied,
quoted and condemned, abuse of those whom no law protects, contempt for things, swearing at nobody, violent words in harmless
sense. The idea of testing by such functions is known from HateCheck (Röttger et al., 2021); every sentence here is the
project's own, drawn from `functional.toml`.

Labels that a form does not settle stay unknown (NaN): whether swearing at nobody is toxic is a matter of house rules.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from pathlib import Path

_P: dict[str, list] = tomllib.loads((Path(__file__).parent / "functional.toml").read_text("utf-8"))
_UNKNOWN = float("nan")
_NAMES = ("gold", "toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexism")
Labels = dict[str, float]
Made = tuple[str, Labels]


def labels(**known: float) -> Labels:
    """All labels unknown but the given ones."""
    return dict.fromkeys(_NAMES, _UNKNOWN) | known


CLEAN: Labels = dict.fromkeys(_NAMES, 0.0)
HATE = labels(gold=1.0, toxicity=1.0, identity_attack=1.0)
HATE_WITHOUT_THREAT = HATE | {"threat": 0.0, "obscene": 0.0}
NO_ATTACK = labels(identity_attack=0.0, sexism=0.0, threat=0.0)


def compose(seed: int, scale: float = 1.0) -> list[dict[str, object]]:
    """Rows with `text` and the labels, each form without repeats; the same seed gives the same rows."""
    draw = random.Random(seed)
    plan = (
        (_hate, 2400), (_threat_to_group, 500), (_swearing_at_group, 300), (_sexist, 350), (neutral, 1300), (kind, 700),
        (_denied, 500), (_condemned, 800), (_at_others, 500), (_at_things, 350), (_swearing, 150), (_harmless, 900),
        (_not_sexist, 200),
    )  # fmt: skip
    rows = []
    for make, count in plan:
        found: dict[str, Labels] = {}
        for _ in range(int(count * scale) * 8):
            if len(found) >= int(count * scale):
                break
            text, known = make(draw)
            found.setdefault(styled(text, draw), known)
        rows += [{"text": text, **known} for text, known in found.items()]
    return rows


def phrase(draw: random.Random, name: str) -> str:
    return draw.choice(_P[name])


def group(draw: random.Random) -> tuple[str, str, str]:
    one, many, adjective = draw.choice(_P["groups"])
    return one, many, adjective


def styled(text: str, draw: random.Random) -> str:
    """As people type: mostly with a capital and a stop, sometimes without, now and then in capitals."""
    style = draw.random()
    if style < 0.25:
        return text.lower()
    text = text[0].upper() + text[1:]
    if style < 0.31:
        return text.upper()
    return text if text[-1] in ".!?" or style < 0.45 else text + draw.choice((".", ".", ".", "!", " !!"))


def hateful(draw: random.Random) -> str:
    one, many, adjective = group(draw)
    base, verb, excluded = phrase(draw, "base"), phrase(draw, "scorn_verbs"), phrase(draw, "excluded")
    implied = phrase(draw, "implied").format(p=many)
    forms: tuple[Callable[[], str], ...] = (
        lambda: f"{many} are {base}",
        lambda: f"all {many} are {base}",
        lambda: f"I {verb} {many}",
        lambda: f"{many} are nothing but {base}",
        lambda: f"to me, {many} are {base}",
        lambda: f"{many} should never {excluded}",
        lambda: f"{many} do not deserve to {excluded}",
        lambda: f"no {one.split(' ', 1)[1]} should {excluded}",
        lambda: f"{many} are not human",
        lambda: f"there is nothing good about {many}",
        lambda: f"why are {many} always so {draw.choice(('stupid', 'dirty', 'lazy', 'violent', 'greedy', 'disgusting'))}?",
        lambda: f"is there anything worse than {many}?",
        lambda: f"my {phrase(draw, 'kin')} met some {many} in {phrase(draw, 'place')}. They are {base}",
        lambda: f"{many} {phrase(draw, 'facts')}. They make me sick",
        lambda: f"{many} {phrase(draw, 'facts')}. We should get rid of them",
        lambda: f"{one} is {draw.choice(('always', 'never anything but', 'by nature'))} {base}",
        lambda: f"you are just {one}, you {draw.choice(('filthy animal', 'piece of dirt', 'freak', 'parasite', 'subhuman'))}",
        lambda: f"you {adjective} {draw.choice(('pig', 'rat', 'scum', 'trash', 'dog', 'freak', 'piece of garbage'))}",
        lambda: f"being {adjective} is {draw.choice(('a disease', 'a sickness', 'disgusting', 'a disgrace', 'a sin'))}",
        lambda: implied,
        lambda: implied,
        lambda: implied,
        lambda: f"I don't hate {many}, but {implied}",
        lambda: f"{adjective} lives do not matter",
        lambda: f"{many} are worth less than the rest of us",
    )
    return draw.choice(forms)()


def _hate(draw: random.Random) -> Made:
    return hateful(draw), HATE_WITHOUT_THREAT


def _threat_to_group(draw: random.Random) -> Made:
    one, many, _ = group(draw)
    deed, wished = phrase(draw, "deeds_to"), phrase(draw, "wished")
    forms = (
        f"I will {deed} every {one.split(' ', 1)[1]} I see",
        f"someone should {deed} these {many}",
        f"{many} should {wished}",
        f"let's {deed} some {many} tonight",
        f"I hope {many} {wished.removeprefix('be ') if wished.startswith(('all', 'get', 'burn')) else 'will ' + wished}",
        f"if I meet {one} tonight I will {deed} them",
        f"we are going to {deed} {many} until none are left",
        f"it is time to {deed} the {many}",
    )
    return draw.choice(forms), HATE | {"threat": 1.0, "severe_toxicity": 1.0}


def _swearing_at_group(draw: random.Random) -> Made:
    _, many, adjective = group(draw)
    forms = (
        f"fuck {many}", f"fucking {many} everywhere", f"{many} are shit", f"{adjective} bastards", f"you {adjective} cunt",
        f"piss off, you {adjective} bitch", f"{many} can go fuck themselves",
        f"goddamn {many}, {phrase(draw, 'base')} all of them",
        f"all {many} are fucking {phrase(draw, 'base')}",
    )  # fmt: skip
    return draw.choice(forms), HATE | {"obscene": 1.0, "threat": 0.0}


def _sexist(draw: random.Random) -> Made:
    lead = draw.choice(("", "", "", "everyone knows ", "let's be honest, ", "sorry, but ", "I always say: "))
    return lead + phrase(draw, "sexist"), HATE | {"sexism": 1.0}


def _not_sexist(draw: random.Random) -> Made:
    return draw.choice(("", "", "by the way, ", "I think ", "as the paper says, ")) + phrase(draw, "not_sexist"), CLEAN


def neutral(draw: random.Random) -> Made:
    one, many, adjective = group(draw)
    kin, deed, fact = phrase(draw, "kin"), phrase(draw, "deeds"), phrase(draw, "facts")
    forms = (
        f"I am {one}", f"I'm {adjective}", f"I am {adjective} and I live in {phrase(draw, 'place')}", f"my {kin} is {one}",
        f"my {kin} is {adjective} and {deed}", f"{many} {fact}", f"many {many} {fact}", f"{one} and {one} walk into a café",
        f"are there any {many} in {phrase(draw, 'place')}?",
        f"I was talking with {one} who {deed}", f"being {adjective} is normal",
        f"as {one}, I want to ask about my {phrase(draw, 'thing')}", f"she came out as {adjective} last year",
        f"the film is about {one} in {phrase(draw, 'place')}", f"how many {many} {fact}?", f"{many}", f"{adjective}",
        f"are you {adjective}?", f"you are {one}", f"he asked whether I am {adjective}", f"I am friends with {many}",
        f"the history of {many} in {phrase(draw, 'place')}", f"I dated {one} once", f"we are {adjective} and proud",
        f"do {many} celebrate Christmas?", f"a {kin} of mine married {one}",
    )  # fmt: skip
    return draw.choice(forms), CLEAN


def kind(draw: random.Random) -> Made:
    one, many, adjective = group(draw)
    good = phrase(draw, "good")
    nice = draw.choice(("great", "lovely", "kind", "brave", "smart", "funny", "gentle", "wonderful", "happy", "good"))
    forms = (
        f"{many} are {good}", f"I love {many}", f"most {many} I know are {good}", f"you are a {nice} {adjective} person",
        f"what a {nice} {adjective} {phrase(draw, 'kin')} you have", f"I respect {many} a lot", f"thank you to all {many} here",
        f"{many} make this city better", f"we stand with {many}", f"hug {one} today", f"{many} deserve to be safe",
        f"{one} saved my life", f"I am proud to be {adjective}", f"let {many} live in peace",
        f"you {nice} {adjective} {phrase(draw, 'kin')}",
        f"I trust my {adjective} {phrase(draw, 'kin')}",
    )  # fmt: skip
    return draw.choice(forms), CLEAN


def _denied(draw: random.Random) -> Made:
    one, many, _ = group(draw)
    base, excluded, deed = phrase(draw, "base"), phrase(draw, "excluded"), phrase(draw, "deeds_to")
    forms = (
        f"{many} are not {base}", f"I don't hate {many}", f"no, {many} are not {base}", f"nobody should hate {many}",
        f"it is not true that {many} are {base}", f"I have never said that {many} are {base}",
        f"{many} should {excluded} like everyone else", f"it is wrong to {deed} {many}", f"nobody should ever {deed} {one}",
        f"we don't think {many} are {base}", f"{many} have every right to {excluded}", f"why would anyone hate {many}?",
        f"please stop saying that {many} are {base}", f"no {one.split(' ', 1)[1]} deserves to be hated",
    )  # fmt: skip
    return draw.choice(forms), CLEAN


def _condemned(draw: random.Random) -> Made:
    hate = hateful(draw).rstrip("?")
    quoted, condemn = hate[0].upper() + hate[1:], phrase(draw, "condemn")
    who = draw.choice(("My uncle", "A man on the bus", "Some troll", "The candidate", "Someone online", "He", "The leaflet"))
    forms = (
        f'"{quoted}." {condemn}', f'{who} said "{hate}". {condemn}', f"{who} wrote that {hate}. {condemn}",
        f"If you say '{hate}', you are part of the problem.", f'Saying "{hate}" is hate speech.',
        f'You cannot just go around and say "{hate}". {condemn}', f'How do I report a comment that says "{hate}"?',
        f"It is racist to claim that {hate}.", f'I was told "{hate}" at school and it hurt for years.',
        f'Replies such as "{hate}" break our house rules.',
    )  # fmt: skip
    return draw.choice(forms), CLEAN


def _at_others(draw: random.Random) -> Made:
    many, base, verb = phrase(draw, "others"), phrase(draw, "base"), phrase(draw, "scorn_verbs")
    forms = (
        f"{many} are {base}",
        f"I {verb} {many}",
        f"all {many} are {base}",
        f"why are {many} so stupid?",
        f"fuck all {many}",
    )
    return draw.choice(forms), NO_ATTACK


def _at_things(draw: random.Random) -> Made:
    thing, verb = phrase(draw, "things"), phrase(draw, "scorn_verbs").replace("fucking ", "")
    bad = draw.choice(("awful", "disgusting", "useless", "a nightmare", "garbage", "the worst", "stupid", "a plague"))
    be = "are" if thing.split()[-1].endswith("s") and not thing.startswith(("this", "that", "the ")) else "is"
    forms = (
        f"I {verb} {thing}",
        f"{thing} {be} {bad}",
        f"I want to smash {thing}",
        f"{thing} should be banned",
        f"death to {thing}",
    )
    return draw.choice(forms), CLEAN


def _swearing(draw: random.Random) -> Made:
    lead = draw.choice(("", "", "honestly, ", "haha ", "wow, ", "ok, ", "man, "))
    return lead + phrase(draw, "swearing"), labels(obscene=1.0, identity_attack=0.0, threat=0.0, insult=0.0, sexism=0.0)


def _harmless(draw: random.Random) -> Made:
    slots = {name: phrase(draw, name) for name in ("lang", "place", "thing", "doing")}
    return phrase(draw, "harmless").format(**slots), CLEAN
