"""The reduced data model against XNAT's own, which comes with xnatpy's source package."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path

import pytest

_XS = "{http://www.w3.org/2001/XMLSchema}"
_GROUPS = {
    f"{_XS}{name}"
    for name in ("sequence", "choice", "all", "complexContent", "simpleContent", "complexType")
}

Fields = dict[str, str | None]

# The sandbox's own: what is simpler there, or younger than the copy (of 2020) in the package.
_CHOSEN = {
    ("experimentData", "sharing/share"),
    ("imageScanData", "fields/field"),
    ("imageScanData", "fields/field/@name"),
    ("derivedData", "imageSession_ID"),
    ("reconstructedImageData", "note"),
    ("petSessionData", "start_time_scan"),
    ("petSessionData", "start_time_injection"),
    ("petSessionData", "tracer/name"),
    ("petSessionData", "tracer/startTime"),
    ("petSessionData", "tracer/intermediate"),
    ("petSessionData", "tracer/transmissions_startTime"),
    ("petScanData", "parameters/orientation"),
    ("petScanData", "parameters/acqType"),
    ("petScanData", "parameters/dataType"),
    ("resource", "@URI"),
}


def _read(document: bytes) -> dict[str, tuple[list[str], Fields]]:
    """Return (base types, fields with their simple types) of each type of a schema."""
    found = {}
    for node in ET.fromstring(document).findall(f"{_XS}complexType"):  # noqa: S314 - a fixed version
        bases: list[str] = []
        fields: Fields = {}
        _walk(node, "", bases, fields)
        found[node.get("name", "")] = (bases, fields)
    return found


def _walk(node: ET.Element, prefix: str, bases: list[str], fields: Fields) -> None:
    for child in node:
        if child.tag == f"{_XS}extension":
            if prefix:
                fields[prefix.rstrip("/")] = child.get("base")
            else:
                bases.append(child.get("base", ""))
            _walk(child, prefix, bases, fields)
        elif child.tag in _GROUPS:
            _walk(child, prefix, bases, fields)
        elif child.tag in {f"{_XS}element", f"{_XS}attribute"}:
            is_attribute = child.tag == f"{_XS}attribute"
            name = f"{prefix}{'@' * is_attribute}{child.get('name') or child.get('ref')}"
            restriction = child.find(f"{_XS}simpleType/{_XS}restriction")
            fields[name] = child.get("type") if restriction is None else restriction.get("base")
            _walk(child, f"{name}/", bases, fields)


def test_every_field_is_one_of_xnats_and_of_the_same_type(client_sources: Path):
    (document,) = client_sources.glob("xnat-*/xnat/tests/xnat.xml")
    real = _read(document.read_bytes())
    own = _read(resources.files("deploy.sandbox").joinpath("schemas/xnat.xsd").read_bytes())

    differing = {
        (kind, name)
        for kind, (_, fields) in own.items()
        if kind in real
        for name, value in fields.items()
        if real[kind][1].get(name, real[kind][1].get(f"@{name}")) != value
    }

    assert set(own) - set(real) == {"experimentData_share"}
    assert differing == _CHOSEN


@pytest.mark.parametrize("kind", ["mrSessionData", "imageSessionData", "mrScanData", "subjectData"])
def test_types_extend_what_xnats_extend(client_sources: Path, kind: str):
    (document,) = client_sources.glob("xnat-*/xnat/tests/xnat.xml")
    own = _read(resources.files("deploy.sandbox").joinpath("schemas/xnat.xsd").read_bytes())

    assert own[kind][0] == _read(document.read_bytes())[kind][0]
