"""Where does this image, audio or text come from? Every mark in it, what the ledger says of each, and one answer.

Three things prove that an output is ours: it is the same, byte for byte, as one that was released; it bears a watermark that
only the holder of the key can make, and the ledger knows it; or a signer whom the operator trusts signed it as an entry of the
ledger. Metadata, labels and signatures of others are claims: they can only contradict. Nothing that is submitted is kept, and
an answer names no tenant, actor, subject, request or content: it is the same for all who ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from guard.admission import modality_of
from guard.errors import InputError, LedgerError, ModelError, SettingsError
from guard.imaging import open_picture
from guard.marks.aigc import IN_ANSWER, IN_FILE, IN_SOUND
from guard.marks.reading import Found, Standing, read_audio, read_hidden, read_image, read_text
from guard.marks.watermark import DEFAULT
from guard.types import Modality
from serving.book import Book, Entry
from serving.evidence import Answer, Leads, Report, Trace, in_full, named
from serving.nearest import BUT, nearest
from serving.settings import Settings
from serving.watermarking import find_watermark_key

SECONDS = 6.0
"""How long the search for a watermark in an image of changed geometry may take, unless another time is given."""
TILE_BITS, PLAIN_BITS = 62, 32
"""Random bits of a payload of `tile`, and of the methods that know no key."""
FALSE_READS = 1e-6
"""Bound of the share of images without a mark from which `tile` reads one (`guard.marks.tile`)."""
LEAST_CHANCE = 1e-3
"""A payload that the ledger would know by chance this often is no evidence."""
SHORT = 24
"""A text of fewer characters may be written by anyone."""
_COPY_BITS = 128
_WORDS = 200
"""Characters of one value that is passed on from a file."""
_SLOW, _SLOW_PIXELS = "rivaGan", 400_000
"""A method that takes 8 s a million pixels to read, and the pixels up to which it is read."""
_SAID = ("policy", "policy_version", "revision", "generator", "model", "provider", "signer", "source_type", "text", "transform")
_AIGC = ("Label", "ContentProducer", "ProduceID", "ContentPropagator", "PropagateID")
_FACTS = frozenset({*_SAID, *_AIGC, "payload", "surety"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look things up, and with what."""

    ledger: str
    key_file: Path | None = None
    """Of the ledger's master key; as `open_ledger` finds it when left out."""
    producer: str = ""
    """Whom our AIGC objects name."""
    watermark_key: bytes = field(default=b"", repr=False)
    anchors: bytes = b""
    """PEM certificates whose signers are trusted."""
    seconds: float = SECONDS
    notes: tuple[str, ...] = ()
    """What is missing, such as a key, in words."""
    frank: bool = True
    """Whether notes may name files of this machine."""


def gather(
    settings: Settings,
    *,
    watermark_key: bytes = b"",
    anchors: Path | None = None,
    frank: bool = True,
) -> Sources:
    """Everything that can be looked up with these settings. A watermark key that is not there is told in the notes.

    `watermark_key`: one that is known already. `anchors`: PEM file in place of the setting's. Raises SettingsError for anchors
    that cannot be read.
    """
    notes: tuple[str, ...] = ()
    if not watermark_key:
        try:
            watermark_key = find_watermark_key(settings.ledger, settings.watermark_key_file)
        except (SettingsError, LedgerError) as error:
            notes = (f"no watermark could be looked for: {error if frank else 'there is no key'}",)
    file = anchors or settings.c2pa_anchors
    return Sources(
        settings.ledger,
        settings.key_file,
        settings.operator().content_producer,
        watermark_key,
        _anchors(file) if file else b"",
        notes=notes,
        frank=frank,
    )


def _anchors(file: Path) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read the trust anchors {file}: {error.strerror}") from None
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise SettingsError(f"{file}: found no certificate, expected trust anchors as PEM")
    return data


