"""The `secrets` check: keys, tokens, private keys and passwords in text, found by their format, structure and randomness.

Code alone: no model, no network, and nothing is ever tried out on the service that a key belongs to. Scores, per mille: 1000
where a checksum or a structure proves the format, 750 to 950 for a format with a prefix of its own, 600 where its checksum is
wrong or its characters stand in a row, 600 to 900 by randomness for what is assigned to a password, a key or a token.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import regex as re  # of the standard library, 3.11.2 (Debian 12) gets possessive repetitions wrong

from guard.checks.secret_patterns import KNOWN_EXAMPLES, SPECS, SecretSpec
from guard.checks.secret_values import SECRET, base62
from guard.errors import ModelError, RegistryError
from guard.following import Progress
from guard.protocols import Check
from guard.registry import checks
from guard.text.patience import Patience
from guard.text.unfinished import Unfinished
from guard.traits import Traits
from guard.types import CALLER, Content, Examples, Finding, Modality, Request, Scan, Span, Stage

_CATEGORY = "cyber"
_TIMEOUT_S = 1.0
"""Of all formats over one text."""
_LABELS = tuple(dict.fromkeys(spec.label for spec in SPECS))


@dataclass(frozen=True, slots=True)
class _Hit:
    """One value that a format found."""

    start: int
    end: int
    score: int
    rank: int
    """Place of its format in `SPECS`: the smaller says more."""

    @property
    def spec(self) -> SecretSpec:
        return SPECS[self.rank]


class SecretsCheck:
    """Reports each secret with its label, the place of the secret alone, and a score."""

    blocking = True
    modalities = frozenset({Modality.TEXT})
    version = "1.0"
    digest = ""
    whole = ""

    def __init__(self, kinds: frozenset[str], min_score: int, allow: frozenset[str]) -> None:
        self._kinds = kinds
        self._min_score = min_score
        self._allow = allow | KNOWN_EXAMPLES

    @property
    def labels(self) -> Mapping[str, str]:
        return dict.fromkeys(sorted(self._kinds), _CATEGORY)

    @property
    def examples(self) -> Examples:
        return _examples(self._kinds)

    @property
    def traits(self) -> Traits:
        return Traits(reports_from=self._min_score)

    def load(self) -> None:
        """Compile the patterns."""
        for rank in range(len(SPECS)):
            _compiled(rank)

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a text, each read whole. Raises ModelError for a text that takes seconds."""
        return [self.scan(content.text) for content in batch]

    def follow(self) -> _Follower:
        """Holds a text from where a format could still begin."""
        return _Follower(self, _unfinished(self._kinds))

    def scan(self, text: str) -> Scan:
        """What is found in one text. Raises ModelError for one that takes seconds."""
        return self.scan_for(text, _candidates(text))

    def scan_for(self, text: str, ranks: Collection[int]) -> Scan:
        """The same with the formats that may be found in it."""
        hits = self._found(text, ranks) if ranks else ()
        return Scan(tuple([_finding(hit) for hit in hits]), Span(0, len(text)))

    def _found(self, text: str, ranks: Collection[int]) -> list[_Hit]:
        patience = Patience(_TIMEOUT_S)
        try:
            hits = [
                hit
                for rank in sorted(ranks)
                if SPECS[rank].label in self._kinds
                for hit in _search(text, rank, patience)
                if hit.score >= self._min_score
            ]
        except TimeoutError:
            raise ModelError(
                f"secrets: the formats took longer than {_TIMEOUT_S} s over one text, expected milliseconds",
                advice="The text was made to slow them down: treat it as not checked.",
            ) from None
        return [hit for hit in settle(hits) if _digest(text[hit.start : hit.end]) not in self._allow]


class _Follower:
    """Searches a text anew for the formats of which it holds a literal, and remembers these and what is settled."""

    quick = True

    def __init__(self, check: SecretsCheck, unfinished: Unfinished) -> None:
        self._check, self._unfinished = check, unfinished
        self._settled = self._read = 0
        self._ranks: set[int] = set()

    def __call__(self, text: str, *, ending: bool) -> Progress:
        """As `guard.following.Follower`."""
        self._settled = len(text) if ending else self._unfinished.start(text, self._settled)
        self._ranks |= _candidates(text[max(0, self._read - _LONGEST) :])
        self._read = len(text)
        return Progress(self._check.scan_for(text, self._ranks), self._settled)


@cache
def _unfinished(kinds: frozenset[str]) -> Unfinished:
    wanted = (spec for spec in SPECS if spec.label in kinds)
    return Unfinished((spec.pattern, re.ASCII | (re.IGNORECASE if spec.ignore_case else 0)) for spec in wanted)


def _candidates(text: str) -> set[int]:
    """The formats of which a text holds a literal: most texts hold none, and are not searched at all."""
    lowered = text.lower()
    ranks = set()
    for mark, triggers in _TRIGGERS.items():
        if mark in text:
            for trigger, ignore_case, rank in triggers:
                if trigger in (lowered if ignore_case else text):
                    ranks.add(rank)
    return ranks


def _by_mark() -> dict[str, list[tuple[str, bool, int]]]:
    """All triggers, by the one of their characters that ordinary text is least likely to hold."""
    grouped: dict[str, list[tuple[str, bool, int]]] = {}
    for rank, spec in enumerate(SPECS):
        for trigger in spec.triggers:
            mark = next((mark for mark in "_~=/-:." if mark in trigger), "")
            grouped.setdefault(mark, []).append((trigger, spec.ignore_case, rank))
    return grouped


