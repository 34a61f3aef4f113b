"""Finds model files by name and proves that they are the ones that were published.

A bundled model is a folder under `guard/models/bundled/` with its files, a `MODEL_CARD.md`, and `manifest.json`:
`{"name", "version", "licence", "training", "files": {relative path: SHA-256}}`. Its digest is the SHA-256 of the canonical
`files` object, so one digest stands for every byte that is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from guard.errors import ModelError

BUNDLED = Path(__file__).parent / "bundled"
_PREFIX = "bundled/"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UNLISTED = ("manifest.json", "MODEL_CARD.md")
_REINSTALL = "The model's files were changed or are incomplete: install genguard again."


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A folder of model files with its digest."""

    name: str
    version: str
    path: Path
    digest: str


def locate(name: str) -> ModelFiles:
    """Find `bundled/NAME`, a local folder, or `sha256:DIGEST`, and verify every file that its manifest names.

    A digest is looked for among the manifests of bundled models and of the folders in those that GENGUARD_MODELS names.

    A local folder without a manifest is accepted (the operator's own model): its digest then covers its weights and settings
    as found. Raises ModelError for a folder that is missing, a file that is missing, of another digest or not named by the
    manifest, a manifest that cannot be read, or a bundled model that has none.
    """
    if _DIGEST.fullmatch(name):
        return _by_digest(name)
    path = BUNDLED / name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else Path(name)
    if not path.is_dir():
        known = ", ".join(f"{_PREFIX}{entry.parent.name}" for entry in sorted(BUNDLED.glob("*/manifest.json")))
        raise ModelError(
            f"no model folder for {name!r}", advice=f"Bundled models are: {known or 'none'}; otherwise give a folder's path."
        )
    manifest = path / "manifest.json"
    if not manifest.is_file():
        if name.startswith(_PREFIX):
            raise ModelError(f"{name}: no manifest.json, expected one", advice=_REINSTALL)
        files = {entry.relative_to(path).as_posix(): sha256(entry) for entry in sorted(path.rglob("*")) if entry.is_file()}
        return ModelFiles(name, "", path, files_digest(files))
    try:
        found = json.loads(manifest.read_text("utf-8"))
        version, files = str(found["version"]), dict(found["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{name}: manifest.json cannot be read: {type(error).__name__}", advice=_REINSTALL) from None
    # A file that is not vouched for may be loaded all the same: settings, tokens, another shard of the weights.
    unnamed = sorted(_files(path) - files.keys())
    if unnamed:
        raise ModelError(
            f"{name}: {unnamed[0]} is not in manifest.json, expected only files it names",
            advice="Remove the file, or write the manifest again if it belongs to the model.",
        )
    for relative, expected in files.items():
        actual = sha256(path / relative) if (path / relative).is_file() else "no such file"
        if actual != expected:
            raise ModelError(
                f"{name}: {relative} has digest {actual}, expected {expected}",
                advice=_REINSTALL,
            )
    return ModelFiles(name, version, path, files_digest(files))


def _by_digest(name: str) -> ModelFiles:
    places = [BUNDLED, *(Path(one) for one in os.environ.get("GENGUARD_MODELS", "").split(os.pathsep) if one)]
    for manifest in (found for place in places for found in sorted(place.glob("*/manifest.json"))):
        try:
            digest = files_digest(dict(json.loads(manifest.read_text("utf-8"))["files"]))
        except (ValueError, KeyError, TypeError):
            continue  # it is told when that model is asked for by its name
        if f"sha256:{digest}" == name:
            found = locate(str(manifest.parent))
            return ModelFiles(name, found.version, found.path, found.digest)
    raise ModelError(
        f"no model of the digest {name}",
        advice="GENGUARD_MODELS names folders of model folders; guard.models.write_manifest writes their manifest.json.",
    )


def write_manifest(path: Path, *, name: str, version: str, licence: str, training: str) -> str:
    """Write `manifest.json` over all files of a model folder but the manifest and the card; return the digest.

    `training`: the command that makes the model again.
    """
    files = {relative: sha256(path / relative) for relative in sorted(_files(path))}
    record = {"name": name, "version": version, "licence": licence, "training": training, "files": files}
    (path / "manifest.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return files_digest(files)


def _files(path: Path) -> set[str]:
    return {entry.relative_to(path).as_posix() for entry in path.rglob("*") if entry.is_file() and entry.name not in _UNLISTED}


def files_digest(files: dict[str, str]) -> str:
    """SHA-256 over the sorted (path, digest) pairs."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of one file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
