"""What may be in an element of a de-identified DICOM file: this check's reading of PS3.15 E.

Holds elements against Table E.1-1 with the options that the file declares, private elements
against the safe list, and values against their form. Not here: walking (``dicom``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from containers.check_identity.context import FileContext
from containers.check_identity.dicom_words import is_plain_wording
from containers.check_identity.patterns import VENDOR_UID, is_pseudonym, is_replacement
from containers.check_identity.tables import (
    METHOD_CODES,
    NUMBER_VRS,
    OPTION_CODES,
    actions,
    allowed_creators,
    allowed_private,
    is_known_measure,
    options_of,
)

SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.4.2",  # MR Spectroscopy
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.128",  # Positron Emission Tomography Image
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET Image
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET Image
    }
)
_METHOD_CODES = 0x00120064
_NEVER_BY_DECLARATION = frozenset({"retain_longitudinal_full_dates", "retain_uids"})
_LAST_SHIFTED_YEAR = 1925
_OLDEST_AGE_YEARS = 90
_UID = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+")
_MAX_UID = 64
_DATES = frozenset({"DA", "DT", "TM"})
_TEXT_NAMES = """
AE LO LT SH ST UC UR UT
"""
_TEXTS = frozenset(_TEXT_NAMES.split())
_CODED = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_PLACES = frozenset(
    {0x00101000 + 0x40, 0x00102150, 0x00102152, 0x00102160, 0x00102161, 0x00102162, 0x00102180,
     0x001021F0, 0x00100041, 0x00100043, 0x00100044, 0x00080081}
)  # fmt: skip
_INSTITUTION_ADDRESS = 0x00080081
LABELS = frozenset({0x00100010, 0x00100020})


@lru_cache(maxsize=8192)
def where(tag: int) -> str:
    """Return a tag with its keyword; a private one has none."""
    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return f"{number} {keyword_for_tag(tag)}".strip()


class DicomRules:
    """The rules for one file, with its declared options."""

    def __init__(self, context: FileContext, data_set: Dataset) -> None:
        self._context = context
        self._codes = _method_codes(data_set)
        self._has_character_set = bool(_text(data_set, 0x00080005))
        declared = frozenset(OPTION_CODES[each] for each in self._codes if each in OPTION_CODES)
        agreed = context.settings.options
        self._options = declared - _NEVER_BY_DECLARATION if agreed is None else declared & agreed

    def check_file(self, meta: Dataset) -> None:
        """Compare the file meta information with the data set; called once."""
        self._meta = meta

    def check_level(self, data_set: Dataset, above: str) -> None:
        """Hold a data set as a whole against the criteria; only the top has most of them."""
        self._check_private_blocks(data_set, above)
        if not above:
            self.check_top(data_set)

    def check_top(self, data_set: Dataset) -> None:
        """Hold what the top level says of the file against the criteria."""
        self._check_marks(data_set)
        self._check_object(data_set)

    def _check_marks(self, data_set: Dataset) -> None:
        context = self._context
        if _text(data_set, 0x00120062) != "YES":
            context.fail(6, "(0012,0062) PatientIdentityRemoved", "not YES")
        if not self._codes and not _text(data_set, 0x00120063):
            context.fail(6, "(0012,0063)", "neither method nor method codes")
        if self._codes - METHOD_CODES:
            context.fail(6, "(0012,0064)", "a code that is not of CID 7050")
        flag = _text(data_set, 0x00280303)
        expected = {"113106": "UNMODIFIED", "113107": "MODIFIED"}
        for code, text in expected.items():
            if code in self._codes and flag and flag != text:
                context.fail(6, "(0028,0303)", "does not fit the declared option for dates")

    def _check_object(self, data_set: Dataset) -> None:
        context = self._context
        classes = {_text(data_set, 0x00080016), _text(self._meta, 0x00020002)} - {""}
        if not classes or classes - SOP_CLASSES:
            context.fail(20, "(0008,0016) SOPClassUID", "a kind of object that is not on the list")
        if len(classes) > 1:
            context.fail(20, "(0002,0002)", "differs from (0008,0016)")
        own, media = _text(data_set, 0x00080018), _text(self._meta, 0x00020003)
        if media and own != media:
            context.fail(14, "(0002,0003)", "differs from (0008,0018)", media)
        if _text(data_set, 0x00280301) == "YES":
            context.fail(21, "(0028,0301) BurnedInAnnotation", "YES")
        if _text(data_set, 0x00080064):
            context.fail(21, "(0008,0064) ConversionType", "present: a secondary capture")
        image_type = _text(data_set, 0x00080008).upper()
        if re.search(r"SCREEN|REPORT|SECONDARY\\(?:CAPTURE|OTHER\\PROOF)|SAVE", image_type):
            context.fail(21, "(0008,0008) ImageType", "a screen save or report")

    def _check_private_blocks(self, data_set: Dataset, above: str) -> None:
        creators: dict[tuple[int, int], str] = {}
        private = [tag for tag in data_set.keys() if tag.group % 2]  # noqa: SIM118 - keys are tags
        for tag in private:
            if 0x10 <= tag.element <= 0xFF:  # noqa: PLR2004 - PS3.5 7.8.1
                creators[tag.group, tag.element] = _raw_text(data_set, tag)
        for tag in private:
            raw: Any = data_set.get_item(tag, keep_deferred=True)
            block = tag.element if 0x10 <= tag.element <= 0xFF else tag.element >> 8  # noqa: PLR2004 - PS3.5 7.8.1
            creator = creators.get((tag.group, block))
            problem = private_problem(tag, raw.VR, creator)
            if problem:
                text = creator or "" if block == tag.element else ""
                self._context.fail(16, above + where(tag), problem, text)

    def check_raw(self, tag: BaseTag, raw: Any, value: bytes | None, at: str) -> None:
        """Hold the bytes of an element against the criteria."""
        context = self._context
        if tag.group == 0 or (tag.element == 0 and tag.group != 2):  # noqa: PLR2004 - PS3.5 7.2
            context.fail(23, at, "a group length or command element")
        if tag.group >> 8 in {0x50, 0x60} and tag.group % 2 == 0:
            context.fail(22, at, "an overlay or curve")
        if tag.group == 0x70 or tag == 0x00880200:  # noqa: PLR2004 - graphics; icon
            context.fail(22, at, "graphics or an icon")
        if tag.group in {0x400, 0xFFFA}:
            context.fail(25, at, "original attributes, encryption or a signature")
        if not tag.is_private and not dictionary_has_tag(tag) and tag.element:
            context.fail(24, at, "an element that the dictionary does not have")
        if not isinstance(raw, RawDataElement):
            return
        self._check_vr(tag, raw, at)
        if value and raw.VR in _CODED and not self._has_character_set and not value.isascii():
            context.fail(24, at, "letters of a character set that is not declared", value)
        is_text = raw.VR in _TEXTS | {"PN", "CS", "UI", "DA", "TM", "DT", "AS", "IS", "DS"}
        if value and is_text and b"\0" in value.rstrip(b"\0 "):
            context.fail(23, at, "bytes after NUL in a text", value)

    def _check_vr(self, tag: BaseTag, raw: RawDataElement, at: str) -> None:
        if raw.VR is None or tag.is_private or not dictionary_has_tag(tag):
            return
        expected = dictionary_VR(tag)
        if raw.VR not in expected.split(" or ") and not (raw.VR == "UN" and not raw.length):
            self._context.fail(24, at, "a value representation that is not the dictionary's")

    def check_element(self, data_set: Dataset, element: DataElement, at: str) -> None:
        """Hold the value of an element against Table E.1-1 and its form."""
        del data_set
        if element.VR == "PN":
            self._check_person(element, at)
        if element.VR == "UI":
            self._check_uid(element, at)
        if element.tag == 0x00101010:  # noqa: PLR2004 - Patient's Age
            self._check_age(str(element.value or ""), at)
        if _is_empty(element):
            return
        if int(element.tag) in _PLACES and not self._is_agreed_place(int(element.tag)):
            self._context.apply(32)
            self._context.fail(
                32, at, "a place, occupation, ethnicity or gender", str(element.value)
            )
        self._check_action(element, at)

    def _is_agreed_place(self, tag: int) -> bool:
        """Return whether the address is the institution's, and this release may tell it."""
        agreed = self._context.settings.options or ()
        return tag == _INSTITUTION_ADDRESS and (
            "retain_institution_identity" in self._options
            and "retain_institution_identity" in agreed
        )

    def _check_person(self, element: DataElement, at: str) -> None:
        values = element.value if element.VM > 1 else [element.value]
        for each in values or ():
            text = str(each or "")
            is_safe = (
                is_replacement(text)
                if int(element.tag) not in LABELS
                else is_pseudonym(text) or all(map(is_replacement, text.split("^")))
            )
            if not is_safe:
                self._context.fail(8, at, "a person name that is neither blank nor a label", text)

    def _check_uid(self, element: DataElement, at: str) -> None:
        values = element.value if element.VM > 1 else [element.value]
        for each in values or ():
            uid = str(each or "")
            if not uid:
                continue
            if len(uid) > _MAX_UID or not _UID.fullmatch(uid):
                self._context.fail(14, at, "no valid UID", uid)
            is_replaced = "U" in actions().get(f"{element.tag:08X}", "")
            if is_replaced and "retain_uids" not in self._options and VENDOR_UID.match(uid):
                self._context.fail(14, at, "a UID under a vendor's root, not replaced", uid)

    def _check_age(self, age: str, at: str) -> None:
        if not age:
            return
        self._context.apply(12, 13)
        found = re.fullmatch(r"(\d{3})([DWMY])", age)
        if found is None:
            self._context.fail(12, at, "no valid age", age)
            return
        per_year = {"D": 365, "W": 52, "M": 12, "Y": 1}[found[2]]
        if int(found[1]) > _OLDEST_AGE_YEARS * per_year:
            self._context.fail(12, at, "an age above 89 that is not shown as 90", age)
        if found[2] != "Y":
            self._context.fail(13, at, "an age that is not in whole years", age)

    def _check_action(self, element: DataElement, at: str) -> None:
        tag = f"{element.tag:08X}"
        action = actions().get(tag)
        if action is None:
            return
        columns = options_of(tag)
        kept_by = {columns[option] for option in self._options if option in columns}
        if element.VR in _DATES:
            self._check_date(element, at, is_kept=bool(kept_by))
        if "K" in kept_by:
            return
        if "C" in kept_by:
            self._check_wording(element, at, columns)
            return
        is_of_place = bool({"retain_device_identity", "retain_institution_identity"} & set(columns))
        if is_of_place and element.VR in _TEXTS and not is_replacement(str(element.value)):
            what = "of a device or institution, not declared as kept"
            self._context.fail(18, at, what, str(element.value))
        problem = _breach(element, action, has_originals=self._context.has_originals)
        if problem is None:
            return
        text = str(element.value)
        if problem:
            self._context.fail(7, at, problem, text)
        else:
            what = "a value in place of another; without the originals it cannot be told from it"
            self._context.doubt(7, at, what, text)

    def _check_wording(self, element: DataElement, at: str, columns: Any) -> None:
        if "clean_descriptors" not in columns or element.VR == "SQ":
            return
        self._context.apply(19)
        values = element.value if element.VM > 1 else [element.value]
        for each in values:
            if not is_plain_wording(str(each)):
                self._context.fail(19, at, "words outside the vocabulary", str(each))

    def _check_date(self, element: DataElement, at: str, *, is_kept: bool) -> None:
        context = self._context
        if element.VR == "TM":
            context.apply(11)
            if not is_kept:
                context.fail(11, at, "a clock time, and the option is not declared")
            return
        context.apply(9)
        values = element.value if element.VM > 1 else [element.value]
        for each in values:
            text = str(each)
            if not re.match(r"\d{8}", text) or int(text[:4]) <= _LAST_SHIFTED_YEAR:
                continue
            period = context.settings.study_period
            if period and period[0].isoformat() <= _iso(text) <= period[1].isoformat():
                context.fail(9, at, "a date in the time of the study", text)
            elif not is_kept:
                context.fail(9, at, "a date, and the option is not declared", text)
            elif period is None and not context.has_known_dates:
                what = "a date; without known dates or the study's time it may be the real one"
                context.doubt(9, at, what, text)


