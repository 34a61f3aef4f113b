"""A decision's entry straight from its objects, without the object in between.

Its bytes, columns and terms are those that `audit.body`, `audit.canonical` and `audit.models` define; tests hold any decision's
bytes equal to those of `rfc8785` over `decision_body`, and columns and terms to `project` and `terms` of it. A value that
should not be there (a float, an integer beyond 2**53, a text that is not Unicode) goes the way that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any

from audit.body import BODY_VERSION, DECISION, decision_body, time_string
from audit.canonical import MAX_INTEGER, dumps
from audit.findable import MOST, findable
from audit.merkle import leaf_hash
from audit.projected import COPY_TAGS, REVIEWED
from guard.types import (
    NONE,
    CheckResult,
    Content,
    Context,
    Decision,
    Edit,
    Finding,
    FiredRule,
    Mark,
    Match,
    Origin,
    Place,
    Request,
    Reviewed,
    Shadow,
    Span,
    Streamed,
    Verdict,
)

_SHORT = MOST // 4
"""Characters of a text that cannot be too long, whatever they are."""


def decision_entry(
    decision: Decision, payloads: Mapping[str, Mapping[str, Any]], copies: Mapping[str, str]
) -> tuple[bytes, dict[str, Any]]:
    """`dumps(decision_body(...))`, and `project(decision_body(...))` with the bytes and their leaf hash.

    Raises LedgerError, naming the place, for a value that a body cannot hold.
    """
    name, time = str(decision.id), time_string(decision.time)
    try:
        data = _decision(decision, name, time, payloads, copies).encode()
    except (TypeError, ValueError):  # UnicodeEncodeError is a ValueError
        data = dumps(decision_body(decision, payloads, copies))
    leaf = leaf_hash(data)
    request, context, verdict = decision.request, decision.context, decision.verdict
    model = decision.content.origin.model if decision.content is not None else ""
    texts = (
        request.id,
        request.tenant,
        request.actor,
        request.subject,
        context.generator,
        model,
        verdict.policy,
        verdict.revision,
    )
    found = texts if _all_findable(texts) else map(_findable, texts)
    asked, tenant, actor, subject, generator, model, policy, revision = found
    return leaf, {
        "leaf": leaf,
        "kind": DECISION,
        "body": data,
        "time": time,
        "decision": name,
        "request": asked,
        "tenant": tenant,
        "actor": actor,
        "subject": subject,
        "stage": str(context.stage),
        "modality": str(context.modality),
        "generator": generator,
        "model": model,
        "action": str(verdict.action),
        "policy": policy,
        "version": verdict.version,
        "revision": revision,
        "parent": str(decision.parent) if decision.parent is not None else None,
    }


def decision_terms(decision: Decision, copies: Mapping[str, str]) -> set[tuple[str, str]]:
    """`terms(decision_body(...))`."""
    request = decision.request
    found = {(name, _findable(tag)) for name, tag in copies.items() if name in COPY_TAGS}
    for fired in decision.verdict.fired:
        found.add(("rule", _findable(fired.rule)))
        found.add(("category", _findable(fired.category)))
    for mark in decision.marks:
        if mark.payload:
            found.add(("mark", _findable(mark.payload)))
    for shadow in decision.shadows:
        found.add(("shadow", shadow.verdict.action.value))
    if request.purpose:
        found.add(("purpose", _findable(request.purpose)))
    if request.consent:
        found.add(("consent", _findable(request.consent)))
    if decision.reviewed is not None:
        found.add((REVIEWED, str(decision.reviewed.held)))
    return found


def _all_findable(texts: Sequence[str]) -> bool:
    """Whether all together are short enough to be as they are: one look instead of eight."""
    try:
        together = "".join(texts)
    except TypeError:
        return False
    return len(together) <= _SHORT and "\x00" not in together


def _findable(text: str) -> str:
    """`findable`, which nearly every text is as it is. Other types that a body may hold stay as they are, too."""
    return text if type(text) is not str or (len(text) <= _SHORT and "\x00" not in text) else findable(text)


def _decision(one: Decision, name: str, time: str, payloads: Mapping[str, Mapping[str, Any]], copies: Mapping[str, str]) -> str:
    """Every object's keys in the order of their code units."""
    content, released = one.content, one.released
    return (
        "{"
        + (f'"content":{_content(content, payloads["original"])},' if content is not None else "")
        + f'"context":{_context(one.context)},'
        + (f'"copies":{{{_copies(copies)}}},' if copies else "")
        + f'"id":"{name}","kind":"{DECISION}","marks":[{",".join(map(_mark, one.marks))}],'
        + (f'"origin":{_origin(content.origin)},' if content is not None else "")
        + (f'"parent":"{one.parent}",' if one.parent is not None else "")
        + (f'"released":{_content(released, payloads["released"])},' if released is not None else "")
        + f'"request":{_request(one.request)},"results":[{",".join(map(_result, one.results))}],'
        + (f'"reviewed":{_reviewed(one.reviewed)},' if one.reviewed is not None else "")
        + f'"schema":{BODY_VERSION},'
        + (f'"shadows":[{",".join(map(_shadow, one.shadows))}],' if one.shadows else "")
        + (f'"stream":{_streamed(one.stream)},' if one.stream is not None else "")
        + f'"time":"{time}","verdict":{_verdict(one.verdict)}}}'
    )


