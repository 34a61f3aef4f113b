"""From tokens to text: for every text, every stop sequence and every split, pieces join to what the whole says."""

from __future__ import annotations

import random

import pytest

from generators.spelling import Spelling

TEXTS = (
    "当前 you",
    "e\u0301te\u0301 🎉👨‍👩‍👧",
    "  spaces around  ",
    "",
    "\n",
    "stop st sto stopp",
    "\ufffd as it stands \ufffd.",
    "aaaab",
)


def decode(tokens: list[int]) -> str:
    """Each token is a byte, as in a tokenizer without merges."""
    return bytes(tokens).decode("utf-8", "replace")


def spell(text: bytes, **given: object) -> tuple[list[str], Spelling]:
    spelling = Spelling(decode, **given)  # type: ignore[arg-type]
    pieces = []
    for byte in text:
        pieces.append(spelling.add(byte))
        if spelling.stopped:
            break
    return [*pieces, spelling.end()], spelling


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text(text: str) -> None:
    """And none of them ends inside a character."""
    pieces, spelling = spell(text.encode())
    assert "".join(pieces) == spelling.text == text
    assert "".join(spelling.spans()) == text
    assert len(spelling.spans()) == len(text.encode())


@pytest.mark.parametrize("seed", range(300))
def test_what_left_is_never_taken_back(seed: int) -> None:
    """Random bytes, stops and stripping: the pieces are the whole text up to the first stop, and each only adds to it."""
    rng = random.Random(seed)
    alphabet = rng.choice([b"ab \n", "当é🎉a ".encode(), bytes(range(256))])
    data = bytes(rng.choice(alphabet) for _ in range(rng.randrange(40)))
    stops = tuple("".join(rng.choice("ab 当\n") for _ in range(rng.randrange(1, 4))) for _ in range(rng.randrange(3)))
    strip = rng.random() < 0.5
    pieces, spelling = spell(data, stop=stops, strip=strip)
    whole = "".join(pieces)
    read = decode(list(data))
    ends = sorted((read.index(stop) + len(stop), read.index(stop)) for stop in stops if stop in read)
    # Of all sequences that the first character to complete one completes, the one that began first.
    cut = min((begin for end, begin in ends if end == ends[0][0]), default=len(read))
    expected = read[:cut].strip() if strip else read[:cut]
    assert whole == spelling.text == expected
    assert "".join(spelling.spans()) == expected


def test_the_beginning_of_a_stop_sequence_waits() -> None:
    """It leaves as soon as it cannot become one, and never when it does."""
    spelling = Spelling(decode, stop=("STOP",))
    assert [spelling.add(byte) for byte in b"aSTxSTOP!"] == ["a", "", "", "STx", "", "", "", "", ""]
    assert spelling.stopped
    assert (spelling.end(), spelling.text) == ("", "aSTx")
    assert spelling.spans() == ["a", "S", "T", "x"]


def test_half_a_character_waits_and_is_shown_as_such_at_the_end() -> None:
    """A text may end in the middle of one: nothing is lost in silence."""
    spelling = Spelling(decode)
    assert [spelling.add(byte) for byte in "好".encode()[:2]] == ["", ""]
    assert spelling.end() == "\ufffd"
