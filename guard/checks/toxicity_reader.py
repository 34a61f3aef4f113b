"""Reads texts with one model of Detoxify's format: its n-gram part where it has one, then the encoder."""

from __future__ import annotations

import importlib.metadata
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.errors import ModelError
from guard.models import int8, locate
from guard.models.detoxify import PUBLIC, folder_examples, folder_labels, folder_window, load_folder, load_public
from guard.models.ngrams import TOXICITY, Blend, Runs, Screen, load_ngrams
from guard.models.passes import Passes
from guard.models.pretrained import find_device
from guard.models.registers import Registers, load_registers
from guard.text import windows
from guard.text.growing import Growing, Words, words
from guard.text.normalise import Undisguised
from guard.text.windows import Window
from guard.types import Scan

CATEGORIES = {
    "toxicity": "harassment",
    "severe_toxicity": "harassment",
    "obscene": "harassment",
    "insult": "harassment",
    "threat": "violence",
    "identity_attack": "hate",
    "sexism": "hate",
    "sexual_explicit": "sexual",
}
"""Our category for each label that Detoxify's models, and ours, have."""
_BUNDLED = "bundled/"
_APART = {"sexism", "sexual_explicit"}
"""Labels that are no kind of toxicity: they may be told politely."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of a text that grows."""

    known: windows.Known
    growing: Growing | None
    """None for a tokenizer that has to read all of it."""
    undisguised: Undisguised


