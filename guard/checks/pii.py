"""The `pii` check: personal data in text, found with patterns, checksums and small models for names.

Where those models are taggers of ours, `guard.checks.pii_search` looks for the rest; beside a spaCy pipeline Presidio does,
which finds the same.

Everything runs offline. Scores, per mille: 1000 for a number with a valid checksum, 500 to 990 for a name by how sure its model
is, 50 to 950 for a pattern by how telling it is; a word such as "passport" before it raises a pattern's score by 350.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from guard.checks.name_tagger import Name, NameTagger
from guard.checks.pii_following import Asked, Following, OpenNames
from guard.checks.pii_lists import Terms, patience
from guard.checks.pii_names import MODEL_LABELS, NAME_MODEL
from guard.checks.pii_patterns import BY_LANGUAGE, GENERIC, PHONE_REGIONS
from guard.checks.pii_prefilter import Prefilter
from guard.checks.pii_prefilter import traits as traits_of
from guard.errors import ModelError, RegistryError
from guard.protocols import Check
from guard.registry import checks
from guard.text.unfinished import Unfinished
from guard.traits import Traits
from guard.types import CALLER, Content, Examples, Finding, Modality, Request, Scan, Span, Stage

if TYPE_CHECKING:
    from guard.checks.pii_engine import Found
    from guard.checks.pii_search import PatternSearch

    Search = Callable[[Sequence[str]], Iterable[list[Found]]]

_NAMES = ("PERSON", "LOCATION", "ORGANIZATION", "DATE_TIME", "NRP")
_LEFT_OUT = frozenset({"ORGANIZATION", "DATE_TIME", "NRP"})  # no personal data by themselves: only on request
# A tokenizer takes quadratic time for thousands of characters without a space; it alone sees these runs broken up.
_LONG_RUN = re.compile(r"([^\s\u4e00-\u9fff]{63})[^\s\u4e00-\u9fff]")
_ADDRESS, _PLACES = "STREET_ADDRESS", {"STREET_ADDRESS", "LOCATION"}
_BETWEEN = re.compile(r"[ ,，.]{0,3}(?:\n[ ]{0,8})?")
_DENIED = "DenyList"
_WINDOW, _OVERLAP = 4000, 250

# One character for one, so that positions hold: lone surrogates (spaCy refuses them), full-width forms, odd spaces and dashes.
_PLAIN: dict[int, str] = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_PLAIN |= {code + 0xFEE0: chr(code) for code in range(0x21, 0x7F) if chr(code).isalnum() or chr(code) in "@.-+()_"}
_PLAIN |= {0x017F: "s", 0x212A: "K", 0x0130: "I", 0x0131: "i"}  # equal to these letters where capitals do not count
_PLAIN |= dict.fromkeys((0xA0, 0x2007, 0x202F, 0x3000), " ") | dict.fromkeys(range(0x2010, 0x2014), "-") | {0x2019: "'"}


@dataclass(frozen=True, slots=True)
class _Hit:
    """One result of a recognizer on the whole text."""

    start: int
    end: int
    entity: str
    score: float
    recognizer: str

    @property
    def rank(self) -> tuple[bool, bool, float, int]:
        """Order of precedence, the strongest last: denied terms, patterns say more than names, then score, then length."""
        return self.recognizer == _DENIED, self.entity not in _NAMES, self.score, self.end - self.start


class PiiCheck:
    """Reports each piece of personal data with its entity type, place and score."""

    blocking = True
    modalities = frozenset({Modality.TEXT})

    def __init__(
        self,
        languages: tuple[str, ...],
        model: str | None,
        entities: frozenset[str],
        min_score: int,
        phone_regions: tuple[str, ...],
        deny: Mapping[str, Terms],
        allow: Terms,
    ) -> None:
        self._languages = languages
        self._model = model
        self._entities = entities
        self._min_score = min_score
        self._phone_regions = phone_regions
        self._deny = deny
        self._allow = allow
        self._search: Search | None = None
        self._patterns: PatternSearch | None = None
        self._digest = ""
        self._patterned: dict[str, Prefilter] = {}
        self._open: tuple[Unfinished, Callable[[], OpenNames] | None] | None = None

    @property
    def version(self) -> str:
        return _version()

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def labels(self) -> Mapping[str, str]:
        return dict.fromkeys(sorted(self._entities | self._deny.keys()), "privacy")

    @property
    def examples(self) -> Examples:
        return _examples(self._languages, self._entities)

    @property
    def traits(self) -> Traits:
        return Traits(reports_from=self._min_score)

    def load(self) -> None:
        """Load the models and build the engine.

        Raises ModelError for a model that is missing, altered, or made for a language that is not listed.
        """
        from guard.checks.pii_engine import PresidioSearch, prefilter_without_names, unfinished
        from guard.checks.pii_names import load_names
        from guard.checks.pii_search import PatternSearch

        models, digest = load_names(self._languages, self._model)
        given = (self._languages, models, self._phone_regions, self._entities, self.unbroken)
        tagged = all(isinstance(one, NameTagger) for one in models.values())
        patterns = PatternSearch(*given) if tagged else None
        self._patterned = {
            language: prefilter_without_names(language, place == 0, self._entities, models)
            for place, language in enumerate(self._languages)
        }
        if not self.whole:
            named = not self._entities.isdisjoint(MODEL_LABELS.values())
            taggers = {language: one for language, one in models.items() if named and isinstance(one, NameTagger)}
            self._open = (
                unfinished(self._languages, self._entities, models, (*self._deny.values(), self._allow)),
                (lambda: OpenNames(taggers, self._entities)) if taggers else None,
            )
        self._digest = digest
        self._patterns, self._search = patterns, patterns or PresidioSearch(*given)

    @property
    def whole(self) -> str:
        """Why it cannot follow a text: what is not ours may look as far ahead as it likes."""
        if self._model is not None and not self._model.startswith("bundled/"):
            return "its model for names reads all of a text"
        if any(terms.has_expressions for terms in (*self._deny.values(), self._allow)):
            return "its `deny` or `allow` has a regular expression, which may reach as far as it likes"
        return ""

    def follow(self) -> Following:
        """Holds a text from where a pattern, or a name, could still go on. Raises ModelError before `load`."""
        if self._open is None:
            raise ModelError("pii: used before it was loaded", advice="Call `load` first.")
        return Following(self, *self._open, _WINDOW, _OVERLAP)

    def plain(self, text: str) -> str:
        """As of `guard.checks.pii_following.Reading`."""
        return text.translate(_PLAIN)

    def cuts(self, text: str) -> list[tuple[int, int]]:
        """As of `guard.checks.pii_following.Reading`."""
        return list(cut(text))

    def unbroken(self, text: str) -> str:
        """As of `guard.checks.pii_following.Reading`."""
        return _LONG_RUN.sub(r"\1 ", text) if _LONG_RUN.search(text) else text

    @property
    def denies(self) -> bool:
        """As of `guard.checks.pii_following.Reading`."""
        return bool(self._deny)

    def wanted(self, text: str, ranges: Sequence[tuple[int, int]], since: int, clear: int) -> list[Asked]:
        """As of `guard.checks.pii_following.Reading`."""
        parts = [(start, text[start:end]) for start, end in ranges]
        known = [traits_of(part, max(0, since - start), max(0, clear - start)) for start, part in parts]
        return [
            (language, *part, some)
            for language, patterned in self._patterned.items()
            for part, traits in zip(parts, known, strict=True)
            if (some := patterned.among(traits))
        ]

    def findings(self, text: str, wanted: Sequence[Asked], since: int, names: Iterable[Name]) -> list[Finding]:
        """As of `guard.checks.pii_following.Reading`."""
        hits = [
            _Hit(one.start_char, one.end_char, one.label_, one.score, NAME_MODEL) for one in names if self._counts(one.score)
        ]
        assert self._patterns is not None  # for a check with `whole` nothing is followed
        for start, part in dict.fromkeys((start, part) for _, start, part, _ in wanted):
            hits += self._hits(start, self._patterns.found(part, since=max(0, since - start)))
        if not hits and not self._deny:
            return []
        denied = (hit for hit in self._listed(text, (one for one in hits if one.start >= since)) if hit.start >= since)
        return [_finding(hit) for hit in join_addresses(text, merge(denied))]

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a text. Raises ModelError before `load`, or when a pattern runs out of time."""
        if self._search is None:
            raise ModelError("pii: used before it was loaded", advice="Call `load` first.")
        texts = [self.plain(content.text) for content in batch]
        hits: list[list[_Hit]] = [[] for _ in texts]
        cuts = [(index, start, text[start:end]) for index, text in enumerate(texts) for start, end in cut(text)]
        for (index, start, _), found in zip(cuts, self._search([text for _, _, text in cuts]), strict=True):
            hits[index] += self._hits(start, found)
        return [
            Scan(tuple(_finding(hit) for hit in join_addresses(text, merge(self._listed(text, some)))), Span(0, len(text)))
            for text, some in zip(texts, hits, strict=True)
        ]

    def _listed(self, text: str, hits: Iterable[_Hit]) -> Iterator[_Hit]:
        """The hits without those that the policy allows, and with the terms that it denies."""
        hits, limit = list(hits), patience()
        allowed = list(self._allow.texts_in(text))
        allowed += [(hit.start, hit.end) for hit in hits if self._allow.is_expressed_by(text[hit.start : hit.end], limit)]
        yield from (hit for hit in hits if not any(start <= hit.start and hit.end <= end for start, end in allowed))
        for label, terms in self._deny.items():
            yield from (_Hit(start, end, label, 1.0, _DENIED) for start, end in terms.found_in(text, limit))

    def _hits(self, offset: int, found: Iterable[Found]) -> list[_Hit]:
        """Those that count, of a part of a text that begins at `offset`."""
        return [
            _Hit(offset + one.start, offset + one.end, one.entity, one.score, one.recognizer)
            for one in found
            if self._counts(one.score)
        ]

    def _counts(self, score: float) -> bool:
        return round(score * 1000) >= self._min_score


