"""The shape of a policy file as pydantic models; they also make the JSON Schema that editors complete from.

`python -m policies.schema` writes `policy.schema.json` again after a change here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from guard.redact import TYPE
from guard.taxonomy import CATEGORIES
from policies import grammar
from policies.mark_schema import (
    EVERY_LANGUAGE,
    LANGUAGE,
    C2pa,
    Fallback,
    ImageWatermark,
    Label,
    Marks,
    Model,
    TextWatermark,
    Watermark,
)

__all__ = ["C2pa", "ImageWatermark", "Label", "Marks", "TextWatermark", "Watermark", "json_schema"]
from policies.mistake import describe

FILE = Path(__file__).parent / "policy.schema.json"

NAME = r"^[a-z][a-z0-9_-]{0,63}$"
PATTERNS = {
    EVERY_LANGUAGE: 'a language tag such as en or zh-Hans, or "*" for all of them',
    NAME: "a name of at most 64 lower-case letters, digits, '-' and '_' that begins with a letter",
    LANGUAGE: "a language tag such as en or zh-Hans",
}
"""What the patterns of this file mean, for messages."""
BASES = ("law", "contract", "house")
"""What a rule can rest on."""
WORDS, KINDS = "[words]", "[kinds]"
"""Tags of the two forms that a basis has. They stand in no file, so paths to mistakes must leave them out."""

Name = Annotated[str, Field(pattern=NAME)]
Line = Annotated[str, Field(min_length=1, max_length=500)]
Prose = Annotated[str, Field(min_length=1, max_length=10_000)]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
StageName = Literal["prompt", "output", "chunk"]


def _several(value: Any) -> Any:
    """One text stands for a list of one."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1), BeforeValidator(_several)]
Names = Annotated[list[Name], Field(min_length=1), BeforeValidator(_several)]


class AppliesTo(Model):
    """Which generators and tenants the policy speaks for. Patterns: `*` any text, `?` any character, `[abc]` one of these."""

    generators: Annotated[list[Pattern], Field(min_length=1)] = Field(
        default=["*"], description="Patterns of generator names. Default: all.", examples=[["diffusion", "gan*"]]
    )
    tenants: Annotated[list[Pattern], Field(min_length=1)] = Field(
        default=["*"], description="Patterns of tenant names. Default: all.", examples=[["shop", "shop-*"]]
    )


class PreviewsEntry(Model):
    """Images that are looked at while they are made: which rules may end a run, and how often to look."""

    rules: Annotated[list[Name], Field(min_length=1)] = Field(
        description="Ids of rules with the action `block` that end a run when they fire on a preview. Previews are noisy: name "
        "rules that are sure on them.",
        examples=[["nudity"]],
    )
    every: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="Steps from one preview to the next.", examples=[10]
    )


class CheckEntry(Model, extra="allow"):
    """One check: what measures, and how. All further keys are the check's own parameters."""

    use: Annotated[str, Field(min_length=1)] = Field(
        description="Which check: `toxicity`, `pii`, `secrets`, `image_match`, `classifier`, … or one of an installed package.",
        examples=["toxicity", "pii", "image_match"],
    )
    deadline_ms: Annotated[int, Field(ge=1, le=60_000)] = Field(
        default=2000,
        description="How long the check may take, in milliseconds. A check that takes longer counts as failed.",
        examples=[5000],
    )
    on_failure: Fallback = Field(
        default="block",
        description="What follows when the check fails, takes too long, or could read only a part. Default: block.",
        examples=["review"],
    )
    group: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="Checks of one group run side by side; a later group starts only when no rule has blocked so far.",
        examples=[2],
    )
    stages: Annotated[list[StageName], Field(min_length=1)] = Field(
        default=["prompt", "output", "chunk"],
        description="Where the check runs: on the prompt, on the output, on chunks of a streamed output. Default: everywhere.",
        examples=[["output", "chunk"]],
    )
    override: Literal[True] | None = Field(
        default=None,
        description="`true`: change the check of this name of the policy that this one extends, key by key.",
        examples=[True],
    )


def _known_fields(text: str) -> str:
    unknown = [found for found in re.findall(r"\{\s*\w+\s*\}", text) if found != TYPE]
    if unknown:
        raise PydanticCustomError("wording", "{text}", {"text": f"found {unknown[0]!r} in 'text', expected {TYPE!r} or none"})
    return text


