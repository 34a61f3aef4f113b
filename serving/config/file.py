"""`genguard.toml`: which file it is, and what it says. Its keys are the settings' names, none below another."""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from guard.errors import SettingsError

VARIABLE, NAME = "GENGUARD_CONFIG", "genguard.toml"
SPREAD = frozenset({"banks", "key_file", "key_folder", "ledger", "models", "redaction_key_file"})
"""Settings that commands and the core read from the environment."""
_MAX_BYTES = 1_000_000
_SHOWN = 40


def config_file() -> Path | None:
    """The file that GENGUARD_CONFIG names, else the one in the working folder; None where there is none."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named)
    return Path(NAME) if Path(NAME).is_file() else None


def read_file(file: Path, known: tuple[str, ...]) -> dict[str, Any]:
    """What it says. Raises SettingsError for one that cannot be read, and for keys that are no settings: each a mistake."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"{file}: found more than {_MAX_BYTES} bytes, expected settings")
        values = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be read: {error.strerror or type(error).__name__}",
            advice=f"Write one with `genguard config example > {NAME}`, or unset {VARIABLE}.",
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: found bytes that are no UTF-8, expected TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: found what is no TOML: {error}", advice="Texts stand in quotes; lists in [ ].") from None
    if wrong := [_unknown(name, value, known) for name, value in values.items() if name not in known]:
        raise SettingsError(f"{file}: {'; '.join(wrong)}", advice="`genguard config example` shows every key.")
    return values


def _unknown(name: str, value: object, known: tuple[str, ...]) -> str:
    shown = repr(name[:_SHOWN])
    if isinstance(value, dict):
        return f"found a table {shown}, expected keys alone: settings stand at the top"
    return f"found the key {shown}, expected a setting{closest(name, known)}"


def closest(name: str, known: tuple[str, ...]) -> str:
    """A hint at the name that was probably meant; empty when none is near."""
    plain = name[:_SHOWN].lower().removeprefix("genguard_").replace("-", "_")
    near = get_close_matches(plain, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def spread(known: tuple[str, ...]) -> None:
    """Put into the environment what the file says and what others look for there; what stands there already stays.

    Raises SettingsError for a file that cannot be used.
    """
    file = config_file()
    values = read_file(file, known) if file is not None else {}
    for name in SPREAD & values.keys():
        os.environ.setdefault(f"GENGUARD_{name.upper()}", str(values[name]))


class FileSource(PydanticBaseSettingsSource):
    """The file as a source of settings, read each time that settings are."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        file = config_file()
        self._values = read_file(file, tuple(settings_cls.model_fields)) if file is not None else {}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One value: what pydantic-settings asks of each source."""
        del field
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All that the file says."""
        return dict(self._values)
