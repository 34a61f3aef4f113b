"""Guardrails that do nothing through the hook of LiteLLM's proxy that sees whole answers."""

from pathlib import Path

import litellm
from litellm.caching.caching import DualCache
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.utils import ProxyLogging
from litellm.types.guardrails import GuardrailEventHooks
from playing import TEXT, Call, play


class Nothing(CustomGuardrail):
    """Lets everything pass."""

    async def async_post_call_success_hook(self, data: object, user_api_key_dict: object, response: object) -> None:
        """As it came."""


def prepare(case: str, _folder: Path) -> Call:
    """Hooks are global there: each call sets its own."""
    count = int(case)
    hooks = [
        Nothing(guardrail_name=f"nothing{number}", event_hook=GuardrailEventHooks.post_call, default_on=True)
        for number in range(count)
    ]
    proxy = ProxyLogging(user_api_key_cache=DualCache())
    answer = litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": TEXT}}])
    key = UserAPIKeyAuth(api_key="none")

    async def call() -> object:
        litellm.callbacks = hooks
        return await proxy.post_call_success_hook(
            data={"model": "none", "metadata": {}}, response=answer, user_api_key_dict=key
        )

    return call


play(prepare)
