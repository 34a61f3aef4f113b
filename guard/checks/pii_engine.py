"""Builds a `presidio_analyzer.AnalyzerEngine` with the recognizers of the `pii` check, their order, and what they look at.

The check asks it where a spaCy pipeline reads for names; otherwise `guard.checks.pii_search` finds what it would find.

What differs from Presidio's defaults, and why:

- Nothing is ever downloaded: spaCy pipelines come from a folder or an installed package, and Presidio's e-mail and URL
  recognizers, which fetch a list of public suffixes (the latter in quadratic time besides), are not used.
- A pattern that runs out of time raises; Presidio logs it and goes on, which would make a text look clean.
- Words serve as lemmas where a pipeline has none; with empty lemmas no context would ever raise a score.
- Context matches whole words ("tel" is not in "hotel"); Chinese context is looked up in the text, for it has no spaces.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.checks.name_tagger import NameTagger
from guard.checks.pii_lists import Terms
from guard.checks.pii_names import MODEL_LABELS, NAME_MODEL, nlp_engine
from guard.checks.pii_patterns import BY_LANGUAGE, GENERIC, PHONE_CONTEXT, PHONE_REGIONS
from guard.checks.pii_prefilter import Prefilter
from guard.checks.pii_spec import Needs, PatternSpec
from guard.errors import ModelError
from guard.text.unfinished import Unfinished

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerResult
    from spacy.language import Language

_TIMEOUT_S = 2.0
_BATCH = 32
_TIE_BREAK = 1e-6
"""What a recognizer's scores lose for its place in the table: of two equal results Presidio keeps either one by chance."""
_BOOST, _BOOSTED_AT_LEAST = 0.35, 0.4  # as in Presidio's LemmaContextAwareEnhancer
NATIONAL = re.compile(r"(?<![0-9A-Za-z+.,$€£#-])[(]?[0-9](?:[ ()/.-]{0,2}[0-9]){6,13}(?![0-9A-Za-z]|[.,][0-9])")
NATIONAL_NEEDS = Needs(run=7)  # of what `NATIONAL` finds
_CODE_WORD = re.compile(
    r"(?i:(?<![a-z])(?:(?:purchase |sales |work )?orders?|invoices?|tracking|shipment|parcel|consignment|waybill|awb|tickets?"
    r"|case|booking|confirmation|transaction|serial|sn|isbn(?:-1[03])?|issn|doi|sku|upc|ean(?:-13)?|gtin|asin|parts?|items?"
    r"|products?|models?|version|build|commit|revision|job|request|batch|lot|po|receipt|barcode|error|pmid|timestamp|epoch|issue"
    r"|bug|patent|catalogu?e|stock|inventory|article|coupon|voucher|promo|flight|train|event|session|process|pid|port|trace|log)"
    r"(?:[ ](?:number|numbers|no|nr|num|code|id|ref|reference))?|订单|运单|快递单?|物流单?|流水|交易|发票|序列|产品|批次|条形码"
    r"|条码|合同|凭证|工单|编码|货号|型号|版本|票号|单号|取件码|验证码)"
    r"(?:编?号码?)?[\s.:\uff1a#=/是为()\uff08-]{0,4}(?:(?:is|was)[ ]{1,2})?[#]?\Z"
)
_CODE_WORD_REACH = 40
_GAP = re.compile(r"(?<![ ()/.-])[ ()/.-]+(?=[0-9])")
_NO_MARKS = dict.fromkeys(map(ord, " ()/.-"))
_KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan"),
    "voicemail",
)
"""Of telephone numbers in the metadata of `phonenumbers`: those that make one valid."""
_NO_PHONE = re.compile(  # dates, numbers that begin with a year, digits spelled one by one
    r"(?:(?:19|20)[0-9]{2}[ ./-][0-9]{1,2}[ ./-][0-9]{1,2}|[0-9]{1,2}[ ./-][0-9]{1,2}[ ./-](?:19|20)[0-9]{2})(?:[ ].*)?"
    r"|(?:19|20)[0-9]{2}(?:[01][0-9][0-3][0-9])?-[0-9]{1,6}|(?:[0-9] ){3}.*"
)


class Found(NamedTuple):
    """A result, its score from 0 to 1."""

    start: int
    end: int
    entity: str
    score: float
    recognizer: str


