"""Examples for the English name finder: four corpora of people's own sentences, and invented service conversations.

An example is (text, [(start, end, label)], unknown), offsets in code points; `unknown` holds ranges about which nothing is
known, so that they teach neither "name" nor "no name". Labels: PERSON, LOCATION, ORG.
"""

from __future__ import annotations

import json
import os
import random
import re
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from templates import MARKED, NEUTRAL, PERSONAL, PINYIN_SURNAMES, PINYIN_SYLLABLES, PRODUCTS

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GENGUARD_DATA", ROOT / "../shared/data"))
LABELS = {
    **dict.fromkeys(("PER", "person", "PERSON"), "PERSON"),
    **dict.fromkeys(("LOC", "location", "LOCATION", "ADDRESS", "STREET_ADDRESS", "GPE"), "LOCATION"),
    **dict.fromkeys(("ORG", "corporation", "group", "ORGANIZATION"), "ORG"),
}
LOCALES = ("en_US", "en_GB", "en_IN", "es_MX", "de_DE", "fr_FR", "it_IT", "pt_BR", "nl_NL", "pl_PL", "tr_TR", "id_ID", "en_US")
_GAP = re.compile(r"\{(\w+)\}")


class Marked(NamedTuple):
    """One text with its names."""

    text: str
    entities: list[tuple[int, int, str]]
    unknown: list[tuple[int, int]]


def tagged(name: str) -> list[Marked]:
    """A corpus of tokens with BIO tags (`btc_twitter`, `wikigold`, `wnut17_train_dev`), set as running text."""
    table = pd.read_parquet(DATA / "ner_en" / f"{name}.parquet")
    return [_join(list(tokens), list(tags)) for tokens, tags in zip(table.tokens, table.ner_tags, strict=True)]


def _join(tokens: Sequence[str], tags: Sequence[str]) -> Marked:
    text, entities, unknown, quoted = "", [], [], False
    for token, tag in zip(tokens, tags, strict=True):
        glue = not text or text.endswith(("(", "[", "$", "#")) or re.fullmatch(r"[.,:;!?%)\]]+|'(s|m|re|ve|ll|d|t)|n't", token)
        if token == '"':  # noqa: S105
            glue = glue or quoted
            quoted = not quoted
        elif text.endswith('"') and quoted:
            glue = True
        start = len(text) + (not glue)
        text += ("" if glue else " ") + token
        if token.startswith(("@", "#")) or text[:start].endswith("@ "):  # a handle: the corpora disagree about what it is
            unknown.append((start, len(text)))
            continue
        label = LABELS.get(tag[2:])
        if label and tag.startswith("I-") and entities and entities[-1][2] == label:
            entities[-1] = (entities[-1][0], len(text), label)
        elif label:
            entities.append((start, len(text), label))
    return Marked(text, entities, unknown)


def synthetic() -> tuple[list[Marked], list[Marked]]:
    """The Presidio evaluation sentences, as (for training, held out by template)."""
    table = pd.read_parquet(DATA / "presidio_synth" / "data.parquet")
    sides: tuple[list[Marked], list[Marked]] = ([], [])
    keys = {key: rank for rank, key in enumerate(sorted(table.template_key.unique()))}
    for row in table.itertuples():
        entities = []
        for span in json.loads(row.spans):
            label = LABELS.get(span["entity_type"])
            start, end = span["start_position"], span["end_position"]
            inner = row.text[start:end]
            start, end = start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
            if label and start < end:
                entities.append((start, end, label))
        entities = [one for one in entities if not any(_inside(one, other) for other in entities)]
        sides[is_held_out(keys[row.template_key])].append(Marked(row.text, entities, []))
    return sides


