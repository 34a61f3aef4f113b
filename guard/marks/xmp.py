"""Single properties of an XMP packet: read, and set without losing what else is in it (XMP specification, parts 1 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard.errors import InputError

if TYPE_CHECKING:
    from xml.dom.minidom import Document, Element

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MAX_BYTES = 1_000_000
MAX_DEPTH = 60
_EMPTY = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="genguard"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    "</x:xmpmeta>"
)
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL = '<?xpacket end="w"?>'


@dataclass(frozen=True, slots=True)
class Property:
    """The name of a property whose value is one text."""

    namespace: str
    prefix: str
    name: str


def get(packet: bytes, wanted: Property) -> list[str]:
    """All values that a packet has for a property; empty for one that cannot be read."""
    document = _parsed(packet)
    if document is None:
        return []
    values = []
    for block in _descriptions(document):
        if block.hasAttributeNS(wanted.namespace, wanted.name):
            values.append(block.getAttributeNS(wanted.namespace, wanted.name))
        values += [_text(one) for one in _children(block, wanted.namespace, wanted.name)]
    return values


def put(packet: bytes | None, wanted: Property, value: str) -> bytes:
    """The packet with the property set to one value, and everything else as it was. One that cannot be read is begun anew."""
    from xml.dom.minidom import parseString

    document = (_parsed(packet) if packet else None) or parseString(_EMPTY)  # noqa: S318 - our own text
    blocks = _descriptions(document)
    for block in blocks:
        if block.hasAttributeNS(wanted.namespace, wanted.name):
            block.removeAttributeNS(wanted.namespace, wanted.name)
        for one in _children(block, wanted.namespace, wanted.name):
            block.removeChild(one)
    root = document.getElementsByTagNameNS(RDF, "RDF")[0]
    rdf = root.prefix or "rdf"
    block = document.createElementNS(RDF, f"{rdf}:Description")
    if not root.prefix:
        block.setAttribute("xmlns:rdf", RDF)
    block.setAttribute(f"{rdf}:about", blocks[0].getAttributeNS(RDF, "about") if blocks else "")
    block.setAttribute(f"xmlns:{wanted.prefix}", wanted.namespace)
    block.setAttribute(f"{wanted.prefix}:{wanted.name}", value)
    for left in blocks:
        if not _holds(left):
            root.removeChild(left)
    root.appendChild(block)
    tree = document.documentElement
    assert tree is not None  # a document that was parsed has a root
    return f"{_HEAD}{tree.toxml()}{_TAIL}".encode()


def _holds(block: Element) -> bool:
    """Whether a description says anything besides what it is about."""
    said = [one for one in block.attributes.values() if one.namespaceURI not in {RDF, "http://www.w3.org/2000/xmlns/"}]
    return bool(said) or any(child.nodeType == child.ELEMENT_NODE for child in block.childNodes)


def _parsed(packet: bytes) -> Document | None:
    """The packet as a tree; None for what is no XMP."""
    from xml.dom.minidom import parseString

    data = packet.strip(b"\x00 \t\r\n")
    if len(data) > MAX_BYTES or not _harmless(data):
        return None
    document = parseString(data)  # noqa: S318 - no document type, and not deep: see above
    return document if len(document.getElementsByTagNameNS(RDF, "RDF")) == 1 else None


def _harmless(data: bytes) -> bool:
    """Whether this is XML without a document type, which could define entities, and not too deep for a walk by recursion."""
    from xml.parsers import expat

    depth = 0

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise ValueError

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError):
        return False
    return True


def _descriptions(document: Document) -> list[Element]:
    """The outer descriptions: those inside a property are its value."""
    return _children(document.getElementsByTagNameNS(RDF, "RDF")[0], RDF, "Description")


def _children(block: Element, namespace: str, name: str) -> list[Element]:
    elements = [one for one in block.childNodes if one.nodeType == one.ELEMENT_NODE]
    return [one for one in elements if (one.namespaceURI, one.localName) == (namespace, name)]


def _text(element: Element) -> str:
    """The text of an element, also of a list's first item: some writers put one value into a list."""
    items = element.getElementsByTagNameNS(RDF, "li")
    source = items[0] if items else element
    return "".join(one.data for one in source.childNodes if one.nodeType in {one.TEXT_NODE, one.CDATA_SECTION_NODE}).strip()


def value_of(packet: bytes | None, wanted: Property) -> str | None:
    """The one value of a property; None when there is none. Raises InputError for several that differ."""
    values = list(dict.fromkeys(get(packet, wanted))) if packet else []
    if len(values) > 1:
        raise InputError(f"found {len(values)} values of {wanted.prefix}:{wanted.name}, expected one")
    return values[0] if values else None
