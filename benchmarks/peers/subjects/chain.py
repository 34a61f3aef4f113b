"""Checks that do nothing, and what a guard makes of their answers."""

from __future__ import annotations

from benchmarks.peers.places import GUARDRAILS_AI, LITELLM, LLM_GUARD, NEMO, OPENAI_GUARDRAILS
from benchmarks.peers.subject import Cell, Player, Subject, timed

CHECKS = ("1", "10", "50")
PLAYERS = (
    Player(
        "genguard",
        "chain_genguard",
        notes="`guard.chain` and `guard.decide` alone: a deadline each, decision and reasons; a check that fails blocks",
    ),
    Player(
        "asyncio",
        "chain_asyncio",
        notes="a loop over the same coroutines with `asyncio.timeout` around each: what Python alone takes",
    ),
    Player(
        "LLM Guard",
        "chain_llm_guard",
        LLM_GUARD,
        "one scanner after the other in the caller's thread, no deadlines; one that raises ends the scan; its log is set to "
        "warnings, for as it comes it prints a line for each scanner, and takes several times as long",
    ),
    Player(
        "Guardrails AI",
        "chain_guardrails_ai",
        GUARDRAILS_AI,
        "`Guard.validate`, validators in turn, no deadlines, its telemetry off",
    ),
    Player(
        "openai-guardrails",
        "chain_openai_guardrails",
        OPENAI_GUARDRAILS,
        "coroutines side by side, no deadlines; one that raises passes by default",
    ),
    Player("NeMo Guardrails", "chain_nemo", NEMO, "output rails of one action each in Colang 1, no model asked, no deadlines"),
    Player("LiteLLM", "chain_litellm", LITELLM, "`post_call_success_hook` of its proxy, hooks in turn, no deadlines"),
)
SUBJECT = Subject(
    "chain",
    CHECKS,
    PLAYERS,
    (
        *(timed(count, f"{count} check{'s' if count != '1' else ''}, CPU (wall)") for count in CHECKS),
        Cell("import, CPU s", "{import_s:.1f}"),
        Cell("resident, MiB", "{resident_mib:.0f}"),
    ),
    "microseconds a call",
)
