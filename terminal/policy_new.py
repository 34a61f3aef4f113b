"""`genguard policy new`: a few questions, and a policy that loads."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guard.errors import InputError
from guard.types import Action, Modality

if TYPE_CHECKING:
    from guard.rules import Policy
    from policies.new import Answers, Questions

BOTH = frozenset({Modality.TEXT, Modality.IMAGE})
CONTENTS = {"text": frozenset({Modality.TEXT}), "images": frozenset({Modality.IMAGE}), "both": BOTH}


@dataclass(frozen=True, slots=True)
class _Given:
    """What options said; None where they did not."""

    pack: str | None
    name: str | None
    owner: str | None
    languages: str | None
    text: bool | None
    images: bool | None
    on_personal_data: str | None
    strictness: str | None
    label: str | None


def add(app: typer.Typer) -> None:
    """Add the command to `genguard policy`."""
    app.command("new")(new)


def new(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; NAME.yaml by default. Nothing is written over.")
    ] = None,
    pack: Annotated[str | None, typer.Option("--from", help="The pack to begin from.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the policy.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    languages: Annotated[str | None, typer.Option(help="Languages of the texts, the main one first: en,zh.")] = None,
    text: Annotated[bool | None, typer.Option("--text/--no-text", help="Whether it judges texts.")] = None,
    images: Annotated[bool | None, typer.Option("--images/--no-images", help="Whether it judges images.")] = None,
    on_personal_data: Annotated[str | None, typer.Option(help="redact, block or review.")] = None,
    strictness: Annotated[str | None, typer.Option(help="low, medium or high: how readily scores make a rule fire.")] = None,
    label: Annotated[str | None, typer.Option(help="Visible label: gb45438, eu, plain or none.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; the pack answers what options do not.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON; asks nothing.")] = False,
) -> None:
    """Begin a policy from a pack: asks what options do not say, writes a file with comments and tests, and loads it."""
    from policies import new as making

    given = _Given(pack, name, owner, languages, text, images, on_personal_data, strictness, label)
    proposed = name or (file.stem if file else "house")
    if file is not None and file.exists():
        raise _there(file)
    answers = _answers(given, proposed, _defaults if yes or as_json else _asker())
    target = file or Path(f"{answers.name}.yaml")
    made = making.write(answers, file=str(target))
    try:
        with target.open("x", encoding="utf-8") as stream:
            stream.write(made)
    except FileExistsError:
        raise _there(target) from None
    _show(target, as_json=as_json)


def _there(target: Path) -> InputError:
    return InputError(f"found {target} there already, expected a file that is not there: nothing is written over")


_Ask = Callable[[str, str, str, tuple[str, ...]], str]
"""The option that answers it, a question, the answer that is proposed, and the answers that there are (none: any text)."""


def _asker() -> _Ask:
    if not sys.stdin.isatty():
        return _refuse
    return _question


def _question(_option: str, question: str, proposed: str, choices: tuple[str, ...]) -> str:
    shown = f"{question} ({', '.join(choices)})" if choices else question
    while True:
        answer = str(typer.prompt(shown, default=proposed, err=True)).strip()
        if not choices or answer in choices:
            return answer
        typer.echo(f"found {answer!r}, expected one of: {', '.join(choices)}", err=True)


def _refuse(option: str, _question: str, proposed: str, _choices: tuple[str, ...]) -> str:
    raise InputError(f"found no {option} and no terminal to ask on, expected it, or --yes (which means {proposed!r})")


def _defaults(_option: str, _question: str, proposed: str, _choices: tuple[str, ...]) -> str:
    return proposed


def _answers(given: _Given, proposed: str, ask: _Ask) -> Answers:
    from policies import new as making
    from policies import packs

    if given.pack is None and ask is _question:
        _introduce()
    pack = given.pack or ask("--from", "Which pack to begin from?", "enterprise", packs())
    asked = making.questions(pack)
    name = given.name or ask("--name", "What is the policy called?", proposed, ())
    owner = given.owner or ask("--owner", "Who answers for it?", "trust-and-safety", ())
    modalities = _contents(given, asked, ask)
    texts = Modality.TEXT in (modalities or asked.modalities)
    languages = given.languages
    if languages is None and texts:
        languages = ask("--languages", "Languages of the texts, the main one first?", ",".join(asked.languages), ())
    reaction, strictness = given.on_personal_data, given.strictness
    if reaction is None and texts and asked.personal_data:
        reaction = ask(
            "--on-personal-data", "What happens to personal data?", "as-in-pack", ("as-in-pack", *making.ON_PERSONAL_DATA)
        )
    if strictness is None and texts and asked.scores:
        strictness = ask("--strictness", "How strict? High stops more, also of what is harmless.", "medium", making.STRICTNESS)
    label = given.label or ask("--label", "Which label do people see?", asked.label, making.LABELS)
    return making.Answers(
        pack,
        name,
        owner,
        None if languages is None else _languages(languages),
        modalities,
        _reaction(reaction),
        strictness or "medium",
        label,
    )


def _introduce() -> None:
    """Say what the packs are for, before one is chosen."""
    from policies import load, packs

    width = max(map(len, packs()))
    for pack in packs():
        typer.echo(f"  {pack.ljust(width)}  {load(pack).description}", err=True)


def _contents(given: _Given, asked: Questions, ask: _Ask) -> frozenset[Modality] | None:
    """What is judged. Options say which kinds; where they say of one only, the other is as in the pack."""
    kinds = {Modality.TEXT: given.text, Modality.IMAGE: given.images}
    if any(value is not None for value in kinds.values()):
        return frozenset(kind for kind, value in kinds.items() if value or (value is None and kind in asked.modalities))
    if asked.modalities < CONTENTS["both"]:
        return None
    return CONTENTS[ask("--text or --images", "What does it judge?", "both", tuple(CONTENTS))]


def _languages(given: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code.strip() for code in given.split(",") if code.strip()))


def _reaction(given: str | None) -> Action | None:
    from policies.new import ON_PERSONAL_DATA

    if given is None or given == "as-in-pack":
        return None
    if given not in ON_PERSONAL_DATA:
        raise InputError(f"--on-personal-data: found {given!r}, expected one of: {', '.join(ON_PERSONAL_DATA)}")
    return Action(given)


def _show(target: Path, *, as_json: bool) -> None:
    from policies import open_policy

    loaded = open_policy(target)
    following = _next(target, loaded.policy)
    facts: dict[str, Any] = {
        "file": str(target),
        "policy": loaded.policy.id,
        "revision": loaded.policy.revision,
        "checks": len(loaded.policy.checks),
        "rules": len(loaded.policy.rules),
        "tests": len(loaded.tests),
    }
    if as_json:
        typer.echo(json.dumps({**facts, "next": [command for command, _ in following]}, ensure_ascii=False, indent=2))
        return
    counts = ", ".join(f"{facts[name]} {name if facts[name] != 1 else name[:-1]}" for name in ("checks", "rules", "tests"))
    typer.echo(f"{target}: {facts['policy']} loads: {counts}.")
    typer.echo("Next:")
    width = max(len(command) for command, _ in following)
    for command, why in following:
        typer.echo(f"  {command.ljust(width)}  {why}")
    typer.echo("When it shall count, say `status: live` in the file, and activate it without --shadow.")


def _next(target: Path, policy: Policy) -> list[tuple[str, str]]:
    file = shlex.quote(str(target))
    producer = [("export GENGUARD_CONTENT_PRODUCER=…", "who made the content: the implicit label names you")]
    return [
        (f"genguard policy lint {file}", "what is legal but hardly meant"),
        (f"genguard policy test {file}", "whether each rule does what its examples say"),
        (f"genguard policy replay {file} --since 7d", "what it would have decided of what was recorded"),
        *(producer if any(mark.use == "aigc" for mark in policy.marks) else []),
        (
            f'genguard policy activate {file} --shadow --reason "First look"',
            "let it decide beside the live one, without effect",
        ),
    ]
