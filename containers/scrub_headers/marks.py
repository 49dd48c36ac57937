"""What is written anew in every file: its meta information, the label, the marks of the method.

References
----------
DICOM PS3.10 section 7.1 (file meta information), PS3.15 section E.1.1 (marks), PS3.16 CID 7050.
"""

from __future__ import annotations

from containers.scrub_headers.encoding import EXPLICIT_LITTLE, Encoding
from containers.scrub_headers.profile import DatePolicy, Profile, TimePolicy
from containers.scrub_headers.table import edition

IMPLEMENTATION_UID = "2.25.214893061540924167036953719836302190421"
IMPLEMENTATION_NAME = "WINXNAT"
_OPTIONS = (
    ("clean_structured_content", "113104", "Clean Structured Content Option"),
    ("clean_descriptors", "113105", "Clean Descriptors Option"),
    (
        "modified_dates",
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    ("retain_patient_characteristics", "113108", "Retain Patient Characteristics Option"),
    ("retain_device_identity", "113109", "Retain Device Identity Option"),
    ("retain_uids", "113110", "Retain UIDs Option"),
    ("retain_safe_private", "113111", "Retain Safe Private Option"),
    ("retain_institution_identity", "113112", "Retain Institution Identity Option"),
)


def file_start(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """Return preamble, prefix and meta information of a file; nothing of the original is in it."""
    write = EXPLICIT_LITTLE.element
    body = b"".join(
        (
            write(0x00020001, "OB", b"\0\1"),
            write(0x00020002, "UI", sop_class.encode("ascii")),
            write(0x00020003, "UI", sop_instance.encode("ascii")),
            write(0x00020010, "UI", syntax.encode("ascii")),
            write(0x00020012, "UI", IMPLEMENTATION_UID.encode("ascii")),
            write(0x00020013, "SH", IMPLEMENTATION_NAME.encode("ascii")),
        )
    )
    length = write(0x00020000, "UL", len(body).to_bytes(4, "little"))
    return b"".join((bytes(128), b"DICM", length, body))


def marks(profile: Profile, label: str, encoding: Encoding) -> tuple[tuple[int, bytes], ...]:
    """Return the elements that every file gets, in ascending order.

    Raises
    ------
    ValueError
        The label cannot be a PatientID: more than 64 characters, or others than printable ASCII.
    """
    if not (0 < len(label) <= 64 and label.isascii() and label.isprintable()) or "\\" in label:  # noqa: PLR2004 - LO
        raise ValueError("a patient's label has 1 to 64 printable ASCII characters")
    method = f"PS3.15 E.1 {edition()}; winxnat {profile.name[:20]} {profile.version}"
    values = (
        (0x00100010, "PN", label.encode("ascii")),
        (0x00100020, "LO", label.encode("ascii")),
        (0x00120062, "CS", b"YES"),
        (0x00120063, "LO", method.encode("ascii")),
        (0x00120064, "SQ", b"".join(_code(*each, encoding) for each in _codes(profile))),
        (0x00280303, "CS", longitudinal(profile).encode("ascii")),
    )
    return tuple((tag, encoding.element(tag, vr, value)) for tag, vr, value in values)


def longitudinal(profile: Profile) -> str:
    """Return the value of (0028,0303) LongitudinalTemporalInformationModified."""
    removed = profile.dates is DatePolicy.REMOVE and profile.times is TimePolicy.REMOVE
    return "REMOVED" if removed else "MODIFIED"


def _codes(profile: Profile) -> list[tuple[str, str]]:
    codes = [("113100", "Basic Application Confidentiality Profile")]
    for name, code, meaning in _OPTIONS:
        if name == "modified_dates":
            on = longitudinal(profile) == "MODIFIED"
        else:
            on = bool(getattr(profile, name))
        if on:
            codes.append((code, meaning))
    return codes


def _code(value: str, meaning: str, encoding: Encoding) -> bytes:
    write = encoding.element
    return encoding.item(
        write(0x00080100, "SH", value.encode("ascii"))
        + write(0x00080102, "SH", b"DCM")
        + write(0x00080104, "LO", meaning.encode("ascii"))
    )
