"""Checks that do nothing through genguard's chain, and the decision on their results."""

from pathlib import Path

from playing import TEXT, Call, play

from benchmarks.chain import Nothing, policy
from guard.chain import Chain, context_of
from guard.decide import decide
from guard.types import CALLER, Content, Modality, Request, Stage, Verdict


def prepare(case: str, _folder: Path) -> Call:
    """Measure one output and decide."""
    count = int(case)
    rules = policy(count)
    chain = Chain(rules, {spec.name: Nothing(blocking=False) for spec in rules.checks})

    async def call() -> Verdict:
        content = Content(Modality.TEXT, TEXT, "text/plain", Stage.OUTPUT, CALLER, Request("1"))
        (results,) = await chain.run([content])
        return decide(rules, results, context_of(content))

    return call


play(prepare)
