"""What lies in `deploy/`: files that name only what there is, and grant no more than a service needs."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from doctor.run import PARTS
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OUTSIDE = {"GENGUARD_ALLOW_CUDA", "GENGUARD_CONFIG", "GENGUARD_KEY_FOLDER", "GENGUARD_MASTER_KEY"}
"""Variables that are no fields of the settings."""


def dockerfile() -> list[tuple[str, str]]:
    """Instructions with what they say."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


@pytest.mark.parametrize("file", [one for one in sorted(DEPLOY.rglob("*")) if one.is_file()], ids=lambda file: file.name)
def test_variables_are_settings(file: Path) -> None:
    """A setting of a wrong name would be no setting at all."""
    named = set(re.findall(r"\bGENGUARD_[A-Z0-9_]+", file.read_text("utf-8")))
    known = {f"GENGUARD_{name.upper()}" for name in Settings.model_fields}
    assert named - known - OUTSIDE == set()


def test_the_image_runs_as_its_own_user_and_tells_its_health() -> None:
    """In the last stage; what it keeps is on a volume, for its root may be read-only."""
    said = dockerfile()
    last = max(at for at, (word, _) in enumerate(said) if word == "FROM")
    stage = said[last:]
    words = dict(stage)
    assert words["USER"] == "10001:10001"
    assert "/readyz" in words["HEALTHCHECK"]
    assert words["VOLUME"] == words["WORKDIR"] == "/var/lib/genguard"
    assert words["STOPSIGNAL"] == "SIGTERM"
    assert [rest for word, rest in stage if word == "COPY"] == ["--from=build /opt/genguard /opt/genguard"]
    assert "NUMBA_CACHE_DIR=/var/lib/genguard" in words["ENV"]
    order = [word for word, _ in stage]
    assert order.index("USER") > order.index("COPY")


def test_the_image_is_built_from_the_package_and_nothing_else() -> None:
    """Everything that the wheel takes is let in; keys, ledgers, tests and data are not."""
    rules = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {one.rstrip("*") for one in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    modules = {f"{one}.py" for one in project["tool"]["setuptools"]["py-modules"]}
    others = {"LICENSE", "NOTICE", "README.md", "pyproject.toml", "constraints.txt", "scripts"}
    assert let_in == packages | modules | others
    kept_out = [line.removeprefix("**/") for line in rules if line.startswith("**/")]
    for name in ("genguard.db", "genguard.db-wal", "genguard.db.key", "__pycache__"):
        assert any(fnmatch(name, pattern) for pattern in kept_out), name
    for word, rest in dockerfile():
        if word == "COPY" and not rest.startswith(("--from", ". ")):
            assert all((ROOT / name).exists() for name in rest.split()[:-1]), rest


def test_what_the_image_runs_while_it_is_built_is_there() -> None:
    """Scripts that are copied before they run, extras of the package, parts of the doctor, and settings as arguments."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    arguments: dict[str, str] = {}
    copied: set[str] = set()
    for word, rest in dockerfile():
        if word == "ARG":
            name, _, default = rest.partition("=")
            arguments[name] = default.strip('"')
        if word == "COPY" and not rest.startswith("--from"):
            copied |= set(rest.split()[:-1])
        if word == "RUN":
            for script in re.findall(r"scripts/[\w-]+", rest):
                assert (ROOT / script).is_file(), script
                assert script in copied or "." in copied, script
            assert set(re.findall(r"--only (\w+)", rest)) <= set(PARTS), rest
            assert set(re.findall(r"\$\{(\w+)\}", rest)) <= arguments.keys(), rest
    assert set(arguments["EXTRAS"].split(",")) <= project["optional-dependencies"].keys()
    assert project["scripts"]["genguard"].split(":")[0] == "cli"


def test_containers_have_no_rights_to_spare() -> None:
    """In compose and in Kubernetes alike."""
    service = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text("utf-8"))["services"]["genguard"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(one.startswith("127.0.0.1:") for one in service["ports"])
    assert (DEPLOY / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()
    pod = yaml.safe_load((DEPLOY / "kustomize" / "deployment.yaml").read_text("utf-8"))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_kustomize_names_every_file_that_is_there() -> None:
    """And no other."""
    folder = DEPLOY / "kustomize"
    told = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert sorted(told) == sorted(file.name for file in folder.iterdir() if file.name != "kustomization.yaml")
    for name in told:
        assert {"apiVersion", "kind", "metadata"} <= yaml.safe_load((folder / name).read_text("utf-8")).keys()


def test_the_unit_waits_for_what_drains() -> None:
    """systemd gives the service longer to end than the service gives its requests; so do the others."""
    from serving.settings import GRACE_S

    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "genguard.service", "utf-8")
    service = unit["Service"]
    assert int(service["TimeoutStopSec"].removesuffix("s")) > GRACE_S
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text("utf-8"))["services"]["genguard"]
    assert int(compose["stop_grace_period"].removesuffix("s")) > GRACE_S
    pod = yaml.safe_load((DEPLOY / "kustomize" / "deployment.yaml").read_text("utf-8"))["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > GRACE_S
