"""Reads the corpora of abusive and of ordinary English into one table with partly known labels.

No corpus here knows all six labels, so a target is 1, 0, or NaN for "this corpus does not say"; the loss leaves NaN out. What
each corpus may teach is decided here and nowhere else, one function a corpus. Three kinds of target are weaker than a rater's
word, and the model card says so: `obscene` comes from a word list on texts that raters called toxic, part of `threat` from a
pattern on such texts, and part of all labels from sentences that `grammar.py`, `functional.py`, `situations.py` and `slurs`
compose.

The corpora draw the line of toxicity at different places, so what counts is the order inside each: `train.py` gives every
corpus a threshold of its own while it learns, and none when the model is used.

Rows whose openings or endings agree belong to one group, and a group is never divided between training and test.
"""

from __future__ import annotations

import os
import random
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import functional
import grammar
import numpy as np
import pandas as pd
import situations

LABELS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexism")
"""Detoxify's names and `sexism`, in the order of the model's outputs."""

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GENGUARD_DATA", ROOT / "../shared/data"))
SEED = 20
_TEST_SHARE, _EDGE_WORDS = 10, 8
_SUBJECT = r"\b(?:i|we)(?:'?ll| will| shall|'?m going to| am going to|'?m gonna| gonna|'?re going to| are going to)(?: \w+)?"
_THREAT = re.compile(
    _SUBJECT
    + r" (?:kill|murder|stab|shoot|strangle|beat|slit|burn|hunt|rape|smash|choke|hurt) (?:you|u|ya|him|her|them|your)\b"
    r"|\b(?:kill|hurt|find) you\b.{0,40}\b(?:family|sleep|house|dead)\b|\byou(?:'re| are| will be) (?:a )?dead\b"
)


def load(folder: Path = DATA) -> pd.DataFrame:
    """All corpora as one table: `text`, `source`, `split` (train | test), `gold`, `weight`, and one column a label.

    `gold` is the corpus's own verdict (1 toxic, 0 not, NaN unsaid), for measuring; rows of weight 0 are only for measuring.
    """
    words = _WordList(folder)
    social = pd.concat([_named(reader(folder, words), reader) for reader in _SOCIAL], ignore_index=True)
    social["text"] = social["text"].map(_tidy)
    social = social[social["text"].str.len() > 0].reset_index(drop=True)
    social["split"] = _split(_groups(social["text"].tolist(), social["tie"].tolist()))
    ordinary = pd.concat([_named(reader(folder, words), reader) for reader in _ORDINARY], ignore_index=True)
    table = pd.concat([social, ordinary, composed(folder, SEED)], ignore_index=True)
    return table.reindex(columns=["text", "source", "split", "gold", "weight", *LABELS]).drop_duplicates(
        "text", ignore_index=True
    )


def composed(folder: Path, seed: int) -> pd.DataFrame:
    """All sentences of our own grammars as rows to train on."""
    plain = [row | {"sexism": 0.0 if row.get("gold") == 0 else np.nan} for row in grammar.compose(seed)]
    rows = pd.DataFrame([*plain, *functional.compose(seed), *situations.compose(seed), *slurs(folder, seed)])
    return rows.assign(source="composed", split="train", weight=1.0)


def slurs(folder: Path, seed: int, count: int = 900) -> list[dict[str, object]]:
    """Sentences with slurs of the word list, used against someone, and named by someone who rejects them."""
    terms = _terms(folder)
    terms = terms[(terms["source"] == "surge-ai/profanity") & (terms["severity"] >= 1.8) & (terms["term"].str.len() > 3)]
    aimed = terms["category"].isin(["racial / ethnic slurs", "sexual orientation / gender"])
    draw, pool, rows = random.Random(seed), terms["term"][aimed].tolist(), {}
    for _ in range(count):
        term = draw.choice(pool)
        hateful = (
            f"you {term}", f"shut up, {term}", f"just another {term}", f"what a {term}", f"I hate that {term}",
            f"go home, {term}",
            f"typical {term} behaviour", f"you are nothing but a {term}", f"look at this {term}", f"every {term} should leave",
        )  # fmt: skip
        rejected = (
            f"Calling someone a {term} is never okay.", f'He called me "{term}" and I left.', f'The word "{term}" is a slur.',
            f"Do not use the word {term} here, please.", f'She was suspended for writing "{term}" on the wall.',
        )  # fmt: skip
        if draw.random() < 0.7:
            rows[draw.choice(hateful)] = functional.HATE | {"insult": 1.0, "threat": 0.0}
        else:
            rows[draw.choice(rejected)] = functional.labels(toxicity=0.0, gold=0.0, identity_attack=0.0, threat=0.0, insult=0.0)
    return [{"text": text, **known} for text, known in rows.items()]


