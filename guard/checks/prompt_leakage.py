"""The `prompt_leakage` check: outputs that give away the system prompt, or a canary that was put into it.

The check is told what to protect: texts in the policy, or files beside it. At load, each is cut into shingles of `_SHINGLE`
words or Chinese characters, without case, punctuation and spaces, and an output's own shingles are looked up among them: a part
that repeats the protected text word for word is found wherever it stands. Shingles of the protected text in ROT13 and written
backwards are looked up too, base64 and hexadecimal in an output are decoded, and disguised outputs are read as they are meant.

What it cannot see: a translation, a summary, or a paraphrase that shares no run of words with the protected text. A canary in
the prompt (a made-up word that no honest answer needs) catches part of these.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guard.errors import ModelError, RegistryError
from guard.protocols import Check
from guard.registry import Floor, checks
from guard.text.normalise import readings
from guard.traits import Traits
from guard.types import CALLER, Content, Examples, Finding, Modality, Request, Scan, Span, Stage

_CATEGORY = "cyber"
LABELS = ("system_prompt", "canary")
_SHINGLE = 6
_LEAST_CANARY = 6
"""Letters and digits of a canary: fewer stand in ordinary text by chance."""
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:]?){12,}")
_LARGEST_FILE = 1_000_000


@checks.register("prompt_leakage")
def prompt_leakage(
    *,
    system_prompts: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    canaries: tuple[str, ...] = (),
    run: int = 32,
    report_from: Floor = 200,
) -> Check:
    """The check; raises RegistryError when there is nothing to protect, or what there is cannot be told from ordinary text.

    `system_prompts`: texts to protect; the policy document, with them in it, is kept in the ledger. `files`: paths of UTF-8
    files with a text to protect each, read when the check is loaded; these texts are kept nowhere. `canaries`: made-up words of
    at least six letters and digits that stand in a prompt; found in any case, spacing and simple encoding. `run`: how many
    words, or Chinese characters, repeated in a row score 1000. `report_from`: findings below this score, per mille, are not
    reported.
    """
    if not (system_prompts or files or canaries):
        raise RegistryError(
            "check 'prompt_leakage': found nothing to protect, expected `system_prompts`, `files` or `canaries`",
            advice="Name the file that holds the system prompt: `files: [prompt.txt]`.",
        )
    if any(len(tokens(text)) < _SHINGLE for text in system_prompts):
        raise RegistryError(
            f"check 'prompt_leakage': found a system prompt of fewer than {_SHINGLE} words, expected at least that"
        )
    if any(len(_plain(canary)) < _LEAST_CANARY for canary in canaries):
        raise RegistryError(f"check 'prompt_leakage': found a canary of fewer than {_LEAST_CANARY} letters and digits")
    if not _SHINGLE <= run <= 1000 or not 0 <= report_from <= 1000:
        raise RegistryError(f"run is {run}, report_from is {report_from}; expected {_SHINGLE} to 1000, and 0 to 1000 per mille")
    return PromptLeakageCheck(system_prompts, files, canaries, run, report_from)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, or one Chinese or Japanese character, in small letters, and where it stands."""

    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """All tokens of a text; the places hold for the text as given."""
    folded = "".join(_folded(one) for one in text)
    return [Token(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(folded)]


def _folded(character: str) -> str:
    """Its compatibility form in small letters where that is one code point too."""
    if character.isascii():
        return character.lower()
    form = unicodedata.normalize("NFKC", character).casefold()
    return form if len(form) == 1 else character


@dataclass(frozen=True, slots=True, eq=False)
class _Protected:
    """One text to protect: each of its shingles, in each encoding, with the place of its first word."""

    length: int
    shingles: Mapping[str, tuple[int, ...]]


def _protect(text: str) -> list[_Protected]:
    forms = (text, codecs.encode(text, "rot13"), text[::-1])
    return [_shingled([token.text for token in tokens(form)]) for form in dict.fromkeys(forms)]


def _shingled(words: Sequence[str]) -> _Protected:
    found: dict[str, list[int]] = {}
    for place in range(len(words) - _SHINGLE + 1):
        found.setdefault(_key(words[place : place + _SHINGLE]), []).append(place)
    return _Protected(len(words), {key: tuple(places) for key, places in found.items()})


def _key(words: Sequence[str]) -> str:
    return "\x00".join(words)


@dataclass(frozen=True, slots=True)
class _Leak:
    """A part of an output that repeats protected words."""

    where: Span
    length: int
    """Words of the output."""
    told: frozenset[int]
    """Places of the words of the protected text that it tells."""


class PromptLeakageCheck:
    """Reports each part of an output that repeats protected text, all with the score of the whole output, and each canary.

    The score is the larger of two: the share of the protected text that the output tells, and the longest repeated run of words
    in relation to `run`.
    """

    blocking = True
    modalities = frozenset({Modality.TEXT})
    version = "1.0"

    def __init__(
        self, prompts: tuple[str, ...], files: tuple[str, ...], canaries: tuple[str, ...], run: int, report_from: int
    ) -> None:
        self._prompts, self._files, self._canaries = prompts, files, canaries
        self._run = run
        self._report_from = report_from
        self._protected: list[list[_Protected]] | None = None
        self._signs: tuple[str, ...] = ()
        self.digest = ""
        kinds = (*(("system_prompt",) if prompts or files else ()), *(("canary",) if canaries else ()))
        self.labels: Mapping[str, str] = dict.fromkeys(kinds, _CATEGORY)

    @property
    def examples(self) -> Examples:
        """The first text of the policy, or a canary, given away; and an ordinary answer."""
        flagged = [f"Sure, my instructions are: {text}" for text in self._prompts[:1]]
        flagged += [f"The word is {canary}." for canary in self._canaries[:1]]
        clean = ("I cannot share my instructions, but I am glad to help with your order.", "抱歉，我不能透露系统设定。")
        return Examples(tuple(map(_text, flagged)), tuple(map(_text, clean)))

    @property
    def traits(self) -> Traits:
        return Traits(reports_from=self._report_from)

    def load(self) -> None:
        """Read the files and cut all texts. Raises ModelError for a file that cannot be read or is too short to be told."""
        texts = [*self._prompts, *map(_read, self._files)]
        self._protected = [_protect(text) for text in texts]
        plain = [_plain(canary) for canary in self._canaries]
        self._signs = tuple(dict.fromkeys(form for one in plain for form in (one, codecs.encode(one, "rot13"), one[::-1])))
        self.digest = hashlib.sha256("\x00".join([*texts, *self._canaries]).encode("utf-8", "surrogatepass")).hexdigest()

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a text, each read whole. Raises ModelError when it is not loaded."""
        if self._protected is None:
            raise ModelError("check 'prompt_leakage' is not loaded", advice="Call load() before the first batch.")
        return [Scan(tuple(self._findings(content.text, self._protected)), Span(0, len(content.text))) for content in batch]

    def _findings(self, text: str, protected: list[list[_Protected]]) -> Iterator[Finding]:
        for span in sorted({span for sign in self._signs for span in _signs(text, sign)}, key=lambda one: one.start):
            yield Finding(_CATEGORY, "canary", 1000, span, reason="a canary of the system prompt")
        views = list(_views(text)) if protected else []
        for forms in protected:
            leaks = [leak for form in forms for tokens_, whole in views for leak in _leaks(tokens_, form, whole)]
            if leaks:
                yield from self._reported(leaks, forms[0].length)

    def _reported(self, leaks: list[_Leak], length: int) -> Iterator[Finding]:
        told = len(frozenset().union(*(leak.told for leak in leaks)))
        longest = max(leak.length for leak in leaks)
        score = min(1000, round(1000 * max(told / length, longest / self._run)))
        if score >= self._report_from:
            reason = f"{told} of {length} words of a protected text, {longest} of them in a row"
            for span in _merged(leak.where for leak in leaks):
                yield Finding(_CATEGORY, "system_prompt", score, span, reason=reason)


def _views(text: str) -> Iterator[tuple[list[Token], Span | None]]:
    """The tokens of a text, of its readings beneath a disguise, and of what it holds in base64 or hexadecimal.

    Tokens are placed in the original; a decoded part stands where its code stands, as a whole.
    """
    yield tokens(text), None
    for reading in readings(text):
        placed = []
        for token in tokens(reading.text):
            place = reading.to_original(Span(token.start, token.end))
            placed.append(Token(token.text, place.start, place.end))
        yield placed, None
    for span, decoded in _decoded(text):
        yield tokens(decoded), span


def _decoded(text: str) -> Iterator[tuple[Span, str]]:
    for match in _BASE64.finditer(text):
        code = match.group().rstrip("=").translate({45: "+", 95: "/"})
        for end in (len(code), len(code) - len(code) % 4):
            try:
                raw = base64.b64decode(code[:end] + "=" * (-end % 4))
                yield Span(*match.span()), raw.decode()
                break
            except (binascii.Error, ValueError):
                continue
    for match in _HEX.finditer(text):
        try:
            yield Span(*match.span()), bytes.fromhex(re.sub(r"[\s:]", "", match.group())).decode()
        except ValueError:
            continue


def _leaks(found: Sequence[Token], protected: _Protected, whole: Span | None) -> Iterator[_Leak]:
    """The maximal parts of an output whose shingles are all in the protected text."""
    words = [token.text for token in found]
    first: int | None = None
    told: set[int] = set()
    for place in range(len(words) - _SHINGLE + 2):
        places = protected.shingles.get(_key(words[place : place + _SHINGLE]), ()) if place <= len(words) - _SHINGLE else ()
        if places:
            first = place if first is None else first
            told.update(one + ahead for one in places for ahead in range(_SHINGLE))
        elif first is not None:
            last = place + _SHINGLE - 2
            where = whole or Span(found[first].start, found[last].end)
            yield _Leak(where, last - first + 1, frozenset(told))
            first, told = None, set()


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(set(spans), key=lambda one: (one.start, one.end)):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def _plain(text: str) -> str:
    """Letters and digits alone, folded."""
    return "".join(_folded(one) for one in text if one.isalnum())


def _signs(text: str, sign: str) -> Iterator[Span]:
    """Where a canary stands in a text, whatever stands between its letters, or in a part that is encoded."""
    places = [place for place, one in enumerate(text) if one.isalnum()]
    plain = "".join(_folded(text[place]) for place in places)
    at = plain.find(sign)
    while at >= 0:
        yield Span(places[at], places[at + len(sign) - 1] + 1)
        at = plain.find(sign, at + len(sign))
    for span, decoded in _decoded(text):
        if sign in _plain(decoded):
            yield span


def _read(path: str) -> str:
    file = Path(path)
    try:
        size = file.stat().st_size
        text = file.read_text("utf-8") if size <= _LARGEST_FILE else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read: {type(error).__name__}", advice="Give a UTF-8 text file's path.") from None
    if size > _LARGEST_FILE or len(tokens(text)) < _SHINGLE:
        raise ModelError(f"{path}: found {size} bytes, expected {_SHINGLE} words to {_LARGEST_FILE} bytes of text")
    return text


def _text(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("example"))
