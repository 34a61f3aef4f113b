"""Looks at images while they are made, so that one which a rule would block anyway need not be finished.

A preview can stop a run and nothing else: it lets nothing out, and an image that is finished is judged as if nobody had looked.
Only the rules that the policy names for it (`Policy.previews`) stop a run, when they fire and block. What stopped it is a
decision of its own at the stage `chunk`: on the preview, which is kept as evidence, with all that its checks found. Previews
that stop nothing are not recorded, for nothing came of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from guard.admission import Limits, admit
from guard.bench import Bench, Seat
from guard.chain import context_for, context_of
from guard.decide import decide
from guard.errors import GenerationError, InputError
from guard.jobs import Job
from guard.protocols import Generator, PreviewingGenerator
from guard.rules import Policy
from guard.types import Action, Content, Modality, Receipt, Stage, Verdict

STOPPED = "stopped"
"""`making.finish` of an image that was not finished."""
_LOOK_S = 1.0


def stops(policy: Policy, verdict: Verdict) -> bool:
    """Whether a verdict on a preview ends the run: by a rule that the policy names for it, and that blocks."""
    named = policy.previews.rules if policy.previews else ()
    return any(rule.rule in named and rule.action is Action.BLOCK for rule in verdict.fired)


class Watch:
    """Who looks at the previews of one call of a generator. Made and closed on the event loop that checks run on."""

    def __init__(
        self, generator: PreviewingGenerator, seats: Sequence[Seat | None], parents: Sequence[Receipt], limits: Limits
    ) -> None:
        """`seats`: who judges the outputs of each prompt; `parents`: receipts of the decisions on the prompts."""
        self._generator, self._seats, self._parents, self._limits = generator, seats, parents, limits
        self._loop = asyncio.get_running_loop()
        self._prompts: Sequence[Content] = ()
        self._looks: set[Future[Job | None]] = set()
        self._closed = False
        self._pending: dict[int, Job] = {}
        self._stopped: dict[int, tuple[Content, Job]] = {}

    @classmethod
    def of(
        cls, bench: Bench, generator: Generator, passed: Sequence[tuple[int, Content, Receipt]], limits: Limits
    ) -> Self | None:
        """The watch that policies ask for; None where none does, or the generator shows nothing."""
        if not isinstance(generator, PreviewingGenerator) or generator.modality is not Modality.IMAGE:
            return None
        seats = [
            bench.seat(context_for(prompt.request, Stage.OUTPUT, Modality.IMAGE, generator.name), prompt.request)
            for _, prompt, _ in passed
        ]
        watched = any(seat is not None and seat.policy.previews is not None for seat in seats)
        return cls(generator, seats, [receipt for _, _, receipt in passed], limits) if watched else None

    def source(self, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> AsyncIterator[tuple[int, Content]]:
        """The generator's outputs, looked at as often as the policies ask."""
        self._prompts = prompts
        often = [seat.policy.previews.every for seat in self._seats if seat and seat.policy.previews]
        return self._generator.previewed(prompts, parameters, self._early, every=min(often))

    def made(self, index: int, content: Content) -> None:
        """Take note of what the generator yielded. Raises GenerationError for one that goes on, or stops, by itself."""
        job, stopped = self._pending.pop(index, None), content.making is not None and content.making.finish == STOPPED
        if (job is not None) != stopped:
            found = "an unfinished image that was not stopped" if stopped else "an image after it was stopped"
            raise GenerationError(f"generator {self._generator.name!r} yielded {found}, nothing more was made")
        if job is not None and job.content is not None:
            # What was judged is what is recorded, with what the generator says of the choice.
            job.content = replace(job.content, making=content.making)
            self._stopped[id(content)] = content, job

    def stopped(self, content: Content) -> Job | None:
        """What ended the run that an output is of; None for one that was finished. To be asked once for each."""
        return self._stopped.pop(id(content), (content, None))[1]

    def close(self) -> None:
        """Nobody waits for outputs any more: whoever looks is let go."""
        self._closed = True
        for look in list(self._looks):
            look.cancel()

    def _early(self, index: int, preview: Content) -> bool:
        """Whether to go on. Called on the generator's thread, which waits."""
        look = asyncio.run_coroutine_threadsafe(self._look(index, preview), self._loop)
        self._looks.add(look)
        try:
            job = self._answer(look)
        finally:
            self._looks.discard(look)
        if job is not None:
            self._pending[index] = job
        return job is None

    def _answer(self, look: Future[Job | None]) -> Job | None:
        while True:
            if self._closed:
                look.cancel()
            try:
                return look.result(_LOOK_S)
            except TimeoutError:
                if look.done():
                    raise
                if self._loop.is_closed():  # then nothing will ever answer
                    raise GenerationError(f"generator {self._generator.name!r}: nobody waits for its outputs") from None

    async def _look(self, index: int, preview: Content) -> Job | None:
        """The job of a preview that ends the run; None for one that does not."""
        seat, prompt = self._seats[index], self._prompts[index]
        if seat is None or seat.policy.previews is None:
            return None
        if preview.origin.generator != self._generator.name or preview.request != prompt.request:
            raise GenerationError(f"generator {self._generator.name!r} showed a preview of another's, expected its own")
        try:
            whose, made = prompt.request, preview.origin
            content = admit(preview, request=whose, stage=Stage.CHUNK, origin=made, media_type="", limits=self._limits)
        except InputError:
            return None  # what cannot be read stops nothing; the output is judged
        now = datetime.now(UTC)
        context = context_of(content, now)
        (results,) = await seat.chain.run([content], now)
        if not stops(seat.policy, decide(seat.policy, results, context)):
            return None
        return Job(content, context, prompt.request, self._parents[index], seat, results=results)
