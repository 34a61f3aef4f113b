"""Finds checks, generators and markers by name, and refuses two of one name.

Built-in parts are modules that register themselves when they are first asked for, so that nothing heavy is imported early.
Third parties add their own through the entry point groups `genguard.checks`, `genguard.generators`, `genguard.markers`:
each entry point names the module to import.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, Generic, NewType, TypeVar, get_args

from guard.errors import RegistryError
from guard.protocols import Check, Generator, Marker

T = TypeVar("T")
Recipe = NewType("Recipe", Mapping[str, Any])
"""A check that another one is made of: `use`, its registered name, and its parameters. A parameter of the type
`Mapping[str, Recipe]` is compiled as a policy's own `checks` are, so mistakes in it are named with their lines."""

FLOOR = "floor"
Floor = Annotated[int, FLOOR]
"""A score, per mille, below which a check leaves its findings out, and all that its parameter does: with a lower one it reports
these findings besides the others, which stay as they are."""


class Registry(Generic[T]):
    """Factories by name. A factory's keyword arguments are the parameters a policy may give."""

    def __init__(self, kind: str, modules: Mapping[str, str]) -> None:
        """`modules`: built-in names with the module that registers each."""
        self.kind = kind
        self._builtin = dict(modules)
        self._modules = dict(modules)
        self._factories: dict[str, Callable[..., T]] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorate a factory. Raises RegistryError when the name is taken by another one."""

        def add(factory: Callable[..., T]) -> Callable[..., T]:
            known = self._factories.get(name)
            taken, home = (_where(known) if known else ""), self._builtin.get(name, "")
            if home and not f"{factory.__module__}.".startswith(f"{home}."):
                taken = home  # whether or not the built-in one was imported yet
            if taken and taken != _where(factory):
                raise RegistryError(
                    f"{self.kind} {name!r} is registered twice: by {taken} and by {_where(factory)}",
                    advice="Rename one of them; a name stands for one thing in every policy and every ledger entry.",
                )
            self._factories[name] = factory
            return factory

        return add

    def names(self) -> tuple[str, ...]:
        """All known names, sorted."""
        self._discover()
        return tuple(sorted({*self._modules, *self._factories}))

    def factory(self, name: str) -> Callable[..., T]:
        """The factory of that name. Raises RegistryError when there is none, or its module cannot be used."""
        if name not in self._factories:
            self._discover()
            if name not in self._modules:
                raise RegistryError(
                    f"unknown {self.kind} {name!r}, expected one of: {', '.join(self.names())}",
                    advice=f"Correct the name, or install the package that provides this {self.kind}.",
                )
            self._import(name, self._modules[name])
        return self._factories[name]

    def signature(self, name: str) -> inspect.Signature:
        """Parameters of a factory, with evaluated annotations."""
        return inspect.signature(self.factory(name), eval_str=True)

    def floor(self, name: str) -> str:
        """The factory's parameter of the type `Floor`; empty when it has none. Raises RegistryError as `factory` does."""
        found = self.signature(name).parameters.values()
        return next((one.name for one in found if FLOOR in get_args(one.annotation)[1:]), "")

    def make(self, name: str, parameters: Mapping[str, Any] | None = None) -> T:
        """Build one. Raises RegistryError for parameters the factory does not take."""
        factory, given = self.factory(name), dict(parameters or {})
        try:
            inspect.signature(factory).bind(**given)
        except TypeError as error:
            raise RegistryError(f"{self.kind} {name!r}: {error}, expected {self.signature(name)}") from None
        return factory(**given)

    def _import(self, name: str, module: str) -> None:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise RegistryError(
                f"{self.kind} {name!r} cannot be imported from {module}: {error}",
                advice="Install what it needs, or leave it out of the policy.",
            ) from error
        if name not in self._factories:
            raise RegistryError(f"module {module} registers no {self.kind} {name!r}, as its entry says")

    def _discover(self) -> None:
        if self._discovered:
            return
        for point in entry_points(group=f"genguard.{self.kind}s"):
            if self._modules.setdefault(point.name, point.module) != point.module:
                raise RegistryError(
                    f"{self.kind} {point.name!r} is provided twice: by {self._modules[point.name]} and by {point.module}"
                )
        self._discovered = True


def _where(factory: Callable[..., Any]) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


checks: Registry[Check] = Registry(
    "check",
    {
        "toxicity": "guard.checks.toxicity",
        "pii": "guard.checks.pii",
        "image_match": "guard.checks.image_match",
        "text_match": "guard.checks.text_match",
        "secrets": "guard.checks.secrets",
        "classifier": "guard.checks.classifier",
        "moderation_endpoint": "guard.checks.moderation_endpoint",
        "llm_judge": "guard.checks.llm_judge",
        "fusion": "guard.checks.fusion",
        "transcript": "guard.checks.transcript",
        "prompt_injection": "guard.checks.prompt_injection",
        "invisible_characters": "guard.checks.invisible_characters",
        "prompt_leakage": "guard.checks.prompt_leakage",
    },
)
generators: Registry[Generator] = Registry(
    "generator",
    {
        "language": "generators.language",
        "diffusion": "generators.diffusion",
        "gan": "generators.gan",
        "vae": "generators.vae",
        "audio": "generators.audio",
        "echo": "generators.echo",
        "openai": "generators.openai",
        "openai_images": "generators.openai_images",
        "python": "generators.function",
    },
)
markers: Registry[Marker] = Registry(
    "marker",
    {
        "watermark": "guard.marks.watermark",
        "text_watermark": "guard.marks.text_watermark",
        "label": "guard.marks.label",
        "aigc": "guard.marks.aigc",
        "iptc": "guard.marks.iptc",
        "c2pa": "guard.marks.c2pa",
    },
)
