"""Who asks a service, and what is measured in one process."""

import asyncio
import json
from itertools import islice
from pathlib import Path

from benchmarks.capacity.load import Load, requests
from benchmarks.capacity.measure import chain, checks
from benchmarks.capacity.pace import Pace, Runs
from benchmarks.capacity.workload import NOTHING, bodies, texts
from policies import loads


def test_no_two_messages_are_alike(tmp_path: Path) -> None:
    made = list(islice(texts(), 500))
    assert len(set(made)) == 500
    assert made == list(islice(texts(), 500))
    file = tmp_path / "texts"
    file.write_text("Mine.\n\nAlso mine.\n", "utf-8")
    mine = list(islice(texts(file=file), 50))
    assert len(set(mine)) == 50
    assert all(one.startswith(("Mine., ticket", "Also mine., ticket")) for one in mine)
    body = json.loads(next(bodies(iter(["Hello"]), "language", 16)))
    assert body == {"model": "language", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}


def test_all_that_is_asked_is_answered_once() -> None:
    """Callers that come again, at once or after a while, and a Poisson process; a body that is larger than one packet."""
    seen: list[int] = []
    serving: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        while head := await reader.readline():
            length = 0
            while head.strip():
                if head.lower().startswith(b"content-length:"):
                    length = int(head.split(b":")[1])
                head = await reader.readline()
            seen.append(len(json.loads(await reader.readexactly(length))["messages"]))
            status = b"503 Busy" if len(seen) % 10 == 0 else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def both() -> list[Load]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = []
        async with server:
            for rate, callers, pause in ((0.0, 3, 0.0), (0.0, 2, 0.05), (60.0, 0, 0.0)):
                load = Load(port, requests(port, "echo", 0, 1))
                await load.run(0.5, rate, callers, pause)
                found.append(load)
            await asyncio.gather(*(task for task in serving if task))
        return found

    loads = closed, paused, _ = asyncio.run(both())
    assert len(seen) == sum(sum(load.statuses.values()) for load in loads)
    assert sum(paused.statuses.values()) < sum(closed.statuses.values()) / 2
    for load in loads:
        assert set(load.statuses) <= {200, 503}
        assert len(load.taken) <= load.statuses[200] > 0
        assert all(taken > 0 for taken in load.taken)


def test_costs_of_a_chain_and_of_checks_are_measured(tmp_path: Path) -> None:
    seen = tmp_path / "laps"
    seen.write_text("1 100\n2 100\n", "utf-8")
    runs = Runs(1, Pace(seen))
    found = chain(runs, 20)
    assert [one["checks"] for one in found] == [1, 10]
    assert all(one["cpu_us"][0] > 0 for one in found)
    (name, measured) = checks(loads(NOTHING), texts(), runs).popitem()
    assert (name, measured["stages"], measured["blocking"]) == ("hidden", ["prompt", "output"], True)
    assert list(measured["calls"]) == ["1", "8", "32"]
    assert all(one["cpu_us"][0] > 0 and one["wall_us"][0] > 0 for one in measured["calls"].values())
