"""Composes sentences whose harm lies in the situation: who says it to whom, and what for.

Threats that are veiled or conditional, wishes of harm, hate by "you" and "they", abuse of a person who is named, hate with its
spelling disturbed; and beside them notes in the same words that mean no harm, distress, abuse that is reported, quoted or asked
about, speech against hate in one's own words, words with a second meaning, slurs that a group uses of itself, harmless
questions with violent words. Who quotes hate to agree with it is not spared. Every sentence is the project's own, drawn from
`situations.toml` and the lists of `functional.py`.
"""

from __future__ import annotations

import random
import re
import sys
import tomllib
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
import functional
from functional import CLEAN, HATE, HATE_WITHOUT_THREAT, Labels, Made, labels

_P: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "situations.toml").read_text("utf-8"))
_UNKNOWN = float("nan")
_THREAT = labels(gold=1.0, toxicity=1.0, threat=1.0, identity_attack=0.0, obscene=0.0, sexism=0.0)
_WISH = labels(gold=1.0, toxicity=1.0, identity_attack=0.0, obscene=0.0)
_INSULT = labels(gold=1.0, toxicity=1.0, insult=1.0, threat=0.0, identity_attack=0.0, severe_toxicity=0.0, obscene=0.0)
_LEADS = ("", "", "", "", "listen, ", "hey, ", "ok, ", "by the way, ", "so, ", "well, ", "honestly, ", "sorry, but ")
_ENDS = ("", "", "", "", "", ", you hear me", ", mate", ", just saying", " lol", ", I mean it", ", remember that")


def compose(seed: int) -> list[dict[str, object]]:
    """Rows with `text` and the labels, each form without repeats; the same seed gives the same rows."""
    draw = random.Random(seed)
    plan = (
        (_threat, 900), (_wish, 250), (_note, 550), (_distress, 120), (_reported, 1300), (_endorsed, 350), (_counter, 900),
        (_your_kind, 900), (_scorned, 300), (_liked, 250), (_second_meaning, 250), (_overblocked, 350), (_disturbed_hate, 600),
        (_disturbed_kindness, 350),
    )  # fmt: skip
    rows = []
    for make, count in plan:
        found: dict[str, Labels] = {}
        for _ in range(count * 4):
            if len(found) >= count:
                break
            text, known = make(draw)
            found.setdefault(functional.styled(text, draw), known)
        rows += [{"text": text, **known} for text, known in found.items()]
    return rows


def _phrase(draw: random.Random, name: str) -> str:
    return draw.choice(_P[name])


def _framed(draw: random.Random, text: str) -> str:
    return draw.choice(_LEADS) + text + ("" if text[-1] in ".!?" else draw.choice(_ENDS))


def _about_group(draw: random.Random, form: str) -> str:
    """A form with its slots filled: `p` several of a group, `o` one, `s` one without its article, `a` the adjective.

    `b` is what they are called, `e` what they are kept from.
    """
    one, many, adjective = functional.group(draw)
    base, excluded = functional.phrase(draw, "base"), functional.phrase(draw, "excluded")
    return form.format(p=many, o=one, s=one.split(" ", 1)[1], a=adjective, b=base, e=excluded)


def _threatening(draw: random.Random) -> str:
    kind, harm = draw.random(), _phrase(draw, "harms")
    if kind < 0.35:
        return _phrase(draw, "veiled")
    if kind < 0.75:
        return _phrase(draw, "conditional").format(d=_phrase(draw, "done"), h=harm)
    whom, whose = draw.choice((("him", "his"), ("her", "her"), ("them", "their"), ("this guy", "his"), ("my boss", "his")))
    other = re.sub(r"\byour\b", whose, re.sub(r"\byou\b", whom, harm))
    return _phrase(draw, "announced").format(h=draw.choice((harm, other)))


def _threat(draw: random.Random) -> Made:
    return _framed(draw, _threatening(draw)), _THREAT


def _wish(draw: random.Random) -> Made:
    return _framed(draw, _phrase(draw, "wishes")), _WISH


