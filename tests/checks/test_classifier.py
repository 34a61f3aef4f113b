"""Any Hugging Face classifier by name: real tiny models of the same format."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from guard.errors import ModelError, RegistryError
from guard.protocols import Check
from guard.registry import checks
from guard.text import windows
from guard.types import Scan
from policies import loads
from policies.mistake import PolicyFileError
from tests.fakes import text
from tests.tiny_models import HARMLESS, THREATS, classifier, threat_classifier

LONG = "The parcel will arrive on Tuesday, and the invoice is attached. "


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return threat_classifier(tmp_path_factory.mktemp("models") / "single")


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return threat_classifier(tmp_path_factory.mktemp("models") / "multi", problem="multi_label_classification")


@pytest.fixture
def copy(single: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(single, tmp_path / "copy"))


def made(folder: Path | str, labels: object = None, **parameters: object) -> Check:
    return checks.make("classifier", {"model": str(folder), "labels": labels or {"THREAT": "violence"}, **parameters})


def loaded(folder: Path, labels: object = None, **parameters: object) -> Check:
    check = made(folder, labels, **parameters)
    check.load()
    return check


def scores(scan: Scan) -> dict[str, int]:
    return {finding.label: finding.score for finding in scan.findings}


def test_labels_that_exclude_one_another_share_their_probability(single: Path) -> None:
    """Softmax, as the Hugging Face pipeline does without a problem type."""
    check = loaded(single, {"THREAT": "violence", "BENIGN": "operation"}, report_from=0)
    for sentence in (*THREATS, *HARMLESS):
        found = scores(check([text(sentence)])[0])
        assert abs(found["THREAT"] + found["BENIGN"] - 1000) <= 1
        assert (found["THREAT"] >= 500) == (sentence in THREATS)


def test_scores_are_those_of_the_hugging_face_pipeline(single: Path, multi: Path) -> None:
    """The same model, asked by transformers itself."""
    from transformers import pipeline

    for folder, labels in ((single, ("THREAT", "BENIGN")), (multi, ("threat", "toxic"))):
        asked = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
        check = loaded(folder, dict.fromkeys(labels, "violence"), report_from=0)
        for sentence in (*THREATS, *HARMLESS):
            expected = {one["label"]: one["score"] * 1000 for one in asked([sentence])[0]}
            found = scores(check([text(sentence)])[0])
            assert found == pytest.approx(expected, abs=1)


def test_labels_that_do_not_exclude_one_another_have_scores_of_their_own(multi: Path) -> None:
    """Sigmoid, because config.json says multi_label_classification; `problem` overrules it."""
    found = scores(loaded(multi, {"threat": "violence", "toxic": "harassment"})([text(THREATS[0])])[0])
    assert min(found.values()) > 900
    shared = scores(loaded(multi, {"threat": "violence", "toxic": "harassment"}, problem="single")([text(THREATS[0])])[0])
    assert abs(sum(shared.values()) - 1000) <= 1


def test_the_policy_names_the_labels(multi: Path) -> None:
    """A name of its own; several of the model's for one; those that it leaves out do not count."""
    both = {name: {"label": "harm", "category": "violence"} for name in ("threat", "toxic")}
    check = loaded(multi, both)
    assert check.labels == {"harm": "violence"}
    (finding,) = check([text(THREATS[0])])[0].findings
    each = scores(loaded(multi, {"threat": "violence", "toxic": "harassment"})([text(THREATS[0])])[0])
    assert finding.score == max(each.values())
    assert set(loaded(multi, {"toxic": "harassment"}).labels) == {"toxic"}


def test_a_long_text_is_read_to_its_end(single: Path) -> None:
    """In overlapping windows; the finding stands where the threat does."""
    check = loaded(single, window_tokens=16, overlap_tokens=4)
    long = LONG * 20 + THREATS[0]
    (scan,) = check([text(long)])
    (finding,) = scan.findings
    assert scan.scanned is not None
    assert scan.scanned.end == len(long)
    assert finding.where.start < long.index("kill") < finding.where.end
    assert re.fullmatch(rf"scored {finding.score} per mille for THREAT in window \d+ of \d+", finding.reason)


