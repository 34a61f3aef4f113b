"""Small perceptrons that make images. Imported only by import path when weights are loaded: they need torch at once."""

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


class ConditionalMLP(nn.Module):
    """A multilayer perceptron from a latent vector and a class to an image: a conditional GAN (Mirza & Osindero 2014)."""

    def __init__(
        self, latent_size: int = 12, classes: int = 10, hidden: Sequence[int] = (192,), outputs: int = 784, slope: float = 0.2
    ) -> None:
        """The class is put beside the latents as a one-hot vector; layers as in MLPGenerator."""
        super().__init__()
        self.classes = classes
        sizes = (latent_size + classes, *hidden)
        layers: list[nn.Module] = []
        for inside, outside in zip(sizes, hidden, strict=False):
            layers += [nn.Linear(inside, outside), nn.LeakyReLU(slope)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs), nn.Tanh())

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Latents (batch, latent_size) and classes (batch) to pixels (batch, outputs) in [-1, 1]."""
        beside = nn.functional.one_hot(labels, self.classes).to(latent.dtype)
        images: torch.Tensor = self.layers(torch.cat([latent, beside], dim=-1))
        return images
