"""Validators that do nothing through Guardrails AI's `Guard.validate`."""

from pathlib import Path

from guardrails import Guard
from guardrails.validators import PassResult, Validator, register_validator
from playing import TEXT, Call, play


class Nothing(Validator):
    """Lets everything pass."""

    def validate(self, _value: object, _metadata: object = None) -> PassResult:
        """As it came."""
        return PassResult()


def prepare(case: str, _folder: Path) -> Call:
    """One guard with so many validators, given at once: a second call of `use` would replace the first one's."""
    count = int(case)
    made = [
        register_validator(name=f"bench/nothing{number}", data_type="string")(type(f"Nothing{number}", (Nothing,), {}))
        for number in range(count)
    ]
    guard = Guard().use(*[one(on_fail="noop") for one in made])

    async def call() -> object:
        return guard.validate(TEXT)

    return call


play(prepare)
