"""Replayed decisions per second, on one core, from a SQLite ledger with realistic entries.

    python benchmarks/replay.py [--folder DIR] [--entries 300000] [--keep FILE]

The ledger holds bodies of the real codec under a policy of fourteen rules: prompts, replies and images of three generators and
five tenants, some timeouts, partial reads and marks that did not hold. It is replayed under the policy of its decisions, which
has to give every recorded action again, and under drafts that an author would try.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from audit import merkle
from audit.body import decision_body
from audit.columns import history
from audit.database import writer_engine
from audit.history import documents
from audit.ledger import open_ledger
from audit.stores import store_of
from audit.transaction import draft_of, gather, insert_batch, read_head, swap_head
from guard.decide import decide, settle
from guard.ids import uuid7
from guard.rules import Policy
from guard.types import (
    CheckResult,
    Content,
    Context,
    Decision,
    Finding,
    Mark,
    Match,
    Modality,
    Origin,
    Region,
    Request,
    Span,
    Stage,
    Status,
)
from policies import load, loads
from policies.load import PACKS
from policies.rederived import Rederivation
from policies.replay import Replay

MORE = """
  - id: severe
    when: {toxicity.severe_toxicity: 0.40}
    action: block
    category: violence
  - id: rude-prompt
    when: {toxicity.toxicity: 0.90, stage: prompt, not: {language: zh}}
    action: review
    category: harassment
  - id: studio
    when: {all: [{generator: "diff*"}, {tenant: studio}, {not: {works: matched}}, {works: not_matchable}]}
    action: review
    category: intellectual_property
