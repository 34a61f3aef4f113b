"""The reference of checks, generators and marks, from what is registered."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from guard import registry
from guard.errors import GenguardError


def page() -> str:
    """One section a part, with its parameters as a policy may give them."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Checks, generators and marks"
    yield ""
    yield "Made from the code. What policies do with these names is told in [policy.md](../policy.md),"
    yield "[generators.md](../generators.md) and [marks.md](../marks.md)."
    for title, known in (("Checks", registry.checks), ("Generators", registry.generators), ("Marks", registry.markers)):
        yield from ("", f"## {title}")
        for name in known.names():
            yield from _part(known, name)


def _part(known: registry.Registry[Any], name: str) -> Iterator[str]:
    factory, signature = known.factory(name), known.signature(name)
    yield from ("", f"### `{name}`", "")
    yield from _said(factory)
    yield from _reports(known, name)
    parameters = list(signature.parameters.values())
    if not parameters:
        return
    yield from ("", "| parameter | type | default |", "|---|---|---|")
    for one in parameters:
        default = "required" if one.default is inspect.Parameter.empty else f"`{one.default!r}`"
        yield f"| `{one.name}` | `{_cell(_type(one.annotation))}` | {_cell(default)} |"


def _said(factory: Any) -> Iterator[str]:
    """What the docstring says; where the factory is a class, that of the class."""
    yield from (inspect.getdoc(factory) or "").splitlines()


def _reports(known: registry.Registry[Any], name: str) -> Iterator[str]:
    """What a check reads and which labels it reports, where it can be made without being told anything."""
    if known is not registry.checks:
        return
    try:
        made = known.make(name)
    except (GenguardError, OSError):
        return
    reads = ", ".join(sorted(one.value for one in made.modalities))
    yield from ("", f"Reads: {reads}. Version: {made.version}.")
    labels = made.labels
    if labels:
        yield from ("", "Labels, with their categories: " + ", ".join(f"`{label}` ({labels[label]})" for label in labels) + ".")


def _type(annotation: Any) -> str:
    """As a policy's author would say it: what a name of ours stands for, rather than the name."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated or isinstance(annotation, NewType):
        return _type(inner[0] if inner else annotation.__supertype__)
    if origin is Literal:
        return " or ".join(repr(one) for one in inner)
    if origin in {Union, UnionType}:
        return " or ".join(_type(one) for one in inner)
    if origin is not None and inner:
        shown = [_type(one) for one in inner if one is not Ellipsis]
        return f"{getattr(origin, '__name__', origin)}[{', '.join(shown)}]"
    plain = {inspect.Parameter.empty: "any", NoneType: "nothing"}
    return plain[annotation] if annotation in plain else str(getattr(annotation, "__name__", annotation))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
