"""What the name finders learn from, and what they are measured on: people's own sentences, and invented ones.

Each language has `training_set` (new invented sentences with each seed), `held_out_sets` and `background` (plain text for
counting words). Held out are one sentence in ten of a corpus of people's own sentences, one template in five of invented
sentences, with names of inventories that training never draws from, and every fifth book and plain text.
"""

from __future__ import annotations

import json
import os
import random
import re
import string
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pandas as pd
from marked import Marked, fill, join, kept, recase, templates

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GENGUARD_DATA", ROOT / "../shared/data"))
LABELS = {
    **dict.fromkeys(("PER", "person", "PERSON"), "PERSON"),
    **dict.fromkeys(("LOC", "location", "LOCATION", "GPE"), "LOCATION"),
    **dict.fromkeys(("ADDRESS", "STREET_ADDRESS"), "ADDRESS"),
    **dict.fromkeys(("ORG", "corporation", "group", "ORGANIZATION"), "ORG"),
}
CORPORA = {"en": ("btc_twitter", "wikigold", "wnut17_train_dev"), "zh": ("uner",)}
"""`sec_filings` is left out: it marks "Borrower" and "Lender", seven in ten of its persons, as names."""
_GLUED = re.compile(r"[.,:;!?%)\]]+|'(s|m|re|ve|ll|d|t)|n't")
_BETWEEN = re.compile(r"[\s,.;>?|\\-]{1,8}")


@cache
def tagged(name: str) -> tuple[Marked, ...]:
    """A corpus of tokens with BIO tags, set as running text."""
    if name == "uner":
        table = pd.read_parquet(DATA / "ner_zh_uner" / "train.parquet")
        return tuple(_set(list(tokens), list(tags), "") for tokens, tags in zip(table.tokens, table.ner_tags, strict=True))
    table = pd.read_parquet(DATA / "ner_en" / f"{name}.parquet")
    return tuple(_set(list(tokens), list(tags), " ") for tokens, tags in zip(table.tokens, table.ner_tags, strict=True))


def _set(tokens: Sequence[str], tags: Sequence[str], blank: str) -> Marked:
    text, entities, unknown, quoted = "", [], [], False
    for token, tag in zip(tokens, tags, strict=True):
        glue = not text or not blank or text.endswith(("(", "[", "$", "#")) or _GLUED.fullmatch(token)
        if token == '"':  # noqa: S105
            glue = glue or quoted
            quoted = not quoted
        elif text.endswith('"') and quoted:
            glue = True
        start = len(text) + (not glue)
        text += ("" if glue else blank) + token
        if token.startswith(("@", "#")) or text[:start].endswith("@ "):  # a handle: the corpora disagree about what it is
            unknown.append((start, len(text)))
            continue
        label = LABELS.get(tag[2:])
        if label and tag.startswith("I-") and entities and entities[-1][2] == label:
            entities[-1] = (entities[-1][0], len(text), label)
        elif label:
            entities.append((start, len(text), label))
    return Marked(text, entities, unknown)


@cache
def synthetic() -> tuple[list[Marked], list[Marked]]:
    """The Presidio evaluation sentences, as (for training, held out by template). Neighbouring parts of an address are one."""
    table = pd.read_parquet(DATA / "presidio_synth" / "data.parquet")
    sides: tuple[list[Marked], list[Marked]] = ([], [])
    keys = {key: rank for rank, key in enumerate(sorted(table.template_key.unique()))}
    for row in table.itertuples():
        entities = []
        for span in json.loads(row.spans):
            label = "ADDRESS" if span["entity_type"] == "ZIP_CODE" else LABELS.get(span["entity_type"])
            start, end = span["start_position"], span["end_position"]
            inner = row.text[start:end]
            start, end = start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
            if label and start < end:
                entities.append((start, end, label))
        entities = [one for one in entities if not any(_inside(one, other) for other in entities)]
        sides[keys[row.template_key] % 5 == 4].append(Marked(row.text, _whole_addresses(row.text, sorted(entities)), []))
    return sides


