"""Names of people, places and organisations for the `pii` check: which model reads what, as Presidio's NLP engine.

Bundled models are `guard.checks.name_tagger`s; any spaCy pipeline can take a bundled one's place. Each line of a text belongs
to Chinese when its beginning has at least as many Chinese characters as Latin words, otherwise to the others: the Chinese
tagger reads texts with a Chinese character in them, the others read texts with letters outside Chinese lines, so that neither
is paid for in vain.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from guard.checks.name_tagger import HAN, MODEL_TYPE, Name, NameTagger
from guard.checks.pii_plausible import plausible
from guard.errors import ModelError
from guard.models import ModelFiles, locate

if TYPE_CHECKING:
    from spacy.language import Language

BUNDLED = {"en": "bundled/pii-ner-en", "zh": "bundled/pii-ner-zh"}
"""The model that finds a language's names unless another is named."""
MODEL_LABELS = {
    **dict.fromkeys(("PERSON", "PER"), "PERSON"),
    **dict.fromkeys(("LOCATION", "LOC", "GPE", "FAC"), "LOCATION"),
    **dict.fromkeys(("ORGANIZATION", "ORG"), "ORGANIZATION"),
    **dict.fromkeys(("ADDRESS", "STREET_ADDRESS"), "STREET_ADDRESS"),
    **dict.fromkeys(("DATE", "TIME", "DATE_TIME"), "DATE_TIME"),
    **dict.fromkeys(("NORP", "NRP"), "NRP"),
}
"""Labels of models with the entity types of Presidio; other labels are left out."""
NAME_SCORE = 0.85
"""Score of every name that a spaCy pipeline finds: its entity recognizer has no confidence of its own."""
_MOST = 0.99  # names of a tagger score their probability, but never like a number with a right checksum
NAME_MODEL = "NameModel"
"""The recognizer that findings of names say they are from."""
LEAD = 64
"""Code points before its first Chinese character with which a name of mixed writing may begin."""
BEGINNING = 80
"""Code points of a line that say whose it is: whoever follows a text then knows soon."""
_OF_WORDS = frozenset({"tokens", "tokens_indices", "lemmas", "keywords"})
"""What Presidio asks of the words of a text."""
_IS_HAN = re.compile(f"[{HAN}]")
_WORD = re.compile(rf"[^\W\d_{HAN}]+")
_TITLE = re.compile("先生|女士|小姐|老师|医生|大夫|经理|律师|教授|主任|太太|师傅|同学|阿姨|叔叔")
_FORM = re.compile(r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Sir|Madam|P\.S)\b\.?[ ]+(?=\w)", re.IGNORECASE)
_FIELD = re.compile(
    r"(?:Cardholder|Customer|Client|Patient|Passenger|Guest|Tenant|Applicant|Employee|Recipient|Sender|Attn)\b"
    r"[.:]?(?:[ ]+(?=\w)|$)",
    re.IGNORECASE,
)
_STOP = re.compile(r"(?<=[^\W\d_]{3})(?<!\b(?:Col|Gen|Sgt|Rev|Hon|Gov|Sen|Rep|Mrs|Mme))\.\s+(?=\w)")
_LINE = re.compile(r"[^\n]+")


def load_names(languages: Sequence[str], model: str | None) -> tuple[dict[str, Language | NameTagger], str]:
    """The models by language, and one digest for all of them, "" for none.

    `model` names the only one to load; by default each of the languages has its bundled one, where there is one. Raises
    ModelError for a model that is missing, altered, or made for a language that is not listed.
    """
    wanted = [BUNDLED[language] for language in languages if language in BUNDLED] if model is None else [model]
    files = [_find(one) for one in wanted]
    models = [load_model(one.path) for one in files]
    for one in models:
        if one.lang not in languages:
            raise ModelError(
                f"pii: {model!r} is a pipeline for {one.lang!r}, expected one of: {', '.join(languages)}",
                advice="List its language under `languages`, or name another pipeline.",
            )
    digests = [one.digest for one in files]
    joint = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""
    return {one.lang: one for one in models}, joint


