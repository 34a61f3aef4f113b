"""How the toxicity check reads: in integers, with an n-gram part, and in two languages."""

import json
import math
import random

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file

from guard.errors import ModelError, RegistryError
from guard.models import int8, locate
from guard.models.detoxify import folder_window
from guard.models.ngrams import FILE, SCREEN_BIAS, SETTLED_SCALE, Blend, Runs, Screen, features, load_ngrams
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Span, Stage

INSULT = "You are a worthless idiot, stop wasting my time."
THREAT = "I will find you and I will kill you."
ORDINARY = "Thank you for your message, the parcel will arrive on Tuesday."
CHINESE_INSULT = "你这个没用的废物，滚远点！"


def content(text):
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))


def loaded(**parameters):
    check = checks.make("toxicity", {"report_from": 0, **parameters})
    check.load()
    return check


def scores(scan):
    return {finding.label: finding.score for finding in scan.findings}


@pytest.fixture(scope="module")
def both():
    return loaded()


@pytest.fixture(scope="module")
def english():
    return loaded(model="bundled/toxicity-en")


def small(**changes):
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, num_labels=3, **changes
    )
    return transformers.BertForSequenceClassification(config).eval()


@pytest.mark.parametrize("length", [1, 2, 17, 96])
def test_integers_give_nearly_the_logits_of_whole_precision(length):
    """The graph is the model's own: a wrong layer would be off by far more than rounding."""
    model = small()
    tokens = [int(number) for number in np.random.default_rng(length).integers(0, 50, length)]
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([tokens])).logits[0].tolist()
    assert int8.quantized(model)(tokens) == pytest.approx(expected, abs=0.02)


def test_a_model_of_another_shape_is_refused():
    """Rather than computed wrongly."""
    model = small(hidden_act="relu")
    assert not int8.supported(model)
    with pytest.raises(ModelError, match="8-bit integers, expected a BertForSequenceClassification"):
        int8.quantized(model)


def test_bundled_models_are_computed_in_integers_with_the_same_verdicts(english):
    """What `auto` means; the version says so, for the scores differ a little."""
    whole = loaded(model="bundled/toxicity-en", precision="float32")
    assert " int8" in english.version
    assert " int8" not in whole.version
    for text in (INSULT, THREAT, ORDINARY):
        for label, score in scores(whole([content(text)])[0]).items():
            assert abs(scores(english([content(text)])[0])[label] - score) <= 80


def test_a_text_scores_the_same_alone_and_among_others(both):
    """Rounding goes by the text, not by its neighbours."""
    texts = [INSULT, ORDINARY * 12, CHINESE_INSULT, THREAT, "Hi"]
    together = [scores(scan) for scan in both([content(text) for text in texts])]
    assert together == [scores(both([content(text)])[0]) for text in texts]


def test_each_script_is_read_by_its_model(both):
    """And a text with both by both, each label with its higher score and its place in the whole text."""
    (chinese,) = both([content(CHINESE_INSULT)])
    assert scores(chinese)["toxicity"] >= 500
    text = f"客服回复如下，请查收。{THREAT}"
    (mixed,) = both([content(text)])
    worst = next(finding for finding in mixed.findings if finding.label == "threat")
    assert worst.score >= 500
    assert worst.where.start >= text.index("I will")
    assert mixed.scanned == Span(0, len(text))
    assert len({finding.label for finding in mixed.findings}) == len(mixed.findings)


PARTS = (
    *(
        INSULT,
        THREAT,
        ORDINARY,
        CHINESE_INSULT,
        "客服回复如下，请查收。",
        "The 1d10t at the desk, y o u  f o o l.",
        "naïve e\u0301tude ﬁne.",
    ),
    *(
        "Nobody wants you here",
        "the new scanner in the hall was out of order for a day",
        "Is it? Yes!",
        "\n\n",
        "天气很好 and so on…",
    ),
)


def test_a_growing_text_is_said_what_the_whole_of_it_is(both, monkeypatch):
    """Score by score and place by place, at the end of each sentence; and no window is computed twice."""
    read = []
    many = int8.Encoder.many

    def seen(self, rows):
        read.extend((id(self), tuple(row)) for row in rows)
        return many(self, rows)

    draw = random.Random(5)
    for _ in range(6):
        follower, text, asked = both.follow(), "", []
        read.clear()
        for _ in range(draw.randint(8, 16)):
            text += draw.choice(PARTS) + draw.choice((" ", " ", ". ", ""))
            monkeypatch.setattr(int8.Encoder, "many", seen)
            asked.append((text, follower(text, ending=False)))
            monkeypatch.undo()
        assert len(read) == len(set(read))
        asked.append((text, follower(text, ending=True)))
        for before, progress in asked:
            whole = before[: progress.settled]
            expected = both([content(whole)])[0].findings if whole else ()
            assert progress.scan.findings == expected
        assert progress.settled == len(text)


@pytest.mark.parametrize("text", ["", "…", "12345 +-*/", "Привет, как дела?", "こんにちは", "😀", "訂單已發貨", "ok 好"])
def test_every_text_is_read_by_some_model(both, text):
    (scan,) = both([content(text)])
    assert scan.scanned == Span(0, len(text))


def test_the_digest_of_two_models_changes_with_either(both, english):
    """So that an entry in the ledger names both."""
    assert both.digest not in {"", english.digest}
    assert checks.make("toxicity").digest == ""


