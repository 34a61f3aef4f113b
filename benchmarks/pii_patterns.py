"""What patterns of personal data cost: genguard's search beside plain Presidio with the same recognizers, and equal findings.

    python benchmarks/pii_patterns.py [--languages en zh] [--texts 100] [--rounds 5] [--seed 9] [--json FILE]

Texts of about 100 words are put together from sentences, with new numbers, names and addresses in each; no text is read twice
in a round, so that what a search remembers of a text does not help it. Presidio is its `AnalyzerEngine` with the recognizers of
`guard.checks.pii_engine` in each language, without a model for names; the words of a text (its `NlpArtifacts`) are made before
the time is taken, so that no NLP engine is in what is measured. genguard tells words apart itself, and that is in its time.
"Whole check" is `pii` with patterns alone: with merging, and findings as it reports them.

Before anything is measured, types, places, scores and recognizers of all findings are compared, and the command fails where one
differs. Times are processor time a text: medians over the rounds, all in turn in the same run.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from guard.checks.pii_engine import build
from guard.checks.pii_names import MODEL_LABELS
from guard.checks.pii_search import PatternSearch
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage

Search = Callable[[str], object]
WORDS = 100
WARM_UP = 300
"""Texts of each kind that genguard reads before: a service that runs has met the usual words and forms of numbers."""
PROSE = (
    "We spoke on Monday about the parcel that never came, and I have looked into it again since then.",
    "The house has a red door and a small garden behind it, where the dog sleeps in the afternoon.",
    "She asked whether the course could be moved to spring, since most of the others are away until March.",
    "If anything is still unclear, ask for the person who took the complaint; they know the whole story.",
    "The second chapter says how the old bridge was built, who paid for it, and why it is closed today.",
    "Nobody had told him that the shop would be shut, so he waited in the rain for almost an hour.",
    "Please read the notes before the meeting, because there will be no time to go through them again.",
    "It is a good recipe for a cold evening: onions, carrots, a little butter, and bread from yesterday.",
)
PERSONAL = (
    "Write to {user}@example.com if the form does not load.",
    "You can call me at +1 {area} {three} {four} after five.",
    "The card {card} was charged twice.",
    "Her social security number is {ssn}, as you asked.",
    "His account number is {eight} at the same bank.",
    "She was born on {day} March {year} in Leeds.",
    "Send it to {house} Harbour Street, Leeds, please.",
    "My passport number is {nine} and it runs out soon.",
    "The patient's MRN is {eight}, on the second page.",
    "The router answers at 10.{octet}.{octet}.17 most of the time.",
)
CHINESE = (
    "我们星期一谈到了那个一直没有送到的包裹，之后我又查了一遍。",
    "她问课程能不能改到春天，因为其他人大多不在。",
    "会议之前请先看一下笔记，到时候没有时间再讲一遍。",
    "第二章讲的是老桥怎么修起来的，以及今天为什么关闭。",
    "没有人告诉他商店关门了，所以他在雨里等了很久。",
    "房子有一扇红色的门，后面有个小花园，狗下午在那里睡觉。",
    "这是一道适合冷天的菜：洋葱、胡萝卜、一点黄油，还有昨天的面包。",
    "如果还有什么不清楚，请找当时接待的那个人，他们知道整件事。",
    "听说下个月图书馆要重新开放，孩子们都很期待能在里面看书。",
)
CHINESE_PERSONAL = (
    "请拨打手机138{eight}联系我们。",
    "她的身份证号是{resident}。",
    "银行卡号是6222{four}{eight}{three}。",
    "他出生于{year}年3月{day}日。",
    "请寄到海淀区中关村大街{house}号。",
    "有问题请写信到{user}@example.com。",
)


def values(draw: random.Random) -> dict[str, str]:
    """New numbers for the sentences: the card has a right check digit, and so has the resident ID."""

    def number(count: int) -> str:
        return str(draw.randint(10 ** (count - 1), 10**count - 1))

    body = "4" + number(14)
    doubled = sum(sum(divmod(int(one) * 2, 10)) if place % 2 == 0 else int(one) for place, one in enumerate(body))
    card = body + str(-doubled % 10)
    resident = f"110105{draw.randint(1950, 2005)}0{draw.randint(1, 9)}{draw.randint(10, 28)}{number(3)}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    resident += "10X98765432"[sum(weight * int(one) for weight, one in zip(weights, resident, strict=True)) % 11]
    return {
        "user": "".join(draw.choices("abcdefghiklmnoprstuvw", k=8)), "area": str(draw.choice((212, 303, 415, 617, 773))),
        "three": number(3), "four": number(4), "eight": number(8), "nine": number(9), "resident": resident,
        "card": " ".join(card[place : place + 4] for place in range(0, 16, 4)), "octet": str(draw.randint(2, 250)),
        "ssn": f"{draw.randint(100, 665)}-{draw.randint(10, 99)}-{number(4)}", "house": str(draw.randint(2, 190)),
        "day": str(draw.randint(1, 28)), "year": str(draw.randint(1950, 2004)),
    }  # fmt: skip


def texts(count: int, seed: int, prose: Sequence[str], personal: Sequence[str], pieces: int, glue: str = " ") -> list[str]:
    """`count` texts with so many sentences that hold personal data, filled up with prose to about 100 words."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        sentences = [one.format(**values(draw)) for one in draw.sample(personal, pieces)]
        for one in draw.sample(prose, len(prose)):
            if words(glue.join(sentences)) < WORDS - 4:
                sentences.append(one)
        made.append(glue.join(draw.sample(sentences, len(sentences))))
    return made


