"""Scanners that do nothing through LLM Guard's `scan_output`."""

from pathlib import Path

from llm_guard import scan_output
from llm_guard.output_scanners.base import Scanner
from llm_guard.util import configure_logger
from playing import TEXT, Call, play


class Nothing(Scanner):
    """Lets everything pass."""

    def scan(self, _prompt: str, output: str) -> tuple[str, bool, float]:
        """As it came."""
        return output, True, -1.0


def prepare(case: str, _folder: Path) -> Call:
    """A class for each scanner: results go by the name of the class."""
    count = int(case)
    scanners = [type(f"Nothing{number}", (Nothing,), {})() for number in range(count)]

    async def call() -> object:
        return scan_output(scanners, "prompt", TEXT)

    return call


configure_logger("WARNING")  # else it prints every scan
play(prepare)
