"""The Chinese model of the toxicity check: its own examples, what it flags, and what it must leave alone."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from guard.errors import ModelError
from guard.models import BUNDLED
from guard.models.detoxify import load_folder
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Span, Stage

ENGLISH, FOLDER = BUNDLED / "toxicity-en", BUNDLED / "toxicity-zh"
ROOT = Path(__file__).parents[2]
MODEL = {"model": "bundled/toxicity-zh", "report_from": 0}
INSULT = "你这个蠢猪，没脑子的废物，赶紧去死吧！"
HARMLESS = "您好，包裹已经从仓库发出，预计明天下午送到，发票在附件里。"


def content(text):
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))


def with_examples(folder, text):
    """A folder that has labels and examples, and nothing that could be loaded."""
    folder.mkdir()
    shutil.copy(ENGLISH / "config.json", folder)
    (folder / "examples.json").write_text(text, "utf-8")
    return checks.make("toxicity", {"model": str(folder)})


def test_a_model_folder_brings_its_own_examples(tmp_path):
    """A model of another language cannot be held to English sentences."""
    given = {"flagged": ["Du Trottel."], "clean": ["Guten Tag.", "Bis morgen."]}
    examples = with_examples(tmp_path / "german", json.dumps(given)).examples
    assert [example.text for example in examples.flagged] == given["flagged"]
    assert [example.text for example in examples.clean] == given["clean"]


def test_without_its_own_a_model_has_the_english_examples():
    """As the bundled English model and the published variants do."""
    english, published = (
        checks.make("toxicity", {"model": model}).examples for model in ("bundled/toxicity-en", "multilingual")
    )
    assert [example.text for example in published.flagged] == [example.text for example in english.flagged]
    assert any("idiot" in example.text for example in english.flagged)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", '{"flagged": ["a"]}', '{"flagged": "a", "clean": ["b"]}', '{"flagged": [], "clean": ["b"]}'],
    ids=["empty", "list", "number", "half", "string", "none"],
)
def test_examples_of_another_form_are_refused_by_name(tmp_path, text):
    """The error names the folder and the form, and quotes nothing."""
    check = with_examples(tmp_path / "own", text)
    with pytest.raises(ModelError, match=r"own: .*examples\.json"):
        _ = check.examples


@pytest.fixture(scope="module")
def chinese():
    """The check as a policy gets it that names the Chinese model."""
    check = checks.make("toxicity", MODEL)
    check.load()
    return check


def scores(check, *texts):
    """What each text scores for `toxicity`, per mille."""
    return [scan.findings[0].score if scan.findings else 0 for scan in check([content(text) for text in texts])]


def test_it_flags_its_own_flagged_examples_and_passes_its_clean_ones(chinese):
    """500 per mille is where a policy without an opinion would draw the line."""
    examples = chinese.examples
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in example.text) for example in examples.flagged + examples.clean)
    assert min(scores(chinese, *(example.text for example in examples.flagged))) >= 500
    assert max(scores(chinese, *(example.text for example in examples.clean))) < 500


def test_no_example_is_a_sentence_it_was_trained_on(chinese):
    """The composed part of the training text can be made again here."""
    spec = importlib.util.spec_from_file_location("composed_zh", ROOT / "training/toxicity_zh/composed.py")
    composed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(composed)
    texts = {text for text, _ in composed.compose(23)}
    assert len(texts) > 1000
    assert not texts & {example.text for example in chinese.examples.flagged + chinese.examples.clean}


def test_it_claims_the_one_label_that_its_data_supports(chinese):
    """And its scores are those of Detoxify itself."""
    assert dict(chinese.labels) == {"toxicity": "harassment"}
    detoxify, digest = load_folder("bundled/toxicity-zh", "cpu")
    alone = checks.make("toxicity", {"model": "bundled/toxicity-zh", "precision": "float32", "ngrams": False, "report_from": 0})
    alone.load()
    assert scores(alone, INSULT) == [round(detoxify.predict(INSULT)["toxicity"] * 1000)]
    assert digest == chinese.digest


@pytest.mark.parametrize("group", ["穆斯林", "同性恋", "黑人", "河南人", "女性", "残疾人", "犹太人"])
def test_a_group_that_is_only_named_is_not_flagged(chinese, group):
    """Who someone is, is no insult."""
    assert max(scores(chinese, f"我是{group}", f"我是{group}，我喜欢画画。", f"我有一个{group}朋友，她在银行工作。")) < 500


def test_an_insult_at_the_end_of_a_long_text_is_found_where_it_stands(chinese):
    """The windows of the check fit a model that reads characters."""
    text = HARMLESS * 12 + INSULT
    scan = chinese([content(text)])[0]
    assert scan.scanned == Span(0, len(text))
    assert scan.findings[0].score >= 500
    assert scan.findings[0].where.start > len(text) // 2
    assert scores(chinese, HARMLESS * 12)[0] < 500


def test_every_common_character_has_a_token():
    """An unknown character would be read as any other unknown one."""
    tokens = set((FOLDER / "vocab.txt").read_text("utf-8").split("\n"))
    assert set(INSULT + HARMLESS + "abcxyz0189，。！？") <= tokens


def test_traditional_characters_have_tokens_of_their_own():
    """They were given the vectors of the simplified ones."""
    tokens = set((FOLDER / "vocab.txt").read_text("utf-8").split("\n"))
    assert set("這個國家沒見過說話殺豬滾騙媽賤黨") - tokens <= {"黨"}


def test_no_second_label_stands_in_two_tables():
    """What is trained on, what sets the bias and what measures are different texts."""
    tables = [ROOT / f"training/toxicity_zh/{name}.csv" for name in ("relabelled", "reread_spare", "reread_dev")]
    rows = [line.split(",") for table in tables for line in table.read_text("utf-8").splitlines()[1:]]
    assert len({text for text, _ in rows}) == len(rows)
    assert {label for _, label in rows} == {"0", "1", "2"}
    assert all(len(text) == 12 for text, _ in rows)


def test_the_chinese_folder_stays_small():
    """The repository's size counts."""
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 8 << 20
