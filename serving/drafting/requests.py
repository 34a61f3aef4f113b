"""What is asked about a draft."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.source import MAX_BYTES
from serving.schemas import file_of, require_one


class _Draft(BaseModel):
    """A policy that is not in force."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(None, max_length=MAX_BYTES, description="The text of a policy file.")

    @model_validator(mode="after")
    def _one_draft(self) -> _Draft:
        ways = ("source", "pack", "revision")
        given = [name for name in ways if getattr(self, name, None) is not None]
        if len(given) != 1:
            known = [name for name in ways if name in type(self).model_fields]
            raise ValueError(f"expected exactly one of {', '.join(f'`{name}`' for name in known)}")
        return self


class LintRequest(_Draft):
    """A draft to look over."""


class TestRequest(_Draft):
    """A draft whose examples are to be run."""

    __test__ = False

    pack: str | None = Field(None, max_length=64, description="A bundled policy by its name.")
    rules: tuple[str, ...] = Field((), max_length=200, description="Only examples of these rules.")
    words: tuple[str, ...] = Field((), max_length=20, description="Only examples whose names have all of these words.")
    near: float = Field(0.05, ge=0, le=1, description="Tell of scores that are this close to a threshold.")
    stream: bool = Field(False, description="Answer in lines of JSON: how far it is, then the result.")


class ReplayRequest(_Draft):
    """A draft to be held against what was decided."""

    pack: str | None = Field(None, max_length=64, description="A bundled policy by its name.")
    revision: str | None = Field(
        None, min_length=4, max_length=64, description="The beginning of a revision that the ledger has."
    )
    q: str = Field("", max_length=1000, description="Filters such as `tenant:acme stage:output`.")
    since: str = Field("", max_length=40, description="7d, 12h, 2w, a day or a time.")
    until: str = Field("", max_length=40, description="A day, which counts, or a time.")
    limit: int | None = Field(None, ge=1, description="Only the newest decisions.")
    examples: int = Field(5, ge=0, le=100, description="Told of each kind of change.")
    as_measured: bool = Field(False, description="Let results count whatever model, bank or version gave them.")
    stream: bool = Field(False, description="Answer in lines of JSON: how far it is, then the result.")


class TryRequest(_Draft):
    """A content to be judged by a draft; nothing is recorded of it."""

    pack: str | None = Field(None, max_length=64, description="A bundled policy by its name.")
    revision: str | None = Field(
        None, min_length=4, max_length=64, description="The beginning of a revision that the ledger has."
    )
    text: str | None = None
    image: str | None = Field(None, description="The image file's bytes in base64: PNG, JPEG or WebP.")
    audio: str | None = Field(None, description="The audio file's bytes in base64: WAV with PCM.")
    stage: Literal["prompt", "output"] = "output"
    tenant: str = Field("default", min_length=1, max_length=200)
    generator: str = Field("caller", min_length=1, max_length=200)
    language: str = Field("und", max_length=35)
    purpose: str = Field("", max_length=200)
    consent: str = Field("", max_length=200)

    @model_validator(mode="after")
    def _one_content(self) -> TryRequest:
        require_one(self.text, self.image, self.audio)
        return self

    def data(self) -> str | bytes:
        """The text, or the decoded file. Raises InputError for what is no base64, or another kind of file than it says."""
        return self.text if self.text is not None else file_of(self.image, self.audio)