class Reader:
    """Scores windows of texts with one model. Safe to use from several threads once it is loaded."""

    def __init__(
        self, model: str, window_tokens: int | None, overlap_tokens: int, device: str, precision: str, *, ngrams: bool = True
    ) -> None:
        """Parameters as of the check `toxicity`; only settings are read here, weights in `load`."""
        self.name, self._device, self._ngrams = model, device, ngrams
        self._folder: Path | None = None
        if model in PUBLIC:
            names, made = PUBLIC[model], f"detoxify {importlib.metadata.version('detoxify')}"
        else:
            files = locate(model)
            self._folder = files.path
            names, made = folder_labels(files.path), files.version or "unversioned"
        self.window = folder_window(self._folder) if window_tokens is None else window_tokens
        self._overlap = overlap_tokens
        self.labels: Mapping[str, str] = {name: _category(model, name) for name in names}
        self._rounded = precision == "int8" or (precision == "auto" and model.startswith(_BUNDLED))
        self._made = made
        self.digest = ""
        self._detoxify: Any = None
        self._screen: Screen | None = None
        self._blends: Mapping[str, Blend] = {}
        self._registers: Registers | None = None
        self._integers: int8.Encoder | None = None
        self._passes: Passes | None = None
        self._tokenizing = threading.Lock()
        self._words: Words | None = None

    @property
    def version(self) -> str:
        """The weights' own, and how they are computed: on an accelerator, once that is known, in whole precision."""
        return self._made + (" int8" if self._rounded else "") + ("" if self._ngrams else " encoder alone")

    def examples(self) -> tuple[Sequence[str], Sequence[str]] | None:
        """Texts that the model's own folder says it flags, and does not; None when it says nothing."""
        return folder_examples(self._folder) if self._folder else None

    def load(self) -> None:
        """Load the weights. Raises ModelError when they are missing, changed, of another shape, or too small for a window."""
        device = find_device(self._device)
        self._detoxify, self.digest = (load_public if self.name in PUBLIC else load_folder)(self.name, device)
        found, expected = list(self._detoxify.class_names), list(self.labels)
        if sorted(found) != sorted(expected):
            raise ModelError(f"{self.name}: the checkpoint has labels {found}, expected {expected}")
        limit = min(self._detoxify.tokenizer.model_max_length, self._detoxify.model.config.max_position_embeddings)
        if self.window > limit:
            raise ModelError(
                f"{self.name}: window_tokens is {self.window}, the model reads at most {limit}",
                advice="Give a smaller window_tokens in the policy.",
            )
        self._detoxify.model.eval()
        self._words = words(self._detoxify.tokenizer)
        if self._ngrams and self._folder:
            self._screen, self._blends = load_ngrams(self._folder)
            self._registers = load_registers(self._folder)
        self._rounded = self._rounded and device == "cpu"  # an accelerator is fast enough as it is
        if self._rounded:
            self._integers = int8.quantized(self._detoxify.model)
        else:
            self._passes = Passes(self._detoxify.model, device, self._detoxify.tokenizer.pad_token_id)

    def begin(self) -> Begun:
        """Begin with a text that will grow. Called after `load`."""
        return Begun({}, Growing(self._words, self.window, self._overlap) if self._words else None, Undisguised())

    def read(self, texts: Sequence[str], report_from: int, *, normalise: bool, begun: Begun | None = None) -> list[Scan]:
        """One Scan a text; `begun`: of the one text that grows.

        Raises ModelError when it is not loaded, or the model answers something that is no number.
        """
        if self._detoxify is None:
            raise ModelError(f"{self.name} is not loaded", advice="Call load() before the first batch.")
        known, growing = (begun.known, begun.growing) if begun else (None, None)
        found = growing.cut(texts[0]) if growing and texts else self._cut(texts)
        normalise = normalise and not (begun and texts and begun.undisguised(texts[0]))
        if normalise and (disguised := windows.cut_disguised(texts, self._cut)):
            found = [window for window in found if not windows.is_spelled_out(window, texts, disguised)] + disguised
        columns = list(enumerate(self._detoxify.class_names))
        scores = windows.remembered(found, known, self._scores)
        return windows.scans(texts, found, scores, columns, self.labels, report_from)

    def _cut(self, texts: Sequence[str]) -> list[Window]:
        with self._tokenizing:  # the tokenizer refuses to be shared while it truncates
            return windows.cut(self._detoxify.tokenizer, texts, self.window, self._overlap)

    def _scores(self, found: Sequence[Window]) -> list[list[float]]:
        """Probability of each label for each window: the screen's where it settles one, else the encoder's."""
        settled = [self._screen.settled(window.tokens) if self._screen else None for window in found]
        rest = iter(
            windows.score(
                [window for window, done in zip(found, settled, strict=True) if done is None],
                self._forward,
                padded=self._integers is None,
            )
        )
        return [next(rest) if done is None else self._harmless(done) for done in settled]

    def _harmless(self, probability: float) -> list[float]:
        """Scores of a settled window: the screen speaks of toxicity alone."""
        return [probability if name == TOXICITY else 0.0 for name in self._detoxify.class_names]

    def _forward(self, rows: list[list[int]], longest: int) -> list[list[float]]:
        found = self._integers.many(rows) if self._integers else self._whole(rows, longest)
        if not all(map(math.isfinite, (value for row in found for value in row))):
            raise ModelError(f"{self.name} answered with something that is no number", advice="Its weights are damaged.")
        return [self._probabilities(row, logits) for row, logits in zip(rows, found, strict=True)]

    def _probabilities(self, tokens: Sequence[int], logits: list[float]) -> list[float]:
        """The encoder's, or those of both parts: then no kind of toxicity is likelier than toxicity itself."""
        names, runs = self._detoxify.class_names, Runs(tokens)
        more = self._registers.corrections(runs) if self._registers else {}
        found = {
            name: (self._blends[name].corrected(value, runs) if name in self._blends else value) + more.get(name, 0.0)
            for name, value in zip(names, logits, strict=True)
        }
        most = found[TOXICITY] if TOXICITY in self._blends else math.inf
        return [_sigmoid(value if name in _APART else min(value, most)) for name, value in found.items()]

    def _whole(self, rows: list[list[int]], longest: int) -> list[list[float]]:
        """Logits of one forward pass over all rows in single precision, padded to the longest."""
        assert self._passes is not None
        found: list[list[float]] = self._passes(rows, longest).tolist()
        return found


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))


def _category(model: str, label: str) -> str:
    if label not in CATEGORIES:
        raise ModelError(f"{model} has the label {label!r}, expected labels out of: {', '.join(CATEGORIES)}")
    return CATEGORIES[label]
