"""The fields by which objects can be searched and shown, with XNAT's names for them.

Sources: XNAT REST API, columns of listings (shortcuts and paths of the schema) and display fields
of ``/data/search/elements``. Not here: asking for them (``finding``).
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from xnat_client.errors import UsageError

VARIABLE = "variable."
"""Begins the name of a custom variable: ``variable.cohort``."""
CUSTOM = "field."
"""Begins the name of a custom field: ``field.handScore``."""
SUBJECT = "subject."
"""Begins the name of a field of the subject of a session or scan: ``subject.gender``."""

_SCAN = "xnat:imageScanData"


class Level(StrEnum):
    """What is searched for."""

    PROJECTS = "projects"
    SUBJECTS = "subjects"
    SESSIONS = "sessions"
    SCANS = "scans"

    @property
    def one(self) -> str:
        """Return the word for one of them."""
        return self.value.removesuffix("s")


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Parameters
    ----------
    name : str
        As people write it.
    listing : str
        Shortcut or path in XNAT's listings; empty if they have none.
    search : str
        Display field of XNAT's search; empty if there is none that every site has.
    about : str
        What it is.
    is_shown : bool
        Whether it is a column when nobody chooses columns.
    of_scans : bool
        Whether it belongs to the scans of a session.
    """

    name: str
    listing: str
    search: str = ""
    about: str = ""
    is_shown: bool = True
    of_scans: bool = False

    @property
    def header(self) -> str:
        """Return the field's column in the answer of a listing, in lower case."""
        return self.listing.lower()


_PROJECTS = (
    Field("project", "ID", "ID", "ID of the project"),
    Field("title", "name", "NAME", "its title"),
    Field("description", "description", "DESCRIPTION", "its description", is_shown=False),
    Field("keywords", "keywords", "KEYWORDS", "its keywords", is_shown=False),
    Field("secondary", "secondary_ID", "SECONDARY_ID", "its running title", is_shown=False),
    Field("investigator", "pi_lastname", "PI", "name of the investigator"),
    Field("inserted", "insert_date", "INSERT_DATE", "when it was made", is_shown=False),
)
_SUBJECTS = (
    Field("project", "project", "PROJECT", "ID of the project"),
    Field("subject", "label", "SUBJECT_LABEL", "label of the subject"),
    Field("id", "ID", "SUBJECT_ID", "its accession number"),
    Field("group", "group", "XNAT_COL_SUBJECTDATAGROUP", "its group", is_shown=False),
    Field("gender", "gender", "", "gender", is_shown=False),
    Field("handedness", "handedness", "", "handedness", is_shown=False),
    Field("inserted", "insert_date", "INSERT_DATE", "when it was made", is_shown=False),
)
_SESSIONS = (
    Field("project", "project", "PROJECT", "ID of the project"),
    Field("subject", "subject_label", "SUBJECT_LABEL", "label of the subject"),
    Field("session", "label", "LABEL", "label of the session"),
    Field("id", "ID", "SESSION_ID", "its accession number"),
    Field("type", "xsiType", "", "mr, pet, eeg, ..., or XNAT's data type"),
    Field("date", "date", "DATE", "day of the visit"),
    Field("age", "xnat:subjectAssessorData/age", "AGE", "age at the visit", is_shown=False),
    Field("scanner", "scanner", "SCANNER", "name of the scanner", is_shown=False),
    Field("inserted", "insert_date", "INSERT_DATE", "when it was made", is_shown=False),
    Field("fieldstrength", "fieldStrength", "", "field strength of an MR scanner", is_shown=False),
)
_OF_SCANS = (
    Field("scan", f"{_SCAN}/ID", about="number of the scan", of_scans=True),
    Field("sequence", f"{_SCAN}/type", about="type of the scan, such as T1w", of_scans=True),
    Field("description", f"{_SCAN}/series_description", about="series description", of_scans=True),
    Field("quality", f"{_SCAN}/quality", about="usable, questionable, unusable", of_scans=True),
    Field("frames", f"{_SCAN}/frames", about="number of images", is_shown=False, of_scans=True),
    Field("note", f"{_SCAN}/note", about="note on the scan", is_shown=False, of_scans=True),
)
_NOT_OF_SCANS = frozenset({"type", "age", "inserted"})

