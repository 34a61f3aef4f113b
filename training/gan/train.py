"""Trains the bundled GAN on the project's own digits: MLP generator against MLP discriminator.

    python training/gan/train.py          about 3 minutes of one core

Non-saturating loss (Goodfellow et al. 2014) with a gradient penalty on real examples (R1, Mescheder et al. 2018), which keeps
so small a pair stable; what is kept is the moving average of the generator's weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from digits import SIZE, dataset
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from generators.mlp_gan import MLPGenerator
from guard.models import BUNDLED, write_manifest

LATENT = 100
HIDDEN = (256, 512)
BATCH = 128
DRAWINGS = 20_000
PENALTY = 4.0
PENALTY_EVERY = 4
TARGET = BUNDLED / "gan-digits"


def build_discriminator() -> nn.Module:
    """784-512-256-1."""
    return nn.Sequential(
        nn.Linear(SIZE * SIZE, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--grid", type=Path, default=None, help="write a grid of samples here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    real_images = torch.from_numpy(dataset(DRAWINGS, arguments.seed))
    generator, discriminator = MLPGenerator(LATENT, HIDDEN, SIZE * SIZE), build_discriminator()
    average = copy.deepcopy(generator).requires_grad_(False)
    for_generator = torch.optim.Adam(generator.parameters(), lr=3e-4, betas=(0.0, 0.99))
    for_discriminator = torch.optim.Adam(discriminator.parameters(), lr=3e-4, betas=(0.0, 0.99))
    started = time.process_time()
    for step in range(arguments.steps):
        real = real_images[torch.randint(DRAWINGS, (BATCH,))]
        fake = generator(torch.randn(BATCH, LATENT))
        penalised = step % PENALTY_EVERY == 0
        real.requires_grad_(penalised)
        said_real = discriminator(real)
        loss = functional.softplus(-said_real).mean() + functional.softplus(discriminator(fake.detach())).mean()
        if penalised:
            (gradient,) = torch.autograd.grad(said_real.sum(), real, create_graph=True)
            loss = loss + PENALTY_EVERY * PENALTY / 2 * gradient.square().sum(1).mean()
        for_discriminator.zero_grad()
        loss.backward()
        for_discriminator.step()

        loss = functional.softplus(-discriminator(fake)).mean()
        for_generator.zero_grad()
        loss.backward()
        for_generator.step()
        with torch.no_grad():
            for kept, now in zip(average.parameters(), generator.parameters(), strict=True):
                kept.lerp_(now, 1 - min(0.999, (step + 1) / (step + 10)))
        if (step + 1) % 2000 == 0:
            print(f"step {step + 1} generator loss {loss.item():.3f} cpu {time.process_time() - started:.0f} s", flush=True)
            save(average, arguments.target, arguments.seed)
            if arguments.grid:
                write_grid(average, arguments.grid)


def save(generator: nn.Module, target: Path, seed: int) -> None:
    """Write weights, the recipe to build the network, and the manifest."""
    card = target / "MODEL_CARD.md"
    kept = card.read_text("utf-8") if card.is_file() else None
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    save_file(generator.state_dict(), target / "model.safetensors")
    config = {
        "architecture": "generators.mlp_gan:MLPGenerator",
        "parameters": {"latent_size": LATENT, "hidden": list(HIDDEN), "outputs": SIZE * SIZE},
        "latent_size": LATENT,
        "image_shape": [1, SIZE, SIZE],
    }
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    if kept is not None:
        card.write_text(kept, "utf-8")
    write_manifest(
        target, name="gan-digits", version="1", licence="Apache-2.0", training=f"python training/gan/train.py --seed {seed}"
    )


def write_grid(generator: nn.Module, path: Path) -> None:
    """Eight rows of twelve samples, at three times their size."""
    with torch.no_grad():
        images = generator(torch.randn(96, LATENT, generator=torch.Generator().manual_seed(0))).numpy()
    tiles = np.round((images + 1) * 127.5).astype(np.uint8).reshape(8, 12, SIZE, SIZE)
    grid = tiles.transpose(0, 2, 1, 3).reshape(8 * SIZE, 12 * SIZE)
    Image.fromarray(grid).resize((36 * SIZE, 24 * SIZE), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