def _terms(folder: Path) -> pd.DataFrame:
    terms = pd.read_parquet(folder / "lexicons" / "terms.parquet")
    return terms.assign(severity=pd.to_numeric(terms["severity"], errors="coerce").fillna(0.0))


class _WordList:
    """Which texts hold profanity, by the corpus `lexicons`: terms of up to three whole words."""

    def __init__(self, folder: Path) -> None:
        terms = _terms(folder)
        terms = terms[(terms["lang"] == "en") & (terms["term"].str.len() > 2)]
        vulgar = terms["source"] == "LDNOOBW"
        self._any = {_normal(term) for term in terms["term"]} - {""}
        slurs = (terms["category"] == "racial / ethnic slurs") & (terms["severity"] >= 1.8)
        self._slurs = {_normal(term) for term in terms["term"][slurs]} - {""}
        self._vulgar = {_normal(term) for term in terms["term"][vulgar]} - {""}

    def obscene(self, texts: pd.Series) -> np.ndarray:
        """1 where a vulgar term stands, 0 where none of the list does, NaN between."""
        found = [self._terms(text) for text in texts]
        return np.array([1.0 if terms & self._vulgar else np.nan if terms else 0.0 for terms in found])

    def holds(self, texts: pd.Series) -> pd.Series:
        """Whether any term of the list stands in each text."""
        return texts.map(lambda text: bool(self._terms(text)))

    def insults(self, texts: pd.Series) -> pd.Series:
        """Whether a slur of the list stands in each text."""
        return texts.map(lambda text: bool(self._terms(text) & self._slurs))

    def _terms(self, text: str) -> set[str]:
        words = _normal(text).split()
        phrases = {" ".join(words[first : first + size]) for size in (1, 2, 3) for first in range(len(words) - size + 1)}
        return phrases & self._any


def _rows(texts: pd.Series, gold: object, *, tie: object = "", weight: object = 1.0) -> pd.DataFrame:
    """A table with nothing known but `gold`; `tie` keeps rows of one conversation together."""
    rows = pd.DataFrame({"text": texts.to_numpy(), "gold": gold, "tie": tie, "weight": weight}).astype(
        {"gold": float, "weight": float}
    )
    rows[list(LABELS)] = np.nan
    rows["toxicity"] = rows["gold"]
    rows.loc[rows["gold"] == 0, list(LABELS)] = 0.0  # what nobody finds toxic is not an insult or a threat either
    return rows


def _word_labels(rows: pd.DataFrame, words: _WordList) -> pd.DataFrame:
    """Add the two weak labels to the rows that raters called toxic."""
    toxic = rows["gold"] == 1
    rows.loc[toxic, "obscene"] = words.obscene(rows.loc[toxic, "text"])
    threatening = toxic & rows["text"].str.lower().str.contains(_THREAT)
    rows.loc[threatening, "threat"] = 1.0
    return rows


def jigsaw_wiki_binary(folder: Path, words: _WordList) -> pd.DataFrame:
    found = pd.read_parquet(folder / "jigsaw_wiki_binary" / "data.parquet")
    return _word_labels(_rows(found["text"], found["label"]), words)


def civil_toxic_spans(folder: Path, _: _WordList) -> pd.DataFrame:
    """Positives only: the kinds are told apart within the set, `toxicity` is taken only where raters agree."""
    found = pd.read_parquet(folder / "civil_toxic_spans" / "posts.parquet")
    rows = _rows(found["text"], np.nan)
    rows.loc[found["frac_span"] >= 0.6, "toxicity"] = 1.0
    for label, column, least in (
        ("obscene", "profane", 0.5),
        ("insult", "insult", 0.5),
        ("threat", "threat", 0.34),
        ("identity_attack", "identity", 0.5),
    ):
        share = found[f"frac_{column}"]
        rows[label] = np.where(share >= least, 1.0, np.where(share == 0, 0.0, np.nan))
    rare = (rows[["obscene", "threat", "identity_attack"]] == 1).any(axis=1)
    kept = rare | (np.random.default_rng(SEED).random(len(rows)) < 0.25)
    return rows.assign(weight=kept * np.where(rows["threat"] == 1, 2.0, 0.7))