class Redaction(Model):
    """How a `redact` rule changes the places that its checks found."""

    operator: Literal["mask", "encrypt", "hash", "pseudonymise", "replace", "remove", "fill", "blur", "pixelate"] = Field(
        description="Text: `mask` (stars), `encrypt` (readable with the key), `hash` (the same for the same value), "
        "`pseudonymise` (a stand-in, the same within a conversation), `replace` (its type in place of it), `remove`. Images: "
        "`fill`, `blur`, `pixelate`.",
        examples=["mask", "replace"],
    )
    keep_first: Annotated[int, Field(ge=0, le=32)] | None = Field(
        default=None, description="With `mask`: how many characters at the beginning stay readable.", examples=[4]
    )
    keep_last: Annotated[int, Field(ge=0, le=32)] | None = Field(
        default=None, description="With `mask`: how many characters at the end stay readable.", examples=[4]
    )
    text: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_known_fields)] | None = Field(
        default=None,
        description="With `replace`: what is put in; {type} stands for the label. Default: [{type}], such as [EMAIL_ADDRESS].",
        examples=["<{type} removed>"],
    )


class Picture(Model):
    """An image file."""

    image: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="The file: PNG, JPEG or WebP; relative to the folder of the file that names it.",
        examples=["pictures/poster.png"],
    )


def _content(value: Any) -> Any:
    """Say in one sentence what is wrong with the content of an example."""
    found, hint = "", ""
    if isinstance(value, dict):
        path = value.get("image")
        if set(value) != {"image"}:
            found = f"a mapping with {'the keys ' + ', '.join(map(repr, value)) if value else 'no key'}"
        elif not isinstance(path, str) or not 0 < len(path) <= 500:
            found = f"{describe(path)} for 'image'"
    elif not isinstance(value, str):
        found = describe(value)
        hint = "; put it in quotation marks to make it text" if isinstance(value, bool | int | float) else ""
    elif len(value) > 10_000:
        found, hint = f"a text of {len(value)} characters", "; a text has at most 10000"
    if found:
        said = f"found {found}, expected a text, or `{{image: FILE}}`{hint}"
        raise PydanticCustomError("wording", "{text}", {"text": said})
    return value


def _not_empty(value: Any) -> Any:
    if value == "":
        raise PydanticCustomError("wording", "{text}", {"text": "found an empty text, expected a text, or `{image: FILE}`"})
    return value


Given = Annotated[Prose | Picture, BeforeValidator(_content), BeforeValidator(_not_empty)]
"""The content of an example: a text, or an image file."""
Becomes = Annotated[Annotated[str, Field(max_length=10_000)] | Picture, BeforeValidator(_content)]
"""What is left of the content of an example: nothing, perhaps."""


class Redacts(Model):
    """What a `redact` rule has to make of a content."""

    from_: Given = Field(
        alias="from", description="A content at which the rule must fire.", examples=["Pay with 4111 1111 1111 1111."]
    )
    to: Becomes = Field(
        description="What this rule alone must make of it. `{any}` stands for a value that depends on the redaction key.",
        examples=["Pay with **** **** **** 1111.", "Write to {any}."],
    )


TESTS = ("flags", "passes", "redacts")
"""What an example can say of its rule."""


class RuleTest(Model):
    """An example with what the rule must make of it: exactly one of `flags`, `passes` and `redacts`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in TESTS]})

    flags: Given | None = Field(
        default=None,
        description="A text, or `{image: FILE}`, at which the rule must fire.",
        examples=["I will find you.", {"image": "pictures/poster.png"}],
    )
    passes: Given | None = Field(
        default=None,
        description="A text, or `{image: FILE}`, at which the rule must not fire.",
        examples=["This film killed at the box office."],
    )
    redacts: Redacts | None = Field(
        default=None,
        description="A content with what the rule must make of it.",
        examples=[{"from": "Pay with 4111 1111 1111 1111.", "to": "Pay with **** **** **** 1111."}],
    )
    name: Line = Field(
        default="", description="What the example shows, for reports.", validate_default=False, examples=["A card with spaces"]
    )
    stage: StageName | None = Field(
        default=None,
        description="Where the content stands. Default: where the rule can hold, an output before a prompt.",
        examples=["prompt"],
    )
    language: Annotated[str, Field(pattern=LANGUAGE)] | None = Field(
        default=None, description="Language of the content. Default: unknown, or one that the rule asks for.", examples=["zh"]
    )
    tenant: Pattern | None = Field(
        default=None, description="Who asks. Default: a tenant at which the rule can hold.", examples=["shop"]
    )
    generator: Pattern | None = Field(
        default=None, description="What made it. Default: a generator at which the rule can hold.", examples=["diffusion"]
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> RuleTest:
        given = [name for name in TESTS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(map(repr, given)) or "none of the keys"
            said = f"found {found}, expected exactly one of: {', '.join(TESTS)}"
            raise PydanticCustomError("wording", "{text}", {"text": said})
        return self


class Basis(Model):
    """What a rule rests on, and of what kind that is: exactly one of the three keys."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    law: Line | None = Field(default=None, description="A law or a regulation.", examples=["GDPR article 5(1)(c)"])
    contract: Line | None = Field(default=None, description="A contract or terms of use.", examples=["Licence 7 clause 4"])
    house: Line | None = Field(default=None, description="A rule of your own house.", examples=["House rules 3.1"])

    @model_validator(mode="after")
    def _exactly_one(self) -> Basis:
        if len(self.model_fields_set) != 1:
            given = ", ".join(sorted(self.model_fields_set)) or "an empty mapping"
            text = f"found {given} for 'basis', expected exactly one of: {', '.join(BASES)}"
            raise PydanticCustomError("wording", "{text}", {"text": text})
        return self


