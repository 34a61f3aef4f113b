"""Computes a BERT classifier in 8-bit integers on a processor, by ONNX Runtime, from the weights of the loaded model.

Weights are rounded per output channel, symmetric; what flows between the layers is rounded for each matrix product, by its own
range (dynamic quantization). Nothing is calibrated and nothing is kept on disk: the graph is built from the model in memory in
a fraction of a second. Each text is computed by itself, without padding, so its scores do not depend on its neighbours in a
batch; several are computed side by side, one a thread, which wastes less than sharing the work on one of them among threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from guard.errors import ModelError
from guard.models.graphs import Graph, session

_CONTRIB = "com.microsoft"
_OPSET = 17
_MOST_THREADS = 4


def supported(model: Any) -> bool:
    """Whether the model is of the one shape that can be built: BERT with absolute positions, GELU and a pooled head."""
    config = model.config
    return (
        type(model).__name__ == "BertForSequenceClassification"
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") in {"absolute", None}
    )


class Encoder:
    """Computes logits. Safe to use from several threads at once."""

    def __init__(self, session: Any, threads: int) -> None:
        """`session`: ONNX Runtime's, of one thread; `threads`: how many texts are computed at a time."""
        self._session = session
        self._helpers = ThreadPoolExecutor(threads - 1, "genguard-int8") if threads > 1 else None
        self._threads = threads

    def __call__(self, tokens: Sequence[int]) -> list[float]:
        """Logits of one text."""
        import numpy as np

        row: list[float] = self._session.run(None, {"tokens": np.array([tokens], np.int64)})[0][0].tolist()
        return row

    def many(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Logits of each text; the threads balance best when the longest come first."""
        found: list[list[float]] = [[] for _ in rows]
        left = iter(enumerate(rows))
        helpers = [] if self._helpers is None else range(min(self._threads, len(rows)) - 1)
        begun = [self._helpers.submit(self._work, left, found) for _ in helpers if self._helpers]
        try:
            self._work(left, found)
        finally:
            for one in begun:
                one.cancel()  # it did not come to begin: nothing is left for it
        for one in begun:
            if not one.cancelled():
                one.result()
        return found

    def _work(self, left: Iterator[tuple[int, Sequence[int]]], found: list[list[float]]) -> None:
        for at, tokens in left:  # one `next` at a time: threads may share it
            found[at] = self(tokens)


def quantized(model: Any) -> Encoder:
    """A function from the token numbers of one text to its logits, and of many to theirs.

    Raises ModelError for a model of another shape, or a processor that ONNX Runtime does not serve.
    """
    if not supported(model):
        raise ModelError(
            f"{type(model).__name__} cannot be computed in 8-bit integers, expected a BertForSequenceClassification with GELU",
            advice="Give precision: float32 in the policy.",
        )
    given = session(_Graph(model).classifier(), "this model in 8-bit integers", "Give precision: float32 in the policy.")
    return Encoder(given, min(_MOST_THREADS, len(os.sched_getaffinity(0))))


class _Graph(Graph):
    """The forward pass of a BERT classifier as an ONNX graph over one row of token numbers, (1, n) -> (1, labels)."""

    def __init__(self, model: Any) -> None:
        super().__init__(_CONTRIB)
        self._config = model.config
        self._weights = {key: value.detach().float().cpu().numpy() for key, value in model.state_dict().items()}

    def classifier(self) -> bytes:
        """The model, serialized."""
        from onnx import TensorProto, helper

        hidden = self._embedded()
        last = self._config.num_hidden_layers - 1
        for number in range(last + 1):
            hidden = self._layer(f"bert.encoder.layer.{number}.", hidden, first=number == last)
        pooled = self.node("Tanh", [self._dense("bert.pooler.dense", self.node("Squeeze", [hidden, self._integers("one", 1)]))])
        self.node("Identity", [self._dense("classifier", pooled)], outputs=["logits"])
        tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "n"])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, self._config.num_labels])
        return self.built([tokens], [logits], opset=_OPSET)

    def _embedded(self) -> str:
        words = self.node("Gather", [self._weight("bert.embeddings.word_embeddings.weight"), "tokens"])
        length = self.node("Gather", [self.node("Shape", ["tokens"]), self._integer("second", 1)])
        numbers = self.node("Range", [self._integer("zero", 0), length, self._integer("one", 1)])
        places = self.node("Gather", [self._weight("bert.embeddings.position_embeddings.weight"), numbers])
        kind = self.constant("bert.kind", self._weights["bert.embeddings.token_type_embeddings.weight"][0])
        whole = self.node("Add", [words, self.node("Add", [places, kind])])
        return self._normalized("bert.embeddings.LayerNorm", whole)

    def _layer(self, prefix: str, hidden: str, *, first: bool) -> str:
        """`first`: of the first token alone, (1, 1, width), which is all that is asked of the last layer."""
        whole = hidden
        if first:
            hidden = self.node(
                "Slice", [hidden, self._integers("begin", 0), self._integers("end", 1), self._integers("axis", 1)]
            )
        asked = {"query": hidden, "key": whole, "value": whole}
        parts = [self._product(f"{prefix}attention.self.{name}", given) for name, given in asked.items()]
        heads = self._config.num_attention_heads
        seen = self.node("MultiHeadAttention", parts, own=True, num_heads=heads)
        hidden = self._normed(f"{prefix}attention.output", self._product(f"{prefix}attention.output.dense", seen), hidden)
        inner = self.node("Gelu", [self._product(f"{prefix}intermediate.dense", hidden)], own=True)
        return self._normed(f"{prefix}output", self._product(f"{prefix}output.dense", inner), hidden)

    def _normed(self, prefix: str, new: str, hidden: str) -> str:
        # ONNX Runtime's SkipLayerNormalization does both at once, and takes three times as long.
        return self._normalized(f"{prefix}.LayerNorm", self.node("Add", [new, hidden]))

    def _normalized(self, name: str, hidden: str) -> str:
        inputs = [hidden, self._weight(f"{name}.weight"), self._weight(f"{name}.bias")]
        return self.node("LayerNormalization", inputs, axis=-1, epsilon=self._config.layer_norm_eps)

    def _product(self, name: str, hidden: str) -> str:
        """A linear layer in 8-bit integers: one scale an output channel."""
        import numpy as np

        weight = self._weights[f"{name}.weight"].T
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-8).astype(np.float32) / 127
        rounded = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        inputs = [
            hidden,
            self.constant(f"{name}.rounded", rounded),
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", np.zeros(scale.shape, np.int8)),
            self._weight(f"{name}.bias"),
        ]
        return self.node("DynamicQuantizeMatMul", inputs, own=True)

    def _dense(self, name: str, hidden: str) -> str:
        """A linear layer in single precision, for the small head."""
        return self.node("Gemm", [hidden, self._weight(f"{name}.weight"), self._weight(f"{name}.bias")], transB=1)

    def _weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    def _integers(self, name: str, value: int) -> str:
        import numpy as np

        return self.constant(f"[{name}]", np.array([value], np.int64))

    def _integer(self, name: str, value: int) -> str:
        import numpy as np

        return self.constant(name, np.array(value, np.int64))