def _breach(  # noqa: PLR0911 - one return for each case of the table
    element: DataElement, action: str, *, has_originals: bool
) -> str | None:
    """Return what is wrong with a value: None if nothing, empty text if that cannot be told."""
    vr, text = element.VR, "" if element.VR == "SQ" else str(element.value)
    may_replace = "D" in action or "U" in action
    if vr == "SQ":
        return None if may_replace else "a sequence that must be removed or empty"
    if vr in _DATES:
        year = int(text[:4]) if re.match(r"\d{4}", text) else 0
        is_dummy = vr != "TM" and 0 < year <= _LAST_SHIFTED_YEAR
        return None if action != "X" and (is_dummy or not text.strip("0.: ")) else _MUST[action[0]]
    if int(element.tag) in LABELS and "Z" in action:
        is_safe = is_pseudonym(text) or all(map(is_replacement, text.split("^")))
        return None if is_safe else "a name or identifier that is no label"
    if action == "X":
        return _MUST["X"]
    if is_replacement(text) or (vr == "CS" and text == "O"):
        return None
    if not may_replace:
        return _MUST["Z"]
    if vr in _TEXTS or vr in {"OB", "UN"}:
        return None if has_originals else ""
    return None


_MUST = {
    "X": "present, and the profile removes it",
    "Z": "not empty, and the profile empties it",
    "D": "not replaced by a dummy",
    "U": "not replaced",
}