class PresidioSearch:
    """Presidio's own search, for models that it has to run: spaCy pipelines, whose lemmas raise scores, too."""

    def __init__(
        self,
        languages: Sequence[str],
        models: Mapping[str, Language | NameTagger],
        phone_regions: Sequence[str],
        entities: Collection[str],
        unbroken: Callable[[str], str] = str,
    ) -> None:
        """As of `guard.checks.pii_search.PatternSearch`."""
        self._engine = build(languages, models, phone_regions)
        self._unbroken = unbroken
        self._wanted = {
            language: prefilter(
                language, place == 0, sorted(set(entities).intersection(self._engine.get_supported_entities(language))), models
            )
            for place, language in enumerate(languages)
        }
        # A pipeline's vocabulary is written to while it reads; one batch at a time keeps that safe and bounded.
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> list[list[Found]]:
        """As of `guard.checks.pii_search.PatternSearch`."""
        found: list[list[Found]] = [[] for _ in texts]
        with self._lock:
            for language, wanted in self._wanted.items():
                possible = [(number, text, some) for number, text in enumerate(texts) if (some := wanted.possible(text))]
                for number, one in self._asked(possible, language) if possible else ():
                    found[number].append(one)
        return found

    def _asked(self, texts: Sequence[tuple[int, str, list[str]]], language: str) -> Iterator[tuple[int, Found]]:
        """What Presidio says of some texts, each with its number and the entity types that it may hold."""
        engine: Any = self._engine.nlp_engine
        with engine.get_nlp(language).memory_zone():  # forgets the words of these texts again
            broken = [self._unbroken(text) for _, text, _ in texts]
            artifacts = engine.process_batch(broken, language, batch_size=_BATCH)
            for (number, text, entities), (_, artifact) in zip(texts, list(artifacts), strict=True):
                for one in self._engine.analyze(text, language, entities, nlp_artifacts=artifact):
                    name = one.recognition_metadata["recognizer_name"]
                    yield number, Found(one.start, one.end, one.entity_type, one.score, name)


def build(
    languages: Sequence[str], models: Mapping[str, Language | NameTagger], phone_regions: Sequence[str]
) -> AnalyzerEngine:
    """An engine with each language's recognizers; those for every language belong to the first one alone.

    `models` maps languages to the model that finds their names; Chinese names are found by patterns where no tagger does.
    """
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    recognizers: list[EntityRecognizer] = []
    for language, finder in finders(languages, models, phone_regions):
        match finder:
            case PatternSpec():
                recognizers.append(_pattern_recognizer(finder, language))
            case NationalNumbers(regions):
                recognizers.append(_phone_recognizer(language, regions))
            case None:
                entities = sorted(set(MODEL_LABELS.values()))
                recognizers.append(SpacyRecognizer(supported_language=language, supported_entities=entities, name=NAME_MODEL))
    for place, recognizer in enumerate(recognizers):
        recognizer.handicap = handicap(place)
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=recognizers, supported_languages=list(languages)),
        nlp_engine=nlp_engine(languages, models),
        supported_languages=list(languages),
        context_aware_enhancer=LemmaContextAwareEnhancer(context_matching_mode="whole_word"),
    )


@dataclass(frozen=True, slots=True)
class NationalNumbers:
    """Finds telephone numbers in the national format of these regions."""

    regions: tuple[str, ...]
    name = "NationalPhonePattern"


def finders(
    languages: Sequence[str], models: Mapping[str, Language | NameTagger], phone_regions: Sequence[str]
) -> Iterator[tuple[str, PatternSpec | NationalNumbers | None]]:
    """All that finds something, each with its language, in order of precedence; None: the language's model for names."""
    yield from ((languages[0], spec) for spec in GENERIC)
    for language in languages:
        for spec in BY_LANGUAGE.get(language, ()):
            if not _is_found_by(models.get(language), spec):
                yield language, spec
        regions = (*PHONE_REGIONS[language], *(phone_regions if language == languages[0] else ()))
        yield language, NationalNumbers(tuple(dict.fromkeys(regions)))
        if language in models:
            yield language, None


def handicap(place: int) -> float:
    """What the scores of a finder lose for its place."""
    return place * _TIE_BREAK


def _is_found_by(model: Language | NameTagger | None, spec: PatternSpec) -> bool:
    """Whether a Chinese pattern is left out: the tagger sees where a name or an address begins, the pattern guesses."""
    return isinstance(model, NameTagger) and model.lang == "zh" and spec.entity in {"PERSON", "STREET_ADDRESS"}


