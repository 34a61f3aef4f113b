"""Many callers of one classifier: calls that wait for it share one, or each makes its own."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.environments import ROOT
from benchmarks.peers.places import DETOXIFY, LLM_GUARD
from benchmarks.peers.subject import Cell, DisagreementError, Findings, Player, Subject, timed

CALLERS = ("32", "64")
TEXTS, SEED, WITHIN = 256, 5, 1e-3
OURS, THREADS, WHOLE = "genguard", "genguard's check on threads", "genguard, encoder alone in float32"
MODEL = "bundled/toxicity-en"


def make(folder: Path) -> None:
    """Texts that fit one window, and the bundled model as Detoxify and transformers load it."""
    (folder / "texts.json").write_text(json.dumps(texts()), "utf-8")
    unpacked(folder / "model")


def texts() -> list[str]:
    """One to three sentences of a service desk, or one that was written for measuring: harmful, or looking like it."""
    from benchmarks.stream import SENTENCES

    probes = tomllib.loads((ROOT / "training" / "toxicity" / "probes.toml").read_text("utf-8"))
    written = [text for kind in probes.values() for text in kind["texts"]]
    draw = random.Random(SEED)
    return [
        draw.choice(written) if draw.random() < 0.4 else " ".join(draw.choices(SENTENCES, k=draw.randint(1, 3)))
        for _ in range(TEXTS)
    ]


def unpacked(folder: Path) -> None:
    """The model in single precision: `checkpoint.pt` for Detoxify, `model.safetensors` for transformers."""
    from guard.models import locate

    files = locate(MODEL)
    stamp = folder / "digest"
    if stamp.is_file() and stamp.read_text("utf-8") == files.digest:
        return
    import torch

    from guard.models.detoxify import load_folder

    folder.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes((files.path / name).read_bytes())
    found = torch.load(files.path / "checkpoint.pt", map_location="cpu", weights_only=True)
    found["config"]["arch"]["args"]["model_type"] = str(folder.resolve())
    found["state_dict"] = {key: value.float() for key, value in found["state_dict"].items()}
    torch.save(found, folder / "checkpoint.pt")
    load_folder(MODEL, "cpu")[0].model.save_pretrained(folder)
    stamp.write_text(files.digest, "utf-8")


def compare(found: Findings) -> Sequence[str]:
    """The shared calls score as the single ones do, and the encoder alone as it does in the library of its format."""
    told = []
    for names in ([OURS, THREADS], [WHOLE, "Detoxify", "LLM Guard"]):
        played = [name for name in names if name in found]
        if len(played) > 1:
            furthest = max(_apart(found[played[0]], found[name]) for name in played[1:])
            if furthest > WITHIN:
                raise DisagreementError(f"scores of {' and '.join(played)} differ by {furthest:.4f}, expected {WITHIN} at most")
            told.append(f"Scores of {', '.join(played)} differ by {furthest:.4f} at most")
    return told


def _apart(one: dict[str, list[list[float]]], other: dict[str, list[list[float]]]) -> float:
    """The largest difference between two scores of one text, over the cases."""
    return max(
        abs(score - another)
        for case in one
        for scores, others in zip(one[case], other[case], strict=True)
        for score, another in zip(scores, others, strict=True)
    )


LATENCY = "{p50_ms:,.0f} / {p99_ms:,.0f}"
PLAYERS = (
    Player(
        OURS,
        "callers_genguard",
        notes="`guard.chain` with the check `toxicity` as it comes: 8-bit integers, n-grams settle clear cases, deadlines, "
        "contents that wait share a call",
    ),
    Player(THREADS, "callers_threads", notes="the same check, called with one text on a thread for each caller"),
    Player(WHOLE, "callers_float", notes="the same weights in the precision of the next two, through the chain"),
    Player("Detoxify", "callers_detoxify", DETOXIFY, "`Detoxify.predict` with one text on a thread for each caller"),
    Player("LLM Guard", "callers_llm_guard", LLM_GUARD, "its scanner `Toxicity` with the same weights, on threads as well"),
)
SUBJECT = Subject(
    "callers",
    CALLERS,
    PLAYERS,
    (
        *(Cell(f"{count} callers: texts/s", "{rate_s:,.0f}", count) for count in CALLERS),
        *(timed(count, f"{count}: CPU (wall) a text, ms", "ms", 2) for count in CALLERS),
        *(Cell(f"{count}: answer after, ms, p50 / p99", LATENCY, count) for count in CALLERS),
    ),
    f"{TEXTS} texts of one window; each caller asks about one text at a time; all answers have to come",
    make,
    compare,
    runs=3,
    enough_us=1_000_000,
)
