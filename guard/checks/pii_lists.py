"""A policy's own terms for the `pii` check: those that are always found, and those that never are.

A term is a text, whose capitals do not count and which stands alone (no letter or digit next to it), or a regular expression
between slashes: `/BB-[0-9]{4}/`, whose capitals count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from guard.errors import ModelError, RegistryError
from guard.text.patience import Patience

_TIMEOUT_S = 1.0
"""Of all expressions of a policy over one text."""


def patience() -> Patience:
    """For one text."""
    return Patience(_TIMEOUT_S)


class Terms:
    """Terms and regular expressions, compiled."""

    def __init__(self, parameter: str, terms: Iterable[str], plain: Mapping[int, str]) -> None:
        """`plain`: the characters that texts are written in when they get here. Raises RegistryError for what is no term."""
        import regex

        self._parameter = parameter
        self._expressions: list[Any] = []
        texts: list[str] = []
        for term in terms:
            if not term.strip() or term == "//":
                raise _mistake(parameter, "an empty term", "a text, or a regular expression between slashes")
            if not (len(term) > 2 and term.startswith("/") and term.endswith("/")):
                texts.append(term.strip().translate(plain))
                continue
            try:
                expression = regex.compile(term[1:-1])
            except regex.error as error:
                raise _mistake(parameter, f"{term!r}, which is no regular expression ({error})", "one that compiles") from None
            if expression.fullmatch("") is not None:
                raise _mistake(parameter, f"{term!r}, which matches nothing at all", "one that needs a character at least")
            self._expressions.append(expression)
        longest_first = sorted(map(_bounded, dict.fromkeys(texts)), key=len, reverse=True)
        self._texts = regex.compile("|".join(longest_first), regex.IGNORECASE) if texts else None

    def __bool__(self) -> bool:
        return self._texts is not None or bool(self._expressions)

    @property
    def has_expressions(self) -> bool:
        """Whether any term is a regular expression."""
        return bool(self._expressions)

    @property
    def pattern(self) -> str:
        """One pattern for all terms that are texts; empty without any."""
        return str(self._texts.pattern) if self._texts else ""

    def texts_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the terms that are texts stand."""
        for match in self._texts.finditer(text) if self._texts else ():
            yield match.span()

    def found_in(self, text: str, patience: Patience) -> Iterator[tuple[int, int]]:
        """Where any term stands. Raises ModelError when the expressions run out of time."""
        yield from self.texts_in(text)
        for expression in self._expressions:
            try:
                yield from (match.span() for match in expression.finditer(text, timeout=patience.left()) if match.group())
            except TimeoutError:
                raise self._late() from None

    def is_expressed_by(self, text: str, patience: Patience) -> bool:
        """Whether an expression matches the whole of it. Raises ModelError when they run out of time."""
        try:
            return any(expression.fullmatch(text, timeout=patience.left()) for expression in self._expressions)
        except TimeoutError:
            raise self._late() from None

    def _late(self) -> ModelError:
        return ModelError(
            f"pii: regular expressions up to one of `{self._parameter}` took longer than {_TIMEOUT_S} s, expected milliseconds",
            advice="Write it without nested repetitions, such as (a+)+.",
        )


def _bounded(text: str) -> str:
    """An expression for a text that stands alone."""
    import regex

    edge = "[0-9A-Za-z_]"
    before = f"(?<!{edge})" if regex.match(edge, text[0]) else ""
    after = f"(?!{edge})" if regex.match(edge, text[-1]) else ""
    return f"{before}{regex.escape(text)}{after}"


def _mistake(parameter: str, found: str, expected: str) -> RegistryError:
    return RegistryError(f"check 'pii': `{parameter}` holds {found}, expected {expected}")
