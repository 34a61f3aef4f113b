"""generate -> chain -> decide -> redact -> mark -> record -> release. The only maker of a Release.

There is one way through, for text and images, prompts and outputs, and it ends in the ledger: a Release can only be built from
the Receipt of a durable commit.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from guard.admission import Limits, admit
from guard.chain import Chain, context_of
from guard.decide import REDACTION, decide, refuse, settle
from guard.errors import GenerationError, GenguardError, InputError, PolicyError, describe
from guard.generation import generate
from guard.ids import uuid7
from guard.marks import order
from guard.redact import keyed_rules, redact
from guard.redaction_key import RedactionKey
from guard.rules import Policy, choose
from guard.sync import run_sync
from guard.types import (
    CALLER,
    Action,
    CheckResult,
    Content,
    Context,
    Decision,
    Generator,
    Ledger,
    Mark,
    Marker,
    Marking,
    Modality,
    Operator,
    Origin,
    Receipt,
    Release,
    Request,
    SamplingMarker,
    Stage,
    TokenGenerator,
    TokenMark,
    Verdict,
)
from guard.workers import Worker

MARK_DEADLINE_S = 300.0
"""How long edits and marks of one batch of outputs may take before what is not done is blocked."""


class Guard:
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
    ) -> None:
        """`policy`: one or several; `guard.rules.choose` says which one judges. `chains`: built ones by policy id.

        `operator`: whom marks name and sign for. Raises PolicyError for no policy, a policy that is not `live`, two of one id,
        or one whose rules hash, pseudonymise or encrypt when there is no `redaction_key`; SettingsError for one whose marks ask
        for something that `operator` does not have.
        """
        self.policies = (policy,) if isinstance(policy, Policy) else tuple(policy)
        _require_live(self.policies)
        if redaction_key is None:
            _require_no_key(self.policies)
        self._redaction_key = redaction_key
        self.ledger = ledger
        self.limits = limits or Limits()
        self.chains = {one.id: (chains or {}).get(one.id) or Chain(one) for one in self.policies}
        for one in self.policies:
            if self.chains[one.id].policy.revision != one.revision:
                raise PolicyError(f"the chain of policy {one.id!r} was built for another revision, expected {one.revision}")
        self.operator = operator or Operator()
        self._marks = {one.id: order.plan(one.marks, self.operator) for one in self.policies}
        self._ready: list[Marker] = []
        self._dresser = Worker("genguard-marks")
        self._loader = Worker("genguard-load")
        self._activated: set[str] = set()
        self._loading: weakref.WeakKeyDictionary[Generator, Future[None]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    async def load(self, *generators: Generator) -> dict[str, str]:
        """Load all models now rather than at the first call; return what went wrong, by policy and check."""
        troubles: dict[str, str] = {}
        for policy in self.policies:
            await self._activate(policy)
            troubles |= {f"{policy.id}.{name}": why for name, why in (await self.chains[policy.id].load()).items()}
        for policy in self.policies:
            for one in self._marks[policy.id]:
                try:
                    await self._dresser.run(partial(self._load_marker, one.marker))
                except Exception as error:  # noqa: BLE001 - outputs it should mark follow `on_unmarkable`
                    troubles[f"{policy.id}.{one.spec.use}"] = describe(error)
        for generator in generators:
            await self._load_generator(generator)
        return troubles

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
        request = request or Request(str(uuid7()))
        # Whoever wrote it, a prompt is judged by the policy of the generator that it goes to.
        origin = Origin(generator.name)
        asked = [replace(prompt, origin=origin) if isinstance(prompt, Content) else prompt for prompt in prompts]
        passed: list[tuple[int, Content, Receipt]] = []
        for index, release in enumerate(await self._judge_all(asked, request, Stage.PROMPT, origin)):
            if release.content is None:
                yield index, release
            else:
                passed.append((index, release.content, release.receipt))
        if passed:
            async with aclosing(self._generate(generator, passed, parameters)) as releases:
                async for position, release in releases:
                    yield passed[position][0], release

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
        request = request or Request(str(uuid7()))
        return (await self._judge_all([content], request, stage, origin, media_type))[0]

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
        context = Context(stage, modality, generator, request.tenant, request.language, time=datetime.now(UTC))
        policy = self._policy(context)
        return await self._record(policy, _decision(None, context, request, refuse(error, policy)))

    def wrap(self, generator: Generator) -> Guarded:
        """Bind a generator to this guard."""
        return Guarded(self, generator)

    def release_sync(
        self, generator: Generator, prompt: str | Content, *, request: Request | None = None, **parameters: Any
    ) -> Release:
        """`release` for code without an event loop."""
        return run_sync(self.release(generator, prompt, request=request, **parameters))

    def release_many_sync(
        self, generator: Generator, prompts: Sequence[str | Content], *, request: Request | None = None, **parameters: Any
    ) -> list[tuple[int, Release]]:
        """`release_many` for code without an event loop: all releases at once."""

        async def collect() -> list[tuple[int, Release]]:
            return [pair async for pair in self.release_many(generator, prompts, request=request, **parameters)]

        return run_sync(collect())

    def check_sync(
        self,
        content: str | bytes | Content,
        *,
        request: Request | None = None,
        stage: Stage = Stage.OUTPUT,
        origin: Origin = CALLER,
        media_type: str = "",
    ) -> Release:
        """`check` for code without an event loop."""
        return run_sync(self.check(content, request=request, stage=stage, origin=origin, media_type=media_type))

    # --- one step each ---------------------------------------------------------------------------------------------

    async def _generate(
        self, generator: Generator, passed: Sequence[tuple[int, Content, Receipt]], parameters: Mapping[str, Any]
    ) -> AsyncGenerator[tuple[int, Release]]:
        await self._load_generator(generator)
        prompts = [prompt for _, prompt, _ in passed]
        marks = [self._sampling(generator, prompt) for prompt in prompts]
        async with aclosing(generate(generator, prompts, parameters, self.limits.outputs, marks)) as batches:
            async for batch in batches:
                parents = [passed[position][2] for position, _ in batch]
                request, origin = batch[0][1].request, batch[0][1].origin
                releases = await self._judge_all([one for _, one in batch], request, Stage.OUTPUT, origin, parents=parents)
                for (position, _), release in zip(batch, releases, strict=True):
                    yield position, release

    def _sampling(self, generator: Generator, prompt: Content) -> TokenMark | None:
        """The mark that goes into outputs while they are made: of the policy that will judge them."""
        if not isinstance(generator, TokenGenerator):
            return None
        policy = self._policy(Context(Stage.OUTPUT, generator.modality, generator.name, prompt.request.tenant))
        markers = (one.marker for one in self._marks[policy.id]) if policy else ()
        found = (one for one in markers if isinstance(one, SamplingMarker) and one.modality is generator.modality)
        return next((one.sampling(generator) for one in found), None)

    async def _judge_all(
        self,
        contents: Sequence[str | bytes | Content],
        request: Request,
        stage: Stage,
        origin: Origin,
        media_type: str = "",
        parents: Sequence[Receipt] | None = None,
    ) -> list[Release]:
        """Admit, measure in one batch a policy, decide, edit, mark and record; one release a content, in order."""
        jobs: list[_Job] = []
        now = datetime.now(UTC)
        known: Sequence[Receipt | None] = parents or [None] * len(contents)
        for data, parent in zip(contents, known, strict=True):
            whose, made = (data.request, data.origin) if isinstance(data, Content) else (request, origin)
            try:
                content = admit(data, request=whose, stage=stage, origin=made, media_type=media_type, limits=self.limits)
            except InputError as error:
                modality = Modality.TEXT if isinstance(data, str) else Modality.IMAGE
                modality = data.modality if isinstance(data, Content) else modality
                context = Context(stage, modality, made.generator, whose.tenant, whose.language, time=now)
                jobs.append(_Job(None, context, whose, parent, self._policy(context), error))
            else:
                context = context_of(content, now)
                jobs.append(_Job(content, context, whose, parent, self._policy(context)))
        await self._measure(jobs, now)
        return list(await asyncio.gather(*(self._finish(job) for job in jobs)))

    async def _measure(self, jobs: Sequence[_Job], now: datetime) -> None:
        for policy in self.policies:
            mine = [job for job in jobs if job.policy is policy and job.content is not None]
            if mine:
                measured = await self.chains[policy.id].run([job.content for job in mine if job.content is not None], now)
                for job, results in zip(mine, measured, strict=True):
                    job.results = results

    async def _finish(self, job: _Job) -> Release:
        content, policy = job.content, job.policy
        fields: dict[str, Any] = {"parent": job.parent.decision if job.parent else None}
        if content is None or policy is None:
            error = job.error or PolicyError(
                f"no policy covers generator {job.context.generator!r} and tenant {job.context.tenant!r}"
            )
            verdict = refuse(error, policy)
            return await self._record(policy, _decision(content, job.context, job.request, verdict, **fields))
        verdict = decide(policy, job.results, job.context)
        fields |= {"id": uuid7(), "results": job.results}
        if verdict.action.releases:
            marking = self._marking(policy, content, verdict, job.context, fields["id"], job.parent)
            released, marks = await self._dress(policy, content, verdict, marking)
            verdict = settle(verdict, policy, marks)
            fields |= {"released": released if verdict.action.releases else None, "marks": marks}
        return await self._record(policy, _decision(content, job.context, job.request, verdict, **fields))

    def _marking(
        self, policy: Policy, content: Content, verdict: Verdict, context: Context, decision: UUID, parent: Receipt | None
    ) -> Marking:
        edited, ledger, time = bool(verdict.edits), self.ledger.identity, _time(context)
        return Marking(decision, time, policy.id, policy.version, policy.revision, content, edited, ledger, parent)

    async def _dress(
        self, policy: Policy, content: Content, verdict: Verdict, marking: Marking
    ) -> tuple[Content | None, tuple[Mark, ...]]:
        """Apply edits, then marks. What fails is a mark that is not verified; `settle` takes it into the verdict."""
        try:
            return await self._dresser.run(lambda: self._dressed(policy, content, verdict, marking), MARK_DEADLINE_S)
        except TimeoutError:
            return None, (Mark("marks", "", "", verified=False, error=f"not done within {MARK_DEADLINE_S:.0f} s"),)

    def _dressed(
        self, policy: Policy, content: Content, verdict: Verdict, marking: Marking
    ) -> tuple[Content | None, tuple[Mark, ...]]:
        try:
            content = redact(content, verdict.edits, self._redaction_key)
        except Exception as error:  # noqa: BLE001 - nothing may leave half-redacted, whatever went wrong
            return None, (Mark(REDACTION, "", "", verified=False, error=describe(error)),)
        # A stricter action that releases does not take the label away that another rule asked for.
        labelled = any(rule.action is Action.LABEL for rule in verdict.fired)
        return order.put_on(self._marks[policy.id], content, marking, self._load_marker, labelled=labelled)

    async def _record(self, policy: Policy | None, decision: Decision) -> Release:
        if policy is not None:
            await self._activate(policy)
        receipt = await self.ledger.append(decision)
        return Release(decision.released, decision.verdict, receipt, decision)

    def _policy(self, context: Context) -> Policy | None:
        return choose(self.policies, context.generator, context.tenant)

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
        """On the marks' thread."""
        if not any(marker is one for one in self._ready):
            marker.load()
            self._ready.append(marker)


