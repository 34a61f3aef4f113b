"""The model of a service, the plan for a rate, and the page that tells of both."""

import json
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks.capacity.__main__ import HERE, main
from benchmarks.capacity.check import lines
from benchmarks.capacity.costs import ALONE, ENTRIES, STAGES, Asked, Costs, costs
from benchmarks.capacity.model import Cell, Shape
from benchmarks.capacity.page import put, rendered
from benchmarks.capacity.plan import Deployment, cell_rate, cpu_in_cell, limits, planned, simulated, turn, workers_for
from benchmarks.capacity.stations import Commit, Curve

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
NOTHING = Curve.line(0.0, 0.0)
BOTH = frozenset(STAGES)


def simple(**given: Any) -> Costs:
    """10 ms a request: 2 for HTTP, 3 for each judgement of one check, 1 for each entry."""
    known: dict[str, Any] = {
        "http": Curve(((1, 0.002), (2, 0.002))),
        "company": ALONE,
        "judging": 0.0,
        "asking": 0.0,
        "preparing": 0.0005,
        "answering": 0.0,
        "generating": NOTHING,
        "native": 0.0,
        "joins": False,
        "checks": {"slow": Asked(BOTH, Curve.line(0.0, 0.003), 64)},
        "commit": Commit(NOTHING, Curve.line(0.0004, 0.0001), Curve.line(0.001, 0.0)),
    }
    return Costs(**known | given)


def test_shares_add_up() -> None:
    one = simple()
    assert one.cpu() == pytest.approx(0.010)
    assert one.shares()["check slow"] == pytest.approx(0.006)
    assert one.shares(group=4)["ledger, in the gateway"] == pytest.approx(2 * (0.0005 + 0.0001 + 0.0001))
    assert one.without(["slow"]).cpu() == pytest.approx(0.004)
    with pytest.raises(ValueError, match="found swift, expected checks of the policy: slow"):
        one.without(["swift"])


def test_on_a_slower_core_all_that_is_computed_takes_longer_and_the_disk_does_not() -> None:
    slow = simple().slower(1.5)
    assert slow.cpu() == pytest.approx(0.015)
    assert slow.shares() == pytest.approx({name: 1.5 * seconds for name, seconds in simple().shares().items()})
    assert slow.commit.waits(1) == simple().commit.waits(1)


def test_a_worker_alone_takes_what_its_parts_take() -> None:
    """One caller: nothing waits for anything, so the answer takes the CPU and two waits for the disk."""
    found = Cell(simple(), Shape()).run(callers=1, seconds=10, warm=1)
    assert found.p50 == pytest.approx(0.012)
    assert found.per_s == pytest.approx(1 / 0.012, rel=0.01)
    assert found.cores == pytest.approx(0.010 / 0.012, rel=0.01)
    assert found.together == found.group == pytest.approx(1)


def test_little_and_utilisation_hold_for_a_cell() -> None:
    one = simple()
    found = Cell(one, Shape(workers=3)).run(rate=150, seconds=15, warm=2)
    assert found.inside == pytest.approx(found.per_s * found.mean, rel=0.02)
    assert found.cores == pytest.approx(found.per_s * one.cpu(found.together, found.group) / 3, rel=0.02)
    held = found.per_s * ENTRIES * one.commit.held(found.group) / found.group
    assert held * 0.98 < found.lock < held * 1.3  # a committer that has the lock waits a little for its core
    assert found.refused_per_s == 0


def test_a_full_worker_answers_what_its_core_allows_and_refuses_the_rest() -> None:
    one = simple()
    found = Cell(one, Shape(concurrency=20)).run(rate=300, seconds=20, warm=5)
    assert found.cores == pytest.approx(1, abs=0.01)
    assert found.per_s == pytest.approx(1 / one.cpu(found.together, found.group), rel=0.03)
    assert found.per_s + found.refused_per_s == pytest.approx(300, rel=0.05)
    assert found.inside <= 21


