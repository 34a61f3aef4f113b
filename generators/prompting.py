"""How the words of a prompt choose the class of a model that draws one of a few things."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompting:
    """How words choose the class of a class-conditional model."""

    classes: dict[str, tuple[str, ...]]
    patch: int = 1

    def choose(self, prompt: str) -> int | None:
        """Index of the class whose word comes first in the prompt; None when it names no class.

        Words of ASCII letters are compared whole, with or without a plural s; others wherever they stand.
        """
        text, found = prompt.lower(), []
        for index, words in enumerate(self.classes.values()):
            for word in words:
                pattern = rf"\b{re.escape(word)}(?:e?s)?\b" if word.isascii() else re.escape(word)
                if match := re.search(pattern, text):
                    found.append((match.start(), index))
        return min(found)[1] if found else None
