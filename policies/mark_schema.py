"""The shape of `marks`: what every released output of a policy carries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from guard.marks.wording import ANY

LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
EVERY_LANGUAGE = r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*|\*)$"
Fallback = Literal["allow", "review", "block"]


class Model(BaseModel):
    """A mapping with fixed keys: any other key, and any value of another type, is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _given(cls, value: Any, info: ValidationInfo) -> Any:
        """A key with nothing after it does not mean that the key was left out."""
        if value is None and cls.model_fields[str(info.field_name)].default is None:
            raise PydanticCustomError("nothing", "nothing")
        return value


class ImageWatermark(Model):
    """An invisible watermark in every released image, which names the decision."""

    method: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="How the mark is embedded.", examples=["tile", "dwtDctSvd"]
    )
    on_unmarkable: Fallback = Field(
        default="block",
        description="What follows when an image cannot carry the mark: block, review, or allow it unmarked.",
        examples=["review"],
    )


def _switched_on(value: Any) -> Any:
    if value is True:
        return {}
    if value is False:
        raise PydanticCustomError("wording", "{text}", {"text": "found false, expected true, or the mark's key left out"})
    return value


class TextWatermark(Model):
    """An invisible watermark in the choice of the tokens of texts from models that run in process."""

    method: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="How the mark is carried.", examples=["synthid", "green_list"]
    )
    strength: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="For `green_list`: how much the favoured tokens are preferred.", examples=["medium"]
    )
    on_unmarkable: Fallback = Field(
        default="allow",
        description="What follows when a text does not show the mark, as short ones do not: block, review, or allow it.",
        examples=["review"],
    )


class Watermark(Model):
    """Invisible marks that are read back before an output is released."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    image: Annotated[ImageWatermark, BeforeValidator(_switched_on)] | None = Field(
        default=None,
        description="Watermark images: `true`, or a mapping with settings.",
        examples=[True, {"method": "tile", "on_unmarkable": "review"}],
    )
    text: Annotated[TextWatermark, BeforeValidator(_switched_on)] | None = Field(
        default=None,
        description="Watermark texts: `true`, or a mapping with settings.",
        examples=[True, {"method": "green_list", "strength": "high"}],
    )

    @model_validator(mode="after")
    def _at_least_one(self) -> Watermark:
        if not self.model_fields_set:
            raise PydanticCustomError("wording", "{text}", {"text": "found no watermark, expected one of: image, text"})
        return self


def _everywhere(value: Any) -> Any:
    return {ANY: value} if isinstance(value, str) else value


class Label(Model):
    """A label that people see: on images a plate with words, in texts a line of its own."""

    profile: Literal["gb45438", "eu", "plain"] = Field(
        description="`gb45438`: by the Chinese standard. `eu`: in languages of the Union. `plain`: smaller.",
        examples=["gb45438"],
    )
    position: Literal["start", "end", "top-left", "top", "top-right", "bottom-left", "bottom", "bottom-right"] = Field(
        default="end",
        description="`start` or `end` of a text, first or last corner of an image; or an edge or corner. Default: end.",
        examples=["bottom-right"],
    )
    text: (
        Annotated[
            dict[Annotated[str, Field(pattern=EVERY_LANGUAGE)], Annotated[str, Field(min_length=1, max_length=200)]],
            Field(min_length=1),
            BeforeValidator(_everywhere),
        ]
        | None
    ) = Field(
        default=None,
        description="Other words than the profile's: one text, or one for each language.",
        examples=["Made by AI", {"en": "Made by AI", "zh": "由人工智能生成"}],
    )
    language: Annotated[str, Field(pattern=LANGUAGE)] | None = Field(
        default=None,
        description="Always speak this language. Default: that of the request, where the label has words in it.",
        examples=["de"],
    )
    font: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="A TrueType or OpenType file with the characters of `text`. Default: the bundled font.",
        examples=["fonts/house.ttf"],
    )
    modalities: Annotated[list[Literal["text", "image"]], Field(min_length=1)] = Field(
        default=["text", "image"], description="What is labelled. Default: texts and images.", examples=[["image"]]
    )
    apply: Literal["always", "rules"] = Field(
        default="always",
        description="`always` (default): every released output carries the label. `rules`: those at which a rule with the "
        "action `label` fires.",
        examples=["rules"],
    )
    on_unmarkable: Fallback = Field(
        default="block",
        description="What follows when a label does not fit: block, review, or allow the output without it.",
        examples=["review"],
    )


class C2pa(Model):
    """A signed manifest in every released image, which says how it came to be and names the decision."""

    on_unmarkable: Fallback = Field(
        default="block",
        description="What follows when an image cannot be signed: block, review, or allow it unsigned.",
        examples=["review"],
    )


class Marks(Model):
    """What every released output carries. The order in which marks are put on does not depend on the order of these keys."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    watermark: Watermark | None = Field(default=None, description="Invisible watermarks.", examples=[{"image": True}])
    label: Label | None = Field(
        default=None, description="A visible label.", examples=[{"profile": "gb45438", "position": "bottom-right"}]
    )
    metadata: Annotated[list[Literal["aigc", "iptc"]], Field(min_length=1)] | None = Field(
        default=None,
        description="`aigc`: label of GB 45438, in image files and beside texts in answers. `iptc`: source type.",
        examples=[["iptc"]],
    )
    c2pa: Annotated[C2pa, BeforeValidator(_switched_on)] | None = Field(
        default=None,
        description="Sign images with C2PA, last of all: `true`, or a mapping with settings.",
        examples=[True, {"on_unmarkable": "review"}],
    )

    @model_validator(mode="after")
    def _at_least_one(self) -> Marks:
        if not self.model_fields_set:
            raise PydanticCustomError(
                "wording", "{text}", {"text": f"found no mark, expected one of: {', '.join(Marks.model_fields)}"}
            )
        return self
