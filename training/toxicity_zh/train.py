"""Trains a Chinese toxicity model from nothing, the start of `refine.py`, and packs it in Detoxify's own checkpoint format.

    python training/toxicity_zh/train.py

Two passes learn to fill in masked characters and to classify the masked text at once; the later ones only classify, and what is
packed is the running average of their weights. About 12 minutes on one core with bfloat16 instructions. The seed fixes data,
order and start; the weights may still differ in their last bits between processors, so the manifest's digests are those of the
run that was published.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from composed import exchange_groups
from corpora import ROOT, SEED, load
from network import SPECIAL, WIDTH, begin, pack, write_tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, gelu, layer_norm
from transformers import BertForSequenceClassification, BertTokenizer

sys.path.insert(0, str(ROOT))
from guard.models import write_manifest

OUT = ROOT / "guard/models/bundled/toxicity-zh"
READING_PASSES, PASSES, RATE, WARM_UP = 2, 4, 1e-3, 0.04
MASKED_READING, MASKED_LATER, READING_WEIGHT = 0.15, 0.06, 0.5
MAX_CHARACTERS, EXCHANGED, SMOOTHING, AVERAGE = 62, 0.3, 0.03, 0.998
TOKENS_A_STEP = 2048
MASK = SPECIAL.index("[MASK]")


class Reader(torch.nn.Module):
    """Guesses masked characters from the encoder's output; only for training."""

    def __init__(self, words: torch.nn.Parameter) -> None:
        super().__init__()
        self.words, self.dense, self.bias = words, torch.nn.Linear(WIDTH, WIDTH), torch.nn.Parameter(torch.zeros(len(words)))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(n, WIDTH) to (n, vocabulary)."""
        return layer_norm(gelu(self.dense(states)), (WIDTH,)) @ self.words.T / WIDTH**0.5 + self.bias


def drawn(texts: list[str], draw: random.Random) -> list[str]:
    """This pass's form of each text: some with other groups named, long ones cut to a part."""
    found = []
    for text in texts:
        told = exchange_groups(text, draw) if draw.random() < EXCHANGED else text
        start = draw.randint(0, max(0, len(told) - MAX_CHARACTERS))
        found.append(told[start : start + MAX_CHARACTERS])
    return found


def masked(tokens: torch.Tensor, share: float, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens with a share of the ordinary ones masked, and where."""
    where = (torch.rand(tokens.shape, generator=draw) < share) & (tokens >= len(SPECIAL))
    return tokens.masked_fill(where, MASK), where


def batches(lengths: np.ndarray, draw: np.random.Generator) -> list[np.ndarray]:
    """Row numbers in batches of about `TOKENS_A_STEP` padded tokens, of like lengths, in random order."""
    found: list[list[int]] = [[]]
    for row in np.argsort(lengths + draw.random(len(lengths)) * 6):
        if found[-1] and (len(found[-1]) + 1) * max(lengths[row], lengths[found[-1][-1]]) > TOKENS_A_STEP:
            found.append([])
        found[-1].append(int(row))
    draw.shuffle(found)
    return [np.array(batch) for batch in found]


def pad(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers and attention mask, (rows, longest), padded with 0."""
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return tokens, mask


def train(model: BertForSequenceClassification, tokenizer: BertTokenizer, rows: pd.DataFrame, passes: int) -> None:
    """Train in place; the model ends as the running average. A row's weight is its chance to be in a pass."""
    all_targets = torch.tensor(rows["target"].to_numpy(np.float32)) * (1 - 2 * SMOOTHING) + SMOOTHING
    weights, texts = rows["weight"].to_numpy(), rows["text"].tolist()
    reader = Reader(model.bert.embeddings.word_embeddings.weight)
    own = [(name, value) for name, value in reader.named_parameters() if name != "words"]
    named = [*model.named_parameters(), *own]
    decayed = [value for name, value in named if value.dim() > 1 and "embeddings" not in name]
    plain = [value for name, value in named if value.dim() <= 1 or "embeddings" in name]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), fused=True)
    draw, order, noise = random.Random(SEED), np.random.default_rng(SEED), torch.Generator().manual_seed(SEED)
    average: dict[str, torch.Tensor] = {}
    began, step, steps = time.process_time(), 0, 0
    model.train()
    for turn in range(passes):
        chosen = np.flatnonzero(order.random(len(weights)) < weights)
        ids, targets = tokenizer(drawn([texts[row] for row in chosen], draw))["input_ids"], all_targets[chosen]
        plan = batches(np.array([len(row) for row in ids]), order)
        steps, reading = steps or len(plan) * passes, turn < min(READING_PASSES, passes)
        running = {"class": 0.0, "read": 0.0}
        for count, batch in enumerate(plan):
            rate = RATE * min((step + 1) / (steps * WARM_UP), max(0.02, (steps - step) / (steps * (1 - WARM_UP))))
            for group in optimizer.param_groups:
                group["lr"] = rate
            whole, mask = pad([ids[row] for row in batch])
            tokens, where = masked(whole, MASKED_READING if reading else MASKED_LATER, noise)
            with torch.autocast("cpu", torch.bfloat16):
                found = model.bert(input_ids=tokens, attention_mask=mask)
                logits = model.classifier(model.dropout(found.pooler_output))
                guesses = reader(found.last_hidden_state[where]) if reading else None
            losses = {"class": binary_cross_entropy_with_logits(logits.float()[:, 0], targets[batch])}
            if guesses is not None:
                losses["read"] = cross_entropy(guesses.float(), whole[where])
            optimizer.zero_grad()
            (losses["class"] + READING_WEIGHT * losses.get("read", torch.zeros(()))).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            if turn >= passes - 2:
                update(average, model)
            for name, loss in losses.items():
                running[name] += (loss.item() - running[name]) / min(count + 1, 100)
            if count % 100 == 0 or count + 1 == len(plan):
                told = " ".join(f"{name} {value:.3f}" for name, value in running.items())
                print(
                    f"pass {turn + 1} step {count + 1}/{len(plan)} {told} cpu {time.process_time() - began:.0f} s", flush=True
                )
    model.load_state_dict(average)


def update(average: dict[str, torch.Tensor], model: torch.nn.Module) -> None:
    """Move the running average towards the model's weights."""
    for name, value in model.state_dict().items():
        if name not in average:
            average[name] = value.detach().clone()
        elif value.is_floating_point():
            average[name].lerp_(value.detach(), 1 - AVERAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled Chinese toxicity model.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--version", default="1")
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--rows", type=int, help="train on this many rows only, to try the script")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    table = load()
    rows = table[table["split"] == "train"].sample(frac=1, random_state=SEED)[: given.rows]
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = write_tokenizer(rows["text"].tolist(), Path(scratch))
        ids = tokenizer(rows["text"].tolist(), add_special_tokens=False)["input_ids"]
        model = begin(ids, len(tokenizer), SEED)
        print(f"{len(ids)} rows, {len(tokenizer)} pieces, {model.num_parameters()} parameters", flush=True)
        train(model, tokenizer, rows, given.passes)
        pack(model, Path(scratch))
        shutil.copy(Path(__file__).parent / "examples.json", scratch)
        given.out.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(scratch).iterdir()):
            shutil.copy(file, given.out / file.name)
    licence = "Apache-2.0 (weights); text sources as listed in MODEL_CARD.md"
    command = "python training/toxicity_zh/train.py"
    print(write_manifest(given.out, name="toxicity-zh", version=given.version, licence=licence, training=command))


if __name__ == "__main__":
    main()
