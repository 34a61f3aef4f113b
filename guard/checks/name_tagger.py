"""Finds names of people, places, organisations and postal addresses: a small convolutional tagger, run by ONNX Runtime.

A text is cut into words (Latin and the like), single Chinese characters, runs of digits, marks and line breaks. Each is looked
up in six small vocabularies (the word, its beginning and ends or its neighbours, its shape, how the word is usually written);
gated convolutions mix the neighbourhood (Dauphin et al. 2017, dilated as in Strubell et al. 2017); Viterbi picks the best
sequence of BIOES tags. One code for all languages: the folder of a model holds `config.json` and `model.safetensors`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from guard.errors import ModelError
from guard.models.graphs import Graph, session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Numbers = NDArray[np.int64]

MODEL_TYPE = "genguard-name-tagger"
LABELS = ("PERSON", "LOCATION", "ORG", "ADDRESS")
TAGS = ("O", *(f"{place}-{label}" for label in LABELS for place in "BIES"))
FEATURES = ("word", "front", "back", "tail", "shape", "usage")
DILATIONS = (1, 2, 4, 1, 2, 1)
REACH = sum(DILATIONS)
"""Tokens on either side of one whose numbers it depends on."""
HAN = r"々〇\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTER = rf"[^\W\d_{HAN}]"
_TOKEN = re.compile(rf"(?<![^\S\n])(?:[^\S\n]*\n)+|[{HAN}]|{_LETTER}(?:{_LETTER}|[\u0300-\u036f])*|\d+|[^\s]")
_IS_HAN = re.compile(f"[{HAN}]")
_NONE, _UNKNOWN = "", "?"
CERTAIN = 0.995
"""Above it a word is surely none of a name."""
_CACHED = 20_000
_LONGEST_KNOWN = 32
_Row = tuple[int, int, int, int, int, int]
_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Name:
    """One name, in code points of the text. Has the attributes that Presidio reads from spaCy's spans."""

    start_char: int
    end_char: int
    label_: str
    score: float
    """Mean probability, from 0 to 1, that its words belong to a name of that kind."""


def tokens(text: str, start: int = 0) -> list[tuple[int, int]]:
    """Where each token of a text begins and ends; `start`: the end of one, behind which they are wanted."""
    return [match.span() for match in _TOKEN.finditer(text, start)]


Features = tuple[str, str, str, str, str]


def features(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Features]:
    """Of each token: the word, its front, back and tail, and its shape with what stands before it.

    A Chinese character has the pairs it makes with its neighbours as front and back, and its two followers as tail.
    """
    before = 0
    for place, (start, end) in enumerate(spans):
        yield _features(text, spans, place, apart=start != before or not start)
        before = end


def _features(text: str, spans: Sequence[tuple[int, int]], place: int, *, apart: bool) -> Features:
    """Of one of the tokens. `apart`: something stands between it and the one before."""
    word, gap = _word(text, spans, place), " " if apart else _NONE
    if not _IS_HAN.match(word):
        return (*_spelling(word), _shape(word) + gap)
    before, following, last = (_word(text, spans, place + one) for one in (-1, 1, 2))
    return word, before + word, word + following, word + following + last, f"h{gap}"


def _word(text: str, spans: Sequence[tuple[int, int]], place: int) -> str:
    if not 0 <= place < len(spans):
        return _NONE
    word = text[slice(*spans[place])]
    return "\n" if "\n" in word else word


@lru_cache(maxsize=_CACHED)
def _spelling(word: str) -> tuple[str, str, str, str]:
    low = word.lower()
    return (f"0{min(len(low), 9)}" if low[0].isdigit() else low), low[:3] + "_", "_" + low[-3:], "_" + low[-4:]


@lru_cache(maxsize=_CACHED)
def _shape(word: str) -> str:
    if word[0].isdigit():
        return f"d{min(len(word), 7)}"
    if not word[0].isalpha():
        return "m"
    if word.islower():
        return "x"
    if word.isupper():
        return f"X{min(len(word), 4)}"
    return "Xx" if word[0].isupper() and word[1:].islower() else "xX"


