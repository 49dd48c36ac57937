"""XNAT's short names of fields, in both directions. Not here: types (``datatypes``)."""

from __future__ import annotations

from deploy.sandbox.datatypes import (
    EXPERIMENT,
    IMAGE_SCAN,
    PROJECT,
    RECONSTRUCTION,
    SUBJECT,
    DataTypes,
)

_DEMOGRAPHICS = "xnat:subjectData/demographics[@xsi:type=xnat:demographicData]"
_SESSION = "xnat:imageSessionData"
_PET_SCAN = "xnat:petScanData/parameters"
_TRACER = "xnat:petSessionData/tracer"


def _same(prefix: str, *names: str) -> dict[str, str]:
    return {name: f"{prefix}/{name}" for name in names}


def _meta(prefix: str) -> dict[str, str]:
    return {
        "insert_date": f"{prefix}/meta/insert_date",
        "insert_user": f"{prefix}/meta/insert_user/login",
        "last_modified": f"{prefix}/meta/last_modified",
    }


def _validation(prefix: str) -> dict[str, str]:
    names = ("method", "status", "date", "notes")
    return {f"validation_{name}": f"{prefix}/validation/{name}" for name in names}


_PROJECT = {
    **_same(PROJECT, "ID", "secondary_ID", "name", "description", "keywords"),
    "alias": f"{PROJECT}/aliases/alias/alias",
    **{
        f"pi_{name}": f"{PROJECT}/PI/{name}" for name in ("title", "firstname", "lastname", "email")
    },
    "note": f"{PROJECT}/fields/field[name=note]/field",
    **_meta(PROJECT),
}
_SUBJECT = {
    **_same(SUBJECT, "ID", "project", "label", "group", "src"),
    "pi_firstname": f"{SUBJECT}/investigator/firstname",
    "pi_lastname": f"{SUBJECT}/investigator/lastname",
    **_same(_DEMOGRAPHICS, "dob", "yob", "age", "gender", "handedness", "ses", "education"),
    **_same(_DEMOGRAPHICS, "educationDesc", "race", "ethnicity", "weight", "height"),
    **_same(_DEMOGRAPHICS, "gestational_age", "post_menstrual_age", "birth_weight"),
    **_meta(SUBJECT),
}
_EXPERIMENT = {
    **_same(EXPERIMENT, "ID", "project", "label", "date", "time", "note"),
    **_same(EXPERIMENT, "visit_id", "visit", "version", "original", "protocol"),
    "pi_firstname": f"{EXPERIMENT}/investigator/firstname",
    "pi_lastname": f"{EXPERIMENT}/investigator/lastname",
    **_validation(EXPERIMENT),
    **_same(_SESSION, "scanner", "operator", "session_type", "modality", "UID"),
    **_same(_SESSION, "dcmAccessionNumber", "dcmPatientId", "dcmPatientName"),
    "studyInstanceUID": f"{_SESSION}/UID",
    **_same("xnat:mrSessionData", "coil", "fieldStrength", "marker", "stabilization"),
    **_same("xnat:petSessionData", "studyType", "patientID", "patientName"),
    "scan_start_time": "xnat:petSessionData/start_time_scan",
    "injection_start_time": "xnat:petSessionData/start_time_injection",
    **{f"tracer_{n}": f"{_TRACER}/{n}" for n in ("name", "startTime", "dose", "isotope")},
    "tracer_sa": f"{_TRACER}/specificActivity",
    "tracer_totalmass": f"{_TRACER}/totalMass",
    "subject_ID": "xnat:subjectAssessorData/subject_ID",
    "subject_label": f"{SUBJECT}/label",
    "subject_project": f"{SUBJECT}/project",
    "session_ID": f"{_SESSION}/ID",
    "session_label": f"{_SESSION}/label",
    "session_project": f"{_SESSION}/project",
    **_meta(EXPERIMENT),
    "xsiType": f"{EXPERIMENT}/extension_item/element_name",
}
_SCAN = {
    **_same(IMAGE_SCAN, "ID", "type", "UID", "note", "quality", "condition", "series_description"),
    **_same(IMAGE_SCAN, "documentation", "scanner", "modality", "frames"),
    **_validation(IMAGE_SCAN),
    "xnat_imagescandata_id": f"{IMAGE_SCAN}/xnat_imagescandata_id",
    "scanTime": f"{IMAGE_SCAN}/startTime",
    **_same("xnat:mrScanData", "coil", "fieldStrength", "marker", "stabilization"),
    **_same(_PET_SCAN, "orientation", "originalFileName", "systemType", "fileType"),
    **_same(_PET_SCAN, "transaxialFOV", "acqType", "facility", "numPlanes", "numGates"),
    **_same(_PET_SCAN, "planeSeparation", "binSize", "dataType"),
    **_meta(IMAGE_SCAN),
    "xsiType": f"{IMAGE_SCAN}/extension_item/element_name",
}
_RECONSTRUCTION = {
    **_same(RECONSTRUCTION, "ID", "type", "baseScanType"),
    "xnat_reconstructedimagedata_id": f"{RECONSTRUCTION}/xnat_reconstructedimagedata_id",
    "xsiType": f"{RECONSTRUCTION}/extension_item/element_name",
    **_meta(RECONSTRUCTION),
}

SHORTCUTS: dict[str, dict[str, str]] = {
    PROJECT: _PROJECT,
    SUBJECT: _SUBJECT,
    EXPERIMENT: _EXPERIMENT,
    IMAGE_SCAN: _SCAN,
    RECONSTRUCTION: _RECONSTRUCTION,
}
"""Level (the most general type) to short name to full path; sessions and assessors share one."""

_BY_NAME = {
    level: {name.lower(): (name, path) for name, path in names.items()}
    for level, names in SHORTCUTS.items()
}
_BY_PATH: dict[str, dict[str, str]] = {}
for _level, _names in SHORTCUTS.items():
    _BY_PATH[_level] = {}
    for _name, _path in _names.items():
        _BY_PATH[_level].setdefault(_path.lower(), _name)


def full_path(level: str, name: str) -> str | None:
    """Return the full path that a short name (any case) stands for at a level, or None."""
    found = _BY_NAME[level].get(name.lower())
    return None if found is None else found[1]


def header(level: str, asked: str) -> str:
    """Return the header that XNAT gives a column: a short name if there is one, else lower case."""
    found = _BY_NAME[level].get(asked.lower())
    if found is not None:
        return found[0]
    return _BY_PATH[level].get(asked.lower(), asked.lower())


def split_path(types: DataTypes, path: str) -> tuple[str, str] | None:
    """Return the type and the relative path of a full path such as ``xnat:mrScanData/type``.

    None when the first part is not the name of a type or nothing follows it.
    """
    head, slash, rest = path.partition("/")
    found = types.find(head) if slash and rest and ":" in head else None
    return None if found is None else (found, rest)
