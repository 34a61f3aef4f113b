"""The check `toxicity` through genguard's chain."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from calling import LABELS, Callers
from playing import Work, play

from guard.chain import Chain
from guard.rules import CheckSpec, Policy
from guard.types import CALLER, CheckResult, Content, Finding, Modality, Request, Stage, Status

DEADLINE_MS = 60_000
WHOLE = {"precision": "float32", "ngrams": False}


def chain(**parameters: Any) -> Chain:
    """One check, loaded."""
    line = CheckSpec("toxicity", "toxicity", {"model": "bundled/toxicity-en", "report_from": 0, **parameters}, DEADLINE_MS)
    made = Chain(Policy("bench", 1, "draft", "", "", (line,), ()))
    if trouble := asyncio.run(made.load()):
        raise RuntimeError(str(trouble))
    return made


def content(text: str) -> Content:
    """As a generator's output."""
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("1"))


def scores(findings: Iterable[Finding]) -> list[float]:
    """0 to 1, in the order of the labels."""
    found = {one.label: one.score / 1000 for one in findings}
    return [found.get(label, 0.0) for label in LABELS]


def prepare(case: str, folder: Path, **parameters: Any) -> Work:
    """Ask the chain."""
    made, known = chain(**parameters), dict[str, list[float]]()

    async def ask(text: str) -> CheckResult:
        ((result,),) = await made.run([content(text)])
        if result.status is not Status.OK:
            raise RuntimeError(f"{result.status.value}: {result.error}")
        known[text] = scores(result.findings)
        return result

    return Callers(case, folder).awaiting(ask, known.__getitem__)


if __name__ == "__main__":
    play(prepare)
