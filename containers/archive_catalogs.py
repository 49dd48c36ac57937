"""XNAT's own lists of files, which lie beside the files in every mounted resource.

They hold names, sizes and digests of files and no data of a person's own; no step takes them for
input. Not here: what else may lie in an archive.
"""

from __future__ import annotations

from pathlib import Path

_ENDING = "_catalog.xml"
_NAMESPACE = b"http://nrg.wustl.edu/catalog"
_HEAD_BYTES = 4096


def is_catalog(path: Path) -> bool:
    """Return whether a file is a catalogue that XNAT keeps of a resource.

    By its name and by the namespace of its root element, so that a file of another kind that
    happens to have such a name is not passed over.
    """
    if not path.name.endswith(_ENDING):
        return False
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    return head.lstrip().startswith(b"<") and _NAMESPACE in head
