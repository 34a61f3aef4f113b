"""The toxicity check: its contract, its windows, and what it refuses to load."""

import importlib.util
import json
import shutil
import socket
import tomllib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import transformers
from detoxify import detoxify as detoxify_module

from guard.errors import ModelError, RegistryError
from guard.models import BUNDLED, sha256
from guard.models.detoxify import load_folder
from guard.protocols import Check
from guard.registry import checks
from guard.taxonomy import CATEGORIES
from guard.text import windows
from guard.types import CALLER, Content, Modality, Request, Span, Stage

FOLDER = BUNDLED / "toxicity-en"
ROOT = Path(__file__).parents[2]
LABELS = ["toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack"]
OURS = [*LABELS, "sexism"]
THREAT = "I will find you and I will kill you."
HARMLESS = "The parcel will arrive on Tuesday, and the invoice is attached to this message. "


def content(text):
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))


def scores(scan):
    return {finding.label: finding.score for finding in scan.findings}


@pytest.fixture(scope="module")
def bundled():
    """The check as a policy gets it that names no parameter."""
    check = checks.make("toxicity", {"report_from": 0})
    check.load()
    return check


@pytest.fixture
def tiny(tmp_path):
    """A folder of Detoxify's format with a very small random model, and no manifest: an operator's own."""
    return write_folder(tmp_path / "tiny")


def write_folder(folder, *, labels=LABELS, change=lambda checkpoint: None):
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(FOLDER / name, folder / name)
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len((FOLDER / "vocab.txt").read_text("utf-8").splitlines()),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=256,
        id2label=dict(enumerate(labels)),
    )
    config.save_pretrained(folder)
    arch = {"model_type": "bert-base-uncased", "model_name": "BertForSequenceClassification"}
    arch |= {"tokenizer_name": "BertTokenizer", "num_classes": len(labels)}
    state = transformers.BertForSequenceClassification(config).state_dict()
    checkpoint = {"config": {"arch": {"args": arch}, "dataset": {"args": {"classes": list(labels)}}}, "state_dict": state}
    change(checkpoint)
    torch.save(checkpoint, folder / "checkpoint.pt")
    return folder


def loaded(folder, **parameters):
    check = checks.make("toxicity", {"model": str(folder), **parameters})
    check.load()
    return check


def test_the_check_keeps_the_protocol_and_knows_its_labels_before_it_is_loaded():
    """A policy can be linted without loading a model."""
    check = checks.make("toxicity")
    assert isinstance(check, Check)
    assert list(check.labels) == OURS
    assert set(check.labels.values()) <= set(CATEGORIES)
    assert check.version
    assert check.digest == ""
    assert check.blocking
    assert check.modalities == {Modality.TEXT}


@pytest.mark.parametrize("name", ["original", "unbiased", "multilingual"])
def test_labels_of_a_public_variant_are_known_without_a_network(name):
    """Only `load` fetches it."""
    assert set(checks.make("toxicity", {"model": name}).labels) >= set(LABELS)


def test_every_flagged_example_is_flagged_and_every_clean_one_is_not(bundled):
    """500 per mille is where a policy without an opinion would draw the line."""
    examples = bundled.examples
    for example, scan in zip(examples.flagged, bundled(examples.flagged), strict=True):
        assert max(scores(scan).values()) >= 500, example.text
    for example, scan in zip(examples.clean, bundled(examples.clean), strict=True):
        assert max(scores(scan).values()) < 500, example.text


