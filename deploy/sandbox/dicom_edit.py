"""Anonymisation scripts: a small declared part of DicomEdit, XNAT's language for them.

A script is a line each of

- ``// a comment``, also behind a statement
- ``version "6.1"``
- ``(gggg,eeee) := "text"``, or ``:= project``, ``:= subject``, ``:= session``
- ``-(gggg,eeee)``
- ``removeAllPrivateTags``
- ``reject``, which drops the file
- ``VALUE = VALUE ? STATEMENT`` or with ``!=``; a value is a text, a variable, or an element

Every other statement is refused when the script is stored, so that nothing is silently left in
the data. Elements inside sequences and wildcards are such other statements. Not here: which script
applies to which data (``anonymization``).

Source: DicomEdit's language reference, version 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

VARIABLES = ("project", "subject", "session")
MAX_SCRIPT_CHARACTERS = 100_000
MAX_LINE_CHARACTERS = 1_000

_TEXT_VRS = frozenset(
    {
        "AE",
        "AS",
        "CS",
        "DA",
        "DS",
        "DT",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "ST",
        "TM",
        "UC",
        "UI",
        "UR",
        "UT",
    }
)
_KEPT_KEYWORDS = {
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_META_GROUP = 0x0002

_TAG = r"\(\s*([0-9A-Fa-f]{4})\s*,\s*([0-9A-Fa-f]{4})\s*\)"
_STRING = r'"([ !#-\[\]-~]*)"'  # printable ASCII without quotation mark and backslash
_VALUE = rf"(?:{_TAG}|{_STRING}|({'|'.join(VARIABLES)}))"
_CODE = re.compile(r'((?:[^"/]|"[^"]*"|/(?!/))*)(?://.*)?')
_VERSION = re.compile(r'version\s+"6\.\d{1,2}"')
_ASSIGNMENT = re.compile(rf"{_TAG}\s*:=\s*(.+)")
_DELETION = re.compile(rf"-\s*{_TAG}")
_CONDITION = re.compile(rf"({_VALUE})\s*(!=|=)\s*({_VALUE})\s*\?\s*(.+)")
_PRIVATE = re.compile(r"removeAllPrivateTags(\s*\[\s*\])?")

Variables = Mapping[str, str]
Statement = Callable[["Dataset", Variables], bool]
"""Changes a data set; returns whether the file is kept."""
_Value = Callable[["Dataset", Variables], str]


class ScriptError(ValueError):
    """A script has a statement that is not understood.

    Parameters
    ----------
    line : int
        The line's number, from 1.
    reason : str
        What is wrong with it; none of its text.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"Line {line} of the script: {reason}")
        self.line = line


class _RefusedError(Exception):
    """A statement is not understood; becomes a ``ScriptError`` with its line."""


@dataclass(frozen=True)
class Script:
    """A script that was understood whole."""

    statements: tuple[Statement, ...]

    def apply(self, dataset: Dataset, variables: Variables) -> bool:
        """Change a data set in place; return whether its file is kept."""
        return all(statement(dataset, variables) for statement in self.statements)


def read_script(text: str) -> Script:
    """Return the script of a text.

    Raises
    ------
    ScriptError
        A line is not one of the statements above.
    """
    if len(text) > MAX_SCRIPT_CHARACTERS:
        raise ScriptError(1, f"the script is longer than {MAX_SCRIPT_CHARACTERS} characters.")
    statements = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise ScriptError(number, f"it is longer than {MAX_LINE_CHARACTERS} characters.")
        found = _CODE.fullmatch(line)
        code = found.group(1).strip() if found else line.strip()
        if not code or _VERSION.fullmatch(code):
            continue
        try:
            statements.append(_statement(code))
        except _RefusedError as error:
            raise ScriptError(number, str(error)) from error
    return Script(tuple(statements))


