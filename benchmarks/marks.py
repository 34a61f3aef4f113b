"""What each mark costs: put on and read back, and read again after the last one. Milliseconds of one core, medians.

python benchmarks/marks.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from PIL import Image

from guard.marks import order
from guard.marks.certificate import make_development
from guard.types import CALLER, Content, Marking, Modality, Operator, Request, Stage

PARAMETERS = {"label": {"profile": "gb45438"}}


def photograph(side: int) -> bytes:
    """Smooth colour with grain."""
    rng = np.random.default_rng(1)
    rough = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).resize((side, side))
    pixels = np.clip(np.asarray(rough, dtype=float) + rng.normal(0, 4, (side, side, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    certificate, key, _ = make_development(Path(tempfile.mkdtemp()))
    operator = Operator("benchmark", certificate, key)
    print("| side | mark | put on and read back, ms | read again, ms | bytes more |\n|---|---|---|---|---|")
    for side in (256, 512, 1024):
        content = Content(Modality.IMAGE, photograph(side), "image/png", Stage.OUTPUT, CALLER, Request("r", language="zh"))
        marking = Marking(UUID(int=5), datetime.now(UTC), "benchmark", 1, "0" * 64, content)
        for kind in (one for one in order.ORDER if one != "text_watermark"):
            marker = order.make(kind, PARAMETERS.get(kind, {}), Modality.IMAGE, operator)
            marker.load()
            put, again = [], []
            for _ in range(rounds):
                start = time.process_time()
                marked, mark = marker(content, marking)
                between = time.process_time()
                assert mark.verified, mark.error
                assert not marker.reread(marked, mark)
                put.append(between - start)
                again.append(time.process_time() - between)
            more = len(marked.file) - len(content.file)
            print(f"| {side} | {kind} | {statistics.median(put) * 1e3:.1f} | {statistics.median(again) * 1e3:.1f} | {more:+} |")
            content = marked


if __name__ == "__main__":
    main()
