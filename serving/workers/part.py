"""One worker: a service as any other, on sockets that it shares: `python -m serving.workers.part`, as its supervisor orders."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from audit.ledger import SqlLedger, open_ledger
from serving.workers.orders import READY, WIRED, Orders, follow, give_up, main, read_orders
from serving.workers.team import Team

RETURN_S = 0.5
"""How long threads in a model's native code may take to come back before the process ends without them."""


def run() -> None:
    """Serve until the order to end comes, or a signal. Raises what `service.serve` does."""
    import service
    from serving.server import Server

    warnings.filterwarnings("ignore")  # of libraries; the supervisor's environment quiets the rest
    orders, settings = read_orders()
    server: Server | None = None
    follow(lambda wait: server.leave(wait) if server is not None else give_up())
    team = Team(orders.index, orders.count, Path(orders.folder))
    with service.prepared(settings, team=team, opening=_opening(orders)) as app:
        orders.say(WIRED)
        sockets = [socket.socket(fileno=one) for one in orders.sockets]
        server = Server(app, settings, app.state.turnstile, begun=partial(orders.say, READY))
        server.run(sockets)


def _opening(orders: Orders) -> Callable[..., SqlLedger]:
    from audit.relay.ledger import open_relayed

    if not orders.relayed:
        return open_ledger
    return lambda url, *, key_file=None: open_relayed(url, orders.committer, key_file=key_file)


def _end(code: int) -> None:
    """End; a thread inside a model's native code would abort an interpreter that ends in the usual way."""
    from guard.workers import busy

    if busy(RETURN_S):
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _end(main(run))
