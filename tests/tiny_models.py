"""Real models of a few thousand weights in Hugging Face's formats, made and trained in a second or two, without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import transformers
from transformers.utils import logging

from guard.checks.judge_format import NOT_SHOWN
from guard.models import BUNDLED

MULTI = "multi_label_classification"
THREATS = ("I will kill you tonight.", "We will kill them all.", "They said they will kill her.", "Go and kill him now.")
HARMLESS = ("The invoice is attached.", "We will meet you tonight.", "They said it was fine.", "Go and see him now.")


def classifier(
    folder: Path, rows: Mapping[str, Sequence[float]], labels: Sequence[str], *, problem: str | None, steps: int = 60
) -> Path:
    """A BERT of two layers and 32 units that has learnt `rows`: the wanted probability of each label, by text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(BUNDLED / "toxicity-en" / name, folder / name)
    torch.manual_seed(11)
    config = transformers.BertConfig(
        vocab_size=len((folder / "vocab.txt").read_text("utf-8").splitlines()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type=problem,
    )
    model = transformers.BertForSequenceClassification(config)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoded = tokenizer(list(rows), padding=True, return_tensors="pt")
    wanted = torch.tensor([list(row) for row in rows.values()])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        logits = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits
        if problem == MULTI:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        else:
            loss = torch.nn.functional.cross_entropy(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save(model, folder)
    examples = {"flagged": [text for text in rows if "kill" in text], "clean": [text for text in rows if "kill" not in text]}
    (folder / "examples.json").write_text(json.dumps(examples), "utf-8")
    return folder


def threat_classifier(folder: Path, *, problem: str | None = None) -> Path:
    """Two labels that exclude one another, BENIGN and THREAT; or, of several labels, `threat` and `toxic`."""
    several = problem == MULTI
    threat, harmless = ((0.98, 0.98), (0.02, 0.02)) if several else ((0.02, 0.98), (0.98, 0.02))
    rows = dict.fromkeys(THREATS, threat) | dict.fromkeys(HARMLESS, harmless)
    return classifier(folder, rows, ("threat", "toxic") if several else ("BENIGN", "THREAT"), problem=problem)


CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if categories is defined %}<|codes|>{{ categories | join(' ') }}<|end|>{% endif %}<|judge|>"
)


def judge(folder: Path, replies: Mapping[str, str], *, context: int = 128, steps: int = 120) -> Path:
    """A Llama of two layers and 32 units that has learnt to answer `replies`, each to a user and as an assistant's words.

    Its tokenizer knows the words of the texts and replies; its chat template names roles, and codes when it is given some.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _word_tokenizer([*replies, *replies.values(), NOT_SHOWN])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(12)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.LlamaForCausalLM(config)
    inputs, labels = _chats(tokenizer, replies)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        loss = model(input_ids=inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save(model, folder)
    return folder


def _word_tokenizer(texts: Sequence[str]) -> transformers.PreTrainedTokenizerFast:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    special = ["<|unknown|>", "<|end|>", "<|judge|>", "<|user|>", "<|assistant|>", "<|codes|>", "[STOP]"]
    split = pre_tokenizers.Split(Regex(r"\w+|[^\w]"), "isolated")
    words = sorted({piece for text in texts for piece, _ in split.pre_tokenize_str(text)})
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate([*special, *words])}, unk_token=special[0]))
    made.pre_tokenizer, made.decoder = split, decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token=special[0],
        eos_token=special[1],
        pad_token=special[1],
        additional_special_tokens=special[2:],
        chat_template=CHAT,
    )


def _chats(tokenizer: transformers.PreTrainedTokenizerFast, replies: Mapping[str, str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers of every chat with its reply, and the same with all but the reply hidden from the loss."""
    rows, wanted = [], []
    for text, reply in replies.items():
        shown = [{"role": "user", "content": NOT_SHOWN}, {"role": "assistant", "content": text}]
        for chat in ([{"role": "user", "content": text}], shown):
            asked = tokenizer.apply_chat_template(chat, tokenize=False)
            front = tokenizer(asked, add_special_tokens=False)["input_ids"]
            back = [*tokenizer(reply, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            rows.append(front + back)
            wanted.append([-100] * len(front) + back)
    longest = max(map(len, rows))
    inputs = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    return inputs, torch.tensor([row + [-100] * (longest - len(row)) for row in wanted])


def save(model: transformers.PreTrainedModel, folder: Path) -> None:
    """Save without a progress bar, which writes to the terminal of the tests."""
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        logging.enable_progress_bar()


CONTEXT = 64
LANGUAGE_MODELS = ("gpt2", "llama", "qwen3", "t5", "bart")
"""Formats that `save_model` writes; besides, `mistral`, which attends to a window."""


def save_tokenizer(folder: Path, template: str | None = None) -> None:
    """A tokenizer whose tokens are bytes, 0 being the end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={"<end>": 0} | {byte: at for at, byte in enumerate(alphabet, 1)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", clean_up_tokenization_spaces=False, model_max_length=CONTEXT
    )
    wrapped.chat_template = template
    wrapped.save_pretrained(folder)


def save_model(folder: Path, architecture: str) -> None:
    """A random language model of two layers and 32 units for the tokens of `save_tokenizer`."""
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    llama = {"vocab_size": 257, "max_position_embeddings": CONTEXT, "initializer_range": 0.3, **sizes, **ids}
    both = {"vocab_size": 257, "d_model": 32, "decoder_start_token_id": 0, **ids}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model: transformers.PreTrainedModel
        if architecture == "gpt2":
            gpt2 = {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}
            model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=257, **gpt2, **ids))
        elif architecture == "llama":
            model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**llama))
        elif architecture == "mistral":
            model = transformers.MistralForCausalLM(
                transformers.MistralConfig(sliding_window=8, num_key_value_heads=1, **llama)
            )
        elif architecture == "qwen3":
            model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(head_dim=16, num_key_value_heads=1, **llama))
        elif architecture == "t5":
            t5 = {"d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "initializer_factor": 0.6}
            model = transformers.T5ForConditionalGeneration(transformers.T5Config(**t5, **both))
        else:
            layers = {f"{part}_{what}": 2 for part in ("encoder", "decoder") for what in ("layers", "attention_heads")}
            bart = {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": CONTEXT, "init_std": 0.3}
            model = transformers.BartForConditionalGeneration(
                transformers.BartConfig(forced_bos_token_id=None, forced_eos_token_id=None, **layers, **bart, **both)
            )
    save(model, folder)
