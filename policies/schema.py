"""The shape of a policy file as pydantic models; they also make the JSON Schema that editors complete from.

`python -m policies.schema` writes `policy.schema.json` again after a change here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from guard.marks.wording import ANY
from guard.redact import TYPE
from guard.taxonomy import CATEGORIES
from policies.mistake import describe

FILE = Path(__file__).parent / "policy.schema.json"

NAME = r"^[a-z][a-z0-9_-]{0,63}$"
LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
EVERY_LANGUAGE = r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*|\*)$"
PATTERNS = {
    EVERY_LANGUAGE: 'a language tag such as en or zh-Hans, or "*" for all of them',
    NAME: "a name of at most 64 lower-case letters, digits, '-' and '_' that begins with a letter",
    LANGUAGE: "a language tag such as en or zh-Hans",
}
"""What the patterns of this file mean, for messages."""
NOT_YET: dict[tuple[str, ...], str] = {
    ("extends",): "policies that extend others",
    ("lists",): "shared lists",
    ("exceptions",): "exceptions",
}
"""Keys of the policy language that this version refuses because it could not keep their promise."""

Name = Annotated[str, Field(pattern=NAME)]
Line = Annotated[str, Field(min_length=1, max_length=500)]
Prose = Annotated[str, Field(min_length=1, max_length=10_000)]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
StageName = Literal["prompt", "output", "chunk"]
Fallback = Literal["allow", "review", "block"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AppliesTo(_Model):
    """Which generators and tenants the policy speaks for. Patterns: `*` any text, `?` any character, `[abc]` one of these."""

    generators: Annotated[list[Pattern], Field(min_length=1)] = Field(
        default=["*"], description="Patterns of generator names. Default: all."
    )
    tenants: Annotated[list[Pattern], Field(min_length=1)] = Field(
        default=["*"], description="Patterns of tenant names. Default: all."
    )


class CheckEntry(_Model, extra="allow"):
    """One check: what measures, and how. All further keys are the check's own parameters."""

    use: Annotated[str, Field(min_length=1)] = Field(
        description="Which check: `toxicity`, `pii`, `secrets`, `image_match`, `classifier`, …, or one of an installed package."
    )
    deadline_ms: Annotated[int, Field(ge=1, le=60_000)] = Field(
        default=2000, description="How long the check may take, in milliseconds. A check that takes longer counts as failed."
    )
    on_failure: Fallback = Field(
        default="block",
        description="What follows when the check fails, takes too long, or could read only a part. Default: block.",
    )
    group: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="Checks of one group run side by side; a later group starts only when no rule has blocked so far.",
    )
    stages: Annotated[list[StageName], Field(min_length=1)] = Field(
        default=["prompt", "output", "chunk"],
        description="Where the check runs: on the prompt, on the output, on chunks of a streamed output. Default: everywhere.",
    )


def _known_fields(text: str) -> str:
    unknown = [found for found in re.findall(r"\{\s*\w+\s*\}", text) if found != TYPE]
    if unknown:
        raise PydanticCustomError("wording", "{text}", {"text": f"found {unknown[0]!r} in 'text', expected {TYPE!r} or none"})
    return text


class Redaction(_Model):
    """How a `redact` rule changes the places that its checks found."""

    operator: Literal["mask", "encrypt", "hash", "pseudonymise", "replace", "remove", "fill", "blur", "pixelate"] = Field(
        description="Text: `mask` (stars), `encrypt` (readable with the key), `hash` (the same for the same value), "
        "`pseudonymise` (a stand-in, the same within a conversation), `replace` (its type in place of it), `remove`. Images: "
        "`fill`, `blur`, `pixelate`."
    )
    keep_first: Annotated[int, Field(ge=0, le=32)] | None = Field(
        default=None, description="With `mask`: how many characters at the beginning stay readable."
    )
    keep_last: Annotated[int, Field(ge=0, le=32)] | None = Field(
        default=None, description="With `mask`: how many characters at the end stay readable."
    )
    text: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_known_fields)] | None = Field(
        default=None,
        description="With `replace`: what is put in; {type} stands for the label. Default: [{type}], such as [EMAIL_ADDRESS].",
    )


class Picture(_Model):
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


class Redacts(_Model):
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


class RuleTest(_Model):
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


def _can_act(action: Any) -> Any:
    if action == "label":
        raise PydanticCustomError(
            "wording",
            "{text}",
            {"text": "found action 'label': a rule cannot ask for one yet; `label` under `marks` labels every output"},
        )
    return action


