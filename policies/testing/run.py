"""Runs the tests of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.chain import Chain
from guard.rules import Policy
from policies.loaded import LoadedPolicy
from policies.testing import example, scenario
from policies.testing.measure import Measured, Pool, Progress, measure, patient
from policies.testing.report import Report, Result
from policies.testing.scores import checks_of
from policies.testing.seen import Seen, cover, near
from policies.testing.suite import Suite, find_suites

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
    suites: Sequence[Suite] | None = None,
    select: Selection | None = None,
    near_within: int = NEAR,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run the examples beside the rules of a policy, and its suites; every content is measured once.

    `chain`: a chain of this policy whose checks are used, so that their models are not loaded again; nobody else may use it
    meanwhile. Its deadlines and groups do not count. `suites`: those to run; left out, the one beside the policy's file.
    `pool`: checks to share with other runs. `near_within`: per mille. What goes wrong with a check or a picture is in the
    report; raises PolicyError for a chain of another policy, and for a suite beside the file that cannot be used.
    """
    policy, select = loaded.policy, select or Selection()
    pool = pool or Pool()
    if chain is not None:
        pool.borrow(chain, policy)
    examples = example.prepare(policy, [test for test in loaded.tests if select.takes(example.title(test), (test.rule,))])
    tests = [test for suite in (find_suites(loaded) if suites is None else suites) for test in suite.tests]
    scenarios = scenario.prepare(policy, [test for test in tests if select.takes(test.entry.name, test.named)])
    found = _measure(policy, examples, scenarios, pool, progress)
    results: list[Result] = []
    seen: list[Seen] = []
    for one in examples:
        measured = found.get(id(one.content))
        results.append(example.judge(policy, one, measured))
        seen += [example.seen(one, measured)] if measured is not None else []
    for each in scenarios:
        parts = [found[id(content)] for content in each.contents]
        steps = scenario.steps(policy, each, parts)
        results.append(scenario.judge(policy, each, steps, sum(part.seconds for part in parts)))
        seen += scenario.seen(policy, each, steps) if steps else ()
    rules = select.rules or tuple(rule.id for rule in policy.rules)
    seen = [one for one in seen if one.rule.id in rules]
    coverage = cover(loaded, seen, rules)
    return Report(loaded.file, policy.id, policy.version, policy.revision, tuple(results), coverage, near(seen, near_within))


def _measure(
    policy: Policy,
    examples: Sequence[example.Example],
    scenarios: Sequence[scenario.Scenario],
    pool: Pool,
    progress: Progress | None,
) -> dict[int, Measured]:
    """What was found, by the content's identity."""
    contents = [one.content for one in examples if one.content is not None]
    contents += [content for each in scenarios for content in each.contents]
    if not contents:
        return {}
    # A suite is about the whole policy; an example needs no more than the checks that its rule asks.
    needed = None if scenarios else frozenset(name for one in examples for name in checks_of(one.rule)) or None
    measured = measure(patient(policy, pool, needed), contents, progress)
    return {id(content): found for content, found in zip(contents, measured, strict=True)}
