"""Measures whether samples of the bundled VAE are the digits that were asked for, by a classifier of drawn digits.

    python training/vae/measure.py [--model bundled/vae-digits] [--count 2000]

The classifier (784-256-10) is trained here, on drawings that the VAE never saw; its accuracy on fresh ones is printed beside.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from generators.mlp_gan import ConditionalMLP
from guard.models import locate

sys.path.insert(0, str(Path(__file__).parents[1] / "gan"))
from digits import SIZE, dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled/vae-digits")
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
    folder = Path(locate(arguments.model).path)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    decoder = ConditionalMLP(**config["parameters"])
    decoder.load_state_dict(load_file(folder / "model.safetensors"))
    wanted = torch.arange(arguments.count) % 10
    with torch.no_grad():
        accuracy = (classifier(fresh).argmax(1) == fresh_labels).float().mean().item()
        started = time.perf_counter()
        samples = decoder(torch.randn(arguments.count, config["latent_size"]), wanted)
        seconds = time.perf_counter() - started
        sure, found = classifier(samples).softmax(1).max(1)
        spread = torch.stack(
            [samples[wanted == one].std(0).mean() / fresh[fresh_labels == one].std(0).mean() for one in range(10)]
        )
    print(f"classifier: {accuracy:.1%} of fresh drawings right")
    right = found == wanted
    print(
        f"samples: {right.float().mean().item():.1%} taken for the digit asked for, "
        f"{(right & (sure >= 0.9)).float().mean().item():.1%} with probability 0.9 or more"
    )
    each = [round(100 * right[wanted == one].float().mean().item()) for one in range(10)]
    print(f"by digit 0 to 9: {each} per cent")
    print(
        f"spread of pixels against drawings of the same digit: {spread.mean():.2f}; "
        f"{seconds / arguments.count * 1e6:.0f} microseconds a sample"
    )


if __name__ == "__main__":
    main()
