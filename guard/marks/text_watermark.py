"""The watermark of texts: asked for by a policy, put in by the generator while it draws tokens, and read back here.

Only a generator that draws its tokens in this process can carry it (`guard.protocols.TokenGenerator`): of a remote model's
text, of an echo, or of content that was made elsewhere the mark says that it is not there. It says the same of what is too
short, or leaves too little choice, to be told from chance. A text is never changed here. The mark tells that a text came from
this operator's models; which decision it came from it cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any

from guard.errors import GenguardError, InputError, ModelError, RegistryError, SettingsError
from guard.keyfile import KEY_SIZE
from guard.marks.key import ADVICE
from guard.marks.token_marks import LEAST_TOKENS, SURE, Method, Strength, TextReading, TokenWatermark, Verdict
from guard.marks.wording import PROFILES, Wording
from guard.protocols import Marker, TokenGenerator, TokenMark
from guard.registry import markers
from guard.types import Content, Mark, Marking, Modality, Operator

KIND = "text_watermark"
BUNDLED_MODEL = "bundled/language-service"


def read_text_watermark(
    text: str,
    key: bytes,
    method: Method = "synthid",
    model: str = BUNDLED_MODEL,
    revision: str | None = None,
    labels: Collection[str] = (),
) -> TextReading:
    """What a text says of the watermark of a method and key, read with the tokenizer of the model that may have written it.

    A label line of the built-in profiles is left out, or one of `labels`. Each method and model that is tried is a test of its
    own: divide what you call rare by their number. Raises InputError for a text with unpaired surrogates, ModelError when the
    tokenizer cannot be loaded, SettingsError for a key of another size.
    """
    _require_key(key)
    return _read(TokenWatermark(key, method), _tokenizer(model, revision), text, labels)


def without_label(text: str, labels: Collection[str] = ()) -> str:
    """The text without the line that says that it was generated, if its first or last one does in the words of a profile.

    `labels`: lines of a policy's own wording that count as well.
    """
    lines, known = text.strip().split("\n"), _label_lines().union(labels)
    if lines[0].strip() in known:
        lines = lines[1:]
    if lines and lines[-1].strip() in known:
        lines = lines[:-1]
    return "\n".join(lines).strip("\n")


class TextWatermark:
    """A `guard.protocols.SamplingMarker`. Keeps how each generator reads text; threads may share it."""

    kind = KIND
    modality = Modality.TEXT

    def __init__(self, mark: TokenWatermark, labels: Collection[str] = ()) -> None:
        """`labels`: lines by which the same policy may label a text."""
        self.mark = mark
        self._labels = frozenset(labels)
        self._readers: dict[str, Callable[[str], Sequence[int]]] = {}

    def load(self) -> None:
        """Nothing is needed: the generator brings its tokenizer."""

    def sampling(self, generator: TokenGenerator, /) -> TokenMark:
        """The mark to draw by."""
        self._readers[generator.name] = generator.tokens
        return self.mark

    def __call__(self, content: Content, _marking: Marking, /) -> tuple[Content, Mark]:
        """Read the mark back from a text as it is to leave, redactions included; the text stays as it is."""
        error = self._missing(content)
        return content, Mark(self.kind, self.mark.method, "", verified=not error, error=error)

    def reread(self, content: Content, _mark: Mark, /) -> str:
        """Read it once more, the label's line left out."""
        return self._missing(content)

    def _missing(self, content: Content) -> str:
        """Why the mark is not in a text; empty when it is."""
        name = content.origin.generator
        tokens = self._readers.get(name)
        if tokens is None or KIND not in dict(content.origin.parameters):
            able = "text whose tokens are drawn in this process, at a temperature above 0"
            return f"{name!r} put none in, expected {able}"
        found = _read(self.mark, tokens, content.text, self._labels)
        if found.verdict is Verdict.TOO_SHORT:
            return f"too short to tell: found {found.tokens} tokens that count, expected at least {LEAST_TOKENS}"
        if found.verdict is Verdict.UNMARKED:
            return f"too faint to tell: found p {found.p:.1e} on {found.tokens} tokens, expected at most {SURE}"
        return ""


@markers.register(KIND)
def text_watermark(
    *,
    method: Method = "synthid",
    strength: Strength | None = None,
    _operator: Operator | None = None,
    _labels: Collection[str] = (),
) -> Marker:
    """Mark texts invisibly in the choice of their tokens. `strength`: of `green_list`; None is `medium`.

    Raises RegistryError for a strength of `synthid`, which has none, SettingsError when the operator is known and has no
    watermark key.
    """
    if strength is not None and method != "green_list":
        raise RegistryError(f"found strength {strength!r} with method {method!r}, expected it with 'green_list' only")
    if _operator is not None:
        _require_key(_operator.watermark_key)
    return TextWatermark(TokenWatermark(_operator.watermark_key if _operator else b"", method, strength or "medium"), _labels)


def _read(mark: TokenWatermark, tokens: Callable[[str], Sequence[int]], text: str, labels: Collection[str]) -> TextReading:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"found an unpaired surrogate at {error.start}, expected Unicode text") from None
    return mark.read(tokens(without_label(text, labels)))


def _require_key(key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise SettingsError(
            f"found a watermark key of {len(key)} bytes, expected {KEY_SIZE} for watermarks in text",
            advice="Give one: Guard(…, operator=Operator(watermark_key=make_watermark_key(path))). " + ADVICE,
        )


@lru_cache(maxsize=1)
def _label_lines() -> frozenset[str]:
    return frozenset(line for profile in PROFILES for line in Wording(profile).text.values())


@lru_cache(maxsize=4)
def _tokenizer(model: str, revision: str | None) -> Callable[[str], Sequence[int]]:
    from guard.models.pretrained import find

    files = find(model, revision)
    try:
        from transformers import AutoTokenizer

        made: Any = AutoTokenizer.from_pretrained(files.path, local_files_only=True, trust_remote_code=False)
    except GenguardError:
        raise
    except Exception as error:
        raise ModelError(
            f"{model}: its tokenizer could not be loaded: {type(error).__name__}",
            advice="Name the model that may have written it.",
        ) from error
    return lambda text: [int(token) for token in made(text, add_special_tokens=False, verbose=False)["input_ids"]]