def _note(draw: random.Random) -> Made:
    return _framed(draw, _phrase(draw, "harmless_notes")), CLEAN


def _distress(draw: random.Random) -> Made:
    return draw.choice(("", "", "hello, ", "please help, ", "I don't know where to turn: ")) + _phrase(draw, "distress"), CLEAN


def _scorning(draw: random.Random) -> str:
    return _phrase(draw, "scorned").format(n=_phrase(draw, "names"))


def _reported(draw: random.Random) -> Made:
    """Abuse of every kind, told by somebody else."""
    said = draw.choice((_threatening, _scorning, _hating, _hating, _sexist))(draw).rstrip(".!?")
    quoted = draw.choice(('"{}"', "'{}'", "“{}”", "„{}“")).format(said[0].upper() + said[1:])
    return _phrase(draw, "reporters").format(n=_phrase(draw, "names"), q=quoted), CLEAN


def _hating(draw: random.Random) -> str:
    return functional.hateful(draw) if draw.random() < 0.6 else _about_group(draw, _phrase(draw, "your_kind"))


def _sexist(draw: random.Random) -> str:
    return functional.phrase(draw, "sexist")


def _endorsed(draw: random.Random) -> Made:
    return _phrase(draw, "endorsers").format(q=_hating(draw).rstrip(".!?")), HATE


def _counter(draw: random.Random) -> Made:
    lead = draw.choice(("", "", "", "I think ", "again: ", "as a neighbour I say: "))
    return lead + _about_group(draw, _phrase(draw, "counter")), CLEAN


def _your_kind(draw: random.Random) -> Made:
    lead = draw.choice(("", "", "", "", "listen, ", "I mean, ", "frankly, ", "in my opinion ", "let's face it, "))
    return lead + _about_group(draw, _phrase(draw, "your_kind")), HATE_WITHOUT_THREAT


def _scorned(draw: random.Random) -> Made:
    return _framed(draw, _scorning(draw)), _INSULT


def _liked(draw: random.Random) -> Made:
    return _framed(draw, _phrase(draw, "liked").format(n=_phrase(draw, "names"))), CLEAN


def _second_meaning(draw: random.Random) -> Made:
    if draw.random() < 0.3:
        return draw.choice(_LEADS) + _phrase(draw, "reclaimed"), CLEAN | {"obscene": _UNKNOWN}
    return draw.choice(_LEADS) + _phrase(draw, "homonyms"), CLEAN


def _overblocked(draw: random.Random) -> Made:
    lead = draw.choice(("", "", "", "hi, ", "please tell me, ", "quick question: ", "for school: "))
    return lead + _phrase(draw, "overblocked"), CLEAN


def _disturbed_hate(draw: random.Random) -> Made:
    return disturbed(_hating(draw), draw), HATE


def _disturbed_kindness(draw: random.Random) -> Made:
    made = draw.choice((functional.neutral, functional.kind, _note, _counter))(draw)
    return disturbed(made[0], draw), CLEAN


def disturbed(text: str, draw: random.Random) -> str:
    """With spaces left out or put in, letters exchanged, left out, doubled or starred, in one to three words."""
    style = draw.random()
    if style < 0.12:
        return text.replace(" ", "")
    words = text.split()
    if style < 0.35 and len(words) > 2:
        at = draw.randrange(len(words) - 1)
        words[at : at + 2] = [words[at] + words[at + 1]]
    for index in draw.sample(range(len(words)), min(len(words), draw.randint(1, 3))):
        words[index] = _disturbed_word(words[index], draw)
    return " ".join(words)


def _disturbed_word(word: str, draw: random.Random) -> str:
    if len(word) < 4:
        return word
    at = draw.randrange(1, len(word) - 1)
    return draw.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] * draw.randint(2, 4) + word[at + 1 :],
            word[:at] + "*" + word[at + 1 :],
            word[:at] + " " + word[at:],
            word[:at] + draw.choice("-._") + word[at:],
            word[:1] + "*" * (len(word) - 2) + word[-1:] if len(word) < 7 else word[:at] + "#" + word[at + 1 :],
        )
    )
