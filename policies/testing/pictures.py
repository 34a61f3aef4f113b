"""Reads the images that tests name."""

from __future__ import annotations

from pathlib import Path

from guard.admission import Limits, admit
from guard.errors import GenguardError
from guard.types import Content, Origin, Request, Stage
from policies.mistake import Position

_LIMITS = Limits()


class MissingFileError(ValueError):
    """An image of a test that is not there or cannot be read; the message says which and why."""


def read_image(image: Path, at: Position, stage: Stage, origin: Origin, request: Request) -> Content:
    """The image that a test names, relative to the folder of the file the test stands in. Raises MissingFileError."""
    path = Path(at.file).parent / image
    try:
        with path.open("rb") as file:
            data = file.read(_LIMITS.image + 1)
        return admit(data, request=request, stage=stage, origin=origin, media_type="", limits=_LIMITS)
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    except ValueError:  # a zero byte
        raise MissingFileError(f"{str(path)!r} cannot be read: no name of a file") from None
    except GenguardError as error:
        raise MissingFileError(f"{path}: {error}") from None
