"""The figures of `docs/capacity.md` as Markdown, from what the other steps wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.capacity.check import LIMIT, lines, off
from benchmarks.capacity.costs import Costs, costs

BUSY = 16
"""How many share a call and a commit in the second column of costs."""
_NAMES = {"per_s": "answers/s", "cpu_us": "CPU of an answer, us", "p50_ms": "median latency, ms"}


def rendered(measured: Mapping[str, Any], checked: Mapping[str, Any], planned: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the page, by their marks."""
    return {"costs": _costs(measured), "ledger": _ledger(measured), "check": _check(checked), "plan": plan(planned)}


def _costs(raw: Mapping[str, Any]) -> str:
    known = {name: costs(raw, name) for name in raw["ledger"]}
    columns: list[tuple[str, dict[str, float]]] = []
    for name, one in known.items():
        title = {"sqlite": "SQLite", "postgres": "PostgreSQL"}[name]
        columns += [(f"{title}, alone", one.shares()), (f"{BUSY} together", one.shares(BUSY, BUSY))]
    rows = [[stage, *(_us(found[stage]) for _, found in columns)] for stage in columns[0][1]]
    rows.append(["**together**", *(_us(sum(found.values())) for _, found in columns)])
    return f"{_where(raw)}; policy `{raw['policy']}`, texts {raw['texts']}; us of one core, a request.\n\n" + _table(
        ["stage", *(title for title, _ in columns)], rows
    )


def _ledger(raw: Mapping[str, Any]) -> str:
    known: dict[str, Costs] = {name: costs(raw, name) for name in raw["ledger"]}
    sizes = [int(size) for size in next(iter(raw["ledger"].values()))["groups"]]
    rows = []
    for name, one in known.items():
        held = [f"{1e3 * one.commit.held(size):.2f} ({1e6 * one.commit.held(size) / size:,.0f})" for size in sizes]
        rows.append([{"sqlite": "SQLite", "postgres": "PostgreSQL"}[name], *held])
    language = raw["generators"].get("language")
    told = ""
    if language:
        made = ", ".join(
            f"{int(size)}: {median(runs['cpu_us']) / int(size) / 1e3:.1f}" for size, runs in language["calls"].items()
        )
        tokens = language["parameters"]["max_new_tokens"]
        told = f"\n\nThe bundled language model, {tokens} tokens, ms of CPU an output by how many are made together: {made}."
    return _table(["entries in a commit:", *map(str, sizes)], rows) + told


def _check(raw: Mapping[str, Any]) -> str:
    rows, wrong = [], 0
    for name, measured, model in lines(raw):
        where, _, what = name.rpartition(": ")
        far = off(measured, model)
        wrong += abs(far) > LIMIT
        rows.append([where, _NAMES[what], _number(measured), _number(model), f"{far:+.0%}"])
    verdict = "All are within" if not wrong else f"{wrong} of {len(rows)} are further off than"
    runs = len(raw["full"]["measured"])
    asked = max(run["core_share"] for one in [raw["full"], *raw["rates"]] for run in one["measured"])
    return "\n".join(
        [
            f"{_where(raw)}; policy `{raw['policy']}`, generator `{raw['generator']}`; medians of {runs} runs.",
            "",
            _table(["load", "", "measured", "model", "off by"], rows),
            "",
            f"{verdict} {LIMIT:.0%}. Who asked took {asked:.0%} of the other core at most.",
        ]
    )


def plan(raw: Mapping[str, Any]) -> str:
    """What each rate needs, and what ends first."""
    steps: Sequence[Mapping[str, Any]] = raw["steps"]
    turn = 1e3 * raw["turn_s"]
    checks = list(steps[0]["texts_per_s"])
    sizes, loads = [], []
    for one in steps:
        cells, each, found = one["cells"], one["workers"], one["simulated"]
        sizes.append(
            [
                f"{one['rate']:,.0f}",
                f"{cells:,}",
                f"{each:,}",
                f"**{cells * each:,}**",
                *(_replicas(one, name) for name in checks),
            ]
        )
        loads.append(
            [
                f"{one['rate']:,.0f}",
                f"{found['rate']:,.0f}",
                f"{found['per_s']:,.0f}",
                f"{found['refused_per_s']:,.0f}",
                f"{found['cores']:.0%}",
                f"{found['lock']:.0%}",
                f"{found['group']:.1f}",
                f"{found['p50_ms']:,.0f}",
                f"{found['p99_ms']:,.0f}",
            ]
        )
    return "\n".join(
        [
            f"Of a core or a lock {raw['target']:.0%} may be taken; all writers of a log have a turn in {turn:.0f} ms.",
            "",
            _table(["requests/s", "databases (logs)", "workers each", "workers", *(f"{name}" for name in checks)], sizes),
            "",
            "One cell, simulated:",
            "",
            _table(
                ["requests/s", "of a cell", "answered", "refused", "cores", "lock", "entries a commit", "p50, ms", "p99, ms"],
                loads,
            ),
            "",
            "What ends first, as the load rises from the step before:",
            "",
            *_bottlenecks(steps),
            "",
            *_gpus(steps, raw["gpu"]),
        ]
    )


def _replicas(one: Mapping[str, Any], name: str) -> str:
    return f"{one['gpus'][name]:,} GPUs" if name in one["gpus"] else f"{one['replicas'][name]:,}"


def _bottlenecks(steps: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    before = "one process with a file"
    for one in steps:
        first, *rest = one["limits"]
        then = "".join(f"; then {limit['what']}, at {limit['per_s']:,.0f}/s" for limit in rest)
        enough = "" if first["per_s"] < one["rate"] else " (which this step does not reach: more is for the reserve)"
        yield f"- **to {one['rate']:,.0f}/s**, from {before}: {first['what']}, at {first['per_s']:,.0f}/s{enough}{then}."
        before = f"what {one['rate']:,.0f}/s needs"


def _gpus(steps: Sequence[Mapping[str, Any]], gpu: Mapping[str, float]) -> Iterable[str]:
    if gpu:
        given = ", ".join(f"{name} {speed:,.0f} texts/s" for name, speed in gpu.items())
        yield f"**Assumed, not measured here**: what one GPU does ({given}). Asking it takes nothing in this model."
        return
    texts = "; ".join(f"{one['rate']:,.0f}/s: {max(one['texts_per_s'].values()):,.0f}" for one in steps)
    yield f"No GPU was measured, and so none is counted. Texts a second that a check on GPUs would get: {texts}."


def _where(raw: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in raw["versions"].items())
    return f"{raw['machine']}, {versions}; {raw['date']}, load {raw['load']} before"


def _us(seconds: float) -> str:
    return f"{1e6 * seconds:,.0f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def put(text: str, parts: Mapping[str, str]) -> str:
    """A page with each part between its marks. Raises ValueError when it has no such marks."""
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"found no {begin} before an {end}, expected both")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text
