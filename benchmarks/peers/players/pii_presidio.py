"""Plain Presidio with the recognizers of the check `pii`: all of them run over every text."""

import json
from pathlib import Path

from pii_genguard import LANGUAGES, entities
from playing import Work, at_once, play

from guard.checks.pii import _finding, _Hit, join_addresses, merge
from guard.checks.pii_engine import build

LEAST = 400
"""Per mille: what the check reports from."""


def prepare(case: str, folder: Path) -> Work:
    """One text a call of `analyze`, in each language."""
    engine, wanted = build(LANGUAGES, {}, ()), set(entities())
    asked = {one: sorted(wanted.intersection(engine.get_supported_entities(one))) for one in LANGUAGES}
    texts = json.loads((folder / f"{case}.json").read_text("utf-8"))

    def analyzed(text: str) -> list[object]:
        return [result for language, some in asked.items() for result in engine.analyze(text, language, some)]

    def findings(text: str) -> list[list[object]]:
        found = [one for one in analyzed(text) if round(one.score * 1000) >= LEAST]
        hits = [
            _Hit(one.start, one.end, one.entity_type, one.score, one.recognition_metadata["recognizer_name"]) for one in found
        ]
        made = [_finding(hit) for hit in join_addresses(text, merge(hits))]
        return sorted([one.label, one.where.start, one.where.end, one.score] for one in made)

    return Work(at_once(lambda: [analyzed(text) for text in texts]), len(texts), lambda: [findings(text) for text in texts])


play(prepare)
