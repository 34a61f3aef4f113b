"""Corrections of registers: how likely each is, what is added, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from guard.errors import ModelError
from guard.models import locate
from guard.models.ngrams import Runs, features
from guard.models.registers import FILE, LONGEST, Registers, load_registers
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

BUCKETS = 64
WINDOW = [101, 7, 102]
PLACE = int(features(np.array([7]), BUCKETS, LONGEST)[0])
"""Where the only piece of the window is counted."""


def tensors(**more: np.ndarray) -> dict[str, np.ndarray]:
    """Two registers: the piece speaks for the first, whose correction takes it for toxic."""
    gate, expert = np.zeros((BUCKETS, 2), np.int8), np.zeros((BUCKETS, 2), np.int8)
    gate[PLACE], expert[PLACE] = (100, 0), (50, -10)
    return {
        "gate": gate, "gate.scale": np.float32([0.02, 0.01]), "gate.bias": np.float32([0, -1]),
        "expert.toxicity": expert, "expert.toxicity.scale": np.float32([0.1, 0.1]),
        "expert.toxicity.of": np.array([0, 1]), "expert.toxicity.bias": np.float32([-0.25, 0.5]),
    } | more  # fmt: skip


def made(folder: Path, **more: np.ndarray) -> Registers:
    save_file(tensors(**more), folder / FILE)
    found = load_registers(folder)
    assert found is not None
    return found


def test_corrections_are_weighed_by_how_likely_a_register_is(tmp_path: Path) -> None:
    """Softmax over the registers and none of them, whose logit is 0."""
    found = made(tmp_path)
    shares = np.exp([2.0, -1.0, 0.0])
    shares /= shares.sum()
    assert found.likely(Runs(WINDOW)) == pytest.approx(shares[:2], rel=1e-5)
    assert found.corrections(Runs(WINDOW)) == {"toxicity": pytest.approx(4.75 * shares[0] - 0.5 * shares[1], rel=1e-5)}


def test_what_no_correction_speaks_of_is_left_as_it_was(tmp_path: Path) -> None:
    """Unknown pieces, or a window that is empty; and a correction may be of one register only."""
    found = made(tmp_path, **{"expert.toxicity.bias": np.float32([0, 0])})
    unknown = next(one for one in range(200, 400) if features(np.array([one]), BUCKETS, LONGEST)[0] != PLACE)
    for window in ([101, unknown, 102], [101, 102]):
        assert found.corrections(Runs(window)) == {"toxicity": 0.0}
    second = {"expert.sexism": tensors()["expert.toxicity"][:, :1].copy(), "expert.sexism.scale": np.float32([0.1])}
    both = made(tmp_path, **second, **{"expert.sexism.of": np.array([1]), "expert.sexism.bias": np.float32([0])})
    assert both.corrections(Runs(WINDOW))["sexism"] == pytest.approx(5 * both.likely(Runs(WINDOW))[1], rel=1e-5)


def test_a_far_logit_is_no_overflow(tmp_path: Path) -> None:
    """Of registers that are certain, or impossible."""
    found = made(tmp_path, **{"gate.scale": np.float32([1000, 0.01])})
    assert found.likely(Runs(WINDOW)) == pytest.approx([1, 0])
    found = made(tmp_path, **{"gate.scale": np.float32([-1000, 0.01]), "gate.bias": np.float32([0, -1000])})
    assert found.likely(Runs(WINDOW)) == pytest.approx([0, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"gate": np.zeros((60, 2), np.int8)},
        {"gate": np.zeros(BUCKETS, np.int8)},
        {"gate": np.zeros((BUCKETS, 2), np.float16)},
        {"gate.scale": np.float32([1])},
        {"gate.bias": np.float32([0, np.nan])},
        {"expert.toxicity": np.zeros((2 * BUCKETS, 2), np.int8)},
        {"expert.toxicity.of": np.array([0, 2])},
        {"expert.toxicity.of": np.array([0])},
        {"expert.toxicity.bias": np.float32([])},
    ],
)
def test_another_shape_is_refused(tmp_path: Path, wrong: dict[str, np.ndarray]) -> None:
    """With the file's name, before anything is judged by it."""
    with pytest.raises(ModelError, match=FILE.replace(".", r"\.")):
        made(tmp_path, **wrong)
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=FILE.replace(".", r"\.")):
        load_registers(tmp_path)


def test_a_missing_part_is_refused_and_a_missing_file_is_none(tmp_path: Path) -> None:
    """A gate alone corrects nothing."""
    assert load_registers(tmp_path) is None
    save_file({name: value for name, value in tensors().items() if name.startswith("gate")}, tmp_path / FILE)
    with pytest.raises(ModelError, match="no label is corrected"):
        load_registers(tmp_path)


def test_the_bundled_model_has_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their share of a score is there with `ngrams`, and gone without."""
    found = load_registers(locate("bundled/toxicity-en").path)
    assert found is not None
    assert set(found.experts) == {"toxicity", "sexism"}
    assert load_registers(locate("bundled/toxicity-zh").path) is None
    given = Content(Modality.TEXT, "you are a stupid liar", "text/plain", Stage.OUTPUT, CALLER, Request("r"))

    def scored(**parameters: object) -> list[object]:
        check = checks.make("toxicity", {"model": "bundled/toxicity-en", "report_from": 0, **parameters})
        check.load()
        return [(one.label, one.score) for one in check([given])[0].findings]  # type: ignore[union-attr, index]

    whole, plain = scored(), scored(ngrams=False)
    monkeypatch.setattr("guard.checks.toxicity_reader.load_registers", lambda _: None)
    assert scored() not in (whole, plain)
    assert scored(ngrams=False) == plain
