"""One element of a DICOM file: asks the rules about it, and takes out its texts.

Not here: walking through files (``dicom``, ``dicom_plain``), and the rules (``dicom_rules``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from containers.check_identity.context import FileContext, TextValue
from containers.check_identity.dicom_rules import LABELS, DicomRules, where
from containers.check_identity.printable import printable_runs

_META_HIDING = frozenset(
    {0x00020016, 0x00020017, 0x00020018, 0x00020026, 0x00020027, 0x00020028, 0x00020035,
     0x00020036, 0x00020037, 0x00020038, 0x00020100, 0x00020102}
)  # fmt: skip
_TEXT_VR_NAMES = """
AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT
"""
_TEXT_VRS = frozenset(_TEXT_VR_NAMES.split())


def check_meta_element(element: DataElement, context: FileContext) -> None:
    """Look at an element of the file meta information."""
    at = where(element.tag)
    _texts_of(element, at, context)
    if int(element.tag) in _META_HIDING and str(element.value).strip():
        context.fail(18, at, "an AE title, address or private block", str(element.value))


def judge_element(  # noqa: PLR0913, PLR0917 - what an element is, and where it stands
    data_set: Dataset, raw: Any, value: bytes | None, at: str, context: FileContext,
    rules: DicomRules,
) -> DataElement | None:  # fmt: skip
    """Hold an element against the criteria; return it as it was read, if it can be.

    Parameters
    ----------
    raw : RawDataElement or DataElement
        What the data set holds under its tag.
    value : bytes, optional
        The bytes of its value, where they are known.
    """
    rules.check_raw(raw.tag, raw, value, at)
    try:
        element: DataElement = data_set[raw.tag]
        _ = element.value
    except Exception as error:  # noqa: BLE001 - pydicom raises many kinds on bad values
        context.doubt(24, at, f"a value that cannot be read ({type(error).__name__})")
        context.texts += _runs(value, at)
        return None
    rules.check_element(data_set, element, at)
    if element.VR != "SQ":
        _texts_of(element, at, context)
    return element


def _texts_of(element: DataElement, at: str, context: FileContext) -> None:
    criteria = (17,) if element.tag.is_private else ()
    if element.VR in _TEXT_VRS:
        is_date = element.VR in {"DA", "DT", "TM", "DS", "IS", "UI"}
        for text in _strings(element.value):
            if text:
                if int(element.tag) in LABELS:
                    context.apply(5)
                    context.labels.append((at, text))
                context.texts.append(TextValue(at, text, criteria, is_date))
    elif isinstance(element.value, bytes):
        context.texts += _runs(element.value, at, criteria)


def _strings(value: object) -> Iterator[str]:
    many: Iterable[object] = value if isinstance(value, MultiValue | list) else (value,)
    for each in many:
        if each is not None:
            # A number keeps the text that was written (DS, IS).
            yield str(getattr(each, "original_string", None) or each)


def _runs(value: object, at: str, criteria: tuple[int, ...] = ()) -> list[TextValue]:
    if not isinstance(value, bytes):
        return []
    return [TextValue(at, run, criteria) for run in printable_runs(value)]
