"""The generator network of a small GAN. Imported only by import path when its weights are loaded: it needs torch at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class MLPGenerator(nn.Module):
    """A multilayer perceptron from a latent vector to an image, after Goodfellow et al. 2014."""

    def __init__(self, latent_size: int = 100, hidden: Sequence[int] = (256, 512), outputs: int = 784) -> None:
        """Layers of the sizes latent, hidden…, outputs; leaky rectifiers between, tanh at the end."""
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in zip((latent_size, *hidden), hidden, strict=False):
            layers += [nn.Linear(inside, outside), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs), nn.Tanh())

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents (batch, latent_size) to pixels (batch, outputs) in [-1, 1]."""
        images: torch.Tensor = self.layers(latent)
        return images