def test_the_same_seed_gives_the_same() -> None:
    runs = [Cell(simple(), Shape(workers=2), seed).run(rate=100, seconds=5, warm=1) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_a_generator_that_joins_and_a_check_that_is_awaited() -> None:
    """The generator has a thread, so that outputs share its calls; the awaited check computes on the event loop."""
    made = simple(
        generating=Curve.line(0.02, 0.0),
        joins=True,
        checks={"swift": Asked(frozenset(["output"]), Curve.line(0.0, 0.001), 64, blocking=False)},
    )
    alone, many = (Cell(made, Shape()).run(callers=callers, seconds=20, warm=2) for callers in (1, 32))
    assert alone.p50 == pytest.approx(0.002 + 0.001 + 0.001 + 0.02 + 0.001 + 2 * 0.001)
    assert many.per_s > 3 * alone.per_s
    assert many.checks == {}


def test_plans_grow_with_the_rate_and_shrink_with_the_target() -> None:
    known = {"sqlite": simple(), "postgres": simple()}
    steps = planned(known, [10, 50, 100, 1000, 20_000, 1e6])
    for name in ("cells", "workers"):
        found = [getattr(one, name) * (one.cells if name == "workers" else 1) for one in steps]
        assert found == sorted(found)
    assert all(
        one.cells * one.workers * 0.6 >= one.rate * cpu_in_cell(known["postgres"], one.rate / one.cells) for one in steps
    )
    tight, loose = (planned(known, [20_000], target=target)[0] for target in (0.3, 0.9))
    assert tight.cells * tight.workers > loose.cells * loose.workers
    assert tight.cells > loose.cells


def test_sizes_are_those_of_the_formulas() -> None:
    """An entry holds the lock for 0.1 ms and a bit in large groups, and a commit of one for 1.5 ms."""
    one = simple()
    each = one.commit.held(512) / 512
    assert each == pytest.approx((0.0014 + 512 * 0.0001) / 512)
    assert workers_for(one, 100) == 2
    assert cell_rate(one, 0.6, 1e9) == pytest.approx(0.6 / (2 * each))
    rate = cell_rate(one, 0.6, 0.05)
    group = 2 * rate * 0.0015 / (1 - 2 * rate * each)
    assert cpu_in_cell(one, rate) == pytest.approx(one.cpu(1, group))
    writers = rate * one.cpu(1, group) / 0.6
    assert turn(one, rate, writers) == pytest.approx(0.05) == writers * 0.0015 / (1 - 2 * rate * each)
    assert turn(one, 1e6, 1) == inf


def test_the_first_bottleneck_is_what_is_full_first() -> None:
    one = simple()
    few, many = (limits(one, Deployment(workers, 1)) for workers in (2, 2000))
    assert few[0].what.startswith("cores of workers, of which check slow takes")
    assert [limit.what.split(",")[0] for limit in many] == [
        "turns at the write lock of each log",
        "the write lock of each log",
        "cores of workers",
    ]
    assert [limit.per_s for limit in many] == sorted(limit.per_s for limit in many)
    assert len(limits(one, Deployment(1, 1))) == 2
    steps = planned({"sqlite": one}, [100, 10_000])
    assert steps[1].limits[0].per_s > 100
    assert steps[1].limits[0].per_s < 10_000


def test_gpus_are_counted_by_what_the_caller_knows() -> None:
    known = {"sqlite": simple()}
    (one,) = planned(known, [1000], gpu={"slow": 500.0})
    assert one.gpus == {"slow": 7}  # 2000 texts/s at 300 each
    assert one.replicas == {}
    assert one.cells * one.workers < planned(known, [1000])[0].cells * planned(known, [1000])[0].workers
    with pytest.raises(ValueError, match="expected checks"):
        planned(known, [1000], gpu={"other": 1.0})
    for wrong in ({"target": 1.0}, {"rates": [0.0]}, {"gpu": {"slow": 0.0}}):
        with pytest.raises(ValueError, match="expected a target"):
            planned(known, **{"rates": [1.0], **wrong})  # type: ignore[arg-type]


def test_a_planned_cell_carries_its_load() -> None:
    one = simple()
    (step,) = planned({"sqlite": one}, [200])
    found = simulated(one, step, {}, 2000)
    assert found.refused_per_s == 0
    assert found.per_s == pytest.approx(200 / step.cells, rel=0.1)
    assert found.cores < 0.65


def test_costs_come_from_medians() -> None:
    raw = json.loads((HERE / "measured.json").read_text("utf-8"))
    raw["chain"] = [{"checks": 1, "cpu_us": [250, 300, 900]}, {"checks": 10, "cpu_us": [750.0]}]
    raw["http"] = {"1": {"service_us": [3000, 2000, 100], "release_us": [500]}, "9": {"service_us": [700], "release_us": [400]}}
    found = costs(raw, "sqlite")
    assert found.asking == pytest.approx(50e-6)
    assert found.judging == pytest.approx(250e-6)
    assert [found.http.within(inside) for inside in (1, 5, 9, 50)] == pytest.approx([1500e-6, 900e-6, 300e-6, 300e-6])
    with pytest.raises(ValueError, match="found no ledger in 'oracle'"):
        costs(raw, "oracle")
    with pytest.raises(ValueError, match="found no generator 'none'"):
        costs(raw, "sqlite", "none")


def test_company_makes_all_stages_dearer_but_http() -> None:
    """As measured: releases with everything, by the sum of the stages at the same sizes."""
    raw = json.loads((HERE / "measured.json").read_text("utf-8"))
    found = costs(raw, "sqlite")
    for inside, run in raw["company"].items():
        together = sum(found.shares(run["together"], run["group"], float(inside)).values()) - found.http.within(float(inside))
        assert together == pytest.approx(median(run["cpu_us"]) * 1e-6)
    one = simple(company=Curve(((1, 1.5), (4, 1.0))))
    assert one.cpu() == pytest.approx(0.002 + 1.5 * 0.008)
    alone = Cell(one, Shape()).run(callers=1, seconds=10, warm=1)
    assert alone.cores / alone.per_s == pytest.approx(one.cpu(), rel=0.01)


@pytest.fixture(scope="module")
def figures() -> list[dict[str, Any]]:
    """What is committed."""
    return [json.loads((HERE / f"{name}.json").read_text("utf-8")) for name in ("measured", "checked", "planned")]


def test_the_page_tells_what_was_measured(figures: list[dict[str, Any]]) -> None:
    text = PAGE.read_text("utf-8")
    assert put(text, rendered(*figures)) == text
    with pytest.raises(ValueError, match="expected both"):
        put("nothing", rendered(*figures))


def test_the_plan_follows_from_what_was_measured(figures: list[dict[str, Any]]) -> None:
    """Sizes and limits; simulations take longer, and are as the last `plan` left them."""
    measured, checked, kept = figures
    known = {name: costs(measured, name, kept["generator"]) for name in measured["ledger"]}
    again = planned(
        known, [one["rate"] for one in kept["steps"]], gpu=kept["gpu"], target=kept["target"], turn_s=kept["turn_s"]
    )
    for one, told in zip(again, kept["steps"], strict=True):
        assert (one.cells, one.workers, dict(one.replicas)) == (told["cells"], told["workers"], told["replicas"])
        assert [limit.what for limit in one.limits] == [limit["what"] for limit in told["limits"]]
    assert checked["policy"] == measured["policy"]
    assert len(lines(checked)) == 2 * (1 + len(checked["rates"]))


def test_commands_write_what_the_next_one_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "measured.json").write_bytes((HERE / "measured.json").read_bytes())
    main(["plan", "--folder", str(tmp_path), "--rates", "50", "--gpu", "toxicity=1000", "--requests", "300"])
    told = capsys.readouterr().out
    assert "| 50 | 1 |" in told
    assert "Assumed, not measured here" in told
    main(["simulate", "--folder", str(tmp_path), "--workers", "1", "--rate", "20", "--seconds", "5"])
    assert json.loads(capsys.readouterr().out)["refused_per_s"] == 0
    (tmp_path / "checked.json").write_bytes((HERE / "checked.json").read_bytes())
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {name}: begin --><!-- {name}: end -->" for name in ("costs", "ledger", "check", "plan")))
    main(["page", "--folder", str(tmp_path), "--page", str(page)])
    assert told.strip() in page.read_text("utf-8")
    for wrong in (["plan", "--gpu", "nothing=1"], ["plan", "--gpu", "toxicity=fast"], ["plan", "--target", "2"]):
        with pytest.raises(SystemExit):
            main([*wrong, "--folder", str(tmp_path)])
    with pytest.raises(SystemExit, match="expected what an earlier step writes"):
        main(["plan", "--folder", str(tmp_path / "none")])
