"""What `audit show` tells of a policy's rollout, and of policies in shadow."""

from __future__ import annotations

from guard.types import Rollout, Shadow, Step

_DOES = {
    Step.ACTIVATE: "judges from here on",
    Step.CANARY: "judges a part",
    Step.SHADOW: "decides in shadow",
    Step.STOP: "its canary, shadow or proposal ends",
    Step.ROLLBACK: "judges again",
    Step.PROPOSE: "waits for approval",
    Step.APPROVE: "is approved",
    Step.RETIRE: "judges no more",
}


def share_words(share: int, by: str) -> str:
    """A canary's share in words: `10 % of requests`; empty for none."""
    return f"{share} % of {by}" if share else ""


def rollout_facts(rollout: Rollout) -> list[tuple[str, str]]:
    """A step of a rollout as lines of a name and a value."""
    share = share_words(rollout.share, rollout.by)
    signed = [line.split(" ")[1] for line in rollout.signature.splitlines() if line.startswith("\u2014 ")]
    return [
        ("policy", f"{rollout.policy} version {rollout.version}, revision {rollout.revision}"),
        ("step", f"{rollout.step.value}: it {_DOES[rollout.step]}" + (f", {share}" if share else "")),
        ("time", rollout.time.isoformat()),
        ("by", rollout.author),
        *([("approved by", rollout.approver)] if rollout.approver else []),
        ("why", rollout.reason or "-"),
        ("before", rollout.previous or "-"),
        ("signed by", ", ".join(signed) + " (not checked here)" if signed else "-"),
    ]


def shadow_facts(shadow: Shadow) -> list[tuple[str, str]]:
    """What a policy in shadow would have said."""
    verdict = shadow.verdict
    return [
        ("shadow", f"{verdict.policy} version {verdict.version}, revision {verdict.revision}"),
        ("would", f"{verdict.action.value}: {verdict.explanation}"),
    ]