def _find(model: str) -> ModelFiles:
    """The folder of a bundled model, of an installed pipeline, or a local folder. Raises ModelError; downloads nothing."""
    import spacy

    if model.startswith("bundled/") or Path(model).is_dir():
        return locate(model)

    if not spacy.util.is_package(model):
        raise ModelError(
            f"pii: no spaCy pipeline {model!r}, expected a bundled one, the name of an installed package, or a folder",
            advice=f"Install the package, correct the path, or use {BUNDLED['en']}. Nothing is downloaded while running.",
        )
    found = sorted(spacy.util.get_package_path(model).glob("*/config.cfg"))
    if len(found) != 1:
        raise ModelError(
            f"pii: package {model!r} holds {len(found)} spaCy pipelines, expected 1", advice="Give its folder's path."
        )
    return locate(str(found[0].parent))


def load_model(folder: Path) -> Language | NameTagger:
    """A tagger or a spaCy pipeline from its folder. Raises ModelError when it cannot be loaded."""
    import spacy

    if _is_tagger(folder):
        return NameTagger.load(folder)
    try:
        pipeline = spacy.load(folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"the spaCy pipeline cannot be loaded: {type(error).__name__}",
            advice="Check that it was made for the installed spaCy, and that the packages its components need are installed.",
        ) from error
    pipeline.max_length = 10**9  # the check cuts texts into windows itself
    return pipeline


def _is_tagger(folder: Path) -> bool:
    config = folder / "config.json"
    try:
        return config.is_file() and json.loads(config.read_text("utf-8")).get("model_type") == MODEL_TYPE
    except (OSError, ValueError, AttributeError):
        return False


def nlp_engine(languages: Sequence[str], models: Mapping[str, Language | NameTagger]) -> Any:
    """Presidio's spaCy engine over models that are already loaded; languages without one get a bare tokenizer."""
    from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine

    class _Lazy(NlpArtifacts):  # type: ignore[misc]
        """Words of a text, told apart when a pattern asks for those before its match: most texts hold none."""

        def __init__(self, engine: Any, text: str, names: list[Name], language: str) -> None:
            self.entities, self.scores = names, [one.score for one in names]
            self.nlp_engine, self.language = engine, language
            self._text = text

        def __getattr__(self, name: str) -> Any:
            if name not in _OF_WORDS:
                raise AttributeError(name)
            doc = self.nlp_engine.nlp[self.language].make_doc(self._text)
            made = self.nlp_engine._artifacts(doc, self.entities, self.scores, self.language)  # noqa: SLF001 - its engine
            self.__dict__.update({one: getattr(made, one) for one in _OF_WORDS})
            return self.__dict__[name]

    class LoadedEngine(SpacyNlpEngine):  # type: ignore[misc]
        """Never downloads; gives words as lemmas where the pipeline has none; drops names that cannot be any."""

        lazy = _Lazy

        def process_batch(self, texts: Iterable[str], language: str, batch_size: int = 1, **_: Any) -> Iterator[Any]:
            model = models.get(language)
            if isinstance(model, NameTagger):
                for text in texts:
                    names = plausible_names(read(model, text), text)
                    yield text, _Lazy(self, text, names, language)
            else:
                for doc in self.nlp[language].pipe(texts, batch_size=batch_size):
                    names = plausible_names(_entities(doc), doc.text)
                    yield doc.text, self._artifacts(doc, names, [NAME_SCORE] * len(names), language)

        def process_text(self, text: str, language: str) -> NlpArtifacts:
            ((_, artifacts),) = self.process_batch([text], language)
            return artifacts

        def _artifacts(self, doc: Any, names: list[Name], scores: list[float], language: str) -> NlpArtifacts:
            return NlpArtifacts(
                entities=names,
                tokens=doc,
                tokens_indices=[token.idx for token in doc],
                lemmas=[token.lemma_ or token.lower_ for token in doc],
                nlp_engine=self,
                language=language,
                scores=scores,
            )

    engine = LoadedEngine(
        ner_model_configuration=NerModelConfiguration(model_to_presidio_entity_mapping=MODEL_LABELS, default_score=NAME_SCORE)
    )
    engine.nlp = tokenizers(languages, models)
    return engine


def _entities(doc: Any) -> list[Name]:
    return [Name(one.start_char, one.end_char, one.label_, NAME_SCORE) for one in doc.ents]


def tokenizers(languages: Sequence[str], models: Mapping[str, Language | NameTagger]) -> dict[str, Any]:
    """What tells the words of each language apart: its pipeline, or a bare tokenizer."""
    import spacy

    return {language: _tokenizer(spacy, language, models.get(language)) for language in languages}


