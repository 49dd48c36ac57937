"""XNAT's data types, read from the schemas that the sandbox serves: one source for both.

Names of types and fields are found whatever their case, as XNAT does; answers have the schema's
spelling. Not here: short names of fields (``shortcuts``) and values (``values``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from xml.etree import ElementTree as ET

from deploy.sandbox.paths import split_steps

_XS = "{http://www.w3.org/2001/XMLSchema}"
_XDAT = "{http://nrg.wustl.edu/xdat}"

PROJECT = "xnat:projectData"
SUBJECT = "xnat:subjectData"
EXPERIMENT = "xnat:experimentData"
SUBJECT_ASSESSOR = "xnat:subjectAssessorData"
IMAGE_SESSION = "xnat:imageSessionData"
IMAGE_ASSESSOR = "xnat:imageAssessorData"
IMAGE_SCAN = "xnat:imageScanData"
RECONSTRUCTION = "xnat:reconstructedImageData"
RESOURCE = "xnat:abstractResource"

ROOTS = (PROJECT, SUBJECT, EXPERIMENT, IMAGE_SCAN, RECONSTRUCTION, RESOURCE)
"""Types whose objects have an address of their own; everything else is a part of one of them."""

_LINK_PARTS = frozenset({"xnat:projectParticipant", "xnat:experimentData_share"})
_TYPE_BRACKET = re.compile(r"@?xsi:type\s*=\s*['\"]?([^'\"]+?)['\"]?\s*$")
_KEY_BRACKET = re.compile(r"@?([A-Za-z_]+)\s*=\s*['\"]?(.*?)['\"]?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a complex type: an attribute (``attribute``) or a child element.

    ``type_name`` is ``xs:...`` for simple values, else the name of another complex type;
    ``inline`` marks a child whose type has no name of its own.
    """

    name: str
    type_name: str
    many: bool = False
    inline: bool = False
    long: bool = False
    choices: tuple[str, ...] = ()
    attribute: bool = False


@dataclass(slots=True)
class DataType:
    """A complex type with its own members (inherited ones are in ``base``)."""

    name: str
    base: str | None = None
    abstract: bool = False
    value_type: str | None = None
    element: str = ""
    members: dict[str, Member] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that holds a value: its path in the schema's spelling and what may stand in it."""

    path: str
    value_type: str
    long: bool = False
    choices: tuple[str, ...] = ()


