"""What checks, generators, marks and ledgers have to be: the protocols that the house is built on. Standard library only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from guard.types import BankChange, Content, Decision, Examples, Mark, Marking, Modality, Opening, Receipt, Rollout, Scan


@runtime_checkable
class Check(Protocol):
    """Measures contents. It never decides: thresholds and actions are the policy's."""

    @property
    def version(self) -> str:
        """Changes whenever the same input may give another finding."""

    @property
    def digest(self) -> str:
        """Digest of the model or bank in use, hexadecimal; empty for code alone. Known after `load`."""

    @property
    def modalities(self) -> frozenset[Modality]:
        """What it reads. Contents of other modalities are never given to it."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Every label it can report, with its category; a rule that asks for another can never match."""

    @property
    def blocking(self) -> bool:
        """True: a plain function that computes, run on a worker thread. False: a coroutine function, awaited."""

    @property
    def examples(self) -> Examples:
        """Contents that show what it finds and what it leaves alone."""

    def load(self) -> None:
        """Load models and banks; called once, off the event loop, before the first batch and outside any deadline."""

    def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan] | Awaitable[Sequence[Scan]]:
        """Answer one Scan a content, in order. Raise rather than guess: the chain records it, the policy decides."""


@runtime_checkable
class Generator(Protocol):
    """Makes content from prompts."""

    @property
    def name(self) -> str:
        """The name policies and entries know it by."""

    @property
    def modality(self) -> Modality:
        """What it makes."""

    def load(self) -> None:
        """Load the model; called once, off the event loop."""

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield (index of the prompt, output) as outputs are ready; the same seed gives the same outputs twice.

        Raises ParameterError for a parameter it does not know or that is out of range.
        """


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more of an output that is being made: the texts of a choice's pieces, joined, are the text of its content."""

    choice: int
    text: str = field(repr=False)
    content: Content | None = None
    """With the last piece: the whole output, as a call would have yielded it. A tool call comes whole, without text, and before
    the last piece of the text beside it; a choice of calls alone has no other pieces."""


@runtime_checkable
class StreamingGenerator(Generator, Protocol):
    """A generator of text that hands out what it has before it is done."""

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncIterator[tuple[int, Piece]]:
        """Yield (index of the prompt, piece); the outputs are those that a call with the same seed yields.

        `marks`: as for `TokenGenerator.marked`, which a generator without tokens of its own gets none of. It has stopped, and
        whatever it asked elsewhere is cancelled, when the iterator is closed. Raises as a call does.
        """


@runtime_checkable
class PreviewingGenerator(Generator, Protocol):
    """A generator of images that shows them while they are made, so that a doomed one need not be finished."""

    def previewed(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], early: Callable[[int, Content], bool], /, *, every: int
    ) -> AsyncIterator[tuple[int, Content]]:
        """As a call; `early` gets (index of the prompt, preview) every `every` steps, and says whether to go on.

        It is called on the generator's own thread, which waits for it; a preview has the stage CHUNK, and its origin names the
        `step`. An image that is not to go on is the next that is yielded for its prompt: its last preview with `making.finish`
        `stopped`. It is evidence and no output, and MUST NOT be released. Raises as a call does, and what `early` raises.
        """


class TokenMark(Protocol):
    """A watermark that is put into a text while its tokens are drawn."""

    @property
    def method(self) -> str:
        """How it is carried."""

    @property
    def width(self) -> int:
        """Tokens of a context."""

    def shift(self, probabilities: Any, contexts: Sequence[Sequence[int] | None], /) -> Any:
        """The probabilities (float64 tensor [R, V], rows of any sum) to draw the next tokens from.

        `contexts`: the last `width` tokens of each row's output; None where there are fewer, or where they came before.
        """


