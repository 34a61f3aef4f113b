"""Trains a bundled name finder: `python training/pii_ner/train.py en` (or `zh`), 8 (4) minutes of one core.

Reads the sets that MODEL_CARD.md names under $GENGUARD_DATA, writes `guard/models/bundled/pii-ner-LANGUAGE/`. The seed is
fixed; `evaluate.py` measures the result on what was held out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from corpora import ROOT, background, held_out_sets, training_set
from marked import Marked
from net import Net
from safetensors.torch import save_file

from guard.checks.name_tagger import FEATURES, LABELS, MODEL_TYPE, TAGS, NameTagger, Vocabulary, features, tokens
from guard.models import write_manifest

IGNORED, WEAK = -100, -200
LONGEST = 256
"""Tokens of a text that are trained on."""
BATCH = 4000
"""Tokens of a batch, padding included."""
MOST = {"en": (16_000, 5_000, 5_000, 9_000, 60), "zh": (8_000, 18_000, 18_000, 6_000, 60)}
"""Entries of the vocabularies of words, fronts, backs, tails and shapes."""
THRESHOLDS = {
    "en": {"PERSON": 0.6, "LOCATION": 0.6, "ORG": 0.5, "ADDRESS": 0.6},
    "zh": {"PERSON": 0.6, "LOCATION": 0.6, "ORG": 0.5, "ADDRESS": 0.5},
}
"""Least mean probability of a name: chosen on every other held-out synthetic text, for precision first."""
RUN = {"en": (10, 14_000), "zh": (6, 14_000)}
"""Epochs, and newly invented texts in each."""
SAMPLED = {"en": 4, "zh": 1}
"""One text in so many of the plain ones is counted for the vocabulary."""
USAGE = ((0.03, "lower"), (0.3, "mostly-lower"), (0.7, "either"), (0.95, "mostly-upper"), (1.01, "upper"))


def vocabulary(language: str, examples: Sequence[Marked]) -> Vocabulary:
    """The frequent features of plain text and of some examples, and how words are written within sentences."""
    counts: tuple[Counter[str], ...] = tuple(Counter() for _ in FEATURES[:-1])
    for text in (*background(language)[:: SAMPLED[language]], *(one.text for one in examples)):
        for values in features(text, tokens(text)):
            for counter, value in zip(counts, values, strict=True):
                counter[value] += 1
    entries = {
        name: [value for value, count in counter.most_common(most) if count > 2]
        for name, counter, most in zip(FEATURES, counts, MOST[language], strict=False)
    }
    return Vocabulary(entries, _usage(background(language)) if language == "en" else {})


def _usage(texts: Sequence[str]) -> dict[str, str]:
    """Class of usage -> its words, lower case: how often a word that does not begin a sentence has a capital."""
    upper: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for text in texts:
        for match in re.finditer(r"(?<=[a-z,;] )[^\W\d_]{2,}", text):
            word = match.group()
            total[word.lower()] += 1
            upper[word.lower()] += word[0].isupper()
    classes: dict[str, list[str]] = {f"{name}-{often}": [] for _, name in USAGE for often in ("rare", "often")}
    for word, count in sorted(total.items()):
        if count > 2:
            share = upper[word] / count
            name = next(name for most, name in USAGE if share <= most)
            classes[f"{name}-{'often' if count > 30 else 'rare'}"].append(word)
    return {name: " ".join(words) for name, words in classes.items() if words}


def encode(vocabulary: Vocabulary, marked: Marked) -> tuple[list[tuple[int, ...]], list[int]]:
    """Numbers and gold tags of a text's tokens; names that do not end at token borders are left open."""
    spans = tokens(marked.text)[:LONGEST]
    numbers = vocabulary.numbers(marked.text, spans)
    tags = [WEAK if marked.weak else 0] * len(spans)
    starts, ends = (
        {start: place for place, (start, _) in enumerate(spans)},
        {end: place for place, (_, end) in enumerate(spans)},
    )
    for place, (start, end) in enumerate(spans):
        if any(first < end and start < last for first, last in marked.unknown):
            tags[place] = IGNORED
    for start, end, label in marked.entities:
        first, last = starts.get(start), ends.get(end)
        base = 1 + 4 * LABELS.index(label)
        if first is None or last is None:
            for place, (one, other) in enumerate(spans):
                if start < other and one < end:
                    tags[place] = IGNORED
        elif first == last:
            tags[first] = base + 3
        else:
            tags[first : last + 1] = [base, *[base + 1] * (last - first - 1), base + 2]
    return numbers, tags


