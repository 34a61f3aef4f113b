"""Steps of a policy's rollout: which one follows from what somebody asks for, and recording it; for HTTP and the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from audit.ledger import SqlLedger
from audit.rollouts import documents, last_revision, rollouts
from guard.errors import InputError, LedgerError, PolicyError, SignatureError
from guard.rules import Policy
from guard.types import Rollout, Step
from policies import from_document
from policies.rollout import State, advance, fold
from policies.signing import Trust
from serving.settings import Settings


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a step."""

    rollout: Rollout
    index: int | None
    """Of its entry; None when it would change nothing and was not recorded."""
    why: str
    """Why it was not recorded."""
    state: State
    """How the policy stands."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A ledger, and who takes steps in it. Each method that takes one raises LedgerError when it cannot be recorded."""

    ledger: SqlLedger
    url: str
    author: str
    settings: Settings
    standing: Mapping[str, str] = field(default_factory=dict)
    """By policy, the revision that judges here: what a first step comes after where nothing was decided yet."""

    def state(self, policy: str) -> State:
        """How a policy stands; as new when the ledger has no step of it."""
        return states(self.url).get(policy) or State(policy)

    def known(self, policy: str) -> State:
        """How a policy stands. Raises InputError when the ledger has no step of it."""
        state = self.state(policy)
        if not state.steps:
            raise InputError(
                f"the ledger has no rollout of policy {policy!r}", advice="Begin with: genguard policy activate FILE --reason …"
            )
        return state

    def activate(
        self,
        policy: Policy,
        reason: str,
        *,
        source: str = "",
        share: int = 0,
        by: str = "requests",
        shadow: bool = False,
        propose: bool = False,
        signature: str = "",
    ) -> Taken:
        """Put a policy in force, let it judge a share, or put it in shadow; propose that where somebody else has to approve.

        What has to hold before (`policies.gates`, signatures) is the caller's to see to. `source`: see
        `SqlLedger.activate_sync`.
        """
        state = self.state(policy.id)
        proposed = propose or self.settings.policy_approvals
        step = Step.SHADOW if shadow else Step.PROPOSE if proposed else Step.CANARY if share else Step.ACTIVATE
        self.ledger.activate_sync(policy.id, policy.version, policy.revision, policy.document, source=source)
        trial: dict[str, Any] = {"share": share, "by": by} if share else {}
        return self._take(state, step, policy.revision, policy.version, reason, signature=signature, **trial)

    def share(self, policy: str, share: int, by: str, reason: str) -> Taken:
        """Let the canary judge more or less. Raises InputError when there is none."""
        state = self.known(policy)
        revision = _canary(state)
        step = Step.PROPOSE if self.settings.policy_approvals else Step.CANARY
        note = self._trusted(state, revision)
        return self._take(state, step, revision, None, reason, signature=note, share=share, by=by)

    def promote(self, policy: str, reason: str) -> Taken:
        """Let the canary judge everything. Raises InputError when there is none."""
        state = self.known(policy)
        revision = _canary(state)
        step = Step.PROPOSE if self.settings.policy_approvals else Step.ACTIVATE
        return self._take(state, step, revision, None, reason, signature=self._trusted(state, revision))

    def stop(self, policy: str, revision: str, reason: str, *, proposals_only: bool = False) -> Taken:
        """End a canary, a shadow or a proposal: the one that begins so, or the only one. Raises InputError for no one."""
        state = self.known(policy)
        waiting = tuple(one.revision for one in state.proposals)
        trial = (state.canary.revision,) if state.canary else ()
        running = waiting if proposals_only else (*trial, *state.shadows, *waiting)
        if not running:
            raise InputError(f"policy {policy!r} has no {'' if proposals_only else 'canary, no shadow and no '}proposal")
        if not revision and len(running) > 1:
            listed = ", ".join(one[:16] for one in running)
            raise InputError(f"policy {policy!r} has several of them: {listed}", advice="Say which one.")
        return self._take(state, Step.STOP, one_of(running, revision), None, reason)

    def rollback(self, policy: str, to: str, reason: str, *, warn: Callable[[str], None] = lambda _: None) -> Taken:
        """Take the latest change back: end the canary, or else put in force what was before. Raises InputError for nothing.

        `warn`: is told why services may refuse what is gone back to.
        """
        state = self.known(policy)
        if state.canary is not None and not to:
            return self._take(state, Step.STOP, state.canary.revision, None, reason)
        if not state.history:
            raise InputError(f"nothing was in force before in policy {policy!r}, so there is nothing to go back to")
        chosen = one_of(state.history, to) if to else state.history[-1]
        try:
            self._trusted(state, chosen)
        except SignatureError as error:  # a service that was given just this file may take it all the same
            warn(str(error))
        return self._take(state, Step.ROLLBACK, chosen, None, reason)

    def retire(self, policy: str, reason: str) -> Taken:
        """Take a policy out of force. Raises InputError when none of it is in force."""
        state = self.known(policy)
        if not state.revision:
            raise InputError(f"no revision of policy {policy!r} is in force by the ledger")
        return self._take(state, Step.RETIRE, state.revision, None, reason)

    def approve(self, policy: str, revision: str, reason: str) -> Taken:
        """Let happen what somebody else proposed. Raises InputError for one's own, and when nothing waits."""
        state = self.known(policy)
        if not state.proposals:
            raise InputError(f"nothing waits for approval in policy {policy!r}")
        chosen = one_of([one.revision for one in state.proposals], revision)
        asked = next(one for one in state.proposals if one.revision == chosen)
        if asked.author.strip().casefold() == self.author.strip().casefold():
            raise InputError(
                f"{asked.author} proposed this, expected somebody else to approve it", advice="Give your name: --author NAME."
            )
        self._trusted(state, chosen)
        given: dict[str, Any] = {"author": asked.author, "approver": self.author, "share": asked.share, "by": asked.by}
        why = reason or asked.reason
        return self._take(state, Step.APPROVE, chosen, asked.version, why, signature=asked.signature, **given)

    def _trusted(self, state: State, revision: str) -> str:
        """The signature that a revision came with. Raises SignatureError where services would refuse it."""
        policy, notes = recorded(self.url, revision), state.signatures(revision)
        if policy is not None:
            trust(self.settings).check(policy, notes)
        return notes[-1] if notes else ""

    def _take(self, state: State, step: Step, revision: str, version: int | None, reason: str, **more: Any) -> Taken:
        """Record a step, now, unless it would change nothing. `version`: None for that of the recorded document."""
        if version is None:
            version = int(json.loads(documents(self.url, [revision])[revision])["version"])
        previous = _previous(self.url, state, revision, self.standing.get(state.policy, ""))
        known = {"previous": previous, "time": datetime.now(UTC), "author": self.author, **more}
        return self._record(Rollout(policy=state.policy, version=version, revision=revision, step=step, reason=reason, **known))

    def _record(self, rollout: Rollout) -> Taken:
        state = self.state(rollout.policy)
        if isinstance(found := advance(state, rollout), str):
            return Taken(rollout, None, found, state)
        index = self.ledger.roll_out_sync(rollout)
        after = self.state(rollout.policy)
        if why := dict(after.void).get(index):
            raise LedgerError(
                f"entry {index} changed nothing: somebody else took a step at the same time, and now {why}",
                advice="Look at genguard policy status, and take the step again if it is still wanted.",
            )
        return Taken(rollout, index, "", after)


