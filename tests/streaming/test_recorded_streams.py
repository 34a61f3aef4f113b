"""What a ledger keeps of streams, what it can prove, and what a crash leaves behind."""

from __future__ import annotations

import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from audit.ledger import open_ledger
from audit.query import query, show
from audit.streams import unfinished
from audit.verify import verify
from cli import app
from guard.chain import Chain
from guard.errors import LedgerError
from guard.pipeline import Guard
from guard.rules import Found
from guard.types import Action, Ending, Request, Streamed, StreamMode
from tests.fakes import policy, rule, spec
from tests.streaming.streams import FollowingWords, PieceGenerator, awaited, collect, ended


def guard_on(ledger: Any) -> Guard:
    built = {"words": FollowingWords("secret"), "bad": FollowingWords("kill")}
    rules = [rule(Action.REDACT, Found("words"), "cut"), rule(Action.BLOCK, Found("bad"), "threat")]
    made = policy([spec(name, one) for name, one in built.items()], rules)
    return Guard(made, ledger, chains={made.id: Chain(made, built)})


@awaited
async def test_streams_are_recorded_verified_and_decided_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with open_ledger(url) as ledger:
        guard = guard_on(ledger)
        request = Request("r1", tenant="acme", subject="person-7")
        whole = ended(await collect(guard, PieceGenerator(["One is secret. ", "Two. "]), request=request))
        blocked = ended(await collect(guard, PieceGenerator(["Fine. ", "I kill. "]), request=request))
        async with aclosing(guard.stream(PieceGenerator(["Fine. "] * 300), "say it", request=request)) as events:
            await anext(events)
    assert verify(url).ok
    entry = show(url, whole.release.receipt.index)
    assert entry.decision is not None
    assert entry.decision.stream == whole.release.decision.stream
    assert isinstance(entry.decision.stream, Streamed)
    assert (entry.decision.stream.mode, entry.decision.stream.ending) == (StreamMode.WINDOW, Ending.COMPLETE)
    assert show(url, blocked.release.receipt.index).decision.verdict.action is Action.BLOCK
    openings = query(url, "kind:stream tenant:acme").rows
    assert len(openings) == 3
    assert {one.parent for one in openings} <= {one.decision for one in query(url, "stage:prompt").rows}
    assert [one.decision for one in query(url, f"kind:stream output:{whole.release.decision.id}").rows] == [""]
    assert unfinished(url) == []


@awaited
async def test_a_stream_without_its_decision_is_listed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"

    with open_ledger(url) as ledger:
        guard = guard_on(ledger)
        append = ledger.append

        async def only_prompts(decision: Any, /, **more: Any) -> Any:
            if decision.parent is not None:
                raise LedgerError("killed")
            return await append(decision, **more)

        ledger.append = only_prompts  # type: ignore[method-assign]
        async with aclosing(guard.stream(PieceGenerator(["Fine. "] * 300), "say it", request=Request("r9"))) as events:
            await anext(events)
    (one,) = unfinished(url)
    assert (one.request, one.generator, one.policy, one.choice) == ("r9", "list", "house", 0)
    assert verify(url).ok
    answer = CliRunner().invoke(app, ["audit", "streams", "--ledger", url, "--json"])
    assert answer.exit_code == 1
    assert [found["request"] for found in json.loads(answer.stdout)["unfinished"]] == ["r9"]
