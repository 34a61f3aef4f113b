"""Refines version 1 of the Chinese toxicity model on cleaner labels, and packs what is bundled.

    git show 6d70256:guard/models/bundled/toxicity-zh/FILE > build/toxicity-zh-1/FILE    # for each of its files
    python training/toxicity_zh/refine.py --start build/toxicity-zh-1
    python training/toxicity_zh/calibrate.py

Version 1 is what `train.py` made from nothing, on COLD's own labels. Here its feed-forward layers lose a third of their
units (those that least move their layer's output), each traditional character gets the vector of the simplified one, and a
pass follows over the table of `corpora`, with COLD's training labels cleaned by `relabel`. The running average of the weights
is taken back a quarter of the way to the start: that costs nothing on second labels, and much of what COLD's own labels taught
stays. The seed fixes data and order; the weights may still differ in their last bits between processors.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from composed import exchange_groups, variants
from corpora import SEED, load
from network import SPECIAL, pack, write_fast
from torch.nn.functional import binary_cross_entropy_with_logits
from train import MASK, MAX_CHARACTERS, OUT, batches, pad
from transformers import BertConfig, BertForSequenceClassification

from guard.models import write_manifest

INNER, RATE, WARM_UP, MASKED, AVERAGE, HELD = 512, 6e-4, 0.06, 0.05, 0.99, 0.25
EXCHANGED, SMOOTHING = 0.3, 0.01
LICENCE = "Apache-2.0 (weights); text sources as listed in MODEL_CARD.md"
COMMAND = "python training/toxicity_zh/refine.py --start build/toxicity-zh-1, then calibrate.py"
SHARE = {"cold_zh": 0.5, "swsr_zh_sexism": 0.2, "ner_zh_uner": 0.3, "composed": 0.6}
"""How often a row of a corpus is in the pass, on average; a row of COLD that was read again stands in it 2.5 times."""


def narrow(model: BertForSequenceClassification, tokens: torch.Tensor, mask: torch.Tensor) -> BertForSequenceClassification:
    """The model with those `INNER` units of each feed-forward layer that are worth most: activation times outgoing weights."""
    state, config = model.state_dict(), model.config.__class__(**{**model.config.to_dict(), "intermediate_size": INNER})
    seen: dict[int, torch.Tensor] = {}
    hooks = [
        layer.intermediate.register_forward_hook(
            lambda _, __, out, number=number: seen.__setitem__(number, out[mask.bool()].abs().mean(0))
        )
        for number, layer in enumerate(model.bert.encoder.layer)
    ]
    with torch.inference_mode():
        model(input_ids=tokens, attention_mask=mask)
    for hook in hooks:
        hook.remove()
    for number, activity in seen.items():
        name = f"bert.encoder.layer.{number}."
        worth = activity * state[name + "output.dense.weight"].norm(dim=0)
        kept = worth.topk(INNER).indices.sort()[0]
        for part in ("intermediate.dense.weight", "intermediate.dense.bias"):
            state[name + part] = state[name + part][kept]
        state[name + "output.dense.weight"] = state[name + "output.dense.weight"][:, kept]
    small = BertForSequenceClassification(config)
    small.load_state_dict(state)
    return small


def widen(model: BertForSequenceClassification, pieces: list[str]) -> list[str]:
    """Give each traditional character that has no piece one with the vector of the simplified one; returns all pieces."""
    known = {piece: number for number, piece in enumerate(pieces)}
    added = [(new, known[old]) for old, new in variants() if new not in known and old in known]
    table = model.bert.embeddings.word_embeddings.weight.data
    model.resize_token_embeddings(len(pieces) + len(added), mean_resizing=False)
    grown = model.bert.embeddings.word_embeddings.weight.data
    grown[len(pieces) :] = table[[number for _, number in added]]
    return [*pieces, *(new for new, _ in added)]


def drawn(texts: list[str], draw: random.Random) -> list[str]:
    """The pass's form of each text: some with other groups named, long ones cut to a part."""
    found = []
    for text in texts:
        told = exchange_groups(text, draw) if draw.random() < EXCHANGED else text
        start = draw.randint(0, max(0, len(told) - MAX_CHARACTERS))
        found.append(told[start : start + MAX_CHARACTERS])
    return found