def _tokenizer(spacy: Any, language: str, model: Language | NameTagger | None) -> Any:
    if model is not None and not isinstance(model, NameTagger):
        return model
    bare = spacy.blank("en" if language == "en" else "xx")
    bare.max_length = 10**9
    # Of each new word spaCy works out 23 attributes; whoever looks for words before a match asks for these.
    of_words = {name: getter for name, getter in bare.vocab.lex_attr_getters.items() if spacy.attrs.NAMES[name] in _ATTRIBUTES}
    bare.vocab.lex_attr_getters = of_words
    return bare


_ATTRIBUTES = frozenset({"LOWER", "NORM", "MORPH", "IS_SPACE", "IS_STOP", "IS_PUNCT"})


def plausible_names(names: Iterable[Name], text: str) -> list[Name]:
    """Those that can be such a name, under Presidio's types."""
    found = []
    for name in names:
        entity = MODEL_LABELS.get(name.label_, "")
        if entity and plausible(entity, text[name.start_char : name.end_char]):
            found.append(replace(name, label_=entity, score=min(name.score, _MOST)))
    return found


class Tagger(Protocol):
    """A `guard.checks.name_tagger.NameTagger`, or what reads a growing text with one."""

    lang: str

    def __call__(self, text: str) -> list[Name]:
        """The names in a text, in order of place."""


def read(tagger: Tagger, text: str) -> list[Name]:
    """The names that a tagger finds in the parts of a text that are its own."""
    chinese = _chinese_lines(text)
    if tagger.lang == "zh":
        if not has_han(text):
            return []
        names = [_without_title(one, text) for one in tagger(text)]
        return [own for one in names if (own := one if _within(one, chinese) else _of_han(one, text))]
    return latin_names(tagger, _without(text, chinese))


def latin_names(tagger: Tagger, text: str) -> list[Name]:
    """Those of a tagger for Latin scripts in a text without Chinese lines."""
    if not _WORD.search(text):
        return []
    return [one for found in tagger(text) if (one := _bare(found, text)).start_char < one.end_char]


def blanked(text: str, end: int | None = None) -> str:
    """The text with spaces for the Chinese lines, or for those before `end` alone."""
    return _without(text, _chinese_lines(text[:end]))


def has_han(text: str) -> bool:
    """Whether a text has a Chinese character."""
    return not text.isascii() and _IS_HAN.search(text) is not None


def has_words(text: str) -> bool:
    """Whether a text has a word of another script."""
    return _WORD.search(text) is not None


def _without(text: str, ranges: Iterable[tuple[int, int]]) -> str:
    for start, end in ranges:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _of_han(name: Name, text: str) -> Name | None:
    """A name outside Chinese lines from a little before its first Chinese character; None where it has none."""
    found = _IS_HAN.search(text, name.start_char, name.end_char)
    return replace(name, start_char=max(name.start_char, found.start() - LEAD)) if found else None


def _without_title(name: Name, text: str) -> Name:
    """A Chinese person's full name ends before a form of address; a surname alone takes it in (张先生)."""
    if name.label_ != "PERSON":
        return name
    for title in _TITLE.finditer(text, name.start_char + 1, name.end_char + 2):
        if title.start() <= name.end_char <= title.end():
            end = title.start() if title.start() - name.start_char > 1 else title.end()
            return replace(name, end_char=end)
    return name


def _bare(name: Name, text: str) -> Name:
    """A person's name begins behind a form of address or a field ("Dr. Batool", "Patient Ana") and ends with its sentence."""
    if name.label_ != "PERSON":
        return name
    start, end = name.start_char, name.end_char
    for leading in (_FIELD, _FORM):
        found = leading.match(text, start, end)
        start = found.end() if found else start
    stop = _STOP.search(text, start, end)
    return replace(name, start_char=start, end_char=stop.start() if stop else end)


def may_be_chinese(line: str) -> bool:
    """Whether a line that begins so may yet become one that belongs to Chinese."""
    seen = line[:BEGINNING]
    most = len(_IS_HAN.findall(seen)) + BEGINNING - len(seen)
    return 0 < most >= len(_WORD.findall(seen))


def _chinese_lines(text: str) -> list[tuple[int, int]]:
    if not has_han(text):
        return []
    return [
        line.span()
        for line in _LINE.finditer(text)
        if 0 < len(_IS_HAN.findall(line.group()[:BEGINNING])) >= len(_WORD.findall(line.group()[:BEGINNING]))
    ]


def _within(name: Name, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(start <= name.start_char and name.end_char <= end for start, end in ranges)
