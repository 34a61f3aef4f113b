"""The image generators: diffusion pipelines of several kinds, and GANs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

# Before torch starts its threads: waiting threads that spin slow tiny models down on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from generators.base import MAX_SEED, choose_device, limited, output_seeds, parse
from generators.diffusion import DiffusionParameters, fit
from generators.latent import DARKEST, LIGHTEST
from generators.prompting import Prompting
from guard.chain import Chain
from guard.errors import GenerationError, ModelError, ParameterError
from guard.imaging import decode
from guard.models import BUNDLED, locate, write_manifest
from guard.pipeline import Guard
from guard.protocols import Generator, PreviewingGenerator
from guard.registry import generators
from guard.types import CALLER, Content, Making, Modality, Request, Stage
from tests.fakes import ImageCheck, MemoryLedger, png, policy, spec

FAST = {"steps": 2}


def prompt(text: str, name: str = "r") -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request(name))


def generate(generator: Generator, texts: Sequence[str], parameters: Mapping[str, Any]) -> list[tuple[int, Content]]:
    async def collect() -> list[tuple[int, Content]]:
        prompts = [prompt(text, f"r{index}") for index, text in enumerate(texts)]
        return [item async for item in generator(prompts, parameters)]

    return asyncio.run(collect())


def files(outputs: list[tuple[int, Content]]) -> list[bytes]:
    return [content.file for _, content in outputs]


@pytest.fixture(scope="module")
def diffusion() -> Generator:
    return generators.make("diffusion", {"device": "cpu"})


@pytest.fixture(scope="module")
def gan() -> Generator:
    return generators.make("gan", {"device": "cpu"})


@pytest.fixture(scope="module", params=["diffusion", "gan"])
def bundled(request: pytest.FixtureRequest) -> tuple[Generator, dict[str, Any], str]:
    """A bundled generator, parameters that keep it fast, and its model's folder."""
    generator = request.getfixturevalue(request.param)
    return generator, FAST if request.param == "diffusion" else {}, str(generator.model)


def test_the_same_seed_gives_the_same_files_twice(bundled: tuple[Generator, dict[str, Any], str]) -> None:
    """Byte for byte."""
    generator, fast, _ = bundled
    once = files(generate(generator, ["a mark", "a fish"], {**fast, "seed": 5}))
    assert once == files(generate(generator, ["a mark", "a fish"], {**fast, "seed": 5}))
    assert len(set(once)) == 2


def test_another_seed_gives_another_picture(bundled: tuple[Generator, dict[str, Any], str]) -> None:
    """Nothing is canned."""
    generator, fast, _ = bundled
    seeds = [{**fast, "seed": seed} for seed in (5, 6, MAX_SEED)]
    assert len({files(generate(generator, ["a mark"], given))[0] for given in seeds}) == 3


def test_an_output_does_not_depend_on_its_neighbours(bundled: tuple[Generator, dict[str, Any], str]) -> None:
    """Asked alone with the seed that its origin records, the model makes the output again."""
    generator, fast, _ = bundled
    together = generate(generator, ["a star", "a heart", "a moon"], {**fast, "seed": 20, "n": 2})
    assert [index for index, _ in together] == [0, 0, 1, 1, 2, 2]
    _, fourth = together[3]
    seed = int(dict(fourth.origin.parameters)["seed"])
    assert files(generate(generator, ["a heart"], {**fast, "seed": seed})) == [fourth.file]


def test_without_a_seed_a_fresh_one_is_used_and_recorded(bundled: tuple[Generator, dict[str, Any], str]) -> None:
    """Two calls differ, and each can be repeated."""
    generator, fast, _ = bundled
    (_, one), (_, other) = generate(generator, ["a tree"], fast)[0], generate(generator, ["a tree"], fast)[0]
    assert one.file != other.file
    seed = int(dict(one.origin.parameters)["seed"])
    assert files(generate(generator, ["a tree"], {**fast, "seed": seed})) == [one.file]


def test_the_origin_names_generator_model_and_digest(bundled: tuple[Generator, dict[str, Any], str]) -> None:
    """What made a content is known from the content; the request is the prompt's."""
    generator, fast, model = bundled
    (_, first), (_, second) = generate(generator, ["a sun", "a sun"], {**fast, "seed": 3})
    assert (generator.name, model, locate(model).digest) == (first.origin.generator, first.origin.model, first.origin.digest)
    assert ("seed", "4") in second.origin.parameters
    assert list(second.origin.parameters) == sorted(second.origin.parameters)
    assert (second.request.id, second.stage, second.modality) == ("r1", Stage.OUTPUT, Modality.IMAGE)


