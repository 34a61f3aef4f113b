"""Checks that do nothing through genguard's chain, and the decision on their results."""

from collections.abc import Mapping, Sequence

from playing import TEXT, Call, play

from guard.chain import Chain, context_of
from guard.decide import decide
from guard.rules import CheckSpec, Found, Policy, Rule
from guard.types import CALLER, Action, Content, Examples, Modality, Request, Scan, Span, Stage, Verdict


class Nothing:
    """Reads the text and finds nothing."""

    version, digest, blocking = "1", "", False
    modalities = frozenset({Modality.TEXT})
    labels: Mapping[str, str] = {"found": "harassment"}
    examples = Examples((), ())

    def load(self) -> None:
        """Nothing to load."""

    async def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan]:
        return [Scan((), Span(0, content.length)) for content in batch]


def prepare(count: int) -> Call:
    """Measure one output and decide."""
    names = [f"check{number}" for number in range(count)]
    policy = Policy(
        id="bench",
        version=1,
        status="live",
        revision="",
        document="",
        checks=tuple(CheckSpec(name, "nothing") for name in names),
        rules=(Rule("found", Found(names[0]), Action.BLOCK, "harassment"),),
    )
    chain = Chain(policy, {name: Nothing() for name in names})

    async def call() -> Verdict:
        content = Content(Modality.TEXT, TEXT, "text/plain", Stage.OUTPUT, CALLER, Request("1"))
        (results,) = await chain.run([content])
        return decide(policy, results, context_of(content))

    return call


play(prepare)
