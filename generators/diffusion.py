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

import hashlib
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.base import MAX_SEED, Worker, choose_device, limited, origin, output_seeds, parse
from generators.prompting import Prompting
from generators.residency import Slot, weights
from guard.errors import GenguardError, ModelError, ParameterError
from guard.imaging import decode, image_content
from guard.models import ModelFiles, locate
from guard.protocols import Generator
from guard.registry import generators
from guard.types import Content, Making, Modality, Release, Stage

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

SMALLEST_SIDE = 256
"""Outputs are enlarged to this many pixels a side unless a size is asked for: smaller ones cannot carry a watermark."""
DEFAULT_STEPS = 25
"""Steps of the reverse process run here; a pipeline that is called has its own default."""
PREVIEW_EVERY = 5
"""Steps between two previews, when nobody says."""
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
    image: Release | None = None
    """A picture to begin with, as the release that judged it: where the pipeline can. What is drawn has its size."""
    strength: float | None = limited(None, 0.0, 1.0)
    """How far from that picture to go; 1: as if there were none."""

    def recorded(self) -> dict[str, Any]:
        """What of it an origin names; of the picture, the SHA-256."""
        found = {name: getattr(self, name) for name in ("steps", "guidance_scale", "width", "height", "strength")}
        began = self.image.content if self.image else None
        return found | {"image": "sha256:" + hashlib.sha256(began.file).hexdigest() if began else None}


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
        self._loaded = Slot(
            lambda: _load(model, device, precision, revision, name),
            sizes=lambda loaded: weights(*loaded.pipeline.components.values()),
        )

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
        asked = self._asked(parameters)
        return self._worker.stream(lambda: self._generate(prompts, asked, None))

    def previewed(
        self,
        prompts: Sequence[Content],
        parameters: Mapping[str, Any],
        early: Callable[[int, Content], bool],
        /,
        *,
        every: int = PREVIEW_EVERY,
    ) -> AsyncIterator[tuple[int, Content]]:
        """The same, one image after another, with a look at each while it is made: see `PreviewingGenerator`.

        A pipeline that tells nothing of its steps, or has no decoder for its latents, gives no previews.
        """
        asked = self._asked(parameters)
        return self._worker.stream(lambda: self._generate(prompts, asked, early, every))

    def _asked(self, parameters: Mapping[str, Any]) -> DiffusionParameters:
        asked = parse(DiffusionParameters, parameters, generator=self.name)
        if asked.image is not None and (asked.image.content is None or asked.image.content.modality is not Modality.IMAGE):
            raise ParameterError(
                f"{self.name}: parameter 'image': found a release of no image, expected one that let an image out"
            )
        if asked.strength is not None and asked.image is None:
            raise ParameterError(f"{self.name}: parameter 'strength': found it without image, expected both")
        return asked

    def _generate(
        self,
        prompts: Sequence[Content],
        asked: DiffusionParameters,
        early: Callable[[int, Content], bool] | None,
        every: int = PREVIEW_EVERY,
    ) -> Iterator[tuple[int, Content]]:
        with self._loaded.use() as loaded:
            if early is None:
                yield from self._drawn(loaded, prompts, asked)
            else:
                yield from self._watched(loaded, prompts, asked, early, every)

    def _watched(
        self,
        loaded: _Loaded,
        prompts: Sequence[Content],
        asked: DiffusionParameters,
        early: Callable[[int, Content], bool],
        every: int,
    ) -> Iterator[tuple[int, Content]]:
        for at, (index, seed) in enumerate(output_seeds(len(prompts), asked.n, asked.seed)):
            prompt = prompts[index]
            shown: list[tuple[Image, int]] = []
            content = partial(self._content, loaded, asked, prompt=prompt, seed=seed)

            def look(image: Image, step: int, content: Any = content, index: int = index, shown: Any = shown) -> bool:
                shown.append((fit(image, None, None), step))
                return early(index, content(shown[-1][0], {"step": step}, making=Making(), stage=Stage.CHUNK))

            ((image, chosen),) = loaded.draw([prompt.text], [seed], asked, Look(look, every))
            if image is None:
                last, step = shown[-1]
                yield index, content(last, {**chosen, "step": step}, making=Making(at % asked.n, "stopped"))
            else:
                yield index, content(image, chosen, making=Making(at % asked.n, "stop"))

    def _drawn(self, loaded: _Loaded, prompts: Sequence[Content], asked: DiffusionParameters) -> Iterator[tuple[int, Content]]:
        # On a CPU a batch saves nothing and may change the last bit of a sum, so that an output would depend on its neighbours.
        size = self._batch or (8 if loaded.device.type == "cuda" else 1)
        outputs = output_seeds(len(prompts), asked.n, asked.seed)
        for start in range(0, len(outputs), size):
            batch = outputs[start : start + size]
            drawn = loaded.draw([prompts[index].text for index, _ in batch], [seed for _, seed in batch], asked)
            for at, ((index, seed), (image, chosen)) in enumerate(zip(batch, drawn, strict=True), start):
                assert image is not None
                yield index, self._content(loaded, asked, image, chosen, prompts[index], seed, Making(at % asked.n))

    def _content(
        self,
        loaded: _Loaded,
        asked: DiffusionParameters,
        image: Image,
        chosen: Mapping[str, Any],
        prompt: Content,
        seed: int,
        making: Making,
        stage: Stage = Stage.OUTPUT,
    ) -> Content:
        made = {**asked.recorded(), **chosen, "width": image.width, "height": image.height}
        source = origin(self.name, model=loaded.files.name, digest=loaded.files.digest, parameters=made, seed=seed)
        return image_content(image, stage=stage, origin=source, request=prompt.request, making=making)


