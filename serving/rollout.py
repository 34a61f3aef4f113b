"""Lets a running service follow the ledger: what its rollout entries say of each policy is what judges, within seconds.

    told, or every POLL_S: new steps? ─> fold ─> for each policy that changed: build and load beside the work, then switch

Policies that the service was given judge until the ledger has a step that puts a revision of theirs in force or retires it. A
revision that cannot be used here, for want of a model, a bank, a key or a signature, leaves the last good one in force;
`troubles` says so, and it is tried again every RETRY_S and with each new step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from time import monotonic

from audit.database import reader_engine
from audit.rollouts import documents, rollouts
from guard.bench import Deployment, Seat
from guard.errors import LedgerError, PolicyError, describe
from guard.pipeline import Guard
from guard.redaction_key import RedactionKey
from guard.rules import Policy
from guard.types import Operator
from policies import from_document
from policies.rollout import State, fold
from policies.signing import Trust

POLL_S = 1.0
"""Seconds between two looks at the ledger."""
RETRY_S = 30.0
"""Seconds after which what could not be used is tried again."""
BUILD_S = 600.0
"""Seconds that the models of one revision may take to load."""
BACK = 3
"""How many revisions of the past a service tries that starts when the one in force cannot be used."""
LEDGER = "(ledger)"
"""Stands in `troubles` for a ledger that cannot be read."""

Keys = Callable[[Policy], tuple[RedactionKey | None, Operator | None]]
"""The redaction key and the operator that a policy needs, None where it needs none; raises SettingsError."""
_log = logging.getLogger(__name__)


class Watcher:
    """Follows one ledger for one guard."""

    def __init__(self, guard: Guard, ledger_url: str, given: Iterable[Policy], *, trust: Trust, keys: Keys) -> None:
        """`given`: what the guard judges with now. `trust`: whose signatures revisions from the ledger need."""
        self.states: dict[str, State] = {}
        """What the ledger says, by policy."""
        self.troubles: dict[str, str] = {}
        """Why a policy does not stand here as the ledger says, by policy."""
        self._guard, self._trust, self._keys = guard, trust, keys
        self._source = reader_engine(ledger_url)
        self._given = {policy.id: policy for policy in given}
        self._now = {policy.id: Deployment(policy) for policy in self._given.values()}
        self._redaction_key: RedactionKey | None = None
        self._operator: Operator | None = None
        self._after = -1
        self._retry_at: dict[str, float] = {}
        self._started = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._targets: dict[str, object] = {}
        self._adopting = asyncio.Lock()
        self._told = asyncio.Event()

    async def start(self) -> None:
        """Follow what the ledger says before anything is judged."""
        await self.look()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._started = True

    def wake(self) -> None:
        """Look at once: something was committed. For the event loop."""
        self._told.set()

    async def run(self) -> None:
        """Look for ever."""
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._told.wait(), POLL_S)
                self._told.clear()
                try:
                    await self.look()
                except Exception as error:  # noqa: BLE001 - whatever it was, the next look may succeed
                    self._tell({**self.troubles, LEDGER: f"it cannot be followed: {describe(error)}"})
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def look(self) -> None:
        """Begin to follow what is new in the ledger, each policy for itself, and to try again what is in trouble.

        A model that takes long to load holds up no other policy, and a new step for its own policy ends the wait. Nothing is
        raised for a policy or the ledger.
        """
        try:
            new = await asyncio.to_thread(rollouts, self._source, after=self._after)
        except LedgerError as error:
            self._tell({**self.troubles, LEDGER: str(error)})
            return
        self._tell({name: why for name, why in self.troubles.items() if name != LEDGER})
        changed = {rollout.policy for _, rollout in new}
        if new:
            self.states, self._after = fold(new, self.states), new[-1][0]
        again = {name for name in self.troubles if name not in self._tasks and monotonic() >= self._retry_at.get(name, 0.0)}
        for name in [one for one in self.states if one in changed | again]:
            self._begin(self.states[name])

    def _begin(self, state: State) -> None:
        """Follow one policy; what is under way for an older state of it ends, unless it leads to the same."""
        target = (state.revision, state.canary, state.shadows, state.retired)
        running = self._tasks.get(state.policy)
        if running is not None and self._targets[state.policy] == target:
            return
        if running is not None:
            running.cancel()
        self._targets[state.policy] = target
        task = self._tasks[state.policy] = asyncio.create_task(self._bring(state))
        task.add_done_callback(partial(self._ended, state.policy))

    def _ended(self, policy: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(policy) is task:
            del self._tasks[policy]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tell({**self.troubles, policy: describe(error)})

    async def _bring(self, state: State) -> None:
        why = await self._follow(state)
        self._retry_at[state.policy] = monotonic() + RETRY_S
        others = {name: one for name, one in self.troubles.items() if name != state.policy}
        self._tell({**others, **({state.policy: why} if why else {})})

    def source(self, policy: str) -> str:
        """Where the revision in force comes from: `ledger`, or `file` for one that the service was given."""
        state = self.states.get(policy)
        return "ledger" if state is not None and (state.revision or state.retired) else "file"

    def _tell(self, troubles: dict[str, str]) -> None:
        """Keep troubles, and log those that are new."""
        for name, why in troubles.items():
            if self.troubles.get(name) != why:
                _log.error("rollout of %s: %s", name, why)
        self.troubles = troubles

    async def _follow(self, state: State) -> str:
        """Bring one policy to where the ledger says it stands, or as near as can be; return what is missing."""
        wrong: list[str] = []
        ready: list[Seat] = []  # what is kept here need not be built again when all is adopted together
        live = await self._live(state, wrong, ready)
        canary, trial = None, state.canary
        if trial is not None:
            canary = await self._usable(state, trial.revision, wrong, ready, judges=True)
        shadows = [await self._usable(state, one, wrong, ready) for one in state.shadows]
        share, by = (trial.share, trial.by) if trial is not None else (0, "requests")
        wanted = Deployment(live, canary, share, by, tuple(one for one in shadows if one is not None))
        async with self._adopting:
            now = {name: one for name, one in {**self._now, state.policy: wanted}.items() if one.revisions}
            if now != self._now:
                try:
                    await self._guard.adopt(*now.values(), redaction_key=self._redaction_key, operator=self._operator)
                except Exception as error:  # noqa: BLE001 - told; nothing has changed
                    return "; ".join([*wrong, f"it stays as it is: {describe(error)}"])
                self._now = now
                self._announce(state, wanted)
        return "; ".join(wrong)

    async def _live(self, state: State, wrong: list[str], ready: list[Seat]) -> Policy | None:
        """The revision to be in force: that of the ledger, or else the last good one."""
        if not state.revision:
            return None if state.retired else self._given.get(state.policy)
        if found := await self._usable(state, state.revision, wrong, ready, judges=True):
            return found
        standing = self._now.get(state.policy)
        last = standing.policy if standing is not None else None
        if not self._started:  # it did not run here: what was in force elsewhere did
            earlier = [await self._usable(state, one, [], ready, judges=True) for one in state.history[: -1 - BACK : -1]]
            last = next((one for one in earlier if one is not None), last)
        wrong.append(
            f"revision {last.revision[:16]} stays in force" if last is not None else "nothing is in force in its place"
        )
        return last

    async def _usable(
        self, state: State, revision: str, wrong: list[str], ready: list[Seat], *, judges: bool = False
    ) -> Policy | None:
        """A revision that is ready to decide; None, with the reason added to `wrong`, when it cannot be used."""
        try:
            policy = await self._policy(state, revision)
            if judges and policy.status != "live":
                raise PolicyError(f"found status {policy.status!r}, expected 'live'")  # noqa: TRY301
            key, operator = await asyncio.to_thread(self._keys, policy)
            self._redaction_key, self._operator = key or self._redaction_key, operator or self._operator
            ready += await asyncio.wait_for(self._guard.prepare(policy, operator=self._operator), BUILD_S)
        except Exception as error:  # noqa: BLE001 - told; what is in force stays there
            wrong.append(f"revision {revision[:16]} cannot be used here: {describe(error)}")
            return None
        return policy

    async def _policy(self, state: State, revision: str) -> Policy:
        """A revision from the ledger. Raises PolicyError, SignatureError or LedgerError."""
        running = self._now.get(state.policy)
        known = (*(running.revisions if running is not None else ()), *self._given.values())
        policy = next((one for one in known if one.revision == revision), None)
        if policy is None:
            found = await asyncio.to_thread(documents, self._source, [revision])
            if revision not in found:
                raise PolicyError("the ledger has no document of it")
            policy = await asyncio.to_thread(from_document, found[revision])
        if policy.id != state.policy or policy.revision != revision:
            raise PolicyError(f"its document is another one, of policy {policy.id!r}")
        await asyncio.to_thread(self._trust.check, policy, state.signatures(revision))
        return policy

    def _announce(self, state: State, standing: Deployment) -> None:
        told = [f"revision {standing.policy.revision[:16]} in force"] if standing.policy is not None else []
        told += [f"canary {standing.canary.revision[:16]} ({standing.share} % of {standing.by})"] if standing.canary else []
        told += [f"shadow {one.revision[:16]}" for one in standing.shadows]
        given = self._given.get(state.policy)
        if given is not None and standing.policy is not given:
            told.append(f"not revision {given.revision[:16]}, which the service was given")
        _log.warning("policy %s, as the ledger says: %s", state.policy, ", ".join(told) or "retired")
