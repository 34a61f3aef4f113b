"""What all generators share: the device, checked parameters, seeds, and one worker thread a model.

Parameters of a generator are a frozen dataclass whose fields name their type, default and range:

    @dataclass(frozen=True, slots=True)
    class Sampling:
        seed: int | None = limited(None, 0, MAX_SEED)
        n: int = limited(1, 1, 16)
        temperature: float = limited(1.0, 0.0, 2.0)

    sampling = parse(Sampling, {"n": 4}, generator="language")
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import threading
import types
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from guard.errors import GenerationError, GenguardError, ParameterError
from guard.types import Origin

if TYPE_CHECKING:
    import torch

P = TypeVar("P")
T = TypeVar("T")

MAX_SEED = 2**62
"""The largest seed that is taken; the seeds of a call's later outputs are counted up from it and still fit 64 bits."""

_LIMITS = "guard.limits"
_CHOICES = "guard.choices"
_END = object()


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is CUDA when it is there, else the CPU.

    Raises ParameterError for a name that PyTorch does not know and for a CUDA device that is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    advice = "Use `auto` to take CUDA when it is there and the CPU otherwise."
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ParameterError(f"unknown device {name[:40]!r}, expected auto, cpu, cuda or cuda:N", advice=advice) from None
    if device.type not in {"cpu", "cuda"}:
        raise ParameterError(f"found device type {device.type!r}, expected auto, cpu, cuda or cuda:N", advice=advice)
    there = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= there:
        raise ParameterError(f"found device {name!r}, but this machine has {there} CUDA devices", advice=advice)
    return device


def limited(default: Any, low: float, high: float) -> Any:
    """Dataclass field of a number that has to lie in the closed range from `low` to `high`."""
    return dataclasses.field(default=default, metadata={_LIMITS: (low, high)})


def one_of(default: Any, *choices: Any) -> Any:
    """Dataclass field that has to be one of a few values."""
    return dataclasses.field(default=default, metadata={_CHOICES: choices})


def parse(kind: type[P], given: Mapping[str, Any], *, generator: str) -> P:
    """Build the parameters dataclass `kind` from what a caller gave.

    Fields may be int, float, bool, str, tuple[str, ...], a dict or a list of dicts of JSON, or one of these or None. A whole
    number is taken for a float; nothing else is converted. Raises ParameterError for an unknown name, another type, or a value
    out of its range. The message names numbers, and of a string only its length: a stop sequence or a name may be content.
    """
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    hints = typing.get_type_hints(kind)
    for name in given:
        if name not in fields:
            expected = ", ".join(sorted(fields)) or "none"
            raise ParameterError(f"{generator}: unknown parameter {str(name)[:40]!r}, expected one of: {expected}")
    checked = {name: _check(value, hints[name], fields[name], generator) for name, value in given.items()}
    return kind(**checked)


def _check(value: Any, hint: Any, field: dataclasses.Field[Any], generator: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    where = f"{generator}: parameter {field.name!r}"
    if value is None and type(None) in options:
        return None
    for option in options:
        fits, taken = _convert(value, option)
        if fits:
            break
    else:
        raise ParameterError(f"{where}: found {type(value).__name__}, expected {' or '.join(map(_type_name, options))}")
    low, high = field.metadata.get(_LIMITS, (None, None))
    if low is not None and not low <= taken <= high:
        raise ParameterError(f"{where}: found {_shown(taken)}, expected {low} to {high}")
    choices = field.metadata.get(_CHOICES)
    if choices is not None and taken not in choices:
        raise ParameterError(f"{where}: found {_shown(taken)}, expected one of: {', '.join(map(str, choices))}")
    return taken


def _convert(value: Any, option: Any) -> tuple[bool, Any]:
    if typing.get_origin(option) is tuple:
        fits = isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
        return fits, tuple(value) if fits else None
    if typing.get_origin(option) in {dict, list}:
        items = value if isinstance(value, list) and typing.get_args(option)[0] is not Any else ()
        return isinstance(value, typing.get_origin(option)) and all(isinstance(item, dict) for item in items), value
    if option is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        # An integer too large for a float is out of any range: infinity says so without an OverflowError.
        return fits, (float(value) if abs(value) < 2**1000 or isinstance(value, float) else float("inf")) if fits else None
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, option), value


def _type_name(option: Any) -> str:
    if typing.get_origin(option) is tuple:
        return "a list of strings"
    if typing.get_origin(option) in {dict, list}:
        return "an object" if typing.get_origin(option) is dict else "a list of objects"
    return "null" if option is type(None) else str(option.__name__)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    return str(value) if abs(value) < 10**20 else "a number far too large"


def fresh_seed() -> int:
    """A seed nobody chose, 32 bits."""
    return secrets.randbits(32)


def output_seeds(prompts: int, n: int, seed: int | None) -> list[tuple[int, int]]:
    """(index of the prompt, seed) of each output, in order: seeds count up from `seed`, or from a fresh one.

    An output depends on its own seed alone, not on its neighbours in a batch.
    """
    first = fresh_seed() if seed is None else seed
    return [(index // n, first + index) for index in range(prompts * n)]


def origin(
    generator: str, *, model: str = "", digest: str = "", parameters: Mapping[str, Any] | None = None, seed: int | None = None
) -> Origin:
    """Origin of one output. `seed` is this output's own: asked alone with it, the model makes the output again.

    Parameters that are None are left out, the others are written as text, sorted by name.
    """
    given = {**(parameters or {}), **({} if seed is None else {"seed": seed})}
    pairs = tuple(sorted((name, _written(value)) for name, value in given.items() if value is not None))
    return Origin(generator, model, digest, pairs)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


class Worker:
    """One thread that runs everything of one model, so that the model is never entered twice at once.

    The event loop stays free while it works. Calls that come in together take turns, piece by piece.
    """

    def __init__(self, generator: str) -> None:
        """`generator`: the name that errors carry."""
        self._generator = generator
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Call a blocking function on the thread. Raises GenerationError when it fails with an error that is not ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread(), function)
        except GenguardError:
            raise
        except Exception as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> GenguardError:
        """What an error is told as: our own as they are, of others only the type, for a message may quote the prompt."""
        if isinstance(error, GenguardError):
            return error
        return GenerationError(f"{self._generator}: generation failed with {type(error).__name__}")

    def later(self, function: Callable[[], object]) -> None:
        """Call a blocking function on the thread when it is free, after what waits already. It must not raise."""
        self._thread().submit(function)

    def wait(self, function: Callable[[], T]) -> T:
        """Call a blocking function on the thread, for code without an event loop. Raises what it raises."""
        return self._thread().submit(function).result()

    async def stream(self, start: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """Run a blocking iterator on the thread and yield its items; it is closed when the caller stops early."""
        iterator = await self.run(start)
        try:
            while (item := await self.run(lambda: next(iterator, _END))) is not _END:
                yield typing.cast(T, item)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                # Queued, not awaited: a cancelled caller must not wait for a step in flight, and the thread keeps the order.
                self._thread().submit(close)

    def _thread(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"genguard-{self._generator}")
            return self._executor
