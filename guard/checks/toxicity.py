"""Toxic language, through `detoxify.Detoxify`: insults, threats, obscenity, attacks on groups, sexism.

A model is a folder of Detoxify's own format (`checkpoint.pt`, and beside it `config.json` and the tokenizer's files): a
bundled one, an operator's own by path, or one of the variants that Detoxify publishes, by name. Only the last needs a network,
and only when a policy names it. `bundled/toxicity` stands for the two bundled ones: the Chinese one reads texts with Chinese
characters, the English one all others, and what stands in Latin letters beside them; a label's score is the higher one.

Texts longer than a window are read in overlapping windows, and a label's score is that of its worst window. Detoxify's own
`predict` would cut them off silently, so only its model and tokenizer are used here.

Disguised text (`guard.text`) is read twice: as it is written, and as it is meant. A label's score is the higher one. Plain
text, nearly all of it, is read once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from guard.checks.toxicity_reader import Begun, Reader
from guard.following import BySentence, Follower
from guard.models.detoxify import PUBLIC
from guard.protocols import Check
from guard.registry import Floor, checks
from guard.text import windows
from guard.traits import Places, Traits
from guard.types import CALLER, Content, Examples, Finding, Modality, Request, Scan, Stage

_CODE_VERSION = "6"
BOTH = "bundled/toxicity"
_ENGLISH, _CHINESE = "bundled/toxicity-en", "bundled/toxicity-zh"
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f]")
_CHINESE_WRITING = re.compile(_HAN.pattern[:-1] + "\u3000-\u303f，。！？；：（）、《》“”]")
_LATIN_WORD = re.compile(r"[^\W\d_\u3040-\U0003134f]{2}")
_DEFAULT_OVERLAP = 16


@checks.register("toxicity")
def toxicity(
    *,
    model: str = BOTH,
    window_tokens: int | None = None,
    overlap_tokens: int = _DEFAULT_OVERLAP,
    device: str = "auto",
    precision: Literal["auto", "float32", "int8"] = "auto",
    ngrams: bool = True,
    report_from: Floor = 100,
    normalise: bool = True,
) -> Check:
    """The check; raises RegistryError for a parameter out of range, ModelError for a model that is not there.

    `model`: `bundled/toxicity` (English and Chinese), `bundled/NAME`, a folder, or `original`, `unbiased`, `multilingual`.
    `window_tokens`: tokens that are read together, two special ones included, as the model was trained on when left out;
    `overlap_tokens`: how many of them the next window reads again. `device`: `auto` takes CUDA when it is there. `precision`:
    `auto` computes bundled models in 8-bit integers on a processor. `ngrams`: let the model's n-gram part, where it has one,
    settle the clear cases and correct the encoder's score for `toxicity`. `report_from`: findings below this score, per mille,
    are not reported, so no rule can ask for them. `normalise`: also read disguised text (`1d10t`, `i d i o t`, look-alike
    letters) as it is meant; the higher score counts.
    """
    names = (_ENGLISH, _CHINESE) if model == BOTH else (model,)
    readers = [Reader(name, window_tokens, overlap_tokens, device, precision, ngrams=ngrams) for name in names]
    for reader in readers:
        windows.accept(reader.window, overlap_tokens, report_from)
    return ToxicityCheck(readers, report_from, normalise=normalise)


class ToxicityCheck:
    """Scores texts with one Detoxify model, or with one a script. Safe to call from several threads once it is loaded."""

    modalities = frozenset({Modality.TEXT})
    blocking = True
    whole = ""

    def __init__(self, readers: Sequence[Reader], report_from: int, *, normalise: bool = True) -> None:
        """`readers`: one for all texts, or one for Latin and one for Chinese writing, in this order."""
        self._readers, self._report_from, self._normalise = readers, report_from, normalise
        self.labels: Mapping[str, str] = {label: kind for reader in readers for label, kind in reader.labels.items()}

    @property
    def version(self) -> str:
        """Of each model with how it is computed, and of this code."""
        return f"{', '.join(reader.version for reader in self._readers)}, code {_CODE_VERSION}"

    @property
    def digest(self) -> str:
        """Of the model; of two models, the SHA-256 of their digests with a line feed between. Empty before `load`."""
        return _joint(tuple(reader.digest for reader in self._readers))

    @property
    def examples(self) -> Examples:
        """What the bundled model must score 500 per mille or more for some label, and what it must not.

        The models' own examples, where their folders have some, otherwise English ones. Raises ModelError when they cannot be
        read.
        """
        lists = [reader.examples() or (_FLAGGED, _CLEAN) for reader in self._readers]
        flagged, clean = ([_example(text) for one in lists for text in one[part]] for part in (0, 1))
        return Examples(tuple(flagged), tuple(clean))

    @property
    def traits(self) -> Traits:
        """A label stands where it scores highest; a variant that Detoxify publishes is fetched, and named by its release."""
        public = tuple((reader.name, reader.name) for reader in self._readers if reader.name in PUBLIC)
        return Traits(Places.WORST, estimates=True, reports_from=self._report_from, hub=public)

    def load(self) -> None:
        """Load the weights. Raises ModelError when they are missing, changed, of another shape, or too small for a window."""
        for reader in self._readers:
            reader.load()

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a text. Raises ModelError when it is not loaded, or the model answers something that is no number."""
        return self._scans([content.text for content in batch], [None] * len(self._readers))

    def follow(self) -> Follower:
        """Sentence by sentence; a window is scored once."""
        begun = [reader.begin() for reader in self._readers]
        return BySentence(lambda text: self._scans([text], begun)[0])

    def _scans(self, texts: Sequence[str], begun: Sequence[Begun | None]) -> list[Scan]:
        """`begun`: of each reader, what it knows of the one text."""
        if len(self._readers) == 1:
            return self._readers[0].read(texts, self._report_from, normalise=self._normalise, begun=begun[0])
        latin, chinese = self._readers
        scans: list[list[Scan]] = [[] for _ in texts]
        # The other script's characters are not the reader's: it sees spaces in their place, so that positions hold.
        for reader, mine, before in (
            (latin, {n: _without_chinese(t) for n, t in enumerate(texts) if _is_latin(t)}, begun[0]),
            (chinese, {n: t for n, t in enumerate(texts) if _has_han(t)}, begun[1]),
        ):
            if not mine:
                continue
            found = reader.read(list(mine.values()), self._report_from, normalise=self._normalise, begun=before)
            for number, scan in zip(mine, found, strict=True):
                scans[number].append(scan)
        return [_merged(of_text) for of_text in scans]


@lru_cache(maxsize=64)
def _joint(digests: tuple[str, ...]) -> str:
    """Kept, for it is part of each result."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest() if all(digests) else ""


def _is_latin(text: str) -> bool:
    return _LATIN_WORD.search(text) is not None or not _has_han(text)


def _has_han(text: str) -> bool:
    return not text.isascii() and _HAN.search(text) is not None


def _without_chinese(text: str) -> str:
    return text if text.isascii() else _CHINESE_WRITING.sub(" ", text)


def _merged(scans: Sequence[Scan]) -> Scan:
    """One Scan of a text that several readers read: each label's highest finding."""
    best: dict[str, Finding] = {}
    for finding in (finding for scan in scans for finding in scan.findings):
        if finding.label not in best or finding.score > best[finding.label].score:
            best[finding.label] = finding
    return Scan(tuple(best.values()), scans[0].scanned)


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
