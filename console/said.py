"""Sentences of the core in another language.

The core speaks English: what it says is recorded with decisions, passes through exceptions, JSON and other processes, and
comes here as text. So a sentence is known by its form, the English text with `{1}`, `{2}` … where its facts stand: what stands
there is taken out, and put into the same sentence of the other language. `words/LANGUAGE/said/*.toml` has them, by their
English forms, as gettext has; tests hold the forms to the sources of the core. What no form fits stays as it is.

Facts may be sentences of their own (`found {1}, expected {2}`), and several sentences may stand in a row, on lines of their
own, or with semicolons between. What stands in quotation marks is somebody's own and is never touched.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent / "words"
LONGEST = 4000
"""Characters of a line that is looked at; a longer one stays as it is."""
ENDING = 10
"""Characters at the end of a sentence that others hardly end with."""
DEPTH = 12
"""Sentences in facts of sentences; what is deeper stays as it is."""
_PLACE = re.compile(r"\{(\d)([wq]?)\}")
_QUOTED = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_BEGINS = re.compile(r"(?:^|(?<=[\s(\[{=:>]))(?:" + _QUOTED.pattern + ")")
"""A quotation; an apostrophe within a word begins none."""
_NEXT = re.compile(r"(?<=[.?!]) +(?=[A-Z0-9`])")
_GAP = re.compile(r"(?<=[\u3001-\u9fff\uff00-\uffef]) (?=[\u3001-\u9fff\uff00-\uffef])")
"""A space between two Chinese letters."""
_WORD = re.compile(r"\S*[^\s:]")
_AT = re.compile(r"(\S+:\d+(?::\d+)?): ")
"""A place in a file, before what is wrong there."""
_HEAD = re.compile(r"([^\s'\"]+): (?=.)", re.DOTALL)
_NOT = "not ("
_JOINTS = ("or", "and")
"""Between the parts of a condition, the looser one first."""
_STOPS = "。？！；："


@dataclass(frozen=True, slots=True)
class Form:
    """A sentence without its facts."""

    literals: tuple[str, ...]
    """What stands before, between and after them."""
    kinds: tuple[str, ...]
    """Of each fact: `w` for one word or quotation, written `{1w}`, `q` for a quotation; for forms that else fit too much."""
    says: str
    """The sentence in the other language, with the same places."""

    @classmethod
    def of(cls, english: str, says: str) -> Form:
        """A line of the words."""
        parts = _PLACE.split(english)
        return cls(tuple(_plain(one) for one in parts[::3]), tuple(parts[2::3]), says)

    @property
    def several(self) -> bool:
        """Whether these are several sentences, which stand together alone."""
        return len(_sentences("1".join(self.literals))) > 1

    @property
    def loose(self) -> bool:
        """Whether it begins with a fact, and ends with one or nearly: it fits what others fit better."""
        return not self.literals[0] and len(self.literals[-1]) < ENDING

    @property
    def weight(self) -> int:
        """How much of a text it knows: of several that fit, the heaviest is meant."""
        return sum(len(one) for one in self.literals)

    def facts(self, text: str) -> tuple[str, ...] | None:
        """The facts of a text; None when it is another sentence. Each ends where the next literal first comes, in one pass."""
        if not text.startswith(self.literals[0]) or not text.endswith(self.literals[-1]):
            return None
        place, end = len(self.literals[0]), len(text) - len(self.literals[-1])
        found = []
        for number, literal in enumerate(self.literals[1:], 1):
            quoted = _QUOTED.match(text, place, max(place, end))
            last = number == len(self.literals) - 1
            at = end if last else text.find(literal, quoted.end() if quoted else place, end)
            if at < place or (not last and at < 0):
                return None
            fact = text[place:at]
            kind, whole = self.kinds[number - 1], quoted is not None and quoted.end() == at
            if kind and not whole and (kind == "q" or not _WORD.fullmatch(fact)):
                return None
            found.append(fact)
            place = at + len(literal)
        return tuple(found) if found or place == len(text) else None


@dataclass(frozen=True, eq=False)
class Sayings:
    """All sentences of the core in one language."""

    exact: dict[str, str]
    """Those without facts."""
    forms: tuple[Form, ...]

    @cached_property
    def _several(self) -> tuple[Form, ...]:
        return tuple(sorted((one for one in self.forms if one.several), key=lambda one: -one.weight))

    @cached_property
    def _by_start(self) -> dict[str, tuple[Form, ...]]:
        """Forms by the two letters that they begin with, heaviest first; under none those that begin with a fact."""
        starts = {one.literals[0][:2] for one in self.forms if len(one.literals[0]) > 1}
        ranked = sorted(self.forms, key=lambda one: (one.loose, -one.weight, len(one.kinds)))
        open_ones = [one for one in ranked if len(one.literals[0]) < 2]
        kept = {
            start: tuple(one for one in ranked if one.literals[0][:2] == start or len(one.literals[0]) < 2) for start in starts
        }
        return kept | {"": tuple(open_ones)}

    def say(self, text: str) -> str:
        """A text of the core, in this language as far as its forms are known, line by line."""
        return "\n".join(map(self._line, text.split("\n"))) if self.exact else text

    def _line(self, text: str) -> str:
        return _GAP.sub("", self._said(text, 0)) or text if len(text) <= LONGEST else text

    def title(self, text: str) -> str:
        """A text that may be somebody's own: only if it is a whole sentence without facts."""
        return self.exact.get(text, text)

    def condition(self, text: str) -> str:
        """The words of a condition: its parts, with the words between them."""
        return _GAP.sub("", self._condition(text, 0)) if self.exact and len(text) <= LONGEST else text

    def _condition(self, text: str, depth: int) -> str:
        for joint in _JOINTS if depth < DEPTH else ():
            parts = _parted(text, f" {joint} ", unless="below ")
            if len(parts) > 1:
                return self.exact[joint].join(self._condition(one, depth + 1) for one in parts)
        return self._said(text, depth) or text

    @lru_cache(maxsize=2048)  # noqa: B019 - each language has one of these, for good
    def _said(self, text: str, depth: int) -> str:
        """The text in this language; empty where nothing of it is known."""
        if depth > DEPTH or not text.strip() or _QUOTED.fullmatch(text):
            return ""
        ways = (self._exactly, self._after_a_place, self._negated, self._together, self._in_a_row, self._formed, self._loose)
        return next((told for way in ways if (told := way(text, depth))), "")

    def _exactly(self, text: str, _depth: int) -> str:
        """A sentence without facts; also where its full stop was left out."""
        return self.exact.get(text) or self.exact.get(f"{text}.", "").removesuffix("。")

    def _after_a_place(self, text: str, depth: int) -> str:
        at = _AT.match(text)
        if at is None:
            return ""
        rest = text[at.end() :]
        return f"{at[1]}：{self._said(rest, depth + 1) or rest}"

    def _negated(self, text: str, depth: int) -> str:
        if not (text.startswith(_NOT) and text.endswith(")")):
            return ""
        return self.exact[_NOT].format(self._condition(text[len(_NOT) : -1], depth + 1))

    def _together(self, text: str, depth: int) -> str:
        """Several sentences that stand together alone."""
        return self._formed(text, depth, several=True)

    def _in_a_row(self, text: str, depth: int) -> str:
        """Sentences in a row. Errors are one each, and begin with a small letter."""
        return self._each(_sentences(text), " ", depth) if text[0].isupper() or text[0] == "`" else ""

    def _each(self, parts: list[str], joint: str, depth: int) -> str:
        """Parts with what stands between them here; empty for a single one, and where none is known."""
        said = [self._said(one, depth + 1) for one in parts] if len(parts) > 1 else []
        return _joined([one or old for one, old in zip(said, parts, strict=True)], joint) if any(said) else ""

    def _formed(self, text: str, depth: int, *, several: bool = False) -> str:
        for form in self._several if several else self._by_start.get(text[:2], self._by_start[""]):
            facts = form.facts(text)
            if facts is not None:
                told = [self._said(one, depth + 1) or one for one in facts]
                return _PLACE.sub(lambda found, told=told: told[int(found[1]) - 1], form.says)  # type: ignore[misc]
        return ""

    def _loose(self, text: str, depth: int) -> str:
        """What is put together without a form: clauses with semicolons, lists, or a name before a colon."""
        if told := self._each(_parted(text, "; "), "；", depth):
            return told
        listed = text.split(", ")
        if len(listed) > 1 and all(one in self.exact for one in listed):
            return "、".join(self.exact[one] for one in listed)
        head = _HEAD.match(text)
        rest = self._said(text[head.end() :], depth + 1) if head is not None else ""
        return f"{head[1]}：{rest}" if head is not None and rest else ""