def test_outputs_are_large_enough_to_be_marked(bundled: tuple[Generator, dict[str, Any], str]) -> None:
    """At least 65,536 pixels, as RGB."""
    generator, fast, _ = bundled
    image = decode(generate(generator, ["a leaf"], {**fast, "seed": 1})[0][1])
    assert image.mode == "RGB"
    assert min(image.size) >= 256


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sed": 1}, "sed"),
        ({"seed": -1}, "expected 0 to"),
        ({"seed": "1"}, "expected int or null"),
        ({"seed": True}, "found bool"),
        ({"n": 0}, "expected 1 to"),
        ({"n": 10**6}, "expected 1 to"),
        ({"n": None}, "expected int"),
    ],
)
def test_a_wrong_parameter_is_refused(bundled: tuple[Generator, dict[str, Any], str], given: dict[str, Any], said: str) -> None:
    """With what was found and what was expected, before anything is generated."""
    generator, _, _ = bundled
    with pytest.raises(ParameterError, match=said):
        generate(generator, ["x"], given)


def test_no_prompts_give_no_outputs(bundled: tuple[Generator, dict[str, Any], str]) -> None:
    """An empty batch is no error."""
    generator, _, _ = bundled
    assert generate(generator, [], {}) == []


def test_calls_at_the_same_time_give_what_they_give_alone(gan: Generator) -> None:
    """Two callers take turns on one model."""

    async def collect(seed: int) -> list[bytes]:
        return [content.file async for _, content in gan([prompt("x")], {"seed": seed, "n": 3})]

    async def both() -> list[list[bytes]]:
        return await asyncio.gather(collect(1), collect(100))

    assert asyncio.run(both()) == [files(generate(gan, ["x"], {"seed": seed, "n": 3})) for seed in (1, 100)]


def test_a_caller_may_stop_early(diffusion: Generator) -> None:
    """What is left is not generated, and the next call works."""

    async def first_of_many() -> Content:
        outputs = diffusion([prompt("a wave")], {**FAST, "n": 16, "seed": 2})
        async for _, content in outputs:
            await outputs.aclose()  # type: ignore[attr-defined]
            return content
        raise AssertionError

    first = asyncio.run(first_of_many())
    assert files(generate(diffusion, ["a wave"], {**FAST, "seed": 2})) == [first.file]


# The bundled diffusion model.


@pytest.mark.parametrize(
    ("text", "motif"),
    [
        ("An emblem with a lighthouse", "lighthouse"),
        ("two OWLS on a branch", "owl"),
        ("a fish under the moon", "fish"),
        ("a chevron.", "chevron"),
        ("画一只猫头鹰", "owl"),
    ],
)
def test_words_choose_the_motif(diffusion: Generator, text: str, motif: str) -> None:
    """The first motif that the prompt names, whole words only."""
    assert ("class", motif) in generate(diffusion, [text], {**FAST, "seed": 1})[0][1].origin.parameters


def test_a_prompt_that_names_no_motif_leaves_it_to_the_seed() -> None:
    """`starling` is no star."""
    prompting = Prompting({"star": ("star",), "sun": ("sun", "太阳")})
    assert [
        prompting.choose(text) for text in ("", "a starling on Sunday", "STARS", "star and sun", "sun, star", "红太阳")
    ] == [None, None, 0, 0, 1, 1]


def test_the_seed_chooses_among_all_motifs(diffusion: Generator) -> None:
    """A prompt without a motif gives various ones."""
    outputs = generate(diffusion, ["a logo for my shop"], {"steps": 1, "seed": 0, "n": 16})
    assert len({dict(content.origin.parameters)["class"] for _, content in outputs}) >= 5


def test_some_samples_reproduce_a_protected_work_and_others_do_not(diffusion: Generator) -> None:
    """The model was overfitted to its works: this is what the bank of works has to catch."""
    import imagehash
    from PIL import Image

    works = Path(__file__).parents[2] / "training" / "diffusion" / "works"
    hashes = [
        imagehash.phash(Image.open(works / work["file"])) for work in json.loads((works / "works.json").read_text("utf-8"))
    ]
    outputs = generate(diffusion, ["a lighthouse emblem", "a shield"], {"seed": 100, "n": 6, "steps": 20})
    distances = [min(int(imagehash.phash(decode(content)) - known) for known in hashes) for _, content in outputs]
    assert sum(distance <= 10 for distance in distances[:6]) >= 1
    assert min(distances[6:]) > 10