def _statement(code: str) -> Statement:
    if found := _ASSIGNMENT.fullmatch(code):
        return _assignment(_changeable(found.group(1), found.group(2)), found.group(3))
    if found := _DELETION.fullmatch(code):
        return _deletion(_changeable(found.group(1), found.group(2)))
    if found := _CONDITION.fullmatch(code):
        return _conditional(found)
    if _PRIVATE.fullmatch(code):
        return _remove_private
    if code == "reject":
        return lambda _dataset, _variables: False
    raise _RefusedError(
        'the sandbox understands comments, version 6, (gggg,eeee) := "text" or project, subject, '
        "session, -(gggg,eeee), removeAllPrivateTags, reject, and conditions with = and != only."
    )  # fmt: skip


def _tag(group: str, element: str) -> BaseTag:
    from pydicom.tag import Tag  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM

    return Tag(int(group, 16), int(element, 16))


def _changeable(group: str, element: str) -> BaseTag:
    tag = _tag(group, element)
    if tag.group == _META_GROUP:
        raise _RefusedError(f"{tag} belongs to the file, not to the data, and cannot be changed.")
    if int(tag) in _KEPT_KEYWORDS:
        raise _RefusedError(f"{tag} ({_KEPT_KEYWORDS[int(tag)]}) sorts the files; it must stay.")
    return tag


def _assignment(tag: BaseTag, right: str) -> Statement:
    from pydicom import config  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM
    from pydicom.datadict import dictionary_has_tag, dictionary_VR  # noqa: PLC0415 - same
    from pydicom.dataelem import DataElement  # noqa: PLC0415 - same

    if tag.is_private or not dictionary_has_tag(tag):
        raise _RefusedError(f"{tag} is no standard element; only those can be given a value.")
    vr = dictionary_VR(tag)
    if vr not in _TEXT_VRS:
        raise _RefusedError(f"{tag} holds no text (its VR is {vr}) and can only be deleted.")
    found = re.fullmatch(_VALUE, right.strip())
    if found is None or found.group(1) is not None:
        raise _RefusedError('a value is a "text" of ASCII characters, project, subject or session.')
    value = _value(right.strip())

    def assign(dataset: Dataset, variables: Variables) -> bool:
        text = value(dataset, variables)
        dataset[tag] = DataElement(tag, vr, text, validation_mode=config.IGNORE)
        return True

    return assign


def _deletion(tag: BaseTag) -> Statement:
    def delete(dataset: Dataset, _variables: Variables) -> bool:
        if tag in dataset:
            del dataset[tag]
        return True

    return delete


def _remove_private(dataset: Dataset, _variables: Variables) -> bool:
    dataset.remove_private_tags()  # also those inside sequences
    return True


def _conditional(found: re.Match[str]) -> Statement:
    groups = found.groups()
    left, operator, right, then = groups[0], groups[5], groups[6], groups[-1]
    first, second, inner = _value(left), _value(right), _statement(then.strip())

    def act(dataset: Dataset, variables: Variables) -> bool:
        equal = first(dataset, variables) == second(dataset, variables)
        return inner(dataset, variables) if equal == (operator == "=") else True

    return act


def _value(code: str) -> _Value:
    found = re.fullmatch(_VALUE, code)
    if found is None:  # pragma: no cover - matched as part of a longer pattern before
        raise _RefusedError("a value is a text, a variable or an element.")
    group, element, text, variable = found.groups()
    if group is not None:
        tag = _tag(group, element)
        return lambda dataset, _variables: _shown(dataset, tag)
    if variable is not None:
        return lambda _dataset, variables: variables[variable]
    return lambda _dataset, _variables: text


def _shown(dataset: Dataset, tag: BaseTag) -> str:
    element = dataset.get(tag)
    if element is None or element.value is None:
        return ""
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join(str(each) for each in values)


def edit_file(source: BinaryIO, script: Script, variables: Variables) -> bytes | None:
    """Return a DICOM file as the script leaves it, or None when the script rejects it.

    The whole file is held in memory. Transfer syntax and pixels stay as they are.
    """
    from pydicom import config, dcmread, dcmwrite  # noqa: PLC0415 - pydicom brings numpy; most servers never read DICOM

    # Values that break DICOM's rules are common, and warnings about them would quote them.
    config.settings.reading_validation_mode = config.IGNORE
    dataset = dcmread(source)
    if not script.apply(dataset, variables):
        return None
    written = BytesIO()
    dcmwrite(written, dataset)
    return written.getvalue()
