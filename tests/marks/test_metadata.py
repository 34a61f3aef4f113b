"""AIGC and IPTC metadata: in every kind of file, beside what is there, without touching a pixel, and seen by exiftool."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from guard.errors import InputError, RegistryError, SettingsError
from guard.imaging import identify, open_picture
from guard.marks import order, xmp
from guard.marks.aigc import PROPERTY, describe, parse, read_aigc
from guard.marks.containers import read_xmp, write_xmp
from guard.marks.iptc import GENERATED, read_source_type
from guard.protocols import Marker
from guard.types import CALLER, Content, Modality, Operator, Request, Stage
from tests.fakes import marking, text

DECISION = UUID("01900000-0000-7000-8000-0000a5c3f00f")
OPERATOR = Operator(content_producer="Beispiel GmbH & Söhne <生成>")
FOREIGN = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="uuid:1" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"><dc:title><rdf:Alt>'
    b'<rdf:li xml:lang="x-default">Hafen &amp; Kai</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)


def pixels(mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(8).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    return (
        Image.fromarray(noise, "RGBA").convert(mode)
        if mode != "I;16"
        else Image.fromarray(noise[..., 0].astype(np.uint16) * 200)
    )


def saved(form: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels(mode).save(buffer, form, **options)
    return buffer.getvalue()


FILES = {
    "png": saved("PNG"),
    "png palette": saved("PNG", "P"),
    "png 16": saved("PNG", "I;16"),
    "jpeg": saved("JPEG"),
    "jpeg grey": saved("JPEG", "L"),
    "jpeg cmyk": saved("JPEG", "CMYK"),
    "jpeg exif": saved("JPEG", exif=b"Exif\x00\x00" + bytes(Image.Exif().tobytes()[6:])),
    "jpeg progressive": saved("JPEG", progressive=True),
    "webp": saved("WEBP", quality=80),
    "webp lossless": saved("WEBP", lossless=True),
    "webp alpha": saved("WEBP", "RGBA", lossless=True),
    "webp lossy alpha": saved("WEBP", "RGBA", quality=70),
    "webp xmp": saved("WEBP", xmp=FOREIGN),
    "jpeg xmp": saved("JPEG", xmp=FOREIGN),
}


def content(file: bytes) -> Content:
    return Content(Modality.IMAGE, file, identify(file)[0], Stage.OUTPUT, CALLER, Request("r"))


def aigc(operator: Operator | None = OPERATOR, modality: Modality = Modality.IMAGE) -> Marker:
    return order.make("aigc", {}, modality, operator)


def marked(file: bytes, decision: UUID = DECISION, source: bytes | None = None) -> bytes:
    """A file with both kinds of metadata."""
    given = content(file)
    told = marking(decision, content(source or file))
    for marker in (aigc(), order.make("iptc", {}, Modality.IMAGE)):
        given, mark = marker(given, told)
        assert mark.verified, mark.error
    return given.file


@pytest.mark.parametrize("name", FILES)
def test_both_are_read_back_and_no_pixel_is_touched(name: str) -> None:
    """The file stays what it was, in its format, with the same picture."""
    before = FILES[name]
    after = marked(before)
    assert read_aigc(after) == {"Label": "1", "ContentProducer": OPERATOR.content_producer, "ProduceID": str(DECISION)}
    assert read_source_type(after) == GENERATED
    assert identify(before) == identify(after)
    old, new = open_picture(before), open_picture(after)
    assert (old.mode, old.tobytes()) == (new.mode, new.tobytes())
    assert 0 < len(after) - len(before) < 1400
    start = {"p": b"IDAT", "j": b"\xff\xda", "w": b"VP8"}[name[0]]
    stream = before[before.rindex(b"VP8L" if b"VP8L" in before else start) :][:800]
    assert stream.rstrip(b"\x00")[:600] in after


@pytest.mark.parametrize("name", FILES)
def test_marking_again_changes_nothing_but_the_decision(name: str) -> None:
    """One label a file: the same one twice gives the same file, another one takes its place."""
    once = marked(FILES[name])
    assert once == marked(once)
    other = marked(once, UUID(int=9))
    assert len(other) == len(once)
    assert (read_xmp(other) or b"").count(b"TC260:AIGC") == 1
    assert (read_aigc(other) or {})["ProduceID"] == str(UUID(int=9))


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG"])
def test_other_properties_stay(form: str) -> None:
    """Titles, ratings and whatever else the packet says."""
    before = saved(form, xmp=FOREIGN) if form != "PNG" else write_xmp(FILES["png"], FOREIGN)
    packet = read_xmp(marked(before)) or b""
    assert b"Hafen &amp; Kai" in packet
    assert xmp.get(packet, xmp.Property("http://ns.adobe.com/xap/1.0/", "xmp", "Rating")) == ["4"]
    assert packet.count(b'rdf:about="uuid:1"') == 3  # all of them speak of one thing


@pytest.mark.parametrize("compressed", [True, False])
def test_a_compressed_packet_of_a_png_is_read(compressed: bool) -> None:
    """Both forms of iTXt; a bomb is not inflated."""
    text_bytes = zlib.compress(FOREIGN) if compressed else FOREIGN
    assert read_xmp(with_itxt(text_bytes, compressed)) == FOREIGN
    assert b"Hafen" in (read_xmp(marked(with_itxt(text_bytes, compressed))) or b"")
    with pytest.raises(InputError, match="more than 4000000 bytes"):
        read_xmp(with_itxt(zlib.compress(b" " * 5_000_000), compressed=True))


def with_itxt(body: bytes, compressed: bool) -> bytes:
    chunk = b"iTXtXML:com.adobe.xmp\x00" + bytes((compressed, 0)) + b"\x00\x00" + body
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return FILES["png"][:33] + whole + FILES["png"][33:]


@pytest.mark.parametrize(
    "packet",
    [
        b"no xml",
        b"<x/>",
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'.encode("utf-16"),
        b"<x>" * 400 + b"</x>" * 400,
        FOREIGN[:200],
        b"<a:b/>",
        b'<?xml version="1.0" encoding="nonsense"?><x/>',
        b"\x00" * 40,
        b"",
    ],
)
def test_a_packet_that_nobody_can_read_is_begun_anew(packet: bytes) -> None:
    """Entities are never expanded, trees never walked too deep."""
    assert xmp.get(packet, PROPERTY) == []
    assert (read_aigc(marked(write_xmp(FILES["jpeg"], packet))) or {})["ProduceID"] == str(DECISION)


def test_two_labels_that_differ_are_no_label() -> None:
    """Whoever reads such a file must not pick one; marking it again leaves one."""
    one, other = (json.dumps(describe("a", UUID(int=number))) for number in (1, 2))
    twice = xmp.put(None, PROPERTY, one).replace(
        b"</rdf:RDF>",
        b'<rdf:Description rdf:about="" xmlns:T="http://www.tc260.org.cn/ns/AIGC/1.0/"><T:AIGC>'
        + other.encode().replace(b'"', b"&quot;")
        + b"</T:AIGC></rdf:Description></rdf:RDF>",
    )
    file = write_xmp(FILES["png"], twice)
    with pytest.raises(InputError, match="found 2 values of TC260:AIGC"):
        read_aigc(file)
    assert (read_aigc(marked(file)) or {})["ProduceID"] == str(DECISION)


def test_another_producer_stays_and_we_are_the_propagator() -> None:
    """Also when the pixels were written anew in between and the object is in the file that came only."""
    foreign = (
        '{"Label":"2","ContentProducer":"001191110000000000000000014","ProduceID":"x-1","ReservedCode1":"sig","Other":"y"}'
    )
    file = write_xmp(FILES["jpeg"], xmp.put(None, PROPERTY, foreign))
    expected = {
        "Label": "2",
        "ContentProducer": "001191110000000000000000014",
        "ProduceID": "x-1",
        "ReservedCode1": "sig",
        "ContentPropagator": OPERATOR.content_producer,
        "PropagateID": str(DECISION),
    }
    assert read_aigc(marked(file)) == expected
    assert read_aigc(marked(FILES["png"], source=file)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "[]",
        '{"Label":"1"}',
        '{"Label":1,"ContentProducer":"a","ProduceID":"b"}',
        "{" * 5000,
        '{"a":"' + "x" * 900 + '"}',
    ],
)
def test_an_object_of_another_shape_is_refused(value: str) -> None:
    """With the named error, and it is not carried on."""
    with pytest.raises(InputError, match="AIGC"):
        parse(value)
    if value:
        assert (read_aigc(marked(write_xmp(FILES["png"], xmp.put(None, PROPERTY, value)))) or {})["Label"] == "1"


def test_a_producer_is_never_made_up() -> None:
    """Compiling a policy does not need one; running it does."""
    assert aigc(None).kind == "aigc"
    for modality in Modality:
        with pytest.raises(SettingsError, match="found no content producer") as raised:
            aigc(Operator(), modality)
        assert "GENGUARD_CONTENT_PRODUCER" in raised.value.diagnostics()
    with pytest.raises(RegistryError):
        order.make("aigc", {"producer": "x"}, Modality.IMAGE)


def test_a_text_stays_as_it_is() -> None:
    """What its answers carry beside it is recorded as a mark."""
    given = text("hello")
    released, mark = aigc(modality=Modality.TEXT)(given, marking(DECISION, given))
    assert released is given
    assert (mark.verified, mark.method, mark.payload) == (True, "envelope", DECISION.hex)


def test_a_label_that_is_gone_is_noticed() -> None:
    """By each marker's own reader."""
    markers = aigc(), order.make("iptc", {}, Modality.IMAGE)
    for marker in markers:
        done, mark = marker(content(FILES["png"]), marking(DECISION))
        assert marker.reread(done, mark) == ""
        assert marker.reread(content(FILES["png"]), mark)
        assert (
            marker.reread(content(write_xmp(done.file, xmp.put(None, PROPERTY, "{}"))), mark)
            if marker is not markers[0]
            else True
        )
    done, mark = aigc()(content(FILES["png"]), marking(DECISION))
    assert aigc(Operator("another")).reread(done, mark)
    assert aigc().reread(done, replace(mark, payload=UUID(int=3).hex))