class Vocabulary:
    """Numbers of what is looked up; 0 stands for all that is unknown."""

    def __init__(self, entries: Mapping[str, Sequence[str]], usage: Mapping[str, str]) -> None:
        self.entries = entries
        self.usage = usage
        self._numbers = [{entry: place + 1 for place, entry in enumerate(entries[name])} for name in FEATURES[:-1]]
        classes = {entry: place + 1 for place, entry in enumerate(usage)}
        self._usage = {word: classes[name] for name, words in usage.items() for word in words.split(" ")}
        self._known: tuple[dict[str, _Row], dict[str, _Row]] = ({}, {})
        """Rows of words that came before, close to the word before them and apart from it. None of a Chinese character."""

    def sizes(self) -> tuple[int, ...]:
        """How many rows each feature's table has."""
        return (*(len(numbers) + 1 for numbers in self._numbers), len(self.usage) + 1)

    def numbers(self, text: str, spans: Sequence[tuple[int, int]]) -> list[_Row]:
        """One row of six numbers for each token."""
        rows, before = list[_Row](), 0
        for place, (start, end) in enumerate(spans):
            apart = start != before or not start
            row = self._known[apart].get(text[start:end])
            if row is None:
                row = self._row(_features(text, spans, place, apart=apart))
                if not _IS_HAN.match(text, start):
                    self._know(text[start:end], row, apart=apart)
            rows.append(row)
            before = end
        return rows

    def _row(self, of: Features) -> _Row:
        a, b, c, d, e, f = (known.get(one, 0) for known, one in zip((*self._numbers, self._usage), (*of, of[0]), strict=True))
        return a, b, c, d, e, f

    def _know(self, word: str, row: _Row, *, apart: bool) -> None:
        known = self._known[apart]
        if len(known) >= _CACHED:
            known.clear()
        if len(word) <= _LONGEST_KNOWN:
            known[word] = row


