"""The Chinese model before training: a character vocabulary, and a BERT whose first layer already reads neighbours.

A few million characters are too few to learn from nothing that Chinese is made of neighbouring characters. So the start is not
random: positions are sums of waves, seven heads of the first layer look at the offsets -3 to 3 by turning those waves, and each
character begins with what stands beside it (the singular vectors of positive pointwise mutual information). All of it is
trained further; the form stays that of an ordinary BERT.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

LABELS = ("toxicity",)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WIDTH, LAYERS, HEADS, INNER, POSITIONS = 256, 2, 8, 768, 128
WAVES, OFFSETS, SHARPNESS = 32, range(-3, 4), 1.4
_ASCII = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
_LEAST, _LEAST_WORD = 2, 12


def write_tokenizer(texts: list[str], folder: Path) -> BertTokenizer:
    """Characters that stand twice or more, Latin words that stand often, and ASCII, so that any Latin word has its pieces."""
    characters = Counter(character for text in texts for character in text.lower() if not character.isspace())
    words: Counter[str] = Counter()
    splitter = BertWordPieceTokenizer(lowercase=True)
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenizer.pre_tokenize_str(splitter.normalizer.normalize_str(text)))
    kept = [character for character, count in sorted(characters.items()) if count >= _LEAST and character not in _ASCII]
    latin = [word for word, count in sorted(words.items()) if len(word) > 1 and count >= _LEAST_WORD and word.isascii()]
    pieces = list(dict.fromkeys([*SPECIAL, *_ASCII, *("##" + mark for mark in _ASCII if mark.isalnum()), *latin, *kept]))
    return write_fast(pieces, folder)


def write_fast(pieces: list[str], folder: Path) -> BertTokenizer:
    """Write the tokenizer's files for a vocabulary, in its order."""
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    fast = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True, handle_chinese_chars=True)
    fast.save(str(folder / "tokenizer.json"), pretty=False)
    facts = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    return BertTokenizer.from_pretrained(folder)


def begin(rows: list[list[int]], vocabulary: int, seed: int) -> BertForSequenceClassification:
    """The model of that start for tokenised rows; `vocabulary` is the number of pieces."""
    torch.manual_seed(seed)
    names = dict(enumerate(LABELS))
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        max_position_embeddings=POSITIONS,
        initializer_range=0.04,
        hidden_dropout_prob=0.0,  # characters are masked instead, in every pass others
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.2,
        problem_type="multi_label_classification",
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    model = BertForSequenceClassification(config)
    waves = np.random.default_rng(seed).uniform(0.05, math.pi, WAVES)
    embeddings, first = model.bert.embeddings, model.bert.encoder.layer[0].attention.self
    with torch.no_grad():
        turns = torch.tensor(np.outer(np.arange(POSITIONS), waves), dtype=torch.float32)
        embeddings.position_embeddings.weight.zero_()
        embeddings.position_embeddings.weight[:, 0 : 2 * WAVES : 2] = turns.cos() * math.sqrt(2)
        embeddings.position_embeddings.weight[:, 1 : 2 * WAVES : 2] = turns.sin() * math.sqrt(2)
        embeddings.token_type_embeddings.weight.zero_()
        embeddings.word_embeddings.weight.zero_()
        embeddings.word_embeddings.weight[:, 2 * WAVES :] = torch.tensor(_neighbours(rows, vocabulary, WIDTH - 2 * WAVES, seed))
        draw = np.random.default_rng(seed + 1)
        for head, offset in enumerate(OFFSETS):
            _look_at(first, head, offset, waves, draw.permutation(WAVES)[: WIDTH // HEADS // 2])
    return model


def _look_at(attention: torch.nn.Module, head: int, offset: int, waves: np.ndarray, chosen: np.ndarray) -> None:
    """Set one head's query to a place's waves turned by `offset`, and its key to the waves as they are."""
    size = WIDTH // HEADS
    rows = slice(head * size, (head + 1) * size)
    query, key = torch.zeros(size, WIDTH), torch.zeros(size, WIDTH)
    for index, wave in enumerate(chosen):
        turn, at, to = waves[wave] * offset, 2 * index, 2 * int(wave)
        query[at, to], query[at, to + 1] = math.cos(turn), -math.sin(turn)
        query[at + 1, to], query[at + 1, to + 1] = math.sin(turn), math.cos(turn)
        key[at, to], key[at + 1, to + 1] = 1.0, 1.0
    attention.query.weight[rows] = query * SHARPNESS
    attention.key.weight[rows] = key * SHARPNESS


def _neighbours(rows: list[list[int]], vocabulary: int, width: int, seed: int) -> np.ndarray:
    """(vocabulary, width): singular vectors of how much oftener than by chance two pieces stand within two places, in order.

    Left and right neighbours count apart. A row has about the length of a random one; special and unseen pieces get noise.
    """
    line = np.array([number for row in rows for number in [*row, 0, 0]], dtype=np.int64)
    found = []
    for distance in (1, 2):
        left, right = line[:-distance], line[distance:]
        real = (left >= len(SPECIAL)) & (right >= len(SPECIAL))
        ones = np.ones(int(real.sum()), dtype=np.float32)
        counts = csr_matrix((ones, (left[real], right[real])), shape=(vocabulary, vocabulary))
        found += [counts, counts.T.tocsr()]
    draw = np.random.default_rng(seed)
    both = [found[0] + 0.5 * found[2], found[1] + 0.5 * found[3]]
    informed = []
    for counts in both:
        pairs, total = counts.tocoo(), counts.sum()
        mine, other = np.asarray(counts.sum(1)).ravel(), np.asarray(counts.sum(0)).ravel() ** 0.75
        chance = mine[pairs.row] * other[pairs.col] / other.sum()
        gain = np.maximum(np.log(np.maximum(pairs.data / chance, 1e-9)), 0) if total else pairs.data
        informed.append(csr_matrix((gain, (pairs.row, pairs.col)), shape=counts.shape))
    from scipy.sparse import hstack

    left_vectors, strengths, _ = svds(hstack(informed).tocsr().astype(np.float32), k=width, random_state=seed)
    vectors = left_vectors * np.sqrt(strengths)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    noise = draw.normal(size=vectors.shape)
    noise *= math.sqrt(width) / np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6) * math.sqrt(width), 0)
    mixed = vectors + 0.3 * noise
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True) * math.sqrt(width)).astype(np.float32)


def pack(model: BertForSequenceClassification, folder: Path) -> None:
    """Write `checkpoint.pt` in Detoxify's format, in half precision, and the configuration beside it."""
    model.config.save_pretrained(folder)
    arch = {
        "model_type": ".",  # the loader sets it to wherever the folder is
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(LABELS),
    }
    state = {key: value.detach().half().contiguous() for key, value in model.state_dict().items()}
    facts = {"arch": {"args": arch}, "dataset": {"args": {"classes": list(LABELS)}}}
    torch.save({"config": facts, "state_dict": state}, folder / "checkpoint.pt")
