"""Images from a network that maps random numbers to pixels: a GAN's generator, a VAE's decoder, a VQ-VAE with its prior.

A model folder has `model.safetensors` and `config.json`:

    {"architecture": NAME, "parameters": {keyword: value}, "latent_size": L, "image_shape": [channels, height, width],
     "noise": "normal", "classes": {label: [words]}}

The network is built with `parameters` and maps latents (batch, L) to pixels in [-1, 1], shaped (batch, channels x height x
width) or (batch, channels, height, width); channels are 1 or 3. `noise`: `normal` (the default), or `uniform` in [0, 1). With
`classes` it also takes labels (batch), and the words of a prompt choose one. `architecture` is one of ARCHITECTURES, or an
import path `package.module:Class`. An import path is code: it is taken from the operator's settings, or from a bundled folder
whose files are proven by digest, and never from the `config.json` of any other folder.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from generators.base import MAX_SEED, Worker, choose_device, limited, origin, output_seeds, parse
from generators.prompting import Prompting
from generators.residency import Slot, weights
from guard.errors import GenguardError, ModelError, ParameterError
from guard.imaging import image_content
from guard.models import BUNDLED, ModelFiles, locate
from guard.types import Content, Making, Modality, Stage

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

DARKEST, LIGHTEST = 40, 215
"""Levels that -1 and 1 are shown as. A tanh generator paints most pixels at the very ends of the scale, where a watermark's
changes would be cut off and lost; this leaves it 40 levels of room on both sides."""
SMALLEST_SIDE = 256
"""Outputs are enlarged by a whole factor until each side has this many pixels: smaller ones cannot carry a watermark."""
BATCH = 64
ARCHITECTURES = {
    "mlp": "generators.mlp_gan:MLPGenerator",
    "conditional-mlp": "generators.mlp_gan:ConditionalMLP",
    "vq-vae": "generators.vq_vae:VQSampler",
}
"""Networks that any model folder may name."""


@dataclass(frozen=True, slots=True)
class LatentParameters:
    """What a caller may ask of such a network."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 64)
    """Outputs a prompt."""
    truncation: float | None = limited(None, 0.1, 5)
    """Latents are drawn within this many standard deviations: less variety, more typical pictures."""
    label: str | None = None
    """The class to draw, whatever the prompt says."""


class LatentGenerator:
    """One network as a generator. A prompt chooses the class where there are classes; else it says for whom a picture is."""

    modality = Modality.IMAGE

    def __init__(self, model: str, *, architecture: str | None, device: str, name: str) -> None:
        """`architecture`: the class that builds the network, where its folder may not say so."""
        self.name = name
        self.model = model
        self._worker = Worker(name)
        self._loaded = Slot(lambda: _load(model, architecture, device), sizes=lambda loaded: weights(loaded.network))

    def load(self) -> None:
        """Build the network and load its weights. Raises ModelError when they are not there or do not fit."""
        self._loaded.get()

    def unload(self) -> None:
        """Free the network's memory, when the calls that use it are done; the next call loads it again."""
        self._loaded.free()

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield the images of each prompt in turn."""
        asked = parse(LatentParameters, parameters, generator=self.name)
        return self._worker.stream(lambda: self._generate(prompts, asked))

    def _generate(self, prompts: Sequence[Content], asked: LatentParameters) -> Iterator[tuple[int, Content]]:
        with self._loaded.use() as loaded:
            yield from self._drawn(loaded, prompts, asked)

    def _drawn(self, loaded: _Loaded, prompts: Sequence[Content], asked: LatentParameters) -> Iterator[tuple[int, Content]]:
        outputs = output_seeds(len(prompts), asked.n, asked.seed)
        for start in range(0, len(outputs), BATCH):
            batch = outputs[start : start + BATCH]
            labels = [loaded.label(prompts[index], asked, self.name) for index, _ in batch]
            drawn = loaded.draw([seed for _, seed in batch], labels, asked.truncation)
            for at, ((index, seed), (image, label)) in enumerate(zip(batch, drawn, strict=True), start):
                made = {**asdict(asked), "n": None, "label": label}
                source = origin(self.name, model=loaded.files.name, digest=loaded.files.digest, parameters=made, seed=seed)
                request, making = prompts[index].request, Making(at % asked.n)
                yield index, image_content(image, stage=Stage.OUTPUT, origin=source, request=request, making=making)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A network on its device, and the shapes that go in and come out."""

    network: torch.nn.Module
    files: ModelFiles
    device: torch.device
    latent_size: int
    image_shape: tuple[int, int, int]
    uniform: bool
    prompting: Prompting | None

    def label(self, prompt: Content, asked: LatentParameters, name: str) -> int | None:
        """The class that a caller or a prompt names; None leaves it to the seed. Raises ParameterError."""
        if asked.truncation is not None and self.uniform:
            raise ParameterError(f"{name}: parameter 'truncation' is not taken by {self.files.name!r}: its noise has no middle")
        if asked.label is None:
            return self.prompting.choose(prompt.text) if self.prompting else None
        known = list(self.prompting.classes) if self.prompting else []
        if asked.label not in known:
            raise ParameterError(f"{name}: parameter 'label': found another, expected one of: {', '.join(known) or 'none'}")
        return known.index(asked.label)

    def draw(
        self, seeds: Sequence[int], labels: Sequence[int | None], truncation: float | None
    ) -> list[tuple[Image, str | None]]:
        """One image a seed, with the label it was drawn for."""
        import torch

        # Drawn one by one, on the CPU whatever the device, so that a seed means the same everywhere.
        drawn = [self._latent(seed, label, truncation) for seed, label in zip(seeds, labels, strict=True)]
        given = [torch.stack([latent for latent, _ in drawn]).to(self.device)]
        if self.prompting is not None:
            given.append(torch.tensor([label for _, label in drawn], device=self.device))
        with torch.inference_mode():
            # On a CPU rows go through one by one: in a batch, the last bit of a sum may depend on its neighbours.
            parts = zip(*(torch.split(one, 1 if self.device.type == "cpu" else len(seeds)) for one in given), strict=True)
            pixels = torch.cat([self.network(*part) for part in parts]).float().cpu()
        names = list(self.prompting.classes) if self.prompting else []
        images = [to_image(one) for one in pixels.reshape(len(seeds), *self.image_shape)]
        return [(image, names[label] if names else None) for image, (_, label) in zip(images, drawn, strict=True)]

    def _latent(self, seed: int, label: int | None, truncation: float | None) -> tuple[torch.Tensor, int]:
        """The noise of a seed, and the label: the given one, or the one that the seed draws."""
        import torch

        source = torch.Generator("cpu").manual_seed(seed)
        count = len(self.prompting.classes) if self.prompting else 0
        # A class is drawn even when one is given, so that the noise of a seed is the same either way.
        chosen = int(torch.randint(count, (), generator=source)) if count else 0
        return self._noise(source, truncation), chosen if label is None else label

    def _noise(self, source: torch.Generator, truncation: float | None) -> torch.Tensor:
        import torch

        if self.uniform:
            return torch.rand(self.latent_size, generator=source)
        latent = torch.empty(self.latent_size)
        if truncation is None:
            return latent.normal_(generator=source)
        return torch.nn.init.trunc_normal_(latent, a=-truncation, b=truncation, generator=source)


