"""Cuts the font of visible labels out of Noto Sans CJK SC: Latin, punctuation, and the 3,755 common characters of GB 2312.

    pip install "fonttools>=4.50" && apt-get install fonts-noto-cjk
    python training/label_font/build.py [--font /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc]

Writes guard/marks/fonts/NotoSansSC-label.otf. The same font file gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection

TARGET = Path(__file__).parents[2] / "guard" / "marks" / "fonts" / "NotoSansSC-label.otf"
FACE = "Noto Sans CJK SC"
MOST_BYTES = 1_050_000
LATIN = (*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x218, 0x21C), 0x1E9E)
"""ASCII, Latin-1, Latin Extended-A, and the letters of Romanian and German beyond it."""
SIGNS = "–—‘’‚“”„•…‹›€™←↑→↓●★☆"
EXTRA = "镕"
"""Characters that labels want and level 1 lacks: a name that is common all the same."""


def level_one() -> set[int]:
    """GB 2312 rows 1 (signs), 3 (full-width ASCII) and 16 to 55 (level 1), as code points."""
    found = set()
    for row in (1, 3, *range(16, 56)):
        for cell in range(1, 95):
            try:
                found.add(ord(bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312")))
            except UnicodeDecodeError:
                continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--font", type=Path, default=Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"))
    given = parser.parse_args()
    faces = {font["name"].getDebugName(4): font for font in TTCollection(str(given.font)).fonts}
    font = faces[FACE]
    options = subset.Options(hinting=False, desubroutinize=False, notdef_outline=True, recalc_timestamp=False)
    options.layout_features = []
    options.name_IDs = [0, 1, 2, 4, 5, 6, 7, 8, 9, 11, 13, 14]
    options.name_languages = [0x409]
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE", "GPOS", "GSUB", "DSIG"]
    wanted = set(LATIN) | level_one() | {ord(one) for one in SIGNS + EXTRA}
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=wanted)
    cutter.subset(font)
    missing = wanted - set(font.getBestCmap())
    font.recalcTimestamp = False
    buffer = io.BytesIO()
    font.save(buffer)
    data = buffer.getvalue()
    if len(data) > MOST_BYTES:
        raise SystemExit(f"found a font of {len(data)} bytes, expected at most {MOST_BYTES}")
    TARGET.write_bytes(data)
    print(f"{TARGET}: {len(data)} bytes, {len(wanted) - len(missing)} characters; {FACE} lacks {len(missing)} of those wanted")


if __name__ == "__main__":
    main()
