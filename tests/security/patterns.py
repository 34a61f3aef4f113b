"""The regular expressions of the product, and texts that are made, from each of them, to slow it down."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from re import _parser as syntax  # what `re` itself reads patterns with
from types import ModuleType
from typing import Any

import regex

from guard.checks import pii_patterns, secret_patterns

ROOT = Path(__file__).parents[2]
PACKAGES = ("audit", "bulk", "doctor", "evaluation", "generators", "guard", "integrations", "policies", "serving", "terminal")
ODD = "\x01"
"""Ends a text, so that what was repeated comes to nothing."""
COMMON = ("a", "0", " ", "A", "-", "a ", "1 ", "a.", "a@", "中", "\n", "[", "Aa0")
MODULES = {"re": re, "regex": regex}
CALLS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
ANCHORED = {"match", "fullmatch"}
_UNKNOWN_TO_RE = regex.compile(r"\\[pP]\{[^}]*\}")
_PLAIN = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.ASCII


@dataclass(frozen=True)
class Used:
    """One expression, where it stands, and whether it has a time limit there."""

    name: str
    pattern: Any
    limited: bool = False
    how: str = "finditer"
    """What it is asked: only a search begins anew at every place."""


def used() -> list[Used]:
    """Each once: held by modules, written in calls, and those of the recognizers' tables."""
    found = [*_held(), *_written(), *_tables()]
    return list({(one.pattern.pattern, one.pattern.flags): one for one in reversed(found)}.values())[::-1]


