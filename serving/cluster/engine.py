"""Deploys on a Ray cluster what policies and settings ask for, and hands out what stands for it here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic
from typing import Any, Self

from generators.batched import batched
from guard.errors import BusyError, CheckError, ModelError
from guard.instrument import Instrument
from guard.protocols import Check, Generator, StreamingGenerator
from guard.registry import checks as registry
from guard.rules import CheckSpec
from guard.traits import traits_of
from guard.types import Content, Scan
from serving.cluster.asking import Fault, Identity, RemoteCheck, RemoteInstrument, ours
from serving.cluster.generators import RemoteGenerator, RemoteStream
from serving.cluster.joining import joined, surroundings
from serving.cluster.replicas import CheckRecipe, CheckReplica, GeneratorRecipe, GeneratorReplica
from serving.cluster.section import Cluster, Placement
from serving.offered import offered

LOAD_S = 600.0
"""How long a deployment may take until a replica of it has its model."""
LOOK_S = 5.0
"""How often one looks meanwhile whether that has failed."""
STOP_S = 10.0
"""How long a replica may take to end."""
_ADVICE = "`serve status` says what it waits for: processors, GPUs, or a node with the same genguard."
_PLAIN = re.compile(r"[^A-Za-z0-9]+")


class RayEngine:
    """A cluster that this process has joined. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, stack: ExitStack) -> None:
        """`stack`: what is closed with it. Use `start`."""
        self._cluster, self._stack = cluster, stack
        self._around = tuple(sorted(surroundings().items()))
        self._lock = threading.Lock()
        self._started = False

    @classmethod
    def start(cls, cluster: Cluster) -> Self:
        """Join the cluster. Raises SettingsError where that cannot be."""
        stack = ExitStack()
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        stack.enter_context(joined(cluster, "serve"))
        return cls(cluster, stack)

    def close(self) -> None:
        """Leave the cluster; what is deployed on one that others run stays, for other gateways may ask it."""
        self._stack.close()

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

        with self._lock:
            if not self._started:
                serve.start(proxy_location="Disabled")  # callers come through this process
                self._started = True
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

    def _opened(self) -> Any:
        if self._handle is None:
            raise CheckError(f"deployment {self.name} was never opened")
        return self._handle

    async def ask(self, contents: Sequence[Content], seconds: float, wait: float, /) -> Sequence[Scan | Fault] | Fault:
        """See `Line`."""
        from ray.serve.exceptions import BackPressureError

        response = self._opened().remote(list(contents), seconds, wait)
        try:
            said: Sequence[Scan | Fault] | Fault = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except BackPressureError:
            raise _full() from None
        return said

    def ask_and_wait(self, contents: Sequence[Content], seconds: float, wait: float, /) -> Sequence[Scan | Fault] | Fault:
        """See `Line`."""
        from ray.serve.exceptions import BackPressureError

        response = self._opened().remote(list(contents), seconds, wait)
        try:
            said: Sequence[Scan | Fault] | Fault = response.result(timeout_s=seconds + wait)
        except BackPressureError:
            raise _full() from None
        finally:
            response.cancel()
        return said

    def stream(self, method: str, *arguments: Any) -> Any:
        """What a method of a generator's replica yields; has `cancel`."""
        return self._opened().options(method_name=method, stream=True).remote(*arguments)


def _full() -> BusyError:
    return BusyError(
        "found too many questions waiting for a replica, expected room", retry_after_s=1, advice="Ask again in 1 s."
    )
