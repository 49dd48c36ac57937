"""Recordings of EEG and MEG: found in a folder, read for identities, copied without them.

Belongs here: the formats and what in them can identify a person. Does not: BIDS
(``eeg_to_bids``), DICOM, and searching a finished tree for identities.

``find_recordings(folder)`` gives each file once, in a `Recording` or as a `RefusedFile`;
``identity_of(recording)`` gives what the check of the output must look for;
``scrub_recording(recording, target_dir, policy, stem=..., known=...)`` writes the clean copy.
"""

from containers.recordings.find import find_recordings
from containers.recordings.model import (
    DateRule,
    IdentityStrings,
    Recording,
    RecordingFormat,
    RecordingPolicy,
    RefusedFile,
    RefusedRecordingError,
    ScrubReport,
    TextRule,
)
from containers.recordings.scrub import identity_of, scrub_recording

__all__ = [
    "DateRule",
    "IdentityStrings",
    "Recording",
    "RecordingFormat",
    "RecordingPolicy",
    "RefusedFile",
    "RefusedRecordingError",
    "ScrubReport",
    "TextRule",
    "find_recordings",
    "identity_of",
    "scrub_recording",
]
