"""The documents keep up with the code: settings, routes, commands, checks and marks are all named where people look."""

from __future__ import annotations

from pathlib import Path

from guard.registry import checks, generators
from service import create_app
from serving.settings import Settings

ROOT = Path(__file__).parents[1]
HTTP = (ROOT / "docs" / "http.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def test_every_setting_is_documented():
    """Each field of Settings stands in docs/http.md under its environment variable."""
    assert [name for name in Settings.model_fields if f"`GENGUARD_{name.upper()}`" not in HTTP] == []


def test_every_route_is_documented():
    """Each path of the OpenAPI description stands in docs/http.md."""
    paths = [path.replace("{decision}", "{id}") for path in create_app(Settings()).openapi()["paths"]]
    assert [path for path in paths if path not in HTTP] == []


def test_every_bundled_check_and_generator_is_in_the_readme():
    """The table of what is in it names them all."""
    assert [name for name in (*checks.names(), *generators.names()) if f"`{name}`" not in README] == []


def test_every_bundled_model_has_a_card_and_all_weights_stay_small():
    """Cards lie beside the weights; all bundled models together stay under 60 MB."""
    bundled = ROOT / "guard" / "models" / "bundled"
    folders = [folder for folder in bundled.iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        assert (folder / "MODEL_CARD.md").is_file(), folder
        assert (folder / "manifest.json").is_file(), folder
    files = [file for file in bundled.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 60_000_000
    assert [file.name for file in files if file.suffix in {".pkl", ".pickle", ".pth"}] == []


def test_checkpoints_in_pytorchs_own_format_hold_tensors_only():
    """Detoxify's format is a pickle by name; ours load with weights_only, which runs no code."""
    import torch

    checkpoints = list((ROOT / "guard" / "models" / "bundled").rglob("*.pt"))
    assert checkpoints
    for file in checkpoints:
        torch.load(file, weights_only=True, map_location="cpu")


def test_every_command_and_exit_code_is_documented():
    """Each command of the terminal stands in docs/cli.md with its long options."""
    import typer.main

    import cli

    text = (ROOT / "docs" / "cli.md").read_text("utf-8") + (ROOT / "docs" / "http.md").read_text("utf-8")
    root = typer.main.get_command(cli.app)
    commands = {}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        commands |= {f"{name} {inner}": one for inner, one in getattr(command, "commands", {name: None}).items() if one} or {
            name: command
        }
    assert [name for name in commands if f"`genguard {name}" not in text] == []
    options = {
        option for command in commands.values() for one in command.params for option in one.opts if option.startswith("--")
    }
    assert [option for option in sorted(options) if option not in text] == []
    assert [code for code in {*cli.EXIT.values(), cli.USAGE, cli.FAILURE} if f"| {code} |" not in text] == []
