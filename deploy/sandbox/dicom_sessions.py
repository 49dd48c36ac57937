"""What XNAT makes of DICOM files: sessions by study, scans by series, their types and fields.

Not here: reading headers (``dicom_headers``), HTTP and the archive (``ingest``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deploy.sandbox.datatypes import DataTypes
from deploy.sandbox.dicom_headers import DicomHeader
from deploy.sandbox.errors import HttpError, bad_request
from deploy.sandbox.file_changes import IncomingFile
from deploy.sandbox.values import check_value

_SCAN_TYPES = {
    "MR": "xnat:mrScanData",
    "PT": "xnat:petScanData",
    "CT": "xnat:ctScanData",
    "SC": "xnat:scScanData",
}
_OTHER_SCAN = "xnat:otherDicomScanData"
_NOT_LABEL = re.compile(r"[^A-Za-z0-9_-]+")
_COMMENTS = ("PatientComments", "StudyComments", "AdditionalPatientHistory")

# Paths of fields and the elements they are filled from.
_SESSION_FIELDS = {
    "UID": "StudyInstanceUID",
    "study_id": "StudyID",
    "scanner": "StationName",
    "scanner/manufacturer": "Manufacturer",
    "scanner/model": "ManufacturerModelName",
    "dcmAccessionNumber": "AccessionNumber",
    "dcmPatientId": "PatientID",
    "dcmPatientName": "PatientName",
    "fieldStrength": "MagneticFieldStrength",
}
_SCAN_FIELDS = {
    "UID": "SeriesInstanceUID",
    "series_description": "SeriesDescription",
    "modality": "Modality",
    "scanner": "StationName",
    "scanner/manufacturer": "Manufacturer",
    "scanner/model": "ManufacturerModelName",
    "scanner/softwareVersion": "SoftwareVersions",
    "protocolName": "ProtocolName",
    "bodyPartExamined": "BodyPartExamined",
    "fieldStrength": "MagneticFieldStrength",
    "coil": "ReceiveCoilName",
    "parameters/tr": "RepetitionTime",
    "parameters/te": "EchoTime",
    "parameters/ti": "InversionTime",
    "parameters/flip": "FlipAngle",
    "parameters/sequence": "SequenceName",
    "parameters/imageType": "ImageType",
    "parameters/scanSequence": "ScanningSequence",
    "parameters/seqVariant": "SequenceVariant",
    "parameters/scanOptions": "ScanOptions",
    "parameters/acqType": "MRAcquisitionType",
    "parameters/pixelBandwidth": "PixelBandwidth",
    "parameters/voxelRes/z": "SliceThickness",
    # XNAT keeps the matrix of the images here, and writes no unit.
    "parameters/fov/x": "Columns",
    "parameters/fov/y": "Rows",
    "parameters/kvp": "KVP",
}


@dataclass(slots=True)
class Series:
    """The files of one series; ``header`` is that of its first image."""

    header: DicomHeader
    files: dict[str, IncomingFile] = field(default_factory=dict)
    frames: int = 0

    @property
    def uid(self) -> str:
        """Return the series instance UID."""
        return self.header.get("SeriesInstanceUID")

    @property
    def modality(self) -> str:
        """Return the modality in letters and digits, ``OT`` when it is not given."""
        return re.sub(r"[^A-Z0-9]", "", self.header.get("Modality").upper())[:16] or "OT"

    @property
    def number(self) -> str:
        """Return the scan ID that the series asks for: its number, or its UID without one."""
        number = self.header.get("SeriesNumber")
        return str(int(number)) if number.isascii() and number.isdigit() else self.uid

    @property
    def xsi_type(self) -> str:
        """Return the type of its scan."""
        return _SCAN_TYPES.get(self.modality, _OTHER_SCAN)


@dataclass(slots=True)
class Study:
    """The series of one study, by their UID."""

    uid: str
    series: dict[str, Series] = field(default_factory=dict)

    @property
    def header(self) -> DicomHeader:
        """Return the header of the first series of the session's modality."""
        return next(each for each in self.in_order() if each.modality == self.modality).header

    def in_order(self) -> list[Series]:
        """Return the series by number, then UID: the order in which clashing numbers are given."""
        return sorted(
            self.series.values(), key=lambda each: (len(each.number), each.number, each.uid)
        )

    @property
    def xsi_type(self) -> str:
        """Return the type of its session, by its modalities as XNAT ranks them."""
        found = {each.modality for each in self.series.values()}
        if {"PT", "MR"} <= found:
            return "xnat:petmrSessionData"
        for modality, name in (("PT", "pet"), ("MR", "mr"), ("CT", "ct")):
            if modality in found:
                return f"xnat:{name}SessionData"
        return "xnat:otherDicomSessionData"

    @property
    def modality(self) -> str:
        """Return the modality that the session's type stands for, or the first one."""
        found = {each.modality for each in self.series.values()}
        return next((m for m in ("PT", "MR", "CT") if m in found), min(found))


def group(files: Iterable[tuple[DicomHeader, IncomingFile]]) -> list[Study]:
    """Return the studies that files belong to.

    Raises
    ------
    HttpError
        400 when one instance comes twice with different content.
    """
    studies: dict[str, Study] = {}
    for header, file in files:
        uid = header.get("StudyInstanceUID")
        study = studies.setdefault(uid, Study(uid))
        series = study.series.setdefault(header.get("SeriesInstanceUID"), Series(header))
        name = file_name(header)
        known = series.files.get(name)
        if known is not None:
            if known.md5 != file.md5:
                raise bad_request("Two files are the same DICOM instance with different content.")
            continue
        series.files[name] = file
        series.frames += max(1, header.number("NumberOfFrames", 1))
        if header.number("InstanceNumber") < series.header.number("InstanceNumber"):
            series.header = header
    return list(studies.values())


