"""Makes guard/text/frequent.txt: the words of thirty public-domain books, most frequent first.

    python training/words/frequent.py [--data ../shared/data] [--count 8000]

Words of lower-case letters alone, so that names stay out; single letters other than `a` and `i` are left out too.
"""

from __future__ import annotations

import argparse
import os
import re
import zipfile
from collections import Counter
from pathlib import Path

OUT = Path(__file__).parents[2] / "guard" / "text" / "frequent.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GENGUARD_DATA", "../shared/data")))
    parser.add_argument("--count", type=int, default=8000)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with zipfile.ZipFile(options.data / "books_public_domain" / "books.zip") as archive:
        for name in sorted(archive.namelist()):
            counts.update(re.findall(r"(?<![\w'’])[a-z]+(?![\w'’])", archive.read(name).decode("utf-8")))
    words = sorted((word for word in counts if len(word) > 1 or word in "ai"), key=lambda word: (-counts[word], word))
    OUT.write_text("\n".join(words[: options.count]) + "\n", "utf-8")
    print(f"{len(words[: options.count])} of {len(words)} words, the last {counts[words[options.count - 1]]} times")


if __name__ == "__main__":
    main()