def modules() -> Iterator[ModuleType]:
    """All of the product."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if "migrations" not in found.name and not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def _held() -> Iterator[Used]:
    for module in modules():
        asked = _asked(module)
        for name, value in vars(module).items():
            for one in _within(value):
                anchored = isinstance(value, re.Pattern | regex.Pattern) and asked.get(name, {"finditer"}) <= ANCHORED
                yield Used(f"{module.__name__}.{name}", one, how=min(asked[name]) if anchored else "finditer")


def _asked(module: ModuleType) -> dict[str, set[str]]:
    """What a module asks of each of its names."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=asked):
                found.setdefault(name, set()).add(asked)
            case ast.List(elts=some) | ast.Tuple(elts=some) | ast.Call(args=some):
                for one in some:
                    if isinstance(one, ast.Name):
                        found.setdefault(one.id, set()).add("finditer")
            case ast.For(iter=ast.Name(id=name)) | ast.comprehension(iter=ast.Name(id=name)):
                found.setdefault(name, set()).add("finditer")
    return found


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, re.Pattern | regex.Pattern):
        yield value
    elif isinstance(getattr(value, "__self__", None), re.Pattern | regex.Pattern):
        yield value.__self__
    elif isinstance(value, dict):
        yield from _within([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _within(one)


@cache
def calls() -> list[tuple[str, ast.Call]]:
    """Calls of `re` and `regex` that stand in functions, with their file."""
    found = []
    for path in [
        ROOT / "service.py",
        ROOT / "cli.py",
        *(file for name in PACKAGES for file in sorted((ROOT / name).rglob("*.py"))),
    ]:
        tree = ast.parse(path.read_text("utf-8"))
        imports = [one for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
        names = {one.asname or one.name: one.name for one in imports if one.name in MODULES}
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if name in names and method in CALLS:
                    if id(node) in inside:
                        node.func.value.id = names[name]
                        found.append((str(path.relative_to(ROOT)), node))
    return found


def _written() -> Iterator[Used]:
    for file, call in calls():
        if call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
            how = call.func.attr if call.func.attr in ANCHORED else "finditer"
            yield Used(f"{file}:{call.lineno}", MODULES[call.func.value.id].compile(call.args[0].value), how=how)


def _tables() -> Iterator[Used]:
    for spec in secret_patterns.SPECS:
        flags = regex.ASCII | (regex.IGNORECASE if spec.ignore_case else 0)
        yield Used(f"secrets: {spec.name}", regex.compile(spec.pattern, flags), limited=True)
    specs = {spec.name: spec for table in (pii_patterns.GENERIC, *pii_patterns.BY_LANGUAGE.values()) for spec in table}
    for spec in specs.values():
        for number, (pattern, _) in enumerate(spec.patterns):
            compiled = regex.compile(pattern, regex.IGNORECASE if spec.ignore_case else 0)
            yield Used(f"pii: {spec.name}[{number}]", compiled, limited=True)
        if spec.needs.like:
            yield Used(f"pii: {spec.name} needs", re.compile(spec.needs.like))


def attacks(pattern: Any, size: int, sample: int | None = None) -> list[str]:
    """Texts of a size, all or about so many.

    What the expression repeats is repeated behind what it wants before that; so are its own beginnings, and what is common.
    """
    try:
        tree = syntax.parse(_UNKNOWN_TO_RE.sub(r"\\w", pattern.pattern), pattern.flags & _PLAIN)
    except (re.error, OverflowError):
        tree = []
    pumps = [one for one in dict.fromkeys([*(("", one) for one in COMMON), *_pumps(tree, "")]) if one[1]]
    step = 1 if sample is None else max(1, len(pumps) // sample)
    return [(before + pump * (size // len(pump) + 1))[: size - 1] + ODD for before, pump in pumps[::step]]


def _pumps(tree: Any, before: str) -> Iterator[tuple[str, str]]:
    """What comes before, and what may be repeated then."""
    for kind, value in tree:
        name = str(kind)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            least, most, body = value
            if most > 1:
                for one in _variants(body):
                    yield before, one
                    yield "", before + one
            yield from _pumps(body, before)
            before += _example(body) * min(least, 64)
        else:
            for inner in _inner(name, value):
                yield from _pumps(inner, before)
            before += _shown(name, value)
        if before:
            yield "", before


def _inner(name: str, value: Any) -> list[Any]:
    """The parts of what is no repetition."""
    if name == "BRANCH":
        return list(value[1])
    if name == "SUBPATTERN":
        return [value[3]]
    if name == "ATOMIC_GROUP":
        return [value]
    return [value[1]] if name in {"ASSERT", "ASSERT_NOT"} and value[0] > 0 else []


def _variants(body: Any) -> list[str]:
    """Some texts that fit a repeated body: the least, with each optional part, and other signs of its first class."""
    found = [_example(body), _example(body, full=True)]
    if len(body) == 1 and str(body[0][0]) == "IN":
        found += [sign for sign in "a0 -.A_中\n" if _fits(body[0][1], sign)][:4]
    if (
        len(body) == 1
        and str(body[0][0]) == "SUBPATTERN"
        and str(body[0][1][3][0][0] if len(body[0][1][3]) else "") == "BRANCH"
    ):
        found += [_example(one, full=True) for one in body[0][1][3][0][1][1][:8]]
    return [one for one in dict.fromkeys(found) if one]


def _example(tree: Any, *, full: bool = False) -> str:
    """A text that fits; `full`: with one of what need not be there."""
    parts = []
    for kind, value in tree:
        name = str(kind)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            parts.append(_example(value[2], full=full) * min(max(value[0], 1 if full and value[1] else 0), 64))
        else:
            parts.append(_shown(name, value, full=full))
    return "".join(parts)


def _shown(name: str, value: Any, *, full: bool = False) -> str:
    if name == "LITERAL":
        return chr(value)
    if name == "NOT_LITERAL":
        return "a" if value != ord("a") else "b"
    if name == "ANY":
        return "a"
    if name == "IN":
        return next((sign for sign in _signs(value) if _fits(value, sign)), "")
    if name in {"BRANCH", "SUBPATTERN", "ATOMIC_GROUP"}:
        return next((found for one in _inner(name, value) if (found := _example(one, full=full))), "")
    return ""


def _signs(members: Any) -> Iterator[str]:
    yield from "a0A -._/+=@:,\n中"
    for kind, value in members:
        if str(kind) == "LITERAL":
            yield chr(value)
        elif str(kind) == "RANGE":
            yield chr(value[0])


def _fits(members: Any, sign: str) -> bool:
    """Whether a class has it."""
    negated, found = False, False
    for kind, value in members:
        name = str(kind)
        negated |= name == "NEGATE"
        found |= name == "LITERAL" and value == ord(sign)
        found |= name == "RANGE" and value[0] <= ord(sign) <= value[1]
        found |= name == "CATEGORY" and _of(str(value), sign)
    return found != negated


def _of(category: str, sign: str) -> bool:
    has = {"DIGIT": sign.isdecimal(), "SPACE": sign.isspace(), "WORD": sign.isalnum() or sign == "_"}
    return has[category.rpartition("_")[2]] != ("_NOT_" in category)
