"""The dump of a DICOM header, as a table. Not here: importing (``ingest``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from starlette.responses import Response

from deploy.sandbox.archives import bounded
from deploy.sandbox.call import Call
from deploy.sandbox.catalogs import resources_below
from deploy.sandbox.dicom_headers import MAX_DEFLATED_BYTES
from deploy.sandbox.errors import bad_request, not_found, not_implemented
from deploy.sandbox.file_changes import open_stored
from deploy.sandbox.resource_rows import files_of
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.tables import answer_table

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

ROUTES = Routes()

_COLUMNS = ("tag1", "tag2", "vr", "value", "desc")
_PIXEL_DATA = 0x7FE00010
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
MAX_SHOWN_CHARACTERS = 256


@ROUTES.add("GET", "/data/services/dicomdump")
def dump_header(call: Call) -> Response:
    """Answer the header of the first DICOM file of a scan, session or resource."""
    src = call.query.get("src")
    if not src:
        raise bad_request("Name what to look at: src=/archive/projects/P/.../scans/ID.")
    if src.removeprefix("/data").startswith("/prearchive"):
        raise not_implemented("header dumps of sessions in the prearchive")
    if call.flag("summary"):
        raise not_implemented("summaries of headers")
    wanted = {_tag(name) for name in call.query.getlist("field")}
    dataset = _first_header(call, src)
    rows = (row for element in dataset for row in _rows(element, "", wanted))
    return answer_table(call, _COLUMNS, rows)


def _tag(name: str) -> BaseTag:
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM
    from pydicom.tag import Tag  # noqa: PLC0415 - same

    found = tag_for_keyword(name)
    try:
        return Tag(found if found is not None else int(name, 16))
    except (ValueError, OverflowError) as error:
        raise bad_request("'field' must be a DICOM keyword or a tag such as 0008103E.") from error


def _first_header(call: Call, src: str) -> Dataset:
    from pydicom import config  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM
    from pydicom.filereader import read_partial  # noqa: PLC0415 - same

    site = call.site
    # Values that break DICOM's rules are common, and warnings about them would quote them.
    config.settings.reading_validation_mode = config.IGNORE
    for resource in resources_below(call, src, Action.READ):
        for file in files_of(site.store.connection, resource.id):
            stream = open_stored(site.store, site.settings, resource.id, file.path)
            if stream is None:
                continue
            with stream:
                try:
                    source = cast("BinaryIO", bounded(stream, MAX_DEFLATED_BYTES))
                    return read_partial(source, _is_pixels)
                except Exception:  # noqa: BLE001, S112 - pydicom raises nearly anything; the next
                    continue  # file may be DICOM
    raise not_found("There is no DICOM file here.")


def _is_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= _PIXEL_DATA


def _rows(
    element: DataElement, sequence: str, wanted: set[BaseTag]
) -> Iterator[tuple[str, str, str, str, str]]:
    own = f"({element.tag.group:04X},{element.tag.element:04X})"
    if not wanted or element.tag in wanted or sequence:
        shown = "" if element.VR in _BINARY or element.VR == "SQ" else _shown(element)
        tags = (sequence, own) if sequence else (own, "")
        yield (*tags, element.VR, shown, element.name)
        if element.VR == "SQ" and not sequence:
            for item in element.value:
                for inner in item:
                    yield from _rows(inner, own, wanted)


def _shown(element: DataElement) -> str:
    text = str(element.value if element.VM < 2 else "\\".join(map(str, element.value)))  # noqa: PLR2004 - several values
    return "".join(c for c in text if c.isprintable())[:MAX_SHOWN_CHARACTERS]