def _is_empty(element: DataElement) -> bool:
    value = element.value
    if value is None:
        return True
    if isinstance(value, bytes):
        return not value.strip(b"\0 ")
    if isinstance(value, str):
        return not value.strip("\0 ")
    return hasattr(value, "__len__") and len(value) == 0


def _iso(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}"


def has_rule(tag: int) -> bool:
    """Return whether a rule looks at the value of an attribute, whatever its representation."""
    return f"{tag:08X}" in actions() or tag in _PLACES


@lru_cache(maxsize=65536)
def private_problem(tag: int, vr: str | None, creator: str | None) -> str:
    """Return what is wrong with a private element or creator, or an empty text.

    Parameters
    ----------
    vr : str, optional
        What the file says of itself; None in implicit representation.
    creator : str, optional
        The name of the block; for the creator's own element the name that it gives.
    """
    group, element = tag >> 16, tag & 0xFFFF
    names = allowed_creators()
    if 0x10 <= element <= 0xFF:  # noqa: PLR2004 - PS3.5 7.8.1
        return "" if creator in names else "a private creator that is not on the list"
    if creator is None:
        return "a private element without creator"
    if (creator, f"{group:04X}", f"{element & 0xFF:02X}") in allowed_private():
        return ""
    # What the file says of itself must be a number too, whatever the dictionary says.
    is_number = vr is None or vr in NUMBER_VRS
    if is_number and creator in names and is_known_measure(creator, tag):
        return ""
    return "a private element that is not on the list"


def _raw_text(data_set: Dataset, tag: BaseTag) -> str:
    value = data_set.get_item(tag, keep_deferred=True).value
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")


def _text(data_set: Dataset, tag: int) -> str:
    if tag not in data_set:
        return ""
    value = data_set[tag].value
    if type(value).__name__ == "MultiValue":
        return "\\".join(map(str, value))
    return str(value or "")


def _method_codes(data_set: Dataset) -> frozenset[str]:
    if _METHOD_CODES not in data_set:
        return frozenset()
    items = data_set[_METHOD_CODES].value or ()
    return frozenset(_text(item, 0x00080100) for item in items) - {""}
