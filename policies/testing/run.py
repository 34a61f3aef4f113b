"""Runs the tests of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.chain import Chain
from guard.types import Content
from policies.loaded import LoadedPolicy
from policies.testing import example
from policies.testing.measure import Measured, Pool, Progress, measure, patient, require
from policies.testing.report import Report
from policies.testing.scores import checks_of
from policies.testing.seen import cover, near

NEAR = 50
"""How close to a threshold, per mille, a score is told of unless another distance is asked for."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tests to run; all by default."""

    rules: tuple[str, ...] = ()
    """Only those about one of these rules."""
    words: tuple[str, ...] = ()
    """Only those whose names have all of these words, whatever their case."""

    def takes(self, name: str, rules: Sequence[str]) -> bool:
        """Whether a test of this name about these rules is one of them."""
        folded = name.casefold()
        return (not self.rules or any(rule in rules for rule in self.rules)) and all(
            word.casefold() in folded for word in self.words
        )


def run(
    loaded: LoadedPolicy,
    chain: Chain | None = None,
    *,
    select: Selection | None = None,
    near_within: int = NEAR,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run the examples beside the rules of a policy, and measure each of them once.

    `chain`: a chain of this policy to measure with, as it is, its deadlines and groups too; left out, one is made whose
    deadlines are long. `pool`: checks to share with other runs. `near_within`: per mille. What goes wrong with a check or a
    file is in the report; raises PolicyError for a chain of another policy.
    """
    select = select or Selection()
    tests = [test for test in loaded.tests if select.takes(example.title(test), (test.rule,))]
    examples = example.prepare(loaded.policy, tests)
    if chain is not None:
        require(chain, loaded.policy)
    found = _measure(loaded, chain, examples, pool or Pool(), progress)
    results = [example.judge(loaded.policy, one, found.get(id(one.content))) for one in examples]
    seen = [example.seen(one, found[id(one.content)]) for one in examples if one.content is not None]
    policy = loaded.policy
    return Report(
        loaded.file,
        policy.id,
        policy.version,
        policy.revision,
        tuple(results),
        cover(loaded, seen),
        near(seen, near_within),
    )


def _measure(
    loaded: LoadedPolicy, chain: Chain | None, examples: Sequence[example.Example], pool: Pool, progress: Progress | None
) -> dict[int, Measured]:
    """What was found, by the content's identity."""
    contents: list[Content] = [one.content for one in examples if one.content is not None]
    needed = frozenset(name for one in examples for name in checks_of(one.rule))
    if not contents:
        return {}
    made = chain or patient(loaded.policy, pool, needed or None)
    measured = measure(made, contents, progress)
    return {id(content): found for content, found in zip(contents, measured, strict=True)}