class RuleEntry(_Model):
    """One rule: when it fires, and what follows. Of all rules that fire, the strictest action wins."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"action": {"const": "redact"}}, "required": ["action"]},
            "then": {"required": ["with"]},
            "else": {"not": {"required": ["with"]}},
        }
    )

    id: Name = Field(description="Short name of the rule; decisions refer to it. Once in a policy.")
    title: Line = Field(
        default="", description="The rule in a few words, for the people who read decisions.", validate_default=False
    )
    when: Annotated[dict[str, Any], Field(min_length=1)] = Field(
        description="The condition. All keys of one mapping have to hold; `any`, `all` and `not` combine conditions."
    )
    action: Annotated[Literal["allow", "redact", "review", "block"], BeforeValidator(_can_act)] = Field(
        description="What follows, weakest first: allow, redact (cut out what was found), review (hold for a person), block."
    )
    category: str = Field(
        default="",
        description="Kind of harm, for statistics and reports. May be left out where the labels in `when` have one in common.",
        json_schema_extra={"enum": list(CATEGORIES)},
    )
    basis: Line = Field(
        default="", description="What the rule rests on: a law, a contract, a house rule.", validate_default=False
    )
    message: dict[Annotated[str, Field(pattern=LANGUAGE)], Line] = Field(
        default={}, description="What the person is told, by language."
    )
    with_: Redaction | None = Field(default=None, alias="with", description="For `redact`: how the places found are changed.")
    tests: list[RuleTest] = Field(default=[], description="Examples that show, and test, what the rule means.")


class ImageWatermark(_Model):
    """An invisible watermark in every released image, which names the decision."""

    method: Annotated[str, Field(min_length=1)] | None = Field(default=None, description="How the mark is embedded.")
    on_unmarkable: Fallback = Field(
        default="block", description="What follows when an image cannot carry the mark: block, review, or allow it unmarked."
    )


def _switched_on(value: Any) -> Any:
    if value is True:
        return {}
    if value is False:
        raise PydanticCustomError("wording", "{text}", {"text": "found false, expected true, or the mark's key left out"})
    return value


class TextWatermark(_Model):
    """An invisible watermark in the choice of the tokens of texts from models that run in process."""

    method: Annotated[str, Field(min_length=1)] | None = Field(default=None, description="How the mark is carried.")
    strength: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="For `green_list`: how much the favoured tokens are preferred."
    )
    on_unmarkable: Fallback = Field(
        default="allow",
        description="What follows when a text does not show the mark, as short ones do not: block, review, or allow it.",
    )


class Watermark(_Model):
    """Invisible marks that are read back before an output is released."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    image: Annotated[ImageWatermark, BeforeValidator(_switched_on)] | None = Field(
        default=None, description="Watermark images: `true`, or a mapping with settings."
    )
    text: Annotated[TextWatermark, BeforeValidator(_switched_on)] | None = Field(
        default=None, description="Watermark texts: `true`, or a mapping with settings."
    )

    @model_validator(mode="after")
    def _at_least_one(self) -> Watermark:
        if not self.model_fields_set:
            raise PydanticCustomError("wording", "{text}", {"text": "found no watermark, expected one of: image, text"})
        return self


def _everywhere(value: Any) -> Any:
    return {ANY: value} if isinstance(value, str) else value


class Label(_Model):
    """A label that people see: on images a plate with words, in texts a line of its own."""

    profile: Literal["gb45438", "eu", "plain"] = Field(
        description="`gb45438`: by the Chinese standard. `eu`: in languages of the Union. `plain`: smaller."
    )
    position: Literal["start", "end", "top-left", "top", "top-right", "bottom-left", "bottom", "bottom-right"] = Field(
        default="end",
        description="`start` or `end` of a text, first or last corner of an image; or an edge or corner. Default: end.",
    )
    text: (
        Annotated[
            dict[Annotated[str, Field(pattern=EVERY_LANGUAGE)], Annotated[str, Field(min_length=1, max_length=200)]],
            Field(min_length=1),
            BeforeValidator(_everywhere),
        ]
        | None
    ) = Field(default=None, description="Other words than the profile's: one text, or one for each language.")
    language: Annotated[str, Field(pattern=LANGUAGE)] | None = Field(
        default=None, description="Always speak this language. Default: that of the request, where the label has words in it."
    )
    font: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="A TrueType or OpenType file with the characters of `text`. Default: the bundled font."
    )
    modalities: Annotated[list[Literal["text", "image"]], Field(min_length=1)] = Field(
        default=["text", "image"], description="What is labelled. Default: texts and images."
    )
    on_unmarkable: Fallback = Field(
        default="block", description="What follows when a label does not fit: block, review, or allow the output without it."
    )


