"""Starts a small Ray cluster for tests and says its address; loses a node for each line of its input, ends with it.

holder.py FOLDER CPUS [NODES]
"""

from __future__ import annotations

import logging
import sys
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


def several(folder: str, cpus: int, nodes: int) -> None:
    """Several nodes on this machine, of which all but the first may be lost."""
    from ray.cluster_utils import Cluster

    facts: dict[str, Any] = {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=facts)
    others = [cluster.add_node(num_cpus=cpus, object_store_memory=STORE) for _ in range(nodes - 1)]
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(others.pop(), allow_graceful=False)
        print("lost", flush=True)
    cluster.shutdown()


def main() -> None:
    folder, cpus, *nodes = sys.argv[1:]
    if nodes:
        several(folder, int(cpus), int(nodes[0]))
    else:
        one(folder, int(cpus))


if __name__ == "__main__":
    main()
