"""How well the text watermark is read, what it costs the model, and how often unmarked text is taken for marked.

python benchmarks/text_watermark.py [--replies 120] [--texts 400] [--keys 10] [--part marked|unmarked]

The bundled model answers its bundled prompts at temperature 0.8 and top-p 0.95. So that every text has 200 tokens, its end
tokens are not drawn, except where replies are named natural. Texts are decoded and read as
characters, as a reader has to.
Unmarked texts: the model's own, chapters of the books and the agents' turns of the dialogues in GENGUARD_DATA. Rates of false
positives are over texts and keys, both drawn with fixed seeds. Times are of the processor.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import random
import statistics
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from generators.language_model import load
from generators.sampling import Batch, Order, Settings
from guard.marks.text_watermark import BUNDLED_MODEL, without_label
from guard.marks.token_marks import LEAST_TOKENS, SURE, Method, Strength, TextReading, TokenWatermark, Verdict
from guard.models import BUNDLED
from guard.types import CALLER, Content, Modality, Request, Stage

LENGTHS = (50, 100, 200)
MOST = 212
"""Tokens that are drawn: a few more than are read, because a text is not always cut into tokens as it was drawn."""
SETTINGS = Settings(0.8, 0.95)
VARIANTS: tuple[tuple[Method, Strength], ...] = (
    ("synthid", "medium"),
    ("green_list", "low"),
    ("green_list", "medium"),
    ("green_list", "high"),
)
KEY, OTHER = (hashlib.sha256(name.encode()).digest() for name in ("benchmark", "another"))


@dataclass(frozen=True)
class Made:
    """Outputs of one way of sampling."""

    texts: list[str]
    perplexity: float
    rate: float
    """Tokens a second of processor time."""


class Bench:
    """The bundled model with its prompts."""

    def __init__(self, replies: int) -> None:
        self.loaded = load(BUNDLED_MODEL, "cpu", None)
        lines = (BUNDLED / "language-service" / "prompts.txt").read_text("utf-8").splitlines()
        prompts = [line for line in lines if line.strip()]
        contents = [Content(Modality.TEXT, one, "text/plain", Stage.PROMPT, CALLER, Request("r")) for one in prompts]
        self.prompts = [self.loaded.encode(contents[at % len(contents)], "prompt") for at in range(replies)]

    def make(self, mark: TokenWatermark | None, natural: bool = False) -> Made:
        """Answer every prompt, each with a seed of its own."""
        barred = [] if natural else sorted(self.loaded.ends)

        def bar(_module: Any, _given: Any, output: Any) -> Any:
            output.logits[..., barred] = -1e9
            return output

        hook = self.loaded.model.register_forward_hook(bar)
        outputs: list[list[int]] = [[] for _ in self.prompts]
        start = time.process_time()
        for at in range(0, len(self.prompts), 30):
            rows = self.prompts[at : at + 30]
            orders = [Order(prompt, at + row, MOST, SETTINGS, mark) for row, prompt in enumerate(rows)]
            for drawn in Batch(self.loaded.forward(rows), orders).steps(self.loaded.ends, lambda _row, _token: False):
                for one in drawn:
                    if one.token is not None:
                        outputs[at + one.row].append(one.token)
        spent = time.process_time() - start
        perplexity = self._perplexity(outputs)  # with the end tokens barred as they were
        hook.remove()
        return Made([self.loaded.text(one).strip() for one in outputs], perplexity, sum(map(len, outputs)) / spent)

    def _perplexity(self, outputs: Sequence[Sequence[int]]) -> float:
        """Of the outputs after their prompts, by the unmarked model at temperature 1."""
        lost = count = 0.0
        with torch.inference_mode():
            for prompt, tokens in zip(self.prompts, outputs, strict=True):
                if not tokens:
                    continue
                ids = torch.tensor([[*prompt, *tokens]])
                logs = self.loaded.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
                lost -= float(logs.gather(-1, ids[0, len(prompt) :, None]).sum())
                count += len(tokens)
        return math.exp(lost / count)

    def read(self, mark: TokenWatermark, text: str, most: int | None = None) -> TextReading:
        """Read a text, or its first tokens."""
        return mark.read(self.loaded.tokens(without_label(text))[:most])


def dialogues(folder: Path, count: int, rng: random.Random) -> list[str]:
    """Agents' turns of whole dialogues that the model was not trained on."""
    import pandas as pd

    frame = pd.read_parquet(folder / "sgd_dialogues" / "data.parquet")
    held = frame[frame["official_split"] != "train"]["text"].tolist()
    turns = [" ".join(line[7:] for line in text.split("\n") if line.startswith("AGENT: ")) for text in held]
    return rng.sample([text for text in turns if len(text) > 500], count)


def passages(folder: Path, count: int, rng: random.Random) -> list[str]:
    """Passages of the books, from anywhere in them."""
    with zipfile.ZipFile(folder / "books_public_domain" / "books.zip") as books:
        whole = [books.read(name).decode("utf-8") for name in sorted(books.namelist()) if name.endswith(".md")]
    chosen = (rng.choice(whole) for _ in range(count))
    return [text[(at := rng.randrange(max(1, len(text) - 1500))) : at + 1500] for text in chosen]


