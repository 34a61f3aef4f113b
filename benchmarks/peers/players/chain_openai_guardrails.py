"""Guardrails that do nothing through openai-guardrails' `run_guardrails`."""

from pathlib import Path
from types import SimpleNamespace

from guardrails import GuardrailResult, default_spec_registry, instantiate_guardrails, run_guardrails
from guardrails.runtime import ConfigBundle, GuardrailConfig
from playing import TEXT, Call, play
from pydantic import BaseModel


class Nothing(BaseModel):
    """No settings."""


async def _nothing(ctx: object, data: str, config: Nothing) -> GuardrailResult:  # noqa: ARG001 - found by these names
    return GuardrailResult(tripwire_triggered=False)


def prepare(case: str, _folder: Path) -> Call:
    """Guardrails of names of their own, in one bundle."""
    count = int(case)
    names = [f"nothing {number} of {count}" for number in range(count)]
    for name in names:
        default_spec_registry.register(name, _nothing, "Lets everything pass.", "text/plain")
    bundle = ConfigBundle(guardrails=[GuardrailConfig(name=name, config={}) for name in names])
    guardrails = instantiate_guardrails(bundle)
    context = SimpleNamespace(guardrail_llm=None)

    async def call() -> object:
        return await run_guardrails(context, TEXT, "text/plain", guardrails)

    return call


play(prepare)
