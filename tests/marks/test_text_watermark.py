"""The text watermark: what it does with probabilities, and what a reader says of marked, unmarked and short text."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from math import comb
from typing import Any
from uuid import UUID

import pytest
import torch

from guard.errors import InputError, ModelError, RegistryError, SettingsError
from guard.marks import order
from guard.marks.text_watermark import TextWatermark, read_text_watermark, text_watermark, without_label
from guard.marks.token_marks import LEAST_TOKENS, METHODS, WIDTH, Method, TokenWatermark, Verdict, binomial_tail
from guard.marks.watermark import keyed
from guard.marks.wording import label_lines
from guard.rules import MarkSpec
from guard.types import Content, Marking, Modality, Operator, Origin, Request, Stage

KEY, OTHER = b"k" * 32, b"o" * 32
VOCABULARY = 400
PROSE = """The lighthouse keeper counted the steps each evening, though he had known their number for thirty years. There were
two hundred and eleven of them, worn in the middle like old spoons, and on the landing halfway up he kept a chair, a lamp and
a book about whales. Nobody came to visit in winter. In spring the supply boat brought flour, newspapers that were a month old,
and letters from his sister, who lived inland and was afraid of water. He answered every one of them at length, describing
the weather, the ships that passed, and the habits of a seal that had taken to sleeping on the slipway below the kitchen window.
When the wind turned north he oiled the hinges; when it turned south he aired the blankets and mended whatever had torn
since autumn."""
MIXED = "Größe, naïve café — 价格是多少？ 我们明天在上海见面，好不好？ Ещё раз: всё хорошо. 🙂 " * 3


def drawn(mark: TokenWatermark | None, count: int, seed: int) -> list[int]:
    """Tokens of a model that knows a fixed distribution of its vocabulary and no context, about 4.6 nats a token."""
    chance = torch.Generator().manual_seed(seed)
    base = torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(1.2).softmax(0)
    tokens: list[int] = []
    seen: set[tuple[int, ...]] = set()
    for _ in range(count):
        context, probabilities = tuple(tokens[-WIDTH:]), base[None]
        if mark and len(context) == WIDTH and context not in seen:
            seen.add(context)
            probabilities = mark.shift(probabilities, [context])
        tokens.append(int(torch.multinomial(probabilities[0], 1, generator=chance)))
    return tokens


def content(text: str, generator: str = "caller", **parameters: str) -> Content:
    origin = Origin(generator, parameters=tuple(sorted(parameters.items())))
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, origin, Request("r"))


def put(marker: Any, given: Content) -> Any:
    return marker(given, Marking(UUID(int=1), datetime.now(UTC), "house", 1, "0" * 64, given))[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_marked_text_is_read_with_its_key_alone(method: Method) -> None:
    """Two hundred tokens with choice in them leave no doubt; to another key they are unmarked."""
    tokens = drawn(TokenWatermark(KEY, method), 200, seed=1)
    found = TokenWatermark(KEY, method).read(tokens)
    assert (found.verdict, found.tokens) == (Verdict.MARKED, 200 - WIDTH)
    assert found.z > 7
    assert found.p < 1e-9
    assert TokenWatermark(OTHER, method).read(tokens).verdict is Verdict.UNMARKED


def test_the_methods_do_not_read_each_other() -> None:
    """Their secrets are made from the key for one purpose each."""
    assert TokenWatermark(KEY, "green_list").read(drawn(TokenWatermark(KEY, "synthid"), 200, seed=1)).p > 1e-3
    assert TokenWatermark(KEY, "synthid").read(drawn(TokenWatermark(KEY, "green_list"), 200, seed=1)).p > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_p_values_of_unmarked_text_are_what_they_say(method: Method) -> None:
    """Of 1500 readings of random tokens, each with a key of its own, about 5 % are below 0.05, and hardly one below 0.001."""
    tokens = [drawn(None, 60, seed) for seed in range(15)]
    found = [TokenWatermark(bytes([key] * 32), method).read(one).p for one in tokens for key in range(100)]
    assert 0.02 < sum(p <= 0.05 for p in found) / len(found) < 0.07
    assert sum(p <= 1e-3 for p in found) <= 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", [PROSE, MIXED], ids=["prose", "mixed"])
def test_written_text_is_not_marked(method: Method, text: str) -> None:
    """Twenty keys read prose and text of several scripts with the bundled tokenizer."""
    found = [read_text_watermark(text, bytes([key] * 32), method) for key in range(20)]
    assert {one.verdict for one in found} == {Verdict.UNMARKED}
    assert max(one.z for one in found) < 3.1


@pytest.mark.parametrize("method", METHODS)
def test_repetition_is_no_evidence(method: Method) -> None:
    """What a text says ten times counts once, and a loop of one word does not count."""
    phrase = drawn(None, 60, seed=3)
    once, often = (TokenWatermark(KEY, method).read(phrase * times) for times in (1, 10))
    assert often.tokens - once.tokens <= WIDTH
    assert TokenWatermark(KEY, method).read([7] * 500).verdict is Verdict.TOO_SHORT


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", ["", " \n ", "Yes.", "好", "AI-generated"])
def test_a_short_text_is_too_short_to_tell(method: Method, text: str) -> None:
    """However it reads, and without an error for nothing at all."""
    found = read_text_watermark(text, KEY, method)
    assert found.verdict is Verdict.TOO_SHORT
    assert 0 <= found.p <= 1


def test_a_marked_text_below_the_least_length_is_not_called_marked() -> None:
    """The verdict keeps what is said about short texts, even where p is small."""
    mark = TokenWatermark(KEY, "synthid")
    found = mark.read(drawn(mark, LEAST_TOKENS + WIDTH - 1, seed=1))
    assert (found.tokens, found.verdict) == (LEAST_TOKENS - 1, Verdict.TOO_SHORT)


def test_the_knock_out_is_that_of_transformers() -> None:
    """The same bits give the same probabilities as the library's own update."""
    from transformers import SynthIDTextWatermarkLogitsProcessor

    theirs = SynthIDTextWatermarkLogitsProcessor(5, [1, 2, 3], 64, 0, 16, torch.device("cpu"))
    mark, context = TokenWatermark(KEY, "synthid"), [1, 2, 3]
    given = torch.randn(1, VOCABULARY, dtype=torch.float64).softmax(-1)
    stream = torch.tensor(mark._stream(context, VOCABULARY)).int()
    bits = torch.stack([(stream[:, layer // 8] >> (7 - layer % 8)) & 1 for layer in range(16)], dim=-1)
    expected = theirs.update_scores(given.log(), bits[None]).softmax(-1)
    torch.testing.assert_close(mark.shift(given, [context]), expected)


def test_the_green_list_multiplies_odds_of_a_quarter() -> None:
    """By e^bias; all else keeps its proportions, and rows without a context stay as they are."""
    given = torch.full((2, 4000), 1 / 4000, dtype=torch.float64)
    shifted = TokenWatermark(KEY, "green_list", "high").shift(given, [[1, 2, 3], None])
    low, high = shifted[0].unique().tolist()
    assert high / low == pytest.approx(2.718281828**3)
    assert 0.22 < float((shifted[0] == high).double().mean()) < 0.28
    torch.testing.assert_close(shifted.sum(-1), torch.ones(2, dtype=torch.float64))
    assert torch.equal(shifted[1], given[1])


def test_synthid_keeps_the_distribution_on_average() -> None:
    """Over 3000 contexts the mean of the shifted probabilities is the model's own."""
    given = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64)
    mark = TokenWatermark(KEY, "synthid")
    shifted = mark.shift(given.repeat(3000, 1), [[at, 1, 2] for at in range(3000)])
    torch.testing.assert_close(shifted.sum(-1), torch.ones(3000, dtype=torch.float64))
    torch.testing.assert_close(shifted.mean(0), given[0], atol=0.03, rtol=0)
    assert float(shifted.std(0).max()) > 0.3


def test_the_binomial_tail_is_exact() -> None:
    """Against fractions."""
    for least in (0, 1, 5, 17, 40):
        terms = (comb(40, k) * Fraction(1, 4) ** k * Fraction(3, 4) ** (40 - k) for k in range(least, 41))
        assert binomial_tail(least, 40, 0.25) == pytest.approx(float(sum(terms)), rel=1e-9)


def test_a_label_line_does_not_count() -> None:
    """First or last, in the words of any profile; text that only mentions it stays."""
    assert without_label("This text was generated by AI.\n\nOne.\nTwo.") == "One.\nTwo."
    assert without_label("One.\n\n本内容由人工智能生成。\n") == "One."
    assert without_label("This text was generated by AI. Really.") == "This text was generated by AI. Really."
    assert read_text_watermark(PROSE, KEY) == read_text_watermark(PROSE + "\n\nDieser Text wurde mit KI erzeugt.", KEY)


def test_a_policys_own_label_line_does_not_count_either() -> None:
    """Whoever reads has to be told the wording; the marker knows it from the policy that asks for both marks."""
    line = "Written by a machine at Example Ltd, and read by nobody before it reached you."
    assert without_label(f"One.\n\n{line}") != "One."
    assert without_label(f"{line}\n\nOne.\n", [line]) == "One."
    labelled = f"{PROSE}\n\n{line}"
    assert read_text_watermark(labelled, KEY, labels=[line]) == read_text_watermark(PROSE, KEY)
    assert read_text_watermark(labelled, KEY).tokens > read_text_watermark(PROSE, KEY).tokens

    class Speaker:
        name = "speaker"
        heard = ""

        def tokens(self, text: str) -> list[int]:
            self.heard = text
            return list(text.encode())

    specs = [
        MarkSpec("label", Modality.TEXT, {"text": {"en": f" {line}", "de": "Von einer Maschine."}}),
        MarkSpec("label", Modality.TEXT, {"profile": "none"}),
        MarkSpec("label", Modality.IMAGE, {"text": {"*": "AI"}}),
        MarkSpec("text_watermark", Modality.TEXT),
    ]
    assert label_lines(specs) == {line, "Von einer Maschine.", "本内容由人工智能生成。"}
    marker = order.plan([specs[0], specs[3]], Operator(watermark_key=KEY))[0].marker
    speaker = Speaker()
    assert isinstance(marker, TextWatermark)
    marker.sampling(speaker)  # type: ignore[arg-type]
    given = content(labelled, "speaker", text_watermark="synthid")
    marker.reread(given, put(marker, given))
    assert speaker.heard == PROSE


def test_what_cannot_be_read_is_refused() -> None:
    """Half a character, a key of another size, a model that is not there."""
    with pytest.raises(InputError, match="unpaired surrogate at 2"):
        read_text_watermark("ab\ud800", KEY)
    with pytest.raises(SettingsError, match="a watermark key of 3 bytes, expected 32"):
        read_text_watermark(PROSE, b"key")
    with pytest.raises(ModelError):
        read_text_watermark(PROSE, KEY, model="/no/such/model")


@pytest.mark.parametrize("origin", ["caller", "echo", "remote"])
def test_no_mark_is_pretended_where_none_was_put_in(origin: str) -> None:
    """The text stays, and the ledger is told why."""
    marker = order.make("text_watermark", {}, Modality.TEXT, Operator(watermark_key=KEY))
    mark = put(marker, content(PROSE, origin))
    assert (mark.kind, mark.method, mark.payload, mark.verified) == ("text_watermark", "synthid", "", False)
    assert mark.error.startswith(f"{origin!r} put none in, expected text whose tokens are drawn in this process")


def test_the_marker_says_too_short_and_too_faint() -> None:
    """Both are reasons without any of the text."""

    class Speaker:
        name = "speaker"

        def tokens(self, text: str) -> list[int]:
            return list(text.encode())

    marker = text_watermark(_operator=Operator(watermark_key=KEY))
    assert isinstance(marker, TextWatermark)
    marker.sampling(Speaker())  # type: ignore[arg-type]
    assert put(marker, content("Yes.", "speaker", text_watermark="synthid")).error.startswith(
        "too short to tell: found 1 tokens"
    )
    assert put(marker, content(PROSE, "speaker", text_watermark="synthid")).error.startswith("too faint to tell: found p ")


def test_a_policy_with_a_text_watermark_asks_for_the_key() -> None:
    """Alone, and whatever the method."""
    assert keyed([MarkSpec("text_watermark", Modality.TEXT)])
    assert keyed([MarkSpec("text_watermark", Modality.TEXT, {"method": "green_list"})])


def test_settings_that_do_not_fit_are_refused() -> None:
    """Without a key nothing is marked; only the green list has strengths."""
    with pytest.raises(SettingsError, match="0 bytes, expected 32 for watermarks in text"):
        text_watermark(_operator=Operator())
    with pytest.raises(RegistryError, match="'high' with method 'synthid'"):
        text_watermark(strength="high")
