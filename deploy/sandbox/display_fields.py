"""The display fields of XNAT's search: their IDs, and the field or SQL behind each.

Not here: reading searches (``searches``).
"""

from __future__ import annotations

from deploy.sandbox import shortcuts
from deploy.sandbox.columns import Column, ColumnSet
from deploy.sandbox.datatypes import EXPERIMENT, PROJECT, SUBJECT

_SUBJECT_FIELDS = {
    "SUBJECT_ID": "ID", "SUBJECT_LABEL": "label", "LABEL": "label", "PROJECT": "project",
    "GENDER_TEXT": "gender", "HANDEDNESS_TEXT": "handedness", "DOB": "dob", "AGE": "age",
    "EDUC": "education", "SES": "ses", "RACE": "race", "ETHNICITY": "ethnicity",
    "XNAT_COL_SUBJECTDATAGROUP": "group", "INSERT_DATE": "insert_date",
    "INSERT_USER": "insert_user", "SUBJECTID": "ID",
}  # fmt: skip
_EXPERIMENT_FIELDS = {
    "SESSION_ID": "ID", "EXPT_ID": "ID", "LABEL": "label", "PROJECT": "project",
    "SUBJECT_ID": "subject_ID", "SUBJECT_LABEL": "subject_label", "DATE": "date",
    "AGE": "xnat:subjectAssessorData/age", "SCANNER": "scanner", "INSERT_DATE": "insert_date",
    "INSERT_USER": "insert_user",
}  # fmt: skip
_PROJECT_FIELDS = {
    "ID": "ID", "NAME": "name", "DESCRIPTION": "description", "PI": "pi_lastname",
    "SECONDARY_ID": "secondary_ID", "KEYWORDS": "keywords", "INSERT_DATE": "insert_date",
    "INSERT_USER": "insert_user",
}  # fmt: skip
_FIELDS = {PROJECT: _PROJECT_FIELDS, SUBJECT: _SUBJECT_FIELDS, EXPERIMENT: _EXPERIMENT_FIELDS}


def _session_count(xsi_type: str) -> str:
    # Everybody who sees a project's record sees how much it holds, as in XNAT.
    return (
        "(SELECT count(*) FROM experiment WHERE experiment.project = p.id"  # noqa: S608 - a type of ours
        f" AND experiment.xsi_type = '{xsi_type}')"
    )


_SQL = {
    PROJECT: {
        "PROJECT_ACCESS": "p.accessibility",
        "PROJ_MR_COUNT": _session_count("xnat:mrSessionData"),
        "PROJ_PET_COUNT": _session_count("xnat:petSessionData"),
        "PROJ_CT_COUNT": _session_count("xnat:ctSessionData"),
        # No such type here: ultrasound sessions are DICOM sessions of another kind.
        "PROJ_UT_COUNT": "0",
        "PROJECT_OWNERS": (
            "(SELECT group_concat(login, ' <br/> ') FROM user JOIN user_group"
            " ON user_group.user_id = user.id WHERE group_id = p.id || '_owner')"
        ),
    },
    # Subjects have no further identifiers here, and are never quarantined.
    SUBJECT: {"ADD_IDS": "NULL", "QUARANTINE_STATUS": "'active'"},
    EXPERIMENT: {"QUARANTINE_STATUS": "e.status"},
}


def field_ids(level: str) -> dict[str, str]:
    """Return the display field IDs of a level with the full path behind each (empty: none)."""
    named = {
        field_id: shortcuts.full_path(level, short) or short
        for field_id, short in _FIELDS.get(level, {}).items()
    }
    return {**named, **dict.fromkeys(_SQL.get(level, {}), "")}


def find_field(columns: ColumnSet, element: str, name: str) -> Column | None:
    """Return the column of a display field or path of a type, or None when there is none.

    Parameters
    ----------
    element : str
        The type that the field belongs to.
    name : str
        Field ID such as ``SUBJECT_LABEL``, or a path relative to the type.
    """
    level = columns.types.root(element)
    field_id = name.upper()
    if level == columns.level and field_id in _SQL.get(level, {}):
        return Column(name.lower(), _SQL[level][field_id])
    path = field_ids(level).get(field_id)
    return columns.find(path or f"{element}/{name}")