"""
START = datetime(2026, 11, 1, tzinfo=UTC)
TENANTS = ("acme", "acme", "acme", "studio", "bank", "clinic", "school")
PII = ("EMAIL_ADDRESS", "PHONE_NUMBER", "PERSON", "CREDIT_CARD", "IBAN_CODE", "DATE_OF_BIRTH")
TOXIC = ("toxicity", "insult", "obscene", "threat", "identity_attack", "sexism", "severe_toxicity")
KINDS = {
    "toxicity": "harassment",
    "insult": "harassment",
    "obscene": "sexual",
    "threat": "violence",
    "severe_toxicity": "violence",
}


def policy_text() -> str:
    """The pack `enterprise` with rules that make it fourteen."""
    text = (PACKS / "enterprise.yaml").read_text("utf-8")
    wanted = 14 - len(load("enterprise").rules)
    extra = "".join(f"  - id:{part}" for part in MORE.split("  - id:")[1 : 1 + max(0, wanted)])
    return text.replace("\nmarks:", f"\n{extra}\nmarks:").replace("policy: enterprise", "policy: benchmark")


def findings(random_: random.Random, check: str, length: int) -> tuple[Finding, ...]:
    """What a check finds in ordinary traffic."""
    start = random_.randrange(max(1, length - 20))
    place = Span(start, min(length, start + 16))
    if check == "toxicity":
        if random_.random() < 0.6:
            return ()
        top = int(1000 * random_.betavariate(0.6, 4))
        names = TOXIC[: 1 + random_.randrange(4)]
        scored = [(name, int(top * random_.uniform(0.5, 1))) for name in names]
        return tuple(
            Finding(
                KINDS.get(name, "hate"),
                name,
                score,
                Span(0, length),
                reason=f"scored {score} per mille for {name} in window 1 of 1",
            )
            for name, score in scored
            if score >= 100
        )
    odds = {"pii": 0.3, "secrets": 0.02, "injection": 0.1, "unseen": 0.01, "passages": 0.01}[check]
    if random_.random() > odds:
        return ()
    if check == "pii":
        return tuple(
            Finding("privacy", random_.choice(PII), random_.choice((400, 600, 850, 1000)), place, reason="checksum is right")
            for _ in range(1 + random_.randrange(3))
        )
    if check == "passages":
        match = Match("protected-texts", "lighthouse", "The lighthouse", "runs", 0, 0)
        return (Finding("intellectual_property", "verbatim", 1000, place, match, "180 characters verbatim"),)
    label = {"secrets": "PASSWORD", "injection": "injection", "unseen": "bidi"}[check]
    score = int(1000 * random_.betavariate(0.5, 2)) if check == "injection" else 700
    return (Finding("cyber", label, score, place, reason=f"scored {score} per mille"),) if score >= 100 else ()


def results(random_: random.Random, policy: Policy, context: Context) -> tuple[CheckResult, ...]:
    """One result of each check that applies."""
    made = []
    for spec in policy.checks:
        if not spec.applies(context.stage, context.modality):
            continue
        digest = "" if spec.name in {"secrets", "unseen"} else format(len(spec.name), "02x") * 32
        if random_.random() < 0.0005:
            made.append(
                CheckResult(
                    spec.name, spec.use, "2", digest, Status.TIMEOUT, latency_us=10_000_000, error="no answer within 10000 ms"
                )
            )
            continue
        if context.modality is Modality.IMAGE:
            match = Match("protected-works", "tulips", "Tulips", "pdq", 12, 31)
            found = (
                (Finding("intellectual_property", "matched", 950, Region(0, 0, 512, 512), match),)
                if random_.random() < 0.02
                else ()
            )
            made.append(
                CheckResult(
                    spec.name, spec.use, "3", digest, Status.OK, found, Region(0, 0, 512, 512), random_.randrange(90_000)
                )
            )
            continue
        end = context.length if random_.random() > 0.0005 else context.length // 2
        found = findings(random_, spec.name, end)
        made.append(CheckResult(spec.name, spec.use, "2", digest, Status.OK, found, Span(0, end), random_.randrange(30_000)))
    return tuple(made)


def traffic(policy: Policy, count: int) -> Iterator[Decision]:
    """So many decisions as a busy service would record them."""
    random_ = random.Random(7)
    for number in range(count):
        moment = START + timedelta(seconds=2 * number)
        tenant, language = random_.choice(TENANTS), random_.choice(("en", "en", "en", "zh", "de", "und"))
        kind = random_.random()
        stage = Stage.PROMPT if kind < 0.45 else Stage.OUTPUT
        modality = Modality.TEXT if kind < 0.92 else Modality.IMAGE
        generator = random_.choice(("language", "language", "support")) if modality is Modality.TEXT else "diffusion"
        data = "x" * random_.randrange(40, 1500) if modality is Modality.TEXT else b"x" * 40_000
        request = Request(
            format(random_.getrandbits(128), "032x"), tenant, f"key-{number % 9}", f"subject-{number % 997}", language
        )
        origin = Origin(generator, "bundled/service-gpt", "ab" * 32, (("seed", str(number)), ("temperature", "0.8")))
        content = Content(modality, data, "text/plain" if modality is Modality.TEXT else "image/png", stage, origin, request)
        context = Context(stage, modality, generator, tenant, language, content.length, moment)
        found = results(random_, policy, context)
        verdict = decide(policy, found, context)
        marks: tuple[Mark, ...] = ()
        if verdict.action.releases and modality is Modality.IMAGE:
            holds = random_.random() > 0.01
            marks = (Mark("watermark", "dwtDctSvd", format(number, "016x"), holds, "" if holds else "it does not read back"),)
            verdict = settle(verdict, policy, marks)
        released = content if verdict.action.releases else None
        yield Decision(uuid7(), moment, content, context, request, found, verdict, released, marks, UUID(int=number))


def fill(url: str, path: Path, policy: Policy, count: int) -> float:
    """Begin a ledger and append decisions, without their payloads; bytes of a body on average."""
    with open_ledger(url) as ledger:
        ledger.activate_sync(policy.id, policy.version, policy.revision, policy.document)
    commitment = {"part": "original", "bytes": 700, "commit": "c" * 64, "sealed": "d" * 64}
    payloads = {"original": commitment, "released": {**commitment, "part": "released"}}
    total, engine, drafts = 0, writer_engine(path, 5000), []
    with engine.connect() as connection, connection.begin():
        size, frontier = old = read_head(connection)
        peaks = merkle.unpack(frontier, size)
        for number, decision in enumerate(traffic(policy, count), 1):
            drafts.append(draft_of(decision_body(decision, payloads, {"exact": f"{number:032x}"})))
            total += len(drafts[-1].columns["body"])
            if len(drafts) == 5000 or number == count:
                insert_batch(connection, gather(store_of(connection), drafts), size)
                peaks, size = merkle.extend(peaks, size, [draft.leaf for draft in drafts])
                drafts = []
        swap_head(connection, *old, size, merkle.pack(peaks))
    return total / count


def measure(name: str, url: str, draft: Policy, entries: int, *, many: int = 0, repeats: int = 3) -> None:
    """Replay all of it; the best of some runs, in processor time, with the elapsed one beside it."""
    best, elapsed, told = 1e9, 1e9, None
    for _ in range(repeats):
        begun, started = time.process_time(), time.perf_counter()
        replay = Replay(draft, documents(url), examples=0)
        with history(url, many=many) as found:
            for batch in found.batches():
                replay.add(batch)
        if time.process_time() - begun < best:
            best, elapsed, told = time.process_time() - begun, time.perf_counter() - started, replay.summary()
    assert told is not None
    print(
        f"{name:<38} {entries / best:>9,.0f}/s of a core, {entries / elapsed:>9,.0f}/s elapsed; "
        f"{told.replayed:,} replayed, {told.flipped:,} flips, {told.changed_edits:,} redacted otherwise, "
        f"{told.unreplayable:,} cannot be, {told.exact:,} one by one"
    )


def again(url: str, most: int) -> None:
    """Each decision again under its own policy, one by one: `--check`."""
    derived = Rederivation(documents(url))
    begun = time.process_time()
    with history(url, limit=most) as found:
        for batch in found.batches():
            derived.add(batch)
    rate = derived.total / (time.process_time() - begun)
    print(f"--check: {derived.same:,} of {derived.total:,} derive again, {rate:,.0f}/s of a core")


def reading(url: str, entries: int) -> None:
    """How much of that is SQLite, and decoding."""
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    begun = time.process_time()
    for _ in connection.execute("SELECT idx, body FROM entry NOT INDEXED WHERE kind = 'decision' ORDER BY idx DESC"):
        pass
    taken = time.process_time() - begun
    begun = time.process_time()
    with history(url) as found:
        for _ in found.batches():
            pass
    both = time.process_time() - begun
    each, decoded = 1e6 * taken / entries, 1e6 * both / entries
    print(f"reading bodies alone {each:.1f} us each; reading and decoding into columns {decoded:.1f} us")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=None, help="where the ledger lies while it runs")
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--keep", type=Path, help="use this ledger, and make it when it is not there")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    text = policy_text()
    policy = loads(text)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = options.keep or Path(folder) / "ledger.db"
        url = f"sqlite:///{path}"
        if not path.is_file():
            size = fill(url, path, policy, options.entries)
            print(f"{options.entries:,} decisions, {size:,.0f} bytes a body, {path.stat().st_size / 1e6:,.0f} MB")
        print(f"{len(policy.rules)} rules, {len(policy.checks)} checks")
        reading(url, options.entries)
        drafts = {
            "the policy itself": text,
            "one threshold changed": text.replace("toxicity.threat: 0.50", "toxicity.threat: 0.30"),
            "a redaction changed": text.replace("keep_last: 4", "keep_last: 2"),
            "a rule on a check that did not run": text.replace(
                "\nchecks:", "\nchecks:\n  leaks: {use: prompt_leakage, canaries: [kestrel-nine], stages: [output]}"
            ).replace("\nmarks:", "\n  - {id: leak, when: {leaks: any}, action: review, category: cyber}\n\nmarks:"),
            "names stay, telephone numbers wait": text.replace("        - PERSON\n", "")
            .replace("        - PHONE_NUMBER\n", "")
            .replace("\nmarks:", "\n  - {id: phone, when: {pii: PHONE_NUMBER}, action: review, category: privacy}\n\nmarks:"),
        }
        for name, draft in drafts.items():
            assert draft is text or draft != text, name
            measure(name, url, loads(draft), options.entries)
        measure("the policy itself, read by msgspec", url, policy, options.entries, many=10**9)
        again(url, min(20_000, options.entries))


if __name__ == "__main__":
    main()