def _inside(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one != other and other[0] <= one[0] and one[1] <= other[1]


def _whole_addresses(text: str, entities: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    merged: list[tuple[int, int, str]] = []
    for start, end, label in entities:
        goes_on = merged and label in {"ADDRESS", "LOCATION"} and merged[-1][2] == "ADDRESS"
        if goes_on and _BETWEEN.fullmatch(text[merged[-1][1] : start]):
            merged[-1] = (merged[-1][0], end, "ADDRESS")
        else:
            merged.append((start, end, label))
    return merged


def plain(count: int, rng: random.Random, *, held_out: bool = False) -> list[Marked]:
    """Service talk and books without marks: lower-case words are no names, capitalised ones inside a sentence may be."""
    table = pd.read_parquet(DATA / "sgd_dialogues" / "data.parquet")
    dialogues = table.text[(table.official_split != "train") == held_out].sample(count, random_state=rng.randrange(2**31))
    texts = []
    for dialogue in dialogues:
        lines = dialogue.split("\n")
        first = rng.randrange(len(lines))
        chosen = lines[first : first + rng.choice((1, 1, 2, 3))]
        bare = " ".join(re.sub(r"^(USER|AGENT): ", "", one) for one in chosen)
        texts.append("\n".join(chosen) if rng.random() < 0.3 else bare)
    texts += rng.sample(questions(held_out=held_out), count // 4)
    texts += rng.sample(paragraphs(held_out=held_out), count // 3)
    common = _lower_case_words()
    return [Marked(text, [], _doubtful(text, common)) for text in texts]


@cache
def questions(*, held_out: bool) -> list[str]:
    """Customers' questions to a bank, without names."""
    texts = pd.read_parquet(DATA / "banking77_benign" / "data.parquet").text
    return [text for text in texts if (zlib.crc32(text.encode()) % 5 == 4) == held_out]


@cache
def paragraphs(*, held_out: bool) -> list[str]:
    """Paragraphs of public-domain books, 20 to 600 characters; every fifth book is held out."""
    found = []
    with zipfile.ZipFile(DATA / "books_public_domain" / "books.zip") as archive:
        for rank, name in enumerate(sorted(archive.namelist())):
            if (rank % 5 == 4) == held_out:
                parts = re.split(r"\n\s*\n", archive.read(name).decode("utf-8"))
                found += [" ".join(part.split()) for part in parts if 20 <= len(part) <= 600 and not part.startswith("#")]
    return found


@cache
def _lower_case_words() -> set[str]:
    return {word for text in background("en") for word in re.findall(r"\b[a-z]+\b", text)} | {"user", "agent", "i", "ok"}


def _doubtful(text: str, common: set[str]) -> list[tuple[int, int]]:
    found = []
    for match in re.finditer(r"\S*[A-Z]\S*|#?\d\S*", text):
        word = match.group().strip(string.punctuation + "“”‘’").lower()
        before = text[: match.start()].rstrip()
        if re.split("['’]", word)[0] not in common or (before and before[-1] not in '.?!:\n"“'):
            found.append(match.span())
    return found


@cache
def background(language: str) -> tuple[str, ...]:
    """Plain text for counting words; nothing that is held out."""
    if language == "en":
        dialogues = pd.read_parquet(DATA / "sgd_dialogues" / "data.parquet")
        own = [one.text for name in CORPORA["en"] for one in split(tagged(name), name)[0]]
        spoken = dialogues.text[dialogues.official_split == "train"][:3000]
        return (*paragraphs(held_out=False), *questions(held_out=False), *spoken, *own)
    own = [one.text for one in split(tagged("uner"), "uner")[0]]
    return (*own, *chinese_posts(held_out=False))


@cache
def chinese_posts(*, held_out: bool) -> list[str]:
    """Chinese posts about regions and people, and prompts: hardly a person's name or an address in them."""
    files = ("cold_zh/data", "swsr_zh_sexism/data", "jailbench_zh/seed_questions")
    texts = [str(text) for file in files for text in pd.read_parquet(DATA / f"{file}.parquet").text]
    return [text for text in texts if (zlib.crc32(text.encode()) % 5 == 4) == held_out]


def split(examples: Iterable[Marked], name: str, share: float = 0.1) -> tuple[list[Marked], list[Marked]]:
    """(for training, held out), at random."""
    rng, sides = random.Random(name), ([], [])
    for example in examples:
        sides[rng.random() < share].append(example)
    return sides


def invented(language: str, count: int, seed: int, *, held_out: bool) -> list[Marked]:
    """`count` texts of one to three filled templates, about a third of them without a name."""
    rng, invent = random.Random(seed), inventor(language, seed, held_out=held_out)
    personal, neutral = (kept(lines, held_out=held_out) for lines in templates(language))
    made = []
    for _ in range(count):
        chosen = [rng.choice(personal if rng.random() < 0.68 else neutral) for _ in range(rng.choice((1, 1, 1, 1, 2, 3)))]
        parts = [fill(template, invent) for template in chosen]
        if language == "en":
            made.append(recase(join(parts, rng.choice((" ", " ", "\n"))), rng))
        else:
            glue = (
                rng.choice(("", "", "\n", " "))
                if all(part.text[-1] in "。？！：" for part in parts[:-1])
                else rng.choice("\n，。 ")
            )
            made.append(join(parts, glue))
    return made


def inventor(language: str, seed: int, *, held_out: bool):
    """The inventor of values for a language."""
    if language == "en":
        from english import EnglishInventor

        return EnglishInventor(seed, held_out=held_out)
    from chinese import ChineseInventor

    return ChineseInventor(seed, held_out=held_out)


def training_set(language: str, seed: int, count: int) -> list[Marked]:
    """What one epoch trains on, shuffled: `count` new invented texts, every other tweet (they are many and marked loosely)."""
    rng = random.Random(seed)
    kept_whole = [name for name in CORPORA[language] if name != "btc_twitter"]
    examples = [one for name in kept_whole for one in split(tagged(name), name)[0]]
    examples += (
        [one for one in split(tagged("btc_twitter"), "btc_twitter")[0] if rng.random() < 0.5] if language == "en" else []
    )
    examples += invented(language, count, seed, held_out=False)
    if language == "en":
        examples += synthetic()[0] + [recase(one, rng) for one in plain(count // 8, rng)]
    else:
        examples += examples[: len(tagged("uner"))]
        examples += [Marked(text, [], [], weak=True) for text in rng.sample(chinese_posts(held_out=False), count // 5)]
    rng.shuffle(examples)
    return examples


def held_out_sets(language: str, seed: int, count: int = 1000) -> dict[str, list[Marked]]:
    """What training never saw."""
    sets = {name: split(tagged(name), name)[1] for name in CORPORA[language]}
    if language == "en":
        sets["presidio_synth"] = synthetic()[1]
    else:
        table = pd.read_parquet(DATA / "ner_zh_uner" / "dev.parquet")
        pairs = zip(table.tokens, table.ner_tags, strict=True)
        sets["uner_dev"] = [_set(list(tokens), list(tags), "") for tokens, tags in pairs]
    sets["invented"] = invented(language, count, seed + 1000, held_out=True)
    return sets