FIELDS: dict[Level, tuple[Field, ...]] = {
    Level.PROJECTS: _PROJECTS,
    Level.SUBJECTS: _SUBJECTS,
    Level.SESSIONS: (
        *_SESSIONS,
        *(Field(f.name, f.listing, "", f.about, False, True) for f in _OF_SCANS),  # noqa: FBT003  # not shown; of scans
    ),
    Level.SCANS: (
        *(
            Field(
                f.name, f.listing, "", f.about, f.is_shown and f.name not in {*_NOT_OF_SCANS, "id"}
            )
            for f in _SESSIONS
        ),
        *_OF_SCANS,
    ),
}
ROOT_TYPES = {
    Level.PROJECTS: "xnat:projectData",
    Level.SUBJECTS: "xnat:subjectData",
    Level.SESSIONS: "xnat:imageSessionData",
    Level.SCANS: "xnat:imageSessionData",
}
IDENTITY = {
    Level.PROJECTS: ("project",),
    Level.SUBJECTS: ("project", "id"),
    Level.SESSIONS: ("project", "id"),
    Level.SCANS: ("project", "id", "scan"),
}
"""The fields that tell two objects of a level apart."""
_VARIABLES = {
    Level.PROJECTS: "xnat:projectData",
    Level.SUBJECTS: "xnat:subjectData",
    Level.SESSIONS: "xnat:experimentData",
    Level.SCANS: "xnat:experimentData",
}


def find_field(level: Level, name: str) -> Field | None:
    """Return a field by its name, in any case, or None."""
    wanted = name.casefold()
    if wanted == "label":  # as XNAT and ``winxnat launch`` call it
        wanted = level.one
    return next((field for field in FIELDS[level] if field.name == wanted), None)


_DEMOGRAPHICS = "xnat:subjectData/demographics[@xsi:type=xnat:demographicData]"
_OF_SUBJECT = {
    "group": "xnat:subjectData/group",
    "gender": f"{_DEMOGRAPHICS}/gender",
    "handedness": f"{_DEMOGRAPHICS}/handedness",
}


def subject_field(level: Level, name: str) -> Field | None:
    """Return a field of the subject of a session or scan, or None if there is none such.

    Raises
    ------
    UsageError
        It is a custom variable whose name XNAT does not allow.
    """
    rest = name.removeprefix(SUBJECT)
    if level not in (Level.SESSIONS, Level.SCANS) or rest == name:
        return None
    if rest.startswith(VARIABLE):
        listing = variable_field(Level.SUBJECTS, rest).listing
        return Field(name, listing, about="custom variable of the subject")
    path = _OF_SUBJECT.get(rest)
    return Field(name, path, about=f"{rest} of the subject") if path else None


def variable_field(level: Level, name: str) -> Field:
    """Return the field of a custom variable; XNAT keeps their names in lower case.

    Raises
    ------
    UsageError
        The name has characters that XNAT does not allow in it.
    """
    key = name.removeprefix(VARIABLE).lower()
    # A path of the schema is made of it, so it must not be able to leave its brackets.
    if not key.replace("_", "").replace("-", "").isalnum() or not key.isascii():
        raise UsageError(
            "The name of a custom variable may hold letters, digits, '_' and '-' only, as in "
            "variable.cohort."
        )
    owner = _VARIABLES[level]
    return Field(name, f"{owner}/fields/field[name={key}]/field", about="custom variable")


def unknown_field(level: Level, name: str, more: tuple[str, ...] = ()) -> UsageError:
    """Return the error for a field that there is not, with names that come near."""
    known = [field.name for field in FIELDS[level]]
    spelled = {each.casefold(): each for each in (*known, *more)}
    near = [spelled[each] for each in get_close_matches(name.casefold(), list(spelled), 3, 0.5)]
    shown = name if name.isprintable() and len(name) <= 40 else "of this name"  # noqa: PLR2004  # enough to know it again
    of_subject = ", ".join(["", *(SUBJECT + one for one in (*_OF_SUBJECT, VARIABLE + "NAME"))])
    if level not in (Level.SESSIONS, Level.SCANS):
        of_subject = ""
    hint = f"Near to it: {', '.join(near)}. " if near else ""
    return UsageError(
        f"{level.value.capitalize()} have no field {shown}. {hint}There are: {', '.join(known)}, "
        f"{VARIABLE}NAME, {CUSTOM}NAME{of_subject}, and the server's display fields in capitals."
    )
