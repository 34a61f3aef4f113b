"""Models in memory: loaded when needed, freed when asked to, never more than the limit, and never while they are used."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from generators.language import language
from generators.residency import Residency, Slot, weights
from guard.errors import ModelError
from guard.models import locate, write_manifest
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.tiny_models import save_model, save_tokenizer


class Model:
    """Something that can be told to be gone."""


def slots(most: int | None, count: int) -> tuple[Residency, list[Slot[Model]]]:
    residency = Residency(most)
    return residency, [Slot(Model, residency) for _ in range(count)]


def test_the_models_that_were_used_last_stay() -> None:
    """The one that was not used for longest goes, and comes back when it is needed."""
    residency, (first, second, third) = slots(2, 3)
    for slot in (first, second, first, third):
        slot.get()
    assert [slot.held for slot in (first, second, third)] == [True, False, True]
    second.get()
    assert [slot.held for slot in (first, second, third)] == [False, True, True]
    residency.limit(1)
    assert residency.resident == 1
    residency.limit(None)
    for slot in (first, second, third):
        slot.get()
    assert residency.resident == 3


def test_a_model_in_use_is_never_freed() -> None:
    """Not for another one, and not when asked to: then it goes when its use ends."""
    residency, (first, second) = slots(1, 2)
    with first.use() as model:
        with second.use():
            assert residency.resident == 2
            first.free()
            assert first.held
        assert first.get() is model
        assert [first.held, second.held] == [True, False]
    assert residency.resident == 0


def test_a_model_that_cannot_be_made_leaves_no_trace() -> None:
    """The next one to ask tries again."""
    answers: list[Any] = [OSError("broken"), Model()]

    def make() -> Model:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    residency = Residency(1)
    slot = Slot(make, residency)
    with pytest.raises(OSError, match="broken"):
        slot.get()
    assert (residency.resident, slot.users) == (0, 0)
    assert isinstance(slot.get(), Model)


def sized(size: int | None, *models: dict[str, int]) -> tuple[Residency, list[Slot[Any]]]:
    residency = Residency(size=size)
    return residency, [Slot(Model, residency, sizes=lambda _made, one=one: one) for one in models]


def test_weights_are_limited_by_device() -> None:
    """The least recently used goes, of those that take room where room is short; others stay."""
    residency, (first, elsewhere, second, third) = sized(100, {"cuda:0": 60}, {"cpu": 90}, {"cuda:0": 40}, {"cuda:0": 50})
    for slot in (first, elsewhere, second):
        slot.get()
    assert residency.taken == {"cuda:0": 100, "cpu": 90}
    third.get()
    assert [slot.held for slot in (first, elsewhere, second, third)] == [False, True, True, True]
    residency.limit(size=50)
    assert residency.taken == {"cuda:0": 50}
    assert not elsewhere.held


def test_room_is_made_before_when_the_size_is_known() -> None:
    """The second time, the old one is gone when the new one is being made."""
    residency = Residency(size=100)
    there: list[bool] = []
    first: Slot[Model] = Slot(Model, residency, sizes=lambda _made: {"cpu": 70})

    def make() -> Model:
        there.append(first.held)
        return Model()

    second: Slot[Model] = Slot(make, residency, sizes=lambda _made: {"cpu": 70})
    for slot in (first, second, first, second):
        slot.get()
    assert there == [True, False]
    assert residency.taken == {"cpu": 70}


def test_what_is_in_use_stays_however_large() -> None:
    """And goes when its use ends, when there is no room for it even alone; what is idle made way before."""
    residency, (large, small) = sized(100, {"cpu": 150}, {"cpu": 10})
    with large.use(), small.use():
        assert residency.taken == {"cpu": 160}
    assert residency.taken == {}


def test_weights_are_counted_once() -> None:
    """Parameters and buffers in their own types, shared ones once; what has none counts nothing."""
    import torch

    one, two = torch.nn.Linear(3, 5, bias=False), torch.nn.BatchNorm1d(4).to(torch.bfloat16)
    two.shared = one.weight
    assert weights(one, two, "scheduler", None) == {"cpu": 3 * 5 * 4 + 4 * 4 * 2 + 8}


def test_many_threads_make_one_model_once() -> None:
    """And the limit holds when they are done."""
    made: list[int] = []
    residency = Residency(2)

    def make(index: int) -> Any:
        made.append(index)
        return Model()

    several = [Slot(lambda index=index: make(index), residency) for index in range(4)]
    threads = [threading.Thread(target=lambda: [slot.get() for slot in several[:2]]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1]
    for slot in several:
        slot.get()
    assert residency.resident == 2


def test_a_slot_that_is_gone_does_not_count() -> None:
    """A generator that nobody has any more takes its model along."""
    residency, (slot,) = slots(1, 1)
    model = weakref.ref(slot.get())
    del slot
    gc.collect()
    assert model() is None
    assert residency.resident == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "tiny"
    made.mkdir()
    save_model(made, "gpt2")
    save_tokenizer(made)
    write_manifest(made, name="tiny", version="1", licence="none", training="none")
    return made


def test_unloading_frees_the_weights(folder: Path) -> None:
    """Also when a call was left early; the next call loads them again, warm or not."""
    generator: Any = language(model=str(folder), device="cpu", warm=True)
    generator.load()
    kept = weakref.ref(generator._loaded.get().model.lm_head.weight)
    asked = [Content(Modality.TEXT, "abc", "text/plain", Stage.PROMPT, CALLER, Request("r"))]

    async def leave() -> None:
        pieces = generator.stream(asked, {"seed": 1, "max_new_tokens": 50})
        await anext(pieces)
        generator.unload()
        assert kept() is not None
        await pieces.aclose()

    asyncio.run(leave())
    generator._worker.wait(lambda: None)
    gc.collect()
    assert kept() is None

    async def again() -> int:
        return len([one async for one in generator(asked, {"max_new_tokens": 3})])

    assert asyncio.run(again()) == 1


def test_a_model_is_found_by_its_digest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its folder is called; a digest that no manifest has is told so."""
    monkeypatch.setenv("GENGUARD_MODELS", str(folder.parent))
    digest = locate(str(folder)).digest
    found = locate(f"sha256:{digest}")
    assert (found.path, found.digest, found.name) == (folder, digest, f"sha256:{digest}")
    bundled = locate("bundled/gan-digits")
    assert locate(f"sha256:{bundled.digest}").path == bundled.path
    with pytest.raises(ModelError, match="no model of the digest"):
        locate("sha256:" + "0" * 64)
