"""Output rails that do nothing through NeMo Guardrails' `LLMRails.generate_async`, on an answer that is there already."""

from pathlib import Path

from nemoguardrails import LLMRails, RailsConfig
from playing import TEXT, Call, play

_RAIL = """define subflow nothing {number}
  $allowed = execute nothing{number}
  if not $allowed
    bot refuse to respond
    stop
"""


async def _nothing(context: object = None) -> bool:  # noqa: ARG001 - found by this name
    return True


def prepare(case: str, _folder: Path) -> Call:
    """One rail an action, and no model."""
    count = int(case)
    flows = "".join(f"      - nothing {number}\n" for number in range(count))
    config = RailsConfig.from_content(
        colang_content="\n".join(_RAIL.format(number=number) for number in range(count)),
        yaml_content=f"models: []\nrails:\n  output:\n    flows:\n{flows}",
    )
    rails = LLMRails(config)
    for number in range(count):
        rails.register_action(_nothing, f"nothing{number}")
    messages = [{"role": "user", "content": "Write."}, {"role": "assistant", "content": TEXT}]

    async def call() -> object:
        return await rails.generate_async(messages=messages, options={"rails": ["output"]})

    return call


play(prepare)
