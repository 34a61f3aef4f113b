"""Loads models of `transformers`' own format: from a verified folder, or from a hub by name.

Safetensors only, no code from the folder. `transformers` fills in missing weights with random ones and says so in a report;
here that is an error. A hub is asked only for a model that a policy names there, and not at all while HF_HUB_OFFLINE is set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.errors import GenguardError, ModelError
from guard.models import ModelFiles, locate

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.json", "*.jinja", "*.safetensors", "*.txt", "*.model"]
_LAYER = re.compile(r"\.(layers?|h|blocks?)\.\d+\.")
_UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A model on its device with its tokenizer. `context`: the tokens it reads at most; None without a limit."""

    model: Any
    tokenizer: Any
    files: ModelFiles
    device: str
    context: int | None


def is_hub_name(model: str) -> bool:
    """Whether a name means a model on a hub: `owner/name`, and no folder of that name."""
    return not model.startswith("bundled/") and not Path(model).is_dir() and _HUB_NAME.fullmatch(model) is not None


def find(model: str, revision: str | None = None) -> ModelFiles:
    """The folder of a model; a hub name is downloaded, or found in the local cache, first. Its version is then its commit.

    Raises ModelError as `guard.models.locate`, and when the hub cannot be reached or has no such model.
    """
    if not is_hub_name(model):
        return locate(model)
    from huggingface_hub import snapshot_download

    try:
        # Nothing from subfolders: there lie copies for other runtimes.
        folder = snapshot_download(
            model, revision=revision, allow_patterns=_HUB_FILES, ignore_patterns=["*/*", "consolidated*"]
        )
    except Exception as error:
        raise ModelError(
            f"{model}: not found on the model hub nor in its local cache ({type(error).__name__})",
            advice="It needs a network that reaches the hub, or the cache filled before; HF_HUB_OFFLINE=1 forbids the network. "
            "Offline, give a folder's path.",
        ) from error
    found = locate(folder)
    return ModelFiles(model, Path(folder).name, found.path, found.digest)


def find_device(name: str) -> str:
    """The device of that name; `auto` is CUDA when it is there. Raises ModelError for a CUDA device that is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device is {name!r}, found no CUDA device", advice="Give `auto` or `cpu`.")
    return name


def load(
    kind: str | Callable[[ModelFiles], str], model: str, *, device: str, revision: str | None, half: bool = False
) -> Pretrained:
    """Load a model as a class of `transformers` (`AutoModelForSequenceClassification`, …) with its tokenizer, to read with.

    In float32; `half`: in bfloat16 on CUDA. `kind`: the class, or what tells it from the folder. Raises ModelError when it is
    not there, was changed, cannot be loaded, or lacks a weight.
    """
    import transformers

    where = find_device(device)
    files = find(model, revision)
    name = kind if isinstance(kind, str) else kind(files)
    with _loading(model, name, "with config.json, tokenizer and safetensors"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(files.path, local_files_only=True, trust_remote_code=False)
        loaded = _weights(name, model, files, where, half=half)
        if len(tokenizer) > getattr(_reads(loaded), "vocab_size", len(tokenizer)):
            raise ModelError(f"{model}: the tokenizer has {len(tokenizer)} tokens, more than the model")
        return Pretrained(loaded, tokenizer, files, where, _context(loaded, tokenizer))


def load_part(kind: str, model: str, *, device: str) -> tuple[Any, ModelFiles]:
    """Load a model that reads no text, in float32, and say where it lies. Raises as `load`."""
    where, files = find_device(device), find(model)
    with _loading(model, kind, "with config.json and safetensors"):
        return _weights(kind, model, files, where), files


@contextmanager
def _loading(model: str, kind: str, holds: str) -> Iterator[None]:
    """Quietly; whatever goes wrong is a ModelError."""
    advice = f"Expected a folder or hub repository for {kind}, {holds}."
    try:
        with quiet():
            yield
    except GenguardError as error:
        error.advice = error.advice or advice
        raise
    except Exception as error:
        raise ModelError(f"{model}: not loaded as {kind} ({type(error).__name__})", advice=advice) from error


def _weights(kind: str, model: str, files: ModelFiles, where: str, *, half: bool = False) -> Any:
    import torch
    import transformers

    loaded, report = getattr(transformers, kind).from_pretrained(
        files.path,
        dtype=torch.bfloat16 if half and where.startswith("cuda") else torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,  # left out, transformers asks whoever sits at the terminal
        output_loading_info=True,
    )
    _prove(model, report)
    return loaded.to(where).eval().requires_grad_(False)


def _prove(model: str, report: dict[str, Any]) -> None:
    """Raise ModelError for weights that are not the file's, or layers of the file that the model does not have."""
    wrong = sorted(map(str, {*report["missing_keys"], *report["mismatched_keys"]}))
    if wrong:
        # They would be left random, and said nothing about.
        raise ModelError(f"{model}: {len(wrong)} weights are missing or of another shape, first {wrong[0]!r}")
    # A pooler or another head may be left over; a layer may not: the model would be cut short.
    left = sorted(name for name in map(str, report["unexpected_keys"]) if _LAYER.search(name))
    if left:
        raise ModelError(f"{model}: its config.json leaves out {len(left)} weights of layers, first {left[0]!r}")


def _reads(model: Any) -> Any:
    """The settings of the part of a model that reads text."""
    found = getattr(model.config, "text_encoder", None)  # a model that reads with one part and writes tokens with another
    return model.config.get_text_config() if found is None else found


def _context(model: Any, tokenizer: Any) -> int | None:
    limits = (getattr(_reads(model), "max_position_embeddings", None), tokenizer.model_max_length)
    # Tokenizers without a limit carry a number of thirty digits.
    return min((int(limit) for limit in limits if limit and limit < _UNLIMITED), default=None)


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and loading report: the terminal belongs to the command that runs there."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