def test_disguised_text_is_read_as_it_is_meant(single: Path) -> None:
    """Unless the policy switches it off."""
    hidden = "I will k1ll you tonight."
    assert "beneath a disguise" in loaded(single, report_from=0)([text(hidden)])[0].findings[0].reason
    assert "disguise" not in str(loaded(single, report_from=0, normalise=False)([text(hidden)]))


def test_a_batch_is_a_pass_for_each_length_with_the_scores_of_each_alone(single: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And more tokens than fit are split without changing them."""
    check = loaded(single, report_from=0)
    batch = [text(one) for one in (*THREATS, *HARMLESS, "", LONG * 9)]
    alone = [scores(check([one])[0]) for one in batch]
    passes: list[int] = []
    check._loaded.model.register_forward_hook(lambda *_: passes.append(1))
    assert _near(alone, check(batch))
    assert len(passes) == 2  # the long windows, and the short ones
    monkeypatch.setattr(windows, "TOKENS_A_PASS", 64)
    assert _near(alone, check(batch))
    assert len(passes) > 2


def _near(expected: list[dict[str, int]], scans: list[Scan]) -> bool:
    pairs = zip(expected, map(scores, scans), strict=True)
    return all(one.keys() == two.keys() and all(abs(one[key] - two[key]) <= 1 for key in one) for one, two in pairs)


def test_its_digest_covers_the_weights(single: Path, copy: Path) -> None:
    """One changed number is another model."""
    same = loaded(copy)
    assert same.digest == loaded(single).digest
    weights = load_file(copy / "model.safetensors")
    weights["classifier.bias"][0] += 1.0
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert loaded(copy).digest != same.digest


@pytest.mark.parametrize("name", ["classifier.weight", "bert.encoder.layer.1.output.dense.weight"])
@pytest.mark.parametrize("renamed", [True, False])
def test_weights_that_are_missing_are_refused(copy: Path, name: str, renamed: bool) -> None:
    """They would be random: head or encoder, left out or under another name."""
    weights = load_file(copy / "model.safetensors")
    moved = weights.pop(name)
    if renamed:
        weights["other.weight"] = moved
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"1 weights are missing or of another shape, first '{name}'"):
        made(copy).load()


def test_a_head_of_another_size_is_refused(copy: Path) -> None:
    """The labels of config.json must be those of the weights."""
    weights = load_file(copy / "model.safetensors")
    weights["classifier.weight"] = torch.zeros(5, 32)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="not loaded as AutoModelForSequenceClassification"):
        made(copy).load()


def test_a_model_that_is_cut_short_is_refused(copy: Path) -> None:
    """A config.json of fewer layers than the weights have makes another model of them."""
    change(copy, num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"leaves out \d+ weights of layers, first 'bert.encoder.layer.1"):
        made(copy).load()


def test_weights_in_a_pickle_are_refused(copy: Path) -> None:
    """Even where nothing else is there to load."""
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="not loaded as AutoModelForSequenceClassification"):
        made(copy).load()


def test_code_in_the_folder_is_not_run(copy: Path, tmp_path: Path) -> None:
    """A config.json that names a class of its own is refused."""
    marker = tmp_path / "ran"
    (copy / "own.py").write_text(f"open({str(marker)!r}, 'w')\n", "utf-8")
    change(copy, model_type="own", auto_map={"AutoConfig": "own.C", "AutoModelForSequenceClassification": "own.M"})
    with pytest.raises(ModelError):
        made(copy).load()
    assert not marker.exists()


def change(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | fields), "utf-8")


def test_a_regression_model_and_a_lone_label_are_refused(copy: Path, tmp_path: Path) -> None:
    """Neither gives a probability the way it is asked."""
    change(copy, problem_type="regression")
    with pytest.raises(ModelError, match="regression"):
        made(copy).load()
    lone = classifier(tmp_path / "lone", {THREATS[0]: [1.0]}, ["THREAT"], problem="multi_label_classification", steps=1)
    with pytest.raises(ModelError, match="one label"):
        made(lone, problem="single").load()
    made(lone).load()


def test_a_window_beyond_the_model_is_refused(single: Path) -> None:
    """It has 256 positions."""
    with pytest.raises(ModelError, match="at most 256"):
        made(single, window_tokens=300).load()


def test_weights_that_are_no_numbers_fail_the_check(copy: Path) -> None:
    """A score is never made of them."""
    weights = load_file(copy / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="no number"):
        loaded(copy)([text("hello")])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"THREATS": "violence"}, r"found 'THREATS', expected one of .*: BENIGN, THREAT"),
        ({"THREAT": "violent"}, "category 'violent' for 'THREAT', expected one of: violence"),
        ({"THREAT": {"label": "threat"}}, "found no category under 'THREAT'"),
        ({"THREAT": {"category": "violence", "name": "x"}}, "found key 'name' under 'THREAT'"),
        ({"THREAT": {"category": "violence", "label": "any"}}, "label 'any'"),
        (
            {"THREAT": {"category": "violence", "label": "x"}, "BENIGN": {"category": "hate", "label": "x"}},
            "label 'x' with categories violence and hate",
        ),
    ],
)
def test_labels_that_cannot_be_meant_are_refused_when_the_policy_is_read(single: Path, labels: object, message: str) -> None:
    """Before any model is loaded."""
    with pytest.raises(RegistryError, match=message):
        made(single, labels)


def test_no_labels_at_all_are_refused(single: Path) -> None:
    """A check that can find nothing protects nobody."""
    with pytest.raises(RegistryError, match="no entry in labels"):
        checks.make("classifier", {"model": str(single), "labels": {}})


def test_a_policy_file_names_the_line_of_a_wrong_label(single: Path) -> None:
    """With what the model has."""
    document = f"""policy: p
version: 1
checks:
  threat:
    use: classifier
    model: {single}
    labels: {{THREATS: violence}}
rules:
  - id: threat
    when: {{threat: any}}
    action: block
"""
    with pytest.raises(PolicyFileError, match=r"policy:5:10: .*found 'THREATS'.*BENIGN, THREAT"):
        loads(document)
    assert loads(document.replace("THREATS", "THREAT")).checks[0].parameters["labels"] == {"THREAT": "violence"}


def test_a_hub_model_is_not_asked_for_until_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And offline, loading says what to do."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    check = made("unitary/toxic-bert", {"toxic": "harassment"}, revision="0" * 40)
    assert check.labels == {"toxic": "harassment"}
    assert check.version == "0" * 40 + ", code 1"
    with pytest.raises(ModelError, match="not found on the model hub nor in its local cache") as caught:
        check.load()
    assert "HF_HUB_OFFLINE" in caught.value.diagnostics()


def test_a_hub_model_is_found_in_the_cache_by_name_and_commit(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, as an operator fills it; the version it reports is the commit."""
    import huggingface_hub.constants

    commit = "a" * 40
    home = tmp_path / "models--acme--threats"
    shutil.copytree(single, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit, "utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for revision in (None, commit):
        check = made("acme/threats", revision=revision)
        check.load()
        assert check.version == f"{commit}, code 1"
        assert scores(check([text(THREATS[0])])[0])["THREAT"] > 900


def test_a_missing_folder_is_refused_when_the_policy_is_read() -> None:
    """It is no hub name either."""
    with pytest.raises(ModelError, match="no model folder"):
        made("./no/such/folder")


def test_it_is_not_usable_before_it_is_loaded(single: Path) -> None:
    """Rather than finding nothing."""
    with pytest.raises(ModelError, match="not loaded"):
        made(single)([text("hello")])
