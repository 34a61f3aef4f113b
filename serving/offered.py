"""Which generators are on offer, and under which names: by their registered names, or as files say.

    # generators.yaml
    generators:
      support:  {use: openai, base_url: "http://localhost:8001/v1", model: llama-3}
      pictures: {use: diffusion, model: /models/stable-diffusion, precision: float16}
      own:      {use: "python:shop.answers:reply"}

A name is what policies, requests and entries know a generator by. Files with mistakes are refused with all of them, by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from guard.errors import PolicyError, SettingsError
from guard.protocols import Generator
from guard.registry import generators as registry
from policies.load import decode
from policies.mistake import Mistakes, describe
from policies.parts import build
from policies.source import MAX_BYTES, Entry, Node
from policies.source import read as read_source

_FILES = (".yaml", ".yml", ".json")
_PYTHON = "python:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_file(named: str) -> bool:
    """Whether a setting names a file of generators rather than a generator."""
    return named.endswith(_FILES)


def offered(named: Iterable[str]) -> dict[str, Generator]:
    """The generators by name. Raises SettingsError for a file with mistakes or a name that stands twice, RegistryError."""
    found: dict[str, Generator] = {}
    for one in named:
        for name, made in (read(Path(one)) if is_file(one) else {}).items() or [_single(one)]:
            if name in found:
                raise SettingsError(f"generator {name!r} is on offer twice, expected each name once")
            found[name] = made
    return found


def find(wanted: str, files: Iterable[str], model: str | None = None) -> Generator:
    """One generator: of those that the files name, or by its registered name, then with another `model` where one is given.

    Raises as `offered`, and SettingsError for a model of a generator whose file says which.
    """
    found = offered(files)
    if wanted not in found:
        return registry.make(wanted, {"model": model}) if model else _single(wanted)[1]
    if model:
        raise SettingsError(f"found a model for {wanted!r}, expected none: its file says which")
    return found[wanted]


def _single(named: str) -> tuple[str, Generator]:
    if named.startswith(_PYTHON):
        path = named.removeprefix(_PYTHON)
        name = path.rpartition(":")[2]
        return name, registry.make("python", {"function": path, "name": name})
    return named, registry.make(named)


def read(file: Path) -> dict[str, Generator]:
    """The generators that a file names. Raises SettingsError that names every mistake by its line."""
    mistakes = Mistakes(str(file))
    try:
        with file.open("rb") as stream:
            root = read_source(decode(stream.read(MAX_BYTES + 1), str(file)), mistakes)
        found = _all(root, mistakes) if root is not None else {}
        mistakes.raise_if_any()
    except OSError as error:
        raise SettingsError(f"{file}: found no file that can be read ({error.strerror}), expected generators") from None
    except PolicyError as error:
        raise SettingsError(str(error), advice="Correct these lines; docs/generators.md shows such a file.") from None
    return found


def _all(root: Node, mistakes: Mistakes) -> dict[str, Generator]:
    for key, entry in root.entries.items():
        if key != "generators":
            mistakes.add(entry.at, f"key {describe(key)}", "the key 'generators' alone")
    given = root.entries.get("generators")
    if given is None or not given.node.entries:
        mistakes.add(given.at if given else root.at, "no generators", "`generators`, a mapping of names to generators")
        return {}
    made = {name: _one(name, entry, mistakes) for name, entry in given.node.entries.items()}
    return {name: one for name, one in made.items() if one is not None}


def _one(name: str, entry: Entry, mistakes: Mistakes) -> Generator | None:
    """One generator with its parameters, which its factory's annotations check."""
    if not _NAME.fullmatch(name):
        mistakes.add(entry.at, f"generator {describe(name)}", "a name of letters, digits, `.`, `_` and `-`")
        return None
    keys = entry.node.entries
    use = keys["use"].node.value if "use" in keys else None
    if not isinstance(use, str):
        mistakes.add(entry.at, f"no `use` of generator {describe(name)}", f"one of: {', '.join(registry.names())}")
        return None
    given = {key: (one.at, one.node) for key, one in keys.items() if key != "use"}
    if "name" in given:
        mistakes.add(given["name"][0], "key 'name'", "none: the generator's name is its key")
        return None
    at = keys["use"].node.at
    if use.startswith(_PYTHON):
        given["function"] = (at, Node(at, use.removeprefix(_PYTHON)))
        use = "python"
    built = build(registry, use, at, {**given, "name": (entry.at, Node(entry.at, name))}, ("use",), mistakes)
    return cast("Generator", built[0]) if built else None