def test_no_example_is_a_sentence_the_model_was_trained_on():
    """The composed part of the training text can be made again here."""
    composed = set()
    for name, seeds in (("grammar", (20, 21)), ("functional", (20, 21, 22)), ("situations", (20, 21, 22))):
        spec = importlib.util.spec_from_file_location(name, ROOT / f"training/toxicity/{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        composed |= {row["text"].lower() for seed in seeds for row in module.compose(seed)}
    examples = checks.make("toxicity").examples
    probes = tomllib.loads((ROOT / "training/toxicity/probes.toml").read_text("utf-8"))
    assert composed
    assert not composed & {text.lower() for group in probes.values() for text in group["texts"]}
    assert not composed & {example.text.lower() for example in examples.flagged + examples.clean}


def test_scores_are_those_of_detoxify_itself():
    """On a text of one window nothing but rounding may differ from `Detoxify.predict`."""
    check = loaded("bundled/toxicity-en", report_from=0, precision="float32", ngrams=False)
    detoxify, digest = load_folder("bundled/toxicity-en", "cpu")
    expected = {label: round(value * 1000) for label, value in detoxify.predict(THREAT).items()}
    assert expected == scores(check([content(THREAT)])[0])
    assert digest == check.digest


def test_nothing_is_fetched_for_the_bundled_model(monkeypatch):
    """No socket is opened, with the hub's offline switch unset."""

    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    check = checks.make("toxicity")
    check.load()
    assert check([content(HARMLESS)])[0].scanned == Span(0, len(HARMLESS))


def test_the_bundled_folder_stays_small():
    """The repository's size counts."""
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 25_000_000


def test_a_threat_at_the_end_of_a_long_text_is_found_where_it_stands(bundled):
    """The finding's span covers the sentence, in code points, and not the whole text."""
    text = "🙂 " + HARMLESS * 40 + THREAT
    scan = bundled([content(text)])[0]
    worst = next(finding for finding in scan.findings if finding.label == "threat")
    assert worst.score >= 500
    assert worst.where.start <= text.index(THREAT)
    assert worst.where.end == len(text)
    assert worst.where.start > len(text) // 2
    assert scan.scanned == Span(0, len(text))


def test_a_reason_never_quotes_the_text(bundled):
    """It says label, score and window."""
    finding = bundled([content(THREAT)])[0].findings[0]
    assert finding.reason == f"scored {finding.score} per mille for {finding.label} in window 1 of 1"


def test_windows_overlap_and_cover_every_word(tiny):
    """Each window but the first reads the end of the one before it again."""
    check = loaded(tiny, window_tokens=16, overlap_tokens=4)
    text = " ".join(f"word{number}" for number in range(60))
    spans = [window.span for window in check._readers[0]._cut([text])]
    assert (spans[0].start, spans[-1].end) == (0, len(text))
    assert all(after.start < before.end for before, after in pairwise(spans))


def test_a_batch_is_a_forward_pass_for_each_length(tiny):
    """The full windows of all its texts together, and the short ones."""
    check, passes = loaded(tiny), []
    check._readers[0]._detoxify.model.register_forward_hook(lambda *_: passes.append(1))
    scans = check([content(text) for text in (HARMLESS * 30, THREAT, "", HARMLESS)])
    assert len(passes) == 2
    assert [scan.scanned.end for scan in scans] == [len(HARMLESS) * 30, len(THREAT), 0, len(HARMLESS)]


def test_many_windows_are_split_into_passes_with_the_same_scores(tiny, monkeypatch):
    """Memory stays bounded, and the findings do not depend on where the passes are cut."""
    check = loaded(tiny, report_from=0)
    batch = [content(HARMLESS * 20), content(THREAT), content(HARMLESS)]
    whole = [scores(scan) for scan in check(batch)]
    monkeypatch.setattr(windows, "TOKENS_A_PASS", 200)
    passes = []
    check._readers[0]._detoxify.model.register_forward_hook(lambda *_: passes.append(1))
    parts = [scores(scan) for scan in check(batch)]
    assert len(passes) > 1
    assert all(abs(one[label] - other[label]) <= 1 for one, other in zip(whole, parts, strict=True) for label in LABELS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "\x00\x01\x7f",
        "\ud800",
        "a\udfffb \ud83d",
        "😀👩‍👩‍👧 é",
        "\u202e\u200b\ufeff",
        "a" * 100_000,
        ("x" * 120 + " ") * 830,
    ],
    ids=["empty", "blank", "control", "surrogate", "surrogates", "emoji", "marks", "one-word", "long-words"],
)
def test_no_text_is_too_strange_to_read(tiny, text):
    """All of it counts as read, and every place is inside the text."""
    scan = loaded(tiny, report_from=0)([content(text)])[0]
    assert scan.scanned == Span(0, len(text))
    assert all(0 <= finding.where.start < finding.where.end <= len(text) for finding in scan.findings)


def test_an_empty_text_has_no_findings(bundled):
    """Nothing was said; a model's opinion of nothing is not reported."""
    assert bundled([content("")])[0].findings == ()
    assert bundled([]) == []


def test_findings_below_the_floor_are_not_reported(tiny):
    """`report_from` is compared with the rounded score."""
    every = scores(loaded(tiny, report_from=0)([content(HARMLESS)])[0])
    floor = sorted(every.values())[3]
    kept = scores(loaded(tiny, report_from=floor)([content(HARMLESS)])[0])
    assert kept == {label: score for label, score in every.items() if score >= floor}


