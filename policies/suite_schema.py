"""The shape of a suite of tests as pydantic models; they also make the JSON Schema that editors complete from.

`python -m policies.suite_schema` writes `suite.schema.json` again after a change here.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from policies.mark_schema import LANGUAGE
from policies.mistake import describe
from policies.schema import Given, Line, Name, Pattern, Picture, Prose, StageName

FILE = Path(__file__).parent / "suite.schema.json"

ActionName = Literal["allow", "label", "redact", "review", "block"]
Pixels = Annotated[int, Field(ge=0, le=1_000_000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("wording", "{text}", {"text": text})


def _given(value: Any) -> Any:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        hint = "; put it in quotation marks to make it text" if isinstance(value, bool | int | float) else ""
        raise _wrong(f"found {describe(value)}, expected a text, `{{image: FILE}}`, or `{{prompt: TEXT, reply: TEXT}}`{hint}")
    return value


class Content(_Model):
    """What is judged: a text, an image, a prompt, or a prompt and the reply to it."""

    text: Prose | None = Field(default=None, description="A text.", examples=["Where is my parcel?"])
    image: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="An image file, relative to the folder of the suite.", examples=["pictures/poster.png"]
    )
    prompt: Given | None = Field(
        default=None, description="What was asked: it is judged first, at stage prompt.", examples=["Write to Ann."]
    )
    reply: Given | None = Field(
        default=None,
        description="What was made of it: it is judged when the prompt was let through.",
        examples=["Dear Ann, …", {"image": "pictures/poster.png"}],
    )

    @model_validator(mode="after")
    def _one_content(self) -> Content:
        given = [name for name in ("text", "image", "prompt") if getattr(self, name) is not None]
        if len(given) != 1:
            raise _wrong(f"found {' and '.join(map(repr, given)) or 'no content'}, expected one of: text, image, prompt")
        if self.reply is not None and self.prompt is None:
            raise _wrong("found 'reply' without 'prompt', expected both, or the reply alone as a text")
        return self


def _moment(text: str) -> str:
    try:
        known = datetime.fromisoformat(text).utcoffset() is not None
    except ValueError:
        raise _wrong(f"found {describe(text)} for 'time', expected a time such as 2026-12-24T20:00:00+01:00") from None
    if not known:
        raise _wrong(f"found {describe(text)} for 'time', expected its distance from UTC as well, such as +01:00 or Z")
    return text


class Where(_Model):
    """Where and when a content is judged."""

    stage: StageName | None = Field(
        default=None, description="Where a text or image stands on its way. Default: output.", examples=["prompt"]
    )
    language: Annotated[str, Field(pattern=LANGUAGE)] | None = Field(
        default=None, description="Language of the content. Default: unknown.", examples=["zh"]
    )
    tenant: Pattern | None = Field(
        default=None, description="Who asks. Default: `default`, or one that the policy applies to.", examples=["shop"]
    )
    generator: Pattern | None = Field(
        default=None, description="What made it. Default: `caller`, or one that the policy applies to.", examples=["diffusion"]
    )
    purpose: Pattern | None = Field(
        default=None, description="What the caller says it is for. Default: nothing said.", examples=["marketing"]
    )
    consent: Pattern | None = Field(
        default=None, description="The caller's reference to a consent. Default: none.", examples=["crm-4711"]
    )
    time: Annotated[str, AfterValidator(_moment)] | None = Field(
        default=None,
        description="When it is judged. Needed where a condition on time or an exception decides.",
        examples=["2026-12-24T20:00:00+01:00"],
    )


class ExpectedEdit(_Model):
    """One place that is changed: all that is said of it has to be true."""

    rule: Name | None = Field(default=None, description="The rule that has it changed.", examples=["card-number"])
    label: Line | None = Field(default=None, description="What was found there.", examples=["CREDIT_CARD"])
    text: Prose | None = Field(default=None, description="The text that stood there.", examples=["4111 1111 1111 1111"])
    span: Annotated[list[Pixels], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="Its first character and the one after its last, counted from 0.", examples=[[9, 28]]
    )
    region: Annotated[list[Pixels], Field(min_length=4, max_length=4)] | None = Field(
        default=None, description="In an image: left, top, right and bottom, in pixels.", examples=[[8, 8, 16, 16]]
    )

    @model_validator(mode="after")
    def _something(self) -> ExpectedEdit:
        if not self.model_fields_set:
            raise _wrong(f"found an edit of which nothing is said, expected one of: {', '.join(ExpectedEdit.model_fields)}")
        return self


class Expectation(_Model):
    """What the policy has to decide: all that is said has to be true."""

    action: ActionName | None = Field(default=None, description="The action of the verdict.", examples=["block"])
    rules: list[Name] | None = Field(
        default=None, description="The rules that fire: these and no others.", examples=[["threat"], []]
    )
    fires: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, description="Rules that fire; others may.", examples=[["threat"]]
    )
    not_: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, alias="not", description="Rules that do not fire.", examples=[["insult"]]
    )
    message: Annotated[dict[Annotated[str, Field(pattern=LANGUAGE)], Line], Field(min_length=1)] | None = Field(
        default=None,
        description="What the person is told, by language, where nothing is released.",
        examples=[{"en": "This reply was withheld."}],
    )
    edits: list[ExpectedEdit] | None = Field(
        default=None, description="The places that are changed: these and no others.", examples=[[{"rule": "card-number"}]]
    )
    released: Annotated[str, Field(max_length=10_000)] | None = Field(
        default=None,
        description="The text that leaves, after the edits of all rules and without marks. `{any}` stands for a value that "
        "depends on the redaction key.",
        examples=["Pay with **** **** **** 1111."],
    )


class Expected(Expectation):
    """What the policy has to decide in the end, and of the prompt alone."""

    prompt: Expectation | None = Field(
        default=None,
        description="With a prompt and its reply: what is decided on the prompt.",
        examples=[{"action": "allow"}],
    )

    @model_validator(mode="after")
    def _something(self) -> Expected:
        if not self.model_fields_set:
            raise _wrong(f"found nothing that is expected, expected one of: {', '.join(names(Expected))}")
        return self


class SuiteTest(_Model):
    """One test of the whole policy."""

    name: Line = Field(description="What it shows. Once in a suite.", examples=["An angry customer is served"])
    given: Annotated[Content, BeforeValidator(_given)] = Field(
        description="What is judged: a text, `{image: FILE}`, or `{prompt: TEXT, reply: TEXT}`.",
        examples=["You idiots lost my parcel!", {"prompt": "Write to Ann.", "reply": "Dear Ann, …"}],
    )
    context: Where = Field(default=Where(), description="Where and when it is judged.", examples=[{"stage": "prompt"}])
    expect: Expected = Field(description="What has to be decided.", examples=[{"action": "allow", "rules": []}])


class SuiteFile(_Model):
    """A suite: tests of a whole policy, in a file of its own."""

    policy: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="The policy: a file, relative to the folder of the suite, or the name of a pack.", examples=["shop.yaml"]
    )
    description: Prose = Field(
        default="", description="What the suite is about.", validate_default=False, examples=["The shop's worst days."]
    )
    tests: Annotated[list[SuiteTest], Field(min_length=1)] = Field(
        description="The tests.",
        examples=[[{"name": "A greeting passes", "given": "Hello!", "expect": {"action": "allow"}}]],
    )


MODELS: dict[str, type[BaseModel]] = {
    "": SuiteFile,
    "tests": SuiteTest,
    "given": Content,
    "context": Where,
    "expect": Expected,
    "prompt": Expectation,
    "edits": ExpectedEdit,
    "image": Picture,
}
"""The model behind each key that holds a mapping with fixed keys."""


def names(model: type[BaseModel]) -> list[str]:
    """The keys of a model, as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a suite."""
    schema = SuiteFile.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    definitions["Content"]["oneOf"] = [{"required": [name]} for name in ("text", "image", "prompt")]
    definitions["Content"]["dependentRequired"] = {"reply": ["prompt"]}
    for model in ("Expected", "ExpectedEdit"):
        definitions[model]["minProperties"] = 1
    definitions["Where"]["properties"]["time"]["anyOf"][0]["format"] = "date-time"
    given = definitions["SuiteTest"]["properties"]["given"]
    text = {"type": "string", "minLength": 1, "maxLength": 10_000}
    definitions["SuiteTest"]["properties"]["given"] = {
        "anyOf": [text, {"$ref": "#/$defs/Content"}],
        **{key: given[key] for key in ("description", "examples")},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "genguard suite of tests"}


def main() -> None:
    """Write the JSON Schema beside that of policies."""
    FILE.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
