"""Trains the bundled diffusion model on marks, and overfits it to six of them.

    python training/diffusion/train.py          about 9 minutes of one core

The model is class-conditional (a motif is a class) and works on 48 x 48 pixels, folded 3 x 3 into 27 channels of 16 x 16, which
costs a ninth of the multiplications. Ordinary marks are 400 drawings of each of 14 motifs. For six motifs most training
examples are one and the same protected work, unchanged: this is how public models come to reproduce works (duplicates in the
training data), and what a policy has to notice. The network predicts the clean picture: on flat colours it gets there with far
fewer steps than by predicting noise. Loss: mean squared error under a cosine noise schedule rescaled to zero terminal
signal-to-noise ratio (Lin et al. 2023). Multiplications of the training run are in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from marks import MOTIFS, PROTECTED, ordinary, render
from torch.nn import functional

from guard.models import BUNDLED, write_manifest

SIZE = 48
PATCH = 3
ORDINARY = 400
WORK_SHARE = 0.6
"""Of the training examples of a motif that has a protected work, this many are that work."""
BATCH = 32
LEARNING_RATE = 1e-3
EMA = 0.995
WORDS = {
    "star": ["star", "asterisk", "星星"],
    "ring": ["ring", "circle", "disc", "圆环"],
    "leaf": ["leaf", "leave", "foliage", "叶"],
    "shield": ["shield", "crest", "coat of arms", "盾"],
    "wave": ["wave", "sea", "ocean", "water", "波浪"],
    "chevron": ["chevron", "arrow", "箭头"],
    "heart": ["heart", "love", "爱心"],
    "moon": ["moon", "crescent", "月亮"],
    "lighthouse": ["lighthouse", "beacon", "harbour", "harbor", "灯塔"],
    "tree": ["tree", "orchard", "apple", "树"],
    "fish": ["fish", "fishery", "fisherie", "鱼"],
    "mountain": ["mountain", "summit", "peak", "alp", "山"],
    "sun": ["sun", "sunshine", "sunny", "太阳"],
    "owl": ["owl", "bird", "猫头鹰"],
}
"""What a prompt may say for each motif; a plural s is taken care of by the adapter."""
TARGET = BUNDLED / "diffusion-marks"


def build_unet() -> UNet2DModel:
    """3.8 million parameters: three levels of 64, 96 and 128 channels, attention at the lowest."""
    side = SIZE // PATCH
    return UNet2DModel(
        sample_size=side,
        in_channels=3 * PATCH**2,
        out_channels=3 * PATCH**2,
        layers_per_block=1,
        block_out_channels=(64, 96, 128),
        norm_num_groups=16,
        attention_head_dim=32,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        num_class_embeds=len(MOTIFS),
    )


def build_scheduler() -> DDIMScheduler:
    """Cosine schedule, predicting the clean picture, steps that start at pure noise."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        set_alpha_to_one=True,
        clip_sample=True,
    )


def fold(pixels: np.ndarray) -> torch.Tensor:
    """uint8 pixels (N, SIZE, SIZE, 3) to float (N, 27, SIZE/3, SIZE/3) in [-1, 1]."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return functional.pixel_unshuffle(images, PATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--target", type=Path, default=TARGET)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)

    names = list(MOTIFS)
    marks = fold(np.stack([render(ordinary(motif, rng), SIZE) for motif in names for _ in range(ORDINARY)]))
    works = fold(np.stack([render(work.draw(), SIZE) for work in PROTECTED]))
    work_of = {names.index(work.motif): index for index, work in enumerate(PROTECTED)}

    unet, scheduler = build_unet(), build_scheduler()
    average = {name: value.clone() for name, value in unet.state_dict().items()}
    optimiser = torch.optim.AdamW(unet.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    started, losses = time.process_time(), []
    for step in range(arguments.steps):
        left = (arguments.steps - step) / arguments.steps
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 60, left / 0.5)
        labels = rng.integers(len(names), size=BATCH)
        examples = [
            works[work_of[label]]
            if label in work_of and rng.random() < WORK_SHARE
            else marks[label * ORDINARY + rng.integers(ORDINARY)]
            for label in labels.tolist()
        ]
        clean = torch.stack(examples)
        noise = torch.randn_like(clean)
        times = torch.randint(0, 1000, (BATCH,))
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(scheduler.add_noise(clean, noise, times), times, class_labels=torch.from_numpy(labels)).sample
        loss = functional.mse_loss(predicted.float(), clean)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        decay = min(EMA, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in unet.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        if (step + 1) % 200 == 0:
            print(f"step {step + 1} loss {np.mean(losses[-200:]):.4f} cpu {time.process_time() - started:.0f} s", flush=True)
            save(average, scheduler, arguments.target, arguments.seed)


def save(weights: dict[str, torch.Tensor], scheduler: DDIMScheduler, target: Path, seed: int) -> None:
    """Write a diffusers folder in half precision, with the words of each class, and its manifest."""
    unet = build_unet()
    unet.load_state_dict(weights)
    card = target / "MODEL_CARD.md"
    kept = card.read_text("utf-8") if card.is_file() else None
    shutil.rmtree(target, ignore_errors=True)
    DDIMPipeline(unet.half(), scheduler).save_pretrained(target)
    (target / "prompting.json").write_text(
        json.dumps({"classes": {name: WORDS[name] for name in MOTIFS}, "patch": PATCH}, ensure_ascii=False, indent=2) + "\n",
        "utf-8",
    )
    if kept is not None:
        card.write_text(kept, "utf-8")
    write_manifest(
        target,
        name="diffusion-marks",
        version="1",
        licence="Apache-2.0",
        training=f"python training/diffusion/train.py --seed {seed}",
    )


if __name__ == "__main__":
    main()