def batches(encoded: list[tuple[list[tuple[int, ...]], list[int]]], rng: random.Random) -> Iterator[tuple[torch.Tensor, ...]]:
    """Texts of like length together, in random order."""
    order = sorted((one for one in encoded if one[0]), key=lambda one: len(one[0]) + rng.random() * 4)
    groups: list[list[tuple[list[tuple[int, ...]], list[int]]]] = [[]]
    for one in order:
        if (len(groups[-1]) + 1) * len(one[0]) > BATCH:
            groups.append([])
        groups[-1].append(one)
    rng.shuffle(groups)
    for group in groups:
        length = max(len(numbers) for numbers, _ in group)
        nothing = (0,) * len(FEATURES)
        numbers = torch.tensor([one + [nothing] * (length - len(one)) for one, _ in group])
        gold = torch.tensor([tags + [IGNORED] * (length - len(tags)) for _, tags in group])
        mask = torch.tensor([[1.0] * len(tags) + [0.0] * (length - len(tags)) for _, tags in group]).unsqueeze(2)
        yield numbers, gold, mask


def loss_of(scores: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """Cross entropy; where all that is known is that there is no person and no address, of all other tags together."""
    known = torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), gold.clamp(min=IGNORED).flatten(), ignore_index=IGNORED, reduction="sum"
    )
    weak = gold == WEAK
    if weak.any():
        chances = torch.log_softmax(scores[weak], dim=1)
        other = [place for place, tag in enumerate(TAGS) if tag == "O" or tag[2:] in {"LOCATION", "ORG"}]
        known = known - 0.5 * torch.logsumexp(chances[:, other], dim=1).sum()
    return known / ((gold >= 0).sum() + weak.sum() + 1)


def packed(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as `NameTagger` reads them: tables as bytes with one factor a row, the rest in half precision."""
    found = {name: value.detach().to(torch.float16).contiguous() for name, value in weights.items()}
    for name in FEATURES:
        table = weights[f"tables.{name}"].detach().float()
        scale = (table.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-4)
        found[f"tables.{name}"] = (table / scale).round().to(torch.int8).contiguous()
        found[f"scales.{name}"] = scale.to(torch.float16)
    return found


def score(tagger: NameTagger, marked: Sequence[Marked], least: float = 0.0) -> dict[str, tuple[int, int, int]]:
    """label -> (right, found, expected) of exact spans."""
    counts = {label: [0, 0, 0] for label in LABELS}
    for one in marked:
        gold = set(one.entities)
        for name in tagger(one.text):
            if name.score >= least and not any(start < name.end_char and name.start_char < end for start, end in one.unknown):
                counts[name.label_][1] += 1
                counts[name.label_][0] += (name.start_char, name.end_char, name.label_) in gold
        for *_, label in gold:
            counts[label][2] += 1
    return {label: (right, found, expected) for label, (right, found, expected) in counts.items()}


def f_of(right: int, found: int, expected: int, beta: float = 1.0) -> float:
    """F measure."""
    return (1 + beta**2) * right / (found + beta**2 * expected) if right else 0.0


def main() -> None:
    """Train and write the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("language", choices=("en", "zh"))
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--count", type=int, help="invented texts an epoch")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.epochs, args.count = (one or other for one, other in zip((args.epochs, args.count), RUN[args.language], strict=True))
    out = args.out or ROOT / f"guard/models/bundled/pii-ner-{args.language}"
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    words = vocabulary(args.language, training_set(args.language, args.seed, 3000))
    print("rows", words.sizes(), flush=True)
    net = Net(words.sizes())
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    development = [one for marked in held_out_sets(args.language, args.seed, 600).values() for one in marked[::2]]
    steps, done = 0, 0.0
    for epoch in range(args.epochs):
        started = time.process_time()
        encoded = [encode(words, one) for one in training_set(args.language, args.seed + epoch, args.count)]
        prepared, net, total, seen = list(batches(encoded, rng)), net.train(), 0.0, 0
        for place, (numbers, gold, mask) in enumerate(prepared):
            done = (epoch + place / len(prepared)) / args.epochs
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, steps / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            loss = loss_of(net(numbers, mask), gold)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            steps, total, seen = steps + 1, total + loss.item(), seen + numbers.shape[0] * numbers.shape[1]
        write(out, args.language, words, net)
        tagger = NameTagger.load(out)
        figures = {label: f"{f_of(*counts):.3f}" for label, counts in score(tagger, development, 0.5).items()}
        print(
            f"epoch {epoch}: loss {total / len(prepared):.4f}, {seen} tokens, {figures}, {time.process_time() - started:.0f} s",
            flush=True,
        )


def write(out: Path, language: str, words: Vocabulary, net: Net) -> None:
    """The folder of a model."""
    out.mkdir(parents=True, exist_ok=True)
    save_file(packed(net.state_dict()), out / "model.safetensors")
    thresholds = THRESHOLDS[language]
    config = {
        "model_type": MODEL_TYPE,
        "language": language,
        "labels": LABELS,
        "thresholds": thresholds,
        "vocabulary": dict(words.entries),
        "usage": dict(words.usage),
    }
    (out / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", "utf-8")
    write_manifest(
        out,
        name=f"pii-ner-{language}",
        version="2.0.0",
        licence="CC-BY-SA-4.0",
        training=f"python training/pii_ner/train.py {language}",
    )


if __name__ == "__main__":
    main()
