"""Measures what a GAN's samples look like to a classifier of drawn digits.

    python training/gan/measure.py [--model bundled/gan-digits] [--count 2000]

The classifier (784-256-10) is trained here on drawings; its accuracy on fresh drawings is printed beside the figures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from digits import SIZE, dataset
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from generators.mlp_gan import MLPGenerator
from guard.models import locate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled/gan-digits")
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    drawings, fresh = torch.from_numpy(dataset(6000, 101)), torch.from_numpy(dataset(2000, 102))
    labels, fresh_labels = torch.arange(6000) % 10, torch.arange(2000) % 10
    classifier = nn.Sequential(nn.Linear(SIZE * SIZE, 256), nn.ReLU(), nn.Linear(256, 10))
    optimiser = torch.optim.Adam(classifier.parameters(), lr=1e-3)
    for _ in range(600):
        chosen = torch.randint(6000, (128,))
        loss = functional.cross_entropy(classifier(drawings[chosen] + 0.2 * torch.randn(128, SIZE * SIZE)), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    generator = MLPGenerator()
    generator.load_state_dict(load_file(Path(locate(arguments.model).path) / "model.safetensors"))
    with torch.no_grad():
        accuracy = (classifier(fresh).argmax(1) == fresh_labels).float().mean().item()
        started = time.perf_counter()
        samples = generator(torch.randn(arguments.count, 100))
        seconds = time.perf_counter() - started
        sure, found = classifier(samples).softmax(1).max(1)
        spread = samples.std(0).mean() / fresh.std(0).mean()
    print(f"classifier: {accuracy:.1%} of fresh drawings right")
    print(f"samples: {(sure >= 0.9).float().mean().item():.0%} taken for one digit with probability 0.9 or more")
    print(f"digits 0 to 9: {(torch.bincount(found, minlength=10) / arguments.count * 100).round().int().tolist()} per cent")
    print(f"spread of pixels against drawings: {spread:.2f}; {seconds / arguments.count * 1e6:.0f} microseconds a sample")


if __name__ == "__main__":
    main()