# --- the files themselves ---------------------------------------------------------------------------------------------


def test_a_c2pa_manifest_does_not_outlive_a_change() -> None:
    """It would only call the file tampered."""
    png = FILES["png"]
    chunk = b"caBX" + b"jumbf"
    signed = png[:33] + struct.pack(">I", 5) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    assert b"caBX" not in marked(signed)
    segment = b"JP\x00\x01\x00\x00\x00\x01\x00\x00\x00\x20jumb" + b"x" * 24
    jpeg = FILES["jpeg"][:2] + b"\xff\xeb" + struct.pack(">H", 2 + len(segment)) + segment + FILES["jpeg"][2:]
    assert b"jumb" not in marked(jpeg)


def test_a_packet_too_large_for_a_jpeg_is_refused() -> None:
    """A segment holds 65,533 bytes."""
    with pytest.raises(InputError, match="for a JPEG file"):
        write_xmp(FILES["jpeg"], b"x" * 65_530)


@pytest.mark.parametrize("name", ["png", "jpeg", "jpeg xmp", "webp", "webp xmp", "webp alpha"])
def test_damaged_files_raise_the_named_error_or_are_written_well(name: str) -> None:
    """Cut and mutated at random: nothing but InputError, whatever the bytes."""
    source, rng = marked(FILES[name]), random.Random(11)
    for _ in range(150):
        broken = bytearray(source)
        for _ in range(rng.randint(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        file = bytes(broken[: rng.choice([len(broken), rng.randrange(len(broken))])])
        for work in (read_xmp, read_aigc, read_source_type, marked_loosely):
            try:
                work(file)
            except InputError:
                continue


def marked_loosely(file: bytes) -> bytes:
    given = Content(Modality.IMAGE, file, "image/png", Stage.OUTPUT, CALLER, Request("r"))
    return aigc()(given, marking(DECISION, given))[0].file


# --- another reader ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed (Debian: libimage-exiftool-perl)")
def test_exiftool_shows_both(tmp_path: Path) -> None:
    """A reader that is not ours; it spells names its own way, and has no fault to find with the metadata."""
    for number, name in enumerate(FILES):
        (tmp_path / f"{number:02}.{name.partition(' ')[0]}").write_bytes(marked(FILES[name]))
    command = ["exiftool", "-j", "-G1", "-a", "-validate", "-warning", "-XMP:all", *sorted(tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, check=True)
    shown = json.loads(done.stdout)
    assert len(shown) == len(FILES)
    for seen in shown:
        assert json.loads(seen["XMP-TC260:Aigc"]) == describe(OPERATOR.content_producer, DECISION)
        assert GENERATED in str(seen["XMP-iptcExt:DigitalSourceType"])
        assert not [key for key in seen if key.endswith("Warning") and "XMP" in str(seen[key])]
