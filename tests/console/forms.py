"""The sentences of the core, read from its sources: every text with words in it, with `{1}`, `{2}` … for what is put in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST = 16
"""Of the ways in which one expression can come out."""
_WORDS = re.compile(r"[A-Za-z]{2,}[,:;]? (?:[a-zA-Z`]|\{\d)|\} [A-Za-z]{2,}")
_NAMED = re.compile(r"\{\{(\w+)\}\}")
_UNSHOWN = {"description", "examples", "help", "pattern", "summary"}
"""Keywords whose texts are documentation."""
_UNHEARD = {"compile", "debug", "info", "warning", "error", "exception", "execute", "exec_driver_sql", "text", "getLogger"}
"""Methods whose texts are patterns, log lines and SQL."""


@cache
def forms(path: str, *, documented: bool = False) -> tuple[str, ...]:
    """All texts of a module that may be told, in order. `documented`: with what describes fields."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    quiet = {id(one) for node in ast.walk(tree) for one in _quiet(node, documented=documented)}
    found: dict[str, None] = {}
    for node in _outermost(tree, quiet):
        for form in _variants(node):
            text = _numbered(re.sub(r"\s*\n\s+", " ", form))
            found.setdefault(text)
    return tuple(found)


def spoken(form: str) -> bool:
    """Whether a text is a sentence, or a part of one: two words at least."""
    return bool(_WORDS.search(form)) and not re.search(r"<[a-z!?/]|\\|\^|\(\?|SELECT |PRAGMA |=\?", form)


def bare(form: str) -> str:
    """A form without the facts at its ends and the numbers of the others, for comparing parts with wholes."""
    text = re.sub(r"\{\d[wq]?\}", "{}", form)
    while text != (text := text.strip().removeprefix("{}").removesuffix("{}")):
        pass
    return text.strip()


def _quiet(node: ast.AST, *, documented: bool) -> Iterator[ast.AST]:
    """Parts of a node whose texts nobody is told."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    elif isinstance(node, ast.keyword) and node.arg in ({"examples"} if documented else _UNSHOWN):
        yield from ast.walk(node.value)
    elif isinstance(node, ast.Assert) and node.msg is not None:
        yield from ast.walk(node.msg)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _UNHEARD:
        of = node.func.value
        if node.func.attr not in {"warning", "error"} or (isinstance(of, ast.Name) and of.id == "_log"):
            for one in node.args:
                yield from ast.walk(one)
    elif isinstance(node, ast.FormattedValue) and node.format_spec is not None:
        yield from ast.walk(node.format_spec)


def _outermost(node: ast.AST, quiet: set[int]) -> Iterator[ast.expr]:
    """Texts, and what is put together of them, each as a whole, and then what is inside of its facts."""
    if id(node) in quiet:
        return
    if _text(node):
        assert isinstance(node, ast.expr)
        yield node
        yield from _inside(node, quiet)
        return
    for child in ast.iter_child_nodes(node):
        yield from _outermost(child, quiet)


def _text(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) or _text(node.right)
    if isinstance(node, ast.IfExp):
        return _text(node.body) and _text(node.orelse)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _inside(node: ast.AST, quiet: set[int]) -> Iterator[ast.expr]:
    if isinstance(node, ast.FormattedValue):
        yield from _outermost(node.value, quiet)
        return
    if isinstance(node, ast.BinOp | ast.IfExp):
        parts: list[ast.AST] = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.test, node.body, node.orelse]
        for part in parts:
            yield from _inside(part, quiet) if _text(part) else _outermost(part, quiet)
        return
    for child in ast.iter_child_nodes(node):
        yield from _inside(child, quiet)


def _variants(node: ast.expr) -> list[str]:
    """The ways in which an expression can come out, facts as `{0}`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [_NAMED.sub("{0}", _escaped(node.value))]
    if isinstance(node, ast.JoinedStr):
        return ["".join(_escaped(str(one.value)) if isinstance(one, ast.Constant) else "{0}" for one in node.values)]
    if isinstance(node, ast.IfExp):
        return [*_variants(node.body), *_variants(node.orelse)][:MOST]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return ["".join(pair) for pair in product(_variants(node.left), _variants(node.right))][:MOST]
    return ["{0}"]


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _numbered(form: str) -> str:
    count = 0

    def number(_: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"{{{count}}}"

    return re.sub(r"\{0\}", number, form)
