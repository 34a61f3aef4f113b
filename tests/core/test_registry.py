"""guard.registry: parts by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from guard import registry
from guard.errors import RegistryError
from guard.registry import Floor, Registry, checks


@dataclass
class Part:
    """Something that is registered."""

    size: int = 1
    name: str = ""


def part(size: int = 1, *, name: str = "") -> Part:
    return Part(size, name)


def other(size: int = 1) -> Part:
    return Part(size)


@dataclass
class FakePoint:
    """An installed package's entry point."""

    name: str
    module: str


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that packages provide these entry points, with modules that register what they say."""

    def add(*points: tuple[str, str, str]) -> None:
        """(name, module, name that the module registers)"""
        monkeypatch.setattr(
            registry,
            "entry_points",
            lambda group: [FakePoint(name, module) for name, module, _ in points] if group == "genguard.parts" else [],
        )
        known = {module: registers for _, module, registers in points}

        def load(module: str) -> ModuleType:
            if module not in known:
                raise ModuleNotFoundError(f"No module named {module!r}")
            made = ModuleType(module)
            if known[module]:
                factory = _made_in(module)
                current[0].register(known[module])(factory)
            return made

        monkeypatch.setattr(importlib, "import_module", load)

    return add


current: list[Registry[Part]] = []


def _made_in(module: str) -> Callable[[], Part]:
    def made() -> Part:
        return Part(name=module)

    made.__module__ = module
    return made


def fresh(builtin: dict[str, str] | None = None) -> Registry[Part]:
    current[:] = [Registry("part", builtin or {})]
    return current[0]


def test_a_registered_part_is_built_with_its_parameters() -> None:
    """The factory's arguments are what a policy may give."""
    parts = fresh()
    parts.register("one")(part)
    assert parts.make("one") == Part(1, "")
    assert parts.make("one", {"size": 3, "name": "x"}) == Part(3, "x")
    assert parts.factory("one") is part
    assert parts.names() == ("one",)


def test_two_parts_of_one_name_are_refused() -> None:
    """A name stands for one thing in every policy and every entry; the same factory again is no second one."""
    parts = fresh()
    parts.register("one")(part)
    parts.register("one")(part)
    with pytest.raises(RegistryError, match="registered twice") as caught:
        parts.register("one")(other)
    assert "part" in str(caught.value)
    assert "other" in str(caught.value)
    assert parts.factory("one") is part


def test_the_name_of_a_built_in_part_cannot_be_taken() -> None:
    """Not even before the built-in one was imported."""
    parts = fresh({"one": "home.of.one"})
    with pytest.raises(RegistryError, match=r"registered twice: by home\.of\.one"):
        parts.register("one")(part)


def test_an_unknown_name_lists_the_known_ones() -> None:
    """Sorted, built-in ones included, though they were never imported."""
    parts = fresh({"zebra": "no.such.module"})
    parts.register("one")(part)
    with pytest.raises(RegistryError, match="unknown part 'tow', expected one of: one, zebra") as caught:
        parts.factory("tow")
    assert caught.value.advice


@pytest.mark.parametrize("wrong", [{"sise": 1}, {"size": 1, "more": 2}])
def test_a_parameter_that_a_part_does_not_take_is_refused(wrong: dict[str, Any]) -> None:
    """With what it would take."""
    parts = fresh()
    parts.register("one")(part)
    with pytest.raises(RegistryError, match=r"expected \(size: int = 1"):
        parts.make("one", wrong)


def test_a_missing_parameter_is_refused() -> None:
    """A factory may demand one."""

    def demanding(*, bank: str) -> Part:
        return Part(name=bank)

    parts = fresh()
    parts.register("one")(demanding)
    with pytest.raises(RegistryError, match="bank"):
        parts.make("one")
    assert parts.make("one", {"bank": "works"}) == Part(name="works")


def test_signatures_have_evaluated_annotations() -> None:
    """A policy's parameters are checked against types, not against their spelling."""
    parts = fresh()
    parts.register("one")(part)
    assert parts.signature("one").parameters["size"].annotation is int


def test_floors_are_known_by_their_type() -> None:
    """Which parameter only leaves weak findings out; those that also settle overlaps are none."""
    parts = fresh()

    def floored(*, least: Floor = 5, size: int = 1) -> Part:
        return Part(size + 0 * least)

    parts.register("floored")(floored)
    parts.register("part")(part)
    assert (parts.floor("floored"), parts.floor("part")) == ("least", "")
    assert {name: checks.floor(name) for name in ("toxicity", "invisible_characters", "pii", "secrets")} == {
        "toxicity": "report_from",
        "invisible_characters": "min_score",
        "pii": "",
        "secrets": "",
    }


def test_parts_of_other_packages_are_found_through_entry_points(install: Callable[..., None]) -> None:
    """Their module is imported when the part is first asked for."""
    parts = fresh()
    install(("theirs", "their.module", "theirs"))
    assert parts.names() == ("theirs",)
    assert parts.make("theirs") == Part(name="their.module")


def test_an_entry_point_cannot_take_a_name(install: Callable[..., None]) -> None:
    """Neither a built-in one nor another package's; it is refused every time, not only the first."""
    parts = fresh({"one": "home.of.one"})
    install(("one", "their.module", "one"))
    for _ in range(2):
        with pytest.raises(RegistryError, match=r"provided twice: by home\.of\.one and by their\.module"):
            parts.names()
    parts = fresh()
    install(("two", "first.module", "two"), ("two", "second.module", "two"))
    for _ in range(2):
        with pytest.raises(RegistryError, match="provided twice"):
            parts.factory("two")


def test_a_module_that_cannot_be_imported_is_named(install: Callable[..., None]) -> None:
    """A missing dependency is an error of ours, with the reason."""
    parts = fresh({"one": "no.such.module"})
    install()
    with pytest.raises(RegistryError, match=r"part 'one' cannot be imported from no\.such\.module: No module named"):
        parts.make("one")


def test_a_module_that_does_not_register_what_it_promises_is_named(install: Callable[..., None]) -> None:
    """The name is known, and yet there is nothing."""
    parts = fresh()
    install(("theirs", "their.module", ""))
    with pytest.raises(RegistryError, match=r"their\.module registers no part 'theirs'"):
        parts.make("theirs")


def test_the_built_in_names_are_known_without_importing_anything() -> None:
    """Asking which checks there are loads none of them."""
    before = set(sys.modules)
    assert {"toxicity", "pii", "image_match"} <= set(registry.checks.names())
    assert {"language", "diffusion", "gan", "echo"} <= set(registry.generators.names())
    assert "watermark" in registry.markers.names()
    assert not {name for name in set(sys.modules) - before if name.startswith(("guard.checks.", "generators."))}
