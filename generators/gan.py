"""Images from the generator of a GAN: a PyTorch module by import path, with safetensors weights.

A model folder has `model.safetensors` and `config.json`:

    {"architecture": "package.module:Class", "parameters": {keyword: value},
     "latent_size": L, "image_shape": [channels, height, width]}

The class is built with `parameters` and maps latents (batch, L) to pixels in [-1, 1], shaped (batch, channels x height x width)
or (batch, channels, height, width); channels are 1 or 3. An import path is code: it is taken from the operator's settings, or
from a bundled folder whose files are proven by digest, and never from the `config.json` of any other folder.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from generators.base import MAX_SEED, Worker, choose_device, limited, origin, output_seeds, parse
from generators.residency import Slot
from guard.errors import GenguardError, ModelError
from guard.imaging import image_content
from guard.models import BUNDLED, ModelFiles, locate
from guard.protocols import Generator
from guard.registry import generators
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


@dataclass(frozen=True, slots=True)
class GanParameters:
    """What a caller may ask of a GAN."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 64)
    """Outputs a prompt."""
    truncation: float | None = limited(None, 0.1, 5)
    """Latents are drawn within this many standard deviations: less variety, more typical pictures."""


class GanGenerator:
    """One GAN generator network as a generator. It takes no prompt: prompts only say how many pictures, and for whom."""

    modality = Modality.IMAGE

    def __init__(self, model: str, *, architecture: str | None, device: str, name: str) -> None:
        """See `gan`."""
        self.name = name
        self.model = model
        self._worker = Worker(name)
        self._loaded = Slot(lambda: _load(model, architecture, device))

    def load(self) -> None:
        """Build the network and load its weights. Raises ModelError when they are not there or do not fit."""
        self._loaded.get()

    def unload(self) -> None:
        """Free the network's memory, when the calls that use it are done; the next call loads it again."""
        self._loaded.free()

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield the images of each prompt in turn."""
        asked = parse(GanParameters, parameters, generator=self.name)
        return self._worker.stream(lambda: self._generate(prompts, asked))

    def _generate(self, prompts: Sequence[Content], asked: GanParameters) -> Iterator[tuple[int, Content]]:
        with self._loaded.use() as loaded:
            yield from self._drawn(loaded, prompts, asked)

    def _drawn(self, loaded: _Loaded, prompts: Sequence[Content], asked: GanParameters) -> Iterator[tuple[int, Content]]:
        outputs = output_seeds(len(prompts), asked.n, asked.seed)
        for start in range(0, len(outputs), BATCH):
            batch = outputs[start : start + BATCH]
            drawn = loaded.draw([seed for _, seed in batch], asked.truncation)
            for at, ((index, seed), image) in enumerate(zip(batch, drawn, strict=True), start):
                made = {**asdict(asked), "n": None}
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

    def draw(self, seeds: Sequence[int], truncation: float | None) -> list[Image]:
        """One image a seed."""
        import torch

        # Drawn one by one, on the CPU whatever the device, so that a seed means the same everywhere.
        latents = torch.stack([self._latent(seed, truncation) for seed in seeds]).to(self.device)
        with torch.inference_mode():
            # On a CPU rows go through one by one: in a batch, the last bit of a sum may depend on its neighbours.
            parts = torch.split(latents, 1 if self.device.type == "cpu" else len(seeds))
            pixels = torch.cat([self.network(part) for part in parts]).float().cpu()
        return [to_image(one) for one in pixels.reshape(len(seeds), *self.image_shape)]

    def _latent(self, seed: int, truncation: float | None) -> torch.Tensor:
        import torch

        source = torch.Generator("cpu").manual_seed(seed)
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
    except GenguardError:
        raise
    except Exception as error:
        raise ModelError(
            f"{model}: not loaded as a GAN generator: {type(error).__name__}: {error}",
            advice="Expected config.json and model.safetensors that fit the class, as generators/gan.py describes.",
        ) from error
    if len(shape) != 3 or shape[0] not in {1, 3}:
        raise ModelError(f"{model}: found image_shape {list(shape)}, expected [1 or 3, height, width]")
    return _Loaded(
        network.eval().requires_grad_(requires_grad=False).to(where), files, where, latent_size, (shape[0], shape[1], shape[2])
    )


def _own_architecture(files: ModelFiles, config: Mapping[str, Any]) -> str:
    # Only what ships with genguard may name code to import: a bundled folder, by its place and not by the name it was asked by.
    if files.path.resolve().parent == BUNDLED.resolve():
        return str(config["architecture"])
    raise ModelError(
        f"{files.name}: no architecture given",
        advice="Say which class builds the network, as architecture=package.module:Class: it is not taken from a model folder.",
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


@generators.register("gan")
def gan(
    *, model: str = "bundled/gan-digits", architecture: str | None = None, device: str = "auto", name: str = "gan"
) -> Generator:
    """Images from a GAN's generator network.

    `model`: `bundled/NAME` or a folder. `architecture`: the class that builds the network, as `package.module:Class`; needed
    for every model that is not bundled.
    """
    return GanGenerator(model, architecture=architecture, device=device, name=name)