@dataclass(slots=True)
class _Job:
    """One content on its way from admission to its decision."""

    content: Content | None
    context: Context
    request: Request
    parent: Receipt | None
    """Of the prompt's decision."""
    policy: Policy | None
    error: InputError | None = None
    results: tuple[CheckResult, ...] = ()


def _decision(content: Content | None, context: Context, request: Request, verdict: Verdict, **rest: Any) -> Decision:
    fields = {"id": uuid7(), "time": _time(context), "results": (), "released": None, **rest}
    return Decision(content=content, context=context, request=request, verdict=verdict, **fields)


def _time(context: Context) -> datetime:
    """When a content was judged: one time for its conditions, its marks and its record."""
    return context.time or datetime.now(UTC)


class Guarded:
    """A generator that can only be reached through its guard."""

    def __init__(self, guard: Guard, generator: Generator) -> None:
        self._guard = guard
        self._generator = generator

    async def __call__(self, prompt: str | Content, *, request: Request | None = None, **parameters: Any) -> Release:
        """Generate one output and take it through the policy; raises as `Guard.release` does."""
        return await self._guard.release(self._generator, prompt, request=request, **parameters)

    def sync(self, prompt: str | Content, *, request: Request | None = None, **parameters: Any) -> Release:
        """The same for code without an event loop."""
        return self._guard.release_sync(self._generator, prompt, request=request, **parameters)


def _require_live(policies: Sequence[Policy]) -> None:
    if not policies:
        raise PolicyError("found no policy, expected at least one", advice="Without a policy nothing may be released.")
    ids = [policy.id for policy in policies]
    for policy in policies:
        if policy.status != "live":
            raise PolicyError(
                f"policy {policy.id!r} has status {policy.status!r}, expected 'live'",
                advice="Only a live policy judges. Set `status: live` when it is ready.",
            )
        if ids.count(policy.id) > 1:
            raise PolicyError(f"found {ids.count(policy.id)} policies with the id {policy.id!r}, expected one")


def _require_no_key(policies: Sequence[Policy]) -> None:
    for policy in policies:
        rules = keyed_rules(policy)
        if rules:
            raise PolicyError(
                f"policy {policy.id!r}: found no redaction key, expected one for {', '.join(map(repr, rules))}, "
                "which hashes, pseudonymises or encrypts",
                advice="Give one: Guard(…, redaction_key=RedactionKey.read(path)), or GENGUARD_REDACTION_KEY for the service.",
            )