def to_image(pixels: torch.Tensor) -> Image:
    """Pixels (channels, height, width) in [-1, 1] to an RGB image between DARKEST and LIGHTEST, enlarged bicubically."""
    import numpy as np
    from PIL import Image as Images

    channels, height, width = pixels.shape
    factor = max(1, math.ceil(SMALLEST_SIDE / min(height, width)))
    size = (width * factor, height * factor)
    planes = [
        np.asarray(Images.fromarray(plane).resize(size, Images.Resampling.BICUBIC))
        for plane in pixels.expand(3 if channels == 1 else channels, -1, -1).contiguous().numpy()
    ]
    # Bicubic overshoots at edges: cut in floating point, before it is given levels.
    shade = (np.clip(np.stack(planes, axis=-1), -1, 1) + 1) / 2
    return Images.fromarray(np.round(DARKEST + shade * (LIGHTEST - DARKEST)).astype(np.uint8))


def _load(model: str, architecture: str | None, device: str) -> _Loaded:
    from safetensors.torch import load_file

    where, files = choose_device(device), locate(model)
    try:
        config = json.loads((files.path / "config.json").read_text("utf-8"))
        latent_size, shape = int(config["latent_size"]), tuple(map(int, config["image_shape"]))
        network = _build(architecture or _own_architecture(files, config), config.get("parameters", {}))
        network.load_state_dict(load_file(files.path / "model.safetensors"))
        noise, classes = config.get("noise", "normal"), config.get("classes")
        prompting = Prompting({name: tuple(words) for name, words in classes.items()}) if classes else None
    except GenguardError:
        raise
    except Exception as error:
        raise ModelError(
            f"{model}: not loaded as a network that makes images: {type(error).__name__}: {error}",
            advice="Expected config.json and model.safetensors that fit the class, as generators/latent.py describes.",
        ) from error
    if len(shape) != 3 or shape[0] not in {1, 3}:
        raise ModelError(f"{model}: found image_shape {list(shape)}, expected [1 or 3, height, width]")
    if noise not in {"normal", "uniform"}:
        raise ModelError(f"{model}: found another noise than normal and uniform in config.json")
    network = network.eval().requires_grad_(requires_grad=False).to(where)
    return _Loaded(network, files, where, latent_size, (shape[0], shape[1], shape[2]), noise == "uniform", prompting)


def _own_architecture(files: ModelFiles, config: Mapping[str, Any]) -> str:
    named = config.get("architecture")
    if isinstance(named, str) and named in ARCHITECTURES:
        return ARCHITECTURES[named]
    # Only what ships with genguard may name code to import: a bundled folder, by its place and not by the name it was asked by.
    if files.path.resolve().parent == BUNDLED.resolve():
        return str(config["architecture"])
    raise ModelError(
        f"{files.name}: no architecture given",
        advice=f"config.json may name one of: {', '.join(ARCHITECTURES)}. Another class is named by the operator alone, as "
        "architecture=package.module:Class: no code is taken from a model folder.",
    )


def _build(path: str, parameters: Mapping[str, Any]) -> torch.nn.Module:
    import torch

    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name, None) if name else None
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        raise ModelError(f"found architecture {path!r}, expected package.module:Class of a torch.nn.Module")
    network = found(**parameters)
    assert isinstance(network, torch.nn.Module)
    return network