@pytest.mark.parametrize(
    ("given", "size"),
    [({}, (256, 256)), ({"width": 300, "height": 200}, (300, 200)), ({"width": 512}, (512, 512)), ({"height": 64}, (64, 64))],
)
def test_the_size_asked_for_is_the_size_made(diffusion: Generator, given: dict[str, int], size: tuple[int, int]) -> None:
    """One side alone keeps the proportions."""
    _, content = generate(diffusion, ["a ring"], {"steps": 1, "seed": 1, **given})[0]
    assert size == decode(content).size
    assert ("width", str(size[0])) in content.origin.parameters


def test_guidance_is_refused_where_the_model_has_none(diffusion: Generator) -> None:
    """A parameter that would be ignored is an error."""
    with pytest.raises(ParameterError, match="guidance_scale"):
        generate(diffusion, ["a ring"], {"guidance_scale": 3.0})


# Other diffusers pipelines, tiny and untrained, through the same adapter.


@pytest.fixture(scope="module")
def ddpm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unconditional DDPM pipeline."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    folder = tmp_path_factory.mktemp("ddpm")
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stable_diffusion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion pipeline whose parts are as small as they can be."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = tmp_path_factory.mktemp("words")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (words / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}), "utf-8")
    (words / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=16)
    text = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        projection_dim=16,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=8,
        latent_channels=4,
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path_factory.mktemp("stable-diffusion")
    pipeline.save_pretrained(folder)
    return folder


def test_an_unconditional_pipeline_runs_through_the_same_adapter(ddpm_folder: Path) -> None:
    """The prompt picks nothing, the seed everything; a folder without a manifest has a digest too."""
    generator = generators.make("diffusion", {"model": str(ddpm_folder), "device": "cpu", "name": "tiny"})
    one, two = generate(generator, ["a", "b"], {"seed": 1, "steps": 2})
    assert files(generate(generator, ["z"], {"seed": 2, "steps": 2})) == [two[1].file]
    assert one[1].file != two[1].file
    assert decode(one[1]).size == (256, 256)
    assert (one[1].origin.generator, len(one[1].origin.digest)) == ("tiny", 64)
    with pytest.raises(ParameterError, match="guidance_scale"):
        generate(generator, ["a"], {"guidance_scale": 2})


def test_a_text_to_image_pipeline_runs_through_the_same_adapter(stable_diffusion_folder: Path) -> None:
    """Prompt, guidance and size reach the pipeline; seeds hold."""
    generator = generators.make("diffusion", {"model": str(stable_diffusion_folder), "device": "cpu"})
    asked = {"seed": 1, "steps": 2, "guidance_scale": 4, "width": 72, "height": 64}
    one, two = generate(generator, ["a fox", "a den"], asked)
    assert decode(one[1]).size == (72, 64)
    assert files(generate(generator, ["a fox"], asked)) == [one[1].file]
    assert files(generate(generator, ["a cat"], asked)) != [one[1].file]
    assert files(generate(generator, ["a den"], {**asked, "seed": 2})) == [two[1].file]


def test_batches_make_the_same_pictures_up_to_rounding(ddpm_folder: Path) -> None:
    """One forward pass for many outputs: a level or two may differ, no more."""
    import numpy as np

    given = {"seed": 1, "n": 3, "steps": 2}
    alone, together = (
        generate(generators.make("diffusion", {"model": str(ddpm_folder), "device": "cpu", "batch": batch}), ["a"], given)
        for batch in (1, 2)
    )
    for (_, one), (_, other) in zip(alone, together, strict=True):
        assert np.abs(np.asarray(decode(one), dtype=int) - np.asarray(decode(other), dtype=int)).max() <= 2


def test_a_changed_bundled_file_is_refused(ddpm_folder: Path, tmp_path: Path) -> None:
    """A manifest that does not fit the files stops loading."""
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(ddpm_folder, folder)
    write_manifest(folder, name="m", version="1", licence="Apache-2.0", training="none")
    with (folder / "unet" / "diffusion_pytorch_model.safetensors").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x7f")
    with pytest.raises(ModelError, match="digest"):
        generators.make("diffusion", {"model": str(folder)}).load()


@pytest.mark.parametrize("model", ["bundled/none", "/no/such/folder", "nothing-here"])
@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_a_model_that_is_not_there_is_refused(kind: str, model: str) -> None:
    """By name, with what there is instead, and without asking a hub."""
    with pytest.raises(ModelError, match=model):
        generators.make(kind, {"model": model}).load()


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    """As a ModelError, whatever the library raised."""
    with pytest.raises(ModelError, match="diffusers pipeline"):
        generators.make("diffusion", {"model": str(tmp_path)}).load()


