"""Loads models of Detoxify's format: from a verified folder, or a published variant by name.

A folder holds `checkpoint.pt` (a dict of `config` and `state_dict`, as Detoxify saves it), and beside it `config.json`, the
tokenizer's files, and `examples.json` when the model's language is not English. Detoxify itself unpickles without restraint,
asks a hub for what a checkpoint names, and fills in missing weights with random ones; what it is given here was read with
restraint, names its own folder, and is compared afterwards.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guard.errors import ModelError
from guard.models import locate, sha256
from guard.models.pretrained import quiet
from guard.text.windows import LEAST

_SIX = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
PUBLIC: Mapping[str, Sequence[str]] = {
    "original": _SIX,
    "unbiased": (*_SIX, "sexual_explicit"),
    "multilingual": (*_SIX, "sexual_explicit"),
}
"""Labels of the variants that Detoxify publishes, by the name it loads them under."""
_RENAMED = {"toxic": "toxicity", "severe_toxic": "severe_toxicity", "identity_hate": "identity_attack"}
_ARCHITECTURE = {"model_type", "model_name", "tokenizer_name", "num_classes"}
_WINDOW = 64
_EXAMPLES = 'Expected an object {"flagged": [texts], "clean": [texts]}, neither empty; without the file, English ones are used.'
_BROKEN = (OSError, LookupError, TypeError, AttributeError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError)


def folder_labels(folder: Path) -> Sequence[str]:
    """The labels that `config.json` names, under Detoxify's present names, without reading weights. Raises ModelError."""
    try:
        names = json.loads((folder / "config.json").read_text("utf-8"))["id2label"]
        return [_RENAMED.get(names[str(index)], names[str(index)]) for index in range(len(names))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder.name}: cannot read the labels from config.json ({type(error).__name__})",
            advice="The folder needs checkpoint.pt in Detoxify's format, config.json with id2label, and the tokenizer's files.",
        ) from error


def folder_window(folder: Path | None) -> int:
    """How many tokens at a time the model was trained to read: `window_tokens` of `config.json`, 64 when it does not say."""
    if folder is None:
        return _WINDOW
    found = json.loads((folder / "config.json").read_text("utf-8")).get("window_tokens", _WINDOW)
    if not isinstance(found, int) or found < LEAST:
        raise ModelError(f"{folder.name}: window_tokens in config.json is {found!r}, expected a number of at least {LEAST}")
    return found


def folder_examples(folder: Path) -> tuple[Sequence[str], Sequence[str]] | None:
    """Texts that the folder's own `examples.json` says its model flags, and does not; None when there is no such file.

    The file is an object of two lists of texts, `flagged` and `clean`. Raises ModelError for anything else.
    """
    path = folder / "examples.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        lists = [found[name] for name in ("flagged", "clean")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder.name}: cannot read examples.json ({type(error).__name__})", advice=_EXAMPLES) from error
    if not all(isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts) for texts in lists):
        raise ModelError(f"{folder.name}: examples.json holds something else than two lists of texts", advice=_EXAMPLES)
    return lists[0], lists[1]


def load_folder(name: str, device: str) -> tuple[Any, str]:
    """A `Detoxify` over the folder that `guard.models.locate` finds, and the folder's digest. Raises ModelError."""
    import torch
    from detoxify import Detoxify

    files = locate(name)
    try:
        found = torch.load(files.path / "checkpoint.pt", map_location="cpu", weights_only=True)
        architecture = found["config"]["arch"]["args"]
        if set(architecture) != _ARCHITECTURE:
            raise ModelError(f"{name}: checkpoint.pt describes {sorted(architecture)}, expected {sorted(_ARCHITECTURE)}")
        architecture["model_type"] = str(files.path.resolve())  # any other name would be looked up on a hub
        # Half precision is for the disk: processors compute slowly in it.
        state = found["state_dict"] = {key: value.float() for key, value in found["state_dict"].items()}
        with tempfile.TemporaryDirectory() as scratch, quiet():
            torch.save(found, Path(scratch) / "checkpoint.pt")
            detoxify = Detoxify(checkpoint=Path(scratch) / "checkpoint.pt", device=device)
    except _BROKEN as error:
        raise ModelError(
            f"{name}: checkpoint.pt cannot be loaded as a Detoxify checkpoint ({type(error).__name__})",
            advice="Expected a dict of `config` and `state_dict` with plain tensors, beside config.json and tokenizer.json.",
        ) from error
    _prove(name, detoxify.model, state)
    return detoxify, files.digest


def load_public(name: str, device: str) -> tuple[Any, str]:
    """A `Detoxify` over a variant it publishes, and the digest of the checkpoint it fetched. Raises ModelError.

    Uses a network unless the caches of torch and transformers hold the variant.
    """
    import torch
    from detoxify import Detoxify
    from detoxify.detoxify import MODEL_URLS

    try:
        # A file that is read with restraint holds no code: Detoxify may then unpickle it from the cache.
        found = torch.hub.load_state_dict_from_url(MODEL_URLS[name], map_location="cpu", progress=False, weights_only=True)
        with quiet():
            detoxify = Detoxify(name, device=device)
        state = found["state_dict"]
    except _BROKEN as error:
        raise ModelError(
            f"Detoxify's variant {name!r} could not be fetched and loaded ({type(error).__name__})",
            advice="It needs a network that reaches Detoxify's releases and the model hub, or their caches filled before. "
            "Offline, name bundled/toxicity-en or a folder of your own.",
        ) from error
    _prove(name, detoxify.model, state)
    return detoxify, sha256(Path(torch.hub.get_dir()) / "checkpoints" / Path(MODEL_URLS[name]).name)


def _prove(name: str, model: Any, state: Mapping[str, Any]) -> None:
    """Raise ModelError unless every weight of `model` is the checkpoint's: a missing one would be random without a word."""
    import torch

    weights = model.state_dict()
    other = [key for key, value in weights.items() if key not in state or not torch.equal(value.cpu(), state[key].cpu())]
    left = [key for key in state if key not in weights and not key.endswith("position_ids")]  # older releases saved these
    if other or left:
        raise ModelError(
            f"{name}: the checkpoint lacks {len(other)} weights of the model, and has {len(left)} that the model does not know",
            advice=f"Its state_dict must match the class it names; the first that differs is {(other + left)[0]!r}.",
        )
