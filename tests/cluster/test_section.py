"""The section `[ray]` of the settings."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ports import free_port
from pydantic import ValidationError

from guard.errors import SettingsError
from serving.cluster.engine import _options
from serving.cluster.joining import join, need_ray, surroundings
from serving.cluster.section import Cluster, Placement
from serving.settings import Settings

FILE = """engine = "ray"
port = 8081

[ray]
address = "10.0.0.5:6379"

[ray.checks.toxicity]
gpus = 0.25
max_replicas = 8

[ray.checks."*"]
replicas = 2
"""


def settings(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Settings:
    (folder / "genguard.toml").write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    return Settings.read()


def test_one_file_says_what_runs_where(tmp_path, monkeypatch):
    """By registered name, and `*` for the others."""
    found = settings(tmp_path, monkeypatch, FILE)
    assert (found.engine, found.port, found.ray.address) == ("ray", 8081, "10.0.0.5:6379")
    toxicity = found.ray.of_check("toxicity", models=True)
    assert (toxicity.gpus, toxicity.min_replicas, toxicity.max_replicas) == (0.25, 1, 8)
    assert found.ray.of_check("pii", models=False).replicas == 2
    assert found.ray.of_generator("language") is None


def test_without_names_checks_that_load_models_go_there():
    """Code is cheaper than the way."""
    assert Cluster().of_check("toxicity", models=True) == Placement()
    assert Cluster().of_check("pii", models=False) is None
    assert Cluster(checks={"pii": Placement()}).of_check("toxicity", models=True) is None


def test_a_placement_in_serves_words():
    """Fixed, or between two numbers."""
    assert _options(Placement())["num_replicas"] == 1
    scaled = _options(Placement(max_replicas=4, min_replicas=0, target=2, gpus=0.5, per_node=None, queued=9))
    assert scaled["autoscaling_config"] == {"min_replicas": 0, "max_replicas": 4, "target_ongoing_requests": 2}
    assert scaled["ray_actor_options"] == {"num_cpus": 1.0, "num_gpus": 0.5}
    assert (scaled["max_replicas_per_node"], scaled["max_queued_requests"]) == (None, 9)
    assert "num_replicas" not in scaled


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[ray.checks.pii]\ngpu = 1\n", "ray.checks.pii.gpu"),
        ("[ray.checks.pii]\nreplicas = 0\n", "ray.checks.pii.replicas"),
        ("[ray.checks.pii]\nreplicas = 2\nmax_replicas = 3\n", "found both replicas and max_replicas"),
        ("[ray.checks.pii]\nmin_replicas = 4\nmax_replicas = 3\n", "at most max_replicas 3"),
        ('[ray]\nobject_store = "1MB"\n', "ray.object_store"),
        ('engine = "spark"\n', "engine"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path, monkeypatch, text, told):
    """Which key of which table."""
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, monkeypatch, text)
    assert told in str(caught.value)


def test_a_placement_is_a_value():
    """Nobody changes it later."""
    with pytest.raises(ValidationError):
        Placement().replicas = 3


def test_workers_find_the_same_banks_and_models(tmp_path, monkeypatch):
    """Whatever their working folder is; keys are no part of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENGUARD_MODELS", "one:/two")
    monkeypatch.delenv("GENGUARD_BANKS", raising=False)
    monkeypatch.setenv("GENGUARD_KEY_FILE", "key")
    assert surroundings() == {"GENGUARD_BANKS": str(tmp_path / "banks"), "GENGUARD_MODELS": f"{tmp_path / 'one'}:/two"}


def test_a_cluster_that_is_not_there_is_told_at_once():
    """Ray itself would ask for minutes."""
    ray = SimpleNamespace(exceptions=SimpleNamespace(RayError=LookupError), __version__="2", init=pytest.fail)
    with pytest.raises(SettingsError, match="cannot join the cluster at the given address") as caught:
        join(ray, Cluster(address=f"127.0.0.1:{free_port()}"))
    assert "ray start" in caught.value.diagnostics()


def test_without_ray_the_engine_says_what_to_install(monkeypatch):
    """Before anything is begun."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError) as caught:
        need_ray("serve")
    assert "genguard[ray]" in caught.value.diagnostics()
