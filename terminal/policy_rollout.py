"""`genguard policy activate | promote | stop | rollback | retire | approve | status`: which revision of a policy judges.

Each command but `status` is one entry of the ledger, which running services follow within seconds. Names at the terminal prove
nothing: whoever may write to the ledger may give any. Signatures prove who stands behind a revision.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from guard.errors import InputError, PolicyError, SignatureError
from guard.types import Step
from serving.settings import DEFAULT_LEDGER
from terminal import policy_steps as steps
from terminal.policy_steps import Desk
from terminal.printing import Json, print_json

NOT_READY = 1
"""What `activate` ends with when tests are red or a lint finds an error."""
_LIVE = {"live"}


class By(StrEnum):
    """What a canary's share is a share of."""

    REQUESTS = "requests"
    TENANTS = "tenants"


Name = Annotated[str, typer.Argument(metavar="POLICY", help="A policy's name.")]
LedgerUrl = Annotated[str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="The ledger that services follow.")]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", envvar="GENGUARD_KEY_FILE", help="Master key of the ledger; beside it by default.")
]
Author = Annotated[str, typer.Option("--author", envvar="GENGUARD_ACTOR", help="Who does this; your user name by default.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; recorded.")]
Revision = Annotated[str, typer.Argument(metavar="REVISION", help="The beginning of a revision.")]


def add(app: typer.Typer) -> None:
    """Add the commands to those on policies."""
    for command in (activate, promote, stop, rollback, retire, approve, status):
        app.command()(command)