def _choice_of_words(text: str, sources: Sources, book: Book) -> Trace:
    """Whether a text's words were chosen under our key, without its label. It says nothing of which decision they are from."""
    from typing import get_args

    from guard.marks.text_watermark import read_text_watermark
    from guard.marks.token_marks import Method, Verdict

    kind = "words"
    if not sources.watermark_key:
        return Trace(kind, Standing.ABSENT, "No watermark in the words was looked for: there is no key.", "none")
    try:
        labels = book.label_lines()
        read = [read_text_watermark(text, sources.watermark_key, method, labels=labels) for method in get_args(Method)]
    except (InputError, ModelError) as error:
        return Trace(kind, Standing.ABSENT, f"No watermark in the words could be looked for: {error}.", "none")
    best = min(read, key=lambda one: one.p)
    chance = min(1.0, best.p * len(read))
    facts = {"z": round(best.z, 2), "p": best.p, "tokens": best.tokens}
    if best.verdict is Verdict.MARKED:
        says = "Its words were chosen under our key, as the bundled language model does when a policy asks for it."
        return Trace(kind, Standing.FOUND, says, "strong", method=best.method, chance=chance, facts=facts)
    short = best.verdict is Verdict.TOO_SHORT
    says = (
        "It is too short to tell whether its words were chosen under our key." if short else "Its words bear no mark of ours."
    )
    return Trace(kind, Standing.ABSENT, says, "none", method=best.method, facts=facts)


TEXT_READERS: tuple[Callable[[str, Sources, Book], Trace], ...] = (_choice_of_words,)
"""Readers of marks that are hidden in the words of a text: each adds its trace, and `proves` what it can."""


def verify(data: str | bytes, sources: Sources, envelope: str = "") -> Report:
    """Judge a text, an image file or a WAV file. `envelope`: the AIGC object that came beside a text, as JSON.

    Takes up to `sources.seconds` and about a second more; four, where the ledger's policies use `rivaGan`. A ledger or key that
    is missing is told in the notes. Raises InputError for bytes that do not begin as PNG, JPEG, WebP or WAV.
    """
    case = _Case(data, sources, Book(sources.ledger, sources.key_file))
    if isinstance(data, str):
        found = read_text(data, envelope)
    else:
        found = (read_audio if case.modality is Modality.AUDIO else read_image)(data, sources.anchors)
    case.copy()
    if isinstance(data, str):
        case.traces += [reader(data, sources, case.book) for reader in TEXT_READERS]
    elif case.modality is Modality.IMAGE:
        case.watermarks(data)
        case.looks(data)
    for one in found:
        {"c2pa": case.credential, "aigc": case.label_of_machines}.get(one.kind, case.remark)(one)
    return case.report(case.modality)


