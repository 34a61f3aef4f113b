"""Ports for servers that are told one before they listen."""

from __future__ import annotations

import os
import random
import socket

LANES = 16
_LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % LANES
_DRAW = random.SystemRandom()


def free_port() -> int:
    """One of 127.0.0.1 that nobody listens on.

    Below those that the kernel gives to connections (32768 and more), and each worker of a run draws from its own: until the
    server listens, nobody else takes it.
    """
    while True:
        port = _DRAW.randrange(12_000, 32_000, LANES) + _LANE
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
