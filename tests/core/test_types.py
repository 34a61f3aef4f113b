"""guard.types, guard.rules, guard.errors, guard.taxonomy: the values everything is made of."""

from __future__ import annotations

import dataclasses

import pytest

import guard
from guard import errors, rules, types
from guard.errors import GenguardError, PolicyError, describe
from guard.protocols import Check, Generator
from guard.rules import CheckSpec
from guard.taxonomy import CATEGORIES
from guard.types import Action, Content, Modality, Request, Stage
from tests.fakes import FakeCheck, ListGenerator, image, png, policy, spec, text

VALUES = [
    one for module in (types, rules) for one in vars(module).values() if isinstance(one, type) and dataclasses.is_dataclass(one)
]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_every_value_is_frozen_and_slotted(kind: type) -> None:
    """What was measured or decided is never changed afterwards, and a mistyped field is an error."""
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)


def test_actions_are_ordered_from_allow_to_block() -> None:
    """Only the three weakest let a content leave."""
    assert [action.value for action in sorted(Action, key=lambda one: one.strength)] == [
        "allow", "label", "redact", "review", "block",
    ]  # fmt: skip
    assert {action for action in Action if action.releases} == {Action.ALLOW, Action.LABEL, Action.REDACT}


def test_a_content_is_compared_by_identity_and_hides_its_data() -> None:
    """Two callers' equal texts are two contents, and no log line shows one."""
    one, other = text("topsecret"), text("topsecret")
    assert one != other
    assert len({one, other}) == 2
    assert "topsecret" not in repr(one)
    assert "PNG" not in repr(image())


def test_a_content_gives_what_it_holds_and_nothing_else() -> None:
    """Text or file, length in code points or bytes, and the bytes that are committed to."""
    words, picture = text("né😀"), image(png())
    assert (words.text, words.length, words.payload()) == ("né😀", 3, "né😀".encode())
    assert (picture.file, picture.length, picture.payload()) == (png(), len(png()), png())
    with pytest.raises(TypeError, match="expected a text"):
        _ = picture.text
    with pytest.raises(TypeError, match="expected a file"):
        _ = words.file


def test_a_payload_of_no_unicode_is_still_bytes() -> None:
    """A refused input can be committed to as well."""
    broken = Content(Modality.TEXT, "\ud800", "text/plain", Stage.PROMPT, types.CALLER, Request("r"))
    assert broken.payload() == b"\xed\xa0\x80"


def test_the_protocols_recognise_their_implementations() -> None:
    """A class needs no base class to be a check or a generator."""
    assert isinstance(FakeCheck(), Check)
    assert isinstance(ListGenerator(), Generator)
    assert not isinstance(object(), Check)


def test_a_check_line_applies_at_its_stages_to_its_modalities() -> None:
    """Both have to fit."""
    line = CheckSpec("a", "a", stages=frozenset({Stage.OUTPUT}), modalities=frozenset({Modality.TEXT}))
    assert line.applies(Stage.OUTPUT, Modality.TEXT)
    assert not line.applies(Stage.PROMPT, Modality.TEXT)
    assert not line.applies(Stage.OUTPUT, Modality.IMAGE)


@pytest.mark.parametrize(
    ("generators", "tenants", "covered"),
    [
        (("*",), ("*",), True),
        (("li?t",), ("acme-*",), True),
        (("other", "list"), ("*",), True),
        (("LIST",), ("*",), False),
        (("list",), ("globex",), False),
        ((), ("*",), False),
    ],
)
def test_a_policy_covers_by_patterns_case_sensitively(
    generators: tuple[str, ...], tenants: tuple[str, ...], covered: bool
) -> None:
    """Both generator and tenant have to match one of their patterns."""
    assert policy([spec("a")], generators=generators, tenants=tenants).covers("list", "acme-1") is covered


def test_a_check_blocks_on_failure_unless_the_policy_says_otherwise() -> None:
    """The default fails closed."""
    assert CheckSpec("a", "a").on_failure is Action.BLOCK
    assert rules.MarkSpec("m", Modality.IMAGE).on_unmarkable is Action.BLOCK


ERRORS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, GenguardError)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_gives_advice_apart_from_its_message(kind: type[GenguardError]) -> None:
    """`str` says what was found and expected, `diagnostics` what to do as well; the tree is drawn in the docstring."""
    error = kind("found 1, expected 2", advice="Give two.")
    assert str(error) == "found 1, expected 2"
    assert error.diagnostics() == "found 1, expected 2\nGive two."
    assert kind("found 1").diagnostics() == "found 1"
    assert kind.__name__ in (errors.__doc__ or "")


def test_a_policy_error_names_file_and_line() -> None:
    """As compilers do."""
    assert str(PolicyError("unknown key", file="p.yaml", line=7)) == "p.yaml:7: unknown key"
    assert str(PolicyError("unknown key", file="p.yaml")) == "p.yaml: unknown key"


def test_only_our_own_errors_are_described_in_full() -> None:
    """A stranger's message may quote content."""
    assert describe(PolicyError("unknown key")) == "PolicyError: unknown key"
    assert describe(ValueError("topsecret")) == "ValueError"


def test_categories_have_unique_names_and_titles() -> None:
    """A finding's category is found by its name."""
    assert all(name == category.name for name, category in CATEGORIES.items())
    assert len({category.title for category in CATEGORIES.values()}) == len(CATEGORIES)
    assert {"input", "operation", "privacy", "intellectual_property"} <= set(CATEGORIES)


def test_the_package_exports_what_it_says() -> None:
    """Sorted, each importable, and nothing that is not there."""
    assert list(guard.__all__) == sorted(guard.__all__)
    assert all(getattr(guard, name) is not None for name in guard.__all__)
    with pytest.raises(AttributeError, match="no_such"):
        _ = guard.no_such