class C2pa(_Model):
    """A signed manifest in every released image, which says how it came to be and names the decision."""

    on_unmarkable: Fallback = Field(
        default="block", description="What follows when an image cannot be signed: block, review, or allow it unsigned."
    )


class Marks(_Model):
    """What every released output carries. The order in which marks are put on does not depend on the order of these keys."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    watermark: Watermark | None = Field(default=None, description="Invisible watermarks.")
    label: Label | None = Field(default=None, description="A visible label.")
    metadata: Annotated[list[Literal["aigc", "iptc"]], Field(min_length=1)] | None = Field(
        default=None,
        description="`aigc`: label of GB 45438, in image files and beside texts in answers. `iptc`: source type.",
    )
    c2pa: Annotated[C2pa, BeforeValidator(_switched_on)] | None = Field(
        default=None, description="Sign images with C2PA, last of all: `true`, or a mapping with settings."
    )

    @model_validator(mode="after")
    def _at_least_one(self) -> Marks:
        if not self.model_fields_set:
            raise PydanticCustomError(
                "wording", "{text}", {"text": f"found no mark, expected one of: {', '.join(Marks.model_fields)}"}
            )
        return self


class PolicyFile(_Model):
    """A moderation policy: what is measured, what follows, and how outputs are marked."""

    policy: Name = Field(description="Name of the policy; stays the same from version to version.")
    version: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(description="Counts up with every change.")
    status: Literal["draft", "shadow", "live", "deprecated"] = Field(
        default="draft",
        description="draft: being written. shadow: decides beside the live one. live: in force. deprecated: replaced.",
    )
    owner: Line = Field(default="", description="Who answers for it.", validate_default=False)
    description: Prose = Field(default="", description="What it is for.", validate_default=False)
    applies_to: AppliesTo = Field(default=AppliesTo(), description="Which generators and tenants it speaks for. Default: all.")
    checks: Annotated[dict[Name, CheckEntry], Field(min_length=1)] = Field(
        description="What is measured: a name of your choice for each check. Rules refer to these names."
    )
    rules: Annotated[list[RuleEntry], Field(min_length=1)] = Field(
        description="What follows. All rules are read; the strictest action of those that fire wins."
    )
    marks: Marks | None = Field(default=None, description="What every released output carries.")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file, with the grammar of conditions that the models leave to the compiler."""
    schema = PolicyFile.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    definitions["Condition"] = _condition_schema()
    rule = definitions["RuleEntry"]["properties"]
    rule["when"] = {"$ref": "#/$defs/Condition", "description": rule["when"]["description"]}
    switches = (
        (definitions["Watermark"]["properties"], "image", "ImageWatermark"),
        (definitions["Watermark"]["properties"], "text", "TextWatermark"),
        (definitions["Marks"]["properties"], "c2pa", "C2pa"),
    )
    for properties, key, model in switches:
        properties[key] = {
            "anyOf": [{"const": True}, {"$ref": f"#/$defs/{model}"}],
            "description": properties[key]["description"],
        }
    words = definitions["Label"]["properties"]["text"]
    words["anyOf"] = [{"type": "string", "minLength": 1, "maxLength": 200}, *words["anyOf"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "genguard policy",
    }


def _condition_schema() -> dict[str, Any]:
    patterns = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    several = {"type": "array", "items": {"$ref": "#/$defs/Condition"}, "minItems": 1}
    stages: list[str] = ["prompt", "output", "chunk"]
    return {
        "type": "object",
        "minProperties": 1,
        "title": "Condition",
        "description": "All keys have to hold. `check.label: 0.6` is a score of at least 0.6; `check: LABEL`, or a list of "
        "labels, is one of them found at whatever score; `check: any` is anything found.",
        "properties": {
            "any": {**several, "description": "At least one of these conditions holds."},
            "all": {**several, "description": "All of these conditions hold."},
            "not": {"$ref": "#/$defs/Condition", "description": "This condition does not hold."},
            "tenant": {**patterns, "description": "Tenant that asks; a pattern or a list of patterns."},
            "generator": {**patterns, "description": "Name of the generator; a pattern or a list of patterns."},
            "language": {**patterns, "description": "Language of the text, such as en; a pattern or a list of patterns."},
            "modality": {**patterns, "description": "text or image.", "examples": ["text", "image"]},
            "stage": {**patterns, "description": "prompt, output or chunk.", "examples": stages},
        },
        "additionalProperties": {
            "description": "A check, or a check's label: the least score from 0 to 1, or the labels that must be found.",
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ],
        },
    }


def main() -> None:
    """Write the JSON Schema beside this module."""
    FILE.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
