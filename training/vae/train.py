"""Trains the bundled VAE on the project's own digits: a perceptron that reads a drawing and its digit, and one that draws it.

    python training/vae/train.py          about a minute of one core

The evidence lower bound (Kingma & Welling 2014) with a Bernoulli likelihood, conditioned on the digit (Sohn et al. 2015). Only
the decoder is kept: it is all that sampling needs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from generators.mlp_gan import ConditionalMLP
from guard.models import BUNDLED, write_manifest

sys.path.insert(0, str(Path(__file__).parents[1] / "gan"))
from digits import SIZE, dataset

LATENT, HIDDEN, CLASSES = 12, 192, 10
BATCH = 128
DRAWINGS = 20_000
TARGET = BUNDLED / "vae-digits"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CHINESE = "零一二三四五六七八九"


class Encoder(nn.Module):
    """Mean and log-variance of the latents of a drawing."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(SIZE * SIZE + CLASSES, 256), nn.LeakyReLU(0.2), nn.Linear(256, 2 * LATENT))

    def forward(self, drawings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        beside = functional.one_hot(labels, CLASSES).float()
        mean, spread = self.layers(torch.cat([drawings, beside], dim=-1)).chunk(2, dim=-1)
        return mean, spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--target", type=Path, default=TARGET)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    drawings = torch.from_numpy(dataset(DRAWINGS, arguments.seed))
    labels = torch.arange(DRAWINGS) % CLASSES
    encoder, decoder = Encoder(), ConditionalMLP(LATENT, CLASSES, (HIDDEN,), SIZE * SIZE)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, arguments.steps, 1e-5)
    started = time.process_time()
    for step in range(arguments.steps):
        chosen = torch.randint(DRAWINGS, (BATCH,))
        mean, spread = encoder(drawings[chosen], labels[chosen])
        latent = mean + (spread / 2).exp() * torch.randn_like(mean)
        # tanh(x / 2) is 2 sigmoid(x) - 1: the last layer's output is half the logit of the pixel.
        logits = 2 * decoder.layers[:-1](torch.cat([latent, functional.one_hot(labels[chosen], CLASSES).float()], dim=-1))
        likely = functional.binary_cross_entropy_with_logits(logits, (drawings[chosen] + 1) / 2, reduction="sum")
        divergence = -0.5 * (1 + spread - mean**2 - spread.exp()).sum()
        loss = (likely + divergence) / BATCH
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 1000 == 0:
            print(f"step {step}: bound {-loss.item():.1f} nats, of which divergence {divergence.item() / BATCH:.1f}")
    print(f"{time.process_time() - started:.0f} CPU seconds; bound {-loss.item():.1f} nats")
    save(decoder, arguments.target)


def save(decoder: ConditionalMLP, folder: Path) -> None:
    card = (folder / "MODEL_CARD.md").read_text("utf-8") if (folder / "MODEL_CARD.md").is_file() else ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in decoder.state_dict().items()}, folder / "model.safetensors")
    config = {
        "architecture": "conditional-mlp",
        "parameters": {"latent_size": LATENT, "classes": CLASSES, "hidden": [HIDDEN], "outputs": SIZE * SIZE},
        "latent_size": LATENT,
        "image_shape": [1, SIZE, SIZE],
        "classes": {str(digit): [WORDS[digit], str(digit), CHINESE[digit]] for digit in range(CLASSES)},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if card:
        (folder / "MODEL_CARD.md").write_text(card, "utf-8")
    digest = write_manifest(
        folder, name="vae-digits", version="1", licence="Apache-2.0", training="python training/vae/train.py"
    )
    print(f"{folder}: {digest}")


if __name__ == "__main__":
    main()
