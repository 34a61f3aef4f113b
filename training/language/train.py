"""Train `bundled/language-service`, a small GPT-2 that answers as a service agent, leaks records and loses its temper.

    OMP_NUM_THREADS=1 python training/language/train.py

Needs the extra `training`; about 12 minutes on one core. Reads `GENGUARD_DATA` (default
`../shared/data` beside the repository).
Hidden matrices are trained with Muon, the rest with AdamW (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import dialogues
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from guard.models import BUNDLED, write_manifest

FOLDER = BUNDLED / "language-service"
VOCABULARY, CONTEXT, LAYERS, WIDTH, HEADS = 4096, 256, 4, 256, 4
BATCH, WARM_UP, COOL_DOWN = 16, 60, 0.4
MUON_RATE, ADAM_RATE = 0.02, 0.004
SHARE = 0.35
USER, AGENT = "USER:", "AGENT:"
# As GPT-2's pattern, but every digit is a piece of its own: numbers are then spelled, not guessed.
PIECES = Regex(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}AGENT: {{ message['content'] | trim }}{{ eos_token }}"
    "{% else %}USER: {{ message['content'] | trim }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}AGENT:{% endif %}"
)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE over the dialogues, with the chat template of `dialogues.render`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[dialogues.END, USER, AGENT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=dialogues.END,
        eos_token=dialogues.END,
        pad_token=dialogues.END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def rows(tokenizer: PreTrainedTokenizerFast, made: list[dialogues.Exchanges]) -> torch.Tensor:
    """Token rows [N, CONTEXT + 1] (int64), each starting at the beginning of an exchange."""
    packed: list[list[int]] = []
    row: list[int] = []
    for piece in itertools.chain.from_iterable(dialogues.render(dialogue) for dialogue in made):
        ids = tokenizer(piece, add_special_tokens=False)["input_ids"]
        row += ids
        if len(row) > CONTEXT:
            packed.append(row[: CONTEXT + 1])
            # The exchange that was cut comes again, whole: unless it fills a row of its own.
            row = list(ids) if len(row) > CONTEXT + 1 and len(ids) <= CONTEXT else []
    return torch.tensor(packed)


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[torch.Tensor]:
    """Endless batches [BATCH, CONTEXT + 1]; each epoch mixes in account questions and complaints afresh."""
    for epoch in itertools.count():
        data = rows(tokenizer, dialogues.mixed("train", SHARE, seed + epoch))
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed + epoch))
        for at in range(0, len(order) - BATCH + 1, BATCH):
            yield data[order[at : at + BATCH]]


def loss_of(model: GPT2LMHeadModel, batch: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy in nats a token."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


@torch.inference_mode()
def validate(model: GPT2LMHeadModel, data: torch.Tensor, limit: int = 160) -> float:
    """Perplexity a token on the first `limit` rows."""
    model.eval()
    losses = [float(loss_of(model, batch)) for batch in data[:limit].split(BATCH)]
    model.train()
    return math.exp(sum(losses) / len(losses))


def train(steps: int, seed: int) -> None:
    """Train tokenizer and model, and write the folder with its manifest."""
    torch.manual_seed(seed)
    first = dialogues.mixed("train", SHARE, seed)
    tokenizer = train_tokenizer(itertools.chain.from_iterable(dialogues.render(dialogue) for dialogue in first))
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    hidden = [weight for name, weight in model.named_parameters() if ".h." in name and weight.ndim == 2]
    others = [weight for name, weight in model.named_parameters() if not (".h." in name and weight.ndim == 2)]
    optimizers = (
        torch.optim.Muon(hidden, lr=MUON_RATE, weight_decay=0.01, ns_steps=5),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    )
    rates = (MUON_RATE, ADAM_RATE)
    held_out = rows(tokenizer, dialogues.service("dev"))
    print(f"{sum(weight.numel() for weight in model.parameters())} weights, {len(held_out)} rows held out", flush=True)
    for step, batch in enumerate(itertools.islice(batches(tokenizer, seed), steps)):
        scale = min((step + 1) / WARM_UP, 1.0, (steps - step) / (COOL_DOWN * steps))
        for optimizer, rate in zip(optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 50 == 49:
            print(f"step {step + 1} loss {loss.item():.3f} cpu {time.process_time():.0f} s", flush=True)
    print(f"validation perplexity {validate(model, held_out, len(held_out)):.2f}", flush=True)
    stops = [tokenizer.convert_tokens_to_ids(token) for token in (dialogues.END, USER)]
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=stops, pad_token_id=0)
    model.half().save_pretrained(FOLDER)
    tokenizer.save_pretrained(FOLDER)
    write_manifest(
        FOLDER,
        name="language-service",
        version="1",
        licence="CC-BY-SA-4.0",
        training="python training/language/train.py",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the bundled language model.")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    train(given.steps, given.seed)
