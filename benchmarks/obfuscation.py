"""What disguises do to the toxicity check, with and without reading them as they are meant, as Markdown tables.

    python benchmarks/obfuscation.py [--count 300] [--seed 7] [--data ../shared/data]

Insults, threats and attacks on groups, and harmless sentences as many, are composed by `training/toxicity/grammar.py`; each
trick disguises every word of four letters or more. A text counts as flagged when a rule of the policy `enterprise` on toxicity
fires for it as an output. With `--data` (or GENGUARD_DATA) comments of people, from the set `surge_toxicity`, are disguised in
the same way.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import random
import re
import timeit
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import policies
from guard.chain import Chain, context_of
from guard.decide import decide
from guard.protocols import Check
from guard.registry import checks
from guard.rules import Policy
from guard.text.normalise import normalise, readings
from guard.types import CALLER, Action, Content, Modality, Request, Stage

ROOT = Path(__file__).parents[1]
RULES = {"threat", "identity-attack", "insult"}
LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7"}
CYRILLIC = dict(zip("aceiopsxyABCEHKMOPTX", "асеіорѕхуАВСЕНКМОРТХ", strict=True))
MARKS = "".join(map(chr, range(0x0300, 0x0334)))
Trick = Callable[[random.Random, str], str]


def leet(draw: random.Random, word: str) -> str:
    return "".join(draw.choice(LEET[letter]) if letter in LEET and draw.random() < 0.6 else letter for letter in word)


def star(draw: random.Random, word: str) -> str:
    vowels = [place for place in range(1, len(word) - 1) if word[place] in "aeiou"]
    place = draw.choice(vowels or [1])
    return word[:place] + "*" + word[place + 1 :]


def cyrillic(draw: random.Random, word: str) -> str:
    return "".join(CYRILLIC[letter] if letter in CYRILLIC and draw.random() < 0.7 else letter for letter in word)


def zalgo(draw: random.Random, word: str) -> str:
    return "".join(letter + "".join(draw.sample(MARKS, 3)) for letter in word)


def split(draw: random.Random, word: str) -> str:
    place = draw.randrange(1, len(word))
    return word[:place] + draw.choice(".-") + word[place:]


def stretch(draw: random.Random, word: str) -> str:
    place = draw.randrange(len(word))
    return word[:place] + word[place] * draw.randint(3, 6) + word[place:]


WORD_TRICKS: dict[str, Trick] = {
    "plain": lambda _, word: word,
    "leetspeak": leet,
    "a star for a vowel": star,
    "zero-width characters": lambda draw, word: draw.choice("\u200b\u2060\u00ad").join(word),
    "Cyrillic look-alikes": cyrillic,
    "full-width letters": lambda _, word: "".join(chr(ord(letter) + 0xFEE0) for letter in word),
    "mathematical letters": lambda _, word: "".join(chr(0x1D4EA + ord(letter.lower()) - 97) for letter in word),
    "struck through": lambda _, word: "".join(letter + "\u0336" for letter in word),
    "heaped marks": zalgo,
    "dotted letters": lambda draw, word: draw.choice(".-_").join(word),
    "spaced letters": lambda _, word: f" {' '.join(word)} ",
    "one sign inside": split,
    "stretched letters": stretch,
}


def disguise(trick: str, text: str, seed: int) -> str:
    """The text with every word of four letters or more disguised; the same seed gives the same text."""
    draw = random.Random(f"{seed} {text}")
    if trick == "sentence spelled out":
        return " ".join(re.sub(r"[^A-Za-z]", "", text))
    return re.sub(r"(?<![A-Za-z])[A-Za-z]{4,}(?![A-Za-z])", lambda found: WORD_TRICKS[trick](draw, found.group()), text)


TRICKS = (*WORD_TRICKS, "sentence spelled out")


def composed(seed: int, count: int) -> tuple[list[str], list[str]]:
    """Toxic and harmless sentences of the project's own grammar."""
    spec = importlib.util.spec_from_file_location("grammar", ROOT / "training" / "toxicity" / "grammar.py")
    assert spec
    assert spec.loader
    grammar = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grammar)
    rows, draw = grammar.compose(seed), random.Random(seed)
    kinds = [
        [row["text"] for row in rows if row["toxicity"] is not None and (row["toxicity"] >= 0.5) is toxic]
        for toxic in (True, False)
    ]
    toxic, clean = (draw.sample(texts, min(count, len(texts))) for texts in kinds)
    return toxic, clean


def people(folder: Path, seed: int, count: int) -> tuple[list[str], list[str]]:
    """Toxic and other comments of at most 200 characters that people wrote."""
    import pandas as pd

    table = pd.concat([pd.read_parquet(file) for file in sorted((folder / "surge_toxicity").glob("*.parquet"))])
    draw = random.Random(seed)
    kinds = [
        sorted({text for text, label in zip(table["text"], table["label"], strict=True) if label == kind and len(text) <= 200})
        for kind in ("Toxic", "Not Toxic")
    ]
    toxic, clean = (draw.sample(texts, min(count, len(texts))) for texts in kinds)
    return toxic, clean


