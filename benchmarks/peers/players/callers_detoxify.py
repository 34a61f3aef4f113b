"""Detoxify with the bundled weights, on a thread for each caller."""

from pathlib import Path

import torch
from calling import LABELS, Callers
from detoxify import Detoxify
from playing import Work, play


def prepare(case: str, folder: Path) -> Work:
    """Ask `predict`."""
    torch.set_num_threads(1)
    model = Detoxify(checkpoint=str(folder / "model" / "checkpoint.pt"))

    def scores(text: str) -> list[float]:
        found = model.predict(text)
        return [float(found[label]) for label in LABELS]

    return Callers(case, folder).on_threads(model.predict, scores)


play(prepare)
