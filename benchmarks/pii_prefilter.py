"""What the prefilter of the `pii` check saves: the same engine asked for all entity types, and for those that can be there.

    python benchmarks/pii_prefilter.py [--texts 400] [--rounds 5] [--seed 9]

Texts are those of the equality test (`tests/checks/pii_texts.py`), clean prose, and an order message. Times are medians of
processor time a text over the rounds, both ways in turn in the same run, patterns alone without a model for names.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from guard.checks.pii_engine import build, prefilter

ROOT = Path(__file__).parents[1]
LANGUAGES = ("en", "zh")
Search = Callable[[str], object]


def searches() -> tuple[Search, Search]:
    """Plain and prefiltered search of one text in both languages, tokens included."""
    engine = build(LANGUAGES, {}, ())
    entities = {language: sorted(engine.get_supported_entities(language)) for language in LANGUAGES}
    filters = {language: prefilter(language, place == 0, entities[language], {}) for place, language in enumerate(LANGUAGES)}

    def plain(text: str) -> list[Any]:
        return [engine.analyze(text, language, entities[language]) for language in LANGUAGES]

    def filtered(text: str) -> list[Any]:
        possible = [(language, filters[language].possible(text)) for language in LANGUAGES]
        return [engine.analyze(text, language, some) for language, some in possible if some]

    return plain, filtered


def generator() -> Any:
    """The module that makes the texts of the equality test."""
    spec = importlib.util.spec_from_file_location("pii_texts", ROOT / "tests" / "checks" / "pii_texts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def milliseconds(search: Search, sample: Sequence[str]) -> float:
    started = time.process_time()
    for text in sample:
        search(text)
    return 1000 * (time.process_time() - started) / len(sample)


def processor() -> str:
    """The machine's name for its processor."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=9)
    args = parser.parse_args()
    plain, filtered = searches()
    made = generator()
    prose = " ".join(made.WORDS) + "."
    samples = {
        "mixed, personal data in two of three": [one.replace("\ud800", "") for one in made.texts(args.texts, args.seed)],
        "clean prose, 100 words": [prose] * (args.texts // 4),
        "an order: numbers, no personal data": ["Order 48213 shipped on 2024-01-15, v3.18.0; " + prose] * (args.texts // 4),
    }
    print(f"{processor()}, Python {platform.python_version()}, one thread; medians of {args.rounds} rounds\n")
    print("| texts | plain, ms a text | prefiltered, ms a text | ratio |\n|---|---|---|---|")
    for name, sample in samples.items():
        both = [(milliseconds(plain, sample), milliseconds(filtered, sample)) for _ in range(args.rounds)]
        slow, fast = (statistics.median(times) for times in zip(*both, strict=True))
        print(f"| {name} | {slow:.2f} | {fast:.2f} | {slow / fast:.1f} |")


if __name__ == "__main__":
    main()
