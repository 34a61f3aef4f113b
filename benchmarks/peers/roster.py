"""Who is measured: each with its versions as the package index has them, and the script that plays it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One system with an environment of its own."""

    name: str
    player: str
    """Its script below `players/`."""
    requirements: tuple[str, ...] = ()
    """What pip installs; empty for what runs in the environment of this project."""
    torch: bool = False
    """Whether it needs PyTorch: installed first, so that no CUDA build comes along."""
    notes: str = ""
    """What a reader has to know to compare it."""


ROSTER = (
    Peer(
        "genguard",
        "with_genguard",
        notes="`guard.chain` and `guard.decide` alone: a deadline each, decision and reasons; a check that fails blocks",
    ),
    Peer(
        "asyncio",
        "with_asyncio",
        notes="a loop over the same coroutines with `asyncio.timeout` around each: what Python alone takes",
    ),
    Peer(
        "LLM Guard",
        "with_llm_guard",
        ("llm-guard==0.3.16",),
        torch=True,
        notes="one scanner after the other in the caller's thread, no deadlines; one that raises ends the scan",
    ),
    Peer(
        "Guardrails AI",
        "with_guardrails_ai",
        ("guardrails-ai==0.11.0",),
        notes="`Guard.validate`, validators in turn, no deadlines, its telemetry off",
    ),
    Peer(
        "openai-guardrails",
        "with_openai_guardrails",
        ("openai-guardrails==0.3.6",),
        notes="coroutines side by side, no deadlines; one that raises passes by default",
    ),
    Peer(
        "NeMo Guardrails",
        "with_nemo",
        ("nemoguardrails==0.24.1",),
        notes="output rails of one action each in Colang 1, no model asked, no deadlines",
    ),
    Peer(
        "LiteLLM",
        "with_litellm_hook",
        ("litellm[proxy]==1.108.0",),
        notes="`post_call_success_hook` of its proxy, hooks in turn, no deadlines",
    ),
)
