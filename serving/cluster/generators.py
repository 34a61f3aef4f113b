"""A generator that runs elsewhere, asked as one that runs here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from guard.errors import GenerationError, ModelError
from guard.protocols import Piece, TokenMark
from guard.types import Content, Modality
from serving.cluster.asking import DIED, Fault, Identity, error_of, ours


class Calls(Protocol):
    """The way to the replicas of a generator."""

    def open(self) -> Identity:
        """As `serving.cluster.asking.Line`."""

    def stream(self, method: str, *arguments: Any) -> Any:
        """What a method of a replica yields, to be iterated asynchronously; `cancel()` ends it there."""


class RemoteGenerator:
    """A generator whose replicas make the outputs. What needs its model here, such as marks on tokens, it does not offer."""

    def __init__(self, name: str, modality: Modality, line: Calls) -> None:
        """`line`: the way to the replicas."""
        self.name, self.modality, self._line = name, modality, line

    def load(self) -> None:
        """Wait until a replica is ready. Raises ModelError with the replica's trouble."""
        if trouble := self._line.open().trouble:
            raise ModelError(f"generator {self.name!r}: its replica is not ready: {trouble}")

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """As the generator's own; raises GenerationError when its replica dies."""
        return self._items("whole", prompts, parameters)

    async def _items(self, method: str, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> AsyncGenerator[Any]:
        made: Any = None
        over = False
        try:
            made = self._line.stream(method, list(prompts), dict(parameters))
            async for item in made:
                over = isinstance(item, Fault)
                yield _unless_fault(self.name, item)
            over = True
        except Exception as error:
            if ours(error):
                raise
            raise GenerationError(f"generator {self.name!r}: {DIED} ({type(error).__name__})") from None
        finally:
            if made is not None and not over:
                made.cancel()


class RemoteStream(RemoteGenerator):
    """One that hands out text before it is done."""

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncIterator[tuple[int, Piece]]:
        """As the generator's own. It gets no marks, having no tokens here."""
        del marks
        return self._items("pieces", prompts, parameters)


def _unless_fault(name: str, item: Any) -> Any:
    """What a replica yielded. Raises what the generator raised; GenerationError where that is no error of ours."""
    if not isinstance(item, Fault):
        return item
    if item.kind in {"other", "overdue"}:
        raise GenerationError(f"generator {name!r} failed: {item.told or 'no answer in time'}")
    raise error_of(item)
