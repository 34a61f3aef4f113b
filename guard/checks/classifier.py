"""Any sequence classifier of Hugging Face's format, by its hub name or its folder; the policy says what its labels mean.

Texts longer than a window are read in overlapping windows, disguised ones also as they are meant (`guard.text.windows`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from guard.checks import samples
from guard.checks.labels import Given, Meaning, categories, meanings, refuse_unknown
from guard.errors import ModelError
from guard.following import BySentence, Follower
from guard.models import BUNDLED, pretrained
from guard.models.detoxify import folder_examples
from guard.models.passes import Passes
from guard.protocols import Check
from guard.registry import Floor, checks
from guard.text import windows
from guard.text.windows import Window
from guard.traits import Places, Traits
from guard.types import Content, Examples, Modality, Scan

_CODE_VERSION = "1"
Problem = Literal["auto", "single", "multi"]


@checks.register("classifier")
def classifier(
    *,
    model: str,
    labels: Given,
    revision: str | None = None,
    problem: Problem = "auto",
    window_tokens: int = 256,
    overlap_tokens: int = 64,
    device: str = "auto",
    report_from: Floor = 100,
    normalise: bool = True,
) -> Check:
    """The check; raises RegistryError for a parameter out of range, or for a label that a local model does not have.

    `model`: `bundled/NAME`, a folder, or a hub name `owner/name` (downloaded on first use; `revision` pins its commit).
    `labels`: what the model's labels mean, see `guard.checks.labels`. `problem`: `single` when the labels exclude one another
    (softmax), `multi` when they do not (sigmoid), `auto` as the model's config.json says. The others are those of `toxicity`.
    """
    windows.accept(window_tokens, overlap_tokens, report_from)
    meant = meanings(labels)
    folder = _folder(model)
    if folder is not None:
        refuse_unknown(meant, _own_labels(folder), model)
    elif not pretrained.is_hub_name(model):
        pretrained.find(model)
    settings = {"window": window_tokens, "overlap": overlap_tokens, "report_from": report_from}
    return ClassifierCheck(
        model, meant, folder, settings, revision=revision, problem=problem, device=device, normalise=normalise
    )


class ClassifierCheck:
    """Scores texts with one classifier. Safe to call from several threads once it is loaded."""

    modalities = frozenset({Modality.TEXT})
    blocking = True
    whole = ""

    def __init__(
        self,
        model: str,
        meant: Mapping[str, Meaning],
        folder: Path | None,
        settings: Mapping[str, int],
        *,
        revision: str | None,
        problem: Problem,
        device: str,
        normalise: bool,
    ) -> None:
        """`folder`: where the model is, None for one on a hub; the others as of the factory `classifier`."""
        self._model, self._meant, self._folder = model, dict(meant), folder
        self._window, self._overlap, self._report_from = settings["window"], settings["overlap"], settings["report_from"]
        self._revision, self._problem, self._device, self._normalise = revision, problem, device, normalise
        self.labels: Mapping[str, str] = categories(meant.values())
        self.version = f"{revision or 'unversioned'}, code {_CODE_VERSION}"
        self.digest = ""
        self._loaded: pretrained.Pretrained | None = None
        self._passes: Passes | None = None
        self._columns: dict[str, list[int]] = {}
        self._single = False
        self._tokenizing = threading.Lock()

    @property
    def examples(self) -> Examples:
        """What the model's folder says it flags and passes (`examples.json`); none without the file."""
        flagged, clean = (folder_examples(self._folder) if self._folder else None) or ((), ())
        return samples.examples(flagged, clean)

    @property
    def traits(self) -> Traits:
        """A label stands where it scores highest."""
        hub = ((self._model, self._revision or ""),) if self._folder is None else ()
        return Traits(Places.WORST, estimates=True, reports_from=self._report_from, hub=hub)

    def load(self) -> None:
        """Load the model. Raises ModelError when it is missing, incomplete or too small, RegistryError for labels it lacks."""
        loaded = pretrained.load(
            "AutoModelForSequenceClassification", self._model, device=self._device, revision=self._revision
        )
        config = loaded.model.config
        own = [str(config.id2label[index]) for index in range(config.num_labels)]
        refuse_unknown(self._meant, own, self._model)
        self._single = _excludes(config, self._problem, self._model)
        if loaded.context is not None and self._window > loaded.context:
            raise ModelError(
                f"{self._model}: window_tokens is {self._window}, the model reads at most {loaded.context}",
                advice="Give a smaller window_tokens in the policy.",
            )
        _prepare(loaded, self._model)
        self._columns = {label: [] for label in self.labels}
        for name, meaning in self._meant.items():
            self._columns[meaning.label] += [index for index, one in enumerate(own) if one == name]
        self.version = f"{loaded.files.version or 'unversioned'}, code {_CODE_VERSION}"
        self._passes = Passes(loaded.model, loaded.device, loaded.tokenizer.pad_token_id)
        self.digest, self._loaded = loaded.files.digest, loaded

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a text. Raises ModelError when it is not loaded, or the model answers something that is no number."""
        if self._loaded is None:
            raise ModelError(f"{self._model} is not loaded", advice="Call load() before the first batch.")
        return self._scans([content.text for content in batch], None)

    def follow(self) -> Follower:
        """Sentence by sentence; a window is scored once."""
        known: windows.Known = {}
        return BySentence(lambda text: self._scans([text], known)[0])

    def _scans(self, texts: list[str], known: windows.Known | None) -> list[Scan]:
        assert self._loaded is not None
        cut = self._windows(texts) + (windows.cut_disguised(texts, self._windows) if self._normalise else [])
        rows = windows.remembered(cut, known, lambda new: windows.score(new, self._forward))
        # From here on a column is a label of ours: the highest of the model's labels that mean it.
        scores = [[max(row[column] for column in columns) for columns in self._columns.values()] for row in rows]
        return windows.scans(texts, cut, scores, list(enumerate(self._columns)), self.labels, self._report_from)

    def _windows(self, texts: list[str]) -> list[Window]:
        assert self._loaded is not None
        with self._tokenizing:  # the tokenizer refuses to be shared while it truncates
            return windows.cut(self._loaded.tokenizer, texts, self._window, self._overlap)

    def _forward(self, rows: list[list[int]], longest: int) -> list[list[float]]:
        import torch

        assert self._passes is not None
        logits = self._passes(rows, longest)
        if not torch.isfinite(logits).all():
            raise ModelError(f"{self._model} answered with something that is no number", advice="Its weights are damaged.")
        scores: list[list[float]] = (logits.softmax(-1) if self._single else logits.sigmoid()).tolist()
        return scores


def _folder(model: str) -> Path | None:
    path = BUNDLED / model.removeprefix("bundled/") if model.startswith("bundled/") else Path(model)
    return path if path.is_dir() else None


def _own_labels(folder: Path) -> list[str]:
    """The labels that `config.json` names; without names, those that transformers gives them."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        unnamed = {str(index): f"LABEL_{index}" for index in range(config.get("num_labels", 2))}
        names: dict[str, Any] = config.get("id2label") or unnamed
        return [str(names[str(index)]) for index in range(len(names))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder.name}: cannot read the labels from config.json ({type(error).__name__})",
            advice="Expected a folder of a sequence classifier, with config.json, tokenizer and safetensors.",
        ) from error


def _excludes(config: Any, problem: Problem, model: str) -> bool:
    """Whether the model's labels exclude one another. Raises ModelError when that cannot be."""
    stated, several = config.problem_type, config.num_labels > 1
    if stated == "regression":
        raise ModelError(f"{model}: found a regression model, expected a classifier: its outputs are no probabilities")
    if problem == "single" and not several:
        raise ModelError(f"{model}: found one label, expected several for `problem: single`: one alone would always score 1")
    if problem == "auto":
        return bool(several and stated != "multi_label_classification")
    return problem == "single"


def _prepare(loaded: pretrained.Pretrained, model: str) -> None:
    """See that texts can be placed and padded. Raises ModelError for a tokenizer that cannot do it."""
    if not loaded.tokenizer.is_fast:
        raise ModelError(f"{model}: its tokenizer tells no places, expected one with tokenizer.json")
    if loaded.tokenizer.pad_token_id is None:
        loaded.tokenizer.pad_token = loaded.tokenizer.eos_token
    if loaded.tokenizer.pad_token_id is None:
        raise ModelError(f"{model}: its tokenizer has no token for padding, and none that ends a text")
    loaded.model.config.pad_token_id = loaded.tokenizer.pad_token_id