def test_threads_may_share_a_check(tiny):
    """The chain calls it from its worker threads."""
    check = loaded(tiny, report_from=0)
    batches = [[content(HARMLESS * count)] for count in range(1, 13)]
    alone = [check(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = [scans[0] for scans in pool.map(check, batches)]
    assert [scan.scanned for scan in together] == [scan.scanned for scan in alone]
    assert [scores(scan) for scan in together] == [scores(scan) for scan in alone]


@pytest.mark.parametrize(
    "parameters",
    [{"window_tokens": 15}, {"overlap_tokens": -1}, {"overlap_tokens": 33}, {"report_from": 1001}, {"windows": 3}],
)
def test_parameters_out_of_range_are_refused(parameters):
    """When the policy is compiled, not when the first text comes."""
    with pytest.raises(RegistryError, match="expected"):
        checks.make("toxicity", parameters)


def test_a_model_that_is_not_there_is_refused_at_once(tmp_path):
    """The message names the bundled ones."""
    with pytest.raises(ModelError) as caught:
        checks.make("toxicity", {"model": str(tmp_path / "none")})
    assert "bundled/toxicity-en" in caught.value.diagnostics()


def test_a_text_before_load_is_an_error(tiny):
    """A check that was not loaded never says clean."""
    with pytest.raises(ModelError, match="not loaded"):
        checks.make("toxicity", {"model": str(tiny)})([content(HARMLESS)])


def test_a_window_larger_than_the_model_is_refused(tiny):
    """The tokenizer would cut it off silently."""
    with pytest.raises(ModelError, match="reads at most 256"):
        loaded(tiny, window_tokens=300)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    """Detoxify would go on with random ones."""
    folder = write_folder(tmp_path / "m", change=lambda found: found["state_dict"].pop("classifier.weight"))
    with pytest.raises(ModelError, match="lacks 1 weights"):
        loaded(folder)


def test_a_checkpoint_with_other_labels_than_its_configuration_is_refused(tmp_path):
    """Rules would ask for labels that the model never reports."""
    folder = write_folder(tmp_path / "m", change=lambda found: found["config"]["dataset"]["args"].update(classes=["a"] * 6))
    with pytest.raises(ModelError, match="has labels"):
        loaded(folder)


def test_a_label_without_a_category_is_refused(tmp_path):
    """Every finding needs one of our categories."""
    with pytest.raises(ModelError, match="'spam'"):
        checks.make("toxicity", {"model": str(write_folder(tmp_path / "m", labels=["toxicity", "spam"]))})


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path):
    """Unpickling it without restraint would create the file."""
    trace = tmp_path / "trace"

    class Code:
        def __reduce__(self):
            return (Path.touch, (trace,))

    folder = write_folder(tmp_path / "m", change=lambda found: found.update(extra=Code()))
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(folder)
    assert not trace.exists()


def test_a_model_that_answers_no_number_is_an_error(tmp_path):
    """NaN compares as lower than every threshold: it must not pass for clean."""
    folder = write_folder(tmp_path / "m", change=lambda found: found["state_dict"]["classifier.bias"].fill_(float("inf")))
    with pytest.raises(ModelError, match="no number"):
        loaded(folder)([content(HARMLESS)])


def test_a_changed_bundled_file_is_refused(tmp_path):
    """The manifest's digests are compared before anything is read."""
    shutil.copytree(FOLDER, tmp_path / "m")
    (tmp_path / "m" / "vocab.txt").write_text("[PAD]\n", "utf-8")
    with pytest.raises(ModelError, match=r"vocab\.txt has digest"):
        loaded(tmp_path / "m")


def test_a_public_variant_without_a_network_says_what_to_do(monkeypatch):
    """It fails, it does not fall back to another model."""

    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(ModelError, match="'original' could not be fetched") as caught:
        loaded("original")
    assert "bundled/toxicity-en" in caught.value.advice


def test_a_public_variant_loads_by_name_and_has_the_digest_of_its_download(tmp_path, monkeypatch):
    """The same way as online, with a checkpoint that a file address serves."""
    folder = write_folder(tmp_path / "m", change=lambda found: rename(found, tmp_path / "m"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(detoxify_module.MODEL_URLS, "original", (folder / "checkpoint.pt").as_uri())
    check = loaded("original", report_from=0)
    assert set(scores(check([content(THREAT)])[0])) == set(LABELS)
    assert check.digest == sha256(folder / "checkpoint.pt")


def rename(checkpoint, folder):
    """Give the classes the names that the public checkpoints carry, and a tokenizer that is at hand."""
    checkpoint["config"]["arch"]["args"]["model_type"] = str(folder)
    checkpoint["config"]["dataset"]["args"]["classes"] = [
        "toxic",
        "severe_toxic",
        "obscene",
        "threat",
        "insult",
        "identity_hate",
    ]


def test_the_configuration_names_the_labels_in_order():
    """They are read from it without opening the weights."""
    names = json.loads((FOLDER / "config.json").read_text("utf-8"))["id2label"]
    assert [names[str(index)] for index in range(len(names))] == OURS


@pytest.mark.parametrize(
    "insult",
    ["1d10t", "i d i o t", "i.d.i.o.t", "idіоt", "ｉｄｉｏｔ", "i\u200bd\u200biot", "idiooooooot", "i̶d̶i̶o̶t̶", "𝓲𝓭𝓲𝓸𝓽", "id*ot"],
)
def test_a_disguised_insult_is_found_as_the_plain_one_is(bundled, insult):
    """Its score is at least the plain one's, and its place is that of the disguise."""
    plain, disguised = bundled([content("You are a stupid idiot."), content(f"🙂 You are a stupid {insult}.")])
    assert scores(disguised)["insult"] >= 0.9 * scores(plain)["insult"] >= 500
    worst = next(finding for finding in disguised.findings if finding.label == "insult")
    assert worst.where.start <= 2
    assert worst.where.end == len(f"🙂 You are a stupid {insult}.")


def test_a_reason_says_that_a_disguise_was_read(bundled):
    """And nothing of what stood beneath it."""
    finding = next(found for found in bundled([content("You 1d10t!")])[0].findings if found.label == "insult")
    assert finding.reason == f"scored {finding.score} per mille for insult beneath a disguise"


def test_only_windows_with_a_disguise_are_read_twice(bundled):
    """Plain text has no second reading, and a long text has one where it is disguised."""
    cut = bundled._readers[0]._cut
    assert windows.cut_disguised([HARMLESS * 20, "你好，世界", ""], cut) == []
    text = HARMLESS * 20 + "You 1d10t!"
    (window,) = windows.cut_disguised([text], cut)
    assert window.span.start <= text.index("You 1d10t")
    assert window.span.end == len(text)


def test_reading_beneath_a_disguise_can_be_switched_off(tiny):
    """For those who measure what it changes."""
    on, off = loaded(tiny, report_from=0), loaded(tiny, report_from=0, normalise=False)
    assert all("disguise" not in finding.reason for finding in off([content("You 1d10t!")])[0].findings)
    assert scores(on([content(HARMLESS)])[0]) == scores(off([content(HARMLESS)])[0])
    passes = []
    on._readers[0]._detoxify.model.register_forward_hook(lambda *_: passes.append(1))
    on([content("You 1d10t!"), content(HARMLESS)])
    assert len(passes) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Write to joe.b@ss.example.com or b4tm4n@host.org before Friday.",
        "The board costs $5k, measures 5'10\" by 6'2\" and ships with the Galaxy A55.",
        "Order XJ4S5-A55H0 and SKU B00B5-1D10T were delivered with 4x4 tyres.",
        "for i in range(10): total += a*b - a*s; print(total) if a != b else quit()",
        "#MeToo #covid19 @ssociates met on Tuesday.",
        "Answer A B C D, then a b c d, then 1 2 3 4.",
        "J. R. R. Tolkien wrote it; Louis XIII and Henry VIII did not. See www.example.com.",
        "你好，世界！价格：￥100（含税），让·雷诺、张三/李四。",
        "Привет, как дела? Он сказал, что это дом.",
        "مرحبا بالعالم، كيف حالك",
        "My room number is 1O1 and the wifi password is s3cr3tp4ss.",
        "Soooo good, yesssss, that was a loooong day!",
        "T h a n k  y o u  v e r y  m u c h",
    ],
)
def test_clean_text_that_looks_disguised_is_not_flagged(bundled, text):
    """Codes, prices, addresses, lists and other scripts stay below 500 per mille."""
    assert max(scores(bundled([content(text)])[0]).values()) < 500


@pytest.mark.slow
def test_a_hundred_thousand_characters_are_read_to_the_end(bundled):
    """Several hundred windows."""
    text = (HARMLESS * 1300)[: 100_000 - len(THREAT)] + THREAT
    scan = bundled([content(text)])[0]
    assert scan.scanned == Span(0, 100_000)
    assert scores(scan)["threat"] >= 500
