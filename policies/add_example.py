"""Adds an example beside a rule, in the text of the file: everything else, comments included, stays as it is.

Places come from the YAML parser; what was written is read back, and refused unless it is the same policy with one example more.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import yaml

from guard.errors import PolicyError
from policies.load import read_policy
from policies.loaded import RuleTest

Kind = Literal["flags", "passes"]


def add_example(file: Path, rule: str, kind: Kind, given: str | Path, *, stage: str = "") -> int:
    """Write an example beside a rule, and return its line, from 1.

    `given`: a text, or an image file as a path relative to the policy's folder. Raises PolicyError when the file has no such
    rule of its own, is no policy, or would not be the same policy afterwards; then nothing is written.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise PolicyError(f"cannot read the policy ({why})", file=str(file)) from None
    before = read_policy(text, file=str(file), folder=file.parent)
    written = with_example(text, rule, kind, given, stage=stage, file=str(file))
    after = read_policy(written, file=str(file), folder=file.parent)
    new = [one for one in after.tests if _fits(one, rule, kind, given)]
    old = [one for one in before.tests if _fits(one, rule, kind, given)]
    same = after.policy.revision == before.policy.revision and len(after.tests) == len(before.tests) + 1
    if not same or len(new) != len(old) + 1:
        raise PolicyError(
            f"cannot add an example to rule {rule!r} without changing more", file=str(file), advice="Add it by hand."
        )
    spare = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        spare.write_bytes(written.encode())
        shutil.copymode(file, spare)
        spare.replace(file)
    finally:
        spare.unlink(missing_ok=True)
    return max(one.at.line for one in new)


def with_example(text: str, rule: str, kind: Kind, given: str | Path, *, stage: str = "", file: str = "policy") -> str:
    """The text of a policy with one example more. Raises PolicyError when it has no such rule."""
    node = _rule(yaml.compose(text, Loader=yaml.SafeLoader), rule)
    if node is None:
        raise PolicyError(f"found no rule {rule!r} in this file, expected one of its own", file=file)
    content = _quoted(given) if isinstance(given, str) else f"{{image: {_quoted(given.as_posix())}}}"
    fields = [f"{kind}: {content}", *([f"stage: {stage}"] if stage else [])]
    tests = next((value for key, value in node.value if key.value == "tests"), None)
    flow = "{" + ", ".join(fields) + "}"
    if tests is not None and tests.flow_style:
        return _before_end(text, tests, flow)
    if tests is not None and tests.value:
        return _lines_after(text, tests, _item(fields, tests.start_mark.column))
    if tests is not None:
        raise PolicyError(f"rule {rule!r} has `tests` without any, expected examples or no such key", file=file)
    if node.flow_style:
        return _before_end(text, node, f"tests: [{flow}]")
    column = node.start_mark.column
    return _lines_after(text, node, [" " * column + "tests:", *_item(fields, column + 2)])


def _item(fields: list[str], column: int) -> list[str]:
    first, *rest = fields
    return [" " * column + f"- {first}", *(" " * column + f"  {one}" for one in rest)]


def _rule(root: Any, rule: str) -> yaml.MappingNode | None:
    if not isinstance(root, yaml.MappingNode):
        return None
    rules = next((value for key, value in root.value if key.value == "rules"), None)
    for node in rules.value if isinstance(rules, yaml.SequenceNode) else []:
        if isinstance(node, yaml.MappingNode) and any(key.value == "id" and value.value == rule for key, value in node.value):
            return node
    return None


def _before_end(text: str, node: yaml.CollectionNode, what: str) -> str:
    """Into a collection in brackets, as its last part."""
    at = node.end_mark.index - 1
    head = text[:at].rstrip()
    joint = "" if not node.value else " " if head.endswith(",") else ", "
    return head + joint + what + text[at:]


def _lines_after(text: str, node: yaml.CollectionNode, lines: list[str]) -> str:
    """After the last line of a collection, before the comments and empty lines that follow it."""
    end = _last(node).end_mark
    newline = "\r\n" if "\r\n" in text else "\n"
    at = end.index
    if end.column:
        at = text.find("\n", end.index) + 1 or len(text)
    else:  # a block scalar ends where the next thing begins
        kept = text[:at].rstrip()
        at = text.find("\n", len(kept)) + 1 or len(text)
    head = text[:at] if text[:at].endswith("\n") else text[:at] + newline
    return head + "".join(line + newline for line in lines) + text[at:]


def _last(node: yaml.Node) -> yaml.Node:
    """The last leaf: a block collection's own end is where the next token begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last(last[1] if isinstance(last, tuple) else last)
    return node


def _quoted(text: str) -> str:
    """A text in double quotes, whatever is in it."""
    return '"' + "".join(_letter(one) for one in text) + '"'


def _letter(letter: str) -> str:
    if letter in '"\\\n\t\r':
        return json.dumps(letter)[1:-1]
    return letter if letter.isprintable() else f"\\U{ord(letter):08X}"


def _fits(test: RuleTest, rule: str, kind: str, given: str | Path) -> bool:
    found = test.text if isinstance(given, str) else test.image
    return (test.rule, test.expects) == (rule, kind) and (
        found == given if isinstance(given, str) else found is not None and Path(str(found)).name == given.name
    )