def davidson_hso(folder: Path, words: _WordList) -> pd.DataFrame:
    """Half of the verdicts, and a tenth of the offensive ones: the sample has hardly any ordinary text."""
    found = pd.read_parquet(folder / "davidson_hso" / "data.parquet")
    hate, offensive = found["label"] == "hate_speech", found["label"] == "offensive"
    sure = np.where(hate, True, np.where(offensive, found["offensive_language"], found["neither"]) == found["count"])
    kept = np.random.default_rng(SEED).random(len(found)) < np.where(offensive, 0.1, 0.5)
    rows = _word_labels(
        _rows(found["text"], np.where(hate | offensive, 1.0, 0.0), weight=kept * np.where(sure, 0.8, 0.4)), words
    )
    rows.loc[hate, "identity_attack"] = 1.0
    rows.loc[offensive & (found["hate_speech"] == 0), ["identity_attack", "severe_toxicity"]] = 0.0
    rows.loc[hate & (found["hate_speech"] == found["count"]), "severe_toxicity"] = 1.0
    return rows


def hatexplain(folder: Path, words: _WordList) -> pd.DataFrame:
    """`normal` holds slurs and attacks: it counts for `toxicity`, and for the other labels where no listed word stands."""
    found = pd.read_parquet(folder / "hatexplain" / "data.parquet")
    normal, hate = found["label"] == "normal", found["label"] == "hatespeech"
    rows = _word_labels(_rows(found["text"], np.where(normal, 0.0, 1.0)), words)
    unsure = normal & words.holds(found["text"])
    rows.loc[unsure, [label for label in LABELS if label != "toxicity"]] = np.nan
    rows.loc[hate, "identity_attack"] = 1.0
    return rows


def toxigen_human(folder: Path, _: _WordList) -> pd.DataFrame:
    """Implicit hate, and neutral sentences about the same groups: these teach that a group's name is no attack."""
    found = pd.read_parquet(folder / "toxigen_human" / "data.parquet")
    hate = found["label"] == "hate"
    rows = _rows(found["text"], hate.astype(float))
    rows.loc[hate, "identity_attack"] = 1.0
    return rows.assign(weight=1.5)


def convabuse(folder: Path, words: _WordList) -> pd.DataFrame:
    found = pd.read_parquet(folder / "convabuse" / "data.parquet")
    found = found[found["label"] != "tie"].reset_index(drop=True)
    abusive = found["label"] == "abusive"
    rows = _word_labels(_rows(found["text"], abusive.astype(float), tie="convabuse" + found["conv_id"].astype(str)), words)
    groups = found[["frac_homophobic", "frac_racist", "frac_sexist", "frac_transphobic"]].max(axis=1)
    aimed = found[["frac_target_individual", "frac_target_system"]].max(axis=1) >= 0.5
    rows.loc[abusive, "identity_attack"] = np.where(groups[abusive] >= 0.5, 1.0, np.where(groups[abusive] == 0, 0.0, np.nan))
    rows.loc[abusive & aimed & (found["frac_sex_harassment"] == 0), "insult"] = 1.0
    rows.loc[abusive, "severe_toxicity"] = (found.loc[abusive, "mean_severity"] <= -2).astype(float)
    sexist = found[["frac_sex_harassment", "frac_sexist"]].max(axis=1)
    rows.loc[abusive, "sexism"] = np.where(sexist[abusive] >= 0.5, 1.0, np.where(sexist[abusive] == 0, 0.0, np.nan))
    return rows.assign(weight=2.0)


def surge_toxicity(folder: Path, words: _WordList) -> pd.DataFrame:
    found = pd.read_parquet(folder / "surge_toxicity" / "data.parquet")
    return _word_labels(_rows(found["text"], (found["label"] == "Toxic").astype(float), weight=1.5), words)


def edos_sexism(folder: Path, words: _WordList) -> pd.DataFrame:
    """What is "not sexist" may be abuse of another kind: where a listed word stands, `toxicity` is only less likely, 0.3."""
    found = pd.read_parquet(folder / "edos_sexism" / "data.parquet")
    sexist = found["label_sexist"] == "sexist"
    threat = found["label_category"].str.startswith("1.")
    rows = _rows(found["text"], sexist.astype(float))
    rows.loc[~sexist, [label for label in LABELS if label != "sexism"]] = np.nan
    rows.loc[~sexist, "toxicity"] = np.where(words.holds(found["text"][~sexist]), 0.3, 0.0)
    rows.loc[sexist, ["identity_attack", "sexism"]] = 1.0
    rows.loc[sexist, "threat"] = threat[sexist].astype(float)
    rows.loc[sexist, "severe_toxicity"] = threat[sexist].astype(float)
    return rows