def chosen(rows: pd.DataFrame, often: np.ndarray, seed: int) -> pd.DataFrame:
    """Each row as often as told, on average."""
    return rows.iloc[
        np.repeat(np.arange(len(rows)), np.floor(often + np.random.default_rng(seed).random(len(rows))).astype(int))
    ]


def targets_of(rows: pd.DataFrame) -> torch.Tensor:
    """What the model is to answer, smoothed."""
    return torch.tensor(rows["target"].to_numpy(np.float32)) * (1 - 2 * SMOOTHING) + SMOOTHING


def tune(model: BertForSequenceClassification, ids: list[list[int]], targets: torch.Tensor) -> None:
    """One pass in place; the model ends between the running average of its weights and, by the share `HELD`, its start."""
    order, noise = np.random.default_rng(SEED), torch.Generator().manual_seed(SEED)
    plan = batches(np.array([len(row) for row in ids]), order)
    decayed = [value for name, value in model.named_parameters() if value.dim() > 1 and "embeddings" not in name]
    plain = [value for name, value in model.named_parameters() if value.dim() <= 1 or "embeddings" in name]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), fused=True)
    start = {name: value.detach().clone() for name, value in model.state_dict().items()}
    average = {name: value.clone() for name, value in start.items()}
    running, began = 0.0, time.process_time()
    model.train()
    for step, batch in enumerate(plan):
        share = (step + 1) / len(plan)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(share / WARM_UP, (1 - share) / (1 - WARM_UP) + 0.02)
        tokens, mask = pad([ids[row] for row in batch])
        hidden = (torch.rand(tokens.shape, generator=noise) < MASKED) & (tokens >= len(SPECIAL))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=tokens.masked_fill(hidden, MASK), attention_mask=mask).logits
        loss = binary_cross_entropy_with_logits(logits.float()[:, 0], targets[batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - min(AVERAGE, step / (step + 10)))
        running += (loss.item() - running) / min(step + 1, 50)
        if step % 25 == 0 or step + 1 == len(plan):
            print(f"step {step + 1}/{len(plan)} loss {running:.3f} cpu {time.process_time() - began:.0f} s", flush=True)
    kept = {name: value.lerp(start[name], HELD) if value.is_floating_point() else value for name, value in average.items()}
    model.load_state_dict(kept)
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="Refine the bundled Chinese toxicity model.")
    parser.add_argument("--start", type=Path, required=True, help="the folder of version 1")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--version", default="2")
    parser.add_argument("--rows", type=int, help="train on this many rows only, to try the script")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    table = load()
    rows = table[table["split"] == "train"].sample(frac=1, random_state=SEED)[: given.rows]
    first = chosen(rows, np.where(rows["read"], rows["weight"], rows["source"].map(SHARE)), SEED)
    model = BertForSequenceClassification(BertConfig.from_pretrained(given.start))
    model.load_state_dict(torch.load(given.start / "checkpoint.pt", weights_only=True)["state_dict"])
    pieces = widen(model, (given.start / "vocab.txt").read_text("utf-8").split("\n")[:-1])
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = write_fast(pieces, Path(scratch))
        ids = tokenizer(drawn(first["text"].tolist(), random.Random(SEED)))["input_ids"]
        model = narrow(model.eval(), *pad(ids[:200]))
        print(f"{len(first)} rows, {len(pieces)} pieces, {model.num_parameters()} parameters", flush=True)
        tune(model, ids, targets_of(first))
        pack(model, Path(scratch))
        shutil.copy(Path(__file__).parent / "examples.json", scratch)
        given.out.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(scratch).iterdir()):
            shutil.copy(file, given.out / file.name)
    print(write_manifest(given.out, name="toxicity-zh", version=given.version, licence=LICENCE, training=COMMAND))


if __name__ == "__main__":
    main()