class DataTypes:
    """All data types of the served schemas.

    Parameters
    ----------
    documents : dict of str to str
        Schema name (also the prefix of its types) to the XSD text.

    Attributes
    ----------
    namespaces : dict of str to str
        Schema name to the XML namespace of its types.
    """

    def __init__(self, documents: dict[str, str]) -> None:
        self.documents = documents
        self.namespaces: dict[str, str] = {}
        self._types: dict[str, DataType] = {}
        self._names: dict[str, str] = {}
        for prefix, document in documents.items():
            self._read(prefix, ET.fromstring(document))  # noqa: S314 - our own file
        self._elements = {
            kind.element.lower(): kind.name for kind in self._types.values() if kind.element
        }

    # Reading the schema ---------------------------------------------------------------------

    def _read(self, prefix: str, root: ET.Element) -> None:
        self.namespaces[prefix] = root.get("targetNamespace", "")
        for node in root.findall(f"{_XS}complexType"):
            self._read_type(f"{prefix}:{node.get('name')}", node)
        for node in root.findall(f"{_XS}element"):
            self._types[node.get("type", "")].element = node.get("name", "")

    def _read_type(self, name: str, node: ET.Element) -> DataType:
        kind = DataType(name, abstract=node.get("abstract") == "true")
        self._types[name] = kind
        self._names[name.lower()] = name
        body = node
        simple = node.find(f"{_XS}simpleContent/{_XS}extension")
        extension = node.find(f"{_XS}complexContent/{_XS}extension")
        if simple is not None:
            kind.value_type = simple.get("base")
            body = simple
        elif extension is not None:
            kind.base = extension.get("base")
            body = extension
        for child in body.findall(f"{_XS}sequence/{_XS}element"):
            member = self._read_member(name, child)
            kind.members[member.name.lower()] = member
        for child in body.findall(f"{_XS}attribute"):
            member = Member(child.get("name", ""), child.get("type", "xs:string"), attribute=True)
            kind.members[member.name.lower()] = member
        return kind

    def _read_member(self, owner: str, node: ET.Element) -> Member:
        name = node.get("name", "")
        long = any(f.get("sqlType") == "text" for f in node.iter(f"{_XDAT}sqlField"))
        member = Member(
            name,
            node.get("type", "xs:string"),
            many=node.get("maxOccurs") == "unbounded",
            long=long,
        )
        inner = node.find(f"{_XS}complexType")
        if inner is not None:
            nested = self._read_type(f"{owner}/{name}", inner)
            return replace(member, type_name=nested.name, inline=True)
        restriction = node.find(f"{_XS}simpleType/{_XS}restriction")
        if restriction is not None:
            values = tuple(v.get("value", "") for v in restriction.findall(f"{_XS}enumeration"))
            return replace(member, type_name=restriction.get("base", "xs:string"), choices=values)
        return member

    # Questions about types ------------------------------------------------------------------

    def find(self, name: str) -> str | None:
        """Return the type's name in its own spelling, or None when there is no such type."""
        found = self._names.get(name.strip().lower())
        return None if found is None or "/" in found else found

    def find_element(self, element: str) -> str | None:
        """Return the type of a document element such as ``MRSession``, or None."""
        return self._elements.get(element.lower())

    def element_name(self, name: str) -> str:
        """Return the document element of a type, or the type's own name when it has none."""
        return self._types[name].element or name.partition(":")[2]

    def is_abstract(self, name: str) -> bool:
        """Return whether no object can have exactly this type."""
        return self._types[name].abstract

    def is_a(self, name: str, ancestor: str) -> bool:
        """Return whether a type is another one or extends it."""
        return ancestor in self.lineage(name)

    def lineage(self, name: str) -> Iterator[str]:
        """Iterate over the type and those it extends, the most general last."""
        current: str | None = name
        while current is not None:
            yield current
            current = self._types[current].base

    def root(self, name: str) -> str:
        """Return the most general type that the type extends."""
        return list(self.lineage(name))[-1]

    def subtypes(self, ancestor: str) -> list[str]:
        """Return the type and all that extend it, sorted."""
        return sorted(n for n in self._types if "/" not in n and self.is_a(n, ancestor))

    def all_names(self) -> list[str]:
        """Return the names of all types, sorted."""
        return sorted(name for name in self._types if "/" not in name)

    def members(self, name: str) -> dict[str, Member]:
        """Return all members of a type, inherited ones first, by their lower-case name."""
        found: dict[str, Member] = {}
        for kind in reversed(list(self.lineage(name))):
            found.update(self._types[kind].members)
        return found

    def namespace(self, name: str, member: str | None = None) -> str:
        """Return the XML namespace of a type, or of the type that one of its members comes from."""
        for kind in self.lineage(name):
            if member is None or member.lower() in self._types[kind].members:
                return self.namespaces[kind.partition(":")[0]]
        return self.namespaces[name.partition(":")[0]]

    def value_type(self, name: str) -> str | None:
        """Return the simple type that a type with text content holds, or None."""
        return self._types[name].value_type

    def text_name(self, member: Member) -> str:
        """Return what XNAT calls the text of an element: its type's name, or else its own."""
        return member.name if member.inline else member.type_name.partition(":")[2]

    # Paths ----------------------------------------------------------------------------------

    def leaf(self, name: str, path: str) -> Leaf | None:
        """Return the field of a type at a path relative to it, or None when there is none.

        Parts of links (shares, resources, scans, assessors) are no fields of the object. Keys of
        custom variables (``fields/field[name=X]/field``) come back in lower case, as XNAT saves
        them.
        """
        steps = split_steps(path)
        return self._walk(name, steps, "") if steps else None

    def _walk(self, name: str, steps: list[tuple[str, str]], prefix: str) -> Leaf | None:
        (step, bracket), rest = steps[0], steps[1:]
        member, typed = self._member(name, step, bracket)
        if member is None:
            return None
        spelled = prefix + member.name
        if member.type_name.startswith("xs:"):
            if rest or bracket:
                return None
            return Leaf(spelled, member.type_name, member.long, member.choices)
        if self.root(typed) in ROOTS or typed in _LINK_PARTS:
            return None
        if member.many:
            spelled += _bracket(self.members(typed), bracket)
        own_value = self.value_type(typed)
        text_name = self.text_name(member)
        if own_value is not None and (not rest or rest == [(text_name, "")]):
            tail = f"/{text_name}" if member.many else ""
            return Leaf(spelled + tail, own_value, long=member.many)
        return self._walk(typed, rest, f"{spelled}/") if rest else None

    def _member(self, name: str, step: str, bracket: str) -> tuple[Member | None, str]:
        member = self.members(name).get(step.lower())
        if member is None:
            # A path may leave out which concrete type a part has (demographics/gender).
            for other in self.subtypes(name) if name not in ROOTS and "/" not in name else ():
                member = self.members(other).get(step.lower())
                if member is not None:
                    break
        if member is None:
            return None, ""
        wanted = _TYPE_BRACKET.match(bracket)
        if wanted is None:
            return member, member.type_name
        typed = self.find(wanted[1])
        if typed is None or not self.is_a(typed, member.type_name):
            return None, ""
        return member, typed


def _bracket(members: dict[str, Member], bracket: str) -> str:
    if bracket.isascii() and bracket.isdigit():
        return f"[{int(bracket)}]"
    key = _KEY_BRACKET.match(bracket)
    if key is not None and key[1].lower() in members:
        return f"[{key[1].lower()}={key[2].lower()}]"
    return "[0]"


SCHEMAS = ("xdat", "xnat", "proc", "fs")
"""XNAT's own schemas, then those of plug-ins that clients need: dax's ``proc`` and ``fs``."""


def load_data_types() -> DataTypes:
    """Read the schemas that come with the sandbox."""
    folder = resources.files(__package__).joinpath("schemas")
    return DataTypes(
        {name: folder.joinpath(f"{name}.xsd").read_text(encoding="utf-8") for name in SCHEMAS}
    )