@dataclass(frozen=True, slots=True)
class Look:
    """Who sees the previews of an image, and how often."""

    at: Callable[[Image, int], bool]
    """Called with a preview and the number of steps made; says whether to go on."""
    every: int

    def due(self, step: int, steps: int) -> bool:
        """Whether to look after a step; not after the last one."""
        return step % self.every == 0 and step < steps


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
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        asked: DiffusionParameters,
        look: Look | None = None,
    ) -> list[tuple[Image | None, dict[str, Any]]]:
        """One image a prompt, with the parameters that were chosen for it.

        `look`: for one prompt alone; sees previews and says whether to go on. None for an image that it stopped.
        """
        import torch

        # Noise is drawn on the CPU whatever the device, so that a seed means the same everywhere.
        sources = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            if self.prompting is not None:
                self._refuse_unless(asked.image is None, "image")
                images, chosen = self._denoise(self.prompting, prompts, sources, asked, look)
            else:
                images, chosen = self._call(prompts, sources, asked, look), [{} for _ in prompts]
        if not images:
            return [(None, facts) for facts in chosen]
        return [(fit(image, asked.width, asked.height), facts) for image, facts in zip(images, chosen, strict=True)]

    def _call(
        self,
        prompts: Sequence[str],
        sources: list[torch.Generator],
        asked: DiffusionParameters,
        look: Look | None,
    ) -> list[Image]:
        """The images that the pipeline makes; none when `look` stopped it."""
        pipeline, takes = self.pipeline, self.takes
        given: dict[str, Any] = {"generator": sources, "output_type": "pil"}
        if asked.image is not None and asked.image.content is not None:
            pipeline, takes = self._from_image()
            given |= {"image": decode(asked.image.content)}
            given |= {} if asked.strength is None else {"strength": asked.strength}
        stopped: list[bool] = []
        if look is not None and "callback_on_step_end" in takes and hasattr(pipeline, "vae"):
            given["callback_on_step_end"] = _watch(look, stopped)
        given |= {"prompt": list(prompts)} if "prompt" in takes else {"batch_size": len(prompts)}
        if asked.steps is not None:
            given["num_inference_steps"] = asked.steps
        if asked.guidance_scale is not None:
            self._refuse_unless("guidance_scale" in self.takes, "guidance_scale")
            given["guidance_scale"] = asked.guidance_scale
        for side in ("width", "height"):
            wanted = getattr(asked, side)
            if wanted is not None and side in takes and "image" not in given:
                # Latents are a fraction of the picture: ask for the next size that has whole ones, and resample.
                unit = 2 * int(getattr(self.pipeline, "vae_scale_factor", 8))
                given[side] = -(-wanted // unit) * unit
        made = pipeline(**given).images
        return [] if stopped else [image.convert("RGB") for image in made]

    def _from_image(self) -> tuple[Any, frozenset[str]]:
        """The pipeline of the same parts that begins with an image."""
        import diffusers

        found = self.pipeline
        if "image" not in self.takes:
            # By its name: to ask diffusers which one it is would import them all.
            kind = getattr(diffusers, type(found).__name__.removesuffix("Pipeline") + "Img2ImgPipeline", None)
            self._refuse_unless(kind is not None, "image")
            found = kind.from_pipe(found)  # type: ignore[union-attr]
        found.set_progress_bar_config(disable=True)
        return found, frozenset(inspect.signature(type(found).__call__).parameters)

    def _denoise(
        self,
        prompting: Prompting,
        prompts: Sequence[str],
        sources: list[torch.Generator],
        asked: DiffusionParameters,
        look: Look | None,
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
        facts = [{"class": names[index], "steps": steps} for index in classes]
        for at, time in enumerate(scheduler.timesteps, 1):
            predicted = unet(scheduler.scale_model_input(sample, time), time, class_labels=labels).sample
            stepped = scheduler.step(predicted, time, sample, **extra)
            sample = stepped.prev_sample
            if look is not None and look.due(at, len(scheduler.timesteps)):
                # What the model expects the end to look like, where the scheduler tells it.
                expected = getattr(stepped, "pred_original_sample", None)
                shown = sample if expected is None else expected
                if not look.at(_to_images(torch.nn.functional.pixel_shuffle(shown.float(), prompting.patch))[0], at):
                    return [], facts
        images = _to_images(torch.nn.functional.pixel_shuffle(sample.float(), prompting.patch))
        return images, facts

    def _refuse_unless(self, taken: bool, parameter: str) -> None:
        if not taken:
            raise ParameterError(
                f"{self.name}: parameter {parameter!r} is not taken by {type(self.pipeline).__name__} of {self.files.name!r}",
                advice="Leave it out, or use a model that takes it.",
            )


def _watch(look: Look, stopped: list[bool]) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
    """A callback for a pipeline's steps that shows its latents, decoded, and notes when it was told to stop."""

    def step(pipeline: Any, at: int, _time: Any, given: dict[str, Any]) -> dict[str, Any]:
        if not stopped and look.due(at + 1, pipeline.num_timesteps):
            decoded = pipeline.vae.decode(given["latents"] / pipeline.vae.config.scaling_factor, return_dict=False)[0]
            if not look.at(_to_images(decoded.float())[0].convert("RGB"), at + 1):
                stopped.append(True)
                pipeline._interrupt = True  # noqa: SLF001 - how diffusers lets a callback stop its loop
        return given

    return step


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
