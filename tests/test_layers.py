"""The house's walls: who imports whom, what loads when, what is built where, and what is never used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ("guard", "policies", "generators", "audit")
EDGES = (
    *("service", "cli", "bulk", "console", "demo", "doctor", "evaluation", "integrations", "serving", "settings", "sitegen"),
    "terminal",
)
OURS = {*CORE, *EDGES, "training", "benchmarks", "tests"}

HEAVY = {
    "PIL", "c2pa", "cv2", "detoxify", "diffusers", "faiss", "httpx", "imagehash", "imwatermark", "matplotlib", "numba",
    "onnxruntime", "pandas", "pdqhash", "presidio_analyzer", "pyarrow", "ray", "safetensors", "scipy", "spacy", "thinc",
    "numpy", "torch", "transformers",
}  # fmt: skip
HEAVY_AT_HOME = {
    "guard/compiled.py",
    "generators/mlp_gan.py",
    "generators/vq_vae.py",
    "guard/marks/tile_kernels.py",
    "guard/matching/kernels.py",
    "guard/matching/local_kernels.py",
    "audit/body_kernels.py",
    "policies/tabular.py",
}
"""Networks as classes: their base class is torch's. Loops that numba compiles, columns of numpy. Each imported when needed."""


@cache
def sources() -> tuple[Path, ...]:
    """All Python files of the project but its tests."""
    folders = (*CORE, *EDGES, "training", "benchmarks", "scripts")
    found = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return tuple(sorted([*found, *ROOT.glob("*.py")]))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def name_of(file: Path) -> str:
    """The module's dotted name."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(nodes: Iterator[ast.AST], package: str) -> Iterator[str]:
    """Dotted names that import statements among these nodes may load; of `from a import b` both `a` and `a.b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: -node.level + 1 or None]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def everywhere(file: Path) -> set[str]:
    """What a module imports, at its top or inside functions, and for types alone."""
    name = name_of(file)
    return set(imported(ast.walk(tree(file)), name if file.name == "__init__.py" else name.rpartition(".")[0]))


def on_import(file: Path) -> set[str]:
    """What a module imports when it is imported itself."""

    def running(body: list[ast.stmt]) -> Iterator[ast.AST]:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                yield from running(node.orelse)
                continue
            yield node
            for block in ("body", "orelse", "finalbody"):
                yield from running(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                yield from running(handler.body)

    return set(imported(running(tree(file).body), name_of(file).rpartition(".")[0]))


def of(package: str) -> list[Path]:
    return [file for file in sources() if file.relative_to(ROOT).parts[0] == package]


def shipped() -> list[Path]:
    """What is installed: the core and the places that wire it."""
    return [file for name in (*CORE, *EDGES) for file in (*of(name), *ROOT.glob(f"{name}.py"))]


def shown(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


# --- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", CORE)
def test_imports_point_downwards_only(package: str) -> None:
    """`guard` imports none of the others; the others import `guard`, and not one another."""
    assert of(package)
    allowed = {package, "guard"}
    wrong = {
        f"{shown(file)} imports {name}"
        for file in of(package)
        for name in everywhere(file)
        if name.split(".")[0] in OURS - allowed
    }
    assert not wrong


def test_measuring_stands_on_guard_and_policies_alone() -> None:
    """`evaluation` measures checks: it records nothing, generates nothing and prints nothing."""
    assert of("evaluation")
    allowed = {"evaluation", "guard", "policies"}
    wrong = {f"{shown(file)} imports {name}" for file in of("evaluation") for name in everywhere(file)}
    assert not {line for line in wrong if line.split()[-1].split(".")[0] in OURS - allowed}


def test_the_ledger_never_imports_checks() -> None:
    """It keeps what was measured and measures nothing."""
    wrong = {
        f"{shown(file)} imports {name}"
        for file in of("audit")
        for name in everywhere(file)
        if name.startswith(("guard.checks", "guard.chain", "guard.pipeline"))
    }
    assert not wrong


def test_the_verifier_never_imports_the_writer() -> None:
    """Neither itself nor through another module of `audit`: a fault of the writer must not blind its verifier."""
    modules = {name_of(file): file for file in of("audit")}
    reached: set[str] = set()
    waiting = ["audit.verify"]
    while waiting:
        name = waiting.pop()
        if name not in reached and name in modules:
            reached.add(name)
            waiting += sorted(everywhere(modules[name]))
    assert "audit.merkle" in reached
    assert not {name for name in reached if name.startswith(("audit.ledger", "audit.committer"))}


def test_nothing_shipped_imports_tests_or_training() -> None:
    """What is installed stands alone."""
    wrong = {
        f"{shown(file)} imports {name}"
        for file in shipped()
        for name in everywhere(file)
        if name.split(".")[0] in {"tests", "training", "benchmarks"}
    }
    assert not wrong


# --- what loads when -------------------------------------------------------------------------------------------------


def test_no_module_imports_a_heavy_library_at_its_top() -> None:
    """They load inside functions, when first used."""
    wrong = {
        f"{shown(file)} imports {name}"
        for file in shipped()
        if shown(file) not in HEAVY_AT_HOME
        for name in on_import(file)
        if name.split(".")[0] in HEAVY
    }
    assert not wrong


def loaded(*names: str) -> list[str]:
    """The modules that a fresh interpreter has after importing these."""
    script = f"import sys, json\nfor name in {names!r}: __import__(name)\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    return list(json.loads(done.stdout))


def test_importing_every_module_loads_no_heavy_library() -> None:
    """Not through a third library either: a fresh interpreter imports all of them and looks."""
    names = [name_of(file) for package in CORE for file in of(package) if shown(file) not in HEAVY_AT_HOME]
    roots = {name.split(".")[0] for name in loaded(*names)}
    assert not roots & HEAVY


def test_import_guard_is_light() -> None:
    """The frame alone: no event loop, no third-party library, few modules; under 0.15 s of one core."""
    bare, full = set(loaded()), set(loaded("guard"))
    added = full - bare
    assert not {name.split(".")[0] for name in added} - {"guard"} - set(sys.stdlib_module_names)
    assert not {"asyncio", "guard.pipeline", "guard.chain", "guard.registry"} & added
    assert len(added) < 60
    script = "import time; start = time.process_time(); import guard; print(time.process_time() - start)"
    seconds = min(
        float(subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    )
    assert seconds < 0.15


# --- what is built where ---------------------------------------------------------------------------------------------


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name that is called, as far as it has one."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def makers(value: str) -> set[str]:
    """The shipped files that call the value type of `guard.types` of that name."""
    dotted = {f"types.{value}", f"guard.types.{value}", f"guard.{value}"}
    return {
        shown(file)
        for file in shipped()
        for name, _ in calls(file)
        if name in dotted or (name == value and {f"guard.types.{value}", f"guard.{value}"} & everywhere(file))
    }


def test_releases_have_one_maker() -> None:
    """There is one way through."""
    assert makers("Release") == {"guard/pipeline.py"}


def test_receipts_come_from_the_ledger_alone() -> None:
    """Its writer makes them after the commit, also another process's; its reader again from what was committed."""
    assert makers("Receipt") == {"audit/ledger.py", "audit/query.py", "audit/relay/ledger.py"}


def test_verdicts_come_from_decide_alone() -> None:
    """The ledger reads them back; nobody else invents one."""
    assert {name for name in makers("Verdict") if not name.startswith("audit/")} == {"guard/decide.py"}


def test_no_module_is_over_600_lines() -> None:
    """Longer ones are two."""
    files = [*sources(), *(ROOT / "tests").rglob("*.py")]
    assert not {shown(file) for file in files if len(file.read_text("utf-8").splitlines()) > 600}


# --- no code from data -----------------------------------------------------------------------------------------------

FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"}
FORBIDDEN_ARGUMENTS = {"trust_remote_code": True, "shell": True, "allow_pickle": True, "weights_only": False}


def test_no_pickles() -> None:
    """Weights are safetensors, or tensors alone; only the error of a refused pickle may be named."""
    wrong = {
        f"{shown(file)} imports {name}"
        for file in sources()
        for name in everywhere(file)
        if name.split(".")[0] in FORBIDDEN_MODULES and name != "pickle"
    }
    wrong |= {
        f"{shown(file)}:{node.lineno}: {ast.unparse(node)}"
        for file in sources()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle" and node.attr != "UnpicklingError"
    }
    assert not wrong


def test_no_code_is_made_from_data() -> None:
    """No `eval`, no unsafe YAML, no remote code, no shell, no loader that may run what it reads."""
    wrong = set()
    for file in sources():
        for name, call in calls(file):
            where = f"{shown(file)}:{call.lineno}: {name}"
            given = {one.arg: one.value for one in call.keywords}
            if name in FORBIDDEN_CALLS:
                wrong.add(where)
            if name == "torch.load" and not _is(given.get("weights_only"), True):
                wrong.add(f"{where} without weights_only=True")
            wrong |= {f"{where}({key}={value})" for key, value in FORBIDDEN_ARGUMENTS.items() if _is(given.get(key), value)}
    assert not wrong


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
