"""What each setting is and where it comes from, for people: values, the example file, and mistakes in words."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge
from pydantic import BaseModel, ByteSize, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from serving.config.file import VARIABLE, closest, config_file, read_file

PREFIX = "GENGUARD_"
MASK = "********"
HEADINGS = {
    "policies": "Policies",
    "ledger": "The ledger and its keys",
    "revealers": "Content and how long it is kept",
    "generators": "Generators and models",
    "content_producer": "Marks",
    "public_verify": "Where does this come from?",
    "review_sla_minutes": "Reviews",
    "banks": "Banks of works",
    "host": "The service",
    "api_keys": "Access",
    "max_body": "Limits",
}
"""Heading that stands before a setting in the example file."""
OTHERS = frozenset(
    {
        VARIABLE,
        *(
            f"{PREFIX}{name}"
            for name in ("ACTOR", "MASTER_KEY", "REDACTION_KEY", "WATERMARK_KEY", "STREAM_TOKEN", "FAILPOINTS")
        ),
        *(f"{PREFIX}{name}" for name in ("FAILPOINT", "DATA", "TEST_POSTGRES")),
    }
)
"""Variables that are no settings: who acts, keys themselves, and what tests use."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is."""

    name: str
    value: Any
    """Plain, for JSON; secrets masked."""
    source: str
    """`command line`, `environment GENGUARD_…`, the file's name, or `default`."""


def settings_of(settings: BaseModel, origin: Mapping[str, str]) -> tuple[Setting, ...]:
    """All settings, with where each comes from."""
    return tuple(
        Setting(name, _plain(name, getattr(settings, name)), origin.get(name, "default"))
        for name in type(settings).model_fields
    )


def origins(model: type[BaseModel], given: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Where each setting comes from, the default ones left out. Raises SettingsError for a file that cannot be read."""
    names = tuple(model.model_fields)
    file = config_file()
    found = dict.fromkeys(read_file(file, names), str(file)) if file is not None else {}
    environment = {name.lower() for name in os.environ}
    found |= {name: f"environment {PREFIX}{name.upper()}" for name in names if f"{PREFIX}{name}".lower() in environment}
    return found | dict.fromkeys(given or (), "command line")


def notices(model: type[BaseModel]) -> tuple[str, ...]:
    """What is probably a mistake and stops nothing: variables that are no settings, secrets that others may read."""
    names = tuple(model.model_fields)
    known = {f"{PREFIX}{name.upper()}" for name in names} | OTHERS
    strange = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    told = [f"the variable {name} is no setting{closest(name, names)}" for name in strange]
    file = config_file()
    if (
        file is not None
        and set(read_file(file, names)) & secrets(model)
        and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
    ):
        told.append(f"{file} holds a secret and others may read it: chmod 600 {file}")
    return tuple(told)


def secrets(model: type[BaseModel]) -> set[str]:
    """Names of the settings that are never shown."""
    return {name for name, field in model.model_fields.items() if field.annotation is SecretStr}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if name == "ledger":
        return _without_password(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return list(value) if isinstance(value, tuple) else value


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return MASK  # what is no URL may hold anything


def example(model: type[BaseModel]) -> str:
    """A `genguard.toml` with every setting at its default, as a comment."""
    return "\n".join(_example(model)) + "\n"


def _example(model: type[BaseModel]) -> Iterator[str]:
    yield "# Settings of genguard, every one at its default. `genguard config example` writes this file."
    yield "# It is read from the working folder, or from where --config or GENGUARD_CONFIG says."
    yield "# The command line comes first, then GENGUARD_… variables, then this file: port = 8080 is GENGUARD_PORT=8080."
    for name, field in model.model_fields.items():
        if name in HEADINGS:
            yield f"\n# --- {HEADINGS[name]} ---"
        yield f"\n# {field.description}"
        yield f"#{name} = {_toml(field)}"


def _toml(field: FieldInfo) -> str:
    """The default; where there is none, something that may stand there."""
    value = None if field.default is PydanticUndefined else field.default
    if value is None:
        least = next((limit.ge for limit in field.metadata if isinstance(limit, Ge)), None)
        if least is not None:
            return str(least)
        return '"1GiB"' if ByteSize in get_args(field.annotation) else '"…"'
    if isinstance(value, SecretStr):
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        return "{}"
    return json.dumps(list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value)


def mistake(problem: ErrorDetails, origin: Mapping[str, str], model: type[BaseModel]) -> str:
    """What is wrong with one setting: where, what was found, what was expected. Only short numbers and words are quoted."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    source = origin.get(name, "default")
    place = (
        f"{source}: {name}" if source not in {"default", "command line"} and PREFIX not in source else f"{PREFIX}{name.upper()}"
    )
    place = f"--{name.replace('_', '-')}" if source == "command line" else place
    if _is_section(model, name):
        place = ".".join([place, *(str(part)[:40] for part in problem["loc"][1:])])
    expected = problem["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
    return f"{place}: {_quoted(name, problem['input'], model)}{expected}"


def _is_section(model: type[BaseModel], name: str) -> bool:
    kind = model.model_fields[name].annotation if name in model.model_fields else None
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _quoted(name: str, value: object, model: type[BaseModel]) -> str:
    """`found …, ` for what is too short for a key, and where none belongs; empty for all else."""
    kind = str(model.model_fields[name].annotation) if name in model.model_fields else "str"
    text = str(value)
    bare = not any(sign in kind for sign in ("Secret", "Path", "tuple", "'str'"))
    return f"found {text!r}, " if bare and len(text) <= 12 and text.isprintable() else ""
