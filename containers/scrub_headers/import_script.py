"""A DicomEdit 6 script of what XNAT itself can do when data arrive: a first line of defence.

It empties and deletes attributes of the top level by the profile's own decisions. Nested,
private and retained values, UIDs, dates and free text stay for ``scrub-headers``. Not here:
storing the script on a server.

References
----------
DicomEdit 6 language reference; PS3.15 Table E.1-1.
"""

from __future__ import annotations

from collections.abc import Iterator

from containers.scrub_headers.profile import Profile
from containers.scrub_headers.rules import Action, decide
from containers.scrub_headers.table import edition, keyword_of, public_attributes, table

_SORTING = frozenset({0x00080016, 0x00080018, 0x0020000D, 0x0020000E})
"""UIDs by which an archive sorts files; a script must leave them."""
_LABELS = {0x00100010: "subject", 0x00100020: "session"}
_LAST_PLAIN_GROUP = 0x5000


def import_script(profile: Profile) -> str:
    """Return the script for a profile, one statement a line, the same for the same profile."""
    lines = [
        f"// winxnat, profile {profile.name} version {profile.version}.",
        f"// Attributes of PS3.15 Table E.1-1, edition {edition()}.",
        "// Top level only. Sequences, private elements, UIDs, dates and free text that the",
        "// profile cleans stay as they are: run scrub-headers before anything is shared.",
        'version "6.1"',
        *_statements(profile),
    ]
    return "".join(f"{line}\n" for line in lines)


def _statements(profile: Profile) -> Iterator[str]:
    for tag in sorted(table()):
        group, element = tag >> 16, tag & 0xFFFF
        place = f"({group:04X},{element:04X})"
        known = public_attributes().get(tag)
        if tag in _LABELS:
            yield f"{place} := {_LABELS[tag]}  // {keyword_of(tag)}"
        elif known and tag not in _SORTING and 0x0008 <= group < _LAST_PLAIN_GROUP:  # noqa: PLR2004  # the first group of attributes
            vr = known[0].split(" or ")[0]
            action = decide(tag, vr, profile).action
            # An assignment would make an attribute that was absent, so emptying is deleting.
            if action in {Action.REMOVE, Action.EMPTY, Action.DUMMY} and vr != "UI":
                yield f"-{place}  // {known[1]}"
