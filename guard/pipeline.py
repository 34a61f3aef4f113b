"""generate -> chain -> decide -> redact -> mark -> record -> release. The only maker of a Release.

There is one way through, for text, images and audio, prompts and outputs, and it ends in the ledger: a Release can only be
built from the Receipt of a durable commit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from guard import watching
from guard.admission import Limits, admit, modality_of
from guard.batching import Figures
from guard.bench import Bench, Deployment, Seat, require_no_key, require_usable
from guard.chain import Chain, context_for, context_of
from guard.decide import REDACTION, decide, refuse, set_aside, settle
from guard.errors import GenerationError, GenguardError, InputError, ModelError, PolicyError, describe
from guard.generation import generate
from guard.guarded import Guarded, decorate
from guard.ids import uuid7
from guard.instrument import Instrument
from guard.jobs import Job, begin, sampling
from guard.marks import order
from guard.marks.order import Planned
from guard.previews import Watch
from guard.protocols import Generator, Ledger, Marker, StreamingGenerator
from guard.redact import redact
from guard.redaction_key import RedactionKey
from guard.rules import CheckSpec, Policy
from guard.shadowing import WAIT_S, Shadowing
from guard.streaming.engine import House, Stream, ended_by, whole
from guard.streaming.events import Ended, Event
from guard.streaming.plan import Plan, plan_of
from guard.streaming.window import Window
from guard.twins import SyncTwins
from guard.types import (
    CALLER,
    Action,
    Content,
    Context,
    Decision,
    Mark,
    Marking,
    Modality,
    Operator,
    Origin,
    Receipt,
    Release,
    Request,
    Reviewed,
    Shadow,
    Stage,
    Verdict,
)
from guard.workers import Worker

MARK_DEADLINE_S = 300.0
"""How long edits and marks of one batch of outputs may take before what is not done is blocked."""
FINGERPRINT_DEADLINE_S = 30.0
"""How long one fingerprint may take before an image goes without; usually hundredths of a second."""

_log = logging.getLogger(__name__)


class Guard(SyncTwins):
    """Wraps generators so that nothing leaves unjudged or unrecorded.

    `guard.release(generator, prompt)` for one output, `release_many` for several prompts or outputs, `check` for content that
    was made elsewhere, each with a `_sync` twin. A blocked output is a Release without content, not an exception.
    """

    def __init__(
        self,
        policy: Policy | Sequence[Policy],
        ledger: Ledger,
        *,
        chains: Mapping[str, Chain] | None = None,
        limits: Limits | None = None,
        redaction_key: RedactionKey | None = None,
        operator: Operator | None = None,
        fingerprints: bool = True,
        make: Callable[[CheckSpec], Instrument] = Instrument,
    ) -> None:
        """`policy`: one or several; `guard.rules.choose` says which one judges. `chains`: built ones by policy id.

        `adopt` changes them later. `make`: makes what asks a check, as for `guard.chain.Chain`.

        `operator`: whom marks name and sign for. `fingerprints`: whether the ledger gets one of each released image, so that
        changed copies of it are found. Raises PolicyError for no policy, a policy that is not `live`, two of one id,
        or one whose rules hash, pseudonymise or encrypt when there is no `redaction_key`; SettingsError for one whose marks ask
        for something that `operator` does not have.
        """
        policies = (policy,) if isinstance(policy, Policy) else tuple(policy)
        deployments = [Deployment(one) for one in policies]
        require_usable(deployments)
        if redaction_key is None:
            require_no_key(policies)
        self._redaction_key = redaction_key
        self.ledger = ledger
        self.limits = limits or Limits()
        self.operator = operator or Operator()
        built = chains or {}
        for one in policies:
            if one.id in built and built[one.id].policy.revision != one.revision:
                raise PolicyError(f"the chain of policy {one.id!r} was built for another revision, expected {one.revision}")
        seats: list[Seat] = []
        for one in policies:
            seats.append(Seat.build(one, self.operator, seats, built.get(one.id), make))
        self._bench, self._make = Bench.of(deployments, seats), make
        self._prepared: weakref.WeakValueDictionary[str, Seat] = weakref.WeakValueDictionary()
        self._ready: list[Marker] = []
        self._dresser = Worker("genguard-marks")
        self._loader = Worker("genguard-load")
        self._builder = Worker("genguard-adopt")
        self._printer = Worker("genguard-fingerprints") if fingerprints else None
        self._activated: set[str] = set()
        self._loading: weakref.WeakKeyDictionary[Generator, Future[None]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Those in force."""
        return self._bench.policies

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """All policies with their canaries and shadows."""
        return self._bench.deployments

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The built checks of all policies that are in use, each once."""
        return tuple(self._bench.instruments())

    def figures(self) -> list[tuple[str, str, Figures]]:
        """What the queue of each check has done: policy, check, figures. A check that policies share is told of one."""
        return [(*names, one.batcher.figures()) for one, names in self._bench.instruments().items()]

    async def load(self, *generators: Generator) -> dict[str, str]:
        """Load all models now rather than at the first call; return what went wrong, by policy and check."""
        troubles: dict[str, str] = {}
        bench = self._bench
        for seat in bench.seats.values():
            name = seat.policy.id if seat.policy in bench.policies else f"{seat.policy.id}@{seat.policy.revision[:8]}"
            await self._activate(seat.policy)
            troubles |= {f"{name}.{check}": why for check, why in (await seat.chain.load()).items()}
            for one in seat.marks:
                try:
                    await self._dresser.run(partial(self._load_marker, one.marker))
                except Exception as error:  # noqa: BLE001 - outputs it should mark follow `on_unmarkable`
                    troubles[f"{name}.{one.spec.use}"] = describe(error)
        for generator in generators:
            await self._load_generator(generator)
        return troubles

    async def adopt(
        self,
        *policies: Policy | Deployment,
        redaction_key: RedactionKey | None = None,
        operator: Operator | None = None,
    ) -> None:
        """Judge with these policies, and no others, from the next request on. One call at a time.

        What is new is built, recorded and loaded first, beside the running work; then all changes at once. Requests that have
        begun end with what they began with. Checks and marks that are the same in old and new ones are not loaded again.
        `redaction_key`, `operator`: as for `Guard`, where the new policies need what the old ones did not.

        Raises as `Guard` does, LedgerError, and ModelError for something new that cannot be loaded: then nothing changes.
        """
        deployments = [Deployment(one) if isinstance(one, Policy) else one for one in policies]
        require_usable(deployments)
        whose, key = operator or self.operator, redaction_key or self._redaction_key
        if key is None:
            require_no_key(one for deployment in deployments for one in deployment.judging)
        seats = await self.prepare(*(one for deployment in deployments for one in deployment.revisions), operator=whose)
        bench = Bench.of(deployments, seats)
        kept = [one.marker for seat in (*self._bench.seats.values(), *bench.seats.values()) for one in seat.marks]
        self._ready = [one for one in self._ready if any(one is marker for marker in kept)]
        self._redaction_key, self.operator, self._bench = key, whose, bench

    async def prepare(self, *policies: Policy, operator: Operator | None = None) -> tuple[Seat, ...]:
        """Build, record and load policies without judging with them yet, and raise as `adopt` does.

        `adopt` finds them ready as long as the caller keeps what is returned. Something that old and new ones have alike may be
        in trouble already: that is no reason to stay with the old ones.
        """
        return tuple([await self._prepare(policy, operator or self.operator) for policy in policies])

    async def _prepare(self, policy: Policy, operator: Operator) -> Seat:
        known = {**self._bench.seats, **dict(self._prepared.items())}
        if policy.revision in known:
            return known[policy.revision]
        others = list(known.values())
        seat = await self._builder.run(partial(Seat.build, policy, operator, others, make=self._make))
        await self._activate(policy)
        await self._load_new(seat, {one for other in others for one in other.chain.instruments.values()})
        self._prepared[policy.revision] = seat
        return seat

    async def _load_new(self, seat: Seat, old: Collection[Instrument]) -> None:
        new = {name: one for name, one in seat.chain.instruments.items() if one not in old}
        for name, why in zip(new, await asyncio.gather(*(one.load() for one in new.values())), strict=True):
            if why:
                raise ModelError(f"policy {seat.policy.id!r}: check {name!r} could not be loaded: {why}")
        for one in seat.marks:
            try:
                await self._builder.run(partial(self._load_marker, one.marker))
            except Exception as error:
                raise ModelError(f"policy {seat.policy.id!r}: mark {one.spec.use!r}: {describe(error)}") from error

    async def release(
        self, generator: Generator, prompt: str | Content, *, request: Request | None = None, **parameters: Any
    ) -> Release:
        """Generate one output and take it through the policy.

        Raises GenerationError when the generator fails, ParameterError for a parameter it does not take, LedgerError when the
        decision could not be committed.
        """
        releases = [one async for _, one in self.release_many(generator, [prompt], request=request, **{**parameters, "n": 1})]
        if len(releases) != 1:
            raise GenerationError(f"generator {generator.name!r} made {len(releases)} outputs, expected 1")
        return releases[0]

    async def release_many(
        self, generator: Generator, prompts: Sequence[str | Content], *, request: Request | None = None, **parameters: Any
    ) -> AsyncIterator[tuple[int, Release]]:
        """Yield (index of the prompt, release) as outputs are decided. A refused prompt yields its own release.

        Raises as `release` does; outputs that were yielded before stay recorded and released.
        """
        request, bench = request or Request(str(uuid7())), self._bench
        # Whoever wrote it, a prompt is judged by the policy of the generator that it goes to.
        origin = Origin(generator.name)
        asked = [replace(prompt, origin=origin) if isinstance(prompt, Content) else prompt for prompt in prompts]
        passed: list[tuple[int, Content, Receipt]] = []
        for index, release in enumerate(await self._judge_all(bench, asked, request, Stage.PROMPT, origin)):
            if release.content is None:
                yield index, release
            else:
                passed.append((index, release.content, release.receipt))
        if passed:
            async with aclosing(self._generate(bench, generator, passed, parameters)) as releases:
                async for position, release in releases:
                    yield passed[position][0], release

    async def stream(
        self, generator: Generator, prompt: str | Content, *, request: Request | None = None, **parameters: Any
    ) -> AsyncGenerator[Event]:
        """Yield what may leave of a prompt's outputs while they are made (`guard.streaming.events`). Close it when done.

        Raises as `release` does; outputs that fail have ended with that before.
        """
        request, bench = request or Request(str(uuid7())), self._bench
        origin = Origin(generator.name)
        asked = replace(prompt, origin=origin) if isinstance(prompt, Content) else prompt
        (judged,) = await self._judge_all(bench, [asked], request, Stage.PROMPT, origin)
        if judged.content is None:
            yield Ended(0, judged, ended_by(judged.verdict), "")
            return
        passed = judged.content
        if not isinstance(generator, StreamingGenerator):
            async with aclosing(self._generate(bench, generator, [(0, passed, judged.receipt)], parameters)) as releases:
                number = 0
                async for _, release in releases:
                    for event in whole(number, release):
                        yield event
                    number += 1
            return
        await self._load_generator(generator)
        seat = bench.seat(context_for(passed.request, Stage.OUTPUT, Modality.TEXT, generator.name), passed.request)
        stream = Stream(self._house(bench, judged.receipt), seat, generator, passed, judged.receipt)
        async with aclosing(stream.run(generator, parameters, sampling(bench, generator, passed))) as events:
            async for event in events:
                yield event

    def streams(self, generator: Generator, request: Request) -> Plan | None:
        """How a request's outputs would leave, and why; None where no policy covers them."""
        seat = self._bench.seat(context_for(request, Stage.OUTPUT, Modality.TEXT, generator.name), request)
        return plan_of(seat.policy, seat.chain.checks) if seat else None

    def marks_for(self, generator: Generator, request: Request) -> tuple[str, ...]:
        """What a generator's outputs would be marked with, whatever else their verdict says; in order."""
        seat = self._bench.seat(context_for(request, Stage.OUTPUT, generator.modality, generator.name), request)
        return tuple(one.spec.use for one in seat.marks if one.marker.modality is generator.modality) if seat else ()

    async def check(
        self,
        content: str | bytes | Content,
        *,
        request: Request | None = None,
        stage: Stage = Stage.OUTPUT,
        origin: Origin = CALLER,
        media_type: str = "",
    ) -> Release:
        """Judge content that was made elsewhere. Input that cannot be read gives a release that is `refused`."""
        return (await self.check_many([content], request=request, stage=stage, origin=origin, media_type=media_type))[0]

    async def check_many(
        self,
        contents: Sequence[str | bytes | Content],
        *,
        request: Request | None = None,
        stage: Stage = Stage.OUTPUT,
        origin: Origin = CALLER,
        media_type: str = "",
    ) -> list[Release]:
        """`check` for several, measured together; in order."""
        request = request or Request(str(uuid7()))
        return await self._judge_all(self._bench, contents, request, stage, origin, media_type)

    async def refuse(
        self,
        error: GenguardError,
        request: Request,
        *,
        stage: Stage = Stage.PROMPT,
        modality: Modality = Modality.TEXT,
        generator: str = CALLER.generator,
    ) -> Release:
        """Record an input that cannot be judged at all, and release nothing. Its payload is not kept."""
        context = context_for(request, stage, modality, generator, time=datetime.now(UTC))
        seat = self._bench.seat(context, request)
        return await self._record(seat, _decision(None, context, request, refuse(error, seat.policy if seat else None)))

    async def release_held(
        self, held: Decision, policy: Policy, reviewed: Reviewed, append: Callable[[Decision], Awaitable[Receipt]]
    ) -> Release:
        """Release what was held, after a person decided so: with the edits and marks of its policy, as a decision of its own.

        `held`: with its content. `policy`: the revision that held it, in force or not. `append`: commits the decision, and
        raises when the person's does not hold any more. Without content when it does not leave after all, such as for a mark
        that cannot be put on and that nobody set aside.
        """
        content, derived = held.content, decide(policy, held.results, held.context)
        again = set_aside(settle(derived, policy, held.marks), policy, held.reviewed)
        if held.verdict.action is not Action.REVIEW or content is None or held.verdict != again:
            raise PolicyError(
                f"decision {held.id} holds no output under revision {policy.revision}, as far as that derives again"
            )
        now, marks = datetime.now(UTC), tuple[Mark, ...]()
        verdict = set_aside(derived, policy, reviewed)
        fields: dict[str, Any] = {"id": uuid7(), "time": now, "results": held.results, "parent": held.id, "reviewed": reviewed}
        if verdict.action.releases:
            seat = self._bench.seats.get(policy.revision)
            planned = seat.marks if seat else await self._builder.run(partial(order.plan, policy.marks, self.operator))
            marking = self._marking(policy, content, verdict, replace(held.context, time=now), fields["id"], None)
            released, marks = await self._dress(planned, content, verdict, marking)
            verdict = set_aside(settle(derived, policy, marks), policy, reviewed)
            fields |= {"released": released if verdict.action.releases else None, "marks": marks}
            fields["fingerprint"] = await self._fingerprint(fields["released"])
        decision = _decision(content, held.context, held.request, verdict, **fields)
        with watching.step(watching.APPEND) as step:
            receipt = await append(decision)
            step.tell(decision=str(decision.id), index=receipt.index)
        watching.decided(decision)
        return Release(decision.released, verdict, receipt, decision)

    def wrap(self, generator: Generator) -> Guarded:
        """Bind a generator to this guard."""
        return Guarded(self, generator)

    def guarded(self, function: Any = None, /, **options: Any) -> Any:
        """Decorate a function that returns a text or an image: its caller gets what the policy lets out.

        `@guard.guarded` or `@guard.guarded(prompt=, name=, request=, withheld=)`: the parameter that is judged as the prompt;
        the generator's name in policies and entries (the function's own by default); a callable that makes the Request of the
        arguments; what is returned in place of what is withheld, or a callable that makes it of the Release. WithheldError is
        raised when that is left out. Works for functions and coroutine functions. Raises ParameterError, LedgerError.
        """
        if function is None:
            return partial(self.guarded, **options)
        return decorate(self, function, **options)

    # --- one step each ---------------------------------------------------------------------------------------------

    async def _generate(
        self,
        bench: Bench,
        generator: Generator,
        passed: Sequence[tuple[int, Content, Receipt]],
        parameters: Mapping[str, Any],
    ) -> AsyncGenerator[tuple[int, Release]]:
        await self._load_generator(generator)
        prompts = [prompt for _, prompt, _ in passed]
        marks = [sampling(bench, generator, prompt) for prompt in prompts]
        watch = Watch.of(bench, generator, passed, self.limits)
        async with aclosing(generate(generator, prompts, parameters, self.limits.outputs, marks, watch)) as batches:
            async for batch in batches:
                stopped = [watch.stopped(content) if watch else None for _, content in batch]
                done = [pair for pair, job in zip(batch, stopped, strict=True) if job is None]
                parents = [passed[position][2] for position, _ in done]
                request, origin = batch[0][1].request, batch[0][1].origin
                contents = [one for _, one in done]
                judged = iter(await self._judge_all(bench, contents, request, Stage.OUTPUT, origin, parents=parents))
                for (position, _), job in zip(batch, stopped, strict=True):
                    yield position, await self._finish(job) if job else next(judged)

    def _house(self, bench: Bench, parent: Receipt) -> House:
        """What this guard does for a stream."""

        async def judge(content: Content) -> Release:
            told = (content.request, Stage.OUTPUT, content.origin)
            return (await self._judge_all(bench, [content], *told, parents=[parent]))[0]

        async def dress(window: Window, verdict: Verdict, decision: UUID) -> tuple[Content | None, tuple[Mark, ...]]:
            content, context = window.content, window.measured.context
            marking = self._marking(window.seat.policy, content, verdict, context, decision, parent)
            edited = replace(content, data=window.edited)
            return await self._dress(window.seat.marks, edited, replace(verdict, edits=()), marking)

        async def shadows(window: Window) -> tuple[Shadow, ...]:
            job = Job(window.content, window.measured.context, window.content.request, parent, window.seat)
            job.results = window.measured.results
            for one in (begun := begin(bench, window.seat, [job])).values():
                one.judged(asyncio.get_running_loop().time() + WAIT_S)
            found = [shadow for one in begun.values() if (shadow := await one.shadow(job))]
            for one in begun.values():
                one.cancel()
            return tuple(found)

        return House(self.ledger, self.limits, self._redaction_key, self._activate, self._record, judge, dress, shadows)

    async def _judge_all(
        self,
        bench: Bench,
        contents: Sequence[str | bytes | Content],
        request: Request,
        stage: Stage,
        origin: Origin,
        media_type: str = "",
        parents: Sequence[Receipt] | None = None,
    ) -> list[Release]:
        """Admit, measure in one batch a policy, decide, edit, mark and record; one release a content, in order."""
        jobs: list[Job] = []
        now = datetime.now(UTC)
        known: Sequence[Receipt | None] = parents or [None] * len(contents)
        for data, parent in zip(contents, known, strict=True):
            whose, made = (data.request, data.origin) if isinstance(data, Content) else (request, origin)
            try:
                content = admit(data, request=whose, stage=stage, origin=made, media_type=media_type, limits=self.limits)
            except InputError as error:
                context = context_for(whose, stage, modality_of(data, media_type), made.generator, time=now)
                jobs.append(Job(None, context, whose, parent, bench.seat(context, whose), error))
            else:
                context = context_of(content, now)
                jobs.append(Job(content, context, whose, parent, bench.seat(context, whose)))
        beside = await self._measure(bench, jobs, now)
        try:
            return list(await asyncio.gather(*(self._finish(job) for job in jobs)))
        finally:
            for one in beside:
                one.cancel()

    async def _measure(self, bench: Bench, jobs: Sequence[Job], now: datetime) -> list[Shadowing]:
        """Measure for the policies that judge; return what is still being measured for those in shadow."""
        beside: list[Shadowing] = []
        for seat in dict.fromkeys(job.seat for job in jobs if job.seat is not None and job.content is not None):
            mine = [job for job in jobs if job.seat is seat and job.content is not None]
            begun = begin(bench, seat, mine)
            beside += begun.values()
            try:
                facts = {"policy": seat.policy.id, "stage": mine[0].context.stage.value, "contents": len(mine)}
                with watching.step(watching.CHECKS, **facts):
                    measured = await seat.chain.run([job.content for job in mine if job.content is not None], now)
            except BaseException:
                for one in beside:
                    one.cancel()
                raise
            for job, results in zip(mine, measured, strict=True):
                job.results = results
            until = asyncio.get_running_loop().time() + WAIT_S
            for one in begun.values():
                one.judged(until)
        return beside

    async def _finish(self, job: Job) -> Release:
        content, seat = job.content, job.seat
        fields: dict[str, Any] = {"parent": job.parent.decision if job.parent else None}
        if content is None or seat is None:
            error = job.error or PolicyError(
                f"no policy covers generator {job.context.generator!r} and tenant {job.context.tenant!r}"
            )
            verdict = refuse(error, seat.policy if seat else None)
            return await self._record(seat, _decision(content, job.context, job.request, verdict, **fields))
        verdict = decide(seat.policy, job.results, job.context)
        fields |= {"id": uuid7(), "results": job.results}
        if verdict.action.releases:
            marking = self._marking(seat.policy, content, verdict, job.context, fields["id"], job.parent)
            released, marks = await self._dress(seat.marks, content, verdict, marking)
            verdict = settle(verdict, seat.policy, marks)
            fields |= {"released": released if verdict.action.releases else None, "marks": marks}
            fields["fingerprint"] = await self._fingerprint(fields["released"])
        fields["shadows"] = tuple([shadow for one in job.beside if (shadow := await one.shadow(job))])
        return await self._record(seat, _decision(content, job.context, job.request, verdict, **fields))

    def _marking(
        self, policy: Policy, content: Content, verdict: Verdict, context: Context, decision: UUID, parent: Receipt | None
    ) -> Marking:
        edited, ledger, time = bool(verdict.edits), self.ledger.identity, _time(context)
        return Marking(decision, time, policy.id, policy.version, policy.revision, content, edited, ledger, parent)

    async def _dress(
        self, planned: Sequence[Planned], content: Content, verdict: Verdict, marking: Marking
    ) -> tuple[Content | None, tuple[Mark, ...]]:
        """Apply edits, then marks. What fails is a mark that is not verified; `settle` takes it into the verdict."""
        try:
            with watching.step(watching.MARKS, policy=marking.policy, modality=content.modality.value):
                return await self._dresser.run(lambda: self._dressed(planned, content, verdict, marking), MARK_DEADLINE_S)
        except TimeoutError:
            return None, (Mark("marks", "", "", verified=False, error=f"not done within {MARK_DEADLINE_S:.0f} s"),)

    def _dressed(
        self, planned: Sequence[Planned], content: Content, verdict: Verdict, marking: Marking
    ) -> tuple[Content | None, tuple[Mark, ...]]:
        try:
            content = redact(content, verdict.edits, self._redaction_key)
        except Exception as error:  # noqa: BLE001 - nothing may leave half-redacted, whatever went wrong
            return None, (Mark(REDACTION, "", "", verified=False, error=describe(error)),)
        if content.making is not None and content.making.call is not None:
            return content, ()  # a tool reads it, as JSON: a label would break it, and nobody would see a mark
        # A stricter action that releases does not take the label away that another rule asked for.
        labelled = any(rule.action is Action.LABEL for rule in verdict.fired)
        return order.put_on(planned, content, marking, self._load_marker, labelled=labelled)

    async def _fingerprint(self, released: Content | None) -> bytes:
        """What changed copies of a released image are found by. Texts have none, and nothing waits for it but their image.

        An image is released without one rather than not at all: it is no condition of any rule, and marks lead here as well.
        """
        if self._printer is None or released is None or (released.modality, released.stage) != (Modality.IMAGE, Stage.OUTPUT):
            return b""
        try:
            return await self._printer.run(partial(_fingerprint_of, released), FINGERPRINT_DEADLINE_S, wait=MARK_DEADLINE_S)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the image was judged
            _log.warning("an image gets no fingerprint: %s", describe(error))
            return b""

    async def _record(self, seat: Seat | None, decision: Decision, since: int = 0) -> Release:
        """`since`: of a stream, when it began (`guard.watching.Watch.decided`)."""
        if seat is not None:
            await self._activate(seat.policy)
        with watching.step(watching.APPEND) as step:
            receipt = await self.ledger.append(decision)
            step.tell(decision=str(decision.id), index=receipt.index)
        watching.decided(decision, since)
        return Release(decision.released, decision.verdict, receipt, decision)

    async def _activate(self, policy: Policy) -> None:
        if policy.revision not in self._activated:
            await self.ledger.activate(policy.id, policy.version, policy.revision, policy.document)
            self._activated.add(policy.revision)

    async def _load_generator(self, generator: Generator) -> None:
        with self._lock:
            future = self._loading.get(generator)
            if future is None or (future.done() and future.exception() is not None):  # once, or again after a failure
                future = self._loading[generator] = self._loader.submit(generator.load)
        try:
            await asyncio.shield(asyncio.wrap_future(future))
        except GenguardError:
            raise
        except Exception as error:
            raise GenerationError(f"generator {generator.name!r} could not be loaded: {type(error).__name__}") from error

    def _load_marker(self, marker: Marker) -> None:
        """Once a marker."""
        if not any(marker is one for one in self._ready):
            marker.load()
            self._ready.append(marker)


def _fingerprint_of(image: Content) -> bytes:
    from guard.matching.likeness import fingerprint

    return fingerprint(image.file)


def _decision(content: Content | None, context: Context, request: Request, verdict: Verdict, **rest: Any) -> Decision:
    fields = {"id": uuid7(), "time": _time(context), "results": (), "released": None, **rest}
    return Decision(content=content, context=context, request=request, verdict=verdict, **fields)


def _time(context: Context) -> datetime:
    """When a content was judged: one time for its conditions, its marks and its record."""
    return context.time or datetime.now(UTC)