def states(url: str) -> dict[str, State]:
    """How every policy stands by the ledger. Raises LedgerError."""
    return fold(rollouts(url))


def judging(url: str, policy: Policy) -> Policy | None:
    """The revision that judges now in place of a policy; None for none, also where there is no ledger yet."""
    with suppress(LedgerError):
        revision = _previous(url, states(url).get(policy.id) or State(policy.id), policy.revision)
        return recorded(url, revision)
    return None


def recorded(url: str, revision: str) -> Policy | None:
    """A revision as a policy; None for none, and for one that this version cannot read."""
    found = documents(url, [revision]).get(revision) if revision else None
    with suppress(PolicyError):
        return from_document(found) if found is not None else None
    return None


def trust(settings: Settings) -> Trust:
    """Whose signatures policies need. Raises SettingsError."""
    return Trust.read(settings.policy_keys, settings.policy_signatures)


def one_of(revisions: Sequence[str], beginning: str) -> str:
    """The one revision that begins so. Raises InputError for none and for several."""
    found = [one for one in dict.fromkeys(revisions) if one.startswith(beginning.strip().lower())]
    if len(found) != 1:
        listed = ", ".join(one[:16] for one in dict.fromkeys(revisions))
        raise InputError(f"found {len(found)} revisions that begin with {beginning[:64]!r}, expected one of: {listed}")
    return found[0]


def _canary(state: State) -> str:
    if state.canary is None:
        raise InputError(
            f"policy {state.policy!r} has no canary", advice="Begin one: genguard policy activate FILE --canary 10%."
        )
    return state.canary.revision


def _previous(url: str, state: State, revision: str, standing: str = "") -> str:
    """The revision that judges now; where the ledger has none in force, the one that judged last from a file."""
    if state.revision or state.history or state.retired:
        return state.revision
    found = last_revision(url, state.policy) or standing
    return "" if found == revision else found