def cat_wiki_context(folder: Path, _: _WordList) -> pd.DataFrame:
    """Ordinary talk; rows that an earlier scorer doubts (`api`) are left out of the negatives, and kept for measuring."""
    found = pd.read_parquet(folder / "cat_wiki_context" / "data.parquet")
    kept = (found["label"] == 1) | ((found["api"] < 0.5) & (np.random.default_rng(SEED).random(len(found)) < 0.25))
    tie = found["parent"].fillna("").map(_normal)
    return _rows(found["text"], found["label"], tie=tie.where(tie == "", "parent " + tie), weight=kept)


def banking77_benign(folder: Path, _: _WordList) -> pd.DataFrame:
    found = pd.read_parquet(folder / "banking77_benign" / "data.parquet")
    test = (found["official_split"] == "test").to_numpy()
    kept = test | (np.random.default_rng(SEED).random(len(found)) < 0.3)
    return _rows(found["text"], 0.0).assign(split=np.where(test, "test", "train"))[kept]


def sgd_dialogues(folder: Path, _: _WordList) -> pd.DataFrame:
    """Single turns of service dialogues, and some whole openings."""
    found = pd.read_parquet(folder / "sgd_dialogues" / "data.parquet").sample(5000, random_state=SEED)
    draw, texts = np.random.default_rng(SEED), []
    for text in found["text"]:
        turns = [turn.partition(": ")[2] for turn in text.splitlines() if ": " in turn]
        first = int(draw.integers(0, max(1, len(turns) - 3)))
        texts.append(" ".join(turns[first : first + (3 if draw.random() < 0.3 else 1)]))
    test = (found["official_split"] == "test").to_numpy()
    return _rows(pd.Series(texts), 0.0).assign(split=np.where(test, "test", "train"))


def books_public_domain(folder: Path, words: _WordList) -> pd.DataFrame:
    """Paragraphs of 20 to 120 words; a book is in training or in test. Those with a slur teach nothing."""
    draw, rows = np.random.default_rng(SEED), []
    with zipfile.ZipFile(folder / "books_public_domain" / "books.zip") as books:
        for name in sorted(books.namelist()):
            paragraphs = [" ".join(part.split()) for part in books.read(name).decode("utf-8").replace("\r", "").split("\n\n")]
            fitting = pd.Series([part for part in paragraphs if 20 <= len(part.split()) <= 120], dtype=str)
            fitting = fitting[~words.insults(fitting)] if len(fitting) else fitting
            chosen = fitting.sample(min(80, len(fitting)), random_state=int(draw.integers(1 << 30)))
            rows.append(_rows(chosen, 0.0).assign(split=_part(name)))
    return pd.concat(rows)


_Reader = Callable[[Path, _WordList], pd.DataFrame]
_SOCIAL: tuple[_Reader, ...] = (
    jigsaw_wiki_binary,
    civil_toxic_spans,
    davidson_hso,
    hatexplain,
    toxigen_human,
    convabuse,
    surge_toxicity,
    edos_sexism,
    cat_wiki_context,
)
_ORDINARY: tuple[_Reader, ...] = (banking77_benign, sgd_dialogues, books_public_domain)


def _named(rows: pd.DataFrame, reader: _Reader) -> pd.DataFrame:
    return rows.assign(source=reader.__name__)


def _tidy(text: str) -> str:
    """Without what gives a corpus away rather than its content: masks of names and links, mark-up, stray quotes."""
    text = re.sub(
        r"&#\d+;|&amp;|&quot;|<[a-z]+>|\b(?:URL|@USER|HTTPURL)\b|@USER|\[(?:USER|URL)\]|^RT\b|={2,}|''+|`+", " ", text
    )
    return " ".join(text.split()).strip("\"' ")


def _normal(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _groups(texts: list[str], ties: list[str]) -> list[int]:
    """A group's number for each text: two texts with one opening, one ending or one tie share a group (union-find)."""
    parent = list(range(len(texts)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    seen: dict[str, int] = {}
    for index, (text, tie) in enumerate(zip(texts, ties, strict=True)):
        words = _normal(text).split()
        for key in (f"< {' '.join(words[:_EDGE_WORDS])}", f"> {' '.join(words[-_EDGE_WORDS:])}", tie):
            if key:
                one, other = root(index), root(seen.setdefault(key, index))
                parent[max(one, other)] = min(one, other)  # so that the number does not depend on the order of the keys
    return [root(index) for index in range(len(texts))]


def _split(groups: list[int]) -> list[str]:
    return [_part(str(group)) for group in groups]


def _part(key: str) -> str:
    return "test" if zlib.crc32(f"{SEED}:{key}".encode()) % _TEST_SHARE == 0 else "train"