_EitherBasis = Annotated[
    Annotated[Line, Tag(WORDS)] | Annotated[Basis, Tag(KINDS)],
    Discriminator(lambda value: KINDS if isinstance(value, dict | Basis) else WORDS),
]


class RuleEntry(Model):
    """One rule: when it fires, and what follows. Of all rules that fire, the strictest action wins."""

    id: Name = Field(description="Short name of the rule; decisions refer to it. Once in a policy.", examples=["card-number"])
    title: Line = Field(
        default="",
        description="The rule in a few words, for the people who read decisions.",
        validate_default=False,
        examples=["Card numbers are masked"],
    )
    when: Annotated[dict[str, Any], Field(min_length=1)] = Field(
        description="The condition. All keys of one mapping have to hold; `any`, `all` and `not` combine conditions.",
        examples=[{"toxicity.threat": 0.6}, {"pii": ["CREDIT_CARD", "IBAN_CODE"], "stage": "output"}],
    )
    action: Literal["allow", "label", "redact", "review", "block"] = Field(
        description="What follows, weakest first: allow (only recorded), label (released with the visible label), redact (cut "
        "out what was found), review (hold for a person), block.",
        examples=["block"],
    )
    category: Annotated[str, Field(min_length=1)] = Field(
        default="",
        description="Kind of harm, for statistics and reports. May be left out where the labels in `when` have one in common.",
        validate_default=False,
        json_schema_extra={"enum": list(CATEGORIES)},
        examples=["violence"],
    )
    basis: _EitherBasis = Field(
        default="",
        description="What the rule rests on: a text, or `law`, `contract` or `house` with one.",
        validate_default=False,
        examples=["House rules 3.1", {"law": "GDPR article 5(1)(c)"}],
    )
    message: dict[Annotated[str, Field(pattern=LANGUAGE)], Line] = Field(
        default={},
        description="What the person is told, by language.",
        examples=[{"en": "This reply was withheld.", "zh": "该回复已被拦截。"}],
    )
    with_: Redaction | None = Field(
        default=None,
        alias="with",
        description="For `redact`: how the places found are changed.",
        examples=[{"operator": "mask", "keep_last": 4}],
    )
    tests: list[RuleTest] = Field(
        default=[],
        description="Examples that show, and test, what the rule means.",
        examples=[[{"flags": "My card is 4111 1111 1111 1111."}, {"passes": "Your order number is 20316."}]],
    )
    override: Literal[True] | None = Field(
        default=None,
        description="`true`: change the rule of this id of the policy that this one extends, key by key.",
        examples=[True],
    )


class ExceptionEntry(Model):
    """Where rules do not count, who answers for that, and until when. The rule still fires, and is recorded as set aside."""

    id: Name = Field(description="Short name of the exception; decisions refer to it.", examples=["acme-pilot"])
    rules: Names = Field(
        description="Ids of the rules that are set aside: one, or a list.", examples=["card-number", ["card-number", "account"]]
    )
    when: Annotated[dict[str, Any], Field(min_length=1)] | None = Field(
        default=None,
        description="Where it holds: tenant, generator, language, modality, stage, length or time, with `any`, `all` and "
        "`not`. Checks cannot be asked. Left out: wherever the policy speaks.",
        examples=[{"tenant": "acme"}],
    )
    owner: Line = Field(description="Who answers for it.", examples=["privacy-office"])
    reason: Line = Field(description="Why it was granted.", examples=["Pilot with test cards, ticket 4711."])
    expires: Annotated[str, Field(min_length=1)] = Field(
        description="The last day on which it holds (UTC), or the time at which it ends.",
        examples=["2026-12-31", "2026-12-31T18:00:00+01:00"],
    )
    override: Literal[True] | None = Field(
        default=None,
        description="`true`: change the exception of this id of the policy that this one extends, key by key.",
        examples=[True],
    )


