"""Joins a Ray cluster, or starts one on this machine. Ray is imported when it is first used, and told to report nothing."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from guard.errors import SettingsError
from serving.cluster.section import Cluster

NEEDS_EXTRA = "Install it with: pip install 'genguard[ray]'."
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a call that comes after the end would start a cluster
    "RAY_worker_niceness": "0",  # of a cluster that is started here: checks are no background work
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as a later Ray does anyway, and warns until then
}
KNOCK_S = 10.0
"""How long the head of a cluster may take to be connected to."""


def need_ray(part: str) -> Any:
    """The module `ray`, whose `part` (`data`, `serve`) can be imported. Raises SettingsError where it is not installed."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import importlib

        importlib.import_module(f"ray.{part}")
        return importlib.import_module("ray")
    except ImportError as error:
        raise SettingsError(
            f"the engine ray needs the package ray[{part}], found none that can be used ({error.name or 'broken'})",
            advice=NEEDS_EXTRA,
        ) from None


@contextmanager
def joined(cluster: Cluster, part: str) -> Iterator[Any]:
    """Ray, connected; left again at the end, and ended where it was started here. Raises SettingsError where that cannot be."""
    ray = need_ray(part)
    join(ray, cluster)
    try:
        yield ray
    finally:
        ray.shutdown()


def join(ray: Any, cluster: Cluster) -> None:
    """Connect. Raises SettingsError for a cluster that is not there, or another version's."""
    address = cluster.address or os.environ.get("RAY_ADDRESS") or None
    own: dict[str, Any] = {} if address else {"include_dashboard": False}
    if not address and cluster.object_store is not None:
        own["object_store_memory"] = int(cluster.object_store)
    try:
        _knock(address or "")
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        where = "the cluster at the given address" if address else "a cluster on this machine"
        raise SettingsError(
            f"cannot join {where} ({type(error).__name__}), expected a Ray cluster of version {ray.__version__}",
            advice="Start one with `ray start --head`, and name it: [ray] address, or RAY_ADDRESS.",
        ) from None


@contextmanager
def kept_signals() -> Iterator[None]:
    """What SIGTERM and SIGINT do here stays as it is: Ray takes them when it connects, and forgets them when it leaves.

    For any thread; `signal.signal` is for the main one.
    """
    import ctypes

    read, write = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    read.restype = write.restype = ctypes.c_void_p
    write.argtypes = [ctypes.c_int, ctypes.c_void_p]
    before = {one: read(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, action in before.items():
            write(one, action)


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at host:port: Ray itself asks there for minutes before it gives up."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def surroundings() -> dict[str, str]:
    """What workers need to find the same banks and models: absolute paths, which have to be there on each node."""
    banks = os.path.abspath(os.environ.get("GENGUARD_BANKS") or "banks")  # noqa: PTH100 - as text, for a variable
    models = os.environ.get("GENGUARD_MODELS", "")
    found = os.pathsep.join(os.path.abspath(one) for one in models.split(os.pathsep) if one)  # noqa: PTH100
    return {"GENGUARD_BANKS": banks, **({"GENGUARD_MODELS": found} if found else {})}
