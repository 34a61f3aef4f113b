"""Windows of a text that grows are those of the whole text, however it grows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from guard.models import BUNDLED
from guard.text import growing, windows

PARTS = (
    *(
        "the parcel",
        " ",
        " ",
        " ",
        "\n",
        "\t",
        "  ",
        "\u00a0",
        "\u3000",
        "。",
        "，",
        "！",
        ".",
        ",",
        "'s",
        "“",
        "…",
        "don't",
        "naïve",
    ),
    *(
        "a\u0301",
        "\u0301",
        "\u200b",
        "\ufeff",
        "ﬁ",
        "İ",
        "ß",
        "Σας",
        "한국어",
        "\ud800",
        "\x00",
        "\ufffd",
        "\U0001f44d\U0001f3fd",
        "#",
    ),
    *(
        "你好",
        "天气很好",
        "unbelievable",
        "supercalifragilistic",
        "x" * 120,
        "[SEP]",
        "[CLS]",
        "##ing",
        "3.14",
        "1,000",
        "a_b",
        "e.g.",
    ),
)


@pytest.fixture(scope="module", params=["toxicity-en", "toxicity-zh"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return transformers.AutoTokenizer.from_pretrained(BUNDLED / request.param, local_files_only=True)


def growths(draw: random.Random) -> Iterator[str]:
    """A text, and what it becomes."""
    text = ""
    for _ in range(draw.randint(1, 60)):
        text += "".join(draw.choice(PARTS) for _ in range(draw.randint(0, 6)))
        yield text


@pytest.mark.parametrize(("size", "overlap"), [(16, 0), (16, 8), (24, 4), (96, 16)])
def test_windows_are_those_of_the_whole_text(tokenizer: Any, size: int, overlap: int) -> None:
    """At every moment: tokens, places, and how many."""
    words = growing.words(tokenizer)
    assert words is not None
    draw = random.Random(size + overlap)
    for _ in range(12):
        one = growing.Growing(words, size, overlap)
        for text in growths(draw):
            found = [(window.span, window.tokens) for window in one.cut(text)]
            assert found == [(window.span, window.tokens) for window in windows.cut(tokenizer, [text], size, overlap)]


def test_a_text_that_begins_otherwise_is_read_anew(tokenizer: Any) -> None:
    """Rather than taken for the one before."""
    words = growing.words(tokenizer)
    assert words is not None
    one = growing.Growing(words, 16, 4)
    for text in ("The parcel is here. ", "The box is here, and so is the rest of it. "):
        assert [window.tokens for window in one.cut(text)] == [
            window.tokens for window in windows.cut(tokenizer, [text], 16, 4)
        ]


def test_a_tokenizer_to_which_a_space_is_no_border_is_not_taken() -> None:
    """Bytes with the space before them: a part may begin with one."""
    made = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate("abĠ")}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    assert growing.words(transformers.PreTrainedTokenizerFast(tokenizer_object=made)) is None