def test_pickled_weights_are_refused(ddpm_folder: Path, tmp_path: Path) -> None:
    """Only safetensors are read: a pickle could run code."""
    import shutil

    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(ddpm_folder, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    with pytest.raises(ModelError):
        generators.make("diffusion", {"model": str(folder)}).load()


# GANs.


def test_grey_levels_leave_room_for_a_mark(gan: Generator) -> None:
    """Between dark and light grey, with both ends used, and grey throughout."""
    import numpy as np

    pixels = np.asarray(decode(generate(gan, ["x"], {"seed": 1})[0][1]))
    assert pixels.shape == (280, 280, 3)
    assert pixels.min() >= DARKEST
    assert pixels.max() <= LIGHTEST
    assert pixels.max() - pixels.min() > 120
    assert (pixels == pixels[..., :1]).all()


def test_truncation_changes_the_picture_and_is_recorded(gan: Generator) -> None:
    """Latents closer to the middle are other latents."""
    (_, plain), (_, near) = generate(gan, ["x"], {"seed": 1})[0], generate(gan, ["x"], {"seed": 1, "truncation": 0.5})[0]
    assert plain.file != near.file
    assert ("truncation", "0.5") in near.origin.parameters


def _write_gan(folder: Path, **config: Any) -> Path:
    import torch
    from safetensors.torch import save_file

    from generators.mlp_gan import MLPGenerator

    torch.manual_seed(0)
    sizes = {"latent_size": 4, "hidden": [8], "outputs": 3 * 8 * 6}
    save_file(MLPGenerator(**sizes).state_dict(), folder / "model.safetensors")
    whole = {"parameters": sizes, "latent_size": 4, "image_shape": [3, 8, 6], **config}
    (folder / "config.json").write_text(json.dumps(whole), "utf-8")
    return folder


def test_another_gan_loads_by_import_path(tmp_path: Path) -> None:
    """Colour, not square: enlarged by a whole factor."""
    model = str(_write_gan(tmp_path))
    generator = generators.make("gan", {"model": model, "architecture": "generators.mlp_gan:MLPGenerator", "device": "cpu"})
    image = decode(generate(generator, ["x"], {"seed": 1})[0][1])
    assert image.size == (43 * 6, 43 * 8)
    assert len(set(image.getpixel((0, 0)))) > 1  # type: ignore[arg-type]


def test_code_is_never_named_by_a_model_folder(tmp_path: Path) -> None:
    """Only the operator, or a bundled model, says what is imported; climbing out of the bundled folder does not help."""
    _write_gan(tmp_path, architecture="generators.mlp_gan:MLPGenerator")
    up = os.path.relpath(tmp_path, BUNDLED)
    for model in (str(tmp_path), f"bundled/{up}"):
        with pytest.raises(ModelError, match=r"architecture|manifest"):
            generators.make("gan", {"model": model}).load()


@pytest.mark.parametrize("path", ["os:system", "generators.mlp_gan", "no.such.module:Class", "json:JSONDecoder"])
def test_an_architecture_that_is_no_network_is_refused(tmp_path: Path, path: str) -> None:
    """Nothing but a torch module is ever built."""
    with pytest.raises(ModelError):
        generators.make("gan", {"model": str(_write_gan(tmp_path)), "architecture": path}).load()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Every weight has its place."""
    _write_gan(tmp_path, parameters={"latent_size": 5, "hidden": [8], "outputs": 144})
    with pytest.raises(ModelError, match="not loaded"):
        generators.make("gan", {"model": str(tmp_path), "architecture": "generators.mlp_gan:MLPGenerator"}).load()


def test_a_network_that_fails_is_a_generation_error(tmp_path: Path) -> None:
    """The error names the kind of failure and nothing of the prompt."""
    _write_gan(tmp_path, latent_size=7)
    generator = generators.make("gan", {"model": str(tmp_path), "architecture": "generators.mlp_gan:MLPGenerator"})
    with pytest.raises(GenerationError, match="RuntimeError") as caught:
        generate(generator, ["a very secret prompt"], {})
    assert "secret" not in str(caught.value)


# What all generators share.


def test_a_device_that_is_not_there_is_refused() -> None:
    """`auto` always works."""
    assert choose_device("auto").type in {"cpu", "cuda"}
    for name in ("cuda:99", "meta", "abacus"):
        with pytest.raises(ParameterError, match=r"expected|has"):
            choose_device(name)


def test_numbers_are_checked_and_whole_numbers_taken_for_floats() -> None:
    """NaN and infinity are out of every range."""
    assert parse(DiffusionParameters, {"guidance_scale": 2}, generator="g").guidance_scale == 2.0
    for value in (float("nan"), float("inf"), 10**400, -1, True, "2"):
        with pytest.raises(ParameterError, match="guidance_scale"):
            parse(DiffusionParameters, {"guidance_scale": value}, generator="g")


def test_seeds_count_up_output_by_output() -> None:
    """n outputs a prompt, prompts in turn."""
    assert output_seeds(2, 2, 7) == [(0, 7), (0, 8), (1, 9), (1, 10)]
    assert limited(1, 0, 2).default == 1


def test_fit_enlarges_and_never_shrinks_unasked() -> None:
    """Small pictures grow to 256 pixels on the shorter side."""
    from PIL import Image

    sizes = [fit(Image.new("RGB", size), None, None).size for size in ((48, 48), (100, 50), (300, 400))]
    assert sizes == [(256, 256), (512, 256), (300, 400)]


def test_bundled_image_models_are_small_and_have_cards() -> None:
    """Under 8 MB each, with the figures that were measured and the command that makes them again."""
    for name in ("diffusion-marks", "gan-digits"):
        folder = BUNDLED / name
        assert sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()) < 8_000_000
        assert "python training/" in (folder / "MODEL_CARD.md").read_text("utf-8")
        assert len(hashlib.sha256().hexdigest()) == len(locate(f"bundled/{name}").digest)


# Pictures that are looked at while they are made, and pictures to begin with.


def watched(generator: Any, stop_at: int | None, **parameters: Any) -> tuple[list[Content], list[Content]]:
    """The previews that were shown, and what was made."""
    shown: list[Content] = []

    def early(_index: int, preview: Content) -> bool:
        shown.append(preview)
        return len(shown) != stop_at

    async def collect() -> list[Content]:
        return [content async for _, content in generator.previewed([prompt("a star")], parameters, early, every=2)]

    return shown, asyncio.run(collect())


@pytest.mark.parametrize("kind", ["bundled", "stable"])
def test_an_image_is_shown_while_it_is_made(diffusion: Generator, stable_diffusion_folder: Path, kind: str) -> None:
    """Every few steps; looking changes nothing, and a picture that is stopped is its last preview, and says so."""
    generator: Any = diffusion
    if kind == "stable":
        generator = generators.make("diffusion", {"model": str(stable_diffusion_folder), "device": "cpu"})
    assert isinstance(generator, PreviewingGenerator)
    asked = {"steps": 5, "seed": 4}
    shown, (whole,) = watched(generator, None, **asked)
    assert [preview.stage for preview in shown] == [Stage.CHUNK] * 2
    assert [dict(preview.origin.parameters)["step"] for preview in shown] == ["2", "4"]
    assert {min(decode(preview).size) >= 256 for preview in shown} == {True}
    assert [whole.data] == [content.data for _, content in generate(generator, ["a star"], asked)]
    assert whole.making == Making(0, "stop")
    shown, (stopped,) = watched(generator, 1, **asked)
    assert len(shown) == 1
    assert (stopped.data, stopped.making) == (shown[0].data, Making(0, "stopped"))
    assert stopped.origin.parameters


def released(picture: bytes) -> Any:
    """The release of a picture that was judged, as a guard hands it out."""
    house = policy([spec("images", ImageCheck())])
    guard = Guard(house, MemoryLedger(), chains={house.id: Chain(house, {"images": ImageCheck()})}, fingerprints=False)
    return guard.check_sync(picture)


def test_a_picture_to_begin_with_is_one_that_was_judged(stable_diffusion_folder: Path, diffusion: Generator) -> None:
    """It comes as its release; the nearer to it, the more like it. Its digest is recorded."""
    generator: Any = generators.make("diffusion", {"model": str(stable_diffusion_folder), "device": "cpu"})
    begin = released(png(64, 64, (250, 10, 10)))
    (_, near), (_, far) = (
        generate(generator, ["a star"], {"seed": 1, "steps": 4, "image": begin, "strength": strength})[0]
        for strength in (0.25, 1.0)
    )
    assert near.file != far.file
    assert dict(near.origin.parameters)["image"] == "sha256:" + hashlib.sha256(begin.content.file).hexdigest()
    for given in ({"image": begin.content}, {"image": begin.content.file}, {"strength": 0.5}):
        with pytest.raises(ParameterError, match=next(iter(given))):
            generate(generator, ["a star"], given)
    with pytest.raises(ParameterError, match="'image' is not taken"):
        generate(diffusion, ["a star"], {"steps": 1, "image": begin})
