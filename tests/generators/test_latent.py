"""Networks that map noise to pixels: conditional ones, the bundled VAE, and a VQ-VAE with its prior."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from generators.mlp_gan import ConditionalMLP
from generators.vq_vae import VQSampler
from guard.errors import ModelError, ParameterError
from guard.imaging import decode
from guard.models import locate
from guard.protocols import Generator
from guard.registry import generators
from guard.types import CALLER, Content, Modality, Request, Stage

CLASSES = {"cat": ["cat", "猫"], "dog": ["dog"]}


def run(generator: Generator, text: str = "x", **parameters: Any) -> list[Content]:
    asked = Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request("r"))

    async def gather() -> list[Content]:
        return [content async for _, content in generator([asked], parameters)]

    return asyncio.run(gather())


def labels(contents: list[Content]) -> list[str | None]:
    return [dict(content.origin.parameters).get("label") for content in contents]


def written(folder: Path, network: torch.nn.Module, **config: Any) -> str:
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return str(folder)


@pytest.fixture
def conditional(tmp_path: Path) -> str:
    """A network of two classes that names its own architecture."""
    torch.manual_seed(1)
    sizes = {"latent_size": 4, "classes": 2, "hidden": [8], "outputs": 3 * 8 * 8}
    known = {"latent_size": 4, "image_shape": [3, 8, 8], "classes": CLASSES}
    return written(tmp_path, ConditionalMLP(**sizes), architecture="conditional-mlp", parameters=sizes, **known)


@pytest.mark.parametrize("kind", ["gan", "vae"])
def test_a_prompt_or_a_label_chooses_the_class(conditional: str, kind: str) -> None:
    """The label says more than the prompt; without either the seed chooses."""
    generator = generators.make(kind, {"model": conditional, "device": "cpu"})
    assert labels(run(generator, "a dog and a cat", seed=1)) == ["dog"]
    assert labels(run(generator, "一只猫", seed=1)) == ["cat"]
    assert labels(run(generator, "a dog", label="cat", seed=1)) == ["cat"]
    assert set(labels(run(generator, n=16, seed=1))) == {"cat", "dog"}
    (drawn,) = run(generator, seed=5)
    (asked,) = run(generator, f"a {labels([drawn])[0]}", seed=5)
    assert drawn.data == asked.data
    (other,) = run(generator, label="cat" if labels([drawn]) == ["dog"] else "dog", seed=5)
    assert other.data != drawn.data


def test_a_label_that_is_none_is_refused(conditional: str) -> None:
    """Without quoting it; so is any label of a network without classes."""
    with pytest.raises(ParameterError, match="'label': found another, expected one of: cat, dog"):
        run(generators.make("gan", {"model": conditional}), label="horse")
    with pytest.raises(ParameterError, match="'label': found another, expected one of: none"):
        run(generators.make("gan", {}), label="horse")


def test_a_vq_vae_draws_codes_and_decodes_them(tmp_path: Path) -> None:
    """Each code by the prior's probabilities; a seed gives the same picture twice, whatever stands beside it."""
    torch.manual_seed(2)
    sizes = {"codes": 8, "width": 4, "rows": 3, "columns": 2, "hidden": 8, "classes": 2, "channels": 3}
    network = VQSampler(**sizes)
    known = {"latent_size": 6, "image_shape": [3, 12, 8], "noise": "uniform", "classes": CLASSES}
    model = written(tmp_path, network, architecture="vq-vae", parameters=sizes, **known)
    generator = generators.make("vae", {"model": model, "device": "cpu"})
    several = run(generator, "cat", seed=3, n=3)
    assert len({content.data for content in several}) == 3
    assert run(generator, "cat", seed=4)[0].data == several[1].data
    assert decode(several[0]).size == (8 * 32, 12 * 32)
    with pytest.raises(ParameterError, match="noise has no middle"):
        run(generator, truncation=1.0)
    with torch.no_grad():
        first = network.weigh(network.prior(network.begin.weight[:1], torch.zeros(1, 8))).softmax(-1)[0]
        codes: list[int] = []
        network.codebook.register_forward_hook(lambda _module, given, _output: codes.extend(given[0][:, 0].tolist()))
        network(torch.rand(4000, 6, generator=torch.Generator().manual_seed(1)), torch.zeros(4000, dtype=torch.int64))
    shares = torch.tensor(codes).bincount(minlength=8) / 4000
    assert torch.allclose(shares, first, atol=0.03)


def test_noise_that_is_neither_is_refused(tmp_path: Path) -> None:
    """A file of settings is checked like any other."""
    sizes = {"latent_size": 4, "classes": 2, "hidden": [8], "outputs": 64}
    known = {"latent_size": 4, "image_shape": [1, 8, 8], "classes": CLASSES, "noise": "pink"}
    model = written(tmp_path, ConditionalMLP(**sizes), architecture="conditional-mlp", parameters=sizes, **known)
    with pytest.raises(ModelError, match="another noise"):
        generators.make("vae", {"model": model}).load()


def test_the_bundled_vae_draws_the_digit_that_is_asked_for() -> None:
    """By a number, a word, or a Chinese word; it is small, and nothing else in it is random."""
    generator = generators.make("vae", {"device": "cpu"})
    assert labels(run(generator, "the number seven", seed=1)) == ["7"]
    assert labels(run(generator, "写一个数字三", seed=1)) == ["1"]  # 一, "a", comes first
    assert len({content.data for content in run(generator, "7", n=4, seed=1)}) == 4
    assert sum(file.stat().st_size for file in locate("bundled/vae-digits").path.iterdir()) < 1 << 20
