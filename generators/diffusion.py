"""Images from diffusion models: any diffusers pipeline, and class-conditional ones with words for their classes.

A folder or a hub name goes through `DiffusionPipeline.from_pretrained`: safetensors only, no code from the folder. What the
pipeline is decides how it is asked:

- it takes a prompt (Stable Diffusion and its kin): the pipeline is called with the prompts;
- it is a U-Net with class embeddings beside a scheduler, and the folder has a `prompting.json`: a prompt's words choose the
  class, and the reverse process runs here. `prompting.json` is `{"classes": {name: [words]}, "patch": P}`; `patch` P > 1 means
  that the U-Net works on pixels folded P x P into channels;
- otherwise it is unconditional (DDPM, DDIM): the pipeline is called without the prompt.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.base import MAX_SEED, Worker, choose_device, limited, origin, output_seeds, parse
from generators.residency import Slot
from guard.errors import GenguardError, ModelError, ParameterError
from guard.imaging import image_content
from guard.models import ModelFiles, locate
from guard.protocols import Generator
from guard.registry import generators
from guard.types import Content, Making, Modality, Stage

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

SMALLEST_SIDE = 256
"""Outputs are enlarged to this many pixels a side unless a size is asked for: smaller ones cannot carry a watermark."""
DEFAULT_STEPS = 25
"""Steps of the reverse process run here; a pipeline that is called has its own default."""
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_PRECISIONS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class DiffusionParameters:
    """What a caller may ask of a diffusion model."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 16)
    """Outputs a prompt."""
    steps: int | None = limited(None, 1, 1000)
    guidance_scale: float | None = limited(None, 0, 50)
    width: int | None = limited(None, 64, 2048)
    height: int | None = limited(None, 64, 2048)


@dataclass(frozen=True, slots=True)
class Prompting:
    """How words choose the class of a class-conditional model."""

    classes: dict[str, tuple[str, ...]]
    patch: int = 1

    def choose(self, prompt: str) -> int | None:
        """Index of the class whose word comes first in the prompt; None when it names no class.

        Words of ASCII letters are compared whole, with or without a plural s; others wherever they stand.
        """
        text, found = prompt.lower(), []
        for index, words in enumerate(self.classes.values()):
            for word in words:
                pattern = rf"\b{re.escape(word)}(?:e?s)?\b" if word.isascii() else re.escape(word)
                if match := re.search(pattern, text):
                    found.append((match.start(), index))
        return min(found)[1] if found else None