def file_name(header: DicomHeader) -> str:
    """Return the name of an instance's file: always the same for one instance."""
    digest = hashlib.sha256(
        f"{header.get('SOPClassUID')}:{header.get('SOPInstanceUID')}".encode()
    ).hexdigest()[:10]
    numbers = [str(header.number(k)) for k in ("SeriesNumber", "InstanceNumber")]
    return "-".join([header.get("StudyInstanceUID"), *numbers, digest]) + ".dcm"


def scan_ids(series: Iterable[Series], taken: Mapping[str, str]) -> dict[str, str]:
    """Return scan IDs by series UID.

    A series keeps the ID it has. A new one whose number is taken gets the modality and a count
    behind it, as XNAT does: ``4``, ``4-MR2``, ``4-MR3``.

    Parameters
    ----------
    series : iterable of Series
        In the order in which they get their IDs.
    taken : Mapping
        Scan ID to series UID of what the session has already.
    """
    used = dict(taken)
    by_uid = {uid: scan_id for scan_id, uid in taken.items() if uid}
    for each in series:
        if each.uid in by_uid:
            continue
        scan_id, count = each.number, 1
        while scan_id in used:
            count += 1
            scan_id = f"{each.number}-{each.modality}{count}"
        used[scan_id] = each.uid
        by_uid[each.uid] = scan_id
    return by_uid


# Fields -------------------------------------------------------------------------------------


def session_fields(types: DataTypes, study: Study) -> dict[str, str]:
    """Return the fields of a study's session."""
    header = study.header
    values = {path: header.get(keyword) for path, keyword in _SESSION_FIELDS.items()}
    values["modality"] = study.modality
    values["date"] = _date(header.get("StudyDate"))
    values["time"] = _time(header.get("StudyTime"))
    return checked_fields(types, study.xsi_type, values)


def scan_fields(types: DataTypes, series: Series) -> dict[str, str]:
    """Return the fields of a series' scan."""
    header = series.header
    # XNAT doubles the backslash between the values of one element.
    values = {
        path: header.get(keyword).replace("\\", "\\\\") for path, keyword in _SCAN_FIELDS.items()
    }
    values["type"] = header.get("SeriesDescription") or "unknown"
    values["quality"] = "usable"
    values["frames"] = str(series.frames)
    values["start_date"] = _date(header.get("SeriesDate"))
    values["startTime"] = _time(header.get("SeriesTime") or header.get("AcquisitionTime"))
    spacing = header.get("PixelSpacing").split("\\")
    if len(spacing) == 2:  # noqa: PLR2004 - between rows, between columns
        values["parameters/voxelRes/y"], values["parameters/voxelRes/x"] = spacing
    values["parameters/orientation"] = _orientation(header.get("ImageOrientationPatient"))
    return checked_fields(types, series.xsi_type, values)


def checked_fields(types: DataTypes, xsi_type: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the values that the type has fields for and that fit there, as XNAT drops others."""
    fields = {}
    for path, value in values.items():
        leaf = types.leaf(xsi_type, path)
        if leaf is None or not value:
            continue
        try:
            fields[leaf.path] = check_value(leaf, value)
        except HttpError:
            continue  # a header that breaks the rules says nothing about this field
    return fields


def _orientation(text: str) -> str:
    """Return ``Sag``, ``Cor`` or ``Tra`` for the direction cosines of rows and columns.

    The plane is named by the patient's axis (DICOM PS3.3, C.7.6.2.1.1) to which its normal is
    nearest; empty where there are no six numbers.
    """
    try:
        rx, ry, rz, cx, cy, cz = (float(each) for each in text.split("\\"))
    except ValueError:
        return ""
    normal = (abs(ry * cz - rz * cy), abs(rz * cx - rx * cz), abs(rx * cy - ry * cx))
    return ("Sag", "Cor", "Tra")[normal.index(max(normal))]


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) >= 8 else ""  # noqa: PLR2004 - yyyymmdd


def _time(text: str) -> str:
    return f"{text[:2]}:{text[2:4]}:{text[4:6]}" if len(text) >= 6 else ""  # noqa: PLR2004 - hhmmss


# Routing ------------------------------------------------------------------------------------


def comment_value(header: DicomHeader, name: str) -> str:
    """Return X of ``Project:X`` (or Subject, Session) in the comments, in XNAT's order."""
    for keyword in _COMMENTS:
        found = re.search(
            rf"(?:^|[\s;,\\]){name}:\s*([^\s;,\\]+)", header.get(keyword), re.IGNORECASE
        )
        if found is not None:
            return found[1]
    return ""


def project_candidates(header: DicomHeader) -> list[str]:
    """Return the texts that may name the project, in XNAT's order."""
    named = comment_value(header, "Project")
    texts = [named, header.get("StudyDescription"), header.get("AccessionNumber")]
    return [text for text in texts if text]


def label_from(text: str) -> str:
    """Return a text as a label: what a label cannot hold becomes an underscore."""
    return _NOT_LABEL.sub("_", text).strip("_")[:64]
