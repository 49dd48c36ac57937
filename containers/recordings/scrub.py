"""One door to all formats: which identities a recording holds, and its copy without them.

Not here: how each format is read and written.
"""

from __future__ import annotations

import re
import shutil
import struct
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from containers.recordings import brainvision, ctf, edf, eeglab, fif, kit
from containers.recordings.model import (
    IdentityStrings,
    Recording,
    RecordingFormat,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
)
from containers.recordings.texts import file_name_words

_BROKEN = (struct.error, ValueError, IndexError, KeyError, TypeError, OverflowError)
"""What reading a damaged file may raise beside a refusal; its text may hold what the file holds."""


@dataclass(frozen=True, slots=True)
class _Format:
    identity: Callable[[Recording], IdentityStrings]
    scrub: Callable[[Recording, Path, str, RecordingPolicy, IdentityStrings], ScrubReport]


_FORMATS: Mapping[RecordingFormat, _Format] = {
    RecordingFormat.EDF: _Format(edf.identity, edf.scrub),
    RecordingFormat.BDF: _Format(edf.identity, edf.scrub),
    RecordingFormat.BRAINVISION: _Format(brainvision.identity, brainvision.scrub),
    RecordingFormat.EEGLAB: _Format(eeglab.identity, eeglab.scrub),
    RecordingFormat.FIF: _Format(fif.identity, fif.scrub),
    RecordingFormat.CTF: _Format(ctf.identity, ctf.scrub),
    RecordingFormat.KIT: _Format(kit.identity, kit.scrub),
}


def identity_of(recording: Recording) -> IdentityStrings:
    """Return names, identifiers, birth dates, staff, places and dates of a recording.

    Words of file and folder names are among them unless they are words of the laboratory.

    Raises
    ------
    RefusedRecordingError
        The recording is damaged.
    """
    try:
        found = _FORMATS[recording.format].identity(recording)
    except _BROKEN as error:
        raise _damaged(recording) from error
    # The helper files of CTF have fixed names.
    files = () if recording.format is RecordingFormat.CTF else recording.files
    stems = {path.stem for path in files} | {recording.main.stem}
    return found | IdentityStrings(frozenset().union(*map(file_name_words, stems)))


def scrub_recording(
    recording: Recording,
    target_dir: Path,
    policy: RecordingPolicy,
    *,
    stem: str = "recording",
    known: IdentityStrings | None = None,
) -> ScrubReport:
    """Write a copy of a recording without identities; samples stay bit for bit.

    Parameters
    ----------
    recording : Recording
        Never changed.
    target_dir : Path
        An existing folder; the files appear in it all at once, or none.
    policy : RecordingPolicy
        What may stay.
    stem : str
        Name of the copy without ending (letters, digits, ``_`` and ``-``): it must hold no
        identity, and no file of the source keeps its name.
    known : IdentityStrings or None
        Further identities that no kept text may hold, such as those of the whole study; those
        of the recording itself are always looked for.

    Raises
    ------
    RefusedRecordingError
        Something in the recording is not understood; nothing was written.
    FileExistsError
        The target has a file of that name.
    ValueError
        The stem has other characters.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", stem):
        raise ValueError("a stem has letters, digits, _ and - only")
    everything = identity_of(recording) | (known or IdentityStrings())
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target_dir))
    try:
        try:
            report = _FORMATS[recording.format].scrub(recording, partial, stem, policy, everything)
        except _BROKEN as error:
            raise _damaged(recording) from error
        return _into_place(report, partial, target_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _damaged(recording: Recording) -> RefusedRecordingError:
    return RefusedRecordingError(
        f"Cannot read a {recording.format.value} recording: it is damaged, or not written as the "
        "format says; send it again, or export it again."
    )


def _into_place(report: ScrubReport, partial: Path, target_dir: Path) -> ScrubReport:
    entries = sorted(partial.iterdir())
    for entry in entries:
        if (target_dir / entry.name).exists():
            raise FileExistsError(f"{entry.name} is already in the target folder")
    for entry in entries:
        entry.rename(target_dir / entry.name)

    def moved(path: Path) -> Path:
        return target_dir / path.relative_to(partial)

    changes = {place: count for place, count in sorted(report.changes.items()) if count}
    return ScrubReport(moved(report.main), tuple(map(moved, report.outputs)), changes, report.notes)