class DiffusionGenerator:
    """One diffusers pipeline as a generator."""

    modality = Modality.IMAGE

    def __init__(
        self, model: str, *, device: str, name: str, batch: int | None, precision: str, revision: str | None, warm: bool
    ) -> None:
        """See `diffusion`."""
        self.name = name
        self.model = model
        self._batch, self._warm = batch, warm
        self._worker = Worker(name)
        self._loaded = Slot(lambda: _load(model, device, precision, revision, name))

    def load(self) -> None:
        """Load the pipeline, and warm it up where that is asked for: make one step of one image.

        Raises ModelError when it is not there, was changed, or is no diffusers pipeline.
        """
        with self._loaded.use() as loaded:
            if self._warm:
                self._worker.wait(lambda: loaded.draw([""], [0], DiffusionParameters(steps=1)))

    def unload(self) -> None:
        """Free the pipeline's memory, when the calls that use it are done; the next call loads it again."""
        self._loaded.free()

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield the images of each prompt in turn, batch by batch."""
        asked = parse(DiffusionParameters, parameters, generator=self.name)
        return self._worker.stream(lambda: self._generate(prompts, asked))

    def _generate(self, prompts: Sequence[Content], asked: DiffusionParameters) -> Iterator[tuple[int, Content]]:
        with self._loaded.use() as loaded:
            yield from self._drawn(loaded, prompts, asked)

    def _drawn(self, loaded: _Loaded, prompts: Sequence[Content], asked: DiffusionParameters) -> Iterator[tuple[int, Content]]:
        # On a CPU a batch saves nothing and may change the last bit of a sum, so that an output would depend on its neighbours.
        size = self._batch or (8 if loaded.device.type == "cuda" else 1)
        outputs = output_seeds(len(prompts), asked.n, asked.seed)
        for start in range(0, len(outputs), size):
            batch = outputs[start : start + size]
            drawn = loaded.draw([prompts[index].text for index, _ in batch], [seed for _, seed in batch], asked)
            for at, ((index, seed), (image, chosen)) in enumerate(zip(batch, drawn, strict=True), start):
                made = {**asdict(asked), **chosen, "n": None, "width": image.width, "height": image.height}
                source = origin(self.name, model=loaded.files.name, digest=loaded.files.digest, parameters=made, seed=seed)
                request, making = prompts[index].request, Making(at % asked.n)
                yield index, image_content(image, stage=Stage.OUTPUT, origin=source, request=request, making=making)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A pipeline on its device, and what it takes."""

    name: str
    pipeline: Any
    files: ModelFiles
    device: torch.device
    prompting: Prompting | None
    takes: frozenset[str]

    def draw(
        self, prompts: Sequence[str], seeds: Sequence[int], asked: DiffusionParameters
    ) -> list[tuple[Image, dict[str, Any]]]:
        """One image a prompt, with the parameters that were chosen for it."""
        import torch

        # Noise is drawn on the CPU whatever the device, so that a seed means the same everywhere.
        sources = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            if self.prompting is not None:
                images, chosen = self._denoise(self.prompting, prompts, sources, asked)
            else:
                images, chosen = self._call(prompts, sources, asked), [{} for _ in prompts]
        return [(fit(image, asked.width, asked.height), facts) for image, facts in zip(images, chosen, strict=True)]

    def _call(self, prompts: Sequence[str], sources: list[torch.Generator], asked: DiffusionParameters) -> list[Image]:
        given: dict[str, Any] = {"generator": sources, "output_type": "pil"}
        given |= {"prompt": list(prompts)} if "prompt" in self.takes else {"batch_size": len(prompts)}
        if asked.steps is not None:
            given["num_inference_steps"] = asked.steps
        if asked.guidance_scale is not None:
            self._refuse_unless("guidance_scale" in self.takes, "guidance_scale")
            given["guidance_scale"] = asked.guidance_scale
        for side in ("width", "height"):
            wanted = getattr(asked, side)
            if wanted is not None and side in self.takes:
                # Latents are a fraction of the picture: ask for the next size that has whole ones, and resample.
                unit = 2 * int(getattr(self.pipeline, "vae_scale_factor", 8))
                given[side] = -(-wanted // unit) * unit
        return [image.convert("RGB") for image in self.pipeline(**given).images]

    def _denoise(
        self, prompting: Prompting, prompts: Sequence[str], sources: list[torch.Generator], asked: DiffusionParameters
    ) -> tuple[list[Image], list[dict[str, Any]]]:
        """Reverse diffusion conditioned on classes (DDIM, Song et al. 2021, or whatever scheduler the folder names)."""
        import torch

        self._refuse_unless(asked.guidance_scale is None, "guidance_scale")
        unet, scheduler, names = self.pipeline.unet, self.pipeline.scheduler, list(prompting.classes)
        steps = asked.steps or DEFAULT_STEPS
        # A class is drawn even when the prompt names one, so that the noise of a seed is the same either way.
        drawn = [int(torch.randint(len(names), (), generator=source)) for source in sources]
        classes = [
            pick if (named := prompting.choose(text)) is None else named for text, pick in zip(prompts, drawn, strict=True)
        ]
        side = unet.config.sample_size
        rows, columns = side if isinstance(side, (tuple, list)) else (side, side)
        shape = (unet.config.in_channels, rows, columns)
        noise = torch.stack([torch.randn(shape, generator=source) for source in sources])
        labels = torch.tensor(classes, device=self.device)
        scheduler.set_timesteps(steps, device=self.device)
        sample = noise.to(self.device, unet.dtype) * scheduler.init_noise_sigma
        random_steps = "generator" in inspect.signature(scheduler.step).parameters
        extra = {"generator": sources} if random_steps else {}
        for time in scheduler.timesteps:
            predicted = unet(scheduler.scale_model_input(sample, time), time, class_labels=labels).sample
            sample = scheduler.step(predicted, time, sample, **extra).prev_sample
        images = _to_images(torch.nn.functional.pixel_shuffle(sample.float(), prompting.patch))
        return images, [{"class": names[index], "steps": steps} for index in classes]

    def _refuse_unless(self, taken: bool, parameter: str) -> None:
        if not taken:
            raise ParameterError(
                f"{self.name}: parameter {parameter!r} is not taken by {type(self.pipeline).__name__} of {self.files.name!r}",
                advice="Leave it out, or use a model that takes it.",
            )


def fit(image: Image, width: int | None, height: int | None) -> Image:
    """Resample to the size asked for; without one, enlarge until each side has SMALLEST_SIDE pixels. Bicubic."""
    from PIL import Image as Images

    if width is None and height is None:
        factor = max(1.0, SMALLEST_SIDE / min(image.size))
        size = (round(image.width * factor), round(image.height * factor))
    else:
        # One side alone keeps the proportions.
        size = (
            width or max(1, round(image.width * (height or 0) / image.height)),
            height or max(1, round(image.height * (width or 0) / image.width)),
        )
    return image if size == image.size else image.resize(size, Images.Resampling.BICUBIC)


def _to_images(sample: torch.Tensor) -> list[Image]:
    """Pixels (batch, 3, height, width) in [-1, 1] to images."""
    from PIL import Image as Images

    pixels = ((sample.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Images.fromarray(one) for one in pixels]


def _load(model: str, device: str, precision: str, revision: str | None, name: str) -> _Loaded:
    import torch
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging

    # A bar for loading two files only litters a service's log; it can be switched off for the whole library alone.
    logging.disable_progress_bar()
    where = choose_device(device)
    if precision not in _PRECISIONS:
        raise ParameterError(f"{name}: found precision {precision[:20]!r}, expected one of: {', '.join(_PRECISIONS)}")
    advice = "Expected a folder or hub repository in diffusers' format, with model_index.json and safetensors weights."
    try:
        files = _files(model, revision)
        pipeline = DiffusionPipeline.from_pretrained(files.path, use_safetensors=True, local_files_only=True)
        # Weights are read as float32 whatever the files hold.
        pipeline = pipeline.to(where) if precision == "float32" else pipeline.to(where, getattr(torch, precision))
        prompting = _prompting(files.path, pipeline)
    except GenguardError:
        raise
    except Exception as error:
        raise ModelError(
            f"{model}: not loaded as a diffusers pipeline: {type(error).__name__}: {error}", advice=advice
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    takes = frozenset(inspect.signature(type(pipeline).__call__).parameters)
    return _Loaded(name, pipeline, files, where, prompting, takes)


def _files(model: str, revision: str | None) -> ModelFiles:
    """The folder of a model; a hub name is downloaded, or found in the local cache, first."""
    if Path(model).is_dir() or model.startswith("bundled/") or not _HUB_NAME.fullmatch(model):
        return locate(model)
    from diffusers import DiffusionPipeline

    folder = DiffusionPipeline.download(model, revision=revision, use_safetensors=True)
    found = locate(str(folder))
    return ModelFiles(model, revision or found.version, found.path, found.digest)


def _prompting(folder: Path, pipeline: Any) -> Prompting | None:
    file = folder / "prompting.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text("utf-8"))
    prompting = Prompting({name: tuple(words) for name, words in found["classes"].items()}, int(found.get("patch", 1)))
    expected = getattr(getattr(pipeline, "unet", None), "config", {}).get("num_class_embeds")
    if len(prompting.classes) != expected:
        raise ModelError(f"{folder.name}: prompting.json names {len(prompting.classes)} classes, the U-Net has {expected}")
    return prompting


@generators.register("diffusion")
def diffusion(
    *,
    model: str = "bundled/diffusion-marks",
    device: str = "auto",
    name: str = "diffusion",
    batch: int | None = None,
    precision: str = "float32",
    revision: str | None = None,
    warm: bool = False,
) -> Generator:
    """Images from a diffusers pipeline.

    `model`: `bundled/NAME`, a folder, `sha256:` and the digest of one, or a hub name (downloaded on first use; `revision` pins
    it). `batch`: images a forward pass; by default 1 on a CPU, 8 on CUDA. `precision`: float32, float16 or bfloat16. `warm`:
    make a step when it is loaded, so that the first caller does not wait for what is only done once.
    """
    return DiffusionGenerator(model, device=device, name=name, batch=batch, precision=precision, revision=revision, warm=warm)