@runtime_checkable
class TokenGenerator(Generator, Protocol):
    """A generator that draws tokens in this process, so that a text watermark can be put into what it makes."""

    def marked(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None], /
    ) -> AsyncIterator[tuple[int, Content]]:
        """As a call, with a mark or None for the outputs of each prompt; same seed and mark give the same outputs twice."""

    def tokens(self, text: str, /) -> Sequence[int]:
        """How it reads an output as tokens. Raises ModelError when its model cannot be loaded."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt with what its caller wants of it: the parameters of a call that asked for its outputs alone."""

    prompt: Content
    parameters: Mapping[str, Any]
    mark: TokenMark | None = None


@runtime_checkable
class JointGenerator(Generator, Protocol):
    """A generator that makes outputs of several callers side by side, each with parameters of their own."""

    def joint(
        self, asked: Sequence[Asked], gone: Callable[[int], bool], /, *, pieces: bool
    ) -> AsyncIterator[tuple[int, Piece]]:
        """Yield (index of what was asked, piece); the outputs of each are those that a call for it alone yields.

        `gone`: whether nobody waits any more for the outputs of an index; asked between steps, and then they are left out.
        `pieces`: False for outputs as a whole, each with its content in one piece. Raises as a call does, whichever is wrong.
        """


@runtime_checkable
class JoiningGenerator(JointGenerator, Protocol):
    """A joint generator whose calls share its model too: outputs join those that are being made, and leave when they are done.

    Who asks it need not gather callers into one call.
    """

    @property
    def beside(self) -> int:
        """How many outputs it makes side by side, of all calls of `joint` together; the others wait."""


class Marker(Protocol):
    """Puts a mark on an output and reads it back.

    A factory of markers may have the parameters `_modality` (a Modality: what it is to mark), `_operator` (an Operator; None
    while a policy is only being compiled) and `_labels` (lines that the policy's labels put into texts). A policy cannot set
    them.
    """

    @property
    def kind(self) -> str:
        """What kind of mark: `watermark`, `label`, …"""

    @property
    def modality(self) -> Modality:
        """What it can mark."""

    def load(self) -> None:
        """Load what it needs; called once, off the event loop."""

    def __call__(self, content: Content, marking: Marking, /) -> tuple[Content, Mark]:
        """Return the marked content and the mark that was read back from its file.

        Blocking. An image that cannot carry the mark comes back unchanged with `verified` false.
        """

    def reread(self, content: Content, mark: Mark, /) -> str:
        """Why a mark of this marker is not, or no longer, in a content; empty when it is. Called again after the last mark."""


@runtime_checkable
class SamplingMarker(Marker, Protocol):
    """A marker whose mark is put in while the output is made; when it is called it only reads it back."""

    def sampling(self, generator: TokenGenerator, /) -> TokenMark:
        """The mark for outputs of this generator, whose name says from then on how they are read as tokens."""


class Ledger(Protocol):
    """Keeps every decision, and every change of what decisions are made with."""

    @property
    def identity(self) -> str:
        """What tells this ledger from all others; marks name it."""

    async def append(self, decision: Decision, /) -> Receipt:
        """Commit a decision.

        MUST NOT return before the commit is durable. MUST raise LedgerError rather than drop or delay without bound.
        """

    async def begin_stream(self, opening: Opening, /) -> int:
        """Record that an output begins to leave, before its decision; return the entry's index.

        MUST NOT return before the commit is durable. MUST raise LedgerError on failure.
        """

    async def activate(self, policy_id: str, version: int, revision: str, document: str, /) -> None:
        """Record the policy document that decisions with this revision were made under; once a revision.

        MUST NOT return before the commit is durable. MUST raise LedgerError on failure.
        """

    async def register(self, change: BankChange, /) -> None:
        """Record a change of a bank, once a digest that it led to.

        MUST NOT return before the commit is durable. MUST raise LedgerError on failure.
        """

    async def roll_out(self, rollout: Rollout, /) -> int:
        """Record a step of a policy's rollout; return the entry's index.

        MUST NOT return before the commit is durable. MUST raise LedgerError on failure, and for a revision whose document it
        does not have or has of another policy.
        """
