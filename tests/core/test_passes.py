"""guard.models.passes: padded rows through a model, on the processor and, where there is one, on an accelerator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from guard.models.passes import Passes

ROWS = [[2, 5, 7, 9, 3], [2, 8, 3], [2, 3]]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, num_labels=3
    )
    return transformers.BertForSequenceClassification(config).eval()


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_padding_changes_nothing(model: Any, device: str) -> None:
    """Each row has the logits that it has alone, back on the processor."""
    passes = Passes(model.to(device), device, padding=0)
    together = passes(ROWS, 5)
    assert (together.device.type, together.dtype, together.shape) == ("cpu", torch.float32, (3, 3))
    for row, found in zip(ROWS, together, strict=True):
        assert torch.allclose(passes([row], len(row))[0], found, atol=1e-4)
    model.to("cpu")