def _inside(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one != other and other[0] <= one[0] and one[1] <= other[1]


def is_held_out(rank: int) -> bool:
    """Whether the template of that rank is kept for the evaluation: one in five."""
    return rank % 5 == 4


def plain(count: int, rng: random.Random) -> list[Marked]:
    """Service conversation without marks: lower-case words are no names, capitalised ones inside a sentence may be."""
    dialogues = pd.read_parquet(DATA / "sgd_dialogues" / "data.parquet").text.sample(count, random_state=rng.randrange(2**31))
    questions = pd.read_parquet(DATA / "banking77_benign" / "data.parquet").text.sample(
        count // 4, random_state=rng.randrange(2**31)
    )
    texts = []
    for dialogue in dialogues:
        lines = dialogue.split("\n")
        first = rng.randrange(len(lines))
        chosen = lines[first : first + rng.choice((1, 1, 2, 3))]
        texts.append(
            "\n".join(chosen) if rng.random() < 0.3 else " ".join(re.sub(r"^(USER|AGENT): ", "", one) for one in chosen)
        )
    texts += list(questions)
    common = {word for text in texts for word in re.findall(r"\b[a-z]+\b", text)} | {"user", "agent", "i", "ok"}
    return [Marked(text, [], _doubtful(text, common)) for text in texts]


def _doubtful(text: str, common: set[str]) -> list[tuple[int, int]]:
    found = []
    for match in re.finditer(r"\S*[A-Z]\S*|#?\d\S*", text):
        word = match.group().strip(string.punctuation).lower()
        starts_sentence = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1] in ".?!:\n"
        if word.split("'")[0] not in common or not starts_sentence:
            found.append(match.span())
    return found


class Inventor:
    """Invents people, places and numbers. `side` 0 draws the listed identities used for training, 1 the others."""

    def __init__(self, seed: int, side: int) -> None:
        from faker import Faker

        self.rng = random.Random(seed)
        self._fakers = []
        for number, locale in enumerate(LOCALES):
            faker = Faker(locale)
            faker.seed_instance(seed + number)
            self._fakers.append(faker)
        columns = ["GivenName", "Surname", "City", "StateFull", "StreetAddress", "Company", "EmailAddress", "TelephoneNumber"]
        identities = pd.read_parquet(DATA / "presidio_synth" / "fake_identities.parquet")[columns].dropna()
        self._identities: list[dict[str, str]] = identities.iloc[side::2].to_dict("records")
        self._places = sorted({
            text[start:end] for text, entities, _ in tagged("wikigold") for start, end, label in entities
            if label == "LOCATION" and text[start:end].istitle()
        })[side::2]  # fmt: skip

    def __call__(self, kind: str) -> str:  # noqa: C901 - one case a kind
        rng, english = self.rng, self._fakers[0]
        person = rng.choice(self._identities)
        match kind:
            case "first":
                return self._names()[0]
            case "last":
                return self._names()[1]
            case "person":
                first, last = self._names()
                middle = f" {rng.choice(string.ascii_uppercase)}." if rng.random() < 0.1 else ""
                return f"{first}{middle} {last}"
            case "city":
                return rng.choice((person["City"], english.city(), rng.choice(self._fakers).city(), rng.choice(self._places)))
            case "state":
                return rng.choice((english.state(), english.state_abbr(), person["StateFull"]))
            case "country":
                return rng.choice((english.country(), self._fakers[1].country()))
            case "street":
                street = rng.choice((person["StreetAddress"], english.street_address(), self._fakers[1].street_address()))
                return str(street).replace("\n", ", ")
            case "address":
                return rng.choice((english.address(), rng.choice(self._fakers).address())).replace(
                    "\n", rng.choice((", ", ", ", "\n"))
                )
            case "company":
                return rng.choice((english.company(), str(person["Company"]), rng.choice(self._fakers).company()))
            case "email":
                return rng.choice((person["EmailAddress"], english.email(), english.company_email()))
            case "phone":
                return rng.choice(
                    (english.phone_number(), rng.choice(self._fakers).phone_number(), str(person["TelephoneNumber"]))
                )
            case "card":
                number = english.credit_card_number()
                return number if rng.random() < 0.5 else " ".join(number[at : at + 4] for at in range(0, len(number), 4))
            case "iban":
                return self._fakers[1].iban()
            case "ssn":
                return english.ssn()
            case "expiry":
                return english.credit_card_expire()
            case "cvv":
                return str(rng.randrange(100, 9999))
            case "ip":
                return english.ipv4()
            case "date":
                return english.date(rng.choice(("%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%m/%d/%Y", "%B %d")))
            case "time":
                return rng.choice(("%H:%M", "%I:%M %p", "%I %p")).replace("%H:%M", english.time("%H:%M")).replace(
                    "%I:%M %p", english.time("%I:%M %p")).replace("%I %p", english.time("%I %p"))  # fmt: skip
            case "day":
                return rng.choice(
                    (english.day_of_week(), "tomorrow", "today", "the " + rng.choice(("1st", "3rd", "8th")), "next week")
                )
            case "amount":
                return rng.choice(("$", "€", "£", "USD ")) + f"{rng.randrange(5, 9000)}" + rng.choice(("", ".50", ".99"))
            case "number":
                return str(rng.randrange(2, 60))
            case "version":
                return ".".join(str(rng.randrange(30)) for _ in range(rng.choice((2, 3))))
            case "order":
                return rng.choice(("", "#", "ORD-", "A-")) + str(rng.randrange(10**4, 10**8))
            case "code":
                letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randrange(1, 4)))
                return letters + rng.choice(("", "-")) + str(rng.randrange(10**6))
            case "product":
                return rng.choice(PRODUCTS)
        raise KeyError(kind)

    def _names(self) -> tuple[str, str]:
        rng = self.rng
        source = rng.random()
        if source < 0.4:
            person = rng.choice(self._identities)
            return person["GivenName"], person["Surname"]
        if source < 0.5:
            given = "".join(rng.choices(PINYIN_SYLLABLES, k=rng.choice((1, 2, 2)))).title()
            return given, rng.choice(PINYIN_SURNAMES)
        faker = rng.choice(self._fakers)
        return faker.first_name(), faker.last_name()


