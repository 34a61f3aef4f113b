"""Starts a small Ray cluster for tests, says its address, and ends it when its input ends."""

from __future__ import annotations

import logging
import sys


def main() -> None:
    import ray

    found = ray.init(
        num_cpus=int(sys.argv[2]),
        object_store_memory=200_000_000,
        include_dashboard=False,
        _temp_dir=sys.argv[1],
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    print(found.address_info["gcs_address"], flush=True)
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
