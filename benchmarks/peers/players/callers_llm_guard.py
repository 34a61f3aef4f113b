"""LLM Guard's scanner for toxicity with the bundled weights, on a thread for each caller."""

from pathlib import Path

import torch
from calling import LABELS, Callers
from llm_guard.input_scanners.toxicity import Toxicity
from llm_guard.model import Model
from llm_guard.util import configure_logger
from playing import Work, play


def prepare(case: str, folder: Path) -> Work:
    """Ask `scan`."""
    torch.set_num_threads(1)
    settings = {"top_k": None, "function_to_apply": "sigmoid", "max_length": 256, "truncation": True}
    scanner = Toxicity(model=Model(path=str(folder / "model"), pipeline_kwargs=settings))

    def scores(text: str) -> list[float]:
        found = {one["label"]: one["score"] for one in scanner._pipeline([text])[0]}  # noqa: SLF001 - `scan` tells the highest alone
        return [found[label] for label in LABELS]

    return Callers(case, folder).on_threads(scanner.scan, scores)


configure_logger("WARNING")  # else it prints every scan
play(prepare)
