"""Generators on CUDA, for machines that have it (`make test-gpu`); and the benchmark of devices, on the one that is there."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest

from generators.batched import batched
from generators.language import language
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.tiny_models import save_model, save_tokenizer

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_benchmark_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    """With the smallest sizes: every part has a line for each."""
    main = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"))["main"]
    main(["--device", "cpu", "--sizes", "1", "2", "--tokens", "2", "--steps", "1", "--runs", "1"])
    lines = capsys.readouterr().out.splitlines()
    for part in ("texts", "images", "guarded", "toxicity"):
        assert [line.split()[1] for line in lines if line.split()[:1] == [part]] == ["1", "2"]


@pytest.mark.gpu
def test_callers_share_a_model_in_bfloat16(tmp_path: Path) -> None:
    """On CUDA the weights are bfloat16; outputs join and end as on a processor, each with its own request and seed."""
    import torch

    save_model(tmp_path, "llama")
    save_tokenizer(tmp_path)
    inner: Any = language(model=str(tmp_path), device="cuda", batch=4)
    weight = inner._loaded.get().model.lm_head.weight
    assert (weight.device.type, weight.dtype) == ("cuda", torch.bfloat16)
    assert inner._loaded.sizes.keys() == {str(weight.device)}
    generator: Any = batched(inner)

    async def one(at: int) -> Content:
        asked = Content(Modality.TEXT, "Hello" * (at + 1), "text/plain", Stage.PROMPT, CALLER, Request(f"r{at}"))
        (found,) = [content async for _, content in generator([asked], {"seed": at, "max_new_tokens": 5 + at})]
        return found

    async def script() -> list[Content]:
        return await asyncio.gather(*map(one, range(8)))

    for at, content in enumerate(asyncio.run(script())):
        assert (content.request.id, dict(content.origin.parameters)["seed"]) == (f"r{at}", str(at))
        assert content.making is not None
        assert content.making.output_tokens == 5 + at or content.making.finish == "stop"
