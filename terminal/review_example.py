"""Makes a decision an example of a policy: reveals its content, which is an entry, and writes it beside the rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.access import record_access
from audit.ledger import open_ledger
from audit.query import Shown, show
from guard.errors import InputError, LedgerError
from guard.types import Decision, Modality, Stage
from policies.add_example import Kind, add_example, with_example
from policies.load import open_policy

FOLDER = "examples"
"""Where pictures go, beside the policy file."""
_SUFFIX: Mapping[str, str] = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


@dataclass(frozen=True, slots=True)
class Example:
    """What is asked for."""

    decision: str
    policy: Path
    rule: str
    """Empty: the one that decided."""
    expects: Kind
    reason: str
    actor: str


def write(wanted: Example, ledger: str, key_file: Path | None) -> dict[str, Any]:
    """Add the example; returns `file`, `line`, `rule`, `expects`, and the `entry` of the reveal.

    Raises InputError when it is not said which rule, PolicyError for a file that cannot be used, LedgerError for a content that
    cannot be read. Nothing is revealed unless the file can be used.
    """
    shown = show(ledger, wanted.decision)
    decision = shown.decision
    if decision is None:
        raise InputError(f"entry {shown.idx} is no decision, expected one with a content")
    if decision.context.modality is Modality.AUDIO:
        raise InputError("found a decision on audio, expected one on a text or an image: policies hold no examples of audio")
    rule = wanted.rule or _decisive(decision, {one.id for one in open_policy(wanted.policy).policy.rules})
    with_example(wanted.policy.read_text("utf-8"), rule, wanted.expects, "", file=str(wanted.policy))  # whether it has the rule
    request = decision.request
    with open_ledger(ledger, key_file=key_file) as opened:
        entry = record_access(
            opened,
            wanted.actor,
            wanted.reason,
            about=str(decision.id),
            parts=("original",),
            tenant=request.tenant,
            subject=request.subject,
        )
    given = _content(show(ledger, str(decision.id), reveal=True, key_file=key_file), decision, wanted.policy)
    stage = Stage.PROMPT.value if decision.context.stage is Stage.PROMPT else ""
    try:
        line = add_example(wanted.policy, rule, wanted.expects, given, stage=stage)
    except BaseException:
        if isinstance(given, Path):
            (wanted.policy.parent / given).unlink(missing_ok=True)
        raise
    return {"file": str(wanted.policy), "line": line, "rule": rule, "expects": wanted.expects, "entry": entry}


def _decisive(decision: Decision, known: set[str]) -> str:
    """The one rule of the policy by which it was decided."""
    fired = [one for one in decision.verdict.fired if one.rule in known]
    found = [one.rule for one in fired if one.action is fired[0].action]  # the strictest come first
    if len(found) != 1:
        told = ", ".join(found) or "none of this policy"
        raise InputError(f"rules that decided: {told}; expected one", advice="Say beside which: --rule ID.")
    return found[0]


def _content(shown: Shown, decision: Decision, policy: Path) -> str | Path:
    """The text, or the name of the picture's new file."""
    stored = next((one for one in shown.payloads if one.part == "original"), None)
    if stored is None or stored.data is None:
        raise LedgerError(f"the content cannot be read: {stored.why if stored else 'nothing is stored'}")
    if decision.context.modality is Modality.TEXT:
        return stored.data.decode("utf-8", "surrogatepass")
    name = Path(FOLDER) / f"{decision.id}{_SUFFIX.get(stored.media_type, '')}"
    (policy.parent / FOLDER).mkdir(exist_ok=True)
    (policy.parent / name).write_bytes(stored.data)
    return name
