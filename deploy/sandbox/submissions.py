"""What a PUT or POST wants to set on an object: read from query, form body and XML body.

Parameters named by a full path or a short name override the body. Not here: storing it, and
what identity (ID, label, project, parent) may change on which object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from deploy.sandbox import shortcuts
from deploy.sandbox.call import Call
from deploy.sandbox.datatypes import EXPERIMENT, IMAGE_SCAN, PROJECT, RECONSTRUCTION, SUBJECT
from deploy.sandbox.errors import bad_request, unprocessable
from deploy.sandbox.values import check_value
from deploy.sandbox.xml_documents import Document, read_document

# Fields that are columns of the tables: the handlers decide what may happen to them.
IDENTITY_FIELDS: dict[str, frozenset[str]] = {
    PROJECT: frozenset({"ID", "name", "secondary_ID"}),
    SUBJECT: frozenset({"ID", "project", "label"}),
    EXPERIMENT: frozenset({"ID", "project", "label", "subject_ID", "imageSession_ID"}),
    IMAGE_SCAN: frozenset({"ID", "image_session_ID", "project"}),
    RECONSTRUCTION: frozenset({"ID", "image_session_ID"}),
}

_XML_TYPES = ("text/xml", "application/xml")
_NOT_STORABLE = frozenset('"\\')
# Short names that only exist for lists.
_READ_ONLY = frozenset(
    {
        "insert_date", "insert_user", "last_modified", "xsitype", "subject_label",
        "subject_project", "session_id", "session_label", "session_project",
        "xnat_imagescandata_id", "xnat_reconstructedimagedata_id",
    }
)  # fmt: skip


@dataclass(slots=True)
class Submission:
    """Values for the fields of one object.

    ``xsi_type`` is None when the request names none. ``identity`` holds ``ID``, ``label`` and so
    on (see ``IDENTITY_FIELDS``), ``values`` all other fields by path; None clears a field.
    ``from_document`` says which identity came from an XML body. ``empty`` means a request that
    says nothing at all. ``scans`` are those that a session's XML body holds.
    """

    level: str
    xsi_type: str | None = None
    identity: dict[str, str] = field(default_factory=dict)
    values: dict[str, str | None] = field(default_factory=dict)
    from_document: dict[str, str] = field(default_factory=dict)
    empty: bool = True
    scans: list[Submission] = field(default_factory=list)


def _document(call: Call, present: Callable[[], bytes | None]) -> Document | None:
    kind = call.query.get("req_format", "")
    content_type = call.request.headers.get("content-type", "").split(";")[0].strip()
    if not call.body.strip() or kind in {"qs", "form"}:
        return None
    if content_type not in _XML_TYPES and not call.body.lstrip().startswith(b"<"):
        return None
    return read_document(call.site.types, call.body, present())


def _named_type(call: Call, parameters: Iterable[tuple[str, str]]) -> str | None:
    for name, value in parameters:
        if name.lower() in {"xsitype", "element_0"} and value:
            found = call.site.types.find(value)
            if found is None:
                raise bad_request("The xsiType is not a data type of this server.")
            return found
    return None


def read_submission(
    call: Call,
    level: str,
    current_type: str | None = None,
    present: Callable[[], bytes | None] = lambda: None,
) -> Submission:
    """Read what the request wants to set.

    Parameters
    ----------
    level : str
        The most general type of the object (project, subject, experiment, scan ...).
    current_type : str, optional
        Type of the object if it exists; fields of this type may be set without naming it.
    present : callable
        Answers the object's XML document if it exists and the caller may read it.

    Raises
    ------
    HttpError
        400 for an unknown type, field or value; 422 for a body that is not such an object.
    """
    result = Submission(level)
    parameters = [*call.form_fields(), *call.query.multi_items()]
    document = _document(call, present)
    result.empty = document is None and not parameters
    result.xsi_type = _named_type(call, parameters)
    if document is not None:
        if call.site.types.root(document.xsi_type) != level:
            raise unprocessable(f"The body is a {document.xsi_type}, not the type needed here.")
        result.xsi_type = result.xsi_type or document.xsi_type
    elif call.body.strip() and not call.form_fields() and call.query.get("req_format") != "qs":
        raise unprocessable("The body is neither an XML document nor a form.")
    types = call.site.types
    own_type = result.xsi_type or current_type or level
    if types.root(own_type) != level:
        raise unprocessable(f"{own_type} is not the kind of object that this address holds.")
    if document is not None:
        for path, value in document.values:
            _set(call, result, own_type, path, value)
        result.from_document = dict(result.identity)
        result.scans = [_submission_of_scan(call, scan) for scan in document.scans]
    for name, value in parameters:
        _set_parameter(call, result, own_type, name, value)
    return result


def _submission_of_scan(call: Call, document: Document) -> Submission:
    result = Submission(IMAGE_SCAN, document.xsi_type, empty=False)
    for path, value in document.values:
        _set(call, result, document.xsi_type, path, value)
    if "ID" not in result.identity:
        raise unprocessable("A scan in the document has no ID.")
    return result


def _set_parameter(call: Call, result: Submission, own_type: str, name: str, value: str) -> None:
    types = call.site.types
    full = shortcuts.full_path(result.level, name)
    if full is not None and name.lower() in _READ_ONLY:
        return
    found = shortcuts.split_path(types, full or name)
    if found is None:
        if ":" in name.partition("/")[0] and "/" in name:
            raise bad_request(f"'{name[:80]}' is not a field of this server's data types.")
        return  # an option of the request, not a field
    owner, path = found
    if not types.is_a(own_type, owner) and not types.is_a(owner, own_type):
        if full is not None:
            return  # a short name of another type's field, as XNAT ignores it
        raise bad_request(f"'{name[:80]}' is not a field of {own_type}.")
    _set(call, result, own_type, path, value)


def _set(call: Call, result: Submission, own_type: str, path: str, value: str) -> None:
    leaf = call.site.types.leaf(own_type, path)
    cleared = value.upper() in {"NULL", ""}  # dax clears with "null"
    if leaf is None and value and cleared:
        return  # what does not exist is clear already (xnatpy clears names it makes up)
    if leaf is None or _NOT_STORABLE & set(leaf.path):
        raise bad_request(f"'{path[:80]}' is not a field of {own_type} that can be set.")
    if leaf.path in IDENTITY_FIELDS[result.level]:
        if not cleared:
            result.identity[leaf.path] = check_value(leaf, value)
        return
    result.values[leaf.path] = None if cleared else check_value(leaf, value)


def merge(stored: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    """Return stored fields with a submission's values applied."""
    merged = {**stored, **{path: value for path, value in changes.items() if value is not None}}
    return {path: value for path, value in merged.items() if changes.get(path, value) is not None}
