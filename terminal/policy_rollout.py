"""`genguard policy activate | promote | stop | rollback | retire | approve | status`: which revision of a policy judges.

Each command but `status` is one entry of the ledger, which running services follow within seconds. Names at the terminal prove
nothing: whoever may write to the ledger may give any. Signatures prove who stands behind a revision.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from guard.errors import InputError, PolicyError
from serving.settings import DEFAULT_LEDGER, Settings
from serving.stepping import judging, states, trust
from terminal import policy_steps as steps
from terminal.actor import Author, KeyFile, Reason
from terminal.policy_steps import Desk
from terminal.printing import Json, print_json

if TYPE_CHECKING:
    from serving.stepping import Taken

NOT_READY = 1
"""What `activate` ends with when tests are red or a lint finds an error."""
_LIVE = {"live"}


class By(StrEnum):
    """What a canary's share is a share of."""

    REQUESTS = "requests"
    TENANTS = "tenants"


Name = Annotated[str, typer.Argument(metavar="POLICY", help="A policy's name.")]
LedgerUrl = Annotated[str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="The ledger that services follow.")]
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
    from policies.gates import closed
    from policies.load import source_of

    share = steps.share_of(canary) if canary else 0
    if share and shadow:
        raise typer.BadParameter("a shadow judges nothing, so it has no share", param_hint="--shadow")
    loaded = open_policy(file)
    policy = loaded.policy
    _require_status(policy.status, file, shadow=shadow)
    note = trust(Settings.read()).check_file(policy, file)
    if not shadow and (found := closed(loaded, judging(ledger, policy))):
        _not_ready(found, as_json=as_json)
    with Desk(ledger, key_file, author) as desk:
        text = source_of(file, policy.revision)
        taken = desk.activate(policy, reason, source=text, share=share, by=by.value, shadow=shadow, signature=note)
        _tell(taken, as_json=as_json)


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
        _tell(desk.promote(policy, reason), as_json=as_json)


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
        _tell(desk.stop(policy, revision, reason), as_json=as_json)


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
        warned = partial(typer.echo, err=True)
        _tell(desk.rollback(policy, to, reason, warn=lambda why: warned(f"services may refuse it: {why}")), as_json=as_json)


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
        _tell(desk.retire(policy, reason), as_json=as_json)


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
        _tell(desk.approve(policy, revision, reason), as_json=as_json)


def status(
    policy: Annotated[str, typer.Argument(metavar="[POLICY]", help="One policy with its history; all without it.")] = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Tell what is in force, tried, in shadow and waiting, by the ledger."""
    from policies.rollout import State
    from serving.rollout_fields import history_fields, state_fields

    found = states(ledger)
    if policy and policy not in found:
        raise InputError(f"the ledger has no rollout of policy {policy!r}", advice=f"It has: {', '.join(found) or 'none'}.")
    shown: list[State] = [found[policy]] if policy else list(found.values())
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


def _tell(taken: Taken, *, as_json: bool) -> None:
    """Say what was recorded, or why nothing was, and how the policy stands."""
    from serving.rollout_fields import taken_fields

    if as_json:
        print_json(taken_fields(taken))
        return
    rollout = taken.rollout
    done = f"entry {taken.index}: {rollout.step.value} by {rollout.approver or rollout.author}"
    typer.echo(f"nothing recorded: {taken.why}" if taken.index is None else done)
    steps.print_states([taken.state], history=False)
