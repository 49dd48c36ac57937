"""Headers of received DICOM files, read without trust in them and without their pixels.

Values are data of persons: they go into fields of the session and nowhere else, not into logs or
answers. Not here: what XNAT makes of them (``dicom_sessions``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from deploy.sandbox.archives import bounded

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "StudyDate", "SeriesDate", "StudyTime", "SeriesTime",
    "AcquisitionTime", "AccessionNumber", "Modality", "Manufacturer", "StationName",
    "StudyDescription", "SeriesDescription", "ManufacturerModelName", "ImageType", "PatientName",
    "PatientID", "AdditionalPatientHistory", "PatientComments", "BodyPartExamined",
    "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "SequenceName", "SliceThickness",
    "KVP", "RepetitionTime", "EchoTime", "InversionTime", "MagneticFieldStrength",
    "PixelBandwidth", "SoftwareVersions", "ProtocolName", "ReceiveCoilName", "FlipAngle",
    "StudyInstanceUID", "SeriesInstanceUID", "StudyID", "SeriesNumber", "InstanceNumber",
    "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "StudyComments",
    "ScanOptions", "ImageOrientationPatient",
)  # fmt: skip
"""The elements that are read; everything that XNAT's importer needs of a plain image."""

_LAST_TAG = 0x0032FFFF
MAX_VALUE_CHARACTERS = 1024
MAX_DEFLATED_BYTES = 64 * 1024
"""A deflated file is inflated as a whole, to a thousand times its size at worst; larger ones
count as unreadable."""


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """The elements of one file by keyword, as text; several values are joined by backslashes."""

    values: Mapping[str, str]

    def get(self, keyword: str) -> str:
        """Return an element's text, stripped; empty when it is absent."""
        return self.values.get(keyword, "")

    def number(self, keyword: str, default: int = 0) -> int:
        """Return an element's whole number, or the default when it has none."""
        try:
            return int(float(self.get(keyword)))
        except (ValueError, OverflowError):
            return default


@cache
def _tags() -> tuple[BaseTag, ...]:
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM
    from pydicom.tag import Tag  # noqa: PLC0415 - same

    return tuple(Tag(tag) for tag in map(tag_for_keyword, KEYWORDS) if tag is not None)


def _is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > _LAST_TAG


def read_header(path: Path) -> DicomHeader | None:
    """Return the header of a file, or None when it is not a readable DICOM image file.

    Needed are the UIDs of study, series and instance, and the preamble of DICOM part 10.
    """
    from pydicom import config  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415 - same
    from pydicom.filereader import read_partial  # noqa: PLC0415 - same

    # Values that break DICOM's rules are common, and warnings about them would quote them.
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with path.open("rb") as stream:
            source = cast("BinaryIO", bounded(stream, MAX_DEFLATED_BYTES))
            dataset = read_partial(source, _is_behind, specific_tags=list(_tags()))
        values = {keyword: _text(dataset, keyword) for keyword in KEYWORDS}
    except InvalidDicomError:
        return None
    except Exception:  # noqa: BLE001 - on malformed files pydicom raises nearly anything
        return None
    header = DicomHeader({keyword: value for keyword, value in values.items() if value})
    needed = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return header if all(_is_uid(header.get(keyword)) for keyword in needed) else None


def _is_uid(text: str) -> bool:
    return 0 < len(text) <= 64 and set(text) <= set("0123456789.")  # noqa: PLR2004 - DICOM part 5, 9.1


def _text(dataset: Dataset, keyword: str) -> str:
    from pydicom.multival import MultiValue  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM

    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 - one unreadable element leaves the others of use
        return ""
    if value is None:
        return ""
    parts = value if isinstance(value, MultiValue) else [value]
    text = "\\".join(str(part) for part in parts)
    return "".join(c for c in text if c.isprintable()).strip()[:MAX_VALUE_CHARACTERS]
