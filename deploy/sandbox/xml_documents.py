"""XML documents of objects, read and written. Not here: what an item holds (``items``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

from deploy.sandbox.datatypes import IMAGE_SCAN, ROOTS, DataTypes
from deploy.sandbox.errors import not_implemented, unprocessable

if TYPE_CHECKING:
    from deploy.sandbox.items import Item

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_XSI_TYPE = f"{{{_XSI}}}type"
_IGNORED_ATTRIBUTES = (_XSI_TYPE, f"{{{_XSI}}}schemaLocation")
# In JSON items only: documents hold what the schema has.
_TABLE_KEYS = frozenset(
    {"xnat_imagescandata_id", "xnat_reconstructedimagedata_id", "xnat_abstractresource_id"}
)
MAX_DEPTH = 60

_Content = tuple[str, frozenset[tuple[str, str]], str, tuple[Any, ...]]
"""What an element says: tag, attributes, text, parts."""


@dataclass(slots=True)
class Document:
    """An object in an XML body: its type and the values of its simple fields, by path.

    ``scans`` are those of a session that are new or differ from what the session has.
    """

    xsi_type: str
    values: list[tuple[str, str]] = field(default_factory=list)
    scans: list[Document] = field(default_factory=list)


def parse_xml(body: bytes) -> ET.Element:
    """Return the root of an XML body.

    Raises
    ------
    HttpError
        422 when it is not well-formed, nested absurdly deep, or has a document type (entities
        could make a small body huge).
    """
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    depth = 0

    def name(text: str) -> str:
        return f"{{{text}" if "}" in text else text

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise unprocessable(f"The XML body is nested more than {MAX_DEPTH} levels deep.")
        builder.start(name(tag), {name(key): value for key, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name(tag))

    def refuse(*_: Any) -> None:
        raise unprocessable("An XML body with a document type is not accepted.")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)  # noqa: FBT003 - expat takes no keyword: this is all of it
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise unprocessable("The body is not well-formed XML.") from error
    return builder.close()


def read_document(types: DataTypes, body: bytes, present: bytes | None = None) -> Document:
    """Read an XML body that describes one object.

    Parameters
    ----------
    present : bytes, optional
        The object's document as it is. Objects nested in it may come back as they are: people
        change a document that they fetched, and send all of it.

    Raises
    ------
    HttpError
        422 for anything but a document of a known type; 501 for other objects nested in it than
        the scans of a session.
    """
    root = parse_xml(body)
    xsi_type = types.find(root.get(_XSI_TYPE, "")) or types.find_element(_local(root.tag))
    if xsi_type is None:
        raise unprocessable("The XML body is not an object of this server's data types.")
    known: set[_Content] = set()
    if present is not None:
        _add_contents(parse_xml(present), known)
    document = Document(xsi_type)
    _Reader(types, known).read_part(document, xsi_type, root, "")
    return document


def _add_contents(node: ET.Element, known: set[_Content]) -> _Content:
    """Return what an element says, however it is laid out, and note it with that of its parts."""
    parts = tuple(_add_contents(child, known) for child in node)
    attributes = frozenset(
        (key, value) for key, value in node.attrib.items() if not key.endswith("}schemaLocation")
    )
    content = (node.tag, attributes, (node.text or "").strip(), parts)
    known.add(content)
    return content


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


class _Reader:
    """Reads the parts of a document; ``known`` are objects that need not be read."""

    def __init__(self, types: DataTypes, known: set[_Content]) -> None:
        self._types = types
        self._known = known

    def read_part(self, document: Document, name: str, node: ET.Element, prefix: str) -> None:
        """Add what an element of a type says about an object."""
        for key, value in node.attrib.items():
            if key not in _IGNORED_ATTRIBUTES:
                document.values.append((prefix + _local(key), value))
        counts: dict[str, int] = {}
        for child in node:
            self._read_child(document, name, child, prefix, counts)

    def _read_child(
        self,
        document: Document,
        name: str,
        child: ET.Element,
        prefix: str,
        counts: dict[str, int],
    ) -> None:
        types, step = self._types, _local(child.tag)
        typed = types.find(child.get(_XSI_TYPE, "")) or ""
        members = types.members(typed or name), types.members(name)
        member = members[0].get(step.lower()) or members[1].get(step.lower())
        if member is None:
            raise unprocessable(f"'{step[:80]}' is not a part of {name}.")
        if member.type_name.startswith("xs:"):
            document.values.append((prefix + step, child.text or ""))
            return
        inner = typed or member.type_name
        if "/" not in inner and (types.root(inner) in ROOTS or step == "share"):
            self._read_object(document, inner, child, prefix + step)
            return
        path = prefix + step
        if member.many:
            name_key = child.get("name")
            path += f"[name={name_key}]" if name_key is not None else f"[{counts.get(step, 0)}]"
            counts[step] = counts.get(step, 0) + 1
        if types.value_type(inner) is not None:
            tail = f"/{types.text_name(member)}" if member.many else ""
            document.values.append((path + tail, child.text or ""))
            if member.many:
                return
        self.read_part(document, inner, child, f"{path}/")

    def _read_object(self, document: Document, xsi_type: str, node: ET.Element, path: str) -> None:
        if _add_contents(node, set()) in self._known:
            return
        if path != "scans/scan" or self._types.root(xsi_type) != IMAGE_SCAN:
            raise not_implemented(
                "new or changed objects nested in an XML body, but for the scans of a session; "
                "make each at its own address"
            )
        scan = Document(xsi_type)
        self.read_part(scan, xsi_type, node, "")
        document.scans.append(scan)


# Writing ------------------------------------------------------------------------------------


def write_document(types: DataTypes, item: Item) -> bytes:
    """Return the XML document of an item; each part is in its own type's namespace."""
    for prefix, address in types.namespaces.items():
        ET.register_namespace(prefix, address)
    ET.register_namespace("xsi", _XSI)
    namespace, name = types.namespace(item.xsi_type), types.element_name(item.xsi_type)
    root = ET.Element(f"{{{namespace}}}{name}")
    _write_part(types, item, root)
    body: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return body


def _descend(
    types: DataTypes, owner: str, node: ET.Element, steps: list[str]
) -> tuple[str, ET.Element]:
    """Return the type and the element at a path below an element, making what is not there."""
    for step in steps:
        tag = f"{{{types.namespace(owner, step)}}}{step}"
        found = node.find(tag)
        node = ET.SubElement(node, tag) if found is None else found
        owner = types.members(owner)[step.lower()].type_name
    return owner, node


def _write_part(types: DataTypes, item: Item, node: ET.Element) -> None:
    for path, value in item.fields.items():
        if path in _TABLE_KEYS:
            continue
        *containers, last = path.split("/")
        owner, place = _descend(types, item.xsi_type, node, containers)
        member = types.members(owner).get(last.lower())
        text = str(value)
        if member is not None and member.attribute:
            place.set(last, text)
        elif types.value_type(owner) is not None and member is None:
            place.text = text
        else:
            _descend(types, owner, place, [last])[1].text = text
    for path, items in item.children:
        *containers, last = path.split("/")
        owner, place = _descend(types, item.xsi_type, node, containers)
        declared = types.members(owner)[last.lower()].type_name
        for child in items:
            inner = ET.SubElement(place, f"{{{types.namespace(owner, last)}}}{last}")
            if "/" not in child.xsi_type and child.xsi_type != declared:
                inner.set(_XSI_TYPE, child.xsi_type)
            _write_part(types, child, inner)
