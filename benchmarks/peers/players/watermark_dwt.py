"""invisible-watermark's method `dwtDct`."""

from pathlib import Path

import cv2
import numpy as np
from imwatermark import WatermarkDecoder, WatermarkEncoder
from marking import BYTES, work
from playing import Work, play


def prepare(case: str, folder: Path, method: str = "dwtDct") -> Work:
    """Mark, or read. The library wants blue before green before red."""
    cv2.setNumThreads(1)

    def embed(picture: np.ndarray, payload: bytes) -> np.ndarray:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bytes", payload)
        return np.asarray(encoder.encode(picture[..., ::-1].copy(), method))[..., ::-1].astype(np.uint8)

    def read(picture: np.ndarray) -> bytes:
        return bytes(WatermarkDecoder("bytes", 8 * BYTES).decode(picture[..., ::-1].copy(), method))

    return work(case, folder, embed, read)


if __name__ == "__main__":
    play(prepare)
