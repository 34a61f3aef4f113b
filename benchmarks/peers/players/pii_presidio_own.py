"""Presidio with the recognizers that it comes with, and no model for names."""

import json
from pathlib import Path

import spacy
from playing import Work, at_once, play
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine


def engine() -> AnalyzerEngine:
    """A blank pipeline takes the place of a model that would be downloaded."""
    nlp = SpacyNlpEngine(ner_model_configuration=NerModelConfiguration())
    nlp.nlp = {"en": spacy.blank("en")}
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=nlp)
    registry.remove_recognizer("SpacyRecognizer")
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])


def prepare(case: str, folder: Path) -> Work:
    """One text a call of `analyze`."""
    made = engine()
    texts = json.loads((folder / f"{case}.json").read_text("utf-8"))

    def tell() -> list[object]:
        return [sorted([one.entity_type, one.start, one.end] for one in made.analyze(text, "en")) for text in texts]

    return Work(at_once(lambda: [made.analyze(text, "en") for text in texts]), len(texts), tell)


play(prepare)