class _Case:
    """One verification in progress."""

    def __init__(self, data: str | bytes, sources: Sources, book: Book) -> None:
        self.data, self.sources, self.book = data, sources, book
        self.modality = modality_of(data)
        self.traces: list[Trace] = []
        self.notes = list(sources.notes)
        self.same: tuple[Entry, ...] = ()
        self.count = 0
        if book.trouble:
            why = f": {book.trouble}" if sources.frank else ""
            self.notes.append(f"nothing could be looked up in the ledger{why}")

    def copy(self) -> None:
        """The same bytes, or the same text but for white space and a label."""
        found = self.book.copies(self.data)
        if self.book.blind:
            if not self.book.trouble:
                self.notes.append(self.book.blind if self.sources.frank else "copies could not be looked up")
            return
        entries = (self.book.entry(index) for index in found.indices)
        self.same = tuple(one for one in entries if one and one.released)
        if not self.same:
            what = "text" if isinstance(self.data, str) else "file"
            says = f"No {what} that was released here is the same."
            self.traces.append(Trace("copy", Standing.ABSENT, says, "entries of before copies were recorded are not found"))
            return
        self.count, entry = found.count, self.same[0]
        short = isinstance(self.data, str) and len(" ".join(self.data.split())) < SHORT
        said = "low: a text this short may be written by anyone" if short else "certain"
        if found.how == "exact":
            says, proves = f"Byte for byte what was released as {named(entry)}.", Answer.OURS
        else:
            lines = f", without its line at the {found.without}" if found.without else ""
            says, proves = f"But for white space{lines}, the text that was released as {named(entry)}.", Answer.CHANGED
        chance = None if short else max(1, self.book.size) * 2.0**-_COPY_BITS
        self.traces.append(Trace("copy", Standing.PROVEN, says, said, Leads.FOUND, entry, proves, found.how, chance))

    def watermarks(self, data: bytes) -> None:
        """Hidden marks: ours with the key, then those without one that the ledger's policies ask for."""
        if self.sources.watermark_key:
            copied = any(one.proves is Answer.OURS for one in self.traces)  # then nothing was changed that needs a search
            found = read_hidden(data, DEFAULT, self.sources.watermark_key, 0.0 if copied else self.sources.seconds)
            self.keyed(replace(found, reasons=()) if copied else found)
        methods = self.book.watermarks()
        for method in sorted(methods - {DEFAULT, _SLOW}):
            self.candidate(read_hidden(data, method))
        if _SLOW in methods and not any(one.proves for one in self.traces):
            self.slow(data)

    def slow(self, data: bytes) -> None:
        """The mark that takes longest to read, where nothing else has shown where the image comes from."""
        try:
            width, height = open_picture(data).size
        except InputError:  # which has been told
            return
        if width * height > _SLOW_PIXELS:
            found = f"found {width * height:,} pixels, they are looked for up to {_SLOW_PIXELS:,}"
            self.notes.append(f"watermarks of the method {_SLOW} were not looked for: {found}")
        else:
            self.candidate(read_hidden(data, _SLOW))

    def keyed(self, found: Found) -> None:
        """A mark that only the key's holder can make."""
        if found.standing is not Standing.FOUND:
            self.notes += [f"watermark: {reason}" for reason in found.reasons]
            says = "No watermark of this operator's key was found."
            self.add(found, says, "an image that was changed much may have lost it")
            return
        chance, surety = FALSE_READS, f"surety {found.facts['surety']:.1f} times noise"
        if self.book.trouble:
            self.add(found, "A watermark of this operator's key.", f"very high ({surety})", chance=chance)
            return
        entries = self.book.marked(found.facts["payload"], DEFAULT)
        entry = next((one for one in entries if one.released), None)
        if entry is None and entries:
            says = f"A watermark of this operator's key that names {named(entries[0])}, which was not released."
            self.add(found, says, f"very high ({surety})", Leads.FORGED, entries[0], chance=chance)
        elif entry is None:
            says = "A watermark of this operator's key, with a number that this ledger does not have."
            self.add(found, says, f"very high ({surety})", Leads.NOT_FOUND, chance=chance)
        else:
            changed = bool(found.facts["transform"]) or (entry.comparable and not self.book.blind)
            proves = Answer.CHANGED if changed else Answer.OURS
            how = f"; the image was {found.facts['transform']} since" if found.facts["transform"] else ""
            says = f"A watermark of this operator's key that leads to {named(entry)}{how}."
            chance *= max(1, self.book.size) * 2.0**-TILE_BITS
            self.add(found, says, f"very high ({surety})", Leads.FOUND, entry, proves, chance)

    def looks(self, data: bytes) -> None:
        """The nearest released image by its fingerprint. A file that is byte for byte ours needs none."""
        if not self.book.trouble and not any(one.proves is Answer.OURS and one.kind == "copy" for one in self.traces):
            trace, note = nearest(data, self.book, [one.entry.index for one in self.traces if one.entry])
            self.traces += [trace] if trace else []
            self.notes += [note] if note else []

    def candidate(self, found: Found) -> None:
        """A payload that is read from any image: only a known one says something, and as much as chance allows."""
        entries = self.book.marked(found.facts["payload"], found.method) if found.standing is Standing.CANDIDATE else ()
        entry = next((one for one in entries if one.released), None)
        if entry is None:
            says = f"No watermark of the method {found.method} that the ledger knows."
            self.add(found, says, "a small change of the image removes it", standing=Standing.ABSENT)
            return
        chance = self.book.size * 2.0**-PLAIN_BITS
        enough = chance < LEAST_CHANCE
        says = f"A watermark of the method {found.method} that leads to {named(entry)}."
        words = "fair: there is no key, so anyone could have put it there" if enough else "low: chance alone does that often"
        self.add(found, says, words, Leads.FOUND, entry, Answer.CHANGED if enough else None, chance)

    def credential(self, found: Found) -> None:
        """The C2PA manifest."""
        if found.standing is Standing.ABSENT:
            self.notes += [f"C2PA: {reason}" for reason in found.reasons]
            self.add(found, "No C2PA manifest.", "most platforms remove them")
        elif found.standing is Standing.BROKEN:
            says = "A C2PA manifest that does not fit the file: one of them was changed after signing."
            self.add(found, says, "certain", Leads.FORGED)
        else:
            self.signed(found)

    def signed(self, found: Found) -> None:
        """A manifest as it was signed; by whom is for the anchors to say."""
        trusted = found.method == "trusted"
        signer = f"signed by {_cut(found.facts.get('signer')) or 'someone without a name'}, {_STATES[found.method]}"
        said = "high: a trusted signature" if trusted else "a claim: anyone can sign such a manifest"
        ledger = str(found.facts.get("ledger", ""))
        if found.decision is None or self.book.trouble or ledger != self.book.identity:
            other = "" if found.decision is None or self.book.trouble else " It names another ledger."
            self.add(found, f"A sound C2PA manifest, {signer}.{other}", said)
            return
        entry, why = self.known(found.decision, "c2pa")
        copied = any(one.kind == "copy" and one.method == "exact" for one in self.traces)
        if not why and entry and entry.comparable and not self.book.blind and not copied:
            why = "whose released file is another one"
        if why:
            self.add(found, f"A C2PA manifest, {signer}, that names a decision {why}.", "certain", Leads.FORGED, entry)
            return
        assert entry is not None
        says = f"A sound C2PA manifest, {signer}, that names {named(entry)}."
        self.add(found, says, said, Leads.FOUND, entry, Answer.OURS if trusted else None)

    def label_of_machines(self, found: Found) -> None:
        """The AIGC object: by whom and as what it says that this was made."""
        if found.standing is not Standing.FOUND:
            says = "No AIGC object." if found.standing is Standing.ABSENT else "An AIGC object that cannot be read."
            self.add(found, says, "most platforms remove them")
            return
        producer, facts = self.sources.producer, found.facts
        pairs = (("ContentPropagator", "PropagateID"), ("ContentProducer", "ProduceID"))
        number = next((facts.get(which, "") for who, which in pairs if producer and facts.get(who) == producer), None)
        claim = "a claim: anyone can write metadata"
        if self.book.trouble:
            self.add(found, "An AIGC object.", claim)
        elif number is None:
            self.foreign(found, claim)
        else:
            decision = _uuid(number)
            entry, why = self.known(decision, "aigc", *_CARRIERS) if decision else (None, "with no decision's number")
            why = why or self.elsewhere(entry)
            if why:
                says = f"An AIGC object in this operator's name, with a decision {why}."
                self.add(found, says, "certain: it was not written here for this file", Leads.FORGED, entry)
            else:
                assert entry is not None
                self.add(found, f"An AIGC object that names {named(entry)}.", claim, Leads.FOUND, entry)

    def foreign(self, found: Found, claim: str) -> None:
        """An AIGC object in another name, or in one that we cannot tell from ours."""
        entry = self.book.entry(found.decision) if found.decision and not self.sources.producer else None
        if entry is not None and entry.released:
            self.add(found, f"An AIGC object that names {named(entry)}.", claim, Leads.FOUND, entry)
        else:
            self.add(found, "An AIGC object in the name of another provider.", claim)

    def known(self, decision: UUID, kind: str, *methods: str) -> tuple[Entry | None, str]:
        """The entry that a mark names, and what is wrong with that; empty when it fits."""
        entry = self.book.entry(decision)
        if entry is None:
            return None, "that this ledger does not have"
        if not entry.released:
            return entry, "that released nothing"
        if entry.modality is not self.modality:
            return entry, f"on {_KINDS[entry.modality]}"
        return entry, "" if entry.mark(kind, *methods) else "whose output got no such mark"

    def elsewhere(self, entry: Entry | None) -> str:
        """Why an entry cannot be where this image comes from: its watermark is another one."""
        mark = entry.mark("watermark", DEFAULT) if entry else None
        other = next((one for one in self.traces if one.kind == "watermark" and one.method == DEFAULT), None)
        differs = mark and other and other.standing is Standing.FOUND and other.facts["payload"] != mark.payload
        return "whose output bears another watermark" if differs else ""

    def remark(self, found: Found) -> None:
        """What says that something was generated, and not by whom."""
        self.notes += [f"{found.kind}: {reason}" for reason in found.reasons]
        there = found.standing is Standing.FOUND
        what = {"iptc": "an IPTC source type", "label": "a visible label as it is drawn here"}.get(found.kind, found.kind)
        about = _cut(found.facts.get("source_type") or found.facts.get("text"))
        says = f"It bears {what}: {about}." if there else f"It does not bear {what}."
        self.add(found, says, "a claim: anyone can put it there" if there else "it may have been taken off")

    def add(
        self,
        found: Found,
        says: str,
        confidence: str,
        leads: Leads = Leads.NOWHERE,
        entry: Entry | None = None,
        proves: Answer | None = None,
        chance: float | None = None,
        standing: Standing | None = None,
    ) -> None:
        """Keep a trace, with those facts that may be passed on."""
        facts = {name: value if name == "surety" else _cut(value) for name, value in found.facts.items() if name in _FACTS}
        proves = Answer.TAMPERED if leads is Leads.FORGED else proves
        reasons = found.reasons if found.standing is not Standing.ABSENT else ()
        self.traces.append(
            Trace(
                found.kind,
                standing or found.standing,
                says,
                confidence,
                leads,
                entry,
                proves,
                found.method,
                chance,
                facts,
                reasons,
            )
        )

    def report(self, modality: Modality) -> Report:
        """The strongest evidence decides: a copy, then contradictions, then what leads here."""
        exact = [one for one in self.traces if one.kind == "copy" and one.proves is Answer.OURS]
        against = [one for one in self.traces if one.proves is Answer.TAMPERED]
        proofs = [one for one in self.traces if one.proves in {Answer.OURS, Answer.CHANGED}]
        told = next(iter(exact or against or proofs), None)
        answer = (told.proves if told else None) or Answer.UNKNOWN
        leading = next((one.entry for one in (*proofs, *self.traces) if one.entry and one.leads is not Leads.NEAR), None)
        words = _WORDING[answer](told, leading if proofs else None, self)
        notes = tuple(dict.fromkeys(self.notes))
        return Report(answer, words, modality, tuple(self.traces), leading, self.same, self.count, notes)


