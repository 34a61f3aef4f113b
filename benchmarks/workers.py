"""What `genguard serve --workers N` costs and carries: memory of all its processes, and answers a second.

    python benchmarks/workers.py [--workers 1 4] [--policy enterprise] [--postgres] [--seconds 10] [--callers 32] [--json]
    python benchmarks/workers.py --mapped       what processes share that load one model of `transformers`

Memory is read from /proc/PID/smaps_rollup after every worker has answered: `rss` counts a page in each process that maps it,
`pss` shares it among them, so that the sum of `pss` is what the machine has to have. Answers are of the generator `echo`, over
connections that are kept, from threads of this process, which takes a core for itself: of few cores it is the bound.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ports import free_port
from postgres import Server, fresh

BODY = {
    "model": "echo",
    "messages": [{"role": "user", "content": "Good morning. It rains, so we stay at home and read a book."}],
}


def main() -> None:
    """Measure each number of workers, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--policy", default="enterprise")
    parser.add_argument("--postgres", action="store_true", help="On a server of its own in place of a file.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mapped", action="store_true")
    asked = parser.parse_args()
    if asked.mapped:
        mapped()
        return
    server = Server.start() if asked.postgres else None
    try:
        found = [measured(one, asked, server) for one in asked.workers]
    finally:
        if server is not None:
            server.close()
    if asked.json:
        print(json.dumps({"machine": f"{platform.machine()}, {os.cpu_count()} cores", "measured": found}, indent=2))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, policy {asked.policy}, {asked.callers} callers")
    for one in found:
        print(f"{one['workers']} workers: {one['per_s']:.0f} answers/s, {one['cpu_us']:.0f} us of CPU each; ", end="")
        print(f"rss {one['rss']} MB, pss {one['pss']} MB in all")
        for part in one["parts"]:
            print(f"    {part['what']:12} rss {part['rss']:5} MB  pss {part['pss']:5} MB  of files {part['files']:4} MB")


LOADER = """
import sys, torch, transformers
model = transformers.GPT2LMHeadModel.from_pretrained(sys.argv[1], local_files_only=True, use_safetensors=True)
with torch.no_grad():
    model(torch.tensor([[1, 2, 3]]))
print("loaded", flush=True)
sys.stdin.read()
"""


def mapped() -> None:
    """Memory of one process, and of each of two, that have loaded a GPT-2 of chance weights and used it."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        config = transformers.GPT2Config(n_embd=768, n_layer=6, n_head=12, vocab_size=20_000, bos_token_id=0, eos_token_id=0)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
        os.sync()  # pages that wait to be written would count as changed
        print(f"a model of {sum(one.stat().st_size for one in Path(folder).glob('*.safetensors')) >> 20} MB")
        for count in (1, 2):
            command = [sys.executable, "-c", LOADER, folder]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            loading = [subprocess.Popen(command, **pipes) for _ in range(count)]
            for one in loading:
                one.stdout.readline()
            found = [memory(one.pid) for one in loading]
            for one in loading:
                one.communicate(timeout=60)
            print(f"{count} processes: " + ", ".join(f"rss {one['rss']} pss {one['pss']} MB" for one in found))


def measured(workers: int, asked: Any, server: Server | None) -> dict[str, Any]:
    """Start it, ask it, read what it takes, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = fresh(server.url("postgres")) if server else f"sqlite:///{folder}/ledger.db"
        port = free_port()
        options = ["--policy", asked.policy, "--ledger", ledger, "--port", str(port), "--generators", "echo"]
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", "--workers", str(workers), *options],
            env={**os.environ, "PYTHONPATH": str(ROOT), "GENGUARD_KEY_FOLDER": folder, "GENGUARD_LOG_LEVEL": "error"},
            cwd=folder,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait(url, process)
            answers(url, 2.0, asked.callers)  # so that each has used all that it loads
            before, since = cpu(family(process.pid)), time.monotonic()
            count = answers(url, asked.seconds, asked.callers)
            took = time.monotonic() - since
            spent = cpu(family(process.pid)) - before
            parts = [memory(one) for one in family(process.pid)]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
    return {
        "workers": workers,
        "per_s": count / took,
        "cpu_us": spent / max(1, count) * 1e6,
        "rss": sum(one["rss"] for one in parts),
        "pss": sum(one["pss"] for one in parts),
        "parts": parts,
    }


def wait(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until it is ready."""
    while process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(f"the service ended with {process.returncode}")


def answers(url: str, seconds: float, callers: int) -> int:
    """How many answers threads got."""
    until, counts = time.monotonic() + seconds, [0] * callers

    def ask(number: int) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while time.monotonic() < until:
                counts[number] += client.post("/v1/chat/completions", json=BODY).status_code == 200

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(callers)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return sum(counts)


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def cpu(pids: list[int]) -> float:
    """Seconds of CPU that processes have taken."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> dict[str, Any]:
    """Megabytes of a process, and what it is."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) // 1024
    command = Path(f"/proc/{pid}/cmdline").read_text()
    what = "worker" if "workers.part" in command else "committer" if "committer" in command else "supervisor"
    return {"what": what, "rss": found["Rss"], "pss": found["Pss"], "files": found["Rss"] - found["Anonymous"]}


if __name__ == "__main__":
    main()