class NameTagger:
    """A trained tagger. `lang` is the ISO 639-1 code of the language it reads."""

    def __init__(
        self, lang: str, vocabulary: Vocabulary, weights: Mapping[str, Floats], thresholds: Mapping[str, float]
    ) -> None:
        """`weights`: by name, in single precision. Raises ModelError where ONNX Runtime cannot compute them."""
        import numpy as np

        self.lang = lang
        self._vocabulary = vocabulary
        self._session = session(_graph(weights), f"the name tagger for {lang}", "Leave `pii` out on this processor.")
        self._least = thresholds
        allowed = np.array([[may_follow(one, other) for other in TAGS] for one in TAGS])
        self._steps = np.where(allowed, 0.0, -1e4).astype(np.float32)
        self._ends = np.array([0.0 if tag[0] in "OES" else -1e4 for tag in TAGS], np.float32)
        self._begins = np.array([0.0 if tag[0] in "OBS" else -1e4 for tag in TAGS], np.float32)

    @classmethod
    def load(cls, folder: Path) -> NameTagger:
        """Read a model's folder. Raises ModelError when its files do not belong together."""
        import numpy as np
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            config = json.loads((folder / "config.json").read_text("utf-8"))
            weights = {name: array.astype(np.float32) for name, array in load_file(folder / "model.safetensors").items()}
            for name in FEATURES:  # whole numbers from -127 to 127, with one factor a row
                weights[f"tables.{name}"] *= weights.pop(f"scales.{name}")
            vocabulary = Vocabulary(config["vocabulary"], config["usage"])
            tagger = cls(config["language"], vocabulary, weights, config["thresholds"])
            found = tuple(len(weights[f"tables.{name}"]) for name in FEATURES)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(
                f"the name tagger cannot be loaded: {type(error).__name__}",
                advice="Its folder holds config.json and model.safetensors, made by training/pii_ner/train.py.",
            ) from error
        if found != vocabulary.sizes():
            raise ModelError(
                f"the name tagger has tables of {found} rows, expected {vocabulary.sizes()} as in its config.json",
                advice="The two files are of different trainings: take both from one.",
            )
        return tagger

    def __call__(self, text: str) -> list[Name]:
        """The names in one text, in order of place."""
        spans = tokens(text)
        return self.names(spans, self.likely(text, spans)) if spans else []

    def likely(self, text: str, spans: Sequence[tuple[int, int]]) -> Floats:
        """The probability of each tag for each of these tokens of a text; a row each."""
        return self.likely_of(self.numbers(text, spans))

    def numbers(self, text: str, spans: Sequence[tuple[int, int]]) -> Numbers:
        """What is looked up for each of these tokens of a text, before and behind which stands none; a row each."""
        import numpy as np

        found = chain.from_iterable(self._vocabulary.numbers(text, spans))
        return np.fromiter(found, np.int64, len(spans) * len(FEATURES)).reshape(-1, len(FEATURES))

    def likely_of(self, numbers: Numbers, *, from_begin: bool = True) -> Floats:
        """The probability of each tag for each row of `numbers`.

        `from_begin`: the first row is that of a text's first token. Otherwise the first REACH rows are but what stands before
        the others, and are left out.
        """
        import numpy as np

        given = {"numbers": numbers, "begins": np.array(int(from_begin), np.int64)}
        likely: Floats = self._session.run(None, given)[0]
        return likely

    def names(self, spans: Sequence[tuple[int, int]], likely: Floats) -> list[Name]:
        """The names among some tokens, before and behind which stands nothing that may belong to one."""
        import numpy as np

        certain = likely[:, 0] > CERTAIN
        return [] if certain.all() else list(self._names(spans, np.log(likely + 1e-9), likely, certain.tolist()))

    def _names(
        self, spans: Sequence[tuple[int, int]], scores: Floats, likely: Floats, certain: Sequence[bool]
    ) -> Iterator[Name]:
        """Names of each stretch between words that are certainly none."""
        first = 0
        while first < len(spans):
            if certain[first]:
                first += 1
                continue
            last = first
            while last < len(spans) and not certain[last]:
                last += 1
            for start, end, place in self._decode(scores[first:last]):
                label = LABELS[place]
                score = float(likely[first + start : first + end, 4 * place + 1 : 4 * place + 5].sum(axis=1).mean())
                if score >= self._least.get(label, 0.5):
                    yield Name(spans[first + start][0], spans[first + end - 1][1], label, score)
            first = last

    def _decode(self, scores: Floats) -> list[tuple[int, int, int]]:
        """(first token, token behind the last, label's place) of the names in the most likely sequence of tags."""
        import numpy as np

        best, back = scores[0] + self._begins, []
        for row in scores[1:]:
            paths = best[:, None] + self._steps
            back.append(paths.argmax(axis=0))
            best = paths.max(axis=0) + row
        tag = int(np.argmax(best + self._ends))
        path = [tag]
        for step in reversed(back):
            tag = int(step[tag])
            path.append(tag)
        found, start = [], 0
        for place, tag in enumerate(reversed(path)):
            kind = TAGS[tag][0]
            start = place if kind in "BS" else start
            if kind in "ES":
                found.append((start, place + 1, (tag - 1) // 4))
        return found


def may_follow(one: str, other: str) -> bool:
    """Whether a BIOES tag may stand behind another."""
    if one[0] in "BI":
        return other[0] in "IE" and one[2:] == other[2:]
    return other[0] in "OBS"


def _graph(weights: Mapping[str, Floats]) -> bytes:
    """The forward pass as an ONNX graph: (tokens, 6) numbers -> (tokens, tags) probabilities.

    A second input, `begins`, is 1 where the first token has none before it, and 0 where the first REACH tokens are only
    there to be seen: each layer then drops those that it cannot compute.
    """
    import numpy as np
    from onnx import TensorProto, helper

    graph = Graph()

    def dense(name: str, x: str) -> str:
        product = graph.node("MatMul", [x, graph.constant(f"{name}.weight", weights[f"{name}.weight"].T)])
        return graph.node("Add", [product, graph.constant(f"{name}.bias", weights[f"{name}.bias"])])

    def normal(name: str, x: str) -> str:  # layer normalisation (Ba et al. 2016)
        parts = [graph.constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        return graph.node("LayerNormalization", [x, *parts], axis=-1, epsilon=1e-5)

    def integers(*values: int) -> str:
        return graph.constant(f"integers {values}", np.array(values, np.int64))

    edges: dict[int, tuple[str, str]] = {}

    def edge(dilation: int) -> tuple[str, str]:
        """What is added around the tokens for a layer, and how many of the first it drops."""
        if dilation not in edges:
            before = graph.node("Mul", ["begins", integers(dilation, 0, 0, 0)])
            dropped = graph.node("Sub", [integers(dilation), graph.node("Mul", ["begins", integers(dilation)])])
            edges[dilation] = graph.node("Add", [before, integers(0, 0, dilation, 0)]), dropped
        return edges[dilation]

    looked_up = []
    for place, name in enumerate(FEATURES):
        column = graph.node("Gather", ["numbers", graph.constant(f"column {place}", np.array(place, np.int64))], axis=1)
        looked_up.append(graph.node("Gather", [graph.constant(f"tables.{name}", weights[f"tables.{name}"]), column]))
    x = dense("mix", graph.node("Concat", looked_up, axis=1))
    for layer, dilation in enumerate(DILATIONS):
        here = normal(f"layers.{layer}.norm", x)
        added, dropped = edge(dilation)
        around = graph.node("Pad", [here, added])
        ends = ((0, -2 * dilation), (dilation, -dilation), (2 * dilation, _ALL))
        seen = [graph.node("Slice", [around, integers(start), integers(end), integers(0)]) for start, end in ends]
        wide = dense(f"layers.{layer}.wide", graph.node("Concat", seen, axis=1))
        value = graph.node("Split", [wide], outputs=[f"value of {layer}", f"gate of {layer}"], axis=1, num_outputs=2)
        x = graph.node("Slice", [x, dropped, integers(_ALL), integers(0)])
        x = graph.node("Add", [x, graph.node("Mul", [value, graph.node("Sigmoid", [f"gate of {layer}"])])])
    graph.node("Softmax", [dense("out", normal("norm", x))], outputs=["likely"], axis=1)
    numbers = helper.make_tensor_value_info("numbers", TensorProto.INT64, ["n", len(FEATURES)])
    begins = helper.make_tensor_value_info("begins", TensorProto.INT64, [])
    likely = helper.make_tensor_value_info("likely", TensorProto.FLOAT, ["m", len(TAGS)])
    return graph.built([numbers, begins], [likely], opset=18)
