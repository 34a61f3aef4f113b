"""What a service loaded is no part of the search for garbage."""

import gc
import weakref
from pathlib import Path

from service_client import served


class Knot:
    """An object that nothing but itself refers to."""

    def __init__(self) -> None:
        self.itself = self


def test_what_a_service_loaded_is_kept_out_of_the_search_for_garbage_until_it_is_stopped(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        assert client.get("/readyz").status_code == 200
        assert gc.get_freeze_count() > 10_000
        knot = weakref.ref(Knot())
        gc.collect()
        assert knot() is None  # what is made while it runs goes as ever
    assert gc.get_freeze_count() == 0
