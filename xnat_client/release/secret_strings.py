"""All strings of a study that must be in no release: labels, numbers, names, dates, free fields.

They come from the server's records, from the headers of the originals, from the records of
sharing, and from a file that the data manager gives. Not here: how each is written
(``spellings``), looking for them (``search``).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnat_client.errors import BadInputError
from xnat_client.release.spellings import Secret, SecretKind, parse_date

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

_NAME_FIELDS = re.compile(
    r"(?i)name$|operator|investigator|firstname|lastname|physician|^pi/|title$"
)
_DATE_FIELDS = re.compile(r"(?i)date$|dob$|birth")
_HARMLESS_FIELDS = frozenset(
    """
    project image_session_ID modality fieldStrength gender handedness age yob race ethnicity
    scanner/manufacturer scanner/model frames quality type session_type visit_id name/group group
    education height weight keywords time duration prearchivePath_date delay src
    acquisition_site_type studyType
    """.split()  # noqa: SIM905  # a list of this length is read better as text
)
"""Fields of projects, subjects and sessions that single nobody out, or stand in the tables (and
are judged there: age, sex, hand, group)."""
_SCAN_FIELDS = frozenset({"UID", "note", "operator", "scanner", "start_date"})
_USUAL_RESOURCES = frozenset(
    """
    BIDS BIDS_REPORT BIDS_BIDSMAP BIDS_FRAMES BEHAVIOUR BEHAVIOURAL BEHAVIOR BEHAVIORAL DEFACED
    DEFACE_REPORT DICOM SECONDARY SNAPSHOTS SCRUBBED SCRUBBED_REPORT WINQC WINQC_REPORT
    IDENTITY_REPORT MRIQC FREESURFER FMRIPREP NIFTI NIFTI_RAW PHYSIOLOGY RECORDINGS EVENTS
    """.split()  # noqa: SIM905  # a list of this length is read better as text
)
_SEPARATED = re.compile(r"[A-Za-z]{3,}[ _.-]+[A-Za-z]{3,}")
_LONG_LABEL = 8
_TITLE_FIELDS = frozenset({"name", "description"})
"""Of a project: prose, of which only what looks like a number or date is secret."""
_TELLING = re.compile(r"[^\s,;()\[\]{}<>\"']*\d[^\s,;()\[\]{}<>\"']*|\S+@\S+")
_TOKEN = re.compile(r"[^/_\s]+")
_BIDS_ENTITY = re.compile(
    r"(task|acq|ce|trc|stain|rec|dir|run|mod|echo|flip|inv|mt|part|proc|hemi|space|split|recording"
    r"|chunk|seg|res|den|label|desc)-[A-Za-z0-9]+|ses-\d{1,3}"
)
_NAMED_BY_UID = re.compile(r"\d+(\.\d+){3,}(-\w+)*")
"""As XNAT names files of DICOM; the headers have the UIDs that matter."""
_SHORTEST_TOKEN = 6
_EXTENSION = re.compile(r"(\.[A-Za-z]{1,6}|\.nii\.gz)+\Z")
_MOST_KNOWN_BYTES = 64 << 20

_HEADER_IDS = (
    0x00080050,  # AccessionNumber
    0x00080080,  # InstitutionName
    0x00080081,  # InstitutionAddress
    0x00081010,  # StationName
    0x00100020,  # PatientID
    0x00101000,  # OtherPatientIDs
    0x00101040,  # PatientAddress
    0x00102154,  # PatientTelephoneNumbers
    0x00181000,  # DeviceSerialNumber
    0x00200010,  # StudyID
    0x00380010,  # AdmissionID
    0x00401001,  # RequestedProcedureID
    0x00400253,  # PerformedProcedureStepID
)
_HEADER_UIDS = (0x0020000D, 0x0020000E, 0x00200052)
"""Study, series, frame of reference; those of single images follow from them."""


def from_item(item: Mapping[str, Any]) -> Iterator[Secret]:
    """Yield the secret strings of one of XNAT's records (``items[0]`` of its JSON)."""
    fields = item.get("data_fields", {})
    kind = str(item.get("meta", {}).get("xsi:type", ""))
    if "resource" in kind.lower():
        yield from _of_resource(str(fields.get("label", "")))
        return
    for name, value in fields.items():
        yield from _of_field(kind, str(name), str(value))
    for child in item.get("children", []):
        if child.get("field") in {"file", "experiments/experiment", "experiments"}:
            continue  # files are listed elsewhere; sessions are read one by one
        for each in child.get("items", []):
            yield from from_item(each)


def _of_resource(label: str) -> Iterator[Secret]:
    """Yield a resource's label if it says more than what kind of data is in it."""
    is_telling = any(map(str.isdigit, label)) or _SEPARATED.search(label)
    if label.upper() not in _USUAL_RESOURCES and (is_telling or len(label) >= _LONG_LABEL):
        yield Secret(SecretKind.ID, label)


def _of_field(kind: str, name: str, value: str) -> Iterator[Secret]:
    if not value.strip():
        return
    if kind.endswith("ScanData") and name not in _SCAN_FIELDS:
        return
    if kind == "xnat:projectData" and name in _TITLE_FIELDS:
        yield from (Secret(SecretKind.ID, each) for each in _TELLING.findall(value))
    elif _DATE_FIELDS.search(name) and parse_date(value):
        yield Secret(SecretKind.DATE, value)
    elif _NAME_FIELDS.search(name):
        yield Secret(SecretKind.NAME, value)
    elif name.rpartition("/")[2] in {"field", "value", "note", "comment", "description"}:
        yield from free_text(value)
    elif name not in _HARMLESS_FIELDS and not name.startswith(("parameters/", "coverage")):
        yield Secret(SecretKind.ID, value)


