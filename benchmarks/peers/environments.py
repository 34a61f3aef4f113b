"""An environment for each peer, made once: their dependencies exclude one another."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.subject import Place

ROOT = Path(__file__).parents[2]
# No telemetry, nothing fetched: what is measured is the work itself.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_SDK_DISABLED": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
_SETTINGS = {".guardrailsrc": "id=none\nenable_metrics=false\nuse_remote_inferencing=false\n"}


def python_of(place: Place, folder: Path) -> Path:
    """The interpreter of a place, its packages installed. Raises CalledProcessError when they cannot be had."""
    if not place.requirements:
        return Path(sys.executable)
    home = folder / place.name
    python, stamp = home / "bin" / "python", home / ".installed"
    wanted = "\n".join(place.requirements)
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        print(f"{place.name}: installing {', '.join(place.requirements)}", file=sys.stderr, flush=True)
        venv.EnvBuilder(with_pip=True, clear=True).create(home)
        if place.torch:
            subprocess.run(["sh", str(ROOT / "scripts" / "install-torch"), str(python)], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *place.requirements]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted, "utf-8")
    return python


def home_of(folder: Path) -> Path:
    """A home of their own, in which the peers that ask for it read that they are not to report anything."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    for name, text in _SETTINGS.items():
        (home / name).write_text(text, "utf-8")
    return home