def words(text: str) -> int:
    """Of a text; in Chinese a word has 1.6 characters."""
    chinese = sum(1 for one in text if "\u4e00" <= one <= "\u9fff")
    return round(chinese / 1.6) if chinese > len(text) / 3 else len(text.split())


def searches(
    languages: tuple[str, ...],
) -> tuple[Callable[[str], list[Any]], Callable[[str, list[Any]], list[Any]], Search, Any]:
    """genguard's, Presidio's with the words of each language, the whole check, and Presidio's NLP engine."""
    engine = build(languages, {}, ())
    entities = {language: sorted(engine.get_supported_entities(language)) for language in languages}
    search = PatternSearch(languages, {}, (), set().union(*entities.values()))
    names = set(MODEL_LABELS.values())
    check: Any = checks.make(
        "pii", {"languages": list(languages), "entities": sorted(set().union(*entities.values()) - names), "min_score": 400}
    )
    check.load()

    def plain(text: str, artifacts: list[Any]) -> list[Any]:
        asked = zip(languages, artifacts, strict=True)
        return [
            one for language, made in asked for one in engine.analyze(text, language, entities[language], nlp_artifacts=made)
        ]

    def whole(text: str) -> object:
        return check([Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("r"))])

    return search.found, plain, whole, engine.nlp_engine


def microseconds(search: Callable[..., object], sample: Sequence[tuple[Any, ...]]) -> float:
    started = time.process_time()
    for one in sample:
        search(*one)
    return 1e6 * (time.process_time() - started) / len(sample)


def processor() -> str:
    """The machine's name for its processor."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def samples(count: int, seed: int) -> dict[str, list[str]]:
    """What is measured, by name."""
    english, chinese = (PROSE, PERSONAL), (CHINESE, CHINESE_PERSONAL)
    return {
        "English, 4 pieces of personal data": texts(count, seed, *english, 4),
        "English, 1 piece": texts(count, seed + 1, *english, 1),
        "English, none": texts(count, seed + 2, *english, 0),
        "English, none, with an order's number": [
            f"Order {48000 + place} came. {one}" for place, one in enumerate(texts(count, seed + 3, *english, 0))
        ],
        "Chinese, 4 pieces": texts(count, seed + 4, *chinese, 4, ""),
        "Chinese, none": texts(count, seed + 5, *chinese, 0, ""),
    }


def same(ours: list[Any], theirs: list[Any]) -> bool:
    """Whether both found the same, with the same scores."""
    plain = [(one.start, one.end, one.entity_type, one.score, one.recognition_metadata["recognizer_name"]) for one in theirs]
    return sorted(map(tuple, ours)) == sorted(plain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", nargs="+", default=["en", "zh"])
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ours, plain, whole, nlp = searches(tuple(args.languages))
    rounds = [samples(args.texts, args.seed + 100 * number) for number in range(args.rounds + 1)]
    for one in (text for made in samples(WARM_UP, args.seed - 100).values() for text in made):
        whole(one)
        ours(one)
    versions = {name: version(name) for name in ("presidio-analyzer", "regex", "spacy", "phonenumbers")}
    machine = f"{processor()}, Python {platform.python_version()}, {', '.join(f'{k} {v}' for k, v in versions.items())}"
    rows: dict[str, dict[str, Any]] = {}
    for name in rounds[0]:
        found, times = 0, []
        for number, made in enumerate(rounds):
            sample = [(text, [nlp.process_text(text, language) for language in args.languages]) for text in made[name]]
            for text, artifacts in sample if number == 0 else ():  # the first one warms up, and is compared
                if not same(ours(text), plain(text, artifacts)):
                    raise SystemExit(f"{name}: findings differ in {text!r}")
                found += len(ours(text))
                whole(text)
            alone = [(text,) for text, _ in sample]
            if number:
                times.append((microseconds(ours, alone), microseconds(plain, sample), microseconds(whole, alone)))
        middle = [statistics.median(some) for some in zip(*times, strict=True)]
        length = statistics.mean(words(text) for text in rounds[0][name])
        rows[name] = {"words": length, "found": found / args.texts, "ours_us": middle[0], "presidio_us": middle[1],
                      "check_us": middle[2], "rounds": times}  # fmt: skip
    print(
        f"{machine}, one thread; languages {', '.join(args.languages)}; medians of {args.rounds} rounds of {args.texts} texts\n"
    )
    print("| text | words | findings | Presidio, us a text | genguard | ratio | whole check |\n|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        ratio = row["presidio_us"] / row["ours_us"]
        print(
            f"| {name} | {row['words']:.0f} | {row['found']:.1f} | {row['presidio_us']:,.0f} | {row['ours_us']:,.0f} "
            f"| {ratio:.1f} | {row['check_us']:,.0f} |"
        )
    if args.json:
        args.json.write_text(
            json.dumps({"machine": machine, "languages": args.languages, "rows": rows}, indent=1) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