def free_text(value: str) -> Iterator[Secret]:
    """Yield a free text as a whole, and of it what looks like a number, date or address."""
    yield Secret(SecretKind.TEXT, value)
    for each in _TELLING.findall(value):
        kind = SecretKind.DATE if parse_date(each) else SecretKind.ID
        yield Secret(kind, each.strip(".:"))


def from_upload_path(path: str) -> Iterator[Secret]:
    """Yield what tells in a source file's path: words of six characters or more with a digit.

    Words that BIDS' entities make (``task-``, ``acq-``) are of the protocol, not of a person;
    numbers of sessions (``ses-2``) stand in every dataset.
    """
    for token in _TOKEN.findall(_EXTENSION.sub("", path)):
        is_telling = len(token) >= _SHORTEST_TOKEN and any(map(str.isdigit, token))
        is_plain = _BIDS_ENTITY.fullmatch(token) or _NAMED_BY_UID.fullmatch(token)
        if is_telling and not is_plain:
            yield Secret(SecretKind.ID, token)


def from_headers(path: Path) -> set[Secret]:
    """Return the names, numbers and dates in a DICOM file's header; empty for another kind."""
    from pydicom import dcmread  # noqa: PLC0415  # takes longer than most commands
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415  # see above

    try:
        header = dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return set()
    return set(_of_dataset(header))


def _of_dataset(header: Dataset) -> Iterator[Secret]:
    for element in header.iterall():
        try:
            yield from _of_element(element)
        except (ValueError, TypeError, AttributeError, LookupError):
            # A value that its own representation does not allow: scrub-headers refuses the file.
            continue


def _of_element(element: DataElement) -> Iterator[Secret]:
    values = element.value if element.VM > 1 else [element.value]
    texts = [str(each) for each in values if each]
    if element.VR == "PN":
        yield from (Secret(SecretKind.NAME, text) for text in texts)
    elif element.VR in {"DA", "DT"}:
        yield from (Secret(SecretKind.DATE, text[:8]) for text in texts if parse_date(text[:8]))
    elif element.tag in _HEADER_IDS or element.tag in _HEADER_UIDS:
        yield from (Secret(SecretKind.ID, text) for text in texts)


def from_known_file(path: Path) -> set[Secret]:
    """Return the strings of a data manager's own file.

    CSV or TSV with the columns ``kind`` and ``text``, or of any columns (every cell counts);
    otherwise one string a line. JSON as ``check-identity`` reads it: ``{"strings": [...]}``, or
    lists by kind.

    Raises
    ------
    BadInputError
        The file cannot be read, or holds no string.
    """
    try:
        if path.stat().st_size > _MOST_KNOWN_BYTES:
            raise BadInputError("The file of known strings is larger than 64 MB; split it.")
        text = path.read_text(encoding="utf-8-sig")
        found = set(_known_rows(text, path.suffix.lower()))
    except (OSError, ValueError, csv.Error) as error:
        raise BadInputError(
            f"The file of known strings cannot be read: {type(error).__name__}. It must be UTF-8 "
            "text, one string a line, CSV, TSV or JSON."
        ) from None
    if not found:
        raise BadInputError("The file of known strings holds none; a search for nothing is none.")
    return found


def _known_rows(text: str, suffix: str) -> Iterator[Secret]:
    if suffix == ".json":
        yield from _known_of_json(json.loads(text))
    elif suffix in {".csv", ".tsv"}:
        yield from _known_of_table(text, "\t" if suffix == ".tsv" else ",")
    else:
        for line in text.splitlines():
            kind, mark, rest = line.partition(":")
            if mark and kind.strip().lower() in {each.value for each in SecretKind}:
                yield _known(kind.strip(), rest.strip())
            elif line.strip():
                yield _known("id", line.strip())


def _known_of_json(document: Any) -> Iterator[Secret]:
    if not isinstance(document, dict):
        raise ValueError("not an object")  # noqa: TRY004  # said as for any other wrong file
    for row in document.get("strings", ()):
        yield _known(str(row["kind"]), str(row["text"]))
    for kind, values in document.items():
        if kind != "strings":
            yield from (_known(kind, str(each)) for each in values)


def _known_of_table(text: str, delimiter: str) -> Iterator[Secret]:
    lines = csv.DictReader(text.splitlines(), delimiter=delimiter)
    has_kinds = set(lines.fieldnames or ()) >= {"kind", "text"}
    for row in lines:
        if has_kinds:
            yield _known(row["kind"] or "", row["text"] or "")
            continue
        for column, value in row.items():
            if value and isinstance(value, str):
                yield _known(column or "", value)


def _known(kind: str, text: str) -> Secret:
    if re.search(r"(?i)date|birth|dob", kind) and parse_date(text):
        return Secret(SecretKind.DATE, text)
    if re.search(r"(?i)name", kind):
        return Secret(SecretKind.NAME, text)
    return Secret(SecretKind.TEXT if kind == "text" else SecretKind.ID, text)


def write_known_file(path: Path, found: Iterable[Secret]) -> None:
    """Write the strings in the form that ``check-identity`` reads, for its owner's eyes only."""
    rows = [
        {"kind": each.kind.value, "text": each.text}
        for each in sorted(found, key=lambda each: (each.kind, each.text))
    ]
    path.touch(mode=0o600)
    path.write_text(json.dumps({"strings": rows}, ensure_ascii=False), encoding="utf-8")


def read_own_file(path: Path) -> set[Secret]:
    """Return the strings of a file that ``write_known_file`` made."""
    rows: Sequence[Mapping[str, str]] = json.loads(path.read_text(encoding="utf-8"))["strings"]
    return {Secret(SecretKind(row["kind"]), row["text"]) for row in rows}