def _plain(literal: str) -> str:
    return literal.replace("{{", "{").replace("}}", "}")


def _sentences(text: str) -> list[str]:
    held = [(one.start(), one.end()) for one in _BEGINS.finditer(text)]
    cuts = [one for one in _NEXT.finditer(text) if not any(low < one.start() < high for low, high in held)]
    starts = [0, *(one.end() for one in cuts)]
    ends = [*(one.start() for one in cuts), len(text)]
    return [text[low:high] for low, high in zip(starts, ends, strict=True)]


def _parted(text: str, joint: str, unless: str = "\n") -> list[str]:
    """Parts between joints, quotations and what is in parentheses left whole. `unless`: what is no part by itself begins so."""
    if joint not in text:
        return [text]
    held = [(one.start(), one.end()) for one in _BEGINS.finditer(text)]
    parts, begun, place = [], 0, text.find(joint)
    while place >= 0:
        within = text.count("(", 0, place) > text.count(")", 0, place)
        whole = within or any(low <= place < high for low, high in held) or text.startswith(unless, place + len(joint))
        if not whole:
            parts.append(text[begun:place])
            begun = place + len(joint)
        place = text.find(joint, place + len(joint))
    return [*parts, text[begun:]]


def _joined(parts: list[str], joint: str) -> str:
    """Parts in a row; after a full stop of this language no space is needed."""
    if joint != " ":
        return joint.join(parts)
    told = parts[0]
    for one in parts[1:]:
        told += ("" if told.endswith(tuple(_STOPS)) else " ") + one
    return told


@cache
def sayings(language: str) -> Sayings:
    """The sentences of a language; none of English, which the core speaks itself."""
    exact: dict[str, str] = {}
    forms = []
    for english, says in lines(language).items():
        if english.startswith("{1}; ") and says.startswith("{1}；") and "{2" not in english:  # it may come after another clause
            exact[_plain(english[5:])] = _plain(says[4:])
        if _PLACE.search(english):
            forms.append(Form.of(english, _plain(says)))
        else:
            exact[_plain(english)] = _plain(says)
    return Sayings(exact, tuple(forms))


def lines(language: str, name: str = "*") -> dict[str, str]:
    """The words as they stand in their files, or in one: forms, and what is said for them."""
    files = sorted((FOLDER / language / "said").glob(f"{name}.toml"))
    return {english: says for file in files for english, says in tomllib.loads(file.read_text("utf-8")).items()}
