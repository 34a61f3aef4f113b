"""Deploys on a Ray cluster what policies and settings ask for, and hands out what stands for it here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import threading
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Self

from generators.batched import batched
from guard.errors import BusyError, ModelError
from guard.instrument import Instrument, cancelled
from guard.protocols import Check, Generator, StreamingGenerator
from guard.registry import checks as registry
from guard.rules import CheckSpec
from guard.traits import traits_of
from guard.types import Content, Scan
from serving.cluster.asking import Fault, Followed, Identity, RemoteCheck, RemoteInstrument, ours
from serving.cluster.generators import RemoteGenerator, RemoteStream
from serving.cluster.joining import surroundings
from serving.cluster.membership import Membership, enter, leave
from serving.cluster.replicas import CheckRecipe, CheckReplica, GeneratorRecipe, GeneratorReplica
from serving.cluster.section import Cluster, Placement
from serving.offered import offered

LOAD_S = 600.0
"""How long a deployment may take until a replica of it has its model."""
LOOK_S = 5.0
"""How often one looks meanwhile whether that has failed."""
STOP_S = 10.0
"""How long a replica may take to end."""
LOST = "the connection to the cluster was lost"
_ADVICE = "`serve status` says what it waits for: processors, GPUs, or a node with the same genguard."
_PLAIN = re.compile(r"[^A-Za-z0-9]+")


class RayEngine:
    """A cluster that this process has joined. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, membership: Membership) -> None:
        """`membership`: left when it is closed. Use `start`."""
        self._cluster, self._membership = cluster, membership
        self._around = tuple(sorted(surroundings().items()))
        self._lock = threading.Lock()
        self._started = 0

    @classmethod
    def start(cls, cluster: Cluster) -> Self:
        """Join the cluster. Raises SettingsError where that cannot be."""
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        return cls(cluster, enter(cluster))

    def close(self) -> None:
        """Leave the cluster; what is deployed on one that others run stays, for other gateways may ask it."""
        leave(self._membership)

    def follow(self, line: RayLine) -> None:
        """Open it anew with each connection."""
        self._membership.follow(line)

    def trouble(self) -> str:
        """Why this process is not, or not safely, on the cluster; empty when it is."""
        return self._membership.trouble

    def instrument(self, spec: CheckSpec) -> Instrument:
        """What asks a check: there or, where the settings leave it, here. Raises RegistryError for one that cannot be built."""
        check = registry.make(spec.use, spec.parameters)
        placement = self._cluster.of_check(spec.use, models=traits_of(check).estimates)
        if placement is None:
            return Instrument(spec, check)
        made = json.dumps([spec.use, spec.parameters, _version(check), self._around], sort_keys=True, default=repr)
        line = RayLine(self, _name("check", spec.use, made), CheckReplica, CheckRecipe(spec, self._around), placement)
        return RemoteInstrument(spec, RemoteCheck(check, line))

    def offered(self, named: Sequence[str]) -> dict[str, Generator]:
        """The generators by name: there or here. Raises as `serving.offered.offered`."""
        offered(named)  # names that stand twice, in different files
        return {name: self._generator(one, name, made) for one in named for name, made in offered([one]).items()}

    def _generator(self, named: str, name: str, made: Generator) -> Generator:
        placement = self._cluster.of_generator(name)
        if placement is None:
            return batched(made)
        recipe = GeneratorRecipe(named, name, self._around)
        line = RayLine(self, _name("generator", name, repr(recipe)), GeneratorReplica, recipe, placement)
        kind = RemoteStream if isinstance(made, StreamingGenerator) else RemoteGenerator
        return kind(made.name, made.modality, line)

    @staticmethod
    def state(name: str) -> str:
        """Of a deployment, in Serve's words; empty for one that is not there."""
        from ray import serve

        found = serve.status().applications.get(name)
        return str(found.status.value) if found else ""

    def deploy(self, name: str, replica: type, recipe: Any, placement: Placement) -> Any:
        """A handle of a deployment, which is made where it is not there yet."""
        from ray import serve

        if not self._membership.joined:
            raise ModelError(f"deployment {name} cannot be made: {self._membership.trouble}")
        with self._lock:
            if self._started != self._membership.times:
                times = self._membership.times
                serve.start(proxy_location="Disabled")  # callers come through this process
                self._started = times
            if self.state(name) in {"", "DEPLOY_FAILED", "DELETING", "NOT_STARTED"}:
                made = serve.deployment(replica, name=name, **_options(placement)).bind(recipe)
                target = serve.RunTarget(made, name, None)
                serve.run_many([target], wait_for_applications_running=False)
            return serve.get_app_handle(name)


def _version(check: Check) -> str:
    """Empty where it cannot be told before the model is loaded."""
    try:
        return check.version
    except Exception:  # noqa: BLE001 - as in guard.chain: the replica tells it
        return ""


def _name(kind: str, of: str, made: str) -> str:
    return f"genguard-{kind}-{_PLAIN.sub('-', of)}-{hashlib.sha256(made.encode()).hexdigest()[:12]}"