def cut(text: str) -> Iterator[tuple[int, int]]:
    """Ranges that cover a text, overlapping, cut at white space where there is some: keeps time linear in the length."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _WINDOW)
        if end < len(text):
            space = text.rfind(" ", end - _OVERLAP, end)
            end = space if space > 0 else end
        yield start, end
        if end == len(text):
            return
        start = end - _OVERLAP


def merge(hits: Iterable[_Hit]) -> list[_Hit]:
    """In order of place: a hit inside a stronger one goes, overlapping hits of one type become one, all stays covered."""
    merged: list[_Hit] = []
    group: list[_Hit] = []
    end = 0
    for hit in sorted(hits, key=lambda one: one.start):
        if hit.start >= end:
            merged += _merge_group(group)
            group = []
        group.append(hit)
        end = max(end, hit.end)
    return merged + _merge_group(group)


def _merge_group(hits: list[_Hit]) -> list[_Hit]:
    """The same for a chain of hits that overlap."""
    kept: list[_Hit] = []
    for hit in sorted(hits, key=lambda one: (one.rank, one.entity, one.recognizer), reverse=True):
        twin = next((one for one in kept if one.entity == hit.entity and one.start < hit.end and hit.start < one.end), None)
        if twin is not None:
            kept[kept.index(twin)] = replace(twin, start=min(twin.start, hit.start), end=max(twin.end, hit.end))
        elif not any(one.start <= hit.start and hit.end <= one.end for one in kept):
            kept.append(hit)
    return sorted(kept, key=lambda one: (one.start, one.end))


def join_addresses(text: str, hits: Iterable[_Hit]) -> list[_Hit]:
    """A street address takes in the addresses and places next to it, so that a whole address is one finding.

    Across a line break only what fills its line to the end: a place that begins a sentence is another matter.
    """
    joined: list[_Hit] = []
    for hit in hits:
        last = joined[-1] if joined else hit
        between = text[last.end : hit.start]
        near = _BETWEEN.fullmatch(between) and ("\n" not in between or text[hit.end : hit.end + 1] in {"", "\n", ","})
        if near and _ADDRESS in {last.entity, hit.entity} <= _PLACES:
            stronger = max((last, hit), key=lambda one: (one.entity == _ADDRESS, one.rank))
            joined[-1:] = [replace(stronger, start=last.start, end=max(last.end, hit.end))]
        else:
            joined.append(hit)
    return joined


@cache
def _version() -> str:
    """Of this code and of the libraries; read once, for it is part of each result and their files are parsed for it."""
    libraries = ("presidio-analyzer", "spacy", "phonenumbers")
    return " ".join(("2.1", *(f"{library} {version(library)}" for library in libraries)))


def _finding(hit: _Hit) -> Finding:
    return Finding(
        category="privacy",
        label=hit.entity,
        score=round(hit.score * 1000),
        where=Span(hit.start, hit.end),
        reason=f"{hit.entity} found by {hit.recognizer}",
    )


def _examples(languages: tuple[str, ...], entities: frozenset[str]) -> Examples:
    """What the default entities show in the listed languages; a check limited to fewer shows those alone."""
    flagged = {
        "EMAIL_ADDRESS": "Please write to maria.gonzalez@example.com about the refund.",
        "CREDIT_CARD": "The card 4539 1488 0343 6467 was charged twice.",
        "IBAN_CODE": "Transfer it to DE89 3704 0044 0532 0130 00, please.",
        "PHONE_NUMBER": "You can reach her on +1 415 555 0134 after five.",
    }
    clean = ["Order 48213 was shipped on Monday; the client is at v3.18.0 and the files are in S3."]
    if "en" in languages:
        flagged |= {"US_SSN": "her social security number is 536-22-8471", "PERSON": "My name is Maria Gonzalez."}
    if "zh" in languages:
        flagged |= {"CN_ID_CARD": "他的身份证号是11010519491231002X。"}
        clean.append("订单48213已于星期一发货，版本是v3.18.0。")
    shown = [text for entity, text in flagged.items() if entity in entities]
    return Examples(tuple(_text(one) for one in shown), tuple(_text(one) for one in clean))


def _text(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("example"))


@checks.register("pii")
def pii(
    *,
    languages: tuple[str, ...] = ("en",),
    model: str | None = None,
    entities: tuple[str, ...] | None = None,
    min_score: int = 400,
    phone_regions: tuple[str, ...] = (),
    deny: Mapping[str, tuple[str, ...]] | None = None,
    allow: tuple[str, ...] = (),
) -> Check:
    """Personal data in text.

    `languages`: ISO 639-1 codes whose patterns are searched for; the first is the main one. `model`: the only model that finds
    names, in its own language: a bundled one, an installed spaCy pipeline, or a folder; by default English and Chinese have
    their bundled ones. `entities`: the types to report; by default all but ORGANIZATION, DATE_TIME and NRP. `min_score`: per
    mille; weaker findings are left out. `phone_regions`: ISO 3166-1 codes of further regions whose national telephone numbers
    are searched for. `deny`: labels, your own or the check's, with terms that are always found, at a score of 1000. `allow`:
    terms that are never reported, nor is what lies inside them; what `deny` says goes first. A term between slashes is a
    regular expression; one of `allow` has to match the whole of what was found.

    Raises RegistryError for a language, an entity type, a score, a label or a term that cannot be.
    """
    spoken = tuple(dict.fromkeys(languages))
    if not spoken or not set(spoken) <= PHONE_REGIONS.keys():
        raise RegistryError(f"check 'pii': languages are {list(spoken)}, expected some of: {', '.join(sorted(PHONE_REGIONS))}")
    known = {spec.entity for spec in GENERIC}.union(
        *({spec.entity for spec in BY_LANGUAGE.get(one, ())} for one in spoken), _NAMES
    )
    wanted = frozenset(known - _LEFT_OUT if entities is None else entities)
    if not wanted or not wanted <= known:
        raise RegistryError(
            f"check 'pii': entities {sorted(wanted - known)} are not found in {', '.join(spoken)}, expected some of: "
            f"{', '.join(sorted(known))}",
            advice="Correct the entity type, or list the language that it belongs to.",
        )
    if not 0 <= min_score <= 1000:
        raise RegistryError(f"check 'pii': min_score is {min_score}, expected 0 to 1000 per mille")
    return PiiCheck(
        spoken, model, wanted, min_score, tuple(phone_regions), _denied(deny or {}, allow), Terms("allow", allow, _PLAIN)
    )


def _denied(deny: Mapping[str, tuple[str, ...]], allow: Iterable[str]) -> dict[str, Terms]:
    """The deny list, compiled. Raises RegistryError for a label or a term that cannot be."""
    for label, terms in deny.items():
        if not re.fullmatch("[A-Z][A-Z0-9_]{0,63}", label):
            raise RegistryError(
                f"check 'pii': `deny` holds the label {label!r}, expected capitals, digits and _ with a letter in front",
                advice="Write it like the others, such as PROJECT_NAME.",
            )
        if not terms:
            raise RegistryError(f"check 'pii': `deny` holds no term for {label!r}, expected at least one")
        if both := sorted({term.strip().lower() for term in terms}.intersection(term.strip().lower() for term in allow)):
            raise RegistryError(
                f"check 'pii': {len(both)} terms stand in `allow` and under {label!r} in `deny`, expected each in one of them",
                advice="Take them out of one of the lists: what is denied is always found.",
            )
    return {label: Terms(f"deny.{label}", terms, _PLAIN) for label, terms in sorted(deny.items())}