def _content(content: Content, said: Mapping[str, Any]) -> str:
    return (
        f'{{"bytes":{_number(said["bytes"])},"commit":{_quoted(said["commit"])},"length":{content.length},'
        f'"media_type":{_quoted(content.media_type)},"part":{_quoted(said["part"])},"sealed":{_quoted(said["sealed"])}}}'
    )


def _context(context: Context) -> str:
    consent = f'"consent":{_quoted(context.consent)},' if context.consent != NONE else ""
    purpose = f'"purpose":{_quoted(context.purpose)},' if context.purpose != NONE else ""
    return (
        f'{{{consent}"generator":{_quoted(context.generator)},"language":{_quoted(context.language)},'
        f'"length":{_number(context.length)},"modality":{_quoted(context.modality)},{purpose}"stage":{_quoted(context.stage)},'
        f'"tenant":{_quoted(context.tenant)}}}'
    )


def _copies(copies: Mapping[str, str]) -> str:
    return ",".join([f"{_quoted(name)}:{_quoted(copies[name])}" for name in sorted(copies)])


def _mark(mark: Mark) -> str:
    return (
        f'{{"error":{_quoted(mark.error)},"kind":{_quoted(mark.kind)},"method":{_quoted(mark.method)},'
        f'"payload":{_quoted(mark.payload)},"verified":{_truth(mark.verified)}}}'
    )


def _origin(origin: Origin) -> str:
    return (
        f'{{"digest":{_quoted(origin.digest)},"generator":{_quoted(origin.generator)},"model":{_quoted(origin.model)},'
        f'"parameters":{_pairs(origin.parameters)}}}'
    )


def _request(request: Request) -> str:
    named = f'"consent":{_quoted(request.consent)},' if request.consent else ""
    named += f'"conversation":{_quoted(request.conversation)},' if request.conversation else ""
    purpose = f'"purpose":{_quoted(request.purpose)},' if request.purpose else ""
    return (
        f'{{"actor":{_quoted(request.actor)},{named}"id":{_quoted(request.id)},"language":{_quoted(request.language)},'
        f'{purpose}"subject":{_quoted(request.subject)},"tenant":{_quoted(request.tenant)}}}'
    )


def _result(result: CheckResult) -> str:
    scanned = f'"scanned":{_place(result.scanned)},' if result.scanned is not None else ""
    findings = ",".join(map(_finding, result.findings)) if result.findings else ""
    begun, ended = _frame(result.check, result.digest, result.error, result.status, result.use, result.version)
    return f'{begun}{findings}],"latency_us":{_number(result.latency_us)},{scanned}{ended}'


@lru_cache(2048)
def _frame(check: str, digest: str, error: str, status: str, use: str, version: str) -> tuple[str, str]:
    """What results of one check have in common, up to their findings and from their status on."""
    return (
        f'{{"check":{_quoted(check)},"digest":{_quoted(digest)},"error":{_quoted(error)},"findings":[',
        f'"status":{_quoted(status)},"use":{_quoted(use)},"version":{_quoted(version)}}}',
    )


