"""Passes of a classifier of `transformers` over padded rows of tokens, on its device.

On CUDA each model has a stream of its own, so that several work side by side, and rows go there from pinned memory, without
waiting. Everything is in the precision of the weights: whoever loads them in bfloat16 says so in the check's version.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any


class Passes:
    """Rows of one model. Its callers see to it that no pass is begun while another one runs."""

    def __init__(self, model: Any, device: str, padding: int) -> None:
        """`model`: on `device` already; `padding`: the token that fills short rows, which the mask hides."""
        import torch

        self._model, self._device, self._padding = model, torch.device(device), padding
        cuda: Any = torch.cuda
        self._stream = cuda.Stream(self._device) if self._device.type == "cuda" else None
        if self._stream is not None:
            # The weights were written on the stream that was current then.
            self._stream.wait_stream(cuda.current_stream(self._device))

    def __call__(self, rows: list[list[int]], longest: int) -> Any:
        """Logits of each row on the processor, single precision (rows, labels). `longest`: the length of the longest row."""
        import torch

        tokens = torch.tensor([row + [self._padding] * (longest - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(longest) < lengths[:, None]).long()
        with torch.inference_mode(), self._own_stream():
            logits = self._model(input_ids=self._moved(tokens), attention_mask=self._moved(mask)).logits.float()
            return logits.cpu()  # waits for this stream alone

    def _own_stream(self) -> Any:
        import torch

        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _moved(self, tensor: Any) -> Any:
        if self._stream is None:
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)