def look_alikes(seed: int, count: int) -> list[str]:
    """Harmless texts with what looks like a trick: codes, prices, addresses, initials, lists, code."""
    draw = random.Random(seed)
    letters, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"

    def some(of: str, length: int) -> str:
        return "".join(draw.choice(of) for _ in range(length))

    forms: tuple[Callable[[], str], ...] = (
        lambda: f"Your order {some(letters + digits, 5)}-{some(letters + digits, 4)} will arrive on Tuesday.",
        lambda: (
            f"The part {some(letters, 1)}{some(digits, 2)} fits the {some(letters, 2)}-{some(digits, 3)}{some(letters, 1)}."
        ),
        lambda: f"Write to {some(letters.lower() + digits, 7)}@{some(letters.lower(), 5)}.example.com before Friday.",
        lambda: f"See https://example.com/{some(letters.lower() + digits, 9)}?id={some(letters.lower() + digits + '$*!', 6)}",
        lambda: f"It costs ${some(digits[1:], 3)}, or {some(digits[1:], 2)}k with tax; it is {some(digits[1:], 1)}'10\" wide.",
        lambda: (
            f"{some(letters, 1)}. {some(letters, 1)}. {some(letters, 1)}. Miller met {some(letters, 1)}. Jones in the U.S.A."
        ),
        lambda: f"Choose one of {' '.join(draw.sample(letters, 4))} and then of {' '.join(draw.sample(letters.lower(), 4))}.",
        lambda: (
            f"total = {some(letters.lower(), 1)}*{some(letters.lower(), 1)} + f({some(letters.lower(), 3)}!={some(digits, 1)})"
        ),
        lambda: (
            f"Commit {some('abcdef' + digits, 10)} is in version {some(digits[1:], 1)}.{some(digits, 1)}.{some(digits, 2)}."
        ),
        lambda: f"The wifi password is {some(letters.lower() + digits + '!@$', 10)}, for guests.",
        lambda: f"#{some(letters.lower(), 6)}{some(digits, 2)} by @{some(letters.lower() + digits, 8)} is trending.",
    )
    return [draw.choice(forms)() for _ in range(count)]


def narrowed(policy: Policy) -> Policy:
    """The policy's rules on toxicity alone."""
    specs = tuple(replace(spec, deadline_ms=60_000) for spec in policy.checks if spec.name == "toxicity")
    return replace(policy, checks=specs, rules=tuple(rule for rule in policy.rules if rule.id in RULES), marks=())


def flagged(policy: Policy, check: Check, texts: Sequence[str]) -> float:
    """Per cent of the texts for which a rule fires."""
    fired = 0
    for first in range(0, len(texts), 100):
        batch = [
            Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("1"))
            for text in texts[first : first + 100]
        ]
        for content, results in zip(batch, asyncio.run(Chain(policy, {"toxicity": check}).run(batch)), strict=True):
            assert all(result.status == "ok" for result in results), results
            fired += decide(policy, results, context_of(content)).action is not Action.ALLOW
    return 100 * fired / len(texts)


def table(policy: Policy, pair: Sequence[Check], toxic: list[str], clean: list[str], seed: int) -> None:
    """One row a trick."""
    print(
        "| trick | toxic, as written | toxic, as meant | harmless, as written | harmless, as meant | read as the plain text |"
    )
    print("|---|---|---|---|---|---|")
    for trick in TRICKS:
        texts = [[disguise(trick, text, seed) for text in kind] for kind in (toxic, clean)]
        shares = [flagged(policy, check, kind) for kind in texts for check in pair]
        same = sum(
            _bare(text) in {_bare(one.text) for one in (normalise(seen), *readings(seen))}
            for text, seen in zip(toxic, texts[0], strict=True)
        )
        print(f"| {trick} | " + " | ".join(f"{share:.1f} %" for share in shares) + f" | {100 * same / len(toxic):.0f} % |")


def _bare(text: str) -> str:
    return re.sub(r"\s+", " ", text).casefold().replace(" .", ".").replace(" ,", ",")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=300, help="texts of each kind")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENGUARD_DATA", "../shared/data")))
    options = parser.parse_args()
    policy = narrowed(policies.load("enterprise"))
    (spec,) = policy.checks
    pair = [checks.make(spec.use, {**dict(spec.parameters), "normalise": on}) for on in (False, True)]
    for check in pair:
        check.load()
    print(f"Model {pair[1].version}, digest {pair[1].digest[:12]}; seed {options.seed}.\n\nComposed sentences:\n")
    table(policy, pair, *composed(options.seed, options.count), options.seed)
    if (options.data / "surge_toxicity").is_dir():
        print("\nComments of people:\n")
        table(policy, pair, *people(options.data, options.seed, options.count), options.seed)
    texts = look_alikes(options.seed, options.count)
    shares = [flagged(policy, check, texts) for check in pair]
    again = sum(bool(readings(text)) for text in texts)
    print(f"\nHarmless look-alikes ({len(texts)}): {shares[0]:.1f} % flagged as written, {shares[1]:.1f} % as meant;")
    print(f"{100 * again / len(texts):.0f} % of them had a second reading.")
    words = "The parcel will arrive on Tuesday, and the invoice is attached to this message. " * 7 + "Thank you."
    best = min(timeit.repeat(lambda: readings(words), number=200, repeat=7)) / 200 * 1e6
    print(f"\nReading {len(words.split())} plain words: {best:.0f} us.")


if __name__ == "__main__":
    main()
