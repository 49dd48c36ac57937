"""What becomes of an attribute: one decision for each tag and value representation.

An attribute stays because a rule says so: a row of PS3.15 Table E.1-1 under the profile's
options, or a value that can hold no text, or text of a list that is cleaned. Everything else
goes. Not here: carrying the decision out (``values``), private elements (``private_blocks``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from containers.scrub_headers.profile import DatePolicy, Profile, TimePolicy
from containers.scrub_headers.table import TableRow, public_attributes, table


class Action(IntEnum):
    """What is done with a value."""

    REMOVE = 0
    EMPTY = 1
    DUMMY = 2
    BINARY = 3
    """Numbers of fixed width; kept unless they read as text."""
    NUMBER = 4
    """Numbers written as text; kept if they are numbers."""
    TERM = 5
    TEXT = 6
    VERSION = 7
    CHECKED = 8
    """Text that an option retains; kept unless it touches a known identity."""
    UID = 9
    KEEP_UID = 10
    DATE = 11
    TIME = 12
    DATETIME = 13
    AGE = 14
    SEQUENCE = 15
    PIXELS = 16
    CHARSET = 17


@dataclass(frozen=True, slots=True)
class Decision:
    """An action and the rule that asks for it, for people."""

    action: Action
    rule: str


_NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
_TEXTS = frozenset({"SH", "LO", "ST", "LT", "UT", "UC"})
_DATES = {"DA": Action.DATE, "TM": Action.TIME, "DT": Action.DATETIME}
_PIXEL_TAGS = frozenset({0x7FE00010, 0x56000020})
_OFFSET_TABLES = frozenset({0x7FE00001, 0x7FE00002})
_POSITION_REFERENCE = 0x00201040
_CHARSET_TAG = 0x00080005
_VERSIONS_TAG = 0x00181020
_MARKS = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})
# Groups of image description. Patient (0010), clinical trial (0012), visit (0032, 0038), directory,
# signature (0400) and encryption, waveform, radiotherapy and printing groups hold nothing that an
# image needs, so nothing of them stays but what Table E.1-1 retains under an option.
_GROUPS = frozenset(
    {0x0008, 0x0018, 0x0020, 0x0022, 0x0028, 0x0040, 0x0054, 0x0070, 0x2050, 0x5200}
)
"""0x5200 are the functional groups of enhanced images, without which these have no geometry."""
_NEVER = frozenset(
    {
        0x00080001,  # Length to End
        0x00880200,  # Icon Image Sequence
        0x04000561,  # Original Attributes Sequence
        0x04000550,  # Modified Attributes Sequence
        0x04000500,  # Encrypted Attributes Sequence
        0xFFFAFFFA,  # Digital Signatures Sequence
        0xFFFCFFFC,  # Data Set Trailing Padding
        0x00420011,  # Encapsulated Document
        0x00700001,  # Graphic Annotation Sequence
        0x00700232,  # Compound Graphic Sequence
        0x00282000,  # ICC Profile, holds free text
    }
)
# Text that is not in Table E.1-1 or only under Clean Descriptors, and useful for research.
_KEPT_TEXTS = frozenset(
    {
        0x00080070, 0x00081090,  # manufacturer, model
        0x00080104, 0x00080100, 0x00080102, 0x00080103,  # codes
        0x00180024, 0x00189005, 0x00180085, 0x00189100,  # sequence, nucleus
        0x00181250, 0x00181251, 0x00189041, 0x00189047,  # coils
        0x00181210, 0x00189077, 0x00209056,
        0x00281054, 0x00281055, 0x00283003, 0x00409210,
        0x00189098, 0x00180022,
    }
)  # fmt: skip
_KEPT_DESCRIPTORS = frozenset(
    {
        0x00081030, 0x0008103E, 0x00181030, 0x00204000, 0x00082111,
        0x00400254, 0x00321060, 0x0018A003, 0x00189423, 0x00400007,
        0x00180010, 0x00281055, 0x00283003, 0x00409210, 0x00181400,
    }
)  # fmt: skip


def decide(tag: int, vr: str, profile: Profile) -> Decision:  # noqa: PLR0911 - a list of rules
    """Return what becomes of a public attribute inside any dataset.

    ``vr`` is that of the file. Of two representations that the dictionary allows, both are
    right.
    """
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2 or group < 0x0008:  # noqa: PLR2004 - commands, file meta, directory
        return Decision(Action.REMOVE, "group that no image holds")
    if element == 0:
        return Decision(Action.REMOVE, "group length")
    if 0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF:  # noqa: PLR2004 - repeating groups
        return Decision(Action.REMOVE, "curve or overlay")
    if tag in _NEVER or tag in _MARKS:
        return Decision(Action.REMOVE, "never kept" if tag in _NEVER else "mark written anew")
    known = public_attributes().get(tag)
    if known is None:
        return Decision(Action.REMOVE, "not in the dictionary")
    if vr not in known[0].split(" or "):
        return Decision(Action.REMOVE, "value representation differs from the dictionary")
    if tag in _PIXEL_TAGS:
        return Decision(Action.PIXELS, "pixel data untouched")
    if tag in _OFFSET_TABLES:
        return Decision(Action.BINARY, "offsets of the frames")
    row = table().get(tag)
    if row is not None:
        return _by_row(tag, vr, row, profile)
    return _by_representation(tag, vr, profile)


def _by_row(  # noqa: PLR0911 - a list of rules
    tag: int, vr: str, row: TableRow, profile: Profile
) -> Decision:
    name = f"E.1-1 {row.basic}"
    option = _option_that_keeps(row, profile)
    if option == "retain_patient_characteristics" and vr in _TEXTS:
        option = ""  # what people write of a person in their own words is no characteristic
    if option:
        return Decision(_keeping(tag, vr), f"{name}, {option}")
    if vr in _DATES and "retain_longitudinal_modified_dates" in row.options:
        return _by_date_policy(vr, profile, _basic(row, vr))
    if vr == "UI" and row.basic == "U":
        if profile.retain_uids and "retain_uids" in row.options:
            return Decision(Action.KEEP_UID, f"{name}, retain_uids")
        return Decision(Action.UID, name)
    if row.basic == "X/Z/U*":
        return Decision(Action.SEQUENCE, name)
    if profile.clean_descriptors and tag in _KEPT_DESCRIPTORS and vr in _TEXTS:
        return Decision(Action.TEXT, f"{name}, clean_descriptors")
    if profile.clean_structured_content and "clean_structured_content" in row.options:
        return Decision(Action.SEQUENCE, f"{name}, clean_structured_content")
    return Decision(_basic(row, vr), name)


def _option_that_keeps(row: TableRow, profile: Profile) -> str:
    switches = (
        ("retain_device_identity", profile.retain_device_identity),
        ("retain_institution_identity", profile.retain_institution_identity),
        ("retain_patient_characteristics", profile.retain_patient_characteristics),
    )
    for name, on in switches:
        # A cell with C asks for cleaning that no rule here can promise: it counts as not chosen.
        if on and row.options.get(name) == "K":
            return name
    return ""


def _keeping(tag: int, vr: str) -> Action:
    """Return the action for a value that an option retains."""
    if vr in _TEXTS or vr in {"AE", "PN"}:
        return Action.VERSION if tag == _VERSIONS_TAG else Action.CHECKED
    by_vr = {"AS": Action.AGE, "CS": Action.TERM, "DS": Action.NUMBER, "IS": Action.NUMBER}
    if vr in _NUMBERS:
        return Action.BINARY
    if vr == "UI":
        return Action.UID
    if vr == "SQ":
        return Action.SEQUENCE
    return by_vr.get(vr, _DATES.get(vr, Action.REMOVE))


def _basic(row: TableRow, vr: str) -> Action:
    """Return the basic profile's action; of a choice the one that keeps a file conformant.

    X/D removes: an attribute of type 1 under X/D stands in no image of the classes that pass.
    """
    if row.basic in {"X", "X/D"} or (row.basic == "X/Z/D" and vr == "SQ"):
        return Action.REMOVE
    if row.basic in {"Z", "X/Z", "X/Z/D", "Z/D"}:
        return Action.EMPTY
    if row.basic == "D" and vr in _TEXTS | {"DA", "TM", "DT", "AE", "CS"}:
        return Action.DUMMY
    return Action.EMPTY if vr == "PN" else Action.REMOVE


def _by_date_policy(vr: str, profile: Profile, otherwise: Action) -> Decision:
    if vr == "TM":
        if profile.times is TimePolicy.KEEP:
            return Decision(Action.TIME, "times kept")
        return Decision(otherwise, "times removed")
    if profile.dates is DatePolicy.SHIFT:
        return Decision(_DATES[vr], "dates shifted")
    return Decision(otherwise, "dates removed")


def _by_representation(  # noqa: C901, PLR0911 - a list of rules
    tag: int, vr: str, profile: Profile
) -> Decision:
    if tag == _CHARSET_TAG:
        return Decision(Action.CHARSET, "character set")
    if vr == "UI":
        return Decision(Action.UID, "UID mapped unless it is registered")
    if (tag >> 16) not in _GROUPS:
        return Decision(Action.REMOVE, "group not needed for images")
    if tag == _VERSIONS_TAG:
        return Decision(Action.VERSION, "software versions in a known form")
    if vr in _DATES:
        return _by_date_policy(vr, profile, Action.REMOVE)
    if vr in _NUMBERS:
        return Decision(Action.BINARY, "number")
    if vr in {"DS", "IS"}:
        return Decision(Action.NUMBER, "number")
    if vr == "CS":
        return Decision(Action.TERM, "term of the vocabulary")
    if vr == "SQ":
        return Decision(Action.SEQUENCE, "sequence, cleaned inside")
    if tag == _POSITION_REFERENCE:
        return Decision(Action.EMPTY, "must be present, may be empty")
    if vr in _TEXTS and tag in _KEPT_TEXTS:
        return Decision(Action.TEXT, "text cleaned by the vocabulary")
    return Decision(Action.REMOVE, "no rule keeps it")