_CARRIERS = (IN_FILE, IN_SOUND, IN_ANSWER)
_KINDS = {Modality.TEXT: "a text", Modality.IMAGE: "an image", Modality.AUDIO: "an audio"}
_STATES = {
    "trusted": "whom the trust anchors vouch for",
    "valid": "with no trust anchors to say by whom",
    "untrusted": "whom nobody vouches for",
}


def _ours(told: Trace | None, entry: Entry | None, case: _Case) -> str:
    assert told is not None
    assert entry is not None
    many = f" {case.count} entries released the same; the oldest is shown." if told.kind == "copy" and case.count > 1 else ""
    if told.kind == "copy" and told.chance is None:
        many += " But it is so short that anyone could have written it."
    return f"This comes from here: {in_full(entry)}. {told.says}{many}"


def _changed(told: Trace | None, entry: Entry | None, _case: _Case) -> str:
    assert told is not None
    assert entry is not None
    short = " But it is so short that anyone could have written it." if told.kind == "copy" and told.chance is None else ""
    return f"This comes from here, and was changed since: {in_full(entry)}. {told.says}{short}"


def _tampered(told: Trace | None, entry: Entry | None, _case: _Case) -> str:
    assert told is not None
    still = f" Even so, something in it comes from here: {in_full(entry)}." if entry else ""
    return f"Do not trust what this says of itself. {told.says}{still}"


def _unknown(_told: Trace | None, _entry: Entry | None, case: _Case) -> str:
    if case.book.trouble:
        return "Nobody can say: there is no ledger to look this up in."
    claims = [one for one in case.traces if one.leads not in {Leads.NOWHERE, Leads.NEAR}]
    near = next((one for one in case.traces if one.leads is Leads.NEAR), None)
    told = " ".join(one.says for one in claims) + (" That alone is no proof." if claims else "")
    if near is not None and near.entry is not None:
        told += f" It looks like what was released here as {in_full(near.entry)}. {near.says} {BUT}"
    if told:
        return f"Nothing proves where this comes from. {told.strip()}"
    return "Nothing in this leads here. That does not show who made it, or that it was not generated."


_WORDING: Mapping[Answer, Callable[[Trace | None, Entry | None, _Case], str]] = {
    Answer.OURS: _ours,
    Answer.CHANGED: _changed,
    Answer.TAMPERED: _tampered,
    Answer.UNKNOWN: _unknown,
}


def _cut(value: object) -> str:
    return str(value)[:_WORDS] if value is not None else ""


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
