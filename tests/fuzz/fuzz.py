"""Feeds readers what coverage-guided mutation makes of good files, each for a while: `make fuzz`, or with names of readers.

    python tests/fuzz/fuzz.py --seconds 60 proof policy

An input that brings out anything but our own errors, or takes longer than 10 s, or 2 GB, is kept in build/fuzz, and the exit
status is 1. Needs the extra `fuzz` (atheris); without it,
Hypothesis changes the same files in `tests/security/test_parsers.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "fuzz"
READERS = (
    "note",
    "public key",
    "checkpoint",
    "signed checkpoint",
    "proof",
    "certificate",
    "request to a witness",
    "policy",
    "query",
)
"""Of `tests.security.parsers.READERS`; those of pictures read with C, which is not instrumented here."""
LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=20000", "-print_final_stats=1", "-verbosity=0")


def main() -> int:
    """Fuzz each reader in a process of its own; how many found something."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of proofs, notes, policies and queries.")
    parser.add_argument("readers", nargs="*", default=list(READERS), help=f"some of: {', '.join(READERS)}")
    parser.add_argument("--seconds", type=int, default=30, help="for each reader")
    parser.add_argument("--alone", action="store_true", help="in this process, which ends with it")
    given = parser.parse_args()
    if unknown := set(given.readers) - set(READERS):
        parser.error(f"found readers {sorted(unknown)}, expected some of: {', '.join(READERS)}")
    if given.alone:
        return run(given.readers[0], given.seconds)
    failed = []
    for name in given.readers:
        print(f"== {name}, {given.seconds} s", flush=True)
        command = [sys.executable, __file__, name, "--alone", "--seconds", str(given.seconds)]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"found something in: {', '.join(failed)}; the inputs are in {KEPT}")
    return bool(failed)


def run(name: str, seconds: int) -> int:
    """Until the time is over, or something is found: libFuzzer ends the process itself."""
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: run `scripts/setup fuzz`, on Python 3.11 to 3.13 and Linux")
        return 1
    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["audit", "guard", "policies"]):
        from tests.security.parsers import READERS as KNOWN
    from guard.errors import GenguardError

    read, good = KNOWN[name]

    def once(data: bytes) -> None:
        try:
            read(data)
        except GenguardError:
            return

    slug = name.replace(" ", "-")
    corpus = KEPT / slug
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "good").write_bytes(good)
    atheris.Setup([slug, str(corpus), f"-max_total_time={seconds}", f"-artifact_prefix={KEPT}/{slug}-", *LIMITS], once)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