class Remove(Model):
    """What is taken out of the policy that this one extends; it may be defined anew below."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    rules: Names | None = Field(default=None, description="Ids of rules.", examples=[["insult"]])
    checks: Names | None = Field(default=None, description="Names of checks.", examples=[["injection"]])
    lists: Names | None = Field(default=None, description="Names of lists.", examples=[["partners"]])
    marks: Annotated[list[Literal["watermark", "label", "metadata", "c2pa"]], Field(min_length=1)] | None = Field(
        default=None, description="Keys of `marks`.", examples=[["label"]]
    )
    exceptions: Names | None = Field(default=None, description="Ids of exceptions.", examples=[["acme-pilot"]])

    @model_validator(mode="after")
    def _at_least_one(self) -> Remove:
        if not self.model_fields_set:
            text = f"found nothing under 'remove', expected one of: {', '.join(Remove.model_fields)}"
            raise PydanticCustomError("wording", "{text}", {"text": text})
        return self


class PolicyFile(Model):
    """A moderation policy: what is measured, what follows, and how outputs are marked."""

    policy: Name = Field(description="Name of the policy; stays the same from version to version.", examples=["shop"])
    version: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(description="Counts up with every change.", examples=[4])
    status: Literal["draft", "shadow", "live", "deprecated"] = Field(
        default="draft",
        description="draft: being written. shadow: decides beside the live one. live: in force. deprecated: replaced.",
        examples=["live"],
    )
    owner: Line = Field(default="", description="Who answers for it.", validate_default=False, examples=["trust-and-safety"])
    description: Prose = Field(
        default="", description="What it is for.", validate_default=False, examples=["Chat with customers of the shop."]
    )
    applies_to: AppliesTo = Field(
        default=AppliesTo(),
        description="Which generators and tenants it speaks for. Default: all.",
        examples=[{"generators": ["*"], "tenants": ["shop-*"]}],
    )
    extends: Texts | None = Field(
        default=None,
        description="What it starts from: the name of a pack, or the path of a file, seen from this one; several in a list.",
        examples=["enterprise", "base.yaml", ["base.yaml", "shared/privacy.yaml"]],
    )
    remove: Remove | None = Field(
        default=None, description="Parts of the extended policy that are left out.", examples=[{"rules": ["insult"]}]
    )
    lists: dict[Name, Texts] = Field(
        default={},
        description="Lists of texts by name. `$NAME` stands for one in conditions, `applies_to`, parameters of checks and "
        "exceptions, and in other lists.",
        examples=[{"cards": ["CREDIT_CARD", "IBAN_CODE"], "partners": ["acme", "beta*"]}],
    )
    checks: Annotated[dict[Name, CheckEntry], Field(min_length=1)] = Field(
        description="What is measured: a name of your choice for each check. Rules refer to these names.",
        examples=[{"toxicity": {"use": "toxicity"}, "pii": {"use": "pii", "languages": ["en", "zh"]}}],
    )
    rules: Annotated[list[RuleEntry], Field(min_length=1)] = Field(
        description="What follows. All rules are read; the strictest action of those that fire wins.",
        examples=[[{"id": "threat", "when": {"toxicity.threat": 0.6}, "action": "block"}]],
    )
    exceptions: list[ExceptionEntry] = Field(
        default=[],
        description="Where rules do not count, with who answers for it, why, and until when.",
        examples=[
            [
                {
                    "id": "acme-pilot",
                    "rules": "card-number",
                    "when": {"tenant": "acme"},
                    "owner": "privacy-office",
                    "reason": "Pilot with test cards, ticket 4711.",
                    "expires": "2026-12-31",
                }
            ]
        ],
    )
    stream: Literal["window", "buffer"] = Field(
        default="window",
        description="How outputs leave that a caller reads while they are made. window: what no later word can change leaves. "
        "buffer: all of it at the end.",
        examples=["buffer"],
    )
    previews: PreviewsEntry | None = Field(
        default=None,
        description="Looks at images while they are made, and ends a run that a rule would block. Left out: nobody looks.",
        examples=[{"rules": ["nudity"], "every": 5}],
    )
    marks: Marks | None = Field(
        default=None, description="What every released output carries.", examples=[{"watermark": {"image": True}}]
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file, with the grammar of conditions that the models leave to the compiler."""
    return grammar.completed(PolicyFile.model_json_schema(by_alias=True))


def main() -> None:
    """Write the JSON Schema beside this module."""
    FILE.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
