"""The network of `guard.checks.name_tagger` in PyTorch, for training: the same sums, with dropout."""

from __future__ import annotations

import torch
from torch import nn

from guard.checks.name_tagger import DILATIONS, FEATURES, TAGS

WIDTHS = {"word": 64, "front": 40, "back": 40, "tail": 32, "shape": 24, "usage": 16}
WIDTH = 96
FORGET = 0.12
"""Share of words, beginnings and ends that are taken for unknown while training, so that none is relied upon."""


class Layer(nn.Module):
    """A gated convolution over three tokens, added to its input."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(WIDTH)
        self.wide = nn.Linear(3 * WIDTH, 2 * WIDTH)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`x`: texts by tokens by WIDTH; `mask`: 1 for tokens, 0 for padding."""
        normal = self.norm(x) * mask
        around = nn.functional.pad(normal, (0, 0, self.dilation, self.dilation))
        wide = torch.cat([around[:, : -2 * self.dilation], normal, around[:, 2 * self.dilation :]], dim=2)
        return x + self.drop(nn.functional.glu(self.wide(wide), dim=2))


class Net(nn.Module):
    """Six tables, a mixing layer, gated convolutions, one score a tag."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.tables = nn.ParameterDict({
            name: nn.Parameter(torch.randn(size, WIDTHS[name]) * 0.3) for name, size in zip(FEATURES, sizes, strict=True)
        })  # fmt: skip
        self.mix = nn.Linear(sum(WIDTHS.values()), WIDTH)
        self.layers = nn.ModuleList(Layer(dilation) for dilation in DILATIONS)
        self.norm = nn.LayerNorm(WIDTH)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(WIDTH, len(TAGS))

    def forward(self, numbers: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`numbers`: texts by tokens by features; `mask`: texts by tokens by 1."""
        if self.training:
            keep = torch.rand(numbers.shape) > FORGET
            keep[:, :, 4] = True  # the shape is always seen
            numbers = numbers * keep
        tables = [nn.functional.embedding(numbers[:, :, place], self.tables[name]) for place, name in enumerate(FEATURES)]
        x = self.drop(self.mix(torch.cat(tables, dim=2)))
        for layer in self.layers:
            x = layer(x, mask)
        scores: torch.Tensor = self.out(self.drop(self.norm(x)))
        return scores
