"""Finds model files by name and proves that they are the ones that were published.

A bundled model is a folder under `guard/models/bundled/` with its files, a `MODEL_CARD.md`, and `manifest.json`:
`{"name", "version", "licence", "training", "files": {relative path: SHA-256}}`. Its digest is the SHA-256 of the canonical
`files` object, so one digest stands for every byte that is loaded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from guard.errors import ModelError

BUNDLED = Path(__file__).parent / "bundled"
_PREFIX = "bundled/"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A folder of model files with its digest."""

    name: str
    version: str
    path: Path
    digest: str


def locate(name: str) -> ModelFiles:
    """Find `bundled/NAME` or a local folder, and verify every file that its manifest names.

    A folder without a manifest is accepted (the operator's own model): its digest then covers its weights and settings as
    found. Raises ModelError for a folder that is missing, or a file that is missing or of another digest.
    """
    path = BUNDLED / name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else Path(name)
    if not path.is_dir():
        known = ", ".join(f"{_PREFIX}{entry.parent.name}" for entry in sorted(BUNDLED.glob("*/manifest.json")))
        raise ModelError(
            f"no model folder for {name!r}", advice=f"Bundled models are: {known or 'none'}; otherwise give a folder's path."
        )
    manifest = path / "manifest.json"
    if not manifest.is_file():
        files = {entry.relative_to(path).as_posix(): sha256(entry) for entry in sorted(path.rglob("*")) if entry.is_file()}
        return ModelFiles(name, "", path, files_digest(files))
    found = json.loads(manifest.read_text("utf-8"))
    for relative, expected in found["files"].items():
        actual = sha256(path / relative) if (path / relative).is_file() else "no such file"
        if actual != expected:
            raise ModelError(
                f"{name}: {relative} has digest {actual}, expected {expected}",
                advice="The model's files were changed or are incomplete: install genguard again.",
            )
    return ModelFiles(name, str(found["version"]), path, files_digest(found["files"]))


def write_manifest(path: Path, *, name: str, version: str, licence: str, training: str) -> str:
    """Write `manifest.json` over all files of a model folder but the manifest and the card; return the digest.

    `training`: the command that makes the model again.
    """
    left_out = {"manifest.json", "MODEL_CARD.md"}
    files = {
        entry.relative_to(path).as_posix(): sha256(entry)
        for entry in sorted(path.rglob("*"))
        if entry.is_file() and entry.name not in left_out
    }
    record = {"name": name, "version": version, "licence": licence, "training": training, "files": files}
    (path / "manifest.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return files_digest(files)


def files_digest(files: dict[str, str]) -> str:
    """SHA-256 over the sorted (path, digest) pairs."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of one file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