def activate(
    file: Annotated[str, typer.Argument(metavar="FILE|PACK", help="A policy file or pack name.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; recorded.", prompt=False)],
    canary: Annotated[str, typer.Option("--canary", metavar="PER_CENT", help="Let it judge a share only: 10%.")] = "",
    by: Annotated[By, typer.Option("--by", help="What the share is of.")] = By.REQUESTS,
    shadow: Annotated[bool, typer.Option("--shadow", help="Let it decide beside the one in force, without effect.")] = False,
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Put a policy in force, or try it: 0 recorded (or waiting for approval), 1 tests are red or lints find an error."""
    from policies import open_policy

    share = steps.share_of(canary) if canary else 0
    if share and shadow:
        raise typer.BadParameter("a shadow judges nothing, so it has no share", param_hint="--shadow")
    loaded = open_policy(file)
    policy = loaded.policy
    _require_status(policy.status, file, shadow=shadow)
    note = steps.trust().check_file(policy, file)
    if not shadow and (found := steps.gate(loaded, steps.judging(ledger, policy))):
        _not_ready(found, as_json=as_json)
    with Desk(ledger, key_file, author) as desk:
        state = desk.state(policy.id)
        step = Step.SHADOW if shadow else Step.PROPOSE if steps.approvals() else Step.CANARY if share else Step.ACTIVATE
        desk.ledger.activate_sync(policy.id, policy.version, policy.revision, policy.document)
        trial: dict[str, Any] = {"share": share, "by": by.value} if share else {}
        _take(desk, desk.step(state, step, policy.revision, policy.version, reason, signature=note, **trial), as_json=as_json)


def promote(
    policy: Name,
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Let the canary of a policy judge everything."""
    with Desk(ledger, key_file, author) as desk:
        state = desk.known(policy)
        if state.canary is None:
            raise InputError(
                f"policy {policy!r} has no canary", advice="Begin one: genguard policy activate FILE --canary 10%."
            )
        step = Step.PROPOSE if steps.approvals() else Step.ACTIVATE
        note = desk.trusted(state, state.canary.revision)
        _take(desk, desk.step(state, step, state.canary.revision, None, reason, signature=note), as_json=as_json)


def stop(
    policy: Name,
    revision: Annotated[str, typer.Argument(metavar="[REVISION]", help="Which, when there are several.")] = "",
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """End a canary, a shadow or a proposal."""
    with Desk(ledger, key_file, author) as desk:
        state = desk.known(policy)
        trial = (state.canary.revision,) if state.canary else ()
        running = (*trial, *state.shadows, *(one.revision for one in state.proposals))
        if not running:
            raise InputError(f"policy {policy!r} has no canary, no shadow and no proposal")
        if not revision and len(running) > 1:
            listed = ", ".join(one[:16] for one in running)
            raise InputError(f"policy {policy!r} has several of them: {listed}", advice="Say which one.")
        chosen = steps.one_of(running, revision)
        _take(desk, desk.step(state, Step.STOP, chosen, None, reason), as_json=as_json)


def rollback(
    policy: Name,
    to: Annotated[str, typer.Option("--to", metavar="REVISION", help="Go further back than to the one before.")] = "",
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Take the latest change back: end the canary, or else put in force what was before."""
    with Desk(ledger, key_file, author) as desk:
        state = desk.known(policy)
        if state.canary is not None and not to:
            _take(desk, desk.step(state, Step.STOP, state.canary.revision, None, reason), as_json=as_json)
            return
        if not state.history:
            raise InputError(f"nothing was in force before in policy {policy!r}, so there is nothing to go back to")
        chosen = steps.one_of(state.history, to) if to else state.history[-1]
        try:
            desk.trusted(state, chosen)
        except SignatureError as error:  # a service that was given just this file may take it all the same
            typer.echo(f"services may refuse it: {error}", err=True)
        _take(desk, desk.step(state, Step.ROLLBACK, chosen, None, reason), as_json=as_json)


def retire(
    policy: Name,
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Take a policy out of force altogether. What no other policy covers is blocked from then on."""
    with Desk(ledger, key_file, author) as desk:
        state = desk.known(policy)
        if not state.revision:
            raise InputError(f"no revision of policy {policy!r} is in force by the ledger")
        _take(desk, desk.step(state, Step.RETIRE, state.revision, None, reason), as_json=as_json)


def approve(
    policy: Name,
    revision: Revision,
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Let happen what somebody else proposed."""
    with Desk(ledger, key_file, author) as desk:
        state = desk.known(policy)
        if not state.proposals:
            raise InputError(f"nothing waits for approval in policy {policy!r}")
        chosen = steps.one_of([one.revision for one in state.proposals], revision)
        asked = next(one for one in state.proposals if one.revision == chosen)
        if asked.author.strip().casefold() == desk.author.strip().casefold():
            raise InputError(
                f"{asked.author} proposed this, expected somebody else to approve it", advice="Give your name: --author NAME."
            )
        desk.trusted(state, chosen)
        fields: dict[str, Any] = {"author": asked.author, "approver": desk.author, "share": asked.share, "by": asked.by}
        _take(
            desk,
            desk.step(state, Step.APPROVE, chosen, asked.version, reason or asked.reason, signature=asked.signature, **fields),
            as_json=as_json,
        )


def status(
    policy: Annotated[str, typer.Argument(metavar="[POLICY]", help="One policy with its history; all without it.")] = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Tell what is in force, tried, in shadow and waiting, by the ledger."""
    from policies.rollout import State
    from serving.rollout_fields import history_fields, state_fields

    states = steps.states(ledger)
    if policy and policy not in states:
        raise InputError(f"the ledger has no rollout of policy {policy!r}", advice=f"It has: {', '.join(states) or 'none'}.")
    shown: list[State] = [states[policy]] if policy else list(states.values())
    if as_json:
        fields = [{**state_fields(one), **({"history": history_fields(one)} if policy else {})} for one in shown]
        print_json(fields[0] if policy else {"policies": fields})
    else:
        steps.print_states(shown, history=bool(policy))


def _require_status(found: str, file: str, *, shadow: bool) -> None:
    if found not in ({*_LIVE, "shadow", "draft"} if shadow else _LIVE):
        raise PolicyError(
            f"found status {found!r}, expected {'live, shadow or draft' if shadow else 'live'}",
            file=file,
            advice="Set `status: live` when it is ready, or try it with --shadow." if not shadow else "",
        )


def _not_ready(found: dict[str, list[str]], *, as_json: bool) -> None:
    if as_json:
        print_json({"recorded": False, **found})
    else:
        for name, lines in found.items():
            typer.echo(f"not activated: {name}", err=True)
            for line in lines:
                typer.echo(f"  {line}", err=True)
    raise typer.Exit(NOT_READY)


def _take(desk: Desk, rollout: Any, *, as_json: bool) -> None:
    """Record a step, unless it would change nothing, and say how the policy stands."""
    from serving.rollout_fields import state_fields, step_fields

    index, why, state = desk.take(rollout)
    if as_json:
        taken = step_fields(index, rollout) if index is not None else None
        print_json({"recorded": index is not None, "entry": taken, "why": why, "state": state_fields(state)})
        return
    done = f"entry {index}: {rollout.step.value} by {rollout.approver or rollout.author}"
    typer.echo(f"nothing recorded: {why}" if index is None else done)
    steps.print_states([state], history=False)