def test_the_model_says_how_many_tokens_it_reads_at_a_time(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"window_tokens": 96}))
    assert folder_window(tmp_path) == 96
    (tmp_path / "config.json").write_text("{}")
    assert folder_window(tmp_path) == folder_window(None) == 64
    (tmp_path / "config.json").write_text(json.dumps({"window_tokens": "many"}))
    with pytest.raises(ModelError, match=r"window_tokens in config\.json is 'many'"):
        folder_window(tmp_path)


def test_features_are_distinct_runs_in_range():
    """Order matters through the runs, repetition does not."""
    found = features([5, 6, 7], 1024, 2)
    assert len(found) == 5
    assert len(features([5, 6, 7], 1024, 3)) == 6
    assert set(found) < set(features([5, 6, 7], 1024, 3))
    assert len(features([5, 5, 5, 5], 1024, 2)) == 2
    assert not np.array_equal(features([7, 6, 5], 1024, 2), found)
    assert len(features([], 1024, 3)) == 0
    assert len(features([9], 1024, 3)) == 1
    assert max(features(range(5000), 256, 3)) < 256


def test_a_screen_settles_only_what_it_knows_to_be_harmless():
    """Unknown pieces add nothing, and the bias alone is above the limit."""
    weights = np.zeros(1024, np.float32)
    weights[features([5, 6], 1024, 2)] = -4
    screen = Screen(weights, limit=-3.0)
    assert screen.settled([1, 5, 6, 2]) == pytest.approx(SETTLED_SCALE / (1 + math.exp(-SCREEN_BIAS + 12 / math.sqrt(3))))
    assert screen.settled([1, 900, 2]) is None
    assert screen.settled([1, 2]) is None


def test_a_blend_weighs_both_logits():
    """With nothing that it knows, what is left of the encoder's logit, and the bias."""
    weights = np.zeros(1024, np.float32)
    weights[features([5], 1024, 3)] = 2
    blend = Blend(weights, encoder=0.5, own=3.0, bias=-1.0)
    assert blend.corrected(4.0, Runs([1, 5, 2])) == pytest.approx(2 + 6 - 1)
    assert blend.corrected(4.0, Runs([1, 700, 2])) == pytest.approx(1)


def test_the_bundled_screen_settles_service_text_and_never_abuse(english):
    """Its share is in the model card; these are plain cases."""
    reader = english._readers[0]
    settled = [reader._screen.settled(window.tokens) is not None for window in reader._cut([ORDINARY, INSULT, THREAT])]
    assert settled == [True, False, False]
    assert scores(english([content(ORDINARY)])[0])["toxicity"] < 100


def test_without_its_ngrams_a_model_is_the_encoder_alone(english):
    """A way to measure what they change; the version says so, and labels they do not speak of stay the same."""
    alone = loaded(model="bundled/toxicity-en", ngrams=False)
    assert "encoder alone" in alone.version
    one, other = scores(alone([content(INSULT)])[0]), scores(english([content(INSULT)])[0])
    assert one["insult"] == other["insult"]


GOOD = {"screen": np.zeros(64, np.float16), "limit": np.float32(-3)}


@pytest.mark.parametrize(
    "tensors",
    [
        GOOD | {"screen": np.zeros(100, np.float16)},
        GOOD | {"screen": np.zeros((8, 8), np.float16)},
        GOOD | {"screen": np.full(64, np.nan, np.float16)},
        GOOD | {"limit": np.float32(0)},
        GOOD | {"limit": np.float32("nan")},
        {"screen": np.zeros(64, np.float16)},
        {"blend": np.zeros(64, np.float16), "mixture": np.float32([1, 2])},
        {"blend": np.zeros(64, np.float16)},
        {"blend.sexism": np.zeros(64, np.float16), "mixture": np.float32([1, 2, 3])},
    ],
)
def test_an_ngram_part_of_another_shape_is_refused(tmp_path, tensors):
    save_file({name: np.atleast_1d(value) for name, value in tensors.items()}, tmp_path / FILE)
    with pytest.raises(ModelError, match=FILE.replace(".", r"\.")):
        load_ngrams(tmp_path)


def test_a_folder_may_have_either_part_or_none(tmp_path):
    assert load_ngrams(tmp_path) == (None, {})
    save_file({name: np.atleast_1d(value) for name, value in GOOD.items()}, tmp_path / FILE)
    screen, blends = load_ngrams(tmp_path)
    assert screen is not None
    assert blends == {}
    screen, blends = load_ngrams(locate("bundled/toxicity-en").path)
    assert screen is not None
    assert "toxicity" in blends
    assert list(load_ngrams(locate("bundled/toxicity-zh").path)[1]) == ["toxicity"]


def test_a_correction_belongs_to_its_label(tmp_path):
    """Without one for `toxicity`, nothing is held under that label."""
    one = {"blend.sexism": np.zeros(64, np.float16), "mixture.sexism": np.float32([1, 0, -2])}
    save_file(one, tmp_path / FILE)
    blends = load_ngrams(tmp_path)[1]
    assert list(blends) == ["sexism"]
    assert blends["sexism"].corrected(1.5, Runs([1, 7, 2])) == pytest.approx(-0.5)


def test_an_overlap_is_measured_against_the_models_own_window():
    """Half of 64 tokens for the Chinese model, of 96 for the English one; both have to bear it."""
    assert checks.make("toxicity", {"model": "bundled/toxicity-en", "overlap_tokens": 48})
    with pytest.raises(RegistryError, match="overlap_tokens is 48, expected 0 to 32"):
        checks.make("toxicity", {"overlap_tokens": 48})