def conversations(count: int, invent: Inventor, *, held_out: bool) -> list[Marked]:
    """`count` filled templates, three personal to one neutral; `held_out` picks the templates kept for the evaluation."""
    rng = invent.rng
    personal = [one for rank, one in enumerate(PERSONAL) if is_held_out(rank) == held_out]
    neutral = [one for rank, one in enumerate(NEUTRAL) if is_held_out(rank) == held_out]
    made = []
    for _ in range(count):
        parts = [rng.choice(personal if rng.random() < 0.75 else neutral) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        made.append(_recase(fill(rng.choice((" ", " ", "\n")).join(parts), invent), rng))
    return made


def fill(template: str, invent: Inventor) -> Marked:
    """Put invented values into the gaps of a template."""
    text, entities, last = "", [], 0
    for gap in _GAP.finditer(template):
        text += template[last : gap.start()]
        value = invent(gap.group(1))
        label = MARKED.get(gap.group(1))
        if label == "PERSON" and entities and entities[-1][1:] == (len(text) - 1, label) and text.endswith(" "):
            entities[-1] = (entities[-1][0], len(text) + len(value), label)  # first and last name are one
        elif label:
            entities.append((len(text), len(text) + len(value), label))
        text, last = text + value, gap.end()
    return Marked(text + template[last:], entities, [])


def _recase(example: Marked, rng: random.Random) -> Marked:
    """Now and then all lower or all upper case, as people type; texts whose length would change stay as they are."""
    chance = rng.random()
    text = example.text.lower() if chance < 0.07 else example.text.upper() if chance < 0.10 else example.text
    return example._replace(text=text) if len(text) == len(example.text) else example


def split(examples: Iterable[Marked], rng: random.Random, share: float = 0.1) -> tuple[list[Marked], list[Marked]]:
    """(for training, held out), at random."""
    sides: tuple[list[Marked], list[Marked]] = ([], [])
    for example in examples:
        sides[rng.random() < share].append(example)
    return sides


def training_set(seed: int) -> list[Marked]:
    """Everything to train on, shuffled."""
    rng = random.Random(seed)
    examples: list[Marked] = []
    for name in ("btc_twitter", "wikigold", "wnut17_train_dev"):
        examples += split(tagged(name), random.Random(name))[0]
    examples += synthetic()[0]
    examples += plain(4000, rng)
    examples += conversations(7000, Inventor(seed, 0), held_out=False)
    rng.shuffle(examples)
    return examples


def held_out_sets(seed: int) -> dict[str, list[Marked]]:
    """What the model never saw: sentences of each corpus, and whole templates with names of the other half."""
    sets = {name: split(tagged(name), random.Random(name))[1] for name in ("btc_twitter", "wikigold", "wnut17_train_dev")}
    sets["presidio_synth"] = synthetic()[1]
    sets["conversations"] = conversations(800, Inventor(seed + 1000, 1), held_out=True)
    return sets
