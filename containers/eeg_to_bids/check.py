"""Looks through the finished data set: identities of the sources, and references that lead nowhere.

The official validator looks for neither. Not here: the validator.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from containers.eeg_to_bids.tree import text_files
from containers.recordings import IdentityStrings
from containers.recordings.texts import holds_identity, is_vocabulary

_SHORTEST_IN_BYTES = 5
"""Shorter texts occur by chance among samples."""
_CHUNK_BYTES = 1 << 22
_EXPLAINING_KEYS = frozenset({"Description", "LongName", "Levels", "README", "GeneratedBy"})
"""Values of these are sentences of MNE-BIDS and of this project."""
_WORDS_OF_BIDS = re.compile(
    r"(?<![a-z])(sub|ses|task|run|split|space|eeg|meg|channels|events|coordsystem|electrodes|scans"
    r"|participants|dataset_description|README|CapTrak|CTF|markers|headshape|MarkerFile|BadChannels"
    r"|bad\.segments|unknown|tsv|json|fif|edf|bdf|vhdr|vmrk|set|fdt|res4|meg4|hc)(?![a-z])",
    re.IGNORECASE,
)
_REFERENCES = (".vhdr", ".vmrk")


def places_of_identities(root: Path, known: IdentityStrings, allowed: Iterable[str]) -> list[str]:
    """Return the kinds of files in which an identity of the sources is left; empty if in none.

    Parameters
    ----------
    known : IdentityStrings
        Of all sources; dates only if they must not stay.
    allowed : iterable of str
        Labels that the caller chose for the data set; they may stand in names.
    """
    chosen = " ".join(allowed)
    texts = {
        text
        for text in known.texts | known.dates
        if not is_vocabulary(text) and not holds_identity(chosen, [text])
    }
    found = set()
    long = [text for text in texts if len(text) >= _SHORTEST_IN_BYTES]
    needles = [
        text.casefold().encode(encoding)
        for text in long
        for encoding in ("utf-8", "latin-1", "utf-16-le")
        if _can_be_encoded(text.casefold(), encoding)
    ]
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        name = path.relative_to(root).as_posix()
        if holds_identity(_WORDS_OF_BIDS.sub(" ", name), texts):
            found.add("the name of a file")
        if path.suffix in {".json", ".tsv"}:
            if any(holds_identity(value, texts) for value in _values(path)):
                found.add(f"a {path.suffix} file")
        elif path.parent != root and _holds_bytes(path, needles):
            found.add(f"a {path.suffix} file")
    return sorted(found)


def _can_be_encoded(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _holds_bytes(path: Path, needles: list[bytes]) -> bool:
    if not needles:
        return False
    longest = max(map(len, needles))
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            window = (before + chunk).lower()
            if any(needle in window for needle in needles):
                return True
            before = chunk[-longest:]
    return False


def _values(path: Path) -> Iterator[str]:
    if path.suffix == ".tsv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
        # Numbers are onsets and coordinates; the first line names columns of BIDS.
        yield from (
            cell for row in rows[1:] for cell in row if not re.fullmatch(r"[-+.\deE]+", cell)
        )
        return
    yield from _json_values(json.loads(path.read_text("utf-8")))


def _json_values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in _EXPLAINING_KEYS and not key.endswith("Description"):
                yield from _json_values(each)
    elif isinstance(value, list):
        for each in value:
            yield from _json_values(each)
    elif isinstance(value, str):
        yield value


def broken_references(root: Path) -> list[str]:
    """Return sentences about references within the data set that lead nowhere."""
    said = []
    for path in text_files(root):
        if path.name.endswith("_scans.tsv"):
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file, delimiter="\t"))
            missing = sum(not (path.parent / row[0]).exists() for row in rows[1:])
            if missing:
                said.append(f"{missing} rows of the table of scans name no file of the data set.")
    for path in sorted(each for each in root.rglob("*") if each.suffix in _REFERENCES):
        named = re.findall(
            r"^(?:DataFile|MarkerFile)=(.+?)\s*$", path.read_text("utf-8"), re.MULTILINE
        )
        lost = [name for name in named if not (path.parent / name).is_file()]
        said += ["A BrainVision header names a file that is not beside it."] * bool(lost)
    said += [
        "A table of channels is empty."
        for path in sorted(root.rglob("*_channels.tsv"))
        if len(path.read_text("utf-8").splitlines()) < 2  # noqa: PLR2004 - its header and one
    ]
    return said