def _finding(finding: Finding) -> str:
    match = f'"match":{_match(finding.match)},' if finding.match is not None else ""
    where = f',"where":{_place(finding.where)}' if finding.where is not None else ""
    return (
        f'{{"category":{_quoted(finding.category)},"label":{_quoted(finding.label)},{match}'
        f'"reason":{_quoted(finding.reason)},"score":{_number(finding.score)}{where}}}'
    )


def _match(match: Match) -> str:
    chance = f'"chance":{_quoted(match.chance)},' if match.chance else ""
    source = f'"source":{_place(match.source)},' if match.source is not None else ""
    transform = f'"transform":{_quoted(match.transform)},' if match.transform else ""
    return (
        f'{{"bank":{_quoted(match.bank)},{chance}"distance":{_number(match.distance)},"limit":{_number(match.limit)},'
        f'"method":{_quoted(match.method)},{source}"title":{_quoted(match.title)},{transform}"work":{_quoted(match.work)}}}'
    )


def _verdict(verdict: Verdict) -> str:
    return (
        f'{{"action":{_quoted(verdict.action)},"edits":[{",".join(map(_edit, verdict.edits))}],'
        f'"explanation":{_quoted(verdict.explanation)},"fired":[{",".join(map(_fired, verdict.fired))}],'
        f'"message":{_pairs(verdict.message)},"policy":{_quoted(verdict.policy)},"revision":{_quoted(verdict.revision)},'
        f'"version":{_number(verdict.version)}}}'
    )


def _edit(edit: Edit) -> str:
    return (
        f'{{"label":{_quoted(edit.label)},"operator":{_quoted(edit.operator)},"parameters":{_pairs(edit.parameters)},'
        f'"rule":{_quoted(edit.rule)},"where":{_place(edit.where)}}}'
    )


def _fired(fired: FiredRule) -> str:
    kind = f'"basis_kind":{_quoted(fired.basis_kind)},' if fired.basis_kind else ""
    return (
        f'{{"action":{_quoted(fired.action)},"basis":{_quoted(fired.basis)},{kind}"because":{_quoted(fired.because)},'
        f'"category":{_quoted(fired.category)},"rule":{_quoted(fired.rule)},"title":{_quoted(fired.title)}}}'
    )


def _reviewed(reviewed: Reviewed) -> str:
    return (
        f'{{"actor":{_quoted(reviewed.actor)},"code":{_quoted(reviewed.code)},"entry":{_number(reviewed.entry)},'
        f'"held":"{reviewed.held}","judged":"{time_string(reviewed.judged)}",'
        f'"rules":[{",".join(map(_quoted, reviewed.rules))}]}}'
    )


def _streamed(stream: Streamed) -> str:
    return (
        f'{{"ending":{_quoted(stream.ending)},"judged":{_number(stream.judged)},"mode":{_quoted(stream.mode)},'
        f'"sent":{_number(stream.sent)},"steps":{_number(stream.steps)}}}'
    )


def _shadow(shadow: Shadow) -> str:
    return f'{{"results":[{",".join(map(_result, shadow.results))}],"verdict":{_verdict(shadow.verdict)}}}'


def _place(place: Place) -> str:
    if isinstance(place, Span):
        start, end = place.start, place.end
        if type(start) is int and type(end) is int and 0 <= start <= end <= MAX_INTEGER:
            return f"[{start},{end}]"
        return f"[{_number(start)},{_number(end)}]"
    return f"[{_number(place.left)},{_number(place.top)},{_number(place.right)},{_number(place.bottom)}]"


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return f"[{','.join([f'[{_quoted(name)},{_quoted(value)}]' for name, value in pairs])}]" if pairs else "[]"


def _number(value: int) -> int:
    """An integer as it is. Raises TypeError or ValueError for what JSON would write another way, or not for every reader."""
    if type(value) is not int:
        raise TypeError("expected an integer")
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise ValueError("expected an integer that every reader keeps")
    return value


def _truth(value: bool) -> str:
    if type(value) is not bool:
        raise TypeError("expected a boolean")
    return "true" if value else "false"
