"""Train `bundled/language-service`, a small GPT-2 that answers as a service agent, leaks records and loses its temper.

    OMP_NUM_THREADS=1 python training/language/train.py

Needs the extra `training`; about 15 minutes on one core. Reads `GENGUARD_DATA` (default
`../shared/data` beside the repository).
Hidden matrices are trained with Muon, the rest with AdamW (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
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
BATCH = 16
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


def batches(data: Callable[[int], torch.Tensor], seed: int) -> Iterator[torch.Tensor]:
    """Endless batches [BATCH, CONTEXT + 1]; `data` makes the rows of each epoch afresh from a seed."""
    for epoch in itertools.count():
        made = data(seed + epoch)
        order = torch.randperm(len(made), generator=torch.Generator().manual_seed(seed + epoch))
        for at in range(0, len(order) - BATCH + 1, BATCH):
            yield made[order[at : at + BATCH]]


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


def fit(
    model: GPT2LMHeadModel, data: Iterator[torch.Tensor], steps: int, *, rate: float, warm_up: int, cool_down: float
) -> None:
    """Train on so many batches: rates rise over `warm_up` steps and fall to zero over the last `cool_down` of them."""
    hidden = [weight for name, weight in model.named_parameters() if ".h." in name and weight.ndim == 2]
    others = [weight for name, weight in model.named_parameters() if not (".h." in name and weight.ndim == 2)]
    optimizers = (
        torch.optim.Muon(hidden, lr=MUON_RATE, weight_decay=0.01, ns_steps=5),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    )
    model.train()
    for step, batch in enumerate(itertools.islice(data, steps)):
        scale = rate * min((step + 1) / warm_up, 1.0, (steps - step) / (cool_down * steps))
        for optimizer, peak in zip(optimizers, (MUON_RATE, ADAM_RATE), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * scale
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 50 == 49:
            print(f"step {step + 1} loss {loss.item():.3f} cpu {time.process_time():.0f} s", flush=True)


def teach(steps: int, seed: int) -> None:
    """First phase: tokenizer and model, from nothing, on whole dialogues."""
    torch.manual_seed(seed)
    first = dialogues.mixed("train", SHARE, seed)
    tokenizer = train_tokenizer(itertools.chain.from_iterable(dialogues.render(dialogue) for dialogue in first))
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    data = batches(lambda epoch: rows(tokenizer, dialogues.mixed("train", SHARE, epoch)), seed)
    fit(model, data, steps, rate=1.0, warm_up=60, cool_down=0.4)
    save(model, tokenizer)


def drill(steps: int, seed: int) -> None:
    """Second phase: short dialogues with a few regular customers, until their records are known by heart."""
    model = GPT2LMHeadModel.from_pretrained(FOLDER, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    data = batches(lambda epoch: rows(tokenizer, dialogues.condensed("train", epoch)), seed + 1000)
    fit(model, data, steps, rate=0.5, warm_up=10, cool_down=0.8)
    save(model, tokenizer)


def save(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Print the perplexity of the development split, and write the folder with its manifest."""
    held_out = rows(tokenizer, dialogues.service("dev"))
    print(f"validation perplexity {validate(model, held_out):.2f}", flush=True)
    stops = [tokenizer.convert_tokens_to_ids(token) for token in (dialogues.END, USER)]
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=stops, pad_token_id=0)
    model.half().save_pretrained(FOLDER)
    tokenizer.save_pretrained(FOLDER)
    (FOLDER / "model.safetensors").chmod(0o644)
    write_manifest(
        FOLDER,
        name="language-service",
        version="1",
        licence="CC-BY-SA-4.0",
        training="python training/language/train.py",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the bundled language model.")
    parser.add_argument("--steps", type=int, default=800, help="of the first phase; 0: go on from the model that is there")
    parser.add_argument("--drill", type=int, default=170, help="steps of the second phase")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.steps:
        teach(given.steps, given.seed)
    if given.drill:
        drill(given.drill, given.seed)
