"""Images that are looked at while they are made: a rule that the policy names ends them, and nothing of a preview leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from audit.ledger import open_ledger
from audit.verify import verify
from generators.base import Worker
from guard.chain import Chain
from guard.decide import decide
from guard.errors import GenerationError
from guard.imaging import decode
from guard.pipeline import Guard
from guard.protocols import PreviewingGenerator
from guard.registry import checks, generators
from guard.rules import Attribute, Exemption, Found, Not, Policy, Previews
from guard.types import Action, Content, Making, Modality, Origin, Request, Scan, Stage
from policies import loads
from tests.fakes import CrashingCheck, ImageCheck, MemoryLedger, finding, png, policy, rule, spec

FAR = datetime(2099, 1, 1, tzinfo=UTC)
DARK, LIGHT = (0, 0, 0), (250, 250, 250)


class Painter:
    """Makes white images in ten steps, on a thread; previews of prompts that hold `doomed` are black from step `black` on."""

    name, modality = "painter", Modality.IMAGE

    def __init__(self, black: int = 4) -> None:
        self.black = black
        self.worker = Worker(self.name)
        self.looked: list[tuple[int, int, bool]] = []
        self.goes_on = self.stops = False
        self.waits: threading.Event | None = None
        self.closed = False

    def load(self) -> None:
        """Nothing."""

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        return self.worker.stream(lambda: self._made(prompts, parameters, None, 1))

    def previewed(
        self,
        prompts: Sequence[Content],
        parameters: Mapping[str, Any],
        early: Callable[[int, Content], bool],
        /,
        *,
        every: int,
    ) -> AsyncIterator[tuple[int, Content]]:
        return self.worker.stream(lambda: self._made(prompts, parameters, early, every))

    def _made(self, prompts: Sequence[Content], parameters: Mapping[str, Any], early: Any, every: int) -> Any:
        try:
            for index, prompt in enumerate(prompts):
                for choice in range(parameters.get("n", 1)):
                    yield index, self._one(index, prompt, choice, early, every)
        finally:
            self.closed = True

    def _one(self, index: int, prompt: Content, choice: int, early: Any, every: int) -> Content:
        for step in range(every, 10, every) if early else ():
            dark = "doomed" in prompt.text and step >= self.black and choice == 0
            preview = self._content(prompt, DARK if dark else LIGHT, Stage.CHUNK, Making(), step=step)
            goes = early(index, preview)
            self.looked.append((index, step, goes))
            if not goes and not self.goes_on:
                return replace(preview, stage=Stage.OUTPUT, making=Making(choice, "stopped"))
        return self._content(prompt, LIGHT, Stage.OUTPUT, Making(choice, "stopped" if self.stops else "stop"))

    def _content(self, prompt: Content, colour: tuple[int, ...], stage: Stage, making: Making, **facts: int) -> Content:
        origin = Origin(self.name, parameters=tuple((name, str(value)) for name, value in facts.items()))
        return Content(Modality.IMAGE, png(64, 64, colour), "image/png", stage, origin, prompt.request, making)


def house(action: Action = Action.BLOCK, check: Any = None, **fields: Any) -> tuple[Policy, dict[str, Any]]:
    """A policy whose rule `dark` may end a run."""
    checks = {"images": check or ImageCheck()}
    fields = {"previews": Previews(("dark",), 2), **fields}
    rules = fields.pop("rules", [rule(action, Found("images"), "dark")])
    made = policy([spec(name, one) for name, one in checks.items()], rules, **fields)
    return made, checks


def guarded(made: tuple[Policy, dict[str, Any]]) -> tuple[Guard, MemoryLedger]:
    one, checks = made
    ledger = MemoryLedger()
    return Guard(one, ledger, chains={one.id: Chain(one, checks)}, fingerprints=False), ledger


def outputs(ledger: MemoryLedger) -> list[Any]:
    return [one for one in ledger.decisions if one.context.stage is not Stage.PROMPT]


def test_a_doomed_image_is_not_finished_and_what_was_seen_is_recorded() -> None:
    """At which step, by which rule, on which picture, of which prompt; the verdict derives again; others are finished."""
    painter, made = Painter(), house()
    assert isinstance(painter, PreviewingGenerator)
    guard, ledger = guarded(made)
    releases = guard.release_many_sync(painter, ["fine", "doomed", "well"])
    assert [(index, release.content is None) for index, release in releases] == [(0, False), (1, True), (2, False)]
    assert painter.looked == [
        *((0, step, True) for step in (2, 4, 6, 8)),
        *((1, step, step < 4) for step in (2, 4)),
        *((2, step, True) for step in (2, 4, 6, 8)),
    ]
    assert len(ledger.decisions) == 6
    stopped = outputs(ledger)[1]
    assert (stopped.context.stage, stopped.context.modality) == (Stage.CHUNK, Modality.IMAGE)
    assert dict(stopped.content.origin.parameters) == {"step": "4"}
    assert stopped.content.making == Making(0, "stopped")
    assert decode(stopped.content).convert("L").getextrema() == (0, 0)
    assert [fired.rule for fired in stopped.verdict.fired] == ["dark"]
    assert (stopped.verdict.action, stopped.released) == (Action.BLOCK, None)
    assert stopped.verdict == decide(made[0], stopped.results, stopped.context)
    prompts = [one.id for one in ledger.decisions if one.context.stage is Stage.PROMPT]
    assert [one.parent for one in outputs(ledger)] == prompts
    assert releases[1][1].receipt.decision == stopped.id
    assert {one.context.stage for one in outputs(ledger)} == {Stage.OUTPUT, Stage.CHUNK}


def test_each_output_of_a_prompt_has_its_own_run() -> None:
    """One is stopped, the next is finished."""
    painter = Painter()
    guard, ledger = guarded(house())
    releases = guard.release_many_sync(painter, ["doomed"], n=2)
    assert [release.content is None for _, release in releases] == [True, False]
    assert [one.content.making for one in outputs(ledger)] == [Making(0, "stopped"), Making(1, "stop")]


def test_nobody_looks_unless_the_policy_asks() -> None:
    """And then the finished image is judged, as always."""
    painter = Painter()
    guard, ledger = guarded(house(previews=None))
    assert guard.release_sync(painter, "doomed").content is not None
    assert painter.looked == []
    assert [one.context.stage for one in outputs(ledger)] == [Stage.OUTPUT]


def test_only_rules_that_are_named_and_block_end_a_run() -> None:
    """A preview at which another rule fires, or one that is set aside, or a check that fails, changes nothing."""
    named = {"previews": Previews(("other",), 2)}
    other = [rule(Action.BLOCK, Found("images"), "dark"), rule(Action.BLOCK, Not(Found("images")), "other")]
    apart = Exemption("pilot", ("dark",), "me", "a test", expires=FAR, when=Attribute("tenant", ("*",)))
    worlds = [
        house(**named),
        house(Action.REVIEW),
        house(exceptions=(apart,)),
        house(check=Crashing()),
    ]
    for made in worlds:
        painter = Painter()
        guard, ledger = guarded(made)
        guard.release_sync(painter, "doomed")
        assert [goes for _, _, goes in painter.looked] == [True] * 4
        assert [one.context.stage for one in outputs(ledger)] == [Stage.OUTPUT]
    painter = Painter(black=10)
    guard, ledger = guarded(house(rules=other, **named))
    assert guard.release_sync(painter, "fine").content is None
    assert painter.looked == [(0, 2, False)]
    assert [fired.rule for fired in outputs(ledger)[0].verdict.fired] == ["other"]


class Crashing(CrashingCheck):
    modalities = ImageCheck.modalities

    def scan(self, content: Content) -> Scan:
        raise ValueError


def test_a_preview_lets_nothing_out() -> None:
    """A run that no preview ended is judged when it is done: looking is never an acquittal."""
    painter = Painter(black=10)
    painter._content = lambda prompt, colour, stage, making, **facts: Painter._content(  # type: ignore[method-assign]
        painter, prompt, DARK if stage is Stage.OUTPUT else LIGHT, stage, making, **facts
    )
    guard, ledger = guarded(house())
    release = guard.release_sync(painter, "fine")
    assert [goes for _, _, goes in painter.looked] == [True] * 4
    assert release.content is None
    assert [one.context.stage for one in outputs(ledger)] == [Stage.OUTPUT]


@pytest.mark.parametrize("fault", ["goes_on", "stops"])
def test_a_generator_that_does_not_do_as_told_is_an_error(fault: str) -> None:
    """An unfinished image is no output, and a stopped one does not come all the same."""
    painter = Painter()
    setattr(painter, fault, True)
    guard, ledger = guarded(house())
    with pytest.raises(GenerationError, match="was not stopped" if fault == "stops" else "after it was stopped"):
        guard.release_sync(painter, "doomed" if fault == "goes_on" else "fine")
    assert outputs(ledger) == []


def test_a_preview_of_another_request_is_an_error() -> None:
    """Whose it is decides who judges it."""
    painter = Painter()
    painter._content = lambda prompt, colour, stage, making, **facts: Painter._content(  # type: ignore[method-assign]
        painter, replace(prompt, request=Request("other")), colour, stage, making, **facts
    )
    guard, ledger = guarded(house())
    with pytest.raises(GenerationError):
        guard.release_sync(painter, "fine")
    assert outputs(ledger) == []


def test_a_preview_that_cannot_be_read_ends_nothing() -> None:
    """The output is judged."""
    painter, whole = Painter(), Painter._content

    def content(prompt: Content, colour: Any, stage: Stage, making: Making, **facts: int) -> Content:
        made = whole(painter, prompt, colour, stage, making, **facts)
        return replace(made, data=b"no image") if stage is Stage.CHUNK else made

    painter._content = content  # type: ignore[method-assign]
    guard, _ = guarded(house())
    assert guard.release_sync(painter, "doomed").content is not None
    assert len(painter.looked) == 4


def test_a_caller_who_goes_ends_the_look() -> None:
    """The generator's thread does not wait for an answer that nobody will give."""
    looking, go = asyncio.Event(), asyncio.Event()

    class Slow(ImageCheck):
        blocking = False

        async def __call__(self, batch: Sequence[Content], /) -> list[Scan]:  # type: ignore[override]
            looking.set()
            await go.wait()
            return []

    painter = Painter()
    made = house(check=Slow())
    one = replace(made[0], checks=(replace(made[0].checks[0], deadline_ms=60_000),))
    guard, ledger = guarded((one, made[1]))

    async def script() -> None:
        task = asyncio.create_task(guard.release(painter, "doomed"))
        await looking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(script())
    painter.worker.wait(lambda: None)
    assert painter.closed
    assert outputs(ledger) == []


