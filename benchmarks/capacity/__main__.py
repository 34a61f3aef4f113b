"""How much hardware a load needs: costs a stage, measured here; a simulation; a plan; and the model held against a service.

    python -m benchmarks.capacity measure [--policy enterprise] [--texts FILE] [--only PART]...   -> measured.json
    python -m benchmarks.capacity check                                                           -> checked.json
    python -m benchmarks.capacity plan [--rates 100 10000 1000000] [--target 0.6] [--gpu toxicity=TEXTS_PER_S]   -> planned.json
    python -m benchmarks.capacity page                                                            -> docs/capacity.md
    python -m benchmarks.capacity simulate --workers 4 --rate 100

All of them take `--folder` (default: beside this file), where their JSON lies. `make bench-all` runs them all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.capacity.check import asked as service
from benchmarks.capacity.check import beside, lines, off
from benchmarks.capacity.costs import costs
from benchmarks.capacity.model import Cell, Shape
from benchmarks.capacity.pace import watched
from benchmarks.capacity.page import plan as planned_part
from benchmarks.capacity.page import put, rendered
from benchmarks.capacity.plan import RATES, REQUESTS, TARGET, TURN_S, as_json, planned, simulated
from benchmarks.capacity.service import cores

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main(arguments: list[str] | None = None) -> None:
    asked = options(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    asked.act(asked)


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--folder", type=Path, default=HERE)
    common.add_argument("--generator", choices=("echo", "language"), default="echo")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(required=True)
    measuring = argparse.ArgumentParser(add_help=False)
    measuring.add_argument("--policy", default="enterprise", help="a pack, or a file")
    measuring.add_argument("--texts", type=Path, help="messages, one a line, in place of the built-in ones")
    measuring.add_argument("--tokens", type=int, default=16, help="of each answer of `language`")
    measuring.add_argument("--seconds", type=float, default=10.0, help="of each run of a service")
    measuring.add_argument("--runs", type=int, default=3)

    def verb(name: str, act: Any, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, parents=[common, *parents], help=act.__doc__)
        made.set_defaults(act=act)
        return made

    verb("measure", measure, measuring).add_argument("--only", action="append", default=[], help="one part; the rest stays")
    again = "the model alone, beside what was measured before"
    verb("check", check, measuring).add_argument("--again", action="store_true", help=again)
    planning = verb("plan", plan)
    planning.add_argument("--rates", type=float, nargs="+", default=list(RATES), help="requests a second")
    planning.add_argument("--target", type=float, default=TARGET, help="how much of a core or a lock may be taken")
    planning.add_argument("--turn-s", type=float, default=TURN_S, help="seconds that a turn of all writers of a log may take")
    planning.add_argument("--gpu", action="append", default=[], metavar="CHECK=TEXTS_PER_S", help="of one GPU, as you know it")
    planning.add_argument("--requests", type=int, default=REQUESTS, help="of a simulation")
    simulating = verb("simulate", simulate)
    simulating.add_argument("--workers", type=int, default=1)
    simulating.add_argument("--rate", type=float, default=0.0, help="requests a second; else --callers")
    simulating.add_argument("--callers", type=int, default=64)
    simulating.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    simulating.add_argument("--seconds", type=float, default=20.0)
    verb("page", page).add_argument("--page", type=Path, default=ROOT / "docs" / "capacity.md")
    return parser.parse_args(arguments)


def measure(asked: argparse.Namespace) -> None:
    """Measure what each stage costs on one core of this machine."""
    from benchmarks.capacity.measure import parts
    from policies import load

    raw = read(asked.folder / "measured.json") if asked.only else {}
    with watched(cores()[0], raw.get("pace", {}).get("usual_us")) as pace:
        known = parts(load(asked.policy), asked, pace)
        if unknown := sorted(set(asked.only).difference(known)):
            raise SystemExit(f"found {', '.join(unknown)}, expected parts among {', '.join(known)}")
        raw |= {**about(), "policy": asked.policy, "texts": str(asked.texts or "built-in")}
        for name in asked.only or known:
            print(f"measuring {name}", file=sys.stderr)
            raw[name] = known[name]()
            write(asked.folder / "measured.json", {**raw, "pace": pace.told()})


def check(asked: argparse.Namespace) -> None:
    """Hold the model against a service of one process on one core."""
    raw, file = read(asked.folder / "measured.json"), asked.folder / "checked.json"
    known = costs(raw, "sqlite", asked.generator)
    if not asked.again:
        with watched(cores()[0], raw["pace"]["usual_us"]) as pace:
            found = service(known, asked, pace)
            write(file, {**about(), "policy": asked.policy, "generator": asked.generator, "pace": pace.told(), **found})
    found = read(file)
    found = beside(costs(raw | {part: found[part] for part in ("company", "http")}, "sqlite", asked.generator), found)
    write(file, found)
    for name, measured, model in lines(found):
        print(f"{name:>24}: measured {measured:>9,.1f}, model {model:>9,.1f} ({off(measured, model):+.0%})")


def plan(asked: argparse.Namespace) -> None:
    """Say what several rates need, and simulate a cell of each."""
    raw = read(asked.folder / "measured.json")
    known = {name: costs(raw, name, asked.generator) for name in raw["ledger"]}
    try:
        gpu = {name: float(speed) for name, _, speed in (one.partition("=") for one in asked.gpu)}
        steps = planned(known, asked.rates, gpu=gpu, target=asked.target, turn_s=asked.turn_s)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    many = known.get("postgres", known["sqlite"])
    found = {
        "generator": asked.generator,
        "target": asked.target,
        "turn_s": asked.turn_s,
        "gpu": gpu,
        "steps": [as_json(one, simulated(many, one, gpu, asked.requests)) for one in steps],
    }
    write(asked.folder / "planned.json", found)
    print(planned_part(found))


def simulate(asked: argparse.Namespace) -> None:
    """Simulate one cell."""
    known = costs(read(asked.folder / "measured.json"), asked.store, asked.generator)
    cell = Cell(known, Shape(workers=asked.workers))
    load = {"rate": asked.rate} if asked.rate else {"callers": asked.callers}
    print(json.dumps(_rounded(asdict(cell.run(seconds=asked.seconds, warm=asked.seconds / 4, **load))), indent=1))


def page(asked: argparse.Namespace) -> None:
    """Put the figures into the page."""
    parts = rendered(*(read(asked.folder / f"{name}.json") for name in ("measured", "checked", "planned")))
    asked.page.write_text(put(asked.page.read_text("utf-8"), parts), "utf-8")


def about() -> dict[str, Any]:
    """The machine, its software and its load."""
    import onnxruntime
    import sqlalchemy

    from benchmarks.peers.measuring import machine

    return {
        "machine": machine(),
        "versions": {
            "linux": platform.release(),
            "onnxruntime": onnxruntime.__version__,
            "sqlalchemy": sqlalchemy.__version__,
        },
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "load": round(os.getloadavg()[0], 1),
    }


def read(file: Path) -> dict[str, Any]:
    """What an earlier step wrote. Raises SystemExit where it did not."""
    if not file.is_file():
        raise SystemExit(f"found no {file}, expected what an earlier step writes: python -m benchmarks.capacity --help")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def write(file: Path, raw: Mapping[str, Any]) -> None:
    """As JSON; floats to four places, which is more than any of them is good for."""
    file.write_text(json.dumps(_rounded(raw), indent=1) + "\n", "utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
