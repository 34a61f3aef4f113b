"""The interpreter, and the packages that this installation asks for."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from doctor.finding import Finding, bad, ok
from serving.settings import Settings

PART = "versions"
DISTRIBUTION = "genguard"
_SHOWN = ("torch", "transformers", "onnxruntime", "presidio-analyzer", "sqlmodel", "fastapi")
_INSTALL = "Install genguard again with the versions of its constraints file."


def look(_settings: Settings) -> Iterator[Finding]:
    """Python, genguard, and each package that it needs and that is missing or of another version."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    about = metadata.metadata(DISTRIBUTION)
    supported = about["Requires-Python"] or ""
    python = platform.python_version()
    if supported and not SpecifierSet(supported).contains(python, prereleases=True):
        yield bad(PART, "python", f"{python}, expected {supported}", "Install genguard in a Python of that range.")
    else:
        yield ok(PART, "python", f"{python} ({sys.implementation.name}, {platform.machine()})")
    yield ok(PART, DISTRIBUTION, about["Version"] or "unknown")
    wanted = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = 0
    for requirement in wanted:
        found = _version(requirement.name)
        if found is None:
            wrong += 1
            yield bad(PART, requirement.name, f"not installed, expected {requirement.specifier or 'any version'}", _INSTALL)
        elif not requirement.specifier.contains(found, prereleases=True):
            wrong += 1
            yield bad(PART, requirement.name, f"{found}, expected {requirement.specifier}", _INSTALL)
    if not wrong:
        shown = ", ".join(f"{name} {_version(name)}" for name in _SHOWN if _version(name))
        yield ok(PART, "packages", f"{len(wanted)} as asked for; {shown}", packages=len(wanted))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
