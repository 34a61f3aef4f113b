"""What a caller is told when too much waits already."""

from __future__ import annotations

import json

from guard.errors import BusyError
from serving.gate import failure_response


def test_a_full_queue_is_answered_with_429_and_the_time_to_come_again() -> None:
    """In OpenAI's shape, so that their client waits and retries by itself."""
    answer = failure_response(BusyError("found 1024 contents waiting for this check", retry_after_s=7))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert json.loads(bytes(answer.body))["error"] == {
        "message": "found 1024 contents waiting for this check; ask again in 7 s",
        "type": "invalid_request_error",
        "code": "rate_limit_exceeded",
        "param": None,
    }