def _options(placement: Placement) -> dict[str, Any]:
    """A placement in Serve's words."""
    scale: dict[str, Any] = {"num_replicas": placement.replicas or 1}
    if placement.max_replicas is not None:
        least, most = placement.min_replicas, placement.max_replicas
        scale = {
            "autoscaling_config": {
                "min_replicas": least, "max_replicas": most, "target_ongoing_requests": placement.target
            }
        }  # fmt: skip
    return {
        **scale,
        "ray_actor_options": {"num_cpus": placement.cpus, "num_gpus": placement.gpus},
        "max_replicas_per_node": placement.per_node,
        "max_ongoing_requests": placement.ongoing,
        "max_queued_requests": placement.queued,
        "graceful_shutdown_timeout_s": STOP_S,
    }


class RayLine:
    """The way to the replicas of one deployment, which is made when it is opened."""

    def __init__(self, engine: RayEngine, name: str, replica: type, recipe: Any, placement: Placement) -> None:
        """Nothing is deployed yet."""
        self._engine, self.name, self._recipe = engine, name, (replica, recipe, placement)
        self._handle: Any = None
        self._waiting: set[asyncio.Task[Any]] = set()

    def open(self) -> Identity:
        """See `Line`."""
        try:
            handle = self._engine.deploy(self.name, *self._recipe)
            found = self._introduced(handle)
        except Exception as error:
            if ours(error):
                raise
            raise ModelError(
                f"deployment {self.name} has no replica that answers ({type(error).__name__})",
                advice=_ADVICE,
            ) from None
        self._handle = handle
        self._engine.follow(self)
        return found

    def _introduced(self, handle: Any) -> Identity:
        """What a replica says of itself. Raises TimeoutError, and ModelError as soon as it is clear that there will be none."""
        response = handle.identity.remote()
        until = monotonic() + LOAD_S
        while True:
            try:
                found: Identity = response.result(timeout_s=LOOK_S)
            except TimeoutError:
                if (state := self._engine.state(self.name)) == "DEPLOY_FAILED":
                    raise ModelError(f"deployment {self.name} cannot start ({state})", advice=_ADVICE) from None
                if monotonic() > until:
                    response.cancel()
                    raise
            else:
                return found

    def lost(self) -> None:
        """See `serving.cluster.membership.Opened`."""
        self._handle = None
        for one in tuple(self._waiting):
            with suppress(RuntimeError):  # its loop is closed
                one.get_loop().call_soon_threadsafe(one.cancel)

    def _opened(self) -> Any:
        handle = self._handle
        if handle is None:
            raise ConnectionError(f"deployment {self.name} is not open")
        return handle

    async def ask(self, contents: Sequence[Content], seconds: float, wait: float, /) -> Sequence[Scan | Fault] | Fault:
        """See `Line`."""
        said: Sequence[Scan | Fault] | Fault = await self._ask("", list(contents), seconds, wait)
        return said

    async def follow(self, key: str, text: str, seconds: float, wait: float, /, *, ending: bool) -> Followed | Fault:
        """See `Line`."""
        said: Followed | Fault = await self._ask("follow", key, text, seconds, wait, ending)
        return said

    async def _ask(self, method: str, *arguments: Any) -> Any:
        handle = self._opened()
        response = (getattr(handle, method) if method else handle).remote(*arguments)
        try:
            return await self.answer(handle, response)
        except (asyncio.CancelledError, ConnectionError):
            _cancel(response)
            raise
        except Exception as error:  # noqa: BLE001 - raised again
            raise _full() if _pressed(error) else error from None

    async def answer(self, handle: Any, response: Awaitable[Any]) -> Any:
        """What a replica answers. Raises ConnectionError as soon as the connection is lost, with which Ray would wait on."""
        waiting = asyncio.ensure_future(_awaited(response))
        self._waiting.add(waiting)
        try:
            if self._handle is not handle:
                raise ConnectionError(LOST)
            return await waiting
        except asyncio.CancelledError as error:
            if cancelled(error):
                raise
            raise ConnectionError(LOST) from None
        finally:
            waiting.cancel()
            self._waiting.discard(waiting)

    def ask_and_wait(self, contents: Sequence[Content], seconds: float, wait: float, /) -> Sequence[Scan | Fault] | Fault:
        """See `Line`."""
        response = self._opened().remote(list(contents), seconds, wait)
        try:
            said: Sequence[Scan | Fault] | Fault = response.result(timeout_s=seconds + wait)
        except Exception as error:  # noqa: BLE001 - raised again
            raise _full() if _pressed(error) else error from None
        finally:
            _cancel(response)
        return said

    def stream(self, method: str, *arguments: Any) -> Any:
        """What a method of a generator's replica yields; has `cancel`."""
        handle = self._opened()
        return _Items(self, handle, handle.options(method_name=method, stream=True).remote(*arguments))


class _Items:
    """What a replica yields, as long as there is a connection."""

    def __init__(self, line: RayLine, handle: Any, response: Any) -> None:
        self._line, self._handle, self._response = line, handle, response

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._line.answer(self._handle, anext(self._response))

    def cancel(self) -> None:
        _cancel(self._response)


async def _awaited(response: Awaitable[Any]) -> Any:
    return await response


def _cancel(response: Any) -> None:
    """End it there, where there still is somebody."""
    with suppress(Exception):
        response.cancel()


def _pressed(error: Exception) -> bool:
    """Whether Serve says that too much waits."""
    from ray.serve.exceptions import BackPressureError

    return isinstance(error, BackPressureError)


def _full() -> BusyError:
    return BusyError(
        "found too many questions waiting for a replica, expected room", retry_after_s=1, advice="Ask again in 1 s."
    )
