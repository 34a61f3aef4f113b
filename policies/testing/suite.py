"""Reads suites: tests of a whole policy in a file of their own, `shop_test.yaml` beside `shop.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from guard.errors import PolicyError
from guard.rules import Policy, matches
from guard.types import Action
from policies import suite_schema as schema
from policies.load import PACKS, SUITE, open_policy, packs
from policies.loaded import LoadedPolicy
from policies.mistake import Mistakes, Position, describe, listed, one_of
from policies.schema import Picture
from policies.source import MAX_BYTES, Node, read
from policies.wording import note

_Path = tuple[str | int, ...]
_SUFFIXES = (".yaml", ".yml")
"""Of policy files that may have a suite beside them; what was loaded from a text has no file."""


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One test of a suite, with its place."""

    at: Position
    entry: schema.SuiteTest

    @property
    def named(self) -> tuple[str, ...]:
        """The rules that it names."""
        return tuple(rule for part in parts(self.entry.expect) for _, rule in rules_of(part))


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite with the policy it tests."""

    file: str
    loaded: LoadedPolicy
    tests: tuple[SuiteTest, ...]


def find_suites(loaded: LoadedPolicy) -> tuple[Suite, ...]:
    """The suite beside a policy file: `shop_test.yaml` beside `shop.yaml`; none where there is no such file.

    Raises PolicyError for a suite with mistakes, or that tests another policy.
    """
    path = Path(loaded.file)
    beside = path.with_name(f"{path.stem}{SUITE}{path.suffix}")
    if path.suffix not in _SUFFIXES or not beside.is_file():
        return ()
    return (open_suite(beside, [loaded], owner=loaded),)


def open_suite(file: str | Path, known: Sequence[LoadedPolicy] = (), *, owner: LoadedPolicy | None = None) -> Suite:
    """Read a suite, and its policy unless it is one of those that are `known`. `owner`: the policy it has to be about.

    Raises PolicyError for a file that cannot be read, and for one with mistakes, naming all of them by line.
    """
    mistakes = Mistakes(str(file))
    root = read(_text(Path(file)), mistakes)
    if root is None:
        mistakes.raise_if_any()
    assert root is not None
    try:
        entry = schema.SuiteFile.model_validate(root.plain())
    except ValidationError as error:
        note(error, root, mistakes, models=schema.MODELS)
        mistakes.raise_if_any()
        raise
    loaded = _policy(entry.policy, Path(file), root, known, mistakes)
    if owner is not None and loaded is not owner:
        mistakes.add(
            root.place_of(("policy",)), f"policy {entry.policy!r}", f"{Path(owner.file).name!r}, which this file is beside"
        )
    elif loaded is not None:
        _Meaning(loaded, root, mistakes).check(entry)
    mistakes.raise_if_any()
    assert loaded is not None
    tests = tuple(SuiteTest(root.place_of(("tests", index)), test) for index, test in enumerate(entry.tests))
    return Suite(str(file), loaded, tests)


def parts(expected: schema.Expected) -> list[schema.Expectation]:
    """What is expected in the end, and of the prompt."""
    return [expected, *([expected.prompt] if expected.prompt else [])]


def rules_of(expected: schema.Expectation) -> Iterator[tuple[_Path, str]]:
    """The rules that an expectation names, each with where it does."""
    for key, rules in (("rules", expected.rules), ("fires", expected.fires), ("not", expected.not_)):
        yield from (((key, index), rule) for index, rule in enumerate(rules or ()))
    yield from ((("edits", index, "rule"), edit.rule) for index, edit in enumerate(expected.edits or ()) if edit.rule)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise PolicyError(
            f"found no file that can be read ({error.strerror or type(error).__name__}), expected a suite of tests",
            file=str(path),
        ) from None
    except UnicodeDecodeError:
        raise PolicyError("found bytes that are no UTF-8, expected a text file in UTF-8", file=str(path)) from None


def _policy(name: str, suite: Path, root: Node, known: Sequence[LoadedPolicy], mistakes: Mistakes) -> LoadedPolicy | None:
    """The policy that a suite names: a file beside it, or a pack. A policy with mistakes raises its own."""
    path = suite.parent / name
    if name in packs() and not _is_file(path):
        path = PACKS / f"{name}.yaml"
    if not _is_file(path):
        found = f"policy {describe(name)}, which is no file beside the suite and no pack"
        mistakes.add(root.place_of(("policy",)), found, f"a file, or one of the packs: {', '.join(packs())}")
        return None
    return next((one for one in known if Path(one.file).resolve() == path.resolve()), None) or open_policy(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be read
        return False


class _Meaning:
    """Finds what a suite says that its policy cannot mean."""

    def __init__(self, loaded: LoadedPolicy, root: Node, mistakes: Mistakes) -> None:
        self._policy: Policy = loaded.policy
        self._rules = {rule.id: rule for rule in loaded.policy.rules}
        self._root = root
        self._mistakes = mistakes

    def check(self, file: schema.SuiteFile) -> None:
        lines: dict[str, int] = {}
        for index, test in enumerate(file.tests):
            path: _Path = ("tests", index)
            at = self._root.place_of((*path, "name"))
            if test.name in lines:
                self._mistakes.add(
                    at, f"a test named {describe(test.name)} a second time", f"another; line {lines[test.name]} has it"
                )
            lines.setdefault(test.name, at.line)
            self._context(path, test)
            self._expected((*path, "expect"), test.expect, _reads_image(test))
            if test.expect.prompt is not None:
                self._prompt((*path, "expect", "prompt"), test)

    def _context(self, path: _Path, test: schema.SuiteTest) -> None:
        if test.context.stage is not None and test.given.prompt is not None:
            self._add(
                (*path, "context", "stage"), "'stage' for a prompt", "none: a prompt is judged as one, its reply as an output"
            )
        scopes = {"tenant": self._policy.tenants, "generator": self._policy.generators}
        for name, patterns in scopes.items():
            value = getattr(test.context, name)
            if value is not None and not matches(value, patterns):
                expected = f"a {name} that `applies_to` covers ({listed(patterns)})"
                self._add((*path, "context", name), f"{name} {describe(value)}", expected)

    def _prompt(self, path: _Path, test: schema.SuiteTest) -> None:
        assert test.expect.prompt is not None
        if test.given.reply is None:
            self._add(path, "'prompt' under 'expect' without a reply", "what is expected of the prompt under 'expect' itself")
        self._expected(path, test.expect.prompt, isinstance(test.given.prompt, Picture))

    def _expected(self, path: _Path, expected: schema.Expectation, image: bool) -> None:
        for step, rule in rules_of(expected):
            if rule not in self._rules:
                hint = self._mistakes.closest(rule, self._rules)
                self._add((*path, *step), f"unknown rule {describe(rule)}", one_of(self._rules), hint)
        self._agrees(path, expected)
        self._released(path, expected, image)
        for index, edit in enumerate(expected.edits or ()):
            wrong = [name for name in (("text", "span") if image else ("region",)) if getattr(edit, name) is not None]
            for name in wrong:
                kind, right = ("an image", "`region`") if image else ("a text", "`text` or `span`")
                self._add((*path, "edits", index, name), f"{name!r} for {kind}", right)

    def _agrees(self, path: _Path, expected: schema.Expectation) -> None:
        """Whether what is said of rules can be true together."""
        for index, rule in enumerate(expected.fires or ()):
            if expected.rules is not None and rule not in expected.rules:
                self._add(
                    (*path, "fires", index), f"rule {rule!r}, which 'rules' does not have", "it in both, or 'rules' alone"
                )
        for index, rule in enumerate(expected.not_ or ()):
            if rule in (*(expected.rules or ()), *(expected.fires or ())):
                self._add((*path, "not", index), f"rule {rule!r}, which is expected to fire as well", "one of both")

    def _released(self, path: _Path, expected: schema.Expectation, image: bool) -> None:
        """Whether action, message and what is released can be true together."""
        if expected.released is not None and image:
            self._add((*path, "released"), "'released' for an image", "`edits` with their regions")
        if expected.action is None:
            return
        leaves = Action(expected.action).releases
        if expected.released is not None and not leaves:
            self._add((*path, "released"), f"'released' with action {expected.action!r}", "an action that releases, or none")
        if expected.message is not None and leaves:
            self._add((*path, "message"), f"'message' with action {expected.action!r}", "it with 'review' or 'block' only")

    def _add(self, path: _Path, found: str, expected: str, hint: str = "") -> None:
        self._mistakes.add(self._root.place_of(path), found, expected, hint)


def _reads_image(test: schema.SuiteTest) -> bool:
    """Whether what is decided in the end is an image."""
    given = test.given
    last = given.reply if given.reply is not None else given.prompt
    return given.image is not None or isinstance(last, Picture)
