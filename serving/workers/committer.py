"""The process that commits for the workers of one machine, where the ledger is a file: `python -m serving.workers.committer`.

It ends when its supervisor says so, or is gone and no worker is connected any more; signals do not end it, for whoever sends
them to all of a service must not take it from workers that are still answering.
"""

from __future__ import annotations

import signal
import sys
import threading
import time

from audit.relay.desk import Desk, open_committing
from serving.watching import logs
from serving.workers.orders import READY, follow, main, read_orders

LEFT_S = 60.0
"""How long workers may stay connected after the order to end."""
_PAUSE_S = 0.05


def run() -> None:
    """Commit until the order to end comes. Raises LedgerError, SettingsError."""
    orders, settings = read_orders()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    logs.configure(settings.log_format, settings.log_level, part="committer")
    ledger = open_committing(settings.ledger, key_file=settings.key_file, callers=orders.count)
    desk = Desk(ledger, orders.committer)
    follow(lambda _: threading.Thread(target=_leave, args=(desk,), daemon=True).start())
    orders.say(READY)
    desk.serve()
    desk.close()


def _leave(desk: Desk) -> None:
    until = time.monotonic() + LEFT_S
    while desk.callers and time.monotonic() < until:
        time.sleep(_PAUSE_S)
    desk.leave()


if __name__ == "__main__":
    sys.exit(main(run))
