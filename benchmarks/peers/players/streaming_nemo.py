"""An output rail that does nothing in NeMo Guardrails' stream of an answer that comes from elsewhere."""

from pathlib import Path

from nemoguardrails import LLMRails, RailsConfig
from nemoguardrails.actions.rail_outcome import RailOutcome
from playing import Work, play
from streaming import Watch

_COLANG = """define subflow nothing
  $allowed = execute nothing
  if not $allowed
    bot refuse to respond
    stop
"""
_YAML = """models: []
rails:
  output:
    flows: [nothing]
    streaming:
      enabled: true
"""


def prepare(case: str, folder: Path, more: str = "") -> Work:
    """Its own defaults, but for what `more` says."""
    watch = Watch(case, folder)

    async def nothing(context: dict[str, str], **_: object) -> RailOutcome:
        part = context["bot_message"]
        watch.checked(watch.text.index(part, max(0, watch.read - len(part))) + len(part))
        return RailOutcome.allow()

    rails = LLMRails(RailsConfig.from_content(colang_content=_COLANG, yaml_content=_YAML + more))
    rails.register_action(nothing, "nothing")
    messages = [{"role": "user", "content": "Where is my parcel?"}]

    async def stream() -> None:
        async for part in rails.stream_async(messages=messages, generator=watch.paced()):
            watch.released(part)

    return watch.work(stream)


if __name__ == "__main__":
    play(prepare)
