"""Toxic language, through `detoxify.Detoxify`: insults, threats, obscenity, attacks on groups.

A model is a folder of Detoxify's own format (`checkpoint.pt`, and beside it `config.json` and the tokenizer's files): a bundled
one, an operator's own by path, or one of the variants that Detoxify publishes, by name. Only the last needs a network, and only
when a policy names it.

Texts longer than a window are read in overlapping windows, and a label's score is that of its worst window. Detoxify's own
`predict` would cut them off silently, so only its model and tokenizer are used here.

Disguised text (`guard.text`) is read twice, in the same forward pass: as it is written, and as it is meant. A label's score is
the higher one. Plain text, nearly all of it, is read once.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guard.errors import ModelError
from guard.models import locate
from guard.models.detoxify import PUBLIC, folder_examples, folder_labels, load_folder, load_public
from guard.models.pretrained import find_device
from guard.registry import checks
from guard.text import windows
from guard.text.windows import Window
from guard.types import CALLER, Check, Content, Examples, Modality, Request, Scan, Stage

_CODE_VERSION = "2"
CATEGORIES = {
    "toxicity": "harassment",
    "severe_toxicity": "harassment",
    "obscene": "harassment",
    "insult": "harassment",
    "threat": "violence",
    "identity_attack": "hate",
    "sexual_explicit": "sexual",
}
"""Our category for each label that Detoxify's models have."""


@checks.register("toxicity")
def toxicity(
    *,
    model: str = "bundled/toxicity-en",
    window_tokens: int = 64,
    overlap_tokens: int = 16,
    device: str = "auto",
    report_from: int = 100,
    normalise: bool = True,
) -> Check:
    """The check; raises RegistryError for a parameter out of range, ModelError for a model that is not there.

    `model`: `bundled/NAME`, a folder, or `original`, `unbiased`, `multilingual`. `window_tokens`: tokens that are read
    together, two special ones included; `overlap_tokens`: how many of them the next window reads again. `device`: `auto` takes
    CUDA when it is there. `report_from`: findings below this score, per mille, are not reported, so no rule can ask for them.
    `normalise`: also read disguised text (`1d10t`, `i d i o t`, look-alike letters) as it is meant; the higher score counts.
    """
    windows.accept(window_tokens, overlap_tokens, report_from)
    return ToxicityCheck(model, window_tokens, overlap_tokens, device, report_from, normalise=normalise)


class ToxicityCheck:
    """Scores texts with one Detoxify model. Safe to call from several threads once it is loaded."""

    modalities = frozenset({Modality.TEXT})
    blocking = True

    def __init__(
        self, model: str, window_tokens: int, overlap_tokens: int, device: str, report_from: int, *, normalise: bool = True
    ) -> None:
        """Parameters as of the factory `toxicity`; only settings are read here, weights in `load`."""
        self._model, self._device, self._report_from = model, device, report_from
        self._window, self._overlap, self._normalise = window_tokens, overlap_tokens, normalise
        self._folder: Path | None = None
        if model in PUBLIC:
            names, made = PUBLIC[model], f"detoxify {importlib.metadata.version('detoxify')}"
        else:
            files = locate(model)
            self._folder = files.path
            names, made = folder_labels(files.path), files.version or "unversioned"
        self.labels: Mapping[str, str] = {name: _category(model, name) for name in names}
        self.version = f"{made}, code {_CODE_VERSION}"
        self.digest = ""
        self._detoxify: Any = None
        self._tokenizing = threading.Lock()

    @property
    def examples(self) -> Examples:
        """What the bundled model must score 500 per mille or more for some label, and what it must not.

        The model's own examples, where its folder has some, otherwise English ones. Raises ModelError when they cannot be read.
        """
        own = folder_examples(self._folder) if self._folder else None
        flagged, clean = own or (_FLAGGED, _CLEAN)
        return Examples(tuple(map(_example, flagged)), tuple(map(_example, clean)))

    def load(self) -> None:
        """Load the weights. Raises ModelError when they are missing, changed, of another shape, or too small for a window."""
        device = find_device(self._device)
        self._detoxify, self.digest = (load_public if self._model in PUBLIC else load_folder)(self._model, device)
        found, expected = list(self._detoxify.class_names), list(self.labels)
        if sorted(found) != sorted(expected):
            raise ModelError(f"{self._model}: the checkpoint has labels {found}, expected {expected}")
        limit = min(self._detoxify.tokenizer.model_max_length, self._detoxify.model.config.max_position_embeddings)
        if self._window > limit:
            raise ModelError(
                f"{self._model}: window_tokens is {self._window}, the model reads at most {limit}",
                advice="Give a smaller window_tokens in the policy.",
            )
        self._detoxify.model.eval()

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a text. Raises ModelError when it is not loaded, or the model answers something that is no number."""
        if self._detoxify is None:
            raise ModelError(f"{self._model} is not loaded", advice="Call load() before the first batch.")
        texts = [content.text for content in batch]
        cut = self._windows(texts) + (self._disguised(texts) if self._normalise else [])
        scores = windows.score(cut, self._forward)
        columns = list(enumerate(self._detoxify.class_names))
        return windows.scans(texts, cut, scores, columns, self.labels, self._report_from)

    def _disguised(self, texts: list[str]) -> list[Window]:
        return windows.cut_disguised(texts, self._windows)

    def _windows(self, texts: list[str]) -> list[Window]:
        with self._tokenizing:  # the tokenizer refuses to be shared while it truncates
            return windows.cut(self._detoxify.tokenizer, texts, self._window, self._overlap)

    def _forward(self, rows: list[list[int]], longest: int) -> list[list[float]]:
        import torch

        padding = self._detoxify.tokenizer.pad_token_id
        tokens = torch.tensor([row + [padding] * (longest - len(row)) for row in rows], device=self._detoxify.device)
        lengths = torch.tensor([len(row) for row in rows], device=self._detoxify.device)
        mask = (torch.arange(longest, device=self._detoxify.device) < lengths[:, None]).long()
        with torch.inference_mode():
            logits = self._detoxify.model(input_ids=tokens, attention_mask=mask).logits.float()
        if not torch.isfinite(logits).all():
            raise ModelError(f"{self._model} answered with something that is no number", advice="Its weights are damaged.")
        rows_found: list[list[float]] = torch.sigmoid(logits).cpu().tolist()
        return rows_found


def _category(model: str, label: str) -> str:
    if label not in CATEGORIES:
        raise ModelError(f"{model} has the label {label!r}, expected labels out of: {', '.join(CATEGORIES)}")
    return CATEGORIES[label]


_FLAGGED = (
    "You are a worthless idiot, stop wasting my time.",
    "I will find you and hurt you.",
    "I will find you and I will kill you.",
    "Shut up, you pathetic moron, nobody wants you here.",
    "Those people are vermin and should be driven out of our country.",
)
_CLEAN = (
    "This film killed at the box office.",
    "I will find you a cheaper flight and send you the details.",
    "My neighbour is a gay Muslim man and we often have tea together.",
    "The invoice is overdue; please pay it by Friday.",
    "I am a black woman and I work as a nurse.",
    "How do I kill a process that no longer responds?",
)


def _example(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("example"))
