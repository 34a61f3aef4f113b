"""Routes for whoever writes policies, and whoever approves them. Policies name tenants: for keys without one.

Nothing is recorded here, and nothing that was judged here is released: what `/v1/policies/try` answers tells about a
content, and comes from no generator.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response

from audit.columns import history
from audit.grammar import Filter
from audit.history import document, documents
from guard.admission import admit
from guard.chain import context_of
from guard.errors import PolicyError, RegistryError
from guard.redact import keyed_rules, redact
from guard.rules import Policy
from guard.types import Modality, Origin, Request
from policies import from_document
from policies.diff import diff, effect
from policies.explain import explain, fields
from policies.lint import Level, examine, files_of, mistaken
from policies.load import PACKS
from policies.loaded import LoadedPolicy
from policies.testing import Outcome, Report, Result, Selection, run
from serving.drafting import history as asked
from serving.drafting.fields import finding_fields, lint_fields, replay_fields, tests_fields
from serving.drafting.pictures import runnable
from serving.drafting.requests import LintRequest, ReplayRequest, TestRequest, TryRequest
from serving.drafting.workshop import FILE, Fields, Tell, Workshop, lines_of, pack
from serving.gate import error_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.schemas import STAGES
from serving.wiring import Wired

router = APIRouter(
    prefix="/v1/policies",
    tags=["policies"],
    dependencies=[needs(Permission.POLICIES_WRITE, Permission.POLICIES_APPROVE, whole=True)],
)
MOST_FINDINGS, MOST_QUOTED = 1000, 500
"""How many findings are told, and characters of the line that each is about: a long line would be told once for each."""
_INHERITED = "policies/packs/"


@router.post("/lint", response_model=None)
async def lint(body: LintRequest, http: HttpRequest) -> JSONResponse:
    """Look a draft over: its mistakes, what could be better, and what changes by it. 200 whatever is found."""
    workshop, source = _workshop(http), body.source or ""
    try:
        loaded = await workshop.read(source)
    except PolicyError as error:
        return JSONResponse({"ok": False, **_told(mistaken(error, FILE), [], None)})
    before = workshop.deployments.get(loaded.policy.id)
    live = before.policy if before is not None else None
    return JSONResponse(await workshop.look(partial(_look, loaded, source, live)))


def _look(loaded: LoadedPolicy, source: str, before: Policy | None) -> Fields:
    lines = lines_of(loaded, source, files_of(loaded.root))
    report = examine(loaded, datetime.now(UTC), before=before, texts=lines)
    quotes = [one.quote for one in report.findings]
    return {"ok": report.count(Level.ERROR) == 0, **_told(report, quotes, _changes(before, loaded.policy))}


def _told(report: Any, quotes: list[str], changes: Fields | None) -> Fields:
    found = lint_fields(report, Level.ADVICE)
    quotes = quotes or [one.quote for one in report.findings]
    for finding, quote in zip(found["findings"], quotes, strict=True):
        finding["quote"] = quote[:MOST_QUOTED]
    if len(found["findings"]) > MOST_FINDINGS:  # the worst are told
        found["findings"].sort(key=lambda one: -Level(one["level"]).rank)
        del found["findings"][MOST_FINDINGS:]
    counts = {"errors": Level.ERROR, "warnings": Level.WARNING, "advice": Level.ADVICE}
    answer: Fields = _shown({**found, **{name: report.count(level) for name, level in counts.items()}, "diff": changes})
    return answer


def _changes(before: Policy | None, after: Policy) -> Fields | None:
    """What changes for a policy that is in force here; None where none of that name is."""
    if before is None:
        return None
    changes = diff(before, after)
    return {
        "from": {"version": before.version, "revision": before.revision},
        "effect": effect(changes).value,
        "changes": [asdict(change) for change in changes],
    }


@router.post("/try", response_model=None)
async def try_it(body: TryRequest, http: HttpRequest) -> JSONResponse:
    """Judge a content by a draft, and say why: each check, each rule with its conditions, what won. Nothing is recorded."""
    wired: Wired = http.app.state.wired
    try:
        policy = await _policy(body, http)
        chain = await _workshop(http).chain(policy)
    except (PolicyError, RegistryError) as error:
        return _unusable(error)
    request = Request("try", body.tenant, language=body.language, purpose=body.purpose, consent=body.consent)
    origin = Origin(body.generator)
    content = admit(
        body.data(), request=request, stage=STAGES[body.stage], origin=origin, media_type="", limits=wired.guard.limits
    )
    await chain.load()  # before the clocks of the checks start; what cannot be loaded shows in the results
    now = datetime.now(UTC)
    (results,) = await chain.run([content], now)
    found = explain(policy, results, context_of(content, now))
    edits = found.verdict.edits
    answer = {**fields(found), "covers": policy.covers(body.generator, body.tenant)}
    if content.modality is Modality.TEXT and edits and not {edit.rule for edit in edits} & set(keyed_rules(policy)):
        answer["edited"] = redact(content, edits, None).text
    return JSONResponse(answer, headers={"cache-control": "no-store"})


@router.post("/test", response_model=None)
async def test(body: TestRequest, http: HttpRequest) -> Response:
    """Run the examples beside the rules of a draft, and the suite of a pack. Pictures are not read from this machine."""
    try:
        loaded = pack(body.pack) if body.pack is not None else await _workshop(http).read(body.source or "")
    except PolicyError as error:
        return _unusable(error)
    select, workshop = Selection(body.rules, body.words), _workshop(http)

    def work(tell: Tell) -> Fields:
        own, pictures = _without_pictures(loaded)
        report = run(
            own,
            suites=None if body.pack is not None else (),
            select=select,
            near_within=round(body.near * 1000),
            pool=workshop.pool(),
            progress=lambda done, of: tell({"done": done, "of": of}),
        )
        report = _joined(report, [one for one in pictures if select.takes(one.name, (one.rule,))])
        answer: Fields = _shown({"ok": report.ok, **tests_fields(report)})
        return answer

    return await workshop.run(work, stream=body.stream)


def _without_pictures(loaded: LoadedPolicy) -> tuple[LoadedPolicy, list[Result]]:
    """A draft with the examples that can be run here, and results for the others."""
    ready, left = runnable(loaded)
    why = ("a picture of a draft is not read here: run `genguard policy test`",)
    results = [
        Result(one.at, one.name or f"{one.rule} {one.expects} {one.image}", one.rule, one.expects, Outcome.ERROR, why)
        for one in left
    ]
    return ready, results


def _joined(report: Report, more: list[Result]) -> Report:
    results = sorted((*report.results, *more), key=lambda one: one.at) if more else report.results
    return replace(report, results=tuple(results))


@router.post("/replay", response_model=None)
async def replay(body: ReplayRequest, http: HttpRequest) -> Response:
    """Say what a draft would have decided, from the scores that were recorded; no content is opened."""
    wired: Wired = http.app.state.wired
    try:
        draft = await _policy(body, http)
    except PolicyError as error:
        return _unusable(error)
    filters = await asyncio.to_thread(asked.wanted, wired.ledger_url, draft, body.q, body.since, body.until)
    return await _workshop(http).run(partial(_replay, wired.ledger_url, draft, filters, body), stream=body.stream)


def _replay(ledger: str, draft: Policy, filters: tuple[Filter, ...], body: ReplayRequest, tell: Tell) -> Fields:
    from policies.replay import Replay

    replayed = Replay(draft, documents(ledger), examples=body.examples, as_measured=body.as_measured)
    began = perf_counter()
    with history(ledger, filters, limit=body.limit, rules=True) as found:
        whole = max(0, found.last - found.first + 1)
        for batch in found.batches():
            replayed.add(batch)
            done = {"done": found.last - batch.index[-1] + 1, "of": whole}
            tell({**done, "decisions": replayed.total, "flipped": replayed.summary().flipped})
        pruned = found.pruned
    took = {"pruned": pruned, "seconds": round(perf_counter() - began, 3), "filters": asked.filter_words(filters)}
    return {**replay_fields(replayed.summary()), "partial": False, **took}


async def _policy(body: TryRequest | ReplayRequest, http: HttpRequest) -> Policy:
    """The draft. Raises PolicyError for one with mistakes, InputError for a name or revision that is not there."""
    wired: Wired = http.app.state.wired
    if body.source is not None:
        return (await _workshop(http).read(body.source)).policy
    if body.pack is not None:
        return (await asyncio.to_thread(pack, body.pack)).policy
    return from_document(await asyncio.to_thread(document, wired.ledger_url, body.revision or ""))


def _workshop(http: HttpRequest) -> Workshop:
    found: Workshop = http.app.state.workshop
    return found


def _unusable(error: PolicyError | RegistryError) -> JSONResponse:
    """422 with the mistakes of a draft that cannot be loaded."""
    report = mistaken(error, FILE) if isinstance(error, PolicyError) else None
    told = report.findings[:MOST_FINDINGS] if report is not None else ()
    found = [{**finding_fields(one), "quote": one.quote[:MOST_QUOTED]} for one in told]
    message = "this policy cannot be used" + (f": {found[0]['message']}" if found else f": {error}")
    return error_response(422, message, "invalid_policy", findings=_shown(found))


def _shown(value: Any) -> Any:
    """Fields in which packs go by short names: where genguard is installed is nobody's business."""
    if isinstance(value, dict):
        return {
            key: _INHERITED + inner.rpartition("/")[2]
            if key == "file" and isinstance(inner, str) and inner.startswith(str(PACKS))
            else _shown(inner)
            for key, inner in value.items()
        }
    return [_shown(one) for one in value] if isinstance(value, list) else value