POLICY = """\
policy: studio
version: 1
status: live
previews: {rules: [dark], every: 3}
checks:
  shown: {use: shown}
  other: {use: shown}
rules:
  - {id: dark, when: {shown: [dark]}, action: block, category: violence, message: {en: Not finished.}}
  - {id: rest, when: {other: [dark]}, action: block, category: violence}
"""


class Shown(ImageCheck):
    """Finds something in every preview, and in no finished image."""

    labels: ClassVar = {"dark": "violence"}

    def scan(self, content: Content) -> Scan:
        found = (finding("dark", category="violence"),) if content.stage is Stage.CHUNK else ()
        return Scan(found, super().scan(content).scanned)


def shown() -> Shown:
    return Shown()


def test_the_bundled_diffusion_model_is_stopped_and_the_ledger_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy file, a real pipeline, a ledger on disk and its verification, which derives the verdict again."""
    monkeypatch.setitem(checks._factories, "shown", shown)
    house = loads(POLICY)
    assert house.previews == Previews(("dark",), 3)
    generator = generators.make("diffusion", {"device": "cpu"})
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with open_ledger(url) as ledger:
        release = Guard(house, ledger, fingerprints=False).release_sync(generator, "a star", seed=4, steps=4)
    assert (release.content, release.verdict.message) == (None, (("en", "Not finished."),))
    assert [result.check for result in release.decision.results] == ["shown"]  # nothing asks the other one about previews
    assert release.decision.content is not None
    named = dict(release.decision.content.origin.parameters)
    assert (named["step"], named["seed"]) == ("3", "4")
    report = verify(url)
    assert report.ok, report