_TRIGGERS = _by_mark()
_LONGEST = max(len(trigger) for triggers in _TRIGGERS.values() for trigger, _, _ in triggers)


@cache
def _compiled(rank: int) -> re.Pattern[str]:
    return re.compile(SPECS[rank].pattern, re.ASCII | (re.IGNORECASE if SPECS[rank].ignore_case else 0))


def _search(text: str, rank: int, patience: Patience) -> Iterator[_Hit]:
    """All values of one format; where one is turned down, the search goes on inside it. Raises TimeoutError."""
    spec, pattern, position = SPECS[rank], _compiled(rank), 0
    while match := pattern.search(text, position, timeout=patience.left()):
        score = spec.judge(match, spec.score)
        start, end = match.span(SECRET)
        if score:
            yield _Hit(start, end, score, rank)
            position = end
        else:
            position = max(start, match.start() + 1)


def settle(hits: Iterable[_Hit]) -> list[_Hit]:
    """In order of place: of hits that overlap, what is inside one that says more goes, and so does what is generic."""
    settled: list[_Hit] = []
    group: list[_Hit] = []
    end = 0
    for hit in sorted(hits, key=lambda one: (one.start, one.rank)):
        if hit.start >= end:
            settled += _settle_group(group)
            group = []
        group.append(hit)
        end = max(end, hit.end)
    return settled + _settle_group(group)


def _settle_group(hits: list[_Hit]) -> list[_Hit]:
    """The same for a chain of hits that overlap."""
    kept: list[_Hit] = []
    for hit in sorted(hits, key=lambda one: (one.rank, one.start)):
        rivals = [one for one in kept if one.start < hit.end and hit.start < one.end]
        if not any(hit.spec.generic or (one.start <= hit.start and hit.end <= one.end) for one in rivals):
            kept.append(hit)
    return sorted(kept, key=lambda one: (one.start, one.end))


def _finding(hit: _Hit) -> Finding:
    return Finding(
        category=_CATEGORY,
        label=hit.spec.label,
        score=hit.score,
        where=Span(hit.start, hit.end),
        reason=f"{hit.spec.name}, {hit.end - hit.start} characters",
    )


def _digest(value: str) -> str:
    return sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _examples(kinds: frozenset[str]) -> Examples:
    """Made up here from parts, so that no file holds what looks like a live key."""
    body = base64.b64encode(sha256(b"example").digest()).decode().translate({43: "A", 47: "B", 61: "C"})
    random = body[:30]
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1002","admin":true}', sha256(b"signature").digest())
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    key = base64.b64encode(b"0\x82" + b"".join(sha256(bytes([n])).digest() for n in range(20))).decode()
    flagged = {
        "GITHUB_TOKEN": f"git clone with {'ghp'}_{random}{base62(zlib.crc32(random.encode()))} once more.",
        "AWS_ACCESS_KEY": f"密钥{'AK'}IA{base64.b32encode(sha256(b'id').digest()).decode()[:16]}已经泄露。",
        "JWT": f"Authorization: Bearer {token}",
        "PRIVATE_KEY": f"-----BEGIN {'PRIVATE'} KEY-----\n{key}\n-----END {'PRIVATE'} KEY-----",
        "URL_PASSWORD": f"postgres://shop:{random[:12]}@db.example.com:5432/shop",
        "PASSWORD": f"数据库密码是{random[:10]}7#，请保密。",
        "API_KEY": f'"api_key": "{random}"',
    }
    clean = (
        "Commit 9fceb02d0ae598e95dc970b74767f19372d61af8 fixed issue 48213; see request 6f1f0ad4-0b8f-4c57-9d31-6f0b8f3f1f6e.",
        "Set password=<your-password> and api_key: ${API_KEY}, or leave the token empty.",
        "密码不能为空，请输入至少八个字符。",
    )
    return Examples(
        tuple(_text(text) for kind, text in flagged.items() if kind in kinds),
        tuple(_text(text) for text in clean),
    )


def _text(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("example"))


@checks.register("secrets")
def secrets(*, kinds: tuple[str, ...] | None = None, min_score: int = 500, allow: tuple[str, ...] = ()) -> Check:
    """Keys, tokens, private keys and passwords in text.

    `kinds`: the labels to report; by default all. `min_score`: per mille; weaker findings are left out, and 700 leaves out
    those whose checksum is wrong. `allow`: values that are no secrets here, such as those of your own manuals, each as its
    SHA-256 in hexadecimal, so that a policy holds no secret itself.

    Raises RegistryError for a kind that is unknown, a score that cannot be, or a digest that is none.
    """
    wanted = frozenset(_LABELS if kinds is None else kinds)
    if not wanted or not wanted <= set(_LABELS):
        raise RegistryError(
            f"check 'secrets': kinds are {sorted(wanted - set(_LABELS))}, expected some of: {', '.join(sorted(_LABELS))}"
        )
    if not 0 <= min_score <= 1000:
        raise RegistryError(f"check 'secrets': min_score is {min_score}, expected 0 to 1000 per mille")
    if not all(re.fullmatch("[0-9a-f]{64}", one) for one in allow):
        raise RegistryError(
            "check 'secrets': found in `allow` what is no digest, expected SHA-256 in 64 lower-case hexadecimal digits each",
            advice="Write down `printf %s VALUE | sha256sum`, never the value itself.",
        )
    return SecretsCheck(wanted, min_score, frozenset(allow))
