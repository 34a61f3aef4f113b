"""Loads policy files and packs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from guard.errors import PolicyError
from guard.rules import Policy

if TYPE_CHECKING:
    from policies.loaded import LoadedPolicy

PACKS = Path(__file__).parent / "packs"
"""Where the policies are that come with genguard."""

PACK_NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""What the names of packs look like; a path has a dot or a slash in it."""
SUITE = "_test"
"""What the name of a file with tests ends in: `shop_test.yaml` tests `shop.yaml`."""


def load(policy: str | Path) -> Policy:
    """Load a policy from a file, or a pack by its bare name, such as `enterprise`.

    Raises PolicyError when there is no such file or pack, and for a file with mistakes, naming all of them by file and line.
    """
    return open_policy(policy).policy


def loads(text: str | bytes, *, file: str = "policy") -> Policy:
    """Load a policy from the text of a file; `file` names it in messages. Raises PolicyError for a text with mistakes.

    It may extend packs, and no files.
    """
    return read_policy(text, file=file).policy


def open_policy(policy: str | Path) -> LoadedPolicy:
    """As `load`, with what an author needs besides: tests, places in the file, what the checks can report."""
    path = _find(policy)
    from policies.source import MAX_BYTES

    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(
            f"found no file that can be read ({error.strerror or type(error).__name__}), expected a policy file",
            file=str(path),
            advice=f"Packs that can be given by name: {', '.join(packs())}.",
        ) from None
    return read_policy(data, file=str(path), folder=path.parent)


def read_policy(text: str | bytes, *, file: str = "policy", folder: Path | None = None) -> LoadedPolicy:
    """As `loads`, with what an author needs besides. `folder`: where paths of policies begin that it extends.

    Without a folder only packs may be extended, so that a text which somebody sent reads no file of this machine.
    """
    from policies.compile import compile_policy
    from policies.mistake import Mistakes
    from policies.source import read

    mistakes = Mistakes(file)
    root = read(text if isinstance(text, str) else decode(text, file), mistakes)
    if root is None:
        mistakes.raise_if_any()
    assert root is not None
    return compile_policy(root, mistakes, folder)


def source_of(policy: str | Path, revision: str) -> str:
    """The text of a policy's file or pack when it compiles to this revision by itself; empty for any other, and for none.

    A text that extends files does not.
    """
    try:
        text = decode(_find(policy).read_bytes(), str(policy))
        return text if loads(text).revision == revision else ""
    except (OSError, PolicyError):
        return ""


def decode(data: bytes, file: str) -> str:
    """The text of a policy file. Raises PolicyError for bytes that are no UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError("found bytes that are no UTF-8, expected a text file in UTF-8", file=file, line=line) from None


def packs() -> tuple[str, ...]:
    """Names of the packs that come with genguard."""
    return tuple(sorted(path.stem for path in PACKS.glob("*.yaml") if not path.stem.endswith(SUITE)))


def _find(policy: str | Path) -> Path:
    if isinstance(policy, str) and PACK_NAME.fullmatch(policy) and not Path(policy).is_file():
        if policy not in packs():
            raise PolicyError(
                f"found no policy {policy!r}, expected a file or one of the packs: {', '.join(packs())}",
                advice="Give the path of a policy file, or the name of a pack.",
            )
        return PACKS / f"{policy}.yaml"
    return Path(policy)
