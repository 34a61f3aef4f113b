"""Starts a small Ray cluster for tests and says its address; loses parts of it as its input says, ends with that.

Lines of input, of a cluster of several nodes: `node`, `head` (nothing answers at its port any more), `again` (all of it anew).

holder.py FOLDER CPUS [NODES]
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

STORE = 200_000_000


def one(folder: str, cpus: int) -> None:
    """One node."""
    import ray

    found = ray.init(
        num_cpus=cpus,
        object_store_memory=STORE,
        include_dashboard=False,
        _temp_dir=folder,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    print(found.address_info["gcs_address"], flush=True)
    sys.stdin.read()
    ray.shutdown()


class Several:
    """Nodes on this machine, of which the first is the head."""

    def __init__(self, folder: str, cpus: int, nodes: int) -> None:
        self.facts: dict[str, Any] = {"num_cpus": cpus, "object_store_memory": STORE}
        self.head: dict[str, Any] = {"include_dashboard": False, "temp_dir": folder}
        self.nodes = nodes
        self.again()

    def again(self) -> None:
        """Start it, at the port that it had."""
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster

        # Ray notes the address there, whatever folder it was given, and expects that to be there.
        Path(get_default_ray_temp_dir()).mkdir(exist_ok=True)
        self.cluster = Cluster(initialize_head=True, head_node_args=self.facts | self.head)
        self.others = [self.cluster.add_node(**self.facts) for _ in range(self.nodes - 1)]
        self.head["gcs_server_port"] = int(self.cluster.address.rpartition(":")[2])

    def lose_node(self) -> None:
        """As if its machine had gone."""
        self.cluster.remove_node(self.others.pop(), allow_graceful=False)

    def lose_head(self) -> None:
        """The process that knows all others."""
        self.cluster.head_node.kill_gcs_server(check_alive=False)

    def anew(self) -> None:
        """Whoever lost the head is started again, too."""
        for node in (self.cluster.head_node, *self.others):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
        self.again()


def several(folder: str, cpus: int, nodes: int) -> None:
    """Several nodes."""
    made = Several(folder, cpus, nodes)
    print(made.cluster.address, flush=True)
    orders = {"node": made.lose_node, "head": made.lose_head, "again": made.anew}
    for line in sys.stdin:
        orders[line.strip()]()
        print("done", flush=True)
    made.cluster.shutdown()


def main() -> None:
    folder, cpus, *nodes = sys.argv[1:]
    if nodes:
        several(folder, int(cpus), int(nodes[0]))
    else:
        one(folder, int(cpus))


if __name__ == "__main__":
    main()