def _pattern_recognizer(spec: PatternSpec, language: str) -> EntityRecognizer:
    """A Presidio recognizer for one entry of the table."""
    import regex
    from presidio_analyzer import Pattern, PatternRecognizer

    class TablePatternRecognizer(PatternRecognizer):  # type: ignore[misc]
        """Runs the patterns of one entry; raises ModelError when one runs out of time."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None, regex_flags: Any = None) -> list[Any]:
            del entities, nlp_artifacts, regex_flags
            found = []
            for expression, score in compiled:
                try:
                    group = "value" if "value" in expression.groupindex else 0
                    for match in expression.finditer(text, timeout=_TIMEOUT_S):
                        start, end = match.span(group)
                        valid = spec.validate(match.group(group)) if spec.validate else None
                        if valid is not False and not (spec.not_after_code and is_code(text, start, end)):
                            found.append(_result(self, start, end, 1.0 if valid else score))
                except TimeoutError:
                    raise ModelError(
                        f"{spec.name} took longer than {_TIMEOUT_S} s, expected milliseconds",
                        advice="The machine is overloaded, or the text was made to slow it down: treat it as not checked.",
                    ) from None
            return found

        def enhance_using_context(self, text: str, raw_recognizer_results: list[Any], *_: Any, **__: Any) -> list[Any]:
            return _raise_by_chinese_context(text, raw_recognizer_results, chinese)

    compiled = [
        (regex.compile(pattern, regex.IGNORECASE if spec.ignore_case else 0), score) for pattern, score in spec.patterns
    ]
    chinese = tuple(word for word in spec.context if not word.isascii())
    return TablePatternRecognizer(
        supported_entity=spec.entity,
        name=spec.name,
        supported_language=language,
        patterns=[Pattern(f"{spec.name}{place}", pattern, score) for place, (pattern, score) in enumerate(spec.patterns)],
        context=[word for word in spec.context if word.isascii()] or None,
    )


def is_code(text: str, start: int, end: int) -> bool:
    """Whether bare digits are the number of an order, a ticket, a product: what the words right before them say."""
    return text[start:end].isdecimal() and follows_code_word(text, start)


def follows_code_word(text: str, place: int) -> bool:
    """Whether the words right before a place announce the number of an order, a ticket, a product."""
    return _CODE_WORD.search(text, max(0, place - _CODE_WORD_REACH), place) is not None


def prefilter(language: str, main: bool, entities: Iterable[str], models: Mapping[str, Language | NameTagger]) -> Prefilter:
    """What a text must have for each entity type in one language; the main one has those of every language, too.

    What a model finds needs nothing: it decides for itself which texts it reads.
    """
    specs = (*(GENERIC if main else ()), *BY_LANGUAGE.get(language, ()))
    named = sorted(set(MODEL_LABELS.values())) if language in models else []
    needs = [(spec.entity, spec.needs) for spec in specs] + [(entity, Needs()) for entity in named]
    return Prefilter([*needs, ("PHONE_NUMBER", NATIONAL_NEEDS)], entities)


def prefilter_without_names(
    language: str, main: bool, entities: Collection[str], models: Mapping[str, Language | NameTagger]
) -> Prefilter:
    """The same of the types that patterns find: nothing but what a text holds says whether there can be some."""
    specs = (*(GENERIC if main else ()), *BY_LANGUAGE.get(language, ()))
    found = {spec.entity for spec in specs if not _is_found_by(models.get(language), spec)} | {"PHONE_NUMBER"}
    return prefilter(language, main, sorted(found.intersection(entities)), {})


def unfinished(
    languages: Sequence[str], entities: Collection[str], models: Mapping[str, Language | NameTagger], terms: Iterable[Terms]
) -> Unfinished:
    """Where any pattern of these languages and entities, or a term, may still begin a match."""
    import regex

    specs = [
        *GENERIC,
        *(spec for one in languages for spec in BY_LANGUAGE.get(one, ()) if not _is_found_by(models.get(one), spec)),
    ]
    found = {
        (pattern, regex.IGNORECASE if spec.ignore_case else 0)
        for spec in specs
        if spec.entity in entities
        for pattern, _ in spec.patterns
    }
    found |= {(NATIONAL.pattern, 0)} if "PHONE_NUMBER" in entities else set()
    return Unfinished([*sorted(found), *((one.pattern, regex.IGNORECASE) for one in terms if one.pattern)])


def _phone_recognizer(language: str, regions: tuple[str, ...]) -> EntityRecognizer:
    """Finds telephone numbers in the national format of some regions, by Google's libphonenumber.

    Presidio's own walks the whole text once a region; this one asks about the few places that look like a number.
    """
    from presidio_analyzer import LocalRecognizer

    words = PHONE_CONTEXT.get(language, PHONE_CONTEXT["en"])
    chinese = tuple(word for word in words if not word.isascii())

    class NationalPhoneRecognizer(LocalRecognizer):  # type: ignore[misc]
        """Valid numbers of a region: 0.45 when written like one, 0.3 when nothing but digits."""

        def load(self) -> None:
            """Nothing to load."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            del entities, nlp_artifacts
            return [_result(self, start, end, score) for start, end, score in _national_numbers(text, regions)]

        def enhance_using_context(self, text: str, raw_recognizer_results: list[Any], *_: Any, **__: Any) -> list[Any]:
            return _raise_by_chinese_context(text, raw_recognizer_results, chinese)

    return NationalPhoneRecognizer(
        supported_entities=["PHONE_NUMBER"],
        supported_language=language,
        context=[word for word in words if word.isascii()] or None,
        name=NationalNumbers.name,
    )