def edited(text: str, share: float, words: Sequence[str], rng: random.Random) -> str:
    """The text with a share of its words replaced by others."""
    parts = text.split(" ")
    for at in rng.sample(range(len(parts)), round(share * len(parts))):
        parts[at] = rng.choice(words)
    return " ".join(parts)


def percent(readings: Sequence[TextReading], limit: float = SURE) -> str:
    """Share whose p-value is small enough; what is too short is not."""
    return f"{100 * sum(one.tokens >= LEAST_TOKENS and one.p <= limit for one in readings) / len(readings):.1f}"


def true_positives(bench: Bench, made: dict[tuple[Method, Strength], Made], plain: Made, rng: random.Random) -> Iterator[str]:
    yield f"Marked: p <= {SURE:g}."
    yield ""
    heads = ("marked at 50 / 100 / 200, %", "p <= 1e-3", "z", "words replaced 10 / 30 %", "wrong key", "perplexity", "tokens/s")
    yield f"| method | {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|---|---|"
    yield f"| none | | | | | | {plain.perplexity:.2f} | {plain.rate:.0f} |"
    words = [word for text in plain.texts for word in text.split()]
    for (method, strength), one in made.items():
        mark, other = TokenWatermark(KEY, method, strength), TokenWatermark(OTHER, method, strength)
        found = [[bench.read(mark, text, length) for text in one.texts] for length in LENGTHS]
        changed = [[bench.read(mark, edited(text, share, words, rng), 200) for text in one.texts] for share in (0.1, 0.3)]
        wrong = [bench.read(other, text, 200) for text in one.texts]
        name = method if method == "synthid" else f"{method} {strength}"
        z = " / ".join(f"{statistics.fmean(each.z for each in readings):.1f}" for readings in found)
        rates, after = " / ".join(map(percent, found)), " / ".join(map(percent, changed))
        loose = " / ".join(percent(readings, 1e-3) for readings in found)
        yield f"| {name} | {rates} | {loose} | {z} | {after} | {percent(wrong)} | {one.perplexity:.2f} | {one.rate:.0f} |"


def false_positives(bench: Bench, texts: dict[str, list[str]], keys: int) -> Iterator[str]:
    yield "| method | unmarked text | tokens | readings | p <= 1e-2, % | p <= 1e-3, % | p <= 1e-4, % | largest z |"
    yield "|---|---|---|---|---|---|---|---|"
    for method in ("synthid", "green_list"):
        marks = [TokenWatermark(hashlib.sha256(f"key {at}".encode()).digest(), method) for at in range(keys)]
        for name, several in texts.items():
            for length in (50, 200):
                every = (bench.read(mark, text, length) for text in several for mark in marks)
                found = [one for one in every if one.tokens >= LEAST_TOKENS]
                shares = (100 * sum(one.p <= limit for one in found) / len(found) for limit in (1e-2, 1e-3, 1e-4))
                rates = " | ".join(f"{share:.3f}" for share in shares)
                yield f"| {method} | {name} | {length} | {len(found)} | {rates} | {max(one.z for one in found):.1f} |"


def natural(bench: Bench) -> Iterator[str]:
    yield "| natural replies | mean tokens that count | too short, % | unmarked, % | marked, % |"
    yield "|---|---|---|---|---|"
    for method in ("synthid", "green_list"):
        mark = TokenWatermark(KEY, method)
        found = [bench.read(mark, text) for text in bench.make(mark, natural=True).texts]
        shares = [100 * sum(one.verdict is verdict for one in found) / len(found) for verdict in reversed(Verdict)]
        counted = statistics.fmean(one.tokens for one in found)
        yield f"| {method} | {counted:.0f} | " + " | ".join(f"{share:.1f}" for share in shares) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=120, help="marked texts of each method")
    parser.add_argument("--texts", type=int, default=400, help="unmarked books and dialogues, each")
    parser.add_argument("--keys", type=int, default=10, help="keys that unmarked texts are read with")
    parser.add_argument("--part", choices=("marked", "unmarked"), help="only this one; default: both")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench, rng = Bench(given.replies), random.Random(5)
    plain = bench.make(None)
    if given.part != "unmarked":
        made = {variant: bench.make(TokenWatermark(KEY, *variant)) for variant in VARIANTS}
        print("\n".join(true_positives(bench, made, plain, rng)), "\n", flush=True)
        print("\n".join(natural(bench)), "\n", flush=True)
    if given.part != "marked":
        folder = Path(os.environ.get("GENGUARD_DATA", "../shared/data"))
        unmarked = {
            "dialogues": dialogues(folder, given.texts, rng),
            "books": passages(folder, given.texts, rng),
            "own, unmarked": plain.texts,
        }
        for line in false_positives(bench, unmarked, given.keys):
            print(line, flush=True)


if __name__ == "__main__":
    main()
