"""A VQ-VAE as a sampler. Imported only by import path when weights are loaded: it needs torch at once."""

from __future__ import annotations

import torch
from torch import nn


class VQSampler(nn.Module):
    """Codes drawn one after another from a recurrent prior, and decoded to an image (van den Oord et al. 2017)."""

    def __init__(
        self,
        codes: int = 64,
        width: int = 16,
        rows: int = 7,
        columns: int = 7,
        hidden: int = 64,
        classes: int = 0,
        channels: int = 1,
    ) -> None:
        """`codes` of `width` numbers on a grid; each is decoded to 4 x 4 pixels. `classes`: 0 for none."""
        super().__init__()
        self.rows, self.columns = rows, columns
        self.codebook = nn.Embedding(codes, width)
        self.begin = nn.Embedding(max(1, classes), hidden)
        self.read = nn.Embedding(codes, hidden)
        self.prior = nn.GRUCell(hidden, hidden)
        self.weigh = nn.Linear(hidden, codes)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(width, hidden, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(hidden, channels, 4, 2, 1), nn.Tanh()
        )

    def forward(self, draws: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Numbers in [0, 1) (batch, rows x columns), one a code, to pixels (batch, channels, 4 rows, 4 columns) in [-1, 1]."""
        begin = torch.zeros(len(draws), dtype=torch.int64, device=draws.device) if labels is None else labels
        read = self.begin(begin)
        state = torch.zeros_like(read)
        codes = []
        for at in range(self.rows * self.columns):
            state = self.prior(read, state)
            bounds = self.weigh(state).softmax(-1).cumsum(-1)
            # The code whose stretch of the line the number falls into.
            code = (draws[:, at : at + 1] * bounds[:, -1:] >= bounds).sum(-1).clamp(max=bounds.shape[-1] - 1)
            codes.append(code)
            read = self.read(code)
        grid = self.codebook(torch.stack(codes, dim=-1)).transpose(1, 2)
        images: torch.Tensor = self.decoder(grid.reshape(len(draws), -1, self.rows, self.columns))
        return images
