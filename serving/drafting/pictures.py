"""Which pictures of a draft's examples are read here: those that come with genguard, and no other file of this machine.

Packs name pictures relative to their own folder, and so do drafts that began from one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from guard.matching.bank import BUNDLED
from policies.load import PACKS
from policies.loaded import LoadedPolicy, RuleTest

_OURS = BUNDLED.resolve() / "examples"


def runnable(loaded: LoadedPolicy) -> tuple[LoadedPolicy, tuple[RuleTest, ...]]:
    """A draft with the examples that can be run here, and those that cannot."""
    found = [(one, _here(one)) for one in loaded.tests]
    ready = tuple(here for _, here in found if here is not None)
    return replace(loaded, tests=ready), tuple(one for one, here in found if here is None)


def _here(test: RuleTest) -> RuleTest | None:
    """An example as it can be run; None where its picture is not read."""
    if test.image is None or test.at.file.startswith(str(PACKS)):
        return test
    with suppress(ValueError, OSError):  # no name of a file
        path = (PACKS / test.image).resolve()
        if path.parent == _OURS and test.becomes_image is None:
            return replace(test, image=path, name=test.name or f"{test.expects} {test.image}")
    return None
