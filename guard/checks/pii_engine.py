"""Builds the `presidio_analyzer.AnalyzerEngine` that the `pii` check asks: pipelines, recognizers, context.

What differs from Presidio's defaults, and why:

- Nothing is ever downloaded: spaCy pipelines come from a folder or an installed package, and Presidio's e-mail and URL
  recognizers, which fetch a list of public suffixes (the latter in quadratic time besides), are not used.
- A pattern that runs out of time raises; Presidio logs it and goes on, which would make a text look clean.
- Words serve as lemmas where a pipeline has none; with empty lemmas no context would ever raise a score.
- Context matches whole words ("tel" is not in "hotel"); Chinese context is looked up in the text, for it has no spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from guard.checks.name_tagger import NameTagger
from guard.checks.pii_names import MODEL_LABELS, nlp_engine
from guard.checks.pii_patterns import BY_LANGUAGE, GENERIC, PHONE_CONTEXT, PHONE_REGIONS, PatternSpec
from guard.errors import ModelError

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerResult
    from spacy.language import Language

_TIMEOUT_S = 2.0
_BOOST, _BOOSTED_AT_LEAST = 0.35, 0.4  # as in Presidio's LemmaContextAwareEnhancer
_PHONE = re.compile(r"(?<![0-9A-Za-z+.,$€£#-])[(]?[0-9](?:[ ()/.-]{0,2}[0-9]){6,13}(?![0-9A-Za-z]|[.,][0-9])")
_GAP = re.compile(r"[ ()/.-]+(?=[0-9])")
_DATE_LIKE = re.compile(
    r"(?:19|20)[0-9]{2}[ ./-][0-9]{1,2}[ ./-][0-9]{1,2}\b|[0-9]{1,2}[ ./-][0-9]{1,2}[ ./-](?:19|20)[0-9]{2}\b"
)


def build(
    languages: Sequence[str], models: Mapping[str, Language | NameTagger], phone_regions: Sequence[str]
) -> AnalyzerEngine:
    """An engine with each language's recognizers; those for every language belong to the first one alone.

    `models` maps languages to the model that finds their names; Chinese names are found by patterns where no tagger does.
    """
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    recognizers: list[EntityRecognizer] = [_pattern_recognizer(spec, languages[0]) for spec in GENERIC]
    for language in languages:
        specs = [spec for spec in BY_LANGUAGE.get(language, ()) if not _is_found_by(models.get(language), spec)]
        recognizers += [_pattern_recognizer(spec, language) for spec in specs]
        regions = (*PHONE_REGIONS[language], *(phone_regions if language == languages[0] else ()))
        recognizers.append(_phone_recognizer(language, tuple(dict.fromkeys(regions))))
        if language in models:
            entities = sorted(set(MODEL_LABELS.values()))
            recognizers.append(SpacyRecognizer(supported_language=language, supported_entities=entities, name="NameModel"))
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=recognizers, supported_languages=list(languages)),
        nlp_engine=nlp_engine(languages, models),
        supported_languages=list(languages),
        context_aware_enhancer=LemmaContextAwareEnhancer(context_matching_mode="whole_word"),
    )


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
                    for match in expression.finditer(text, timeout=_TIMEOUT_S):
                        valid = spec.validate(match.group()) if spec.validate else None
                        if valid is not False:
                            found.append(_result(self, match.start(), match.end(), 1.0 if valid else score))
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
        name="NationalPhonePattern",
    )


def _national_numbers(text: str, regions: tuple[str, ...]) -> Iterator[tuple[int, int, float]]:
    place = 0
    while (match := _PHONE.search(text, place)) is not None:
        start, end = match.span()
        place = end
        # What follows a number may look like a part of it ("020 7946 0958 2 times"): try without the last groups as well.
        ends = [end, *(start + gap.start() for gap in reversed(list(_GAP.finditer(match.group()))))]
        for shorter in ends[:4]:
            written = text[start:shorter]
            if not _DATE_LIKE.fullmatch(written) and _is_national_number(written, regions):
                yield start, shorter, 0.3 if written.isdecimal() and not written.startswith("0") else 0.45
                place = shorter
                break


@lru_cache(maxsize=4096)
def _is_national_number(written: str, regions: tuple[str, ...]) -> bool:
    import phonenumbers

    for region in regions:
        try:
            if phonenumbers.is_valid_number_for_region(phonenumbers.parse(written, region), region):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def _result(recognizer: Any, start: int, end: int, score: float) -> RecognizerResult:
    from presidio_analyzer import AnalysisExplanation, RecognizerResult

    return RecognizerResult(
        entity_type=recognizer.supported_entities[0],
        start=start,
        end=end,
        score=score,
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
    for result in raised if words else ():
        around = text[max(0, result.start - 16) : result.start] + text[result.end : result.end + 8]
        if any(word in around for word in words):
            result.score = min(1.0, max(_BOOSTED_AT_LEAST, result.score + _BOOST))
            result.recognition_metadata[RecognizerResult.IS_SCORE_ENHANCED_BY_CONTEXT_KEY] = True
    return raised