def _national_numbers(text: str, regions: tuple[str, ...]) -> Iterator[tuple[int, int, float]]:
    place = 0
    while (match := NATIONAL.search(text, place)) is not None:
        start, place = match.span()
        found = None if follows_code_word(text, start) else national_number(text, start, place, regions)
        if found is not None:
            place, score = found
            yield start, place, score


def national_number(text: str, start: int, end: int, regions: tuple[str, ...]) -> tuple[int, float] | None:
    """Where the national number ends that begins here and goes no further than `end`, and its score; None for none.

    What follows a number may look like a part of it ("020 7946 0958 2 times"): tried without the last groups as well.
    """
    ends = [end, *(start + gap.start() for gap in reversed(list(_GAP.finditer(text[start:end]))))]
    for shorter in ends[:4]:
        written = text[start:shorter]
        if _is_national_number(written, regions) and not _NO_PHONE.fullmatch(written):
            return shorter, 0.3 if written.isdecimal() and not written.startswith("0") else 0.45
    return None


@lru_cache(maxsize=4096)
def _is_national_number(written: str, regions: tuple[str, ...]) -> bool:
    return any(_is_national_number_of(region, written) for region in regions)


def _is_national_number_of(region: str, written: str) -> bool:
    # In China without the 0 before the area code: too many codes look like that.
    if (region == "CN" and written.startswith(tuple("235679"))) or not may_be_number_of(region, written):
        return False
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number_for_region(phonenumbers.parse(written, region), region))
    except phonenumbers.NumberParseException:
        return False


def may_be_number_of(region: str, written: str) -> bool:
    """Whether the last digits are those of a number of the region, which `phonenumbers` takes long to say.

    What it takes for a number is what remains of its digits without a prefix: that of a country, or of calls inside it.
    """
    lengths, pattern = _numbers_of(region)
    if pattern is None:
        return True
    digits = written.translate(_NO_MARKS)
    count = len(digits)
    return any(length <= count and pattern.fullmatch(digits, count - length) for length in lengths)


@cache
def _numbers_of(region: str) -> tuple[tuple[int, ...], re.Pattern[str] | None]:
    """Lengths of a region's numbers, and an expression for those of all kinds; None where a prefix alters the other digits."""
    from phonenumbers import PhoneMetadata, country_code_for_region, region_code_for_country_code

    known = PhoneMetadata.metadata_for_region(region)
    main = PhoneMetadata.metadata_for_region(region_code_for_country_code(country_code_for_region(region)))
    if known is None or any(one is None or one.national_prefix_transform_rule for one in (known, main)):
        return (), None
    kinds = (getattr(known, kind) for kind in _KINDS)
    patterns = [kind.national_number_pattern for kind in kinds if kind is not None and kind.national_number_pattern]
    lengths = known.general_desc.possible_length if known.general_desc else ()
    return tuple(lengths), re.compile("|".join(f"(?:{one})" for one in patterns))


def _result(recognizer: Any, start: int, end: int, score: float) -> RecognizerResult:
    from presidio_analyzer import AnalysisExplanation, RecognizerResult

    return RecognizerResult(
        entity_type=recognizer.supported_entities[0],
        start=start,
        end=end,
        score=score - getattr(recognizer, "handicap", 0),
        analysis_explanation=AnalysisExplanation(recognizer=recognizer.name, original_score=score),
        recognition_metadata={
            RecognizerResult.RECOGNIZER_NAME_KEY: recognizer.name,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
        },
    )


def _raise_by_chinese_context(text: str, results: Iterable[Any], words: tuple[str, ...]) -> list[Any]:
    """Raise the scores of results with one of these words within 16 characters before or 8 behind."""
    from presidio_analyzer import RecognizerResult

    raised = list(results)
    for result in raised:
        if is_announced(text, result.start, result.end, words):
            result.score = boosted(result.score)
            result.recognition_metadata[RecognizerResult.IS_SCORE_ENHANCED_BY_CONTEXT_KEY] = True
    return raised


def is_announced(text: str, start: int, end: int, words: tuple[str, ...]) -> bool:
    """Whether one of these Chinese words stands within 16 characters before a match or 8 behind."""
    if not words:
        return False
    around = text[max(0, start - 16) : start] + text[end : end + 8]
    return any(word in around for word in words)


def boosted(score: float) -> float:
    """The score of what a word announces."""
    return min(1.0, max(_BOOSTED_AT_LEAST, score + _BOOST))
